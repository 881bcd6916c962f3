/** \file test_capture.c
 *  What a capture plans and makes: rows, shards, sizes; datasets begun, gone on
 *  with, finished.
 *  ranks: 1 */
#include "distill/capture/capture.h"
#include "distill/capture/capture_size.h"
#include "support/logits_scene.h"

static void test_rows(void)
{
  int64_t n = 0;
  RT_OKAY(rt_capture_rows(100, 8, 30, &n));
  CU_ASSERT_EQUAL(n, 70); // the rest
  n = 70;
  RT_OKAY(rt_capture_rows(100, 8, 30, &n));
  CU_ASSERT_EQUAL(n, 70);
  n = 1;
  RT_OKAY(rt_capture_rows(100, 8, 99, &n));
  CU_ASSERT_EQUAL(n, 1);
  n = 71;
  RT_FAILS(rt_capture_rows(100, 8, 30, &n), RT_ERR_CONFIG,
           "capture.rows is 71 from row 30 on, the training stream has 100 "
           "rows of 8 tokens");
  n = 0;
  RT_FAILS(rt_capture_rows(100, 8, 100, &n), RT_ERR_CONFIG,
           "capture.first_row is 100, the training stream has 100 rows");
}

/** Rows of a shard: what was asked; else 128, a 64th, at most 256 MiB, never
 *  none.  Never a function of the ranks. */
static void test_shards(void)
{
  rt_logits_info info = info_of(10, 70000, 1000, 7);
  rt_capture_complete(&info);
  CU_ASSERT_EQUAL(info.shard_rows, 7);
  info.shard_rows = 0;
  rt_capture_complete(&info);
  CU_ASSERT_EQUAL(info.shard_rows, 128);
  info = info_of(10, 70000, 64 * 500, 0);
  rt_capture_complete(&info);
  CU_ASSERT_EQUAL(info.shard_rows, 500);
  info = info_of(4096, 70000, 64 * 500, 0); // exact: 16 + 50 * 8 a token
  rt_capture_complete(&info);
  CU_ASSERT_EQUAL(info.shard_rows, (1 << 28) / (4096 * 416));
  info = info_of(1 << 20, 70000, 3, 0);
  info.top_k = 70000;
  rt_capture_complete(&info);
  CU_ASSERT_EQUAL(info.shard_rows, 1);
}

/** Entries of a token: k, at most V; of draws at most N, and top_k says V. */
static void test_entries(void)
{
  rt_logits_info info = info_of(10, 40, 1000, 7);
  CU_ASSERT_EQUAL(rt_capture_max_entries(&info), 40);
  info.top_k = 12;
  CU_ASSERT_EQUAL(rt_capture_max_entries(&info), 12);
  info.draws = 25;
  rt_capture_complete(&info);
  CU_ASSERT_EQUAL(rt_capture_max_entries(&info), 25);
  CU_ASSERT_EQUAL(info.top_k, 40);
}

static void test_check(void)
{
  rt_logits_info info = info_of(10, 40, 1000, 7);
  RT_OKAY(rt_capture_check(&info));
  info.n_rows = INT64_C(1) << 40; // more shards than a dataset may have
  info.shard_rows = 1;
  CU_ASSERT_EQUAL(rt_capture_check(&info), RT_ERR_CONFIG); // not bad data
  CU_ASSERT(strlen(rt_err_text()) > 20);
}

static void check_name(const char *folder_name, const char *want)
{
  char name[64];
  rt_capture_name(folder_name, name, sizeof name);
  CU_ASSERT_STRING_EQUAL(name, want);
}

static void test_name(void)
{
  check_name("a/b/c", "c");
  check_name("/a/b///", "b");
  check_name("c", "c");
  check_name("", "");
}

/** `exact` by definition: the record's own length. */
static void test_size(void)
{
  begin();
  write_alone(folder, &small);
  rt_logits *ds;
  RT_OKAY(rt_logits_open(MPI_COMM_SELF, folder, RT_LOGITS_FINISHED, &ds));
  for (int64_t i = 0; i < small.n_rows; i++) {
    size_t bytes;
    rt_logits_row row = make_row(&small, i);
    RT_OKAY(rt_logits_record_bytes(ds, i, &bytes));
    const double per_token = (double)row.n_entries / (double)small.seq;
    const rt_capture_size size = rt_capture_size_of(&small, per_token);
    CU_ASSERT(fabs(size.likely * (double)small.seq - (double)bytes) < 32.0);
    CU_ASSERT(size.least <= size.likely && size.likely <= size.most);
    rt_logits_row_clear(&row);
  }
  rt_logits_close(&ds);
  scratch_remove(folder);
  rt_logits_info info = info_of(10, 70000, 10, 5);
  info.entropy = info.deviation = true;
  CU_ASSERT_DOUBLE_EQUAL(rt_capture_size_of(&info, 3.0).likely, 24.0 + 24.0,
                         1e-9);
  snprintf(info.encoding, sizeof info.encoding, "packed");
  const rt_capture_size few = rt_capture_size_of(&info, 10.0),
                        many = rt_capture_size_of(&info, 100.0);
  CU_ASSERT(few.likely < many.likely && many.likely < 8.0 * 100.0);
  CU_ASSERT(few.least <= few.likely && many.likely <= many.most);
}

/** The writer's memory grows with its shard, and counts its rows twice at
 *  most: as they come, and as a file. */
static void test_writer(void)
{
  rt_logits_info info = info_of(100, 70000, 4096, 64);
  const double some = rt_capture_writer_bytes(&info);
  const double file = 64.0 * 100.0 * (16.0 + 50.0 * 8.0);
  CU_ASSERT(some > file && some < 2.0 * file + 0x1p20 * 8.0);
  info.shard_rows = 1024;
  CU_ASSERT(rt_capture_writer_bytes(&info) > 8.0 * file);
}

/** A killed capture goes on with the shards that it lacks; another one in its
 *  folder is refused; a finished one is left as it is. */
static void test_begin(void)
{
  bool done[3], finished = true;
  rt_deck *deck;
  rt_logits_writer *w = NULL;
  char to[RT_PATH_MAX];
  begin();
  RT_OKAY(rt_deck_read(NULL, 0, NULL, &deck));
  RT_OKAY(rt_path_join(to, folder, "ds"));
  RT_OKAY(rt_capture_begin(deck, to, &small, done, &finished));
  CU_ASSERT(!finished && !done[0] && !done[1] && !done[2]);
  RT_OKAY(rt_logits_writer_open(to, &w));
  RT_OKAY(rt_logits_writer_begin(w, 1));
  for (int64_t r = 8; r < 16; r++) {
    rt_logits_row row = make_row(&small, r);
    RT_OKAY(rt_logits_writer_add(w, &row));
    rt_logits_row_clear(&row);
  }
  RT_OKAY(rt_capture_seal(to, 1, w));
  rt_logits_writer_close(&w);
  RT_OKAY(rt_capture_begin(deck, to, &small, done, &finished));
  CU_ASSERT(!finished && !done[0] && done[1] && !done[2]);
  rt_logits_info other = small;
  other.top_k = 8;
  RT_FAILS(rt_capture_begin(deck, to, &other, done, &finished), RT_ERR_LOCKED,
           "top_k");
  RT_OKAY(write_shard(to, &small, 0));
  RT_OKAY(write_shard(to, &small, 2));
  RT_OKAY(rt_logits_finish(to));
  RT_OKAY(rt_capture_begin(deck, to, &small, done, &finished));
  CU_ASSERT(finished);
  check_dataset(MPI_COMM_SELF, to, &small);
  other = small; // larger than any disk: nothing is made
  other.n_rows = INT64_C(1) << 36;
  other.shard_rows = INT64_C(1) << 30;
  RT_OKAY(rt_path_join(to, folder, "large"));
  RT_FAILS(rt_capture_begin(deck, to, &other, (bool[64]){false}, &finished),
           RT_ERR_IO, "free some, or capture fewer rows");
  rt_deck_destroy(&deck);
  scratch_remove(folder);
}

RT_TEST_MAIN("capture", {"rows", test_rows}, {"rows of a shard", test_shards},
             {"entries of a token", test_entries}, {"a check", test_check},
             {"names", test_name}, {"sizes", test_size},
             {"a writer's memory", test_writer},
             {"begun and gone on with", test_begin})
