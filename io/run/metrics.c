/** \file metrics.c
 *  Metrics, one JSON object per line. */
#include "io/run/metrics.h"

#include "base/file.h"
#include "base/lines.h"
#include "base/log.h"
#include "io/common/json.h"
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/** Lines of some 20,000 steps, for a disk that is full for a while.  Memory
 *  that is never written to is never taken. */
static const size_t kept_bytes = (size_t)8 << 20;

/** What is known about the lines that are kept. */
typedef struct rt_metrics_past {
  int64_t evaluated; // step of the last evaluation, or -1
  double time_s;     // maximum of time_s
  int64_t trained;   // the last step that has a line, or that a start is at
  int64_t n_missing; // steps without a line since the last start, with the
                     // first and the last of them in the next two
  int64_t missing, last_missing;
} rt_metrics_past;

struct rt_metrics {
  rt_lines to; // fd and kept are owned
  bool fails;  // the last line could not be written, which has been said
  bool loses;  // lines are lost, the same
  bool lacks;  // the caller knows what is missing at the end
  FILE *line;  // owned: into text [n], owned
  char *text;
  size_t n;
  bool in_line;
  rt_metrics_past past;
  char path[];
};

/** After \a trained, the next line is of \a step. */
static void note_step(rt_metrics_past *past, int64_t step)
{
  const int64_t n = step - past->trained - 1;
  if (n > 0) {
    past->missing = past->n_missing == 0 ? past->trained + 1 : past->missing;
    past->last_missing = step - 1;
    past->n_missing += n;
  }
  past->trained = step;
}

/** Take note of a line that is kept.  What was missing at an earlier start was
 *  told then. */
static void note_line(rt_metrics_past *past, const char *kind, int64_t step)
{
  if (strcmp(kind, "eval") == 0)
    past->evaluated = step;
  if (strcmp(kind, "train") == 0)
    note_step(past, step);
  if (strcmp(kind, "start") == 0) {
    past->trained = step;
    past->n_missing = 0;
  }
}

/** Tell which steps have no line: a run was killed while its disk was full, its
 *  node was lost, or a user has moved the file away. */
static void tell_missing(const char *path, int64_t resume_step,
                         rt_metrics_past *past)
{
  note_step(past, resume_step + 1);
  if (past->n_missing == 1)
    rt_warn("%s lacks the line of step %lld, which was not written, or was "
            "removed",
            path, (long long)past->missing);
  else if (past->n_missing > 0)
    rt_warn("%s lacks %lld lines, of steps %lld to %lld, which were not "
            "written, or were removed",
            path, (long long)past->n_missing, (long long)past->missing,
            (long long)past->last_missing);
}

/** Is it a line that is kept?  \a whole is false for an invalid line (truncated
 *  by a crash); \a past is updated from a line that is kept. */
static bool stays(const char *line, size_t n, int64_t resume_step, bool *whole,
                  rt_metrics_past *past)
{
  rt_json *j;
  int64_t step = 0;
  double time_s = 0.0;
  *whole = false;
  if (rt_json_parse("metrics", line, n, &j) != RT_OK)
    return false;
  *whole = rt_json_int(rt_json_get(j, "step"), &step);
  const bool good = *whole && step <= resume_step;
  const char *const kind = rt_json_text(rt_json_get(j, "kind"));
  if (good && kind != NULL)
    note_line(past, kind, step);
  if (good && rt_json_real(rt_json_get(j, "time_s"), &time_s))
    past->time_s = fmax(past->time_s, time_s);
  rt_json_free(&j);
  return good;
}

/** Keep the lines up to \a resume_step, in place; returns the new length. */
static size_t keep_lines(char *text, size_t n, int64_t resume_step,
                         const char *path, rt_metrics_past *past)
{
  size_t kept = 0;
  int n_odd = 0;
  for (size_t i = 0; i < n;) {
    const char *const newline = memchr(text + i, '\n', n - i);
    const size_t length =
        newline == NULL ? n - i : (size_t)(newline - (text + i)) + 1;
    bool whole = false;
    const bool good =
        newline != NULL && stays(text + i, length, resume_step, &whole, past);
    n_odd += !whole;
    if (good) {
      memmove(text + kept, text + i, length);
      kept += length;
    }
    i += length;
  }
  if (n_odd > 0)
    rt_warn("%s: %d truncated lines are dropped", path, n_odd);
  return kept;
}

static rt_err cut(const char *path, int64_t resume_step, rt_metrics_past *past)
{
  int64_t bytes = 0;
  if (rt_file_exists(path))
    RT_TRY(rt_file_size(path, &bytes));
  if (bytes == 0)
    return RT_OK;
  if (resume_step < 0)
    return rt_file_put(path, "", 0);
  char *text;
  size_t n;
  RT_TRY(rt_file_slurp(path, (size_t)bytes, &text, &n));
  const size_t kept = keep_lines(text, n, resume_step, path, past);
  const rt_err err = kept < n ? rt_file_put(path, text, kept) : RT_OK;
  free(text);
  RT_TRY(err);
  return RT_OK;
}

rt_err rt_metrics_open(const char *path, int64_t resume_step, rt_metrics **out)
{
  *out = NULL;
  rt_metrics_past past = {.evaluated = -1};
  RT_TRY(cut(path, resume_step, &past));
  if (resume_step >= 0)
    tell_missing(path, resume_step, &past);
  rt_metrics *m = calloc(1, sizeof *m + strlen(path) + 1);
  RT_CHECK(m != NULL, RT_ERR_MEM, "%zu bytes to open %s", sizeof *m, path);
  strcpy(m->path, path);
  m->past = past;
  m->to = (rt_lines){.fd = -1,
                     .path = m->path,
                     .kept = calloc(kept_bytes, 1),
                     .room = kept_bytes,
                     .stay = RT_LINES_FIRST};
  *out = m;
  const rt_err err =
      rt_file_open_output(path, O_WRONLY | O_CREAT | O_APPEND, &m->to.fd);
  m->line = err == RT_OK ? open_memstream(&m->text, &m->n) : NULL;
  if (m->line != NULL && m->to.kept != NULL)
    return RT_OK;
  rt_metrics_close(out);
  return err != RT_OK ? err : RT_FAIL(RT_ERR_MEM, "a line of %s", path);
}

int64_t rt_metrics_evaluated(const rt_metrics *m)
{
  return m->past.evaluated;
}

double rt_metrics_time(const rt_metrics *m)
{
  return m->past.time_s;
}

void rt_metrics_begin(rt_metrics *m, const char *kind, int64_t step)
{
  RT_ASSERT(!m->in_line);
  m->in_line = true;
  fputs("{\"kind\": ", m->line);
  rt_json_put_text(m->line, kind);
  fprintf(m->line, ", \"step\": %lld", (long long)step);
}

static void put_name(rt_metrics *m, const char *name)
{
  RT_ASSERT(m->in_line);
  fputs(", ", m->line);
  rt_json_put_text(m->line, name);
  fputs(": ", m->line);
}

static void put_real(rt_metrics *m, double value)
{
  if (isfinite(value))
    rt_json_put_real(m->line, value);
  else
    fputs("null", m->line);
}

void rt_metrics_real(rt_metrics *m, const char *name, double value)
{
  put_name(m, name);
  put_real(m, value);
}

void rt_metrics_reals(rt_metrics *m, const char *name, const double *values,
                      int n)
{
  put_name(m, name);
  fputc('[', m->line);
  for (int i = 0; i < n; i++) {
    fputs(i > 0 ? ", " : "", m->line);
    put_real(m, values[i]);
  }
  fputc(']', m->line);
}

void rt_metrics_int(rt_metrics *m, const char *name, int64_t value)
{
  put_name(m, name);
  fprintf(m->line, "%lld", (long long)value);
}

void rt_metrics_text(rt_metrics *m, const char *name, const char *value)
{
  put_name(m, name);
  rt_json_put_text(m->line, value);
}

/** Say once that lines are kept or lost, and once that they are written. */
static void say(rt_metrics *m, int reason)
{
  char why[RT_LINES_WHY];
  const bool loses = m->to.n_lost > 0;
  if (reason != 0 && (!m->fails || loses != m->loses)) {
    rt_lines_why(&m->to, reason, why);
    rt_warn("%s.  Training goes on; its metrics are %s", why,
            loses ? "lost from now on, as too many are kept"
                  : "kept in memory, and written as soon as they can be");
  }
  if (reason == 0 && m->fails)
    rt_info("%s: the lines that were kept are written", m->path);
  m->fails = reason != 0;
  m->loses = loses;
}

rt_err rt_metrics_end(rt_metrics *m)
{
  RT_ASSERT(m->in_line);
  m->in_line = false;
  fputs("}\n", m->line);
  const bool fits = fflush(m->line) == 0 && ferror(m->line) == 0;
  RT_CHECK(fits, RT_ERR_MEM, "a line of %s", m->path);
  rewind(m->line);
  say(m, rt_lines_put(&m->to, m->text, m->n));
  return RT_OK;
}

rt_err rt_metrics_sync(rt_metrics *m)
{
  char why[RT_LINES_WHY] = "it could not be written for too long";
  const int reason = rt_lines_write(&m->to);
  const int64_t n = rt_lines_kept(&m->to) + m->to.n_lost;
  m->lacks = n > 0;
  if (reason != 0)
    rt_lines_why(&m->to, reason, why);
  RT_CHECK(n == 0, RT_ERR_IO, "%s lacks %lld lines: %s", m->path, (long long)n,
           why);
  return rt_file_flush(m->to.fd, m->path);
}

/** Write what is kept, or say how much is lost, as not each end syncs. */
static void write_rest(rt_metrics *m)
{
  rt_lines_write(&m->to);
  const int64_t n = rt_lines_kept(&m->to) + m->to.n_lost;
  if (n > 0 && !m->lacks)
    rt_warn("%s lacks %lld lines", m->path, (long long)n);
}

void rt_metrics_close(rt_metrics **m)
{
  if (*m == NULL)
    return;
  write_rest(*m);
  if ((*m)->to.fd >= 0)
    close((*m)->to.fd);
  if ((*m)->line != NULL)
    fclose((*m)->line);
  free((*m)->to.kept);
  free((*m)->text);
  free(*m);
  *m = NULL;
}
