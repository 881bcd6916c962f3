/** \file test_arena.c
 *  Memory that is planned before it is allocated.
 *  ranks: 1 */
#include "base/arena.h"
#include "base/bundle.h"
#include "support/rt_test.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/** An allocator that counts open blocks and fails on request. */
typedef struct place {
  int n_open;
  size_t bytes;
  bool empty;
} place;

static void *take(void *self, size_t bytes)
{
  place *p = self;
  p->bytes = bytes;
  if (p->empty)
    return NULL;
  p->n_open++;
  return aligned_alloc(256, (bytes + 255) / 256 * 256);
}

static void give(void *self, void *data)
{
  place *p = self;
  p->n_open--;
  free(data);
}

static rt_arena_memory memory_of(place *p)
{
  return (rt_arena_memory){take, give, p};
}

static void test_ranges(void)
{
  rt_arena *a;
  rt_view x, y, z;
  place p = {0};
  RT_OKAY(rt_arena_create("plan", &a));
  RT_OKAY(rt_arena_reserve(a, "x", RT_F32, 3, 5, &x));
  RT_OKAY(rt_arena_reserve(a, "y", RT_F64, 1, 1, &y));
  RT_OKAY(rt_arena_reserve(a, "z", RT_BF16, 0, 7, &z));
  CU_ASSERT(x.rows == 3 && x.cols == 5 && x.ld == 5 && x.data == NULL);
  CU_ASSERT_EQUAL(rt_arena_bytes(a), 512);
  CU_ASSERT_EQUAL(p.n_open, 0);
  RT_OKAY(rt_arena_commit(a, memory_of(&p)));
  CU_ASSERT_EQUAL(p.bytes, 512);
  CU_ASSERT_EQUAL((uintptr_t)x.data % 256, 0);
  CU_ASSERT_EQUAL((char *)y.data - (char *)x.data, 256);
  rt_arena_destroy(&a);
  CU_ASSERT_EQUAL(p.n_open, 0);
  CU_ASSERT_PTR_NULL(a);
  rt_arena_destroy(&a);
}

/** Ranges without gaps between them, as one view. */
static void test_append(void)
{
  rt_arena *a;
  rt_view x, y, z;
  place p = {0};
  RT_OKAY(rt_arena_create("plan", &a));
  RT_OKAY(rt_arena_reserve(a, "x", RT_BF16, 3, 5, &x));
  RT_OKAY(rt_arena_append(a, "y", RT_BF16, 120, 1, &y));
  RT_OKAY(rt_arena_reserve(a, "z", RT_F32, 1, 1, &z));
  RT_OKAY(rt_arena_commit(a, memory_of(&p)));
  CU_ASSERT_PTR_EQUAL((char *)x.data + 30, y.data);
  CU_ASSERT_PTR_EQUAL((char *)x.data + 512, z.data);
  rt_arena_destroy(&a);
}

/** Rows of a tile begin at multiples of 64 elements. */
static void test_tile(void)
{
  rt_arena *a;
  rt_view x, y;
  place p = {0};
  RT_OKAY(rt_arena_create("plan", &a));
  RT_OKAY(rt_arena_reserve_tile(a, "x", RT_F32, 3, 65, &x));
  RT_OKAY(rt_arena_reserve(a, "y", RT_F32, 1, 1, &y));
  RT_OKAY(rt_arena_commit(a, memory_of(&p)));
  CU_ASSERT(x.rows == 3 && x.cols == 65 && x.ld == 128);
  CU_ASSERT_PTR_EQUAL((float *)x.data + 3 * 128, y.data);
  CU_ASSERT_EQUAL(rt_arena_tile_ld(64), 64);
  CU_ASSERT_EQUAL(rt_arena_tile_ld(49152), 49152 + 64);
  rt_arena_destroy(&a);
}

static void test_rewind(void)
{
  rt_arena *a;
  rt_view keep, first, second, long_one;
  place p = {0};
  RT_OKAY(rt_arena_create("phases", &a));
  RT_OKAY(rt_arena_reserve(a, "keep", RT_U8, 1, 64, &keep));
  const size_t mark = rt_arena_mark(a);
  RT_OKAY(rt_arena_reserve(a, "first", RT_U8, 1, 640, &first));
  rt_arena_rewind(a, mark);
  RT_OKAY(rt_arena_reserve(a, "second", RT_U8, 1, 128, &second));
  CU_ASSERT_EQUAL(rt_arena_mark(a), 512);
  CU_ASSERT_EQUAL(rt_arena_bytes(a), 1024); // the peak
  RT_OKAY(rt_arena_reserve(a, "long", RT_U8, 1, 1024, &long_one));
  CU_ASSERT_EQUAL(rt_arena_bytes(a), 1536);
  RT_OKAY(rt_arena_commit(a, memory_of(&p)));
  CU_ASSERT_PTR_EQUAL(first.data, second.data);
  CU_ASSERT_PTR_EQUAL((char *)keep.data + 256, first.data);
  CU_ASSERT_PTR_EQUAL((char *)second.data + 256, long_one.data);
  rt_arena_destroy(&a);
}

static void test_errors(void)
{
  rt_arena *a;
  rt_view x, y;
  place p = {.empty = true};
  RT_OKAY(rt_arena_create("student", &a));
  RT_FAILS(rt_arena_reserve(a, "huge", RT_F64, INT64_MAX / 2, 3, &x),
           RT_ERR_MEM, "huge");
  RT_FAILS(rt_arena_reserve(a, "less", RT_F64, -1, 3, &x), RT_ERR_MEM, "less");
  RT_OKAY(rt_arena_reserve(a, "x", RT_F32, 1 << 20, 3, &x));
  RT_FAILS(rt_arena_commit(a, memory_of(&p)), RT_ERR_MEM,
           "student needs 12.0 MiB");
  p.empty = false;
  RT_OKAY(rt_arena_commit(a, memory_of(&p)));
  RT_FAILS(rt_arena_commit(a, memory_of(&p)), RT_ERR_INTERNAL, "twice");
  RT_FAILS(rt_arena_reserve(a, "late", RT_F32, 1, 1, &y), RT_ERR_INTERNAL,
           "late is reserved after commit");
  rt_arena_destroy(&a);
  CU_ASSERT_EQUAL(p.n_open, 0);
}

static void test_print(void)
{
  rt_arena *a;
  char text[1024] = "";
  RT_OKAY(rt_arena_create("student", &a));
  {
    rt_view gone[3]; // printing does not need the views
    RT_OKAY(rt_arena_reserve(a, "weights", RT_F32, 1024, 512, &gone[0]));
    RT_OKAY(rt_arena_reserve(a, "tiny", RT_F32, 1024, 128, &gone[1]));
    RT_OKAY(rt_arena_reserve(a, "logits", RT_BF16, 4096, 256, &gone[2]));
    memset(gone, 0xff, sizeof gone);
  }
  FILE *to = fmemopen(text, sizeof text, "w");
  CU_ASSERT_PTR_NOT_NULL_FATAL(to);
  rt_arena_print(a, to);
  fclose(to);
  const char *const lines[] = {
      "student                                               4.5 MiB\n",
      "  weights                     f32 [     1024,    512]     2.0 MiB at "
      "0.0\n",
      "  logits                     bf16 [     4096,    256]     2.0 MiB at "
      "2.5\n",
      "  ranges below 1 MiB                                  0.5 MiB\n"};
  char want[1024] = "";
  for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
    strcat(want, lines[i]);
  CU_ASSERT_STRING_EQUAL(text, want);
  if (strcmp(text, want) != 0)
    fputs(text, stderr);
  rt_arena_destroy(&a);
}

/** The same calls count bytes and return addresses. */
static void test_bundle(void)
{
  rt_bundle b = {0};
  CU_ASSERT_PTR_NULL(rt_bundle_take(&b, 3, 4));
  CU_ASSERT_PTR_NULL(rt_bundle_take(&b, 65, 1));
  CU_ASSERT_PTR_NULL(rt_bundle_take(&b, 0, 8));
  CU_ASSERT_EQUAL(b.bytes, 64 + 128);
  RT_OKAY(rt_bundle_alloc(&b, "a test"));
  const unsigned char *const first = rt_bundle_take(&b, 3, 4);
  const unsigned char *const second = rt_bundle_take(&b, 65, 1);
  CU_ASSERT_PTR_EQUAL(first, b.block);
  CU_ASSERT_PTR_EQUAL(second, first + 64);
  CU_ASSERT_PTR_NOT_NULL(rt_bundle_take(&b, 0, 8));
  CU_ASSERT_EQUAL(second[64], 0);
  CU_ASSERT_EQUAL(b.bytes, 64 + 128);
  free(b.block);
  b = (rt_bundle){.bytes = SIZE_MAX / 2};
  RT_FAILS(rt_bundle_alloc(&b, "too much"), RT_ERR_MEM, "too much");
}

RT_TEST_MAIN("arena",
             {"ranges are shaped, aligned and filled in at commit",
              test_ranges},
             {"ranges without gaps", test_append}, {"tiles", test_tile},
             {"rewound ranges share bytes; the peak counts", test_rewind},
             {"too large, twice, too late", test_errors},
             {"the plan as a table", test_print},
             {"several arrays in one block", test_bundle})
