/** \file test_logits_damage.c
 *  Inconsistent, incomplete and damaged logit datasets are detected.
 *  ranks: 1 2 4 */
#include "io/common/h5.h"

#include "io/logits/logits_manifest.h"
#include "io/common/seal.h"
#include "support/h5_file.h"
#include "support/logits_scene.h"
#include <inttypes.h>

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

/** Edits of a manifest, and what is said of each. */
static const struct {
  const char *from, *to, *part;
} manifest_lies[] = {
    {"\"retort-logits\"", "\"other\"", "is not a retort-logits"},
    {"\"version\": 4", "\"version\": 2", "of version 3 to 4"},
    {"\"seq\": 5", "\"seq\": 6", "seq is 5, not 6"},
    {"\"exact\"", "\"sometimes\"", "sometimes"},
    {"\"exact\"", "\"packed\"", "encoding is \"exact\", not \"packed\""},
    {"\"seq\": 5", "\"seq\": -5", "out of range"},
    {"\"seq\": 5", "\"seq\": 5.0", "seq is absent, of another type"},
    {"\"vocab\": 70000", "\"vocab\": 5000000000", "out of range"},
    {"\"vocab\": 70000", "\"vocab\": 60000", "vocab is 70000, not 60000"},
    {"\"n_rows\": 23", "\"n_rows\": 24", "shard 2 of the list"},
    {"\"n_rows\": 23", "\"n_rows\": 1000000000000", "expected at most 1048576"},
    {"\"shard_rows\": 8", "\"shard_rows\": 0", "out of range"},
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
    {"\"bytes\": ", "\"bytes\": 1", "it belongs to another dataset"},
    {"\"seal\": \"", "\"seal\": \"G", "shard 0 of the list"},
    {"\"sha256\": \"", "\"sha256\": \"0", "shard 0 of the list"},
};

static void test_lying_manifest(void)
{
  begin();
  char path[RT_PATH_MAX], *good;
  size_t n;
  write_together(folder, &small);
  RT_OKAY(rt_logits_manifest_path(path, folder));
  RT_OKAY(rt_file_slurp(path, 1 << 20, &good, &n));
  MPI_Barrier(MPI_COMM_WORLD);
  for (size_t i = 0; i < sizeof manifest_lies / sizeof manifest_lies[0]; i++) {
    if (my_rank == 0)
      edit(path, manifest_lies[i].from, manifest_lies[i].to);
    MPI_Barrier(MPI_COMM_WORLD);
    rt_logits *ds;
    RT_FAILS(rt_logits_open(MPI_COMM_WORLD, folder, RT_LOGITS_FINISHED, &ds),
             RT_ERR_DATA, manifest_lies[i].part);
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
           RT_ERR_NOINPUT, "is not a logit dataset");
  RT_OKAY(rt_path_join(a, folder, "a"));
  RT_OKAY(rt_path_join(b, folder, "b"));
  rt_logits_info other = small;
  strcpy(other.license, "MIT"); // so that all sizes are the same
  write_together(a, &small);
  write_together(b, &other);
  RT_OKAY(rt_logits_shard_path(to, a, 2));
  // the seal is checked before HDF5 opens the file
  for (int k = 0; k < 2; k++) {
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
           RT_ERR_DATA, "it belongs to another dataset");
  RT_OKAY(rt_logits_shard_path(to, a, 1));
  MPI_Barrier(MPI_COMM_WORLD);
  if (my_rank == 0)
    CU_ASSERT_EQUAL(unlink(to), 0);
  MPI_Barrier(MPI_COMM_WORLD);
  RT_FAILS(rt_logits_open(MPI_COMM_WORLD, a, RT_LOGITS_FINISHED, &ds),
           RT_ERR_DATA,
           "shard-000001.h5 is listed in the manifest but missing");
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

/** Contents of an inconsistent shard, which is sealed and listed correctly. */
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
  RT_OKAY(rt_h5_create(path, &h5));
  RT_OKAY(rt_h5_put_text(h5, "format", RT_LOGITS_FORMAT));
  RT_OKAY(rt_h5_put_int(h5, "version", info->version));
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
  RT_OKAY(h5_save(&h5, path));
  RT_OKAY(rt_seal_write(MPI_COMM_SELF, path, NULL, 0, RT_SEAL_SHA256));
}

static void test_lying_shard(void)
{
  static const lie lies[] = {
      {{0, 3, 6}, 6, 0, 0, 6, 6, RT_U64, NULL}, // nothing wrong at open
      {{0, 3, 7}, 6, 0, 0, 6, 6, RT_U64, "records: is 1-d 6 x 1 u8"},
      {{0, 7, 6}, 6, 0, 0, 6, 6, RT_U64, "record_ptr does not ascend"},
      {{1, 3, 6}, 6, 0, 0, 6, 6, RT_U64, "record_ptr does not ascend"},
      {{0, 3, UINT64_MAX}, 6, 0, 0, 6, 6, RT_U64, "record_ptr does not ascend"},
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

/** The seal keeps no hash of what is no record either, and all else is right.
 */
static void test_unhashed(void)
{
  static const lie good = {{0, 3, 6}, 6, 0, 0, 6, 6, RT_U64, NULL};
  begin();
  if (my_rank == 0) {
    const rt_logits_info info = info_of(3, 10, 2, 2);
    char path[RT_PATH_MAX];
    rt_logits_shard s;
    RT_OKAY(rt_logits_shard_path(path, folder, 0));
    write_lie(path, &info, &good);
    RT_OKAY(rt_file_size(path, &s.bytes));
    const rt_extent all = {0, s.bytes};
    RT_OKAY(rt_seal_write(MPI_COMM_SELF, path, &all, 1, RT_SEAL_SHA256));
    RT_OKAY(rt_seal_hash(path, &s.seal, s.sha256));
    rt_logits_manifest m = {info, true, "", &s, 1, ""};
    memset(m.readme_sha256, '0', RT_SHA256_HEX - 1);
    RT_OKAY(rt_logits_manifest_write(folder, &m));
    rt_logits *ds;
    RT_FAILS(rt_logits_open(MPI_COMM_SELF, folder, RT_LOGITS_FINISHED, &ds),
             RT_ERR_DATA, "its seal has no hash of byte 0, which");
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
  const int64_t wrong = n_wrong(ds, expected);
  rt_logits_close(&ds);
  CU_ASSERT_TRUE(wrong <= 0);
  return wrong == 0;
}

/** Do all hashes of whole files match? */
static bool is_verified(const char *from)
{
  rt_logits *ds;
  if (rt_logits_open(MPI_COMM_SELF, from, RT_LOGITS_FINISHED, &ds) != RT_OK)
    return false;
  const bool good = rt_logits_verify_folder(ds) == RT_OK &&
                    rt_logits_verify_shard(ds, 0) == RT_OK;
  rt_logits_close(&ds);
  return good;
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
 *  hashes.  Every flip must be noticed by who reads all rows, but in the
 *  padding of the last chunk and in the card; and by who verifies in any case.
 */
static void damage(const rt_logits_info *info)
{
  begin();
  enum { SHARD, SEAL, MANIFEST, CARD, N_FILES };
  char own[RT_PATH_MAX], path[N_FILES][RT_PATH_MAX];
  snprintf(own, sizeof own, "%.3000s/%d", folder, my_rank);
  write_alone(own, info);
  rt_logits_row *const rows = read_rows(own, info);
  RT_OKAY(rt_logits_shard_path(path[SHARD], own, 0));
  RT_OKAY(rt_seal_path(path[SEAL], path[SHARD]));
  RT_OKAY(rt_logits_manifest_path(path[MANIFEST], own));
  RT_OKAY(rt_path_join(path[CARD], own, "README.md"));
  static const int trials[N_FILES] = {2000, 300, 300, 100};
  int harmless = 0;
  for (int k = 0; k < N_FILES; k++) {
    int64_t bytes;
    RT_OKAY(rt_file_size(path[k], &bytes));
    CU_ASSERT_TRUE(k != SHARD || bytes > 3 << 19);
    for (int i = my_rank; i < trials[k]; i += n_ranks) {
      const int64_t at = scratch_random(i, bytes);
      scratch_flip(path[k], at, 1 << i % 8);
      const bool taken = k == CARD || survives(own, rows);
      harmless += taken && k == SHARD;
      CU_ASSERT_TRUE(!taken || k == SHARD || k == CARD); // no reader's
      CU_ASSERT_FALSE(taken && is_verified(own));
      scratch_flip(path[k], at, 1 << i % 8);
    }
    CU_ASSERT_TRUE(survives(own, rows) && is_verified(own));
  }
  // the end of the last chunk may be padding; nothing else is
  CU_ASSERT_TRUE(harmless <= trials[SHARD] / 100);
  for (int k = 0; k < N_FILES; k++) {
    int64_t bytes;
    char *whole;
    size_t n;
    RT_OKAY(rt_file_slurp(path[k], 1 << 30, &whole, &n));
    RT_OKAY(rt_file_size(path[k], &bytes));
    for (int64_t i = 99 - my_rank; i >= 0; i -= n_ranks) {
      CU_ASSERT_EQUAL(truncate(path[k], bytes * i / 100), 0);
      CU_ASSERT_FALSE(k == CARD ? is_verified(own) : survives(own, rows));
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

RT_TEST_MAIN("logits_damage", {"manifests that lie", test_lying_manifest},
             {"missing and foreign shards", test_missing},
             {"foreign shards are not adopted", test_not_adopted},
             {"shards that lie", test_lying_shard},
             {"bytes that nobody checks", test_unhashed},
             {"flips and truncations", test_damage},
             {"the same, packed", test_damage_packed},
             {"the same, sampled", test_damage_sampled})
