/** \file test_logits.c
 *  Logit datasets: written by several ranks, read at random.
 *  ranks: 1 2 4 */
#include "io/common/h5.h"
#include "io/logits/logits_manifest.h"
#include "support/h5_file.h"
#include "support/logits_scene.h"
#include <math.h>
#include <pthread.h>

static void test_round_trip(void)
{
  begin();
  write_together(folder, &small);
  check_dataset(MPI_COMM_WORLD, folder, &small);
  check_dataset(MPI_COMM_SELF, folder, &small);
  scratch_remove(folder);
}

/** Rows of several chunks, and every entry of the vocabulary. */
static void test_long_rows(void)
{
  begin();
  rt_logits_info info = info_of(3000, 500, 3, 3);
  info.top_k = 1000000; // all of them
  write_together(folder, &info);
  check_dataset(MPI_COMM_WORLD, folder, &info);
  char path[RT_PATH_MAX];
  RT_OKAY(rt_logits_shard_path(path, folder, 0));
  rt_h5_reader *h5;
  rt_extent *extents;
  int64_t n;
  RT_OKAY(h5_open(path, &h5));
  RT_OKAY(rt_h5_reader_extents(h5, "records", &extents, &n));
  CU_ASSERT_TRUE(n > 2 * 3); // so that a record has whole chunks inside
  free(extents);
  rt_h5_reader_close(&h5);
  scratch_remove(folder);
}

/** More shards than are kept open; none has more than a row. */
static void test_many_shards(void)
{
  begin();
  const rt_logits_info info = info_of(2, 10, 300, 1);
  write_together(folder, &info);
  rt_logits *ds;
  RT_OKAY(rt_logits_open(MPI_COMM_WORLD, folder, RT_LOGITS_FINISHED, &ds));
  rt_logits_row *const rows = make_rows(&info);
  for (int k = 0; k < 2; k++)
    CU_ASSERT_EQUAL(n_wrong(ds, rows), 0);
  free_rows(rows, info.n_rows);
  rt_logits_close(&ds);
  scratch_remove(folder);
}

/** A dataset without any entry. */
static void test_no_entries(void)
{
  begin();
  rt_logits_info info = info_of(3, 10, 4, 2);
  info.top_k = 1;
  info.seq = 1; // make_row: rows 3, 10, ... have none; here few have any
  write_together(folder, &info);
  check_dataset(MPI_COMM_WORLD, folder, &info);
  scratch_remove(folder);
}

/** The same rows give the same files, whoever wrote them. */
static void test_same_bytes(void)
{
  begin();
  char a[RT_PATH_MAX], b[RT_PATH_MAX], path[RT_PATH_MAX];
  RT_OKAY(rt_path_join(a, folder, "a"));
  RT_OKAY(rt_path_join(b, folder, "b"));
  write_together(a, &small);
  if (my_rank == 0)
    write_alone(b, &small);
  MPI_Barrier(MPI_COMM_WORLD);
  for (int64_t i = 0; i < rt_logits_n_shards(&small); i++) {
    uint64_t x, y;
    char sha_x[RT_SHA256_HEX], sha_y[RT_SHA256_HEX];
    RT_OKAY(rt_logits_shard_path(path, a, i));
    RT_OKAY(rt_seal_hash(path, &x, sha_x));
    RT_OKAY(rt_logits_shard_path(path, b, i));
    RT_OKAY(rt_seal_hash(path, &y, sha_y));
    CU_ASSERT_EQUAL(x, y);
    CU_ASSERT_STRING_EQUAL(sha_x, sha_y);
    CU_ASSERT_EQUAL(strlen(sha_x), 64);
  }
  scratch_remove(folder);
}

static void *read_all(void *ds)
{
  rt_logits_row *const rows = make_rows(&small);
  bool good = true;
  for (int k = 0; k < 20; k++)
    good = good && n_wrong(ds, rows) == 0;
  free_rows(rows, small.n_rows);
  return good ? NULL : ds;
}

static void test_threads(void)
{
  enum { N = 4 };
  begin();
  write_together(folder, &small);
  rt_logits *ds;
  RT_OKAY(rt_logits_open(MPI_COMM_WORLD, folder, RT_LOGITS_FINISHED, &ds));
  pthread_t thread[N];
  for (int i = 0; i < N; i++)
    pthread_create(&thread[i], NULL, read_all, ds);
  for (int i = 0; i < N; i++) {
    void *failed = ds;
    pthread_join(thread[i], &failed);
    CU_ASSERT_PTR_NULL(failed);
  }
  rt_logits_close(&ds);
  scratch_remove(folder);
}

/** Of dataset small, only shard 1 exists. */
static void check_partial(void)
{
  rt_logits *ds;
  rt_logits_row row = {0};
  RT_OKAY(rt_logits_open(MPI_COMM_SELF, folder, RT_LOGITS_ANY, &ds));
  CU_ASSERT_FALSE(rt_logits_is_finished(ds));
  CU_ASSERT_EQUAL(rt_logits_count(ds).rows, 8);
  for (int64_t r = -1; r <= small.n_rows; r++) {
    const bool there = r >= 8 && r < 16;
    CU_ASSERT_EQUAL(rt_logits_has(ds, r), there);
    CU_ASSERT_EQUAL(rt_logits_read(ds, r, &row) == RT_OK, there);
  }
  RT_FAILS(rt_logits_read(ds, 3, &row), RT_ERR_DATA, "not all of them yet");
  for (int64_t i = 0; i < 3; i++)
    RT_OKAY(rt_logits_verify_shard(ds, i));
  rt_logits_row_clear(&row);
  rt_logits_close(&ds);
}

/** A capture killed at any moment resumes with the shards that are sealed. */
static void test_resume(void)
{
  begin();
  rt_logits_info info = small;
  bool done[3];
  if (my_rank == 0) {
    char path[RT_PATH_MAX];
    rt_logits *ds;
    RT_OKAY(rt_logits_create(folder, &info, "deck: 1\n"));
    RT_OKAY(rt_logits_done(folder, &info, done));
    CU_ASSERT_FALSE(done[0] || done[1] || done[2]);
    RT_OKAY(write_shard(folder, &info, 1));
    RT_OKAY(write_shard(folder, &info, 2));
    // leftovers of a killed writer
    RT_OKAY(rt_path_join(path, folder, "shard-000000.h5.tmp.host.12"));
    scratch_fill(path, 100);
    RT_OKAY(rt_path_join(path, folder, "manifest.json.tmp.host.12"));
    scratch_fill(path, 100);
    RT_OKAY(rt_path_join(path, folder, "shard-000002.h5"));
    scratch_flip(path, 600, 1);
    RT_OKAY(rt_path_join(path, folder, "shard-000001.h5"));
    CU_ASSERT_EQUAL(truncate(path, 700), 0);
    RT_OKAY(rt_path_join(path, folder, "shard-000002.h5"));
    RT_FAILS(rt_logits_open(MPI_COMM_SELF, folder, RT_LOGITS_FINISHED, &ds),
             RT_ERR_DATA, "unfinished capture");
    strcpy(info.created, "another day"); // of the second start
    RT_OKAY(rt_logits_create(folder, &info, "deck: 2\n"));
    RT_OKAY(rt_logits_done(folder, &info, done));
    CU_ASSERT_FALSE(done[0]);
    CU_ASSERT_FALSE(done[1] || done[2]);
    CU_ASSERT_FALSE(rt_file_exists(path)); // nobody can list it
    RT_OKAY(write_shard(folder, &info, 1));
    RT_OKAY(rt_path_join(path, folder, "shard-000000.h5.tmp.host.12"));
    CU_ASSERT_FALSE(rt_file_exists(path));
    RT_OKAY(rt_path_join(path, folder, "manifest.json.tmp.host.12"));
    CU_ASSERT_FALSE(rt_file_exists(path));
    RT_OKAY(rt_logits_enter(folder));
    check_partial();
    RT_FAILS(rt_logits_finish(folder), RT_ERR_DATA,
             "shard 0 of 3 is not written");
    RT_OKAY(write_shard(folder, &info, 0));
    RT_OKAY(write_shard(folder, &info, 2));
    RT_OKAY(rt_logits_finish(folder));
    RT_OKAY(rt_path_join(path, folder, "README.md"));
    CU_ASSERT_TRUE(rt_file_exists(path));
  }
  MPI_Barrier(MPI_COMM_WORLD);
  check_dataset(MPI_COMM_WORLD, folder, &small);
  scratch_remove(folder);
}

/** What a resumed capture removes: only drafts of its own files. */
static void test_users_files(void)
{
  static const char *const names[] = {"shard-000000.h5.tmp.csv",
                                      "shard-notes.tmp.host.12",
                                      "manifest.tmp.bak", "results.tmp.csv"};
  begin();
  bool done[3];
  if (my_rank == 0)
    RT_OKAY(rt_logits_create(folder, &small, "deck: 1\n"));
  for (size_t i = 0; my_rank == 0 && i < sizeof names / sizeof names[0]; i++) {
    char path[RT_PATH_MAX], draft[RT_PATH_MAX];
    RT_OKAY(rt_path_join(path, folder, names[i]));
    scratch_fill(path, 10);
    RT_OKAY(
        rt_path_join(draft, folder, "shard-000000.h5.tmp.h.12.seal.tmp.h.12"));
    scratch_fill(draft, 10);
    RT_OKAY(rt_logits_done(folder, &small, done));
    CU_ASSERT_TRUE(rt_file_exists(path));
    CU_ASSERT_FALSE(rt_file_exists(draft));
  }
  scratch_remove(folder);
}

static void test_other_captures(void)
{
  begin();
  if (my_rank == 0) {
    rt_logits_info other = small;
    RT_OKAY(rt_logits_create(folder, &small, ""));
    bool done[3], finished = true;
    RT_OKAY(rt_logits_look(folder, &small, done, &finished));
    CU_ASSERT_FALSE(finished || done[0] || done[1] || done[2]);
    other.top_k = 40;
    other.mask_documents = true;
    strcpy(other.license, "MIT");
    RT_FAILS(rt_logits_create(folder, &other, ""), RT_ERR_LOCKED,
             "an unfinished capture of something else: top_k is 9, not 40; "
             "license is \"CC0\", not \"MIT\"; mask_documents is false, not "
             "true;");
    for (int64_t i = 0; i < 3; i++)
      RT_OKAY(write_shard(folder, &small, i));
    RT_OKAY(rt_logits_finish(folder));
    RT_OKAY(rt_logits_look(folder, &small, done, &finished));
    CU_ASSERT_TRUE(finished && done[0] && done[1] && done[2]);
    RT_FAILS(rt_logits_look(folder, &other, done, &finished), RT_ERR_LOCKED,
             "a finished capture of something else: top_k is 9, not 40;");
    RT_FAILS(rt_logits_create(folder, &small, ""), RT_ERR_LOCKED,
             "holds a finished capture; choose another folder");
    RT_FAILS(write_shard(folder, &small, 0), RT_ERR_LOCKED, "finished");
    RT_FAILS(rt_logits_enter(folder), RT_ERR_LOCKED, "finished");
    char path[RT_PATH_MAX];
    RT_OKAY(rt_logits_manifest_path(path, folder));
    CU_ASSERT_EQUAL(unlink(path), 0);
    RT_FAILS(rt_logits_create(folder, &small, ""), RT_ERR_LOCKED,
             "but no manifest.json");
    other.seq = 0;
    RT_FAILS(rt_logits_create(folder, &other, ""), RT_ERR_DATA, "seq 0");
    // a deck that JSON cannot represent is detected now, not by the reader
    RT_OKAY(rt_path_join(path, folder, "new"));
    RT_FAILS(rt_logits_create(path, &small, "\xff"), RT_ERR_DATA,
             "decode byte 0xff");
  }
  scratch_remove(folder);
}

/** Invalid rows are not written: neither among those from which tables are
 *  built, nor later. */
static void test_bad_rows(void)
{
  begin();
  if (my_rank == 0) {
    rt_logits_info info = info_of(70000, 50, 3, 3);
    rt_logits_row row = make_row(&info, 1);
    rt_logits_writer *w;
    CU_ASSERT_TRUE(row.count[0] >= 3); // else choose another row
    RT_OKAY(rt_logits_create(folder, &info, ""));
    RT_OKAY(rt_logits_writer_open(folder, &w));
    RT_FAILS(rt_logits_writer_add(w, &row), RT_ERR_INTERNAL, "row 0 of shard");
    RT_OKAY(rt_logits_writer_begin(w, 0));
    const uint32_t id = row.ids[1];
    for (int k = 0; k < 2; k++) { // one row is enough to learn from
      row.ids[1] = 50;
      RT_FAILS(rt_logits_writer_add(w, &row), RT_ERR_DATA,
               "token 0: entry 1 is id 50, expected less than 50");
      row.ids[1] = id;
      const float was = row.logp[2];
      row.logp[2] = (float)NAN;
      RT_FAILS(rt_logits_writer_add(w, &row), RT_ERR_DATA, "log-prob nan");
      row.logp[2] = was;
      RT_OKAY(rt_logits_writer_add(w, &row));
    }
    RT_FAILS(rt_logits_writer_seal(w), RT_ERR_INTERNAL, "with 2 rows");
    RT_OKAY(rt_logits_writer_add(w, &row));
    RT_FAILS(rt_logits_writer_add(w, &row), RT_ERR_INTERNAL, "row 3 of shard");
    CU_ASSERT(rt_logits_writer_bytes(w) > 3 * 8 * row.n_entries);
    RT_OKAY(rt_logits_writer_seal(w));
    RT_FAILS(rt_logits_writer_begin(w, 1), RT_ERR_INTERNAL, "shard 1 of 1");
    rt_logits_writer_close(&w);
    RT_OKAY(rt_logits_finish(folder));
    rt_logits_row_clear(&row);
  }
  scratch_remove(folder);
}

RT_TEST_MAIN("logits", {"written together, read by anyone", test_round_trip},
             {"rows longer than chunks", test_long_rows},
             {"more shards than are kept open", test_many_shards},
             {"no entries", test_no_entries},
             {"the same rows are the same files", test_same_bytes},
             {"threads", test_threads},
             {"an interrupted capture goes on", test_resume},
             {"files of the user's", test_users_files},
             {"folders that hold something else", test_other_captures},
             {"bad rows are not written", test_bad_rows})
