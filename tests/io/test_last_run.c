/** \file test_last_run.c
 *  What scripts read of the last run in a folder.
 *  ranks: 1 */
#include "io/run/last_run.h"

#include "base/log.h"
#include "support/rt_test_files.h"

static char folder[RT_PATH_MAX];

static bool says(const char *part)
{
  char path[RT_PATH_MAX], *text;
  size_t n;
  RT_OKAY(rt_file_slurp(rt_in(folder, "last_run", path), 1 << 16, &text, &n));
  const bool found = strstr(text, part) != NULL;
  if (!found)
    fprintf(stderr, "no \"%s\" in:\n%s", part, text);
  free(text);
  return found;
}

static void test_states(void)
{
  static const struct {
    rt_err err;
    const char *state, *code;
  } ends[] = {{RT_OK, "state=finished\n", "code=0\n"},
              {RT_ERR_STOPPED, "state=stopped\n", "code=85\n"},
              {RT_ERR_HALTED, "state=halted\n", "code=86\n"},
              {RT_ERR_IO, "state=failed\n", "code=74\n"},
              {RT_ERR_NUMBER, "state=failed\n", "code=76\n"}};
  const rt_last_run run = {.first = 3, .saved = 8, .whole = 20};
  char path[RT_PATH_MAX];
  rt_scratch(folder);
  setenv("SLURM_JOB_ID", "77", 1);
  setenv("SLURM_RESTART_COUNT", "2", 1);
  RT_OKAY(rt_last_run_goes(folder, &run));
  CU_ASSERT_TRUE(says("state=running\ncode=-1\nfirst=3\nsaved=8\nwhole=20\n"));
  CU_ASSERT_TRUE(says("\nstart=77.2\n"));
  unsetenv("SLURM_JOB_ID");
  unsetenv("SLURM_RESTART_COUNT");
  for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
    rt_last_run_ends(folder, &run, ends[i].err);
    CU_ASSERT_TRUE(says(ends[i].state));
    CU_ASSERT_TRUE(says(ends[i].code));
  }
  CU_ASSERT_TRUE(says("\nstart=0.0\n"));
  rt_last_run_forget(folder);
  CU_ASSERT_FALSE(rt_path_exists(rt_in(folder, "last_run", path)));
  RT_OKAY(rt_path_remove(folder));
}

/** That it cannot be written does not hide why the run failed. */
static void test_keeps_error(void)
{
  const rt_last_run run = {.whole = 20};
  rt_log_setup(RT_LOG_INFO, RT_LOG_SILENT);
  rt_scratch(folder);
  RT_OKAY(rt_path_remove(folder));
  const rt_err err = RT_FAIL(RT_ERR_IO, "the first reason");
  rt_last_run_ends(folder, &run, err);
  CU_ASSERT_STRING_EQUAL(rt_err_text(), "the first reason");
  CU_ASSERT_NOT_EQUAL(rt_last_run_goes(folder, &run), RT_OK);
}

RT_TEST_MAIN("last_run", {"states", test_states},
             {"a disk that fails", test_keeps_error})
