/** \file draws.c */
#include "distill/teacher/draws.h"

#include "base/rng.h"

#include <math.h>
#include <stdlib.h>

static int by_value(const void *a, const void *b)
{
  const double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

void rt_draws_numbers(const rt_draws *draws, int64_t row, int64_t t, double *u)
{
  for (int64_t d = 0; d < draws->n; d++)
    u[d] = rt_rng_uniform(draws->seed, RT_RNG_DRAW, (uint64_t)row,
                          (uint64_t)(t * draws->n + d));
  qsort(u, (size_t)draws->n, sizeof *u, by_value);
}

static int by_id(const void *a, const void *b)
{
  const int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
  return (x > y) - (x < y);
}

static int by_times(const void *a, const void *b)
{
  const rt_drawn_id *x = a, *y = b;
  return x->times != y->times ? y->times - x->times
                              : (x->id > y->id) - (x->id < y->id);
}

int32_t rt_draws_count(int32_t *drawn, int64_t n, rt_drawn_id *scratch,
                       int32_t *ids, float *logp)
{
  int32_t count = 0;
  qsort(drawn, (size_t)n, sizeof *drawn, by_id);
  for (int64_t d = 0; d < n; d++) {
    if (d == 0 || drawn[d] != drawn[d - 1])
      scratch[count++] = (rt_drawn_id){drawn[d], 0};
    scratch[count - 1].times++;
  }
  qsort(scratch, (size_t)count, sizeof *scratch, by_times);
  for (int32_t k = 0; k < count; k++) {
    ids[k] = scratch[k].id;
    logp[k] = (float)log((double)scratch[k].times / (double)n);
  }
  return count;
}
