/** \file test_gemm.c
 *  The gemm kernel against three loops, every transposition and stride.
 *  ranks: 1 */
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

static void test_misfits(void)
{
  tensor_reset();
  const tensor a = tensor_random(4, 6, 1), b = tensor_random(5, 3, 2);
  const tensor c = tensor_output(4, 3);
  k_ctx ctx = tensor_ctx(1);
  k_table_cpu()[K_gemm].f32(&ctx, &(k_gemm_args){.a = tensor_view(&a, RT_F32),
                                                 .b = tensor_view(&b, RT_F32),
                                                 .c = tensor_view(&c, RT_F32),
                                                 .alpha = 1.0});
  RT_FAILS(ctx.err, RT_ERR_INTERNAL, "a [4, 6] b [5, 3] c [4, 3]");
  CU_ASSERT(isnan(c.f[0]));
}

RT_TEST_MAIN("gemm", {"products of every shape", test_products},
             {"sizes that do not meet are refused", test_misfits})
