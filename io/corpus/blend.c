/** \file blend.c
 *  Uses exact integer arithmetic, so that every rank and machine finds the same
 *  file for a row. */
#include "io/corpus/blend.h"

#include <stdlib.h>
#include <string.h>

#define WEIGHT_SLOTS (INT64_C(1) << 20)
/** Maximum rows of an epoch; beyond it doubles and token positions would
 *  overflow. */
#define MAX_ROWS (INT64_C(1) << 53)

__extension__ typedef unsigned __int128 u128;

/** A file's slot, at position odd / (2 * slots) of the pattern, odd = 2 k + 1.
 */
typedef struct slot {
  uint64_t odd, slots;
  int i_file;
} slot;

static int by_place(const void *a, const void *b)
{
  const slot *x = a, *y = b;
  const u128 left = (u128)x->odd * y->slots, right = (u128)y->odd * x->slots;
  if (left != right)
    return left < right ? -1 : 1;
  return x->i_file - y->i_file;
}

/** Number of a file's \a slots slots that precede \a place / \a of of the
 *  pattern. */
static uint64_t count_before(uint64_t slots, uint64_t place, uint64_t of)
{
  const u128 x = (u128)slots * place; // (2 k + 1) of < 2 x
  const u128 k = x == 0 ? 0 : (2 * x - 1 + of) / (2 * (u128)of);
  return k < slots ? (uint64_t)k : slots;
}

/** Position in the pattern of the \a k-th slot of file \a f. */
static int64_t place_of(const rt_blend *b, int f, int64_t k)
{
  const slot s = {2 * (uint64_t)k + 1, (uint64_t)b->slots[f], f};
  int64_t place = k;
  for (int g = 0; g < b->n_files; g++) {
    if (g == f || b->slots[g] == 0)
      continue;
    uint64_t n = count_before((uint64_t)b->slots[g], s.odd, 2 * s.slots);
    const slot tie = {2 * n + 1, (uint64_t)b->slots[g], g};
    // at the same position, files g < f come first
    n += n < tie.slots && by_place(&tie, &s) < 0;
    place += (int64_t)n;
  }
  return place;
}

/** Number of rows until every file has been used completely. */
static rt_err count_rows(rt_blend *b)
{
  for (int f = 0; f < b->n_files; f++) {
    if (b->slots[f] == 0)
      continue;
    const int64_t last = b->rows[f] - 1;
    int64_t end;
    RT_CHECK(!__builtin_mul_overflow(last / b->slots[f], b->n_slots, &end) &&
                 end < MAX_ROWS,
             RT_ERR_CONFIG,
             "file %d of data.files has such a small weight that an epoch "
             "would have more than 2^53 rows; increase its weight",
             f);
    end += place_of(b, f, last % b->slots[f]) + 1;
    b->n_rows = end > b->n_rows ? end : b->n_rows;
  }
  return RT_OK;
}

/** Divide \a n_slots by weight, with the largest-remainder method.
 *  \param rest  [n_files] scratch */
static void share_out(rt_blend *b, const double *weights, double sum,
                      double *rest)
{
  int64_t left = b->n_slots;
  for (int f = 0; f < b->n_files; f++) {
    const double w = b->rows[f] > 0 ? weights[f] : 0.0;
    const double share = w / sum * (double)b->n_slots;
    b->slots[f] = (int64_t)share;
    rest[f] = w > 0.0 ? share - (double)b->slots[f] : -1.0;
    left -= b->slots[f];
  }
  for (; left > 0; left--) { // fewer than n_files remain
    int best = 0;
    for (int f = 1; f < b->n_files; f++)
      if (rest[f] > rest[best])
        best = f;
    b->slots[best]++;
    rest[best] -= 1.0;
  }
}

static rt_err share_by_weight(rt_blend *b, const double *weights)
{
  double sum = 0.0;
  for (int f = 0; f < b->n_files; f++)
    sum += b->rows[f] > 0 ? weights[f] : 0.0;
  if (sum <= 0.0)
    return RT_OK; // no rows to divide
  double *rest = calloc((size_t)b->n_files, sizeof *rest);
  RT_CHECK(rest != NULL, RT_ERR_MEM, "weights of %d files", b->n_files);
  b->n_slots = WEIGHT_SLOTS;
  share_out(b, weights, sum, rest);
  free(rest);
  for (int f = 0; f < b->n_files; f++)
    RT_CHECK(b->slots[f] > 0 || b->rows[f] == 0 || weights[f] <= 0.0,
             RT_ERR_CONFIG,
             "data.weights: %g of file %d is less than 2^-20 of the sum; "
             "increase it, or set it to 0",
             weights[f], f);
  return RT_OK;
}

rt_err rt_blend_init(rt_blend *b, int n_files, const int64_t *rows,
                     const double *weights)
{
  *b = (rt_blend){.n_files = n_files};
  const size_t n = (size_t)n_files;
  b->slots = calloc(n, sizeof *b->slots);
  b->rows = calloc(n, sizeof *b->rows);
  RT_CHECK(b->slots != NULL && b->rows != NULL, RT_ERR_MEM,
           "the blend of %d files", n_files);
  memcpy(b->rows, rows, n * sizeof *rows);
  if (weights != NULL)
    RT_TRY(share_by_weight(b, weights));
  else
    for (int f = 0; f < n_files; f++) {
      b->slots[f] = rows[f];
      b->n_slots += rows[f];
    }
  return count_rows(b);
}

void rt_blend_clear(rt_blend *b)
{
  free(b->slots);
  free(b->rows);
  *b = (rt_blend){0};
}

/** Collect the slots of all files that may be at \a place, with the number of
 *  slots before them in *before.  A file's count up to any position is its
 *  share to within 1/2, so a margin of n_files either way is sufficient. */
static int gather(const rt_blend *b, int64_t place, slot *to, int64_t *before)
{
  const uint64_t of = (uint64_t)b->n_slots;
  const uint64_t low = (uint64_t)(place > b->n_files ? place - b->n_files : 0);
  const uint64_t high = (uint64_t)(place + b->n_files + 1);
  int n = 0;
  *before = 0;
  for (int f = 0; f < b->n_files; f++) {
    const uint64_t slots = (uint64_t)b->slots[f];
    const uint64_t first = count_before(slots, low, of);
    const uint64_t end = count_before(slots, high, of);
    *before += (int64_t)first;
    for (uint64_t k = first; k < end; k++)
      to[n++] = (slot){2 * k + 1, slots, f};
  }
  return n;
}

rt_err rt_blend_find(const rt_blend *b, int64_t row, int *i_file,
                     int64_t *file_row)
{
  const int64_t pattern = row / b->n_slots, place = row % b->n_slots;
  // at most slots (2 n_files + 1) / n_slots + 1 of each file
  const size_t room = 3 * (size_t)b->n_files + 2;
  slot *s = malloc(room * sizeof *s);
  RT_CHECK(s != NULL, RT_ERR_MEM, "%zu bytes to find a row", room * sizeof *s);
  int64_t before;
  const int n = gather(b, place, s, &before);
  qsort(s, (size_t)n, sizeof *s, by_place);
  const slot found = s[place - before];
  free(s);
  const int64_t draw =
      pattern * b->slots[found.i_file] + (int64_t)(found.odd / 2);
  *i_file = found.i_file;
  *file_row = draw % b->rows[found.i_file];
  return RT_OK;
}
