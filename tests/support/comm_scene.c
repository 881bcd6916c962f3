/** \file comm_scene.c */
#include "support/comm_scene.h"

#include "par/comm_impl.h"
#include "support/rt_test.h"
#include <math.h>
#include <string.h>

void comm_scene_start(comm_scene *s, const char *device, bool shared)
{
  RT_OKAY(rt_comm_create(MPI_COMM_WORLD, &s->world));
  RT_OKAY(rt_dev_create(device, 1, &s->dev));
  s->rank = rt_comm_rank(s->world);
  s->size = rt_comm_size(s->world);
  if (!shared)
    rt_comm_only_mpi(s->world, 1000);
}

void comm_scene_finish(comm_scene *s)
{
  rt_comm_forget(s->dev);
  rt_dev_destroy(&s->dev);
  rt_comm_destroy(&s->world);
  CU_ASSERT_PTR_NULL(s->world);
}

/** Element \a i of rank \a r: signs and sizes mixed, so that order matters. */
static double value(int r, size_t i)
{
  static const double size[] = {1e-3, 1.0, 30.0, 0.1, 1000.0, 7.0, 0.02};
  const uint32_t bits =
      (uint32_t)(i * 2654435761u + (size_t)r * 40503u) ^ (uint32_t)(i >> 5);
  return ((double)bits / 0x1p31 - 1.0) * size[(i + (size_t)r) % 7];
}

rt_view comm_values(rt_dtype type, size_t n, int rank)
{
  const rt_view v = rt_view_of(malloc(n * 8 + 8), type, 1, (int64_t)n);
  CU_ASSERT_PTR_NOT_NULL_FATAL(v.data);
  for (size_t i = 0; i < n; i++) {
    const double x = value(rank, i);
    rt_dtype_convert((char *)v.data + i * rt_dtype_size(type), type, &x, RT_F64,
                     1);
  }
  return v;
}

double comm_value(const rt_view *v, size_t i)
{
  double x;
  rt_dtype_convert(&x, RT_F64,
                   (const char *)v->data + i * rt_dtype_size(v->dtype),
                   v->dtype, 1);
  return x;
}

/** The number of a type nearest to \a x. */
static double rounded(rt_dtype type, double x)
{
  char in_type[8];
  rt_dtype_convert(in_type, type, &x, RT_F64, 1);
  rt_dtype_convert(&x, RT_F64, in_type, type, 1);
  return x;
}

double comm_serial(rt_dtype type, int size, size_t i, rt_op op)
{
  const rt_dtype sums = type == RT_BF16 ? RT_F32 : type;
  double all = 0.0;
  for (int r = 0; r < size; r++) {
    const double x = rounded(type, value(r, i));
    if (r == 0)
      all = x;
    else if (op == RT_SUM)
      all = rounded(sums, all + x);
    else
      all = op == RT_MAX ? fmax(all, x) : fmin(all, x);
  }
  return rounded(type, all);
}

void comm_check(const comm_scene *s, const rt_view *v, rt_op op, bool exact)
{
  const double tol = v->dtype == RT_BF16  ? 0x1p-8
                     : v->dtype == RT_F32 ? 1e-6
                                          : 1e-15;
  size_t n_bad = 0;
  for (size_t i = 0; i < rt_view_size(v); i++) {
    const double want = comm_serial(v->dtype, s->size, i, op);
    const double got = comm_value(v, i);
    // of numbers up to 1000
    n_bad += exact ? got != want : fabs(got - want) > tol * 4000.0;
  }
  CU_ASSERT_EQUAL(n_bad, 0);
  const size_t bytes = rt_view_bytes(v);
  char *first = malloc(bytes + 1);
  CU_ASSERT_PTR_NOT_NULL_FATAL(first);
  memcpy(first, v->data, bytes);
  MPI_Bcast(first, (int)bytes, MPI_BYTE, 0, MPI_COMM_WORLD);
  CU_ASSERT_EQUAL(memcmp(first, v->data, bytes), 0);
  free(first);
}
