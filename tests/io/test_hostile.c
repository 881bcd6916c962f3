/** \file test_hostile.c
 *  Shards and checkpoints with valid hashes but invalid HDF5 metadata, as
 *  crafted to provoke a crash: they are rejected, or read as far as the rules
 *  allow, without crash, hang or excessive memory.
 *
 *  HOSTILE=N: number of files (2,000); SEED=N: select others.
 *  ranks: 2 */
#include "io/common/h5_reader.h"
#include "io/run/checkpoint.h"
#include "support/h5_damage.h"
#include "support/h5_file.h"
#include "support/logits_scene.h"
#include "support/newest.h"
#include <hdf5.h>
#include <sys/resource.h>

/** Results. */
typedef struct tally {
  int64_t n, read, crashed, slow;
} tally;

static int64_t n_trials, seed;

static void prepare(void)
{
  const char *const n = getenv("HOSTILE"), *const s = getenv("SEED");
  // thousands of files that need not be synced to disk
  if (access("/dev/shm", W_OK) == 0)
    setenv("TMPDIR", "/dev/shm", 0);
  begin();
  n_trials = n != NULL ? atoll(n) : 2000;
  seed = s != NULL ? atoll(s) : 1;
}

/** The only errors allowed for a file from an untrusted source. */
static void count(rt_err err, int64_t trial, tally *t)
{
  const char *const text = rt_err_text();
  t->n++;
  t->read += err == RT_OK;
  t->crashed += err != RT_OK && strstr(text, "HDF5 crashed") != NULL;
  t->slow += err != RT_OK && strstr(text, "HDF5 used more than") != NULL;
  const bool good = err == RT_OK || err == RT_ERR_DATA ||
                    err == RT_ERR_NOINPUT || err == RT_ERR_IO ||
                    (err == RT_ERR_CONFIG && strstr(text, "by a newer retort"));
  if (!good)
    fprintf(stderr, "seed %lld, trial %lld: error %d: %s\n", (long long)seed,
            (long long)trial, (int)err, text);
  CU_ASSERT_TRUE(good);
}

static void put(const char *path, const unsigned char *data, size_t n)
{
  FILE *const f = fopen(path, "wb");
  CU_ASSERT_PTR_NOT_NULL_FATAL(f);
  CU_ASSERT_EQUAL(fwrite(data, 1, n, f), n);
  CU_ASSERT_EQUAL(fclose(f), 0);
}

static h5_image slurp(const char *path)
{
  h5_image x = {0};
  char *text;
  RT_OKAY(rt_file_slurp(path, 64 << 20, &text, &x.n));
  x.data = (unsigned char *)text;
  return x;
}

typedef rt_err seal_fn(const char *own, const char *path);
typedef rt_err read_fn(const char *own);

/** \a n of the trials, shared out among the ranks, on the file \a path of the
 *  dataset or run in \a own, whose good image is \a good. */
static void damage(const h5_image *good, const char *own, const char *path,
                   int64_t n, seal_fn *seal, read_fn *read)
{
  tally t = {0};
  struct rusage before, after;
  h5_image x = *good;
  x.data = malloc(x.n + 8);
  getrusage(RUSAGE_SELF, &before);
  for (int64_t i = my_rank; i < n; i += n_ranks) {
    dice d = {(uint64_t)seed, (uint64_t)i, 0};
    memcpy(x.data, good->data, x.n);
    h5_damage(&x, &d);
    put(path, x.data, x.n);
    RT_OKAY(seal(own, path));
    count(read(own), i, &t);
  }
  getrusage(RUSAGE_SELF, &after);
  CU_ASSERT_TRUE(after.ru_maxrss - before.ru_maxrss < 256 << 10); // KiB
  CU_ASSERT_TRUE(t.read < t.n);
  put(path, good->data, good->n);
  RT_OKAY(seal(own, path));
  RT_OKAY(read(own)); // the undamaged file is still readable
  free(x.data);
  MPI_Allreduce(MPI_IN_PLACE, &t, 4, MPI_INT64_T, MPI_SUM, MPI_COMM_WORLD);
  printf("\n    %lld files of %d blocks: %lld read, HDF5 crashed on %lld, was "
         "slow on %lld ",
         (long long)t.n, good->n_blocks, (long long)t.read,
         (long long)t.crashed, (long long)t.slow);
}

static rt_logits_info hostile_info; // of the dataset

/** Write a valid seal and manifest for the only shard. */
static rt_err seal_shard(const char *own, const char *path)
{
  rt_logits_shard s;
  RT_TRY(rt_seal_write(MPI_COMM_SELF, path, NULL, 0, RT_SEAL_SHA256));
  RT_TRY(rt_file_size(path, &s.bytes));
  RT_TRY(rt_seal_hash(path, &s.seal, s.sha256));
  rt_logits_manifest m = {hostile_info, true, "", &s, 1, ""};
  memset(m.readme_sha256, '0', RT_SHA256_HEX - 1);
  return rt_logits_manifest_write(own, &m);
}

/** Open, and read every row that can be read. */
static rt_err read_dataset(const char *own)
{
  rt_logits *ds;
  rt_logits_row row = {0};
  rt_err err = rt_logits_open(MPI_COMM_SELF, own, RT_LOGITS_FINISHED, &ds);
  if (err != RT_OK)
    return err;
  for (int64_t i = 0; i < hostile_info.n_rows && err == RT_OK; i++) {
    err = rt_logits_read(ds, i, &row);
    if (err == RT_OK)
      err = rt_logits_verify_row(ds, i, &row);
  }
  rt_logits_row_clear(&row);
  rt_logits_close(&ds);
  return err;
}

/** A dataset of one shard for this rank, and its image. */
static h5_image make_shard(const char *own, char path[RT_PATH_MAX])
{
  write_alone(own, &hostile_info);
  RT_OKAY(rt_logits_shard_path(path, own, 0));
  return slurp(path);
}

static void own_folder(char own[RT_PATH_MAX])
{
  snprintf(own, RT_PATH_MAX, "%.3000s/%d", folder, my_rank);
}

static void damage_shard(int64_t rows, const char *encoding, int64_t tenths)
{
  char own[RT_PATH_MAX], path[RT_PATH_MAX];
  prepare();
  own_folder(own);
  hostile_info = info_of(64, 5000, rows, rows);
  hostile_info.top_k = 400;
  strcpy(hostile_info.encoding, encoding);
  h5_image x = make_shard(own, path);
  h5_find_blocks(&x);
  CU_ASSERT_TRUE(x.n_blocks >= 10); // also a fractal heap and a B-tree
  damage(&x, own, path, n_trials * tenths / 10, seal_shard, read_dataset);
  free(x.data);
  scratch_remove(folder);
}

static void test_shard(void)
{
  damage_shard(3, "packed", 5);
}

/** With an index of chunks. */
static void test_chunks(void)
{
  damage_shard(80, "exact", 1);
}

/** Shards in the oldest HDF5 format, which has no checksums. */

static void copy_set(hid_t from, hid_t to, const char *name)
{
  const hid_t set = H5Dopen2(from, name, H5P_DEFAULT);
  const hid_t type = H5Dget_type(set), space = H5Dget_space(set);
  const hid_t dcpl = H5Pcreate(H5P_DATASET_CREATE);
  hsize_t n = 0;
  H5Sget_simple_extent_dims(space, &n, NULL);
  if (strcmp(name, "records") == 0)
    H5Pset_chunk(dcpl, 1, (hsize_t[]){n / 3 + 1});
  unsigned char *const data = calloc(n + 1, 8);
  const hid_t copy =
      H5Dcreate2(to, name, type, space, H5P_DEFAULT, dcpl, H5P_DEFAULT);
  CU_ASSERT_TRUE(H5Dread(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) >= 0);
  CU_ASSERT_TRUE(H5Dwrite(copy, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) >=
                 0);
  free(data);
  H5Dclose(copy);
  H5Pclose(dcpl);
  H5Sclose(space);
  H5Tclose(type);
  H5Dclose(set);
}

static herr_t copy_attribute(hid_t from, const char *name,
                             const H5A_info_t *about, void *to)
{
  static unsigned char value[1 << 16];
  const hid_t id = H5Aopen(from, name, H5P_DEFAULT);
  const hid_t type = H5Aget_type(id), space = H5Aget_space(id);
  const hid_t copy =
      H5Acreate2(*(hid_t *)to, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
  CU_ASSERT_TRUE(about->data_size <= sizeof value);
  CU_ASSERT_TRUE(H5Aread(id, type, value) >= 0 &&
                 H5Awrite(copy, type, value) >= 0);
  H5Aclose(copy);
  H5Sclose(space);
  H5Tclose(type);
  H5Aclose(id);
  return 0;
}

/** Rewrite the file in the oldest format; everything except the records is one
 *  block. */
static h5_image make_old(const char *path)
{
  static const char *const sets[] = {"record_ptr", "row_xxh3", "tables",
                                     "records"};
  char old[RT_PATH_MAX];
  snprintf(old, sizeof old, "%.4000s.old", path);
  const hid_t from = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
  hid_t to = H5Fcreate(old, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
  H5Aiterate2(from, H5_INDEX_NAME, H5_ITER_INC, NULL, copy_attribute, &to);
  for (int i = 0; i < 4; i++)
    copy_set(from, to, sets[i]);
  H5Fclose(to);
  H5Fclose(from);
  h5_image x = slurp(old);
  RT_OKAY(rt_path_remove(old));
  size_t end = x.n; // the records come last and are long
  put(path, x.data, x.n);
  rt_h5_reader *in;
  rt_extent *extents;
  int64_t n;
  RT_OKAY(h5_open(path, &in));
  RT_OKAY(rt_h5_reader_extents(in, "records", &extents, &n));
  rt_h5_reader_close(&in);
  for (int64_t i = 0; i < n; i++)
    end = (size_t)extents[i].offset < end ? (size_t)extents[i].offset : end;
  free(extents);
  x.n_blocks = 1;
  x.block[0] = (h5_block){0, end, -1};
  return x;
}

static void test_old(void)
{
  char own[RT_PATH_MAX], path[RT_PATH_MAX];
  prepare();
  own_folder(own);
  hostile_info = info_of(8, 5000, 3, 3);
  h5_image good = make_shard(own, path);
  h5_image x = make_old(path);
  CU_ASSERT_TRUE(x.block[0].n > 1000);
  damage(&x, own, path, n_trials / 5, seal_shard, read_dataset);
  free(good.data);
  free(x.data);
  scratch_remove(folder);
}

enum { W_ROWS = 30, W_COLS = 7, N_SLABS = 12 };

/** Enough that their group has an index of its own. */
static void make_slabs(float *w, char names[N_SLABS][16],
                       rt_slab slabs[N_SLABS])
{
  for (int i = 0; i < N_SLABS; i++) {
    snprintf(names[i], 16, "%s/tensor.%d", i % 2 ? "w" : "m", i);
    slabs[i] = (rt_slab){
        names[i], W_ROWS, W_COLS, 0, 0, rt_view_of(w, RT_F32, W_ROWS, W_COLS)};
  }
}

static rt_err seal_state(const char *own, const char *path)
{
  (void)own;
  return rt_seal_write(MPI_COMM_SELF, path, NULL, 0, RT_SEAL_BLOCKS);
}

static rt_err read_state(const char *own)
{
  float w[W_ROWS * W_COLS];
  char names[N_SLABS][16];
  rt_slab slabs[N_SLABS];
  rt_checkpoint_meta meta;
  int64_t step;
  make_slabs(w, names, slabs);
  RT_TRY(newest_step(MPI_COMM_SELF, own, &step));
  RT_TRY(rt_checkpoint_read_meta(MPI_COMM_SELF, own, step, &meta));
  const rt_err err = rt_checkpoint_read(MPI_COMM_SELF, &meta, slabs, N_SLABS);
  rt_checkpoint_meta_clear(&meta);
  return err;
}

static void test_checkpoint(void)
{
  char own[RT_PATH_MAX], path[RT_PATH_MAX], names[N_SLABS][16];
  float w[W_ROWS * W_COLS] = {1, 2, 3};
  rt_slab slabs[N_SLABS];
  prepare();
  own_folder(own);
  const rt_checkpoint_meta meta = {
      .step = 1, .deck = (char[]){"a: 1\n"}, .arch = (char[]){"{}"}};
  make_slabs(w, names, slabs);
  RT_OKAY(rt_checkpoint_write(MPI_COMM_SELF, own, &meta, slabs, N_SLABS));
  snprintf(path, sizeof path, "%.3000s/step-00000001/state.h5", own);
  h5_image x = slurp(path);
  h5_find_blocks(&x);
  CU_ASSERT_TRUE(x.n_blocks >= 10);
  damage(&x, own, path, n_trials / 5, seal_state, read_state);
  free(x.data);
  scratch_remove(folder);
}

RT_TEST_MAIN("hostile", {"shards", test_shard}, {"many chunks", test_chunks},
             {"the oldest format", test_old}, {"checkpoints", test_checkpoint})
