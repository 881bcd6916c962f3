/** \file test_checkpoint.c
 *  Checkpoints: any layout reads what any layout wrote; nothing damaged is
 *  taken, nothing half written is seen.
 *  ranks: 1 2 4 */
#include "io/run/checkpoint.h"

#include "base/log.h"
#include "io/common/seal.h"
#include "support/newest.h"
#include "support/rt_test.h"
#include <hdf5.h>
#include <sys/syscall.h>
#include <stdarg.h>
#include <fcntl.h>
#include <errno.h>
#include "support/scratch.h"
#include <math.h>
#include <signal.h>
#include <sys/resource.h>

enum { N_TENSORS = 5 };

/** Whole tensors; sizes that nothing divides. */
static const struct {
  const char *name;
  int64_t rows, cols;
  rt_dtype dtype;
} tensors[N_TENSORS] = {{"w/embed", 37, 19, RT_F32},
                        {"w/norm", 1, 19, RT_F32},
                        {"m/embed", 37, 19, RT_F64},
                        {"v/a.b.c", 5, 1, RT_F64},
                        {"w/one", 1, 1, RT_F32}};

static char folder[RT_PATH_MAX];
static int my_rank, n_ranks;

static void begin(void)
{
  MPI_Comm_rank(MPI_COMM_WORLD, &my_rank);
  MPI_Comm_size(MPI_COMM_WORLD, &n_ranks);
  rt_log_setup(RT_LOG_INFO, my_rank == 0 ? RT_LOG_SPEAKS : RT_LOG_SILENT);
  scratch_create(folder);
}

static double value(int i_tensor, int64_t row, int64_t col, int salt)
{
  return (double)(i_tensor * 100000 + (int)row * 100 + (int)col) + salt / 8.0;
}

/** How the ranks share a tensor. */
typedef enum split { BY_ROWS, BY_COLS, BY_LAST, REVERSED, N_SPLITS } split;

/** This rank's piece: [begin, begin + n) of rows and columns. */
typedef struct piece {
  int64_t row0, n_rows, col0, n_cols;
} piece;

static piece piece_of(split how, int i)
{
  const int64_t rows = tensors[i].rows, cols = tensors[i].cols;
  const int r = how == REVERSED ? n_ranks - 1 - my_rank : my_rank;
  switch (how) {
  case BY_COLS: {
    const int64_t from = cols * r / n_ranks, to = cols * (r + 1) / n_ranks;
    return (piece){0, to > from ? rows : 0, from, to - from};
  }
  case BY_LAST: // a replica that is not the owner has no rows
    return (piece){0, r == n_ranks - 1 ? rows : 0, 0, cols};
  default: {
    const int64_t from = rows * r / n_ranks, to = rows * (r + 1) / n_ranks;
    return (piece){from, to - from, 0, cols};
  }
  }
}

/** Slabs of this rank in memory with 3 elements of padding per row. */
static void make_slabs(split how, int salt, rt_slab slabs[N_TENSORS])
{
  for (int i = 0; i < N_TENSORS; i++) {
    const piece p = piece_of(how, i);
    const int64_t ld = p.n_cols + 3;
    const rt_dtype dtype = tensors[i].dtype;
    void *const data = calloc((size_t)(p.n_rows * ld + 1), 8);
    slabs[i] = (rt_slab){.name = tensors[i].name,
                         .rows = tensors[i].rows,
                         .cols = tensors[i].cols,
                         .row0 = p.row0,
                         .col0 = p.col0,
                         .data = {data, dtype, p.n_rows, p.n_cols, ld}};
    for (int64_t r = 0; r < p.n_rows && salt >= 0; r++)
      for (int64_t c = 0; c < p.n_cols; c++) {
        const double x = value(i, p.row0 + r, p.col0 + c, salt);
        if (dtype == RT_F32)
          ((float *)data)[r * ld + c] = (float)x;
        else
          ((double *)data)[r * ld + c] = x;
      }
  }
}

static void free_slabs(rt_slab slabs[N_TENSORS])
{
  for (int i = 0; i < N_TENSORS; i++)
    free(slabs[i].data.data);
}

/** Elements that are not as written, padding included. */
static int n_wrong(const rt_slab slabs[N_TENSORS], int salt)
{
  int wrong = 0;
  for (int i = 0; i < N_TENSORS; i++) {
    const rt_view *const v = &slabs[i].data;
    for (int64_t r = 0; r < v->rows; r++)
      for (int64_t c = 0; c < v->ld; c++) {
        const double got = v->dtype == RT_F32
                               ? (double)((float *)v->data)[r * v->ld + c]
                               : ((double *)v->data)[r * v->ld + c];
        const double expected =
            c < v->cols ? value(i, slabs[i].row0 + r, slabs[i].col0 + c, salt)
                        : 0.0;
        wrong += got != expected;
      }
  }
  return wrong;
}

static rt_checkpoint_meta meta_of(int64_t step)
{
  return (rt_checkpoint_meta){.step = step,
                              .consumed = step * 8,
                              .tokens = step * 4096,
                              .skipped = step / 2,
                              .rows = 1000,
                              .rows_xxh3 = UINT64_MAX - 7,
                              .norm_mean = 0.1,
                              .deck = "a: 1\n",
                              .arch = "{}"};
}

static rt_err write_step(int64_t step, split how)
{
  rt_slab slabs[N_TENSORS];
  make_slabs(how, (int)step, slabs);
  const rt_checkpoint_meta meta = meta_of(step);
  const rt_err err =
      rt_checkpoint_write(MPI_COMM_WORLD, folder, &meta, slabs, N_TENSORS);
  free_slabs(slabs);
  return err;
}

/** Path of a file of a step. */
static const char *file_of(int64_t step, const char *name, char *path)
{
  snprintf(path, RT_PATH_MAX, "%.3000s/step-%08lld/%s", folder, (long long)step,
           name);
  return path;
}

static rt_err read_step(int64_t step, rt_slab *slabs, int n)
{
  rt_checkpoint_meta meta;
  RT_TRY(rt_checkpoint_read_meta(MPI_COMM_WORLD, folder, step, &meta));
  const rt_err err = rt_checkpoint_read(MPI_COMM_WORLD, &meta, slabs, n);
  rt_checkpoint_meta_clear(&meta);
  return err;
}

static void test_layouts(void)
{
  begin();
  for (int out = 0; out < N_SPLITS; out++) {
    RT_OKAY(write_step(out, (split)out));
    for (int in = 0; in < N_SPLITS; in++) {
      rt_slab slabs[N_TENSORS];
      make_slabs((split)in, -1, slabs);
      RT_OKAY(read_step(out, slabs, N_TENSORS));
      CU_ASSERT_EQUAL(n_wrong(slabs, out), 0);
      free_slabs(slabs);
    }
  }
  scratch_remove(folder);
}

static void test_meta(void)
{
  begin();
  char *const deck = malloc(300001);
  for (int i = 0; i < 300000; i++)
    deck[i] = (char)('a' + i % 26);
  deck[300000] = '\0';
  rt_checkpoint_meta meta = meta_of(12345678901), got;
  meta.deck = deck;
  meta.arch = NULL;
  rt_slab slabs[N_TENSORS];
  make_slabs(BY_ROWS, 0, slabs);
  RT_OKAY(rt_checkpoint_write(MPI_COMM_WORLD, folder, &meta, slabs, N_TENSORS));
  int64_t step;
  RT_OKAY(newest_step(MPI_COMM_WORLD, folder, &step));
  CU_ASSERT_EQUAL(step, 12345678901);
  RT_OKAY(rt_checkpoint_read_meta(MPI_COMM_WORLD, folder, step, &got));
  CU_ASSERT_EQUAL(got.step, meta.step);
  CU_ASSERT_EQUAL(got.consumed, meta.consumed);
  CU_ASSERT_EQUAL(got.tokens, meta.tokens);
  CU_ASSERT_EQUAL(got.skipped, meta.skipped);
  CU_ASSERT_EQUAL(got.rows, meta.rows);
  CU_ASSERT_EQUAL(got.rows_xxh3, meta.rows_xxh3);
  CU_ASSERT_EQUAL(got.norm_mean, meta.norm_mean);
  CU_ASSERT_STRING_EQUAL(got.deck, deck);
  CU_ASSERT_STRING_EQUAL(got.arch, "");
  rt_checkpoint_meta_clear(&got);
  CU_ASSERT_PTR_NULL(got.deck);
  RT_FAILS(rt_checkpoint_read_meta(MPI_COMM_WORLD, folder, 7, &got),
           RT_ERR_NOINPUT, "step-00000007");
  free_slabs(slabs);
  free(deck);
  scratch_remove(folder);
}

/** What this rank says wrongly, while its peers are right. */
static void test_refused_writes(void)
{
  begin();
  rt_slab slabs[N_TENSORS];
  const rt_checkpoint_meta meta = meta_of(1);
  make_slabs(BY_ROWS, 0, slabs);
  const bool odd = my_rank == n_ranks - 1;
  slabs[0].row0 += odd ? 1 : 0;
  RT_FAILS(rt_checkpoint_write(MPI_COMM_WORLD, folder, &meta, slabs, N_TENSORS),
           RT_ERR_INTERNAL, "w/embed is not inside 37 x 19");
  slabs[0].row0 -= odd ? 1 : 0;
  slabs[0].data.rows -= odd ? 1 : 0;
  RT_FAILS(rt_checkpoint_write(MPI_COMM_WORLD, folder, &meta, slabs, N_TENSORS),
           RT_ERR_INTERNAL, "expected 703");
  slabs[0].data.rows += odd ? 1 : 0;
  if (n_ranks > 1) {
    slabs[1].name = odd ? "w/other" : "w/norm";
    RT_FAILS(
        rt_checkpoint_write(MPI_COMM_WORLD, folder, &meta, slabs, N_TENSORS),
        RT_ERR_INTERNAL, "different tensors");
    slabs[1].name = "w/norm";
    slabs[2].data.dtype = odd ? RT_F32 : RT_F64;
    RT_FAILS(
        rt_checkpoint_write(MPI_COMM_WORLD, folder, &meta, slabs, N_TENSORS),
        RT_ERR_INTERNAL, "of one type");
  }
  int64_t step;
  RT_OKAY(newest_step(MPI_COMM_WORLD, folder, &step));
  CU_ASSERT_EQUAL(step, -1);
  free_slabs(slabs);
  scratch_remove(folder);
}

/** More than the disk has: seen before anything is written. */
static void test_no_room(void)
{
  begin();
  static float one;
  const int64_t rows = INT64_C(1) << 24, cols = INT64_C(1) << 28;
  // the elements add up although nobody has them: one huge view, never read
  rt_slab slab = {
      "w/huge", rows, cols,
      0,        0,    {&one, RT_F32, my_rank == 0 ? rows : 0, cols, cols}};
  const rt_checkpoint_meta meta = meta_of(1);
  RT_FAILS(rt_checkpoint_write(MPI_COMM_WORLD, folder, &meta, &slab, 1),
           RT_ERR_IO, "no room for a checkpoint");
  scratch_remove(folder);
}

/** What is read is what was checked, whatever has its name by then. */
static void test_exchanged(void)
{
  begin();
  rt_slab slabs[N_TENSORS];
  rt_checkpoint_meta meta;
  char path[RT_PATH_MAX], was[RT_PATH_MAX];
  RT_OKAY(write_step(6, BY_ROWS));
  RT_OKAY(rt_checkpoint_read_meta(MPI_COMM_WORLD, folder, 6, &meta));
  if (my_rank == 0) {
    RT_OKAY(rt_path_join(was, folder, "was"));
    CU_ASSERT_EQUAL(rename(file_of(6, "state.h5", path), was), 0);
    RT_OKAY(rt_file_put(path, "another", 7));
  }
  MPI_Barrier(MPI_COMM_WORLD);
  make_slabs(BY_COLS, -1, slabs);
  RT_OKAY(rt_checkpoint_read(MPI_COMM_WORLD, &meta, slabs, N_TENSORS));
  CU_ASSERT_EQUAL(n_wrong(slabs, 6), 0);
  free_slabs(slabs);
  rt_checkpoint_meta_clear(&meta);
  RT_FAILS(rt_checkpoint_read_meta(MPI_COMM_WORLD, folder, 6, &meta),
           RT_ERR_DATA, "7 bytes, its seal says");
  scratch_remove(folder);
}

static void test_refused_reads(void)
{
  begin();
  RT_OKAY(write_step(4, BY_ROWS));
  float x[4];
  rt_slab slab = {"w/none", 1, 1, 0, 0, {x, RT_F32, 1, 1, 1}};
  RT_FAILS(read_step(4, &slab, 1), RT_ERR_DATA, "w/none: is not in the file");
  slab.name = "w";
  RT_FAILS(read_step(4, &slab, 1), RT_ERR_DATA, "state.h5, w");
  slab.name = "w/norm";
  RT_FAILS(read_step(4, &slab, 1), RT_ERR_DATA,
           "is 2-d 1 x 19 f32, expected 2-d 1 x 1 f32");
  slab.name = "v/a.b.c";
  slab.rows = 5;
  RT_FAILS(read_step(4, &slab, 1), RT_ERR_DATA,
           "is 2-d 5 x 1 f64, expected 2-d 5 x 1 f32");
  RT_FAILS(read_step(5, &slab, 1), RT_ERR_NOINPUT, "step-00000005");
  scratch_remove(folder);
}

/** errno of opening a state.h5; 0: none.  open() precedes the system's. */
static int open_fails;

int open(const char *path, int flags, ...)
{
  va_list more;
  va_start(more, flags);
  const mode_t mode = (flags & O_CREAT) != 0 ? va_arg(more, mode_t) : 0;
  va_end(more);
  errno = open_fails;
  return open_fails != 0 && strstr(path, "state.h5") != NULL
             ? -1
             : (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

/** What one rank cannot read now is not damaged: none before it is taken. */
static void test_cannot_open(void)
{
  static const struct {
    int reason;
    rt_err err;
    const char *says;
  } fails[] = {{EACCES, RT_ERR_PERM, "let this user read it"},
               {EMFILE, RT_ERR_IO, "ulimit -n"},
               {ESTALE, RT_ERR_IO, "run again"}};
  begin();
  int64_t step = 0;
  RT_OKAY(write_step(1, BY_ROWS));
  RT_OKAY(write_step(2, BY_ROWS));
  for (size_t i = 0; i < sizeof fails / sizeof fails[0]; i++) {
    open_fails = my_rank == 0 ? fails[i].reason : 0;
    const rt_err err = newest_step(MPI_COMM_WORLD, folder, &step);
    open_fails = 0;
    CU_ASSERT_EQUAL(err, fails[i].err);
    CU_ASSERT_PTR_NOT_NULL(strstr(rt_err_text(), fails[i].says));
  }
  scratch_remove(folder);
}

/** A checkpoint as written by a retort of another version: the seal is right.
 */
static void set_version(int64_t step, int64_t version)
{
  char path[RT_PATH_MAX];
  MPI_Barrier(MPI_COMM_WORLD);
  if (my_rank == 0) {
    const hid_t h5 =
        H5Fopen(file_of(step, "state.h5", path), H5F_ACC_RDWR, H5P_DEFAULT);
    const hid_t a = H5Aopen(h5, "version", H5P_DEFAULT);
    CU_ASSERT_TRUE(H5Awrite(a, H5T_NATIVE_INT64, &version) >= 0);
    H5Aclose(a);
    CU_ASSERT_TRUE(H5Fclose(h5) >= 0);
    RT_OKAY(rt_seal_write(MPI_COMM_SELF, path, NULL, 0, RT_SEAL_BLOCKS));
  }
  MPI_Barrier(MPI_COMM_WORLD);
}

/** Another version's checkpoint is no damaged one: none before it is taken. */
static void test_other_version(void)
{
  begin();
  int64_t step = 0;
  RT_OKAY(write_step(1, BY_ROWS));
  RT_OKAY(write_step(2, BY_ROWS));
  set_version(2, 6);
  RT_FAILS(newest_step(MPI_COMM_WORLD, folder, &step), RT_ERR_CONFIG,
           "written by a newer retort (version 6");
  set_version(2, 2);
  RT_FAILS(newest_step(MPI_COMM_WORLD, folder, &step), RT_ERR_CONFIG,
           "written by an older retort (version 2");
  set_version(2, -1);
  RT_OKAY(newest_step(MPI_COMM_WORLD, folder, &step));
  CU_ASSERT_EQUAL(step, 1);
  MPI_Barrier(MPI_COMM_WORLD);
  scratch_remove(folder);
}

/** The same state gives the same bytes, whoever wrote it. */
static void test_same_bytes(void)
{
  begin();
  char path[RT_PATH_MAX];
  uint64_t first = 0, other = 0;
  char sha256[RT_SHA256_HEX];
  for (int how = 0; how < N_SPLITS; how++) {
    if (how == N_SPLITS - 1)
      sleep(1); // no time of day may get in
    RT_OKAY(write_step(3, (split)how));
    RT_OKAY(rt_seal_hash(file_of(3, "state.h5", path),
                         how == 0 ? &first : &other, sha256));
    CU_ASSERT_TRUE(how == 0 || first == other);
  }
  scratch_remove(folder);
}

/** A step written again replaces the old one. */
static void test_again(void)
{
  begin();
  RT_OKAY(write_step(8, BY_ROWS));
  rt_slab slabs[N_TENSORS];
  make_slabs(BY_COLS, 5, slabs);
  const rt_checkpoint_meta meta = meta_of(8);
  RT_OKAY(rt_checkpoint_write(MPI_COMM_WORLD, folder, &meta, slabs, N_TENSORS));
  free_slabs(slabs);
  make_slabs(BY_ROWS, -1, slabs);
  RT_OKAY(read_step(8, slabs, N_TENSORS));
  CU_ASSERT_EQUAL(n_wrong(slabs, 5), 0);
  free_slabs(slabs);
  scratch_remove(folder);
}

/** What a run leaves behind when it is killed between any two steps. */
static void test_fall_back(void)
{
  begin();
  char path[RT_PATH_MAX], other[RT_PATH_MAX];
  int64_t step;
  RT_OKAY(newest_step(MPI_COMM_WORLD, "/nonexistent/x", &step));
  CU_ASSERT_EQUAL(step, -1);
  for (int64_t s = 10; s <= 40; s += 10)
    RT_OKAY(write_step(s, BY_ROWS));
  if (my_rank == 0) {
    // 50 killed while writing, 40 without its seal, 30 with a flipped bit
    snprintf(path, sizeof path, "%.3000s/.tmp-step-00000050/junk", folder);
    RT_OKAY(rt_folder_create(path));
    CU_ASSERT_EQUAL(unlink(file_of(40, "state.h5.seal", path)), 0);
    scratch_flip(file_of(30, "state.h5", path), 3000, 1);
    snprintf(path, sizeof path, "%.3000s/step-99", folder); // not ours
    RT_OKAY(rt_folder_create(path));
  }
  MPI_Barrier(MPI_COMM_WORLD);
  RT_OKAY(newest_step(MPI_COMM_WORLD, folder, &step));
  CU_ASSERT_EQUAL(step, 20);
  MPI_Barrier(MPI_COMM_WORLD);
  if (my_rank == 0) {
    CU_ASSERT_EQUAL(truncate(file_of(20, "state.h5", path), 100), 0);
    CU_ASSERT_EQUAL(
        rename(file_of(10, "state.h5", path), file_of(10, "gone", other)), 0);
  }
  MPI_Barrier(MPI_COMM_WORLD);
  RT_FAILS(newest_step(MPI_COMM_WORLD, folder, &step), RT_ERR_DATA,
           "none of the 4 checkpoints");
  RT_OKAY(write_step(50, BY_ROWS)); // over what was left of the first try
  RT_OKAY(newest_step(MPI_COMM_WORLD, folder, &step));
  CU_ASSERT_EQUAL(step, 50);
  CU_ASSERT_FALSE(rt_folder_exists(file_of(50, "junk", path)));
  scratch_remove(folder);
}

/** Numbers that no run has written, under a right seal. */
static void test_lying_numbers(void)
{
  begin();
  char path[RT_PATH_MAX], to[RT_PATH_MAX];
  int64_t step;
  rt_slab slabs[N_TENSORS];
  make_slabs(BY_ROWS, 0, slabs);
  RT_OKAY(write_step(10, BY_ROWS));
  for (int i = 0; i < 5; i++) {
    rt_checkpoint_meta meta = meta_of(20);
    meta.consumed = i == 0 ? -1 : meta.consumed;
    meta.skipped = i == 1 ? 21 : meta.skipped;
    meta.norm_mean = i == 2 ? -0.5 : i == 3 ? NAN : meta.norm_mean;
    RT_OKAY(
        rt_checkpoint_write(MPI_COMM_WORLD, folder, &meta, slabs, N_TENSORS));
    if (i == 4 && my_rank == 0) // of another step than its folder
      CU_ASSERT_EQUAL(rename(file_of(20, "", path), file_of(30, "", to)), 0);
    MPI_Barrier(MPI_COMM_WORLD);
    RT_OKAY(newest_step(MPI_COMM_WORLD, folder, &step));
    CU_ASSERT_EQUAL(step, 10);
    MPI_Barrier(MPI_COMM_WORLD);
  }
  free_slabs(slabs);
  scratch_remove(folder);
}

static void test_prune(void)
{
  begin();
  for (int64_t s = 10; s <= 60; s += 10)
    RT_OKAY(write_step(s, BY_LAST));
  char path[RT_PATH_MAX];
  if (my_rank == 0) {
    snprintf(path, sizeof path, "%.3000s/.tmp-step-00000070/x", folder);
    RT_OKAY(rt_folder_create(path));
    RT_OKAY(rt_checkpoint_prune(folder, 2, 20));
    for (int64_t s = 10; s <= 60; s += 10)
      CU_ASSERT_EQUAL(rt_file_exists(file_of(s, "state.h5", path)),
                      s >= 50 || s % 20 == 0);
    snprintf(path, sizeof path, "%.3000s/.tmp-step-00000070", folder);
    CU_ASSERT_FALSE(rt_folder_exists(path));
    RT_OKAY(rt_checkpoint_prune(folder, 1, 0));
    CU_ASSERT_FALSE(rt_file_exists(file_of(50, "state.h5", path)));
    CU_ASSERT_TRUE(rt_file_exists(file_of(60, "state.h5", path)));
  }
  scratch_remove(folder);
}

/** Random flips in both files, and truncations: each rank its share. */
static void test_damage(void)
{
  begin();
  char own[RT_PATH_MAX], path[RT_PATH_MAX];
  snprintf(own, sizeof own, "%.3000s/%d", folder, my_rank);
  const rt_checkpoint_meta meta = meta_of(1);
  const float w[6] = {1, 2, 3, 4, 5, 6};
  rt_slab slab = {"w/x", 2, 3, 0, 0, rt_view_of((void *)w, RT_F32, 2, 3)};
  RT_OKAY(rt_checkpoint_write(MPI_COMM_SELF, own, &meta, &slab, 1));
  rt_log_setup(RT_LOG_INFO, RT_LOG_SILENT); // thousands of warnings
  static const char *const names[] = {"state.h5", "state.h5.seal"};
  int taken = 0;
  for (int k = 0; k < 2; k++) {
    int64_t bytes, step;
    snprintf(path, sizeof path, "%.3900s/step-00000001/%s", own, names[k]);
    RT_OKAY(rt_file_size(path, &bytes));
    for (int i = my_rank; i < 2000; i += n_ranks) {
      const int64_t at = scratch_random(i, bytes);
      scratch_flip(path, at, 1 << i % 8);
      taken += newest_step(MPI_COMM_SELF, own, &step) == RT_OK;
      rt_checkpoint_meta got;
      taken += rt_checkpoint_read_meta(MPI_COMM_SELF, own, 1, &got) == RT_OK;
      rt_checkpoint_meta_clear(&got);
      scratch_flip(path, at, 1 << i % 8);
    }
    RT_OKAY(newest_step(MPI_COMM_SELF, own, &step));
    for (int64_t i = 99 - my_rank; i >= 0; i -= n_ranks) {
      CU_ASSERT_EQUAL(truncate(path, bytes * i / 100), 0);
      taken += newest_step(MPI_COMM_SELF, own, &step) == RT_OK;
    }
    RT_OKAY(rt_checkpoint_write(MPI_COMM_SELF, own, &meta, &slab, 1));
  }
  CU_ASSERT_EQUAL(taken, 0);
  rt_log_setup(RT_LOG_INFO, my_rank == 0 ? RT_LOG_SPEAKS : RT_LOG_SILENT);
  scratch_remove(folder);
}

/** A write that fails on one rank only: all hear of it, nothing appears or is
 *  left behind, and the next one succeeds. */
static void test_one_fails(void)
{
  begin();
  enum { ROWS = 4000, COLS = 16 };
  const int64_t row0 = ROWS * my_rank / n_ranks;
  const int64_t n = ROWS * (my_rank + 1) / n_ranks - row0;
  float *const x = calloc(ROWS * COLS, sizeof *x);
  rt_slab slab = {"w/x", ROWS, COLS, row0, 0, rt_view_of(x, RT_F32, n, COLS)};
  const rt_checkpoint_meta meta = meta_of(1);
  struct rlimit old;
  getrlimit(RLIMIT_FSIZE, &old);
  signal(SIGXFSZ, SIG_IGN);
  if (my_rank == n_ranks - 1)
    setrlimit(RLIMIT_FSIZE, &(struct rlimit){100000, old.rlim_max});
  RT_FAILS(rt_checkpoint_write(MPI_COMM_WORLD, folder, &meta, &slab, 1),
           RT_ERR_IO,
           n_ranks > 1 ? "state.h5: File too large; " : "(ulimit -f)");
  CU_ASSERT_TRUE(n_ranks == 1 ||
                 strstr(rt_err_text(), "bytes are needed, ") != NULL);
  CU_ASSERT_TRUE(n_ranks == 1 ||
                 strstr(rt_err_text(), "the checkpoint needs 1.") != NULL);
  setrlimit(RLIMIT_FSIZE, &old);
  int64_t step;
  RT_OKAY(newest_step(MPI_COMM_WORLD, folder, &step));
  CU_ASSERT_EQUAL(step, -1);
  CU_ASSERT_TRUE(my_rank != 0 || rmdir(folder) == 0); // which is empty
  RT_OKAY(rt_checkpoint_write(MPI_COMM_WORLD, folder, &meta, &slab, 1));
  RT_OKAY(newest_step(MPI_COMM_WORLD, folder, &step));
  CU_ASSERT_EQUAL(step, 1);
  free(x);
  scratch_remove(folder);
}

RT_TEST_MAIN("checkpoint", {"that cannot be opened now", test_cannot_open},
             {"of another version", test_other_version},
             {"any layout reads any layout", test_layouts},
             {"numbers and texts", test_meta},
             {"pieces that do not fit together", test_refused_writes},
             {"a full disk is seen first", test_no_room},
             {"a file that is exchanged", test_exchanged},
             {"names, shapes and types are checked", test_refused_reads},
             {"the same state is the same file", test_same_bytes},
             {"a step is replaced", test_again},
             {"the newest whole one is taken", test_fall_back},
             {"numbers that no run writes", test_lying_numbers},
             {"old ones are pruned", test_prune},
             {"flips and truncations", test_damage},
             {"one rank fails to write", test_one_fails})
