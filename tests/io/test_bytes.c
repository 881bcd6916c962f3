/** \file test_bytes.c
 *  Buffers that grow, and readers that never go beyond their bytes.
 *  ranks: 1 */
#include "io/common/bytes.h"

#include "support/rt_test.h"
#include <string.h>

/** Every number of bytes can be taken from every place, but not one more. */
static void test_take(void)
{
  enum { N = 20 };
  unsigned char *const data = malloc(N); // exact, for sanitizers
  const unsigned char *got;
  for (int i = 0; i < N; i++)
    data[i] = (unsigned char)(i + 1);
  for (size_t at = 0; at <= N; at++)
    for (size_t n = 0; n <= N + 1 - at; n++) {
      rt_bytes_in in = {.data = data, .n = N, .at = at, .name = "bytes"};
      if (n > N - at) {
        RT_FAILS(rt_bytes_take(&in, n, &got), RT_ERR_DATA, "ends after 20");
        CU_ASSERT_EQUAL(in.at, at);
        continue;
      }
      RT_OKAY(rt_bytes_take(&in, n, &got));
      CU_ASSERT_PTR_EQUAL(got, data + at);
      CU_ASSERT_EQUAL(in.at, at + n);
    }
  rt_bytes_in end = {.data = data, .n = N, .at = N, .name = "bytes"};
  RT_FAILS(rt_bytes_take(&end, SIZE_MAX, &got), RT_ERR_DATA, "bytes");
  free(data);
}

/** Numbers come back, and a part of one does not. */
static void test_numbers(void)
{
  rt_bytes b = {0};
  uint32_t x;
  uint64_t y;
  RT_OKAY(rt_bytes_put_u32(&b, 0x04030201));
  RT_OKAY(rt_bytes_put_u64(&b, UINT64_C(0x0C0B0A0908070605)));
  CU_ASSERT_EQUAL(b.n, 12);
  for (size_t i = 0; i < b.n; i++)
    CU_ASSERT_EQUAL(b.data[i], i + 1); // little-endian
  rt_bytes_in in = {.data = b.data, .n = 12, .name = "numbers"};
  RT_OKAY(rt_bytes_take_u32(&in, &x));
  RT_OKAY(rt_bytes_take_u64(&in, &y));
  CU_ASSERT_EQUAL(x, 0x04030201);
  CU_ASSERT_EQUAL(y, UINT64_C(0x0C0B0A0908070605));
  in.at = 9;
  RT_FAILS(rt_bytes_take_u32(&in, &x), RT_ERR_DATA, "numbers");
  in.at = 5;
  RT_FAILS(rt_bytes_take_u64(&in, &y), RT_ERR_DATA, "numbers");
  rt_bytes_clear(&b);
}

static void test_grow(void)
{
  rt_bytes b = {0};
  for (unsigned i = 0; i < 5000; i++) {
    const unsigned char c = (unsigned char)i;
    RT_OKAY(rt_bytes_put(&b, &c, 1));
  }
  bool same = b.n == 5000;
  for (unsigned i = 0; same && i < 5000; i++)
    same = b.data[i] == (unsigned char)i;
  CU_ASSERT_TRUE(same);
  RT_OKAY(rt_bytes_put(&b, NULL, 0));
  RT_OKAY(rt_bytes_room(&b, 100000));
  CU_ASSERT(b.room - b.n >= 100000 && b.n == 5000);
  RT_OKAY(rt_bytes_fit(&b, 10)); // keeps the larger room
  CU_ASSERT(b.n == 0 && b.room >= 100000);
  RT_OKAY(rt_bytes_fit(&b, 1000000));
  CU_ASSERT(b.n == 0 && b.room >= 1000000);
  rt_bytes_clear(&b);
  CU_ASSERT_PTR_NULL(b.data);
}

RT_TEST_MAIN("bytes", {"nothing beyond the end", test_take},
             {"numbers", test_numbers}, {"growing", test_grow})
