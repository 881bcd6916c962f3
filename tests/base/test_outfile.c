/** \file test_outfile.c
 *  Written data is read back; drafts get their names only once.
 *  ranks: 1 */
#include "base/outfile.h"
#include "base/draft.h"

#include "support/rt_test.h"
#include "support/scratch.h"
#include <malloc.h>
#include <sys/file.h>

static char folder[RT_PATH_MAX], path[RT_PATH_MAX];

static void begin(void)
{
  scratch_create(folder);
  RT_OKAY(rt_path_join(path, folder, "x"));
}

static void check_contents(const char *file, const void *want, size_t n)
{
  char *got;
  size_t n_got;
  RT_OKAY(rt_file_slurp(file, 1 << 24, &got, &n_got));
  CU_ASSERT_EQUAL_FATAL(n_got, n);
  CU_ASSERT_EQUAL(memcmp(got, want, n), 0);
  free(got);
}

/** Append in small and large pieces after a header that is written last. */
static void test_pieces(void)
{
  enum { HEAD = 100, N = 3 << 20 };
  begin();
  unsigned char *const x = malloc(HEAD + N);
  for (int i = 0; i < HEAD + N; i++)
    x[i] = (unsigned char)((unsigned)i * 2654435761U >> 24);
  rt_outfile *f;
  RT_OKAY(rt_outfile_create(path, &f));
  rt_outfile_seek(f, HEAD);
  size_t done = 0;
  for (size_t n = 1; done < N; n = n * 3 + 1) {
    n = n < N - done ? n : N - done;
    RT_OKAY(rt_outfile_append(f, x + HEAD + done, n));
    done += n;
  }
  RT_OKAY(rt_outfile_put_at(f, x, HEAD, 0));
  RT_OKAY(rt_outfile_finish(RT_OK, &f));
  CU_ASSERT_PTR_NULL(f);
  check_contents(path, x, HEAD + N);
  free(x);
  scratch_remove(folder);
}

/** Columns of a matrix, row by row; what is lost of them is noticed. */
static void test_rows(void)
{
  enum { ROWS = 600, COLS = 4000, SKIP = 100 };
  unsigned char *const x = malloc(ROWS * COLS);
  for (int i = 0; i < ROWS * COLS; i++)
    x[i] = (unsigned char)((unsigned)i * 2654435761U >> 24);
  begin();
  for (int lost = -1; lost < ROWS; lost += ROWS / 3) {
    rt_outfile *f;
    RT_OKAY(rt_outfile_create(path, &f));
    const rt_outfile_rows left = {x, ROWS, SKIP, COLS, 0, COLS};
    const rt_outfile_rows right = {x + SKIP, ROWS, COLS - SKIP,
                                   COLS,     SKIP, COLS};
    RT_OKAY(rt_outfile_put_rows(f, &right));
    RT_OKAY(rt_outfile_put_rows(f, &left));
    if (lost >= 0)
      scratch_flip(path, (int64_t)lost * COLS + SKIP / 2, 1);
    const rt_err err = rt_outfile_finish(RT_OK, &f);
    CU_ASSERT_EQUAL(err, lost < 0 ? RT_OK : RT_ERR_IO);
    if (lost < 0)
      check_contents(path, x, ROWS * COLS);
  }
  free(x);
  scratch_remove(folder);
}

static size_t allocated(void)
{
  const struct mallinfo2 m = mallinfo2();
  return m.uordblks + m.hblkhd;
}

/** Short rows do not each cost memory until they are read back. */
static void test_short_rows(void)
{
  enum { ROWS = 40000, BYTES = 4, APART = 8 };
  char *const x = calloc(ROWS, BYTES);
  rt_outfile *f;
  begin();
  RT_OKAY(rt_outfile_create(path, &f));
  const rt_outfile_rows rows = {x, ROWS, BYTES, BYTES, 0, APART};
  const size_t before = allocated();
  RT_OKAY(rt_outfile_put_rows(f, &rows));
  CU_ASSERT(allocated() - before < 4096);
  RT_OKAY(rt_outfile_finish(RT_OK, &f));
  free(x);
  scratch_remove(folder);
}

/** Another thread says stop: nothing more is read back. */
static void test_given_up(void)
{
  _Atomic bool stop = false;
  begin();
  for (int i = 0; i < 2; i++) {
    rt_outfile *f;
    RT_OKAY(rt_outfile_create(path, &f));
    rt_outfile_heed(f, &stop);
    RT_OKAY(rt_outfile_append(f, "text", 4));
    const rt_err err = rt_outfile_finish(RT_OK, &f);
    CU_ASSERT_EQUAL(err, i == 0 ? RT_OK : RT_ERR_STOPPED);
    stop = true;
  }
  scratch_remove(folder);
}

/** A byte is lost, before and after the sync to disk. */
static void test_lost(void)
{
  begin();
  static const char text[] = "what is written";
  rt_outfile *f;
  for (int at = 0; at < 3; at++) {
    RT_OKAY(rt_outfile_create(path, &f));
    RT_OKAY(rt_outfile_put_at(f, text, sizeof text, 5));
    RT_OKAY(rt_outfile_put_at(f, text, sizeof text, 100));
    if (at < 2)
      scratch_flip(path, at == 0 ? 7 : 100 + sizeof text - 2, 1);
    else
      CU_ASSERT_EQUAL(truncate(path, 110), 0);
    RT_FAILS(rt_outfile_finish(RT_OK, &f), RT_ERR_IO, "do not read back");
    CU_ASSERT_PTR_NOT_NULL(strstr(rt_err_text(), at == 0 ? "5..21" : "100.."));
  }
  // an earlier failure takes precedence; a file that is not open is ignored
  RT_OKAY(rt_outfile_create(path, &f));
  RT_FAILS(rt_outfile_finish(RT_FAIL(RT_ERR_DATA, "first"), &f), RT_ERR_DATA,
           "first");
  RT_OKAY(rt_outfile_finish(RT_OK, &f));
  scratch_remove(folder);
}

static void write_draft(const rt_draft *d, const char *text)
{
  rt_outfile *f;
  RT_OKAY(rt_outfile_open(d->tmp, &f));
  RT_OKAY(rt_outfile_put_at(f, text, strlen(text), 0));
  RT_OKAY(rt_outfile_finish(RT_OK, &f));
}

/** The final name does not exist before the end, or after a failure. */
static void test_draft(void)
{
  begin();
  rt_draft d;
  RT_OKAY(rt_draft_file(path, &d));
  write_draft(&d, "a");
  CU_ASSERT_FALSE(rt_path_exists(path));
  RT_FAILS(rt_draft_conclude(RT_FAIL(RT_ERR_DATA, "no"), &d), RT_ERR_DATA,
           "no");
  CU_ASSERT_FALSE(rt_path_exists(path));
  CU_ASSERT_FALSE(rt_path_exists(d.tmp));
  RT_OKAY(rt_draft_file(path, &d));
  write_draft(&d, "b");
  RT_OKAY(rt_draft_conclude(RT_OK, &d));
  check_contents(path, "b", 1);
  RT_FAILS(rt_draft_file(path, &d), RT_ERR_LOCKED, "exists");
  RT_FAILS(rt_draft_folder(path, &d), RT_ERR_LOCKED, "exists");
  scratch_remove(folder);
}

/** If two processes create the same name, the first to finish wins. */
static void test_two(void)
{
  begin();
  for (int kind = 0; kind < 2; kind++) {
    rt_draft d;
    RT_OKAY(kind == 0 ? rt_draft_file(path, &d) : rt_draft_folder(path, &d));
    if (kind == 0) { // another process makes it meanwhile
      const int fd = open(path, O_WRONLY | O_CREAT, 0666);
      RT_OKAY(rt_file_write_at(fd, path, "theirs", 6, 0));
      close(fd);
    } else {
      RT_OKAY(rt_folder_create(path));
    }
    RT_FAILS(rt_draft_conclude(RT_OK, &d), RT_ERR_LOCKED,
             "another run has made it");
    CU_ASSERT_FALSE(rt_path_exists(d.tmp));
    if (kind == 0)
      check_contents(path, "theirs", 6);
    RT_OKAY(rt_path_remove(path));
  }
  scratch_remove(folder);
}

/** A killed process's draft is removed, a live one's is kept, and so are files
 *  with similar names. */
static void test_left_over(void)
{
  begin();
  char old[RT_PATH_MAX], live[RT_PATH_MAX], other[RT_PATH_MAX];
  RT_OKAY(rt_path_join(old, folder, "x.tmp.host.1"));
  RT_OKAY(rt_path_join(live, folder, "x.tmp.host.2"));
  RT_OKAY(rt_path_join(other, folder, "xy.tmp.host.1"));
  RT_OKAY(rt_folder_create(old));
  RT_OKAY(rt_folder_create(live));
  RT_OKAY(rt_file_put(other, "", 0));
  const int fd = open(live, O_RDONLY);
  CU_ASSERT_EQUAL(flock(fd, LOCK_EX), 0);
  rt_draft d;
  RT_OKAY(rt_draft_folder(path, &d));
  CU_ASSERT_FALSE(rt_path_exists(old));
  CU_ASSERT_TRUE(rt_path_exists(live));
  CU_ASSERT_TRUE(rt_path_exists(other));
  RT_OKAY(rt_draft_conclude(RT_OK, &d));
  close(fd);
  scratch_remove(folder);
}

/** A file of the user's that looks similar stays. */
static void test_similar(void)
{
  static const char *const names[] = {"x.tmp.csv", "x.tmp.12", "x.tmp.h.12a",
                                      "x.tmp", "x.y.tmp.h.12"};
  begin();
  char other[RT_PATH_MAX];
  rt_draft d;
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
    RT_OKAY(rt_path_join(other, folder, names[i]));
    RT_OKAY(rt_file_put(other, "", 0));
    RT_OKAY(rt_draft_file(path, &d));
    CU_ASSERT_TRUE(rt_file_exists(other));
    RT_FAILS(rt_draft_conclude(RT_FAIL(RT_ERR_DATA, "no"), &d), RT_ERR_DATA,
             "no");
  }
  scratch_remove(folder);
}

RT_TEST_MAIN("outfile", {"rows", test_rows}, {"short rows", test_short_rows},
             {"given up", test_given_up}, {"pieces", test_pieces},
             {"bytes are lost", test_lost}, {"a draft", test_draft},
             {"two of one name", test_two}, {"left-overs", test_left_over},
             {"similar names", test_similar})
