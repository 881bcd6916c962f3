/** \file test_comm.c
 *  Collectives on host data, agreement, splits, barriers, the account of time.
 *  ranks: 1 2 4 */
#include "par/comm_impl.h"
#include "base/clock.h"
#include "support/comm_scene.h"
#include "support/rt_test.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

static void test_host(void)
{
  comm_scene s;
  comm_scene_start(&s, "cpu", false);
  const int r = s.rank, z = s.size;
  float f[2500];
  double d[3];
  int32_t i[2];
  uint64_t u = ((uint64_t)1 << 60) + (uint64_t)r;
  for (int k = 0; k < 2500; k++)
    f[k] = (float)(k + r);
  for (int k = 0; k < 3; k++)
    d[k] = r == z - 1 ? NAN : 1.0;
  i[0] = -r;
  i[1] = r;
  // 2500 in three calls of MPI
  RT_OKAY(rt_comm_allreduce_host(s.world, f, 2500, RT_F32, RT_SUM));
  RT_OKAY(rt_comm_allreduce_host(s.world, d, 3, RT_F64, RT_SUM));
  RT_OKAY(rt_comm_allreduce_host(s.world, i, 2, RT_I32, RT_MIN));
  RT_OKAY(rt_comm_allreduce_host(s.world, &u, 1, RT_U64, RT_MAX));
  const float ranks = (float)(z * (z - 1) / 2);
  CU_ASSERT(f[0] == ranks && f[999] == (float)(999 * z) + ranks);
  CU_ASSERT(f[1000] == (float)(1000 * z) + ranks);
  CU_ASSERT(f[2499] == (float)(2499 * z) + ranks);
  CU_ASSERT(isnan(d[0]) && isnan(d[2]));
  CU_ASSERT(i[0] == 1 - z && i[1] == 0);
  CU_ASSERT_EQUAL(u, ((uint64_t)1 << 60) + (uint64_t)z - 1);
  comm_scene_finish(&s);
}

static void test_bcast(void)
{
  comm_scene s;
  comm_scene_start(&s, "cpu", false);
  char text[3001];
  for (int root = 0; root < s.size; root++) {
    memset(text, s.rank == root ? 'a' + root : '?', sizeof text);
    RT_OKAY(rt_comm_bcast(s.world, text, 3000, root));
    CU_ASSERT(text[0] == 'a' + root && text[2999] == 'a' + root);
    CU_ASSERT_EQUAL(text[3000], s.rank == root ? 'a' + root : '?');
  }
  RT_OKAY(rt_comm_bcast(s.world, NULL, 0, 0));
  comm_scene_finish(&s);
}

/** Own lengths, some zero, in place or not: every byte tells rank and place. */
static void gather(const comm_scene *s, const size_t *bytes_of, bool in_place)
{
  size_t total = 0, at = 0, n_bad = 0;
  for (int r = 0; r < s->size; r++) {
    at = r == s->rank ? total : at;
    total += bytes_of[r];
  }
  unsigned char *out = malloc(total + 1), *mine = malloc(total + 1);
  CU_ASSERT_FATAL(out != NULL && mine != NULL);
  memset(out, 0xee, total + 1);
  unsigned char *from = in_place ? out + at : mine;
  for (size_t i = 0; i < bytes_of[s->rank]; i++)
    from[i] = (unsigned char)(i * 31 + i / 251 + (size_t)s->rank * 7);
  RT_OKAY(rt_comm_allgatherv(s->world, from, bytes_of, out));
  at = 0;
  for (int r = 0; r < s->size; r++)
    for (size_t i = 0; i < bytes_of[r]; i++)
      n_bad += out[at++] != (unsigned char)(i * 31 + i / 251 + (size_t)r * 7);
  CU_ASSERT_EQUAL(n_bad, 0);
  CU_ASSERT_EQUAL(out[total], 0xee);
  free(out);
  free(mine);
}

static void test_gathers(void)
{
  const size_t lengths[][4] = {
      {1, 1, 1, 1},
      {0, 5, 0, 3},
      {0, 0, 0, 0},
      {70000, 1, 0, 9999},         // a chunk and less
      {3000001, 10, 0, 2999999},   // more than the ring
      {0, 262144, 524288, 262145}, // whole chunks
  };
  for (int shared = 0; shared < 2; shared++) {
    comm_scene s;
    comm_scene_start(&s, "cpu", shared != 0);
    if (!shared) // in pieces, but not in thousands of them
      rt_comm_only_mpi(s.world, 65536);
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
      gather(&s, lengths[i], false);
      gather(&s, lengths[i], true);
    }
    const int mine[2] = {s.rank, -s.rank};
    int all[8];
    RT_OKAY(rt_comm_allgather(s.world, mine, sizeof mine, all));
    for (int r = 0; r < s.size; r++)
      CU_ASSERT(all[2 * r] == r && all[2 * r + 1] == -r);
    RT_OKAY(rt_comm_barrier(s.world));
    comm_scene_finish(&s);
  }
}

/** Of equal lengths, more than one call of MPI takes (1000 bytes here): in
 *  place or not. */
static void test_wide_gather(void)
{
  enum { N = 2501 };
  comm_scene s;
  comm_scene_start(&s, "cpu", false);
  unsigned char all[4][N], mine[N];
  for (int in_place = 0; in_place < 2; in_place++) {
    unsigned char *const from = in_place ? all[s.rank] : mine;
    memset(all, 0xee, sizeof all);
    for (int i = 0; i < N; i++)
      from[i] = (unsigned char)(i * 31 + s.rank * 7);
    RT_OKAY(rt_comm_allgather(s.world, from, N, all));
    int n_bad = 0;
    for (int r = 0; r < 4; r++)
      for (int i = 0; i < N; i++)
        n_bad +=
            all[r][i] != (r < s.size ? (unsigned char)(i * 31 + r * 7) : 0xee);
    CU_ASSERT_EQUAL(n_bad, 0);
  }
  comm_scene_finish(&s);
}

/** No rank leaves a barrier before all have entered. */
static void test_barrier(void)
{
  comm_scene s;
  comm_scene_start(&s, "cpu", true);
  if (s.rank == 0)
    usleep(30000);
  double here = MPI_Wtime(), all[4], last = 0.0;
  RT_OKAY(rt_comm_barrier(s.world));
  const double after = MPI_Wtime();
  RT_OKAY(rt_comm_allgather(s.world, &here, sizeof here, all));
  for (int r = 0; r < s.size; r++)
    last = fmax(last, all[r]);
  CU_ASSERT(after >= last); // one node, one clock
  comm_scene_finish(&s);
}

/** Of a rank that waits. */
typedef struct waiting {
  int n_calls;
  double last_s;
} waiting;

static void note_waiting(void *with)
{
  waiting *w = with;
  w->n_calls++;
  w->last_s = rt_now_s();
}

/** The last rank arrives late; no rank leaves before, and waiting ranks call
 *  back. */
static void test_meet(void)
{
  comm_scene s;
  comm_scene_start(&s, "cpu", true);
  waiting w = {0};
  double came_s = 0.0;
  const bool late = s.rank == s.size - 1;
  if (late)
    usleep(1300 * 1000);
  came_s = late ? rt_now_s() : 0.0;
  RT_OKAY(rt_comm_meet(s.world, note_waiting, &w));
  const double left_s = rt_now_s();
  RT_OKAY(rt_comm_allreduce_host(s.world, &came_s, 1, RT_F64, RT_MAX));
  CU_ASSERT_TRUE(left_s >= came_s); // one clock: suites run on one node
  CU_ASSERT_TRUE(w.n_calls <= 3);
  if (!late) {
    CU_ASSERT_TRUE(w.n_calls >= 2); // at once, and after a second
    CU_ASSERT_TRUE(w.last_s <= left_s);
  }
  comm_scene_finish(&s);
}

static void test_agree(void)
{
  comm_scene s;
  comm_scene_start(&s, "cpu", true);
  const int last = s.size - 1;
  RT_OKAY(rt_agree(s.world, RT_OK));
  // one fails: all get its code, text and rank
  rt_err err = s.rank == last ? RT_FAIL(RT_ERR_NOINPUT, "no file x") : RT_OK;
  err = rt_agree(s.world, err);
  CU_ASSERT_EQUAL(err, RT_ERR_NOINPUT);
  char host[64] = "", want[128];
  gethostname(host, sizeof host - 1);
  snprintf(want, sizeof want, "rank %d on %s: no file x", last, host);
  CU_ASSERT_STRING_EQUAL(rt_err_text(), s.rank == last ? "no file x" : want);
  if (s.rank == last) // with its own trace
    CU_ASSERT_PTR_NOT_NULL(strstr(rt_err_trace(), "test_comm.c"));
  // all fail, each its own way: the lowest is heard
  err = RT_FAIL(s.rank == 0 ? RT_ERR_DATA : RT_ERR_IO, "from rank %d", s.rank);
  CU_ASSERT_EQUAL(rt_agree(s.world, err), RT_ERR_DATA);
  CU_ASSERT_STRING_EQUAL(rt_err_text(), "from rank 0");
  RT_OKAY(rt_agree(s.world, RT_OK));
  comm_scene_finish(&s);
}

static void test_split(void)
{
  comm_scene s;
  comm_scene_start(&s, "cpu", true);
  rt_comm *part;
  // odd and even ranks, in reverse
  RT_OKAY(rt_comm_split(s.world, s.rank % 2, -s.rank, &part));
  CU_ASSERT_PTR_NOT_NULL_FATAL(part);
  const int n = (s.size + 1 - s.rank % 2) / 2;
  CU_ASSERT_EQUAL(rt_comm_size(part), n);
  CU_ASSERT_EQUAL(rt_comm_rank(part), n - 1 - s.rank / 2);
  double sum = s.rank;
  RT_OKAY(
      rt_comm_allreduce(part, s.dev, rt_view_of(&sum, RT_F64, 1, 1), RT_SUM));
  double want = 0.0;
  for (int r = s.rank % 2; r < s.size; r += 2)
    want += r;
  CU_ASSERT_EQUAL(sum, want);
  rt_comm_destroy(&part);
  // some are left out
  RT_OKAY(rt_comm_split(s.world, s.rank == 0 ? 3 : -1, 0, &part));
  CU_ASSERT_EQUAL(part != NULL, s.rank == 0);
  rt_comm_destroy(&part);
  rt_comm_destroy(&part); // NULL is nothing
  int same;
  MPI_Comm_compare(rt_comm_mpi(s.world), MPI_COMM_WORLD, &same);
  CU_ASSERT_EQUAL(same, MPI_CONGRUENT); // a duplicate
  comm_scene_finish(&s);
}

static void test_account(void)
{
  comm_scene s;
  comm_scene_start(&s, "cpu", true);
  double x = 1.0;
  const rt_view v = rt_view_of(&x, RT_F64, 1, 1);
  // the first one sets up the shared memory
  RT_OKAY(rt_comm_allreduce(s.world, s.dev, v, RT_SUM));
  const uint64_t count = rt_ranks_count();
  const double before = rt_ranks_seconds(), since = MPI_Wtime();
  if (s.rank == 0)
    usleep(20000);
  RT_OKAY(rt_comm_allreduce(s.world, s.dev, v, RT_SUM));
  const double spent = rt_ranks_seconds() - before;
  CU_ASSERT(spent >= 0.0 && spent <= MPI_Wtime() - since);
  CU_ASSERT_EQUAL(rt_ranks_count() - count, s.size > 1);
  if (s.rank == 1)
    CU_ASSERT(spent > 0.0); // it waited for rank 0
  comm_scene_finish(&s);
}

RT_TEST_MAIN("comm", {"host data", test_host}, {"broadcast", test_bcast},
             {"gathers", test_gathers},
             {"a gather beyond one call", test_wide_gather},
             {"barrier", test_barrier},
             {"a barrier of ranks that come late", test_meet},
             {"one error for all ranks", test_agree}, {"splits", test_split},
             {"time and count", test_account})
