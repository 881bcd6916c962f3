/** \file bench_gemm.c
 *  Seconds of CBLAS alone on the matrix products of one training step, for
 *  tests/bench.py:  bench_gemm N D L F HD_Q HD_KV V THREADS
 *  (tokens, width, blocks, inner width, H * head_dim, G * head_dim,
 * vocabulary). Each product y = x w^T also runs as dx = dy w and dw += dy^T x.
 */
#include "base/clock.h"
#include "dev/device.h"
#include <stdio.h>
#include <stdlib.h>

/** The three products of one weight [out, in] over n tokens. */
static void products(rt_dev *dev, float *const m[3], int64_t n, int64_t in,
                     int64_t out)
{
  const rt_view x = rt_view_of(m[0], RT_F32, n, in);
  const rt_view w = rt_view_of(m[1], RT_F32, out, in);
  const rt_view y = rt_view_of(m[2], RT_F32, n, out);
  RT_RUN(dev, gemm, .a = x, .b = w, .c = y, .trans_b = true, .alpha = 1.0);
  RT_RUN(dev, gemm, .a = y, .b = w, .c = x, .alpha = 1e-6);
  RT_RUN(dev, gemm, .a = y, .b = x, .c = w, .trans_a = true, .alpha = 1e-6,
         .beta = 1.0);
}

int main(int argc, char **argv)
{
  int64_t a[8];
  if (argc != 9) {
    fprintf(stderr, "bench_gemm N D L F HD_Q HD_KV V THREADS\n");
    return 64;
  }
  for (int i = 0; i < 8; i++)
    a[i] = strtoll(argv[i + 1], NULL, 10);
  const int64_t n = a[0], d = a[1], f = a[3], v = a[6];
  const int64_t widest = d > f ? d : f;
  const size_t sizes[3] = {(size_t)(n * widest), (size_t)(v * widest),
                           (size_t)(n * v)};
  rt_dev *dev = NULL;
  float *m[3] = {NULL};
  if (rt_dev_create("cpu", RT_F32, (int)a[7], &dev) != RT_OK)
    return 70;
  for (int i = 0; i < 3; i++) {
    m[i] = malloc(sizes[i] * sizeof(float));
    if (m[i] == NULL)
      return 71;
    for (size_t k = 0; k < sizes[i]; k++)
      m[i][k] = 0.01f * (float)(k % 7);
  }
  for (int run = 0; run < 2; run++) { // the first warms up
    const double since_s = rt_now_s();
    for (int64_t l = 0; l < a[2]; l++) {
      products(dev, m, n, d, a[4]); // q
      products(dev, m, n, d, a[5]); // k
      products(dev, m, n, d, a[5]); // v
      products(dev, m, n, a[4], d); // o
      products(dev, m, n, d, f);    // gate
      products(dev, m, n, d, f);    // up
      products(dev, m, n, f, d);    // down
    }
    products(dev, m, n, d, v); // head
    if (run == 1)
      printf("%.6f\n", rt_now_s() - since_s);
  }
  for (int i = 0; i < 3; i++)
    free(m[i]);
  rt_dev_destroy(&dev);
  return 0;
}
