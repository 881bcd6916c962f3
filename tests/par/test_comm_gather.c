/** \file test_comm_gather.c
 *  Each rank's rows of a device view reach all ranks, in any type.
 *  ranks: 1 2 4 */
#include "par/comm.h"
#include "support/comm_scene.h"
#include "support/rt_test.h"

#include <string.h>

enum { COLS = 5 };

/** Any bytes, NaN among them: a function of where they are. */
static unsigned char byte_at(size_t i)
{
  return (unsigned char)(i * 37 + i / 251);
}

/** \a each rows of every rank. */
static void check(comm_scene *s, rt_dtype type, int64_t each)
{
  rt_arena *arena;
  rt_view all;
  RT_OKAY(rt_arena_create("gather", &arena));
  RT_OKAY(rt_arena_reserve(arena, "all", type, each * s->size, COLS, &all));
  RT_OKAY(rt_arena_commit(arena, rt_dev_memory(s->dev)));
  const size_t bytes = rt_view_bytes(&all), mine = bytes / (size_t)s->size;
  unsigned char *const host = malloc(bytes + 1);
  CU_ASSERT_PTR_NOT_NULL_FATAL(host);
  for (size_t i = 0; i < mine; i++)
    host[i] = byte_at((size_t)s->rank * mine + i);
  RT_OKAY(rt_dev_put(s->dev, rt_view_rows(all, s->rank * each, each), host));
  memset(host, 0, bytes);
  RT_OKAY(rt_comm_gather(s->world, s->dev, all));
  RT_OKAY(rt_dev_get(s->dev, host, all));
  size_t n_wrong = 0;
  for (size_t i = 0; i < bytes; i++)
    n_wrong += host[i] != byte_at(i);
  CU_ASSERT_EQUAL(n_wrong, 0);
  free(host);
  rt_arena_destroy(&arena);
}

static void check_all(const char *device, bool shared)
{
  static const rt_dtype types[] = {RT_I32, RT_F32, RT_F64, RT_BF16};
  comm_scene s;
  comm_scene_start(&s, device, shared);
  for (int t = 0; t < 4; t++)
    for (int64_t each = 1; each < 3000; each *= 13)
      check(&s, types[t], each);
  comm_scene_finish(&s);
}

static void test_node(void)
{
  check_all("cpu", true);
  check_all("check", true);
}

static void test_mpi(void)
{
  check_all("cpu", false);
  check_all("check", false);
}

/** A rank alone has all rows, and waits for nothing. */
static void test_alone(void)
{
  comm_scene s;
  rt_comm *self;
  float x[COLS] = {1.0F, 2.0F};
  comm_scene_start(&s, "check", true);
  RT_OKAY(rt_comm_create(MPI_COMM_SELF, &self));
  const int64_t waits = rt_dev_host_waits(s.dev);
  RT_OKAY(rt_comm_gather(self, s.dev, rt_view_of(x, RT_F32, 1, COLS)));
  CU_ASSERT_EQUAL(rt_dev_host_waits(s.dev), waits);
  CU_ASSERT(x[0] == 1.0F && x[1] == 2.0F);
  rt_comm_destroy(&self);
  comm_scene_finish(&s);
}

RT_TEST_MAIN("comm_gather", {"within a node", test_node}, {"by MPI", test_mpi},
             {"a rank alone", test_alone})
