/** \file run_count.c
 *  Runs a teacher over a corpus to count the entries that a dataset would have.
 *
 *  Micro-batches are assigned to the dp groups in turn; groups never wait for
 *  each other before the end. */
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "distill/capture/capture_size.h"
#include "distill/capture/entry_counts.h"
#include "distill/capture/capture.h"
#include "distill/capture/job_capture.h"
#include "distill/job/wall.h"
#include "distill/job/weights.h"
#include "distill/run/run.h"
#include "io/common/json.h"
#include <math.h>
#include <stdlib.h>

typedef struct count {
  rt_job *job;           // borrowed
  rt_logits_info info;   // of the widest dataset: all p, and k up to a limit
  int64_t first, n_rows; // rows of the stream
  rt_capture_teacher teacher; // owned
  rt_entry_counts *counts;    // owned
  double wall_end_s;          // on the clock of rt_now_s, 0: no limit
  double drawn;  // sum over tokens: expected number of distinct ids of N draws
  int64_t draws; // N
} count;

/** Set the limit of k: top_k if set, otherwise 5 % of V (as in SLIM; nobody
 *  keeps more); the head returns the k largest, in memory for k entries per
 *  token. */
static void describe(count *c)
{
  const rt_job *job = c->job;
  rt_logits_info *const info = &c->info;
  rt_job_capture_rule(job, info);
  const bool given = rt_deck_is_set(job->deck, RT_KEY_CAP_TOP_K);
  info->vocab = rt_arch_true_vocab(&job->arch_t);
  info->n_rows = c->n_rows;
  info->top_p = 1.0;
  info->draws = 0;
  if (!given)
    info->top_k = info->vocab / 20 > 100 ? info->vocab / 20 : 100;
  snprintf(info->encoding, sizeof info->encoding, "packed");
  c->draws = rt_deck_int(job->deck, RT_KEY_CAP_DRAWS);
}

/** Expected number of distinct ids among N draws: each entry is drawn at least
 *  once with probability 1 - (1 - p)^N; the remaining mass counts as ids drawn
 *  once. */
static double expected_ids(const float *logp, int64_t n, int64_t draws)
{
  double mass = 0.0, ids = 0.0;
  for (int64_t i = 0; i < n; i++) {
    const double p = fmin(1.0, exp((double)logp[i]));
    mass += p;
    ids += p < 1.0 ? -expm1((double)draws * log1p(-p)) : 1.0;
  }
  return ids + (double)draws * fmax(0.0, 1.0 - mass);
}

static void add_rows(count *c, int64_t n_rows)
{
  const rt_entries *e = &c->teacher.entries;
  if (c->job->grid_t.i_tp != 0) // the ranks of a group have the same entries
    return;
  for (int64_t t = 0; t < n_rows * c->job->seq; t++) {
    const float *const logp = e->logp + t * e->k;
    rt_entry_counts_add(c->counts, logp, e->count[t]);
    c->drawn += expected_ids(logp, e->count[t], c->draws);
  }
}

/** Reasons to end counting early; ranks agree on the maximum. */
enum { GO_ON, STOP_WALL, STOP_ASKED };

/** The reason, if any, for which this rank would not start another micro-batch;
 *  the last one took \a s seconds. */
static int32_t wish(const count *c, double s)
{
  if (c->job->hooks->stop_asked())
    return STOP_ASKED;
  return c->wall_end_s > 0.0 && rt_now_s() + s >= c->wall_end_s ? STOP_WALL
                                                                : GO_ON;
}

/** Count this group's rows, until done or told to stop. */
static rt_err count_share(count *c, int32_t *stop)
{
  rt_job *job = c->job;
  const int64_t micro = c->teacher.spec.micro_rows;
  const int64_t step = micro * job->grid_t.dp;
  for (int64_t r = micro * job->grid_t.i_dp; r < c->n_rows && *stop == GO_ON;
       r += step) {
    const double since = rt_now_s();
    const int64_t n = c->n_rows - r < micro ? c->n_rows - r : micro;
    job->hooks->beat(r, "count");
    RT_TRY(rt_capture_teacher_run(&c->teacher, c->first + r, n));
    rt_phases_to(&job->phases, RT_PHASE_OTHER);
    add_rows(c, n);
    *stop = r + step < c->n_rows ? wish(c, rt_now_s() - since) : GO_ON;
    RT_TRY(
        rt_comm_allreduce_host(job->grid_t.comm_tp, stop, 1, RT_I32, RT_MAX));
  }
  return RT_OK;
}

/** Bytes per token of the dataset of a cell. */
static double bytes_of(const count *c, const char *encoding, double entries)
{
  rt_logits_info info = c->info;
  snprintf(info.encoding, sizeof info.encoding, "%s", encoding);
  return rt_capture_size_of(&info, entries).likely;
}

static void put_number(FILE *to, const char *name, double value)
{
  fprintf(to, ", \"%s\": ", name);
  rt_json_put_real(to, value);
}

static void put_cell(const count *c, const rt_entry_cell *cell, FILE *to)
{
  fputs("{\"top_p\": ", to);
  rt_json_put_real(to, cell->top_p);
  fprintf(to, ", \"top_k\": %lld", (long long)cell->top_k);
  put_number(to, "entries", cell->entries);
  put_number(to, "mass", cell->mass);
  fprintf(to, ", \"p50\": %lld, \"p95\": %lld, \"p99\": %lld",
          (long long)cell->median, (long long)cell->most95,
          (long long)cell->most99);
  put_number(to, "exact_bytes", bytes_of(c, "exact", cell->entries));
  put_number(to, "packed_bytes", bytes_of(c, "packed", cell->entries));
  fputc('}', to);
}

static void put_all(const count *c, FILE *to)
{
  const double tokens = (double)rt_entry_counts_tokens(c->counts);
  int n_p, n_k;
  rt_entry_counts_shape(c->counts, &n_p, &n_k);
  fprintf(
      to,
      "{\"format\": \"retort-counts\", \"version\": 1,\n\"first_row\": %lld, "
      "\"rows\": %lld, \"tokens\": %.0f, \"vocab\": %lld, \"widest_k\": "
      "%lld,\n\"draws\": %lld",
      (long long)c->first, (long long)c->n_rows, tokens,
      (long long)c->info.vocab, (long long)rt_capture_max_entries(&c->info),
      (long long)c->draws);
  put_number(to, "sampled_ids", c->drawn / tokens);
  put_number(to, "sampled_bytes", bytes_of(c, "sampled", c->drawn / tokens));
  fputs(",\n\"cells\": [", to);
  for (int i = 0; i < n_p * n_k; i++) {
    const rt_entry_cell cell =
        rt_entry_counts_cell(c->counts, i / n_k, i % n_k);
    fputs(i > 0 ? ",\n" : "\n", to);
    put_cell(c, &cell, to);
  }
  fputs("\n]}\n", to);
}

static rt_err write_json(const count *c, const char *folder)
{
  char path[RT_PATH_MAX], *text = NULL;
  size_t n = 0;
  RT_TRY(rt_path_join(path, folder, "counts.json"));
  RT_TRY(rt_folder_create(folder));
  FILE *const to = open_memstream(&text, &n);
  RT_CHECK(to != NULL, RT_ERR_MEM, "the text of %s", path);
  put_all(c, to);
  const rt_err err = fclose(to) == 0
                         ? rt_file_put(path, text, n)
                         : RT_FAIL(RT_ERR_MEM, "the text of %s", path);
  free(text);
  RT_TRY(err);
  rt_info("written: %s", path);
  return RT_OK;
}

static void print_table(const count *c)
{
  const double tokens = (double)rt_entry_counts_tokens(c->counts);
  const double ids = c->drawn / tokens;
  int n_p, n_k;
  rt_entry_counts_shape(c->counts, &n_p, &n_k);
  rt_info("counted %.0f tokens in %lld rows; k up to %lld of %lld: larger k "
          "are not distinguished",
          tokens, (long long)c->n_rows,
          (long long)rt_capture_max_entries(&c->info),
          (long long)c->info.vocab);
  rt_entry_counts_print_grid(c->counts);
  char line[256];
  for (int p = 0; p < n_p; p++) {
    int n = snprintf(line, sizeof line,
                     "packed  p %5.2f ", // printed below the grid
                     rt_entry_counts_cell(c->counts, p, 0).top_p);
    for (int k = 0; k < n_k; k++)
      n += snprintf(
          line + n, sizeof line - (size_t)n, " %14.1f",
          bytes_of(c, "packed", rt_entry_counts_cell(c->counts, p, k).entries));
    rt_info("%s", line);
  }
  rt_info("exact: %.0f bytes per token and %.0f per entry; %lld draws: about "
          "%.1f ids and %.1f bytes per token",
          bytes_of(c, "exact", 0.0),
          bytes_of(c, "exact", 1.0) - bytes_of(c, "exact", 0.0),
          (long long)c->draws, ids, bytes_of(c, "sampled", ids));
}

static void say_waiting(void *job)
{
  ((const rt_job *)job)->hooks->waits("done, waiting for other groups");
}

static rt_err prepare(count *c)
{
  rt_job *job = c->job;
  RT_CHECK(rt_deck_text(job->deck, RT_KEY_CAP_DIR)[0] != '\0', RT_ERR_CONFIG,
           "capture.dir is empty: name the folder for counts.json");
  RT_TRY(rt_wall_end(job, &c->wall_end_s));
  RT_TRY(rt_job_capture_range(job, &c->first, &c->n_rows));
  describe(c);
  RT_TRY(rt_job_capture_teacher(job, &c->info, &c->teacher));
  RT_TRY(rt_job_capture_check(job, &c->teacher));
  RT_TRY(rt_agree(job->world,
                  rt_entry_counts_create(1.0, rt_capture_max_entries(&c->info),
                                         &c->counts)));
  RT_TRY(rt_capture_teacher_commit(&c->teacher));
  return rt_weights_load(job->world, job->dev, c->teacher.model,
                         rt_deck_text(job->deck, RT_KEY_TEA_WEIGHTS));
}

static rt_err run(count *c)
{
  rt_job *job = c->job;
  const rt_comm *world = job->world;
  int32_t stop = GO_ON;
  RT_TRY(prepare(c));
  const rt_err err = count_share(c, &stop);
  if (err != RT_OK) // the peers may be inside the teacher and cannot be told
    job->hooks->fatal(err);
  RT_TRY(err);
  RT_TRY(rt_comm_meet(world, say_waiting, job));
  RT_TRY(rt_comm_allreduce_host(world, &stop, 1, RT_I32, RT_MAX));
  RT_CHECK(stop == GO_ON, RT_ERR_STOPPED,
           "counting was stopped %s: nothing is written",
           stop == STOP_WALL ? "before the wall limit" : "by a signal");
  RT_TRY(rt_entry_counts_sum(c->counts, world));
  RT_TRY(rt_comm_allreduce_host(world, &c->drawn, 1, RT_F64, RT_SUM));
  print_table(c);
  return rt_agree(world,
                  rt_comm_rank(world) == 0
                      ? write_json(c, rt_deck_text(job->deck, RT_KEY_CAP_DIR))
                      : RT_OK);
}

rt_err rt_run_count(rt_job *job)
{
  count c = {.job = job};
  const rt_err err = run(&c);
  if (err != RT_OK)
    rt_dev_drop(job->dev); // what is in its queues uses what goes now
  rt_capture_teacher_clear(&c.teacher);
  rt_entry_counts_destroy(&c.counts);
  return err;
}
