/** \file topk_real.c
 *  The K largest logits of each row (exact), and the argmax.
 *
 *  A number that at least K block maxima reach is a lower bound of the K-th
 *  largest element, so only blocks whose maximum reaches it are scanned.
 *  Candidates go through a heap of size K that is stored in the output row
 *  itself. */
#include "kernels/cpu/real.h"
#include "kernels/cpu/table_cpu.h"

#include <omp.h>

/** Does a rank after b: smaller, or equal with a higher id? */
static bool is_worse(real a, int32_t id_a, real b, int32_t id_b)
{
  return a < b || (a == b && id_a > id_b);
}

/** A heap of n entries whose root is the lowest-ranking one. */
typedef struct heap {
  real *z;
  int32_t *id;
  int64_t n;
} heap;

static void swap(heap *h, int64_t i, int64_t j)
{
  const real z = h->z[i];
  const int32_t id = h->id[i];
  h->z[i] = h->z[j];
  h->id[i] = h->id[j];
  h->z[j] = z;
  h->id[j] = id;
}

static void sift_down(heap *h, int64_t i)
{
  for (;;) {
    int64_t worst = i;
    for (int64_t child = 2 * i + 1; child <= 2 * i + 2; child++)
      if (child < h->n &&
          is_worse(h->z[child], h->id[child], h->z[worst], h->id[worst]))
        worst = child;
    if (worst == i)
      return;
    swap(h, i, worst);
    i = worst;
  }
}

static void push(heap *h, int64_t capacity, real z, int32_t id)
{
  if (h->n == capacity) {
    if (capacity == 0 || !is_worse(h->z[0], h->id[0], z, id))
      return;
    h->z[0] = z;
    h->id[0] = id;
    sift_down(h, 0);
    return;
  }
  int64_t i = h->n++;
  h->z[i] = z;
  h->id[i] = id;
  while (i > 0 &&
         is_worse(h->z[i], h->id[i], h->z[(i - 1) / 2], h->id[(i - 1) / 2])) {
    swap(h, i, (i - 1) / 2);
    i = (i - 1) / 2;
  }
}

/** Sort in descending order of rank. */
static void sort(heap *h)
{
  const int64_t n = h->n;
  while (h->n > 1) {
    swap(h, 0, --h->n);
    sift_down(h, 0);
  }
  h->n = n;
}

/** Write the maxima of blocks of \a width elements; return their maximum. */
static real block_maxima(const real *z, int64_t n, int64_t width, real *maxima)
{
  real top = (real)-INFINITY;
  for (int64_t b = 0; b * width < n; b++) {
    const int64_t end = (b + 1) * width < n ? (b + 1) * width : n;
    const real m = k_max(z + b * width, end - b * width);
    maxima[b] = m;
    top = m > top ? m : top;
  }
  return top;
}

/** Sum of exp(z - top). */
static double sum_exp(const real *z, int64_t n, real top)
{
  enum { CHUNK = 512 };
  const real base = k_base(top);
  double sum = 0.0;
  for (int64_t v0 = 0; v0 < n; v0 += CHUNK) {
    const int64_t v1 = v0 + CHUNK < n ? v0 + CHUNK : n;
    real part = 0;
#pragma omp simd reduction(+ : part)
    for (int64_t v = v0; v < v1; v++)
      part += k_exp(z[v] - base);
    sum += (double)part;
  }
  return sum;
}

/** Sums of exp(x) x, x and x^2, x = z - top, in double, and their number, over
 *  all z but -inf. */
static void sum_spread(const real *z, int64_t n, real top, double *stats)
{
  const real base = k_base(top), never = (real)-INFINITY;
  double exp_z = 0.0, sum = 0.0, squares = 0.0, n_out = 0.0;
#pragma omp simd reduction(+ : exp_z, sum, squares, n_out)
  for (int64_t v = 0; v < n; v++) {
    const real x = z[v] == never ? 0 : z[v] - base; // 0 adds nothing below
    n_out += z[v] == never ? 1.0 : 0.0;
    exp_z += (double)(k_exp(x) * x);
    sum += (double)x;
    squares += (double)x * (double)x;
  }
  stats[K_STAT_EXP_Z] = exp_z;
  stats[K_STAT_Z] = sum;
  stats[K_STAT_ZZ] = squares;
  stats[K_STAT_IDS] = (double)n - n_out;
}

/** A number that at least k of x[0..n), and few more, reach.  Bisection between
 *  minimum and maximum, because it vectorises and a selection does not; between
 *  those above -inf, which has no middle to anything. */
static real bound_of(const real *x, int64_t n, int64_t k, real top)
{
  const real never = (real)-INFINITY;
  real low = top, high = top;
  int64_t above = 0;
  for (int64_t i = 0; i < n; i++) {
    above += x[i] > never;
    low = x[i] < low && x[i] > never ? x[i] : low;
  }
  if (above < k)
    return never;
  for (int step = 0; step < 16; step++) {
    const real middle = low + (high - low) / 2;
    int32_t reach = 0;
    for (int64_t i = 0; i < n; i++)
      reach += x[i] >= middle;
    if (reach < k) {
      high = middle;
      continue;
    }
    low = middle;
    if (reach <= k + k / 8)
      break;
  }
  return low;
}

/** A row of logits with the maximum of each of its blocks. */
typedef struct blocks {
  const real *z;    // [n]
  int64_t n, width; // elements of the row; of a block
  real *maxima;     // [n / width, rounded up]
  real top;         // maximum of the row
} blocks;

/** Insert the k largest elements of the row into the heap; \a v0 is its first
 *  id. */
static void select_best(const blocks *x, int64_t k, int64_t v0, heap *h)
{
  const int64_t n_blocks = (x->n + x->width - 1) / x->width;
  const real bound = bound_of(x->maxima, n_blocks, k, x->top);
  for (int64_t b = 0; b < n_blocks; b++) {
    if (x->maxima[b] < bound)
      continue;
    const int64_t end = (b + 1) * x->width < x->n ? (b + 1) * x->width : x->n;
    for (int64_t v = b * x->width; v < end; v++)
      if (x->z[v] >= bound)
        push(h, k, x->z[v], (int32_t)(v0 + v));
  }
}

K_KERNEL(k_topk_cpu_f32, k_topk_cpu_f64, k_topk_cpu_bf16)
{
  const k_topk_args *a = args;
  const int64_t left = a->v_true - a->v0, k = a->ids.cols;
  const int64_t n = left < 0 ? 0 : left < a->z.cols ? left : a->z.cols;
  // the block maxima must fit into the workspace of one thread
  const int64_t max_blocks = (int64_t)(K_THREAD_BYTES / sizeof(real));
  int64_t width = 64;
  while ((n + width - 1) / width > max_blocks)
    width *= 2;
  K_PARALLEL_FOR
  for (int64_t r = 0; r < a->z.rows; r++) {
    const real *z = k_row_of(&a->z, r);
    double *s = (double *)a->stats.data + r * a->stats.ld;
    real *maxima = (real *)((char *)ctx->workspace +
                            (size_t)omp_get_thread_num() * K_THREAD_BYTES);
    heap h = {k_row_of(&a->top, r), (int32_t *)a->ids.data + r * a->ids.ld, 0};
    const real top = block_maxima(z, n, width, maxima);
    select_best(&(blocks){z, n, width, maxima, top}, k, a->v0, &h);
    sort(&h);
    for (int64_t i = h.n; i < k; i++) {
      h.z[i] = (real)-INFINITY;
      h.id[i] = -1;
    }
    const int64_t label = ((const int32_t *)a->label.data)[r] - a->v0;
    memset(s, 0, K_N_STAT * sizeof *s);
    s[K_STAT_MAX] = (double)top;
    s[K_STAT_SUM] = sum_exp(z, n, top);
    s[K_STAT_LABEL] = label >= 0 && label < n ? (double)z[label] : 0.0;
    if (a->spread)
      sum_spread(z, n, top, s);
  }
}

K_KERNEL(k_argmax_cpu_f32, k_argmax_cpu_f64, k_argmax_cpu_bf16)
{
  const k_argmax_args *a = args;
  enum { BLOCK = 1024 };
  const int64_t left = a->v_true - a->v0;
  const int64_t n = left < 0 ? 0 : left < a->z.cols ? left : a->z.cols;
  K_PARALLEL_FOR
  for (int64_t r = 0; r < a->z.rows; r++) {
    const real *z = k_row_of(&a->z, r);
    real top = (real)-INFINITY;
    int64_t first = 0; // start of the first block that contains the maximum
    for (int64_t v = 0; v < n; v += BLOCK) {
      const real m = k_max(z + v, v + BLOCK < n ? BLOCK : n - v);
      first = m > top ? v : first;
      top = m > top ? m : top;
    }
    int64_t at = first;
    while (at < n && z[at] != top)
      at++;
    ((int32_t *)a->id.data)[r] = at < n ? (int32_t)(a->v0 + at) : -1;
    ((double *)a->best.data)[r] = (double)top;
  }
}
