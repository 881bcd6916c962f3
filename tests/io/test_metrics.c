/** \file test_metrics.c
 *  JSON lines: escapes, odd numbers, what a restart keeps.
 *  ranks: 1 */
#include "io/run/metrics.h"

#include "base/log.h"
#include "io/common/json.h"
#include "support/rt_test.h"
#include "support/scratch.h"
#include <math.h>
#include <signal.h>
#include <sys/resource.h>

static char folder[RT_PATH_MAX], path[RT_PATH_MAX];

static void begin(void)
{
  rt_log_setup(RT_LOG_INFO, RT_LOG_SILENT);
  scratch_create(folder);
  RT_OKAY(rt_path_join(path, folder, "metrics.jsonl"));
}

static void put_steps(int64_t resume, int64_t from, int64_t to, double salt)
{
  rt_metrics *m;
  RT_OKAY(rt_metrics_open(path, resume, &m));
  for (int64_t step = from; step <= to; step++) {
    rt_metrics_begin(m, "train", step);
    rt_metrics_real(m, "loss", (double)step + salt);
    RT_OKAY(rt_metrics_end(m));
  }
  RT_OKAY(rt_metrics_sync(m));
  rt_metrics_close(&m);
  CU_ASSERT_PTR_NULL(m);
}

/** The whole file; the caller frees. */
static char *contents(void)
{
  char *text;
  size_t n;
  RT_OKAY(rt_file_slurp(path, 1 << 20, &text, &n));
  return text;
}

static void test_line(void)
{
  begin();
  rt_metrics *m;
  RT_OKAY(rt_metrics_open(path, -1, &m));
  rt_metrics_begin(m, "eval", INT64_C(9007199254740993));
  rt_metrics_real(m, "a", 0.1);
  rt_metrics_real(m, "b", (double)NAN);
  rt_metrics_real(m, "c", -(double)INFINITY);
  rt_metrics_real(m, "third", 1.0 / 3.0);
  rt_metrics_int(m, "n", -5);
  rt_metrics_text(m, "text", "say \"hi\"\n\\ \x01 \xc3\xa9");
  RT_OKAY(rt_metrics_end(m));
  rt_metrics_close(&m);
  rt_metrics_close(&m); // NULL is accepted
  rt_json *j;
  RT_OKAY(rt_json_read(path, 1 << 20, &j));
  int64_t i = 0;
  double x = 0;
  CU_ASSERT_STRING_EQUAL(rt_json_text(rt_json_get(j, "kind")), "eval");
  CU_ASSERT_TRUE(rt_json_int(rt_json_get(j, "step"), &i));
  CU_ASSERT_EQUAL(i, INT64_C(9007199254740993));
  CU_ASSERT_TRUE(rt_json_real(rt_json_get(j, "third"), &x));
  CU_ASSERT_EQUAL(x, 1.0 / 3.0); // to the last bit
  CU_ASSERT_EQUAL(rt_json_kind_of(rt_json_get(j, "b")), RT_JSON_NULL);
  CU_ASSERT_EQUAL(rt_json_kind_of(rt_json_get(j, "c")), RT_JSON_NULL);
  CU_ASSERT_TRUE(rt_json_int(rt_json_get(j, "n"), &i));
  CU_ASSERT_EQUAL(i, -5);
  CU_ASSERT_STRING_EQUAL(rt_json_text(rt_json_get(j, "text")),
                         "say \"hi\"\n\\ \x01 \xc3\xa9");
  rt_json_free(&j);
  char *const text = contents();
  CU_ASSERT_PTR_EQUAL(strchr(text, '\n'), text + strlen(text) - 1);
  free(text);
  scratch_remove(folder);
}

/** Killed at step 9 after the checkpoint of step 5: as if never killed. */
static void test_restart(void)
{
  begin();
  put_steps(-1, 1, 12, 0);
  char *const expected = contents();
  put_steps(-1, 1, 9, 0);
  put_steps(5, 6, 12, 0);
  char *const got = contents();
  CU_ASSERT_STRING_EQUAL(got, expected);
  free(got);
  put_steps(100, 13, 13, 0); // nothing to cut
  char *const more = contents();
  CU_ASSERT_EQUAL(strncmp(more, expected, strlen(expected)), 0);
  CU_ASSERT_TRUE(strlen(more) > strlen(expected));
  free(more);
  put_steps(-1, 1, 0, 0);
  char *const none = contents();
  CU_ASSERT_STRING_EQUAL(none, "");
  free(none);
  free(expected);
  scratch_remove(folder);
}

/** What a restart at \a resume says; the caller frees. */
static char *said_at(int64_t resume)
{
  char log[RT_PATH_MAX], *text;
  size_t n;
  rt_metrics *m;
  RT_OKAY(rt_path_join(log, folder, "log"));
  rt_log_setup(RT_LOG_QUIET, RT_LOG_SPEAKS);
  RT_OKAY(rt_log_keep(log));
  RT_OKAY(rt_metrics_open(path, resume, &m));
  rt_metrics_begin(m, "start", resume);
  RT_OKAY(rt_metrics_end(m));
  rt_metrics_close(&m);
  rt_log_release();
  rt_log_setup(RT_LOG_INFO, RT_LOG_SILENT);
  RT_OKAY(rt_file_slurp(log, 1 << 16, &text, &n));
  RT_OKAY(rt_path_remove(log));
  return text;
}

/** Lines of steps before the checkpoint that are not there: the restart says
 *  which, once. */
static void test_missing(void)
{
  static const struct {
    const char *steps; // that have a line, digit by digit
    int64_t resume;
    const char *says; // NULL: nothing
  } cases[] = {
      {"123456", 6, NULL},
      {"1234567", 5, NULL}, // step 7 is cut
      {"123", 6, "lacks 3 lines, of steps 4 to 6, which were not written, or "},
      {"12356", 6, "lacks the line of step 4,"},
      {"2346", 8, "lacks 4 lines, of steps 1 to 8"},
      {"", 2, "lacks 2 lines, of steps 1 to 2"},
      {"12", 0, NULL}};
  char step[64];
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    begin();
    char text[512] = "{\"kind\": \"start\", \"step\": 0}\n";
    for (const char *c = cases[i].steps; *c != '\0'; c++) {
      snprintf(step, sizeof step, "{\"kind\": \"train\", \"step\": %c}\n", *c);
      strcat(text, step);
    }
    RT_OKAY(rt_file_put(path, text, strlen(text)));
    char *said = said_at(cases[i].resume);
    CU_ASSERT(cases[i].says != NULL ? strstr(said, cases[i].says) != NULL
                                    : said[0] == '\0');
    free(said);
    said = said_at(cases[i].resume); // it has been said
    CU_ASSERT_STRING_EQUAL(said, "");
    free(said);
    scratch_remove(folder);
  }
}

/** A file cut at any byte goes on with its whole lines. */
static void test_cut_anywhere(void)
{
  begin();
  put_steps(-1, 1, 4, 0.5);
  char *const whole = contents();
  for (size_t n = 0; n <= strlen(whole); n++) {
    RT_OKAY(rt_file_put(path, whole, n));
    size_t lines = n;
    while (lines > 0 && whole[lines - 1] != '\n')
      lines--;
    rt_metrics *m;
    RT_OKAY(rt_metrics_open(path, 4, &m));
    rt_metrics_close(&m);
    char *const got = contents();
    CU_ASSERT_EQUAL(strlen(got), lines);
    CU_ASSERT_EQUAL(strncmp(got, whole, lines), 0);
    free(got);
  }
  free(whole);
  const char odd[] = "\0\n{\"step\": 1.5}\n[]\n{\"step\": 2}\n{\"step\": 3\n";
  RT_OKAY(rt_file_put(path, odd, sizeof odd - 1));
  rt_metrics *m;
  RT_OKAY(rt_metrics_open(path, 4, &m));
  rt_metrics_close(&m);
  char *const got = contents();
  CU_ASSERT_STRING_EQUAL(got, "{\"step\": 2}\n");
  free(got);
  scratch_remove(folder);
}

static void test_cannot(void)
{
  begin();
  rt_metrics *m;
  RT_FAILS(rt_metrics_open(folder, 0, &m), RT_ERR_LOCKED, folder);
  CU_ASSERT_PTR_NULL(m);
  RT_OKAY(rt_metrics_open("/dev/full", -1, &m));
  for (int64_t step = 1; step <= 3; step++) {
    rt_metrics_begin(m, "train", step);
    RT_OKAY(rt_metrics_end(m)); // kept: training goes on
  }
  RT_FAILS(rt_metrics_sync(m), RT_ERR_IO, "/dev/full lacks 3 lines");
  rt_metrics_close(&m);
  scratch_remove(folder);
}

/** A run that ends without looking whether lines are kept writes them. */
static void test_kept(void)
{
  rt_metrics *m;
  struct rlimit old;
  begin();
  signal(SIGXFSZ, SIG_IGN); // as in the program: the write fails instead
  RT_OKAY(rt_metrics_open(path, -1, &m));
  getrlimit(RLIMIT_FSIZE, &old);
  setrlimit(RLIMIT_FSIZE, &(struct rlimit){0, old.rlim_max});
  rt_metrics_begin(m, "train", 1);
  RT_OKAY(rt_metrics_end(m));
  setrlimit(RLIMIT_FSIZE, &old);
  rt_metrics_close(&m);
  char *const text = contents();
  CU_ASSERT_STRING_EQUAL(text, "{\"kind\": \"train\", \"step\": 1}\n");
  free(text);
  scratch_remove(folder);
}

/** A restart knows the time of what it keeps; lists come back. */
static void test_time(void)
{
  begin();
  rt_metrics *m;
  const double list[] = {1.5, (double)NAN};
  RT_OKAY(rt_metrics_open(path, -1, &m));
  CU_ASSERT_EQUAL(rt_metrics_time(m), 0.0);
  for (int64_t step = 0; step <= 3; step++) {
    rt_metrics_begin(m, step == 0 ? "start" : "train", step);
    rt_metrics_real(m, "time_s", 10.0 * (double)step);
    rt_metrics_reals(m, "list", list, 2);
    RT_OKAY(rt_metrics_end(m));
  }
  rt_metrics_close(&m);
  char *const text = contents();
  CU_ASSERT_PTR_NOT_NULL(strstr(text, "\"list\": [1.5, null]}\n"));
  free(text);
  RT_OKAY(rt_metrics_open(path, 2, &m));
  CU_ASSERT_EQUAL(rt_metrics_time(m), 20.0);
  CU_ASSERT_EQUAL(rt_metrics_evaluated(m), -1);
  rt_metrics_close(&m);
  scratch_remove(folder);
}

RT_TEST_MAIN("metrics", {"a line reads back", test_line},
             {"a restart rewrites nothing twice", test_restart},
             {"lines that were never written", test_missing},
             {"files cut anywhere", test_cut_anywhere},
             {"time goes on", test_time},
             {"where nothing can be written", test_cannot},
             {"lines kept at the end", test_kept})
