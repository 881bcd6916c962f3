/** \file test_logits.c
 *  Logit datasets: written by many, read at random, never believed.
 *  ranks: 1 2 4 */
#include "io/logits.h"

#include "base/log.h"
#include "io/h5.h"
#include "io/logits_manifest.h"
#include "io/seal.h"
#include "logits_rows.h"
#include "rt_test.h"
#include "scratch.h"
#include <inttypes.h>
#include <math.h>
#include <pthread.h>

static char folder[RT_PATH_MAX];
static int my_rank, n_ranks;

static void begin(void)
{
  MPI_Comm_rank(MPI_COMM_WORLD, &my_rank);
  MPI_Comm_size(MPI_COMM_WORLD, &n_ranks);
  rt_log_setup(RT_LOG_INFO, false);
  scratch_create(folder);
}

static rt_logits_info info_of(int64_t seq, int64_t vocab, int64_t n_rows,
                              int64_t shard_rows)
{
  return (rt_logits_info){.seq = seq,
                          .vocab = vocab,
                          .n_rows = n_rows,
                          .shard_rows = shard_rows,
                          .encoding = "exact",
                          .top_p = 0.95,
                          .top_k = 50,
                          .temperature = 1.0,
                          .teacher_hash = "00ff",
                          .teacher = "a \"teacher\"",
                          .license = "CC0",
                          .created = "2026-01-31T12:00:00Z",
                          .eot = -1,
                          .valid_fraction = 0.01,
                          .split_seed = 1,
                          .mask_documents = true};
}

static bool same_rows(const rt_logits_info *info, const rt_logits_row *a,
                      const rt_logits_row *b)
{
  const size_t T = (size_t)info->seq, n = (size_t)a->n_entries;
  return a->n_entries == b->n_entries &&
         memcmp(a->tok, b->tok, (T + 1) * 4) == 0 &&
         memcmp(a->count, b->count, T * 4) == 0 &&
         memcmp(a->lse, b->lse, T * 4) == 0 &&
         memcmp(a->label_logp, b->label_logp, T * 4) == 0 &&
         memcmp(a->ids, b->ids, n * 4) == 0 &&
         memcmp(a->logp, b->logp, n * 4) == 0;
}

/** A whole dataset by this rank alone. */
static void write_alone(const char *to, const rt_logits_info *info)
{
  RT_OKAY(rt_logits_create(to, info, "deck: 1\n"));
  for (int64_t i = 0; i < rt_logits_n_shards(info); i++)
    RT_OKAY(write_shard(to, info, i));
  RT_OKAY(rt_logits_finish(to));
}

/** A whole dataset, each shard by one of the ranks. */
static void write_together(const char *to, const rt_logits_info *info)
{
  if (my_rank == 0)
    RT_OKAY(rt_logits_create(to, info, "deck: 1\n"));
  MPI_Barrier(MPI_COMM_WORLD);
  for (int64_t i = my_rank; i < rt_logits_n_shards(info); i += n_ranks)
    RT_OKAY(write_shard(to, info, i));
  MPI_Barrier(MPI_COMM_WORLD);
  if (my_rank == 0)
    RT_OKAY(rt_logits_finish(to));
  MPI_Barrier(MPI_COMM_WORLD);
}

typedef rt_err read_fn(const rt_logits *ds, int64_t row, rt_logits_row *out);

/** Rows that are not as expected; -1 when one cannot be read. */
static int64_t n_wrong(const rt_logits *ds, read_fn *read,
                       const rt_logits_row *expected)
{
  const rt_logits_info *const info = rt_logits_about(ds);
  rt_logits_row got = {0};
  int64_t wrong = 0;
  for (int64_t k = 0; k < info->n_rows && wrong >= 0; k++) {
    const int64_t i = k * 7919 % info->n_rows; // in no order
    if (read(ds, i, &got) != RT_OK)
      wrong = -1;
    else
      wrong += !same_rows(info, &got, &expected[i]);
  }
  rt_logits_row_clear(&got);
  return wrong;
}

static void check_dataset(MPI_Comm comm, const char *from,
                          const rt_logits_info *info)
{
  rt_logits *ds;
  char diff[512];
  RT_OKAY(rt_logits_open(comm, from, RT_LOGITS_FINISHED, &ds));
  rt_logits_info_diff(rt_logits_about(ds), info, diff, sizeof diff);
  CU_ASSERT_STRING_EQUAL(diff, "");
  rt_logits_row *const rows = make_rows(info);
  CU_ASSERT_EQUAL(n_wrong(ds, rt_logits_read, rows), 0);
  CU_ASSERT_EQUAL(n_wrong(ds, rt_logits_read_h5, rows), 0);
  int64_t entries = 0;
  for (int64_t i = 0; i < info->n_rows; i++)
    entries += rows[i].n_entries;
  free_rows(rows, info->n_rows);
  CU_ASSERT_EQUAL(rt_logits_count(ds).entries, entries);
  CU_ASSERT_TRUE(rt_logits_count(ds).bytes > entries * 8);
  rt_logits_row none = {0};
  RT_FAILS(rt_logits_read(ds, -1, &none), RT_ERR_DATA, "row -1");
  RT_FAILS(rt_logits_read(ds, info->n_rows, &none), RT_ERR_DATA, "it has");
  rt_logits_close(&ds);
  CU_ASSERT_PTR_NULL(ds);
}

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
  rt_h5 *h5;
  rt_extent *extents;
  int64_t n;
  RT_OKAY(rt_h5_open(path, &h5));
  RT_OKAY(rt_h5_extents(h5, "records", &extents, &n));
  CU_ASSERT_TRUE(n > 2 * 3); // so that a record has whole chunks inside
  free(extents);
  RT_OKAY(rt_h5_close(&h5));
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
    CU_ASSERT_EQUAL(n_wrong(ds, rt_logits_read, rows), 0);
  free_rows(rows, info.n_rows);
  rt_logits_close(&ds);
  scratch_remove(folder);
}

/** No entry at all, in the whole dataset. */
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
    good = good && n_wrong(ds, rt_logits_read, rows) == 0;
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

/** Of small, only shard 1 is there. */
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

/** Killed at any moment, a capture goes on with what is sealed. */
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
    // what a killed writer leaves
    RT_OKAY(rt_path_join(path, folder, "shard-000000.h5.tmp"));
    scratch_fill(path, 100);
    RT_OKAY(rt_path_join(path, folder, "manifest.json.tmp.123"));
    scratch_fill(path, 100);
    RT_OKAY(rt_path_join(path, folder, "shard-000002.h5"));
    scratch_flip(path, 600, 1);
    RT_FAILS(rt_logits_open(MPI_COMM_SELF, folder, RT_LOGITS_FINISHED, &ds),
             RT_ERR_DATA, "unfinished capture");
    strcpy(info.created, "another day"); // of the second start
    RT_OKAY(rt_logits_create(folder, &info, "deck: 2\n"));
    RT_OKAY(rt_logits_done(folder, &info, done));
    CU_ASSERT_FALSE(done[0]);
    CU_ASSERT_TRUE(done[1]);
    CU_ASSERT_FALSE(done[2]);
    CU_ASSERT_TRUE(rt_file_exists(path)); // until it is written again
    CU_ASSERT_EQUAL(unlink(path), 0);
    RT_OKAY(rt_path_join(path, folder, "shard-000000.h5.tmp"));
    CU_ASSERT_FALSE(rt_file_exists(path));
    RT_OKAY(rt_path_join(path, folder, "manifest.json.tmp.123"));
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
    // a deck that no JSON can hold is found now, not by the reader
    RT_OKAY(rt_path_join(path, folder, "new"));
    RT_FAILS(rt_logits_create(path, &small, "\xff"), RT_ERR_DATA,
             "decode byte 0xff");
  }
  scratch_remove(folder);
}

/** Rows that break a rule are not written: neither those that tables are learnt
 *  from, nor later ones. */
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

/** Replace the first \a from in a sealed JSON text, and seal it again. */
static void edit(const char *path, const char *from, const char *to)
{
  char *text, *whole = NULL;
  size_t n, n_whole;
  RT_OKAY(rt_seal_text_get(path, 1 << 20, &text, &n, NULL));
  const char *const at = strstr(text, from);
  CU_ASSERT_PTR_NOT_NULL_FATAL(at);
  FILE *const f = open_memstream(&whole, &n_whole);
  fprintf(f, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
  fclose(f);
  *(strrchr(whole, ',') + 1) = '\0'; // cut the old seal off
  RT_OKAY(rt_seal_text_put(path, whole, strlen(whole)));
  free(whole);
  free(text);
}

static void test_lying_manifest(void)
{
  static const struct {
    const char *from, *to, *part;
  } lies[] = {
      {"\"retort-logits\"", "\"other\"", "is no retort-logits"},
      {"\"version\": 2", "\"version\": 3", "of version 2"},
      {"\"seq\": 5", "\"seq\": 6", "seq is 5, not 6"},
      {"\"exact\"", "\"sometimes\"", "sometimes"},
      {"\"exact\"", "\"packed\"", "encoding is \"exact\", not \"packed\""},
      {"\"seq\": 5", "\"seq\": -5", "senseless"},
      {"\"seq\": 5", "\"seq\": 5.0", "seq is absent, of another type"},
      {"\"vocab\": 70000", "\"vocab\": 5000000000", "senseless"},
      {"\"vocab\": 70000", "\"vocab\": 60000", "vocab is 70000, not 60000"},
      {"\"n_rows\": 23", "\"n_rows\": 24", "shard 2 of the list"},
      {"\"n_rows\": 23", "\"n_rows\": 1000000000000",
       "expected at most 1048576"},
      {"\"shard_rows\": 8", "\"shard_rows\": 0", "senseless"},
      {"\"shard_rows\": 8", "\"shard_rows\": 9", "shard 0 of the list"},
      {"\"shard_rows\": 8", "\"shard_rows\": 9223372036854775807",
       "3 shards are listed, expected 1"},
      {"\"license\": \"CC0\"", "\"license\": 7", "license is absent"},
      {"\"license\": \"CC0\"",
       "\"license\": \"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
       "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
       "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
       "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
       "\"",
       "license is absent"},
      {"\"deck\": \"deck: 1\\u000a\"", "\"deck\": null", "deck or complete"},
      {"\"complete\": true", "\"complete\": false",
       "expected nothing before all is captured"},
      {"\"readme_sha256\": \"", "\"readme_sha256\": \"0",
       "expected 64 hex digits"},
      {"\"readme_sha256\"", "\"readme\"", "readme_sha256 is \"absent\""},
      {"\"shard-000001.h5\"", "\"../shard-000001.h5\"", "shard 1 of the list"},
      {"\"row0\": 8", "\"row0\": 0", "shard 1 of the list"},
      {"\"bytes\": ", "\"bytes\": 1", "it is of another dataset"},
      {"\"seal\": \"", "\"seal\": \"G", "shard 0 of the list"},
      {"\"sha256\": \"", "\"sha256\": \"0", "shard 0 of the list"},
  };
  begin();
  char path[RT_PATH_MAX], *good;
  size_t n;
  write_together(folder, &small);
  RT_OKAY(rt_logits_manifest_path(path, folder));
  RT_OKAY(rt_file_slurp(path, 1 << 20, &good, &n));
  MPI_Barrier(MPI_COMM_WORLD);
  for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
    if (my_rank == 0)
      edit(path, lies[i].from, lies[i].to);
    MPI_Barrier(MPI_COMM_WORLD);
    rt_logits *ds;
    RT_FAILS(rt_logits_open(MPI_COMM_WORLD, folder, RT_LOGITS_FINISHED, &ds),
             RT_ERR_DATA, lies[i].part);
    CU_ASSERT_PTR_NULL(ds);
    MPI_Barrier(MPI_COMM_WORLD);
    if (my_rank == 0)
      RT_OKAY(rt_file_put(path, good, n));
    MPI_Barrier(MPI_COMM_WORLD);
  }
  check_dataset(MPI_COMM_WORLD, folder, &small);
  free(good);
  scratch_remove(folder);
}

static void test_missing(void)
{
  begin();
  char a[RT_PATH_MAX], b[RT_PATH_MAX], from[RT_PATH_MAX], to[RT_PATH_MAX];
  rt_logits *ds;
  RT_FAILS(rt_logits_open(MPI_COMM_WORLD, folder, RT_LOGITS_FINISHED, &ds),
           RT_ERR_NOINPUT, "is no logit dataset");
  RT_OKAY(rt_path_join(a, folder, "a"));
  RT_OKAY(rt_path_join(b, folder, "b"));
  rt_logits_info other = small;
  strcpy(other.license, "MIT"); // so that all sizes are the same
  write_together(a, &small);
  write_together(b, &other);
  RT_OKAY(rt_logits_shard_path(to, a, 2));
  for (int k = 0; k < 2; k++) { // the seal speaks before HDF5 sees the file
    MPI_Barrier(MPI_COMM_WORLD);
    if (my_rank == 0)
      scratch_flip(to, 40, 4);
    MPI_Barrier(MPI_COMM_WORLD);
    if (k == 0)
      RT_FAILS(rt_logits_open(MPI_COMM_WORLD, a, RT_LOGITS_FINISHED, &ds),
               RT_ERR_DATA, "shard-000002.h5: block 0 (bytes 0..");
  }
  RT_OKAY(rt_logits_shard_path(from, b, 1));
  RT_OKAY(rt_logits_shard_path(to, a, 1));
  MPI_Barrier(MPI_COMM_WORLD);
  if (my_rank == 0) // a whole, sealed shard, but of another dataset
    for (int k = 0; k < 2; k++) {
      RT_OKAY(rt_file_copy(from, to));
      strcat(from, ".seal");
      strcat(to, ".seal");
    }
  MPI_Barrier(MPI_COMM_WORLD);
  RT_FAILS(rt_logits_open(MPI_COMM_WORLD, a, RT_LOGITS_FINISHED, &ds),
           RT_ERR_DATA, "it is of another dataset");
  RT_OKAY(rt_logits_shard_path(to, a, 1));
  MPI_Barrier(MPI_COMM_WORLD);
  if (my_rank == 0)
    CU_ASSERT_EQUAL(unlink(to), 0);
  MPI_Barrier(MPI_COMM_WORLD);
  RT_FAILS(rt_logits_open(MPI_COMM_WORLD, a, RT_LOGITS_FINISHED, &ds),
           RT_ERR_DATA, "shard-000001.h5 is missing");
  scratch_remove(folder);
}

/** A whole, sealed shard of another capture lies in an unfinished one. */
static void test_not_adopted(void)
{
  begin();
  if (my_rank == 0) {
    char a[RT_PATH_MAX], b[RT_PATH_MAX], from[RT_PATH_MAX], to[RT_PATH_MAX];
    rt_logits_info other = small;
    bool done[3];
    strcpy(other.license, "MIT");
    RT_OKAY(rt_path_join(a, folder, "a"));
    RT_OKAY(rt_path_join(b, folder, "b"));
    RT_OKAY(rt_logits_create(a, &small, ""));
    RT_OKAY(rt_logits_create(b, &other, ""));
    RT_OKAY(write_shard(b, &other, 1));
    RT_OKAY(rt_logits_shard_path(from, b, 1));
    RT_OKAY(rt_logits_shard_path(to, a, 1));
    for (int k = 0; k < 2; k++) {
      RT_OKAY(rt_file_copy(from, to));
      strcat(from, ".seal");
      strcat(to, ".seal");
    }
    RT_FAILS(rt_logits_done(a, &small, done), RT_ERR_DATA,
             "is a shard of another dataset: license is \"MIT\", not");
  }
  scratch_remove(folder);
}

/** What a lying shard says; sealed and listed as if all were well. */
typedef struct lie {
  uint64_t ptr[3];
  int64_t n_records, row0, n_tables, n_tokens, n_entries;
  rt_dtype hash;
  const char *part;
} lie;

/** Shard 0 of a dataset with rows of T = 3. */
static void write_lie(const char *path, const rt_logits_info *info,
                      const lie *x)
{
  const struct {
    const char *name;
    rt_h5_shape shape;
  } sets[] = {{"record_ptr", {RT_U64, 1, 3, 1, 0}},
              {"row_xxh3", {x->hash, 1, 2, 1, 0}},
              {"records", {RT_U8, 1, x->n_records, 1, 4}},
              {"tables", {RT_U8, 1, x->n_tables, 1, 0}}};
  uint64_t zeros[64] = {0};
  rt_h5 *h5;
  RT_OKAY(rt_h5_create(path, MPI_COMM_NULL, &h5));
  RT_OKAY(rt_h5_put_text(h5, "format", RT_LOGITS_FORMAT));
  RT_OKAY(rt_h5_put_int(h5, "version", 2));
  RT_OKAY(rt_h5_put_int(h5, "row0", x->row0));
  RT_OKAY(rt_h5_put_int(h5, "n_tokens", x->n_tokens));
  RT_OKAY(rt_h5_put_int(h5, "n_entries", x->n_entries));
  RT_OKAY(rt_logits_info_put(h5, info));
  for (size_t i = 0; i < sizeof sets / sizeof sets[0]; i++) {
    const rt_h5_shape *const s = &sets[i].shape;
    RT_OKAY(rt_h5_declare(h5, sets[i].name, s));
    void *const data = i == 0 ? (void *)(uintptr_t)x->ptr : zeros;
    RT_OKAY(rt_h5_write(h5, sets[i].name, 0, 0,
                        rt_view_of(data, s->dtype, s->rows, s->cols)));
  }
  RT_OKAY(rt_h5_close(&h5));
  RT_OKAY(rt_seal_write(MPI_COMM_SELF, path, NULL, 0, true));
}

static void test_lying_shard(void)
{
  static const lie lies[] = {
      {{0, 3, 6}, 6, 0, 0, 6, 6, RT_U64, NULL}, // nothing wrong at open
      {{0, 3, 7}, 6, 0, 0, 6, 6, RT_U64, "records: is 1-d 6 x 1 u8"},
      {{0, 7, 6}, 6, 0, 0, 6, 6, RT_U64, "record_ptr does not rise"},
      {{1, 3, 6}, 6, 0, 0, 6, 6, RT_U64, "record_ptr does not rise"},
      {{0, 3, UINT64_MAX}, 6, 0, 0, 6, 6, RT_U64, "record_ptr does not rise"},
      {{0, 3, 6}, 6, 2, 0, 6, 6, RT_U64, "rows begin at 2"},
      {{0, 3, 6}, 6, 0, 0, 6, 6, RT_F32, "row_xxh3: is 1-d 2 x 1 f32"},
      {{0, 3, 6}, 6, 0, 0, 7, 6, RT_U64, "7 tokens and 6 entries"},
      {{0, 3, 6}, 6, 0, 0, -1, 6, RT_U64, "-1 tokens"},
      {{0, 3, 6}, 6, 0, 0, 6, 61, RT_U64, "6 tokens and 61 entries"},
      {{0, 3, 6}, 6, 0, 0, 6, INT64_MAX, RT_U64, "6 tokens and 9223"},
      {{0, 3, 6}, 6, 0, 0, 6, -1, RT_U64, "6 tokens and -1 entries"},
  };
  begin();
  if (my_rank == 0) {
    const rt_logits_info info = info_of(3, 10, 2, 2);
    char path[RT_PATH_MAX];
    RT_OKAY(rt_logits_shard_path(path, folder, 0));
    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
      write_lie(path, &info, &lies[i]);
      rt_logits_shard s;
      RT_OKAY(rt_file_size(path, &s.bytes));
      RT_OKAY(rt_seal_hash(path, &s.seal, s.sha256));
      rt_logits_manifest m = {info, true, "", &s, 1, ""};
      memset(m.readme_sha256, '0', RT_SHA256_HEX - 1);
      RT_OKAY(rt_logits_manifest_write(folder, &m));
      rt_logits *ds;
      if (lies[i].part != NULL) {
        RT_FAILS(rt_logits_open(MPI_COMM_SELF, folder, RT_LOGITS_FINISHED, &ds),
                 RT_ERR_DATA, lies[i].part);
        continue;
      }
      rt_logits_row row = {0};
      RT_OKAY(rt_logits_open(MPI_COMM_SELF, folder, RT_LOGITS_FINISHED, &ds));
      RT_FAILS(rt_logits_read(ds, 0, &row), RT_ERR_DATA, "expected 0000");
      CU_ASSERT_PTR_NULL(row.tok);
      rt_logits_close(&ds);
    }
  }
  scratch_remove(folder);
}

/** Open and read everything: true unless something is refused; what is read
 *  must then be as written. */
static bool survives(const char *from, const rt_logits_row *expected)
{
  rt_logits *ds;
  if (rt_logits_open(MPI_COMM_SELF, from, RT_LOGITS_FINISHED, &ds) != RT_OK)
    return false;
  const int64_t wrong = n_wrong(ds, rt_logits_read, expected);
  rt_logits_close(&ds);
  CU_ASSERT_TRUE(wrong <= 0);
  return wrong == 0;
}

/** All rows as they are read. */
static rt_logits_row *read_rows(const char *from, const rt_logits_info *info)
{
  rt_logits_row *const rows = calloc((size_t)info->n_rows, sizeof *rows);
  rt_logits *ds;
  RT_OKAY(rt_logits_open(MPI_COMM_SELF, from, RT_LOGITS_FINISHED, &ds));
  for (int64_t i = 0; i < info->n_rows; i++)
    RT_OKAY(rt_logits_read(ds, i, &rows[i]));
  rt_logits_close(&ds);
  return rows;
}

/** Random flips in every file, and truncations: each rank its share, on its own
 *  dataset, with so much in one shard that some blocks are only behind row
 *  hashes.  Every flip must be noticed, but in the padding of the last chunk.
 */
static void damage(const rt_logits_info *info)
{
  begin();
  char own[RT_PATH_MAX], path[3][RT_PATH_MAX];
  snprintf(own, sizeof own, "%.3000s/%d", folder, my_rank);
  write_alone(own, info);
  rt_logits_row *const rows = read_rows(own, info);
  RT_OKAY(rt_logits_shard_path(path[0], own, 0));
  RT_OKAY(rt_seal_path(path[1], path[0]));
  RT_OKAY(rt_logits_manifest_path(path[2], own));
  static const int trials[3] = {2000, 300, 300};
  int harmless = 0;
  for (int k = 0; k < 3; k++) {
    int64_t bytes;
    RT_OKAY(rt_file_size(path[k], &bytes));
    CU_ASSERT_TRUE(k > 0 || bytes > 3 << 19);
    for (int i = my_rank; i < trials[k]; i += n_ranks) {
      const int64_t at = scratch_random(i, bytes);
      scratch_flip(path[k], at, 1 << i % 8);
      const bool taken = survives(own, rows);
      harmless += taken;
      CU_ASSERT_TRUE(k == 0 || !taken);
      scratch_flip(path[k], at, 1 << i % 8);
    }
    CU_ASSERT_TRUE(survives(own, rows));
  }
  // the end of the last chunk may be padding; nothing else is
  CU_ASSERT_TRUE(harmless <= trials[0] / 100);
  for (int k = 0; k < 3; k++) {
    int64_t bytes;
    char *whole;
    size_t n;
    RT_OKAY(rt_file_slurp(path[k], 1 << 30, &whole, &n));
    RT_OKAY(rt_file_size(path[k], &bytes));
    for (int64_t i = 99 - my_rank; i >= 0; i -= n_ranks) {
      CU_ASSERT_EQUAL(truncate(path[k], bytes * i / 100), 0);
      CU_ASSERT_FALSE(survives(own, rows));
    }
    RT_OKAY(rt_file_put(path[k], whole, n));
    free(whole);
  }
  CU_ASSERT_TRUE(survives(own, rows));
  free_rows(rows, info->n_rows);
  scratch_remove(folder);
}

static void test_damage(void)
{
  rt_logits_info info = info_of(64, 5000, 32, 32);
  info.top_k = 400;
  damage(&info);
}

static void test_damage_packed(void)
{
  rt_logits_info info = info_of(256, 70000, 32, 32);
  info.top_k = 400;
  strcpy(info.encoding, "packed");
  damage(&info);
}

static void test_damage_sampled(void)
{
  rt_logits_info info = info_of(700, 70000, 32, 32);
  info.draws = 50;
  info.top_k = 50;
  info.top_p = 1.0;
  strcpy(info.encoding, "sampled");
  damage(&info);
}

RT_TEST_MAIN("logits", {"written together, read by anyone", test_round_trip},
             {"rows longer than chunks", test_long_rows},
             {"more shards than are kept open", test_many_shards},
             {"no entries", test_no_entries},
             {"the same rows are the same files", test_same_bytes},
             {"threads", test_threads},
             {"an interrupted capture goes on", test_resume},
             {"folders that hold something else", test_other_captures},
             {"bad rows are not written", test_bad_rows},
             {"manifests that lie", test_lying_manifest},
             {"missing and foreign shards", test_missing},
             {"foreign shards are not adopted", test_not_adopted},
             {"shards that lie", test_lying_shard},
             {"flips and truncations", test_damage},
             {"the same, packed", test_damage_packed},
             {"the same, sampled", test_damage_sampled})
