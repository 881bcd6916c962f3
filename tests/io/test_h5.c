/** \file test_h5.c
 *  HDF5: what is written reads back, by anybody; odd files are refused.
 *  ranks: 1 2 4 */
#include "io/common/h5_reader.h"

#include "base/clock.h"
#include "io/logits/logits_manifest.h"
#include "support/h5_file.h"
#include "support/logits_rows.h"
#include "support/rt_test.h"
#include "support/scratch.h"

#include <malloc.h>

static char folder[RT_PATH_MAX], path[RT_PATH_MAX];
static int my_rank, n_ranks;

static void begin(void)
{
  MPI_Comm_rank(MPI_COMM_WORLD, &my_rank);
  MPI_Comm_size(MPI_COMM_WORLD, &n_ranks);
  scratch_create(folder);
  RT_OKAY(rt_path_join(path, folder, "x.h5"));
}

enum { ROWS = 37, COLS = 5 };
static const rt_h5_shape shape = {RT_U32, 2, ROWS, COLS, 0};

/** Each rank puts the columns that are its own modulo n_ranks, one by one, into
 *  a file that one has laid out. */
static void put_columns(const rt_extent *where)
{
  rt_outfile *to;
  RT_OKAY(rt_outfile_open(path, &to));
  for (uint32_t r = 0; r < ROWS; r++)
    for (int col = my_rank; col < COLS; col += n_ranks) {
      const uint32_t x = r * 10 + (uint32_t)col;
      RT_OKAY(rt_outfile_put_at(to, &x, sizeof x,
                                where->offset + ((int64_t)r * COLS + col) * 4));
    }
  RT_OKAY(rt_outfile_finish(RT_OK, &to));
}

/** All of it, by a reader of its own. */
static int n_wrong(const rt_h5_reader *in, const char *name)
{
  uint32_t x[ROWS * COLS] = {0};
  int wrong = 0;
  RT_OKAY(rt_h5_reader_read(in, name, 0, 0, rt_view_of(x, RT_U32, ROWS, COLS)));
  for (uint32_t r = 0; r < ROWS; r++)
    for (uint32_t c = 0; c < COLS; c++)
      wrong += x[r * COLS + c] != r * 10 + c;
  return wrong;
}

/** What one rank lays out, with a hole for what all put. */
static void lay_out(rt_extent *where)
{
  rt_h5 *h5;
  rt_extent *extents;
  rt_outfile *to;
  int64_t n;
  RT_OKAY(rt_h5_create(path, &h5));
  RT_OKAY(rt_h5_declare(h5, "a/b.c/x", &shape));
  RT_OKAY(rt_h5_declare(h5, "a/empty", &(rt_h5_shape){RT_F32, 2, 0, 7, 0}));
  RT_OKAY(rt_h5_put_int(h5, "n", -7));
  RT_OKAY(rt_h5_extents(h5, "a/b.c/x", &extents, &n));
  CU_ASSERT_EQUAL_FATAL(n, 1);
  *where = extents[0];
  free(extents);
  CU_ASSERT_FALSE(rt_path_exists(path));
  RT_OKAY(rt_outfile_create(path, &to));
  RT_OKAY(rt_outfile_finish(rt_h5_save(&h5, where, 1, to), &to));
  CU_ASSERT_PTR_NULL(h5);
}

static void test_together(void)
{
  begin();
  rt_h5_reader *in;
  rt_extent where;
  if (my_rank == 0)
    lay_out(&where);
  MPI_Bcast(&where, sizeof where, MPI_BYTE, 0, MPI_COMM_WORLD);
  put_columns(&where);
  MPI_Barrier(MPI_COMM_WORLD);
  int64_t n;
  RT_OKAY(h5_open(path, &in));
  CU_ASSERT_EQUAL(n_wrong(in, "a/b.c/x"), 0);
  RT_OKAY(rt_h5_reader_expect(in, "a/b.c/x", &shape));
  RT_OKAY(rt_h5_reader_int(in, "n", &n));
  CU_ASSERT_EQUAL(n, -7);
  rt_extent *extents;
  RT_OKAY(rt_h5_reader_extents(in, "a/empty", &extents, &n));
  CU_ASSERT_EQUAL(n, 0);
  free(extents);
  rt_h5_reader_close(&in);
  scratch_remove(folder);
}

/** Data where extents say it is: contiguous, and in chunks of 10 rows. */
static void test_extents(void)
{
  begin();
  for (int64_t chunk_rows = 0; chunk_rows <= 50 && my_rank == 0;
       chunk_rows += 10) {
    rt_h5_shape s = shape;
    rt_h5 *h5;
    rt_h5_reader *in;
    rt_extent *extents;
    int64_t n;
    uint32_t x[ROWS * COLS];
    for (uint32_t i = 0; i < ROWS * COLS; i++)
      x[i] = i * i;
    s.chunk_rows = chunk_rows;
    RT_OKAY(rt_h5_create(path, &h5));
    RT_OKAY(rt_h5_declare(h5, "x", &s));
    RT_OKAY(rt_h5_write(h5, "x", 0, 0, rt_view_of(x, RT_U32, ROWS, COLS)));
    RT_OKAY(h5_save(&h5, path));
    RT_OKAY(h5_open(path, &in));
    RT_OKAY(rt_h5_reader_extents(in, "x", &extents, &n));
    rt_h5_reader_close(&in);
    const int64_t rows =
        chunk_rows == 0 || chunk_rows > ROWS ? ROWS : chunk_rows;
    CU_ASSERT_EQUAL(n, (ROWS + rows - 1) / rows);
    const int fd = open(path, O_RDONLY);
    for (int64_t r = 0; r < ROWS; r++) {
      uint32_t got[COLS];
      RT_OKAY(rt_file_read_at(fd, path, got, sizeof got,
                              extents[r / rows].offset +
                                  r % rows * (int64_t)sizeof got));
      CU_ASSERT_EQUAL(memcmp(got, x + r * COLS, sizeof got), 0);
    }
    close(fd);
    free(extents);
  }
  scratch_remove(folder);
}

/** Pieces of rows and columns, of narrow and wide rows, across chunks, into
 *  memory with gaps. */
static void test_pieces(void)
{
  static const struct {
    int64_t rows, cols, chunk_rows;
  } sets[] = {{300, 7, 0}, {300, 7, 64}, {5, 20000, 0}, {70, 5000, 8}};
  begin();
  for (size_t i = 0; i < 4 && my_rank == 0; i++) {
    const int64_t rows = sets[i].rows, cols = sets[i].cols, ld = cols + 3;
    uint32_t *const all = calloc((size_t)(rows * cols), 4);
    uint32_t *const got = calloc((size_t)(rows * ld), 4);
    rt_h5 *h5;
    rt_h5_reader *in;
    for (int64_t k = 0; k < rows * cols; k++)
      all[k] = (uint32_t)k;
    RT_OKAY(rt_h5_create(path, &h5));
    RT_OKAY(rt_h5_declare(
        h5, "x", &(rt_h5_shape){RT_U32, 2, rows, cols, sets[i].chunk_rows}));
    RT_OKAY(rt_h5_write(h5, "x", 0, 0, rt_view_of(all, RT_U32, rows, cols)));
    RT_OKAY(h5_save(&h5, path));
    RT_OKAY(h5_open(path, &in));
    for (int64_t row0 = 0; row0 < rows; row0 += rows / 3)
      for (int64_t col0 = 0; col0 < cols; col0 += cols / 3) {
        const int64_t n = rows - row0, m = col0 > 0 ? cols - col0 : cols;
        int64_t wrong = 0;
        memset(got, 0, (size_t)(rows * ld) * 4);
        RT_OKAY(rt_h5_reader_read(in, "x", row0, col0,
                                  (rt_view){got, RT_U32, n, m, ld}));
        for (int64_t k = 0; k < n * ld; k++)
          wrong += got[k] !=
                   (k % ld < m ? (row0 + k / ld) * cols + col0 + k % ld : 0);
        CU_ASSERT_EQUAL(wrong, 0);
      }
    RT_FAILS(
        rt_h5_reader_read(in, "x", 1, 0, rt_view_of(got, RT_U32, rows, cols)),
        RT_ERR_DATA, "it has no u32 rows 1..");
    RT_FAILS(rt_h5_reader_read(in, "x", 0, 0, rt_view_of(got, RT_F32, 1, 1)),
             RT_ERR_DATA, "it has no f32 rows");
    rt_h5_reader_close(&in);
    free(all);
    free(got);
  }
  scratch_remove(folder);
}

/** Vectors: pieces with gaps in memory, across chunks.  A million elements in
 *  chunks take milliseconds; they took 10 s when memory had two dimensions. */
static void test_vectors(void)
{
  enum { N = 1 << 20, CHUNK = 100000 };
  begin();
  if (my_rank == 0) {
    rt_h5 *h5;
    rt_h5_reader *in;
    uint32_t *const x = malloc((size_t)N * 4);
    for (uint32_t i = 0; i < N; i++)
      x[i] = i;
    RT_OKAY(rt_h5_create(path, &h5));
    RT_OKAY(rt_h5_declare(h5, "x", &(rt_h5_shape){RT_U32, 1, N, 1, CHUNK}));
    const double begin_s = rt_now_s();
    RT_OKAY(rt_h5_write(h5, "x", 0, 0, rt_view_of(x, RT_U32, N, 1)));
    // every third of x from 50 on, over elements 99990 and on
    RT_OKAY(
        rt_h5_write(h5, "x", 99990, 0, (rt_view){x + 50, RT_U32, 20, 1, 3}));
    RT_OKAY(h5_save(&h5, path));
    memset(x, 0, (size_t)N * 4);
    RT_OKAY(h5_open(path, &in));
    RT_OKAY(rt_h5_reader_read(in, "x", 7, 0, rt_view_of(x, RT_U32, N - 7, 1)));
    rt_h5_reader_close(&in);
    CU_ASSERT_TRUE(rt_now_s() - begin_s < 5);
    int64_t wrong = 0;
    for (uint32_t i = 7; i < N; i++) {
      const bool over = i >= 99990 && i < 100010;
      wrong += x[i - 7] != (over ? 50 + 3 * (i - 99990) : i);
    }
    CU_ASSERT_EQUAL(wrong, 0);
    free(x);
  }
  scratch_remove(folder);
}

static void test_attributes(void)
{
  begin();
  if (my_rank == 0) {
    enum { N = 200000 };
    rt_h5 *h5;
    rt_h5_reader *in;
    char *const big = calloc(N + 1, 1), *text;
    memset(big, 'x', N);
    RT_OKAY(rt_h5_create(path, &h5));
    RT_OKAY(rt_h5_put_text(h5, "empty", ""));
    RT_OKAY(rt_h5_put_text(h5, "text", "h\xc3\xa9llo"));
    RT_OKAY(rt_h5_put_text(h5, "big", big));
    RT_OKAY(rt_h5_put_real(h5, "real", 0.1));
    RT_FAILS(rt_h5_put_int(h5, "real", 1), RT_ERR_IO, "real: HDF5 cannot");
    RT_OKAY(h5_save(&h5, path));
    RT_OKAY(h5_open(path, &in));
    RT_OKAY(rt_h5_reader_text(in, "empty", 10, &text));
    CU_ASSERT_STRING_EQUAL(text, "");
    free(text);
    RT_OKAY(rt_h5_reader_text(in, "text", 10, &text));
    CU_ASSERT_STRING_EQUAL(text, "h\xc3\xa9llo");
    free(text);
    RT_OKAY(rt_h5_reader_text(in, "big", N + 1, &text));
    CU_ASSERT_STRING_EQUAL(text, big);
    free(text);
    free(big);
    double x = 0;
    int64_t i;
    RT_OKAY(rt_h5_reader_real(in, "real", &x));
    CU_ASSERT_EQUAL(x, 0.1);
    RT_FAILS(rt_h5_reader_text(in, "big", N, &text), RT_ERR_DATA,
             "is not a text");
    CU_ASSERT_PTR_NULL(text);
    RT_FAILS(rt_h5_reader_text(in, "real", 99, &text), RT_ERR_DATA,
             "is not a text");
    RT_FAILS(rt_h5_reader_int(in, "real", &i), RT_ERR_DATA, "64-bit number");
    RT_FAILS(rt_h5_reader_real(in, "none", &x), RT_ERR_DATA, "not in the file");
    rt_h5_reader_close(&in);
  }
  scratch_remove(folder);
}

static void test_refused(void)
{
  begin();
  if (my_rank == 0) {
    rt_h5 *h5;
    rt_h5_reader *in;
    uint32_t x[4] = {0};
    RT_FAILS(h5_open(path, &in), RT_ERR_NOINPUT, "No such file");
    CU_ASSERT_PTR_NULL(in);
    scratch_fill(path, 1000);
    RT_FAILS(h5_open(path, &in), RT_ERR_DATA, "x.h5: HDF5 cannot");
    RT_OKAY(rt_h5_create(path, &h5));
    RT_FAILS(rt_h5_declare(h5, "x", &(rt_h5_shape){RT_BF16, 2, 1, 1, 0}),
             RT_ERR_INTERNAL, "bf16");
    RT_FAILS(rt_h5_declare(h5, "x", &(rt_h5_shape){RT_U32, 1, 2, 2, 0}),
             RT_ERR_INTERNAL, "1-d 2 x 2");
    RT_FAILS(
        rt_h5_declare(h5, "x", &(rt_h5_shape){RT_U64, 2, INT64_MAX / 16, 4, 0}),
        RT_ERR_INTERNAL, "u64");
    RT_OKAY(rt_h5_declare(h5, "x", &shape));
    RT_FAILS(rt_h5_declare(h5, "x", &shape), RT_ERR_IO, "x: HDF5 cannot");
    RT_FAILS(rt_h5_write(h5, "x", ROWS, 0, rt_view_of(x, RT_U32, 1, 4)),
             RT_ERR_INTERNAL, "it has no u32 rows 37..38, columns 0..4");
    RT_FAILS(rt_h5_write(h5, "x", 0, 2, rt_view_of(x, RT_U32, 1, 4)),
             RT_ERR_INTERNAL, "columns 2..6");
    RT_FAILS(rt_h5_write(h5, "x", 0, 0, rt_view_of(x, RT_F32, 1, 4)),
             RT_ERR_INTERNAL, "it has no f32 rows");
    RT_FAILS(rt_h5_write(h5, "/x", 0, 0, rt_view_of(x, RT_U32, 1, 4)),
             RT_ERR_INTERNAL, "called");
    RT_OKAY(rt_h5_write(h5, "x", 3, 3, rt_view_of(x, RT_U32, 4, 0)));
    rt_h5_close(&h5);
    rt_h5_close(&h5); // NULL is accepted
  }
  scratch_remove(folder);
}

/** What rt_h5_look, and where that is content a read or rt_h5_extents, says of
 *  dataset x of files that tests/script_h5py.sh made with h5py. */
static const struct {
  const char *file, *name, *part;
} odd[] = {
    {"good", "x", NULL},
    {"soft", "x", "is a soft or external link"},
    {"external", "x", "is a soft or external link"},
    {"in_external", "g/x", "g is a soft or external link"},
    {"filter", "x", "has filters or external storage"},
    {"checksum", "x", "has filters or external storage"},
    {"other_file", "x", "has filters or external storage"},
    {"virtual", "x", "has HDF5 layout 3"},
    {"compact", "x", "has HDF5 layout 0"},
    {"grows", "x", "fixed dimensions"},
    {"columns", "x", "whole rows"},
    {"three", "x", "fixed dimensions (it has 3)"},
    {"scalar", "x", "fixed dimensions (it has 0)"},
    {"null", "x", "fixed dimensions"},
    {"i64", "x", "little-endian"},
    {"big_endian", "x", "little-endian"},
    {"text", "x", "little-endian"},
    {"compound", "x", "little-endian"},
    {"group", "x", "is not in the file"},
    {"type", "x", "HDF5 cannot open it"},
    {"sparse", "x", "chunk 0 is missing"},
    {"huge", "x", "1099511627776 x 1 do not fit a file of "},
    {"chunks", "x", "has 20000 chunks, expected at most 16384"},
};

static void test_odd(void)
{
  const char *const from = getenv("RT_TEST_ODD");
  int n_read = 0;
  begin();
  for (size_t i = 0; from != NULL && i < sizeof odd / sizeof odd[0]; i++) {
    char name[64];
    rt_h5_reader *in;
    rt_h5_shape s;
    rt_extent *extents = NULL;
    int64_t n;
    snprintf(name, sizeof name, "%s.h5", odd[i].file);
    RT_OKAY(rt_path_join(path, from, name));
    RT_OKAY(h5_open(path, &in));
    if (odd[i].part == NULL) {
      float x[12];
      RT_OKAY(rt_h5_reader_look(in, odd[i].name, &s));
      RT_OKAY(rt_h5_reader_read(in, "x", 0, 0, rt_view_of(x, RT_F32, 3, 4)));
      CU_ASSERT_EQUAL(x[11], 11.0F);
    } else {
      const rt_err err = rt_h5_reader_look(in, odd[i].name, &s);
      RT_FAILS(err != RT_OK
                   ? err
                   : rt_h5_reader_extents(in, odd[i].name, &extents, &n),
               RT_ERR_DATA, odd[i].part);
    }
    rt_h5_reader_close(&in);
    n_read++;
  }
  if (from != NULL)
    printf(" odd files read: %d ", n_read);
  scratch_remove(folder);
}

/** A dataset, and its rows' arrays one behind the other, for
 *  tests/script_h5py.sh to compare with what h5py reads. */
static void test_dataset(void)
{
  begin();
  rt_logits_info info = small;
  info.step = true;
  info.lanes = 1;
  const char *const to = getenv("RT_TEST_DATASET");
  if (to != NULL && my_rank == 0) {
    RT_OKAY(rt_logits_create(to, &info, "deck: 1\n"));
    for (int64_t i = 0; i < rt_logits_n_shards(&info); i++)
      RT_OKAY(write_shard(to, &info, i));
    RT_OKAY(rt_logits_finish(to));
    RT_OKAY(rt_path_join(path, to, "rows.bin"));
    FILE *const f = fopen(path, "wb");
    CU_ASSERT_PTR_NOT_NULL_FATAL(f);
    for (int64_t i = 0; i < info.n_rows; i++) {
      rt_logits_row row = make_row(&info, i);
      const size_t T = (size_t)row.n_tokens, n = (size_t)row.n_entries;
      fwrite(row.tok, 4, T + 1, f);
      fwrite(row.count, 4, T, f);
      fwrite(row.lse, 4, T, f);
      fwrite(row.label_logp, 4, T, f);
      fwrite(row.ids, 4, n, f);
      fwrite(row.logp, 4, n, f);
      rt_logits_row_clear(&row);
    }
    CU_ASSERT_EQUAL(fclose(f), 0);
  }
  scratch_remove(folder);
}

/** What is freed from now on goes past malloc's caches, and is overwritten. */
static void fill_caches(void)
{
  enum { EACH = 8, LARGEST = 1024 };
  void *block[LARGEST / 16][EACH];
  for (size_t n = 0; n < LARGEST / 16; n++)
    for (int i = 0; i < EACH; i++)
      block[n][i] = malloc(16 * n + 8);
  for (size_t n = 0; n < LARGEST / 16; n++)
    for (int i = 0; i < EACH; i++)
      free(block[n][i]);
}

/** HDF5 1.10 lets go of a file's driver, then calls it: it must be there
 *  still. */
static void test_driver_outlives_file(void)
{
  begin();
  if (my_rank == 0) {
    mallopt(M_PERTURB, 0x5A);
    for (int i = 0; i < 3; i++) {
      rt_h5 *h5;
      rt_outfile *to;
      RT_OKAY(rt_h5_create(path, &h5));
      RT_OKAY(rt_h5_put_int(h5, "n", -7));
      RT_OKAY(rt_outfile_create(path, &to));
      fill_caches();
      if (i < 2)
        RT_OKAY(rt_outfile_finish(rt_h5_save(&h5, NULL, 0, to), &to));
      else // left without a file
        RT_OKAY(rt_outfile_finish(RT_OK, &to));
      rt_h5_close(&h5);
      CU_ASSERT_PTR_NULL(h5);
      RT_OKAY(rt_path_remove(path));
    }
    mallopt(M_PERTURB, 0);
  }
  scratch_remove(folder);
}

RT_TEST_MAIN("h5", {"written together, read by anyone", test_together},
             {"extents", test_extents}, {"pieces", test_pieces},
             {"vectors", test_vectors}, {"attributes", test_attributes},
             {"what cannot be", test_refused}, {"odd files", test_odd},
             {"its driver outlives a file", test_driver_outlives_file},
             {"a dataset for h5py", test_dataset})
