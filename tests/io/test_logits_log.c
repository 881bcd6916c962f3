/** \file test_logits_log.c
 *  The log of a shard that is not sealed: what a restarted run reads, what it
 *  refuses, and what a failed sync leaves.
 *  ranks: 1 */
#include "io/logits/logits_log.h"
#include "support/logits_scene.h"
#include "support/rt_test_files.h"
#include <errno.h>
#include <sys/stat.h>
#include <sys/syscall.h>

enum { N_ROWS = 5 };

static rt_logits_info info;

/** What the next syncs fail with; 0: they succeed.  fsync() precedes the
 *  system's. */
static int sync_fails;

int fsync(int fd)
{
  errno = sync_fails;
  return sync_fails != 0 ? -1 : (int)syscall(SYS_fsync, fd);
}

static const char *path_of(char path[RT_PATH_MAX])
{
  return rt_in(folder, "rows-000002.log", path);
}

static int64_t size_now(void)
{
  char path[RT_PATH_MAX];
  int64_t bytes;
  RT_OKAY(rt_file_size(path_of(path), &bytes));
  return bytes;
}

static rt_logits_log *open_log(void)
{
  rt_logits_log *log;
  RT_OKAY(rt_logits_log_open(folder, &info, 2, &log));
  return log;
}

static void add(rt_logits_log *log, int64_t i)
{
  rt_logits_row row = make_row(&info, i);
  RT_OKAY(rt_logits_log_add(log, &row));
  rt_logits_row_clear(&row);
}

/** Is the next row that of number \a i? */
static bool next_is(rt_logits_log *log, int64_t i)
{
  rt_logits_row row = {0}, want = make_row(&info, i);
  RT_OKAY(rt_logits_log_next(log, &row));
  const bool same =
      row.n_entries == want.n_entries &&
      memcmp(row.tok, want.tok, (size_t)(info.seq + 1) * 4) == 0 &&
      memcmp(row.logp, want.logp, (size_t)row.n_entries * 4) == 0;
  rt_logits_row_clear(&row);
  rt_logits_row_clear(&want);
  return same;
}

static void begin_with_rows(void)
{
  begin();
  info = info_of(8, 100, 16, 8);
  rt_logits_log *log = open_log();
  for (int64_t i = 0; i < N_ROWS; i++)
    add(log, i);
  RT_OKAY(rt_logits_log_sync(log));
  rt_logits_log_close(&log);
}

/** A restarted run reads some rows, and writes the others anew. */
static void test_goes_on(void)
{
  char path[RT_PATH_MAX];
  begin_with_rows();
  rt_logits_log *log = open_log();
  CU_ASSERT_TRUE(next_is(log, 0) && next_is(log, 1));
  add(log, 7); // the rows 2 to 4 came after the checkpoint
  rt_logits_log_close(&log);
  log = open_log();
  rt_logits_row row = {0};
  CU_ASSERT_TRUE(next_is(log, 0) && next_is(log, 1) && next_is(log, 7));
  RT_FAILS(rt_logits_log_next(log, &row), RT_ERR_DATA, "rows-000002.log");
  rt_logits_row_clear(&row);
  RT_OKAY(rt_logits_log_remove(&log));
  CU_ASSERT_FALSE(rt_path_exists(path_of(path)));
  scratch_remove(folder);
}

/** A row of which a byte changed, or the end is missing, is refused. */
static void test_damage(void)
{
  char path[RT_PATH_MAX];
  rt_logits_row row = {0};
  begin_with_rows();
  const int64_t bytes = size_now();
  for (int64_t at = 0; at < bytes; at += 7) {
    scratch_flip(path_of(path), at, 16);
    rt_logits_log *log = open_log();
    rt_err err = RT_OK;
    for (int i = 0; err == RT_OK && i < N_ROWS; i++)
      err = rt_logits_log_next(log, &row);
    CU_ASSERT_EQUAL(err, RT_ERR_DATA);
    rt_logits_log_close(&log);
    scratch_flip(path_of(path), at, 16);
  }
  for (int64_t n = bytes - 1; n > bytes - 40; n--) {
    CU_ASSERT_EQUAL(truncate(path_of(path), n), 0);
    rt_logits_log *log = open_log();
    for (int i = 0; i < N_ROWS - 1; i++)
      RT_OKAY(rt_logits_log_next(log, &row));
    RT_FAILS(rt_logits_log_next(log, &row), RT_ERR_DATA, "rows-000002.log");
    rt_logits_log_close(&log);
  }
  rt_logits_row_clear(&row);
  scratch_remove(folder);
}

/** After a failed sync all is written again; what the system has dropped
 *  meanwhile is noticed. */
static void test_failed_sync(void)
{
  char path[RT_PATH_MAX];
  struct stat before, after;
  begin_with_rows();
  rt_logits_log *log = open_log();
  CU_ASSERT_TRUE(next_is(log, 0));
  add(log, 1);
  add(log, 2);
  sync_fails = ENOSPC;
  RT_FAILS(rt_logits_log_sync(log), RT_ERR_IO, "rows-000002.log");
  sync_fails = 0;
  stat(path_of(path), &before);
  rt_test_sleep(0.05);
  RT_OKAY(rt_logits_log_sync(log));
  stat(path, &after);
  CU_ASSERT_TRUE(after.st_mtim.tv_nsec != before.st_mtim.tv_nsec);
  RT_OKAY(rt_logits_log_sync(log));
  stat(path, &before); // not once more
  CU_ASSERT_EQUAL(after.st_mtim.tv_nsec, before.st_mtim.tv_nsec);
  sync_fails = EIO;
  RT_FAILS(rt_logits_log_sync(log), RT_ERR_IO, "rows-000002.log");
  sync_fails = 0;
  scratch_flip(path, size_now() - 3, 1);
  RT_FAILS(rt_logits_log_sync(log), RT_ERR_IO, "has lost the row");
  RT_FAILS(rt_logits_log_sync(log), RT_ERR_IO, "has lost the row");
  scratch_flip(path, size_now() - 3, 1);
  RT_OKAY(rt_logits_log_sync(log));
  rt_logits_log_close(&log);
  scratch_remove(folder);
}

RT_TEST_MAIN("logits_log", {"a restart goes on", test_goes_on},
             {"damage", test_damage}, {"a failed sync", test_failed_sync})
