/** \file test_gemm.c
 *  The gemm kernel against three loops, every transposition and stride.
 *  ranks: 1 */
#include "base/bf16.h"
#include "kernels/cpu/gemm.h"
#include "support/tensor.h"

/** Element (i, j) of op(X). */
static double element(const tensor *x, bool trans, int64_t i, int64_t j)
{
  return trans ? x->d[j * x->ld + i] : x->d[i * x->ld + j];
}

static void check_product(int64_t m, int64_t n, int64_t k, bool trans_a,
                          bool trans_b, double alpha, double beta)
{
  tensor_reset();
  const tensor a = tensor_random(trans_a ? k : m, trans_a ? m : k, 1);
  const tensor b = tensor_random(trans_b ? n : k, trans_b ? k : n, 2);
  const tensor c = beta == 0.0 ? tensor_output(m, n) : tensor_random(m, n, 3);
  double *want = tensor_want(m, n);
  for (int64_t i = 0; i < m; i++)
    for (int64_t j = 0; j < n; j++) {
      double sum = 0.0;
      for (int64_t l = 0; l < k; l++)
        sum += element(&a, trans_a, i, l) * element(&b, trans_b, l, j);
      want[i * n + j] = alpha * sum;
      if (beta != 0.0)
        want[i * n + j] += beta * c.d[i * c.ld + j];
    }
  for (size_t i = 0; i < 2; i++) {
    const rt_dtype type = tensor_types[i];
    TENSOR_RUN(type, gemm, .a = tensor_view(&a, type),
               .b = tensor_view(&b, type), .c = tensor_view(&c, type),
               .trans_a = trans_a, .trans_b = trans_b, .alpha = alpha,
               .beta = beta);
    tensor_check(&c, type, want, "gemm");
  }
}

static void test_products(void)
{
  for (int i = 0; i < 4; i++) {
    check_product(5, 7, 11, i % 2, i / 2, 1.0, 0.0); // NaN in C is not read
    check_product(64, 33, 20, i % 2, i / 2, 0.5, 1.0);
    check_product(2, 90, 70, i % 2, i / 2, -2.0, 0.25);
  }
  check_product(1, 1, 1, false, false, 1.0, 1.0);
}

/** The addend takes the place of C, of which nothing is read then. */
static void check_addend(int64_t rows)
{
  tensor_reset();
  const tensor a = tensor_random(6, 4, 1), b = tensor_random(4, 9, 2);
  const tensor x = tensor_random(rows, 9, 3), c = tensor_output(6, 9);
  double *want = tensor_want(6, 9);
  for (int64_t i = 0; i < 6; i++)
    for (int64_t j = 0; j < 9; j++) {
      want[i * 9 + j] = 0.5 * x.d[i % rows * x.ld + j];
      for (int64_t l = 0; l < 4; l++)
        want[i * 9 + j] += element(&a, false, i, l) * element(&b, false, l, j);
    }
  for (size_t i = 0; i < 2; i++) {
    const rt_dtype type = tensor_types[i];
    TENSOR_RUN(type, gemm, .a = tensor_view(&a, type),
               .b = tensor_view(&b, type), .c = tensor_view(&c, type),
               .addend = tensor_view(&x, type), .alpha = 1.0, .beta = 0.5);
    tensor_check(&c, type, want, "gemm with an addend");
  }
}

static void test_addend(void)
{
  check_addend(6);
  check_addend(1);
}

static void test_misfits(void)
{
  tensor_reset();
  const tensor a = tensor_random(4, 6, 1), b = tensor_random(5, 3, 2);
  const tensor c = tensor_output(4, 3);
  k_ctx ctx = tensor_ctx(1);
  k_table_cpu()[K_gemm].fn[K_SET_F32](
      &ctx, &(k_gemm_args){.a = tensor_view(&a, RT_F32),
                           .b = tensor_view(&b, RT_F32),
                           .c = tensor_view(&c, RT_F32),
                           .alpha = 1.0});
  RT_FAILS(ctx.err, RT_ERR_INTERNAL, "a f32 [4, 6] b f32 [5, 3] c f32 [4, 3]");
  CU_ASSERT(isnan(c.f[0]));
}

/** A product of bf16, of op(a) [m, k] and op(b) [k, n]. */
typedef struct product {
  int64_t m, n, k;
  bool trans_a, trans_b;
  double alpha, beta;
  rt_dtype c_type;
} product;

enum { GAP = 5 };

static double bf16_number(uint64_t stream, int64_t i)
{
  const double x = rt_rng_normal(4, RT_RNG_TEST, stream, (uint64_t)i);
  return (double)rt_bf16_get(rt_bf16_put((float)x));
}

/** A matrix with a gap behind each row, which must survive. */
static rt_view bf16_matrix(rt_dtype type, int64_t rows, int64_t cols,
                           uint64_t stream)
{
  const int64_t ld = cols + GAP;
  rt_view v = {tensor_memory((size_t)(rows * ld) * sizeof(float)), type, rows,
               cols, ld};
  for (int64_t i = 0; i < rows * ld; i++) {
    const double x = i % ld < cols ? bf16_number(stream, i) : tensor_sentinel;
    rt_dtype_convert((char *)v.data + (size_t)i * rt_dtype_size(type), type, &x,
                     RT_F64, 1);
  }
  return v;
}

/** Element (i, j) of op(x). */
static double get(const rt_view *x, bool trans, int64_t i, int64_t j)
{
  double out;
  const int64_t at = trans ? j * x->ld + i : i * x->ld + j;
  rt_dtype_convert(&out, RT_F64,
                   (const char *)x->data + (size_t)at * rt_dtype_size(x->dtype),
                   x->dtype, 1);
  return out;
}

/** The plain product in double. */
static double *plain(const product *p, const rt_view *a, const rt_view *b,
                     const rt_view *c)
{
  double *want = tensor_want(p->m, p->n);
  for (int64_t i = 0; i < p->m; i++)
    for (int64_t j = 0; j < p->n; j++) {
      double sum = 0.0;
      for (int64_t l = 0; l < p->k; l++)
        sum += get(a, p->trans_a, i, l) * get(b, p->trans_b, l, j);
      want[i * p->n + j] =
          p->alpha * sum +
          (p->beta != 0.0 ? p->beta * get(c, false, i, j) : 0.0);
    }
  return want;
}

static void check_bf16(const product *p, void *backend)
{
  tensor_reset();
  const rt_view a = bf16_matrix(RT_BF16, p->trans_a ? p->k : p->m,
                                p->trans_a ? p->m : p->k, 1);
  const rt_view b = bf16_matrix(RT_BF16, p->trans_b ? p->n : p->k,
                                p->trans_b ? p->k : p->n, 2);
  const rt_view c = bf16_matrix(p->c_type, p->m, p->n, 3);
  const double *const want = plain(p, &a, &b, &c);
  k_ctx ctx = tensor_ctx(2);
  ctx.backend = backend;
  const k_gemm_args args = {.a = a,
                            .b = b,
                            .c = c,
                            .trans_a = p->trans_a,
                            .trans_b = p->trans_b,
                            .alpha = p->alpha,
                            .beta = p->beta};
  CU_ASSERT_FATAL(k_workspace_cpu(&ctx, K_gemm, &args) <= ctx.workspace_bytes);
  for (int again = 0; again < (p->beta == 0.0 ? 2 : 1); again++)
    k_table_cpu()[K_gemm].fn[K_SET_BF16](&ctx, &args);
  RT_OKAY(ctx.err);
  const double norm = sqrt((double)p->k); // of a sum
  double worst = 0.0;
  for (int64_t i = 0; i < p->m; i++)
    for (int64_t j = 0; j < p->n + GAP; j++) {
      const bool gap = j >= p->n;
      const double w = gap ? tensor_sentinel : want[i * p->n + j];
      const double rounded =
          gap ? 0.0
              : (p->c_type == RT_BF16 ? 0x1p-8 * 1.001 * fabs(w) : 0.0) +
                    2e-6 * norm;
      worst = fmax(worst, fabs(get(&c, false, i, j) - w) - rounded);
    }
  CU_ASSERT(worst <= 0.0);
  if (!(worst <= 0.0))
    fprintf(stderr, "[%d, %d] x [%d, %d] trans %d %d into %s: wrong by %g\n",
            (int)p->m, (int)p->k, (int)p->k, (int)p->n, p->trans_a, p->trans_b,
            rt_dtype_name(p->c_type), worst);
}

/** Every transposition into both types, beyond the size of a panel in each
 *  direction, by panels and by what this processor has. */
static void test_bf16(void)
{
  static const int64_t sizes[][3] = {{5, 7, 11},   {64, 33, 20},
                                     {530, 9, 8},  {9, 1030, 8},
                                     {8, 9, 1040}, {64, 96, 1100}};
  void *kept = NULL;
  RT_OKAY(k_gemm_open(&kept));
  for (int i = 0; i < 6 * 8; i++) {
    const int64_t *const s = sizes[i / 8];
    const product p = {.m = s[0],
                       .n = s[1],
                       .k = s[2],
                       .trans_a = i % 2,
                       .trans_b = i / 2 % 2,
                       .alpha = i % 3 == 0 ? 0.5 : 1.0,
                       .beta = i % 5 == 0 ? 0.0 : 1.0,
                       .c_type = i / 4 % 2 ? RT_BF16 : RT_F32};
    check_bf16(&p, NULL);
    if (kept != NULL)
      check_bf16(&p, kept);
  }
  k_gemm_close(kept);
}

static bool uses_amx(void)
{
  k_ctx ctx = {0};
  RT_OKAY(k_gemm_open(&ctx.backend));
  const bool amx = k_gemm_has_amx(&ctx);
  k_gemm_close(ctx.backend);
  CU_ASSERT_EQUAL(strstr(k_gemm_bf16_library(), "(amx)") != NULL, amx);
  return amx;
}

/** AMX is used where the processor has it, with oneDNN in the build or not,
 *  unless the user forbids it. */
static void test_amx(void)
{
  static const struct {
    const char *isa;
    bool allows;
  } limits[] = {{"AVX512_CORE_BF16", false}, {"avx2", false},
                {"AVX512_CORE_AMX", true},   {"ALL", true},
                {"default", true},           {"", true}};
  char line[8192] = "";
  bool has = false;
  const char *const was = getenv("ONEDNN_MAX_CPU_ISA");
  char *const keep = was != NULL ? strdup(was) : NULL;
  FILE *const f = fopen("/proc/cpuinfo", "r");
  while (f != NULL && !has && fgets(line, sizeof line, f) != NULL)
    has = strstr(line, " amx_bf16") != NULL && strstr(line, " avx512_bf16");
  if (f != NULL)
    fclose(f);
  unsetenv("ONEDNN_MAX_CPU_ISA");
  CU_ASSERT_EQUAL(uses_amx(), has);
  for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
    setenv("ONEDNN_MAX_CPU_ISA", limits[i].isa, 1);
    CU_ASSERT_EQUAL(uses_amx(), has && limits[i].allows);
  }
  unsetenv("ONEDNN_MAX_CPU_ISA");
  if (keep != NULL)
    setenv("ONEDNN_MAX_CPU_ISA", keep, 1);
  free(keep);
}

/** The ways to multiply f32. */
typedef enum way { ONE_THREAD, TWO_THREADS, FIVE_THREADS, INSIDE, BLAS } way;
enum { N_WAYS = BLAS + 1 };
static const char *const names[] = {"one thread", "two threads", "five threads",
                                    "inside a region", "by CBLAS"};

static void multiply_by(way by, const k_gemm_args *args)
{
  if (by == INSIDE)
    k_gemm_inside(args);
  else if (by == BLAS)
    k_gemm_blas(args);
  else
    tensor_run_on(by == FIVE_THREADS ? 5 : 1 + (int)by, K_gemm, RT_F32, args);
}

/** The first \a m rows and \a n columns of the product. */
static k_gemm_args part_of(const k_gemm_args *g, int64_t m, int64_t n)
{
  k_gemm_args p = *g;
  p.a = g->trans_a ? rt_view_cols(g->a, 0, m) : rt_view_rows(g->a, 0, m);
  p.b = g->trans_b ? rt_view_rows(g->b, 0, n) : rt_view_cols(g->b, 0, n);
  p.c = rt_view_cols(rt_view_rows(g->c, 0, m), 0, n);
  return p;
}

/** Retort's own products have the same bits on any number of threads, and as
 *  part of a larger product. */
static void check_bits(const product *p, const k_gemm_args *g, const tensor *c)
{
  if (!k_gemm_has_avx512())
    return;
  CU_ASSERT(tensor_same(&c[ONE_THREAD], &c[TWO_THREADS], RT_F32));
  CU_ASSERT(tensor_same(&c[ONE_THREAD], &c[FIVE_THREADS], RT_F32));
  const int64_t m = (p->m + 1) / 2, n = (p->n + 1) / 2;
  const tensor x = tensor_random(p->m, p->n, 3);
  k_gemm_args part = *g;
  part.c = tensor_view(&x, RT_F32);
  part = part_of(&part, m, n);
  multiply_by(TWO_THREADS, &part);
  for (int64_t i = 0; i < m; i++)
    CU_ASSERT(tensor_same_bits(x.f + i * x.ld, c[ONE_THREAD].f + i * x.ld,
                               (size_t)n * sizeof(float)));
}

static void check_ways(const product *p)
{
  tensor_reset();
  const tensor a =
      tensor_random(p->trans_a ? p->k : p->m, p->trans_a ? p->m : p->k, 1);
  const tensor b =
      tensor_random(p->trans_b ? p->n : p->k, p->trans_b ? p->k : p->n, 2);
  const tensor before = tensor_random(p->m, p->n, 3);
  k_gemm_args g = {.a = tensor_view(&a, RT_F32),
                   .b = tensor_view(&b, RT_F32),
                   .c = tensor_view(&before, RT_F32),
                   .trans_a = p->trans_a,
                   .trans_b = p->trans_b,
                   .alpha = p->alpha,
                   .beta = p->beta};
  const double *const want = plain(p, &g.a, &g.b, &g.c);
  tensor c[N_WAYS];
  for (int by = 0; by < N_WAYS; by++) {
    c[by] = tensor_random(p->m, p->n, 3);
    g.c = tensor_view(&c[by], RT_F32);
    multiply_by((way)by, &g);
    tensor_check(&c[by], RT_F32, want, names[by]);
  }
  check_bits(p, &g, c);
}

/** Beyond the size of a tile, a piece and a part of the sums in each direction.
 */
static void test_ways(void)
{
  static const int64_t sizes[][3] = {
      {15, 33, 17}, {1, 1, 1300}, {29, 70, 600}, {1030, 17, 8}, {8, 1060, 9}};
  for (int i = 0; i < 5 * 4; i++) {
    const int64_t *const s = sizes[i / 4];
    check_ways(&(product){.m = s[0],
                          .n = s[1],
                          .k = s[2],
                          .trans_a = i % 2,
                          .trans_b = i / 2 % 2,
                          .alpha = i % 3 == 0 ? 0.5 : 1.0,
                          .beta = i % 5 == 0   ? 0.0
                                  : i % 2 == 0 ? 1.0
                                               : 0.25});
  }
}

RT_TEST_MAIN("gemm", {"products of every shape", test_products},
             {"products of f32 by every way", test_ways},
             {"an addend", test_addend}, {"products of bf16", test_bf16},
             {"AMX where it is", test_amx},
             {"sizes that do not meet are refused", test_misfits})
