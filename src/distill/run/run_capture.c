/** \file run_capture.c
 *  Runs a teacher over a corpus and writes a dataset of truncated logits.
 *
 *  Missing shards are assigned to the dp groups in turn and computed row by
 *  row, so that the bits of the dataset depend only on the teacher's tp and the
 *  size of the logit tile.  Groups never wait for each other.  The first rank
 *  of a group writes its shards. */
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "distill/capture/capture.h"
#include "distill/capture/job_capture.h"
#include "distill/capture/shard_pipe.h"
#include "distill/job/wall.h"
#include "distill/job/weights.h"
#include "distill/run/run.h"
#include "distill/job/job_memory.h"
#include "io/run/last_run.h"
#include <stdlib.h>
#include <string.h>

typedef struct rt_capture {
  rt_job *job;         // borrowed
  const char *folder;  // borrowed, capture.dir
  rt_logits_info info; // the same on every rank
  int64_t n_shards;
  bool *done;    // owned [n_shards]: sealed by an earlier run
  bool *mine;    // owned [n_shards]: missing, and assigned to this group
  int n_busy;    // number of groups that have missing shards
  bool finished; // all shards and the manifest were finished by an earlier run
  rt_capture_teacher teacher; // owned
  rt_shard_pipe *pipe;        // owned; on the first rank of a group
  double entered_s,
      enter_s; // time and duration of the last update of the manifest
  int64_t rows_mine, rows_done; // rows of this group in this run
  int64_t rows_sealed;          // of these, as known to last_run
  double began_s,
      said_s;        // time of the first forward, and of the last progress line
  double wall_end_s; // as rt_now_s(); 0: no limit
  rt_last_run kept;  // rows, as known to rank 0
  bool recorded;     // last_run has been written for this run
} rt_capture;

static bool is_writer(const rt_capture *c)
{
  return c->job->grid_t.i_tp == 0;
}

/** Describe the dataset, before it exists. */
static rt_err fill_info(rt_capture *c)
{
  const rt_job *job = c->job;
  rt_logits_info *const info = &c->info;
  const char *teacher = rt_deck_text(job->deck, RT_KEY_TEA_WEIGHTS);
  rt_capture_hashes hashes;
  int64_t first, n;
  RT_TRY(rt_agree(job->world, rt_job_capture_range(job, &first, &n)));
  RT_TRY(rt_capture_hash(job->world, job->corpus, c->folder, teacher, &hashes));
  rt_job_capture_info(job, info);
  rt_capture_identify(&hashes, info);
  info->first_row = first;
  info->n_rows = n;
  info->vocab = rt_arch_true_vocab(&job->arch_t);
  info->vocab_padded = job->arch_t.vocab;
  rt_capture_complete(info);
  rt_capture_name(teacher, info->teacher, sizeof info->teacher);
  return rt_agree(job->world, rt_capture_check(info));
}

/** Number of rows of this group's missing shards. */
static int64_t missing_rows(const rt_capture *c)
{
  int64_t n = 0;
  for (int64_t s = 0; s < c->n_shards; s++)
    if (c->mine[s])
      n += rt_logits_shard_rows(&c->info, s);
  return n;
}

/** Assign missing shards to the groups in turn, so that also after an
 *  interruption the numbers of shards differ by at most one. */
static void deal_shards(rt_capture *c)
{
  const int dp = c->job->grid_t.dp;
  int64_t n_missing = 0;
  for (int64_t s = 0; s < c->n_shards; s++)
    if (!c->done[s])
      c->mine[s] = n_missing++ % dp == c->job->grid_t.i_dp;
  c->n_busy = (int)(n_missing < dp ? n_missing : dp);
}

/** Describe the dataset, and look whether it is finished. */
static rt_err look(rt_capture *c)
{
  const rt_job *job = c->job;
  const bool first = rt_comm_rank(job->world) == 0;
  RT_TRY(fill_info(c));
  RT_TRY(rt_comm_bcast(job->world, &c->info, sizeof c->info, 0));
  c->n_shards = rt_logits_n_shards(&c->info);
  c->done = calloc((size_t)c->n_shards, sizeof *c->done);
  c->mine = calloc((size_t)c->n_shards, sizeof *c->mine);
  rt_err err = RT_OK;
  if (c->done == NULL || c->mine == NULL)
    err = RT_FAIL(RT_ERR_MEM, "a list of %lld shards", (long long)c->n_shards);
  RT_TRY(rt_agree(job->world, err));
  RT_TRY(rt_agree(job->world, first ? rt_logits_look(c->folder, &c->info,
                                                     c->done, &c->finished)
                                    : RT_OK));
  return rt_comm_bcast(job->world, &c->finished, sizeof c->finished, 0);
}

/** Create the dataset, or continue it. */
static rt_err open_dataset(rt_capture *c)
{
  const rt_job *job = c->job;
  const bool first = rt_comm_rank(job->world) == 0;
  RT_TRY(rt_agree(job->world,
                  first ? rt_capture_begin(job->deck, c->folder, &c->info,
                                           c->done, &c->finished)
                        : RT_OK));
  RT_TRY(rt_comm_bcast(job->world, &c->finished, sizeof c->finished, 0));
  RT_TRY(rt_comm_bcast(job->world, c->done,
                       (size_t)c->n_shards * sizeof *c->done, 0));
  deal_shards(c);
  return RT_OK;
}

/** Record the progress of the capture for scripts that may start it again.  On
 *  rank 0, which learns of shards of other groups only at the end or at the
 *  next start. */
static rt_err record(rt_capture *c)
{
  if (rt_comm_rank(c->job->world) != 0)
    return RT_OK;
  c->kept.whole = c->info.n_rows;
  c->recorded = true;
  return rt_last_run_goes(c->folder, &c->kept);
}

/** Count the rows kept from earlier runs. */
static void count_kept(rt_capture *c)
{
  for (int64_t s = 0; s < c->n_shards; s++)
    if (c->done[s])
      c->kept.first += rt_logits_shard_rows(&c->info, s);
  c->kept.saved = c->kept.first;
}

/** Plan the memory of the teacher and of the shards in hand: two, so that one
 *  is written while the next is computed, if a group has more than one, and if
 *  they fit. */
static rt_err plan(rt_capture *c, rt_shard_pipe_spec *pipe)
{
  rt_job *const job = c->job;
  *pipe = (rt_shard_pipe_spec){.folder = c->folder,
                               .info = &c->info,
                               .micro_rows =
                                   rt_deck_int(job->deck, RT_KEY_CAP_MICRO),
                               .n_writers = 1};
  rt_shard_pipe_spec two = *pipe;
  two.n_writers = 2;
  const double writes = is_writer(c) ? 1.0 : 0.0;
  const double one = writes * rt_shard_pipe_bytes(pipe);
  const double more = writes * rt_shard_pipe_bytes(&two) - one;
  bool fits = false;
  rt_job_beside(job, "shard in writing", one);
  RT_TRY(rt_job_capture_teacher(job, &c->info, &c->teacher));
  if (c->n_shards <= job->grid_t.dp)
    return rt_job_capture_check(job, &c->teacher);
  RT_TRY(rt_job_capture_fits(job, &c->teacher, more, &fits));
  if (fits) {
    *pipe = two;
    rt_job_beside(job, "shard computed meanwhile", more);
  } else
    rt_info("the teacher waits while a shard is written: there is no memory "
            "for another one, %.1f MiB on this rank",
            more * 0x1p-20);
  return rt_job_capture_check(job, &c->teacher);
}

static rt_err prepare(rt_capture *c)
{
  rt_job *job = c->job;
  RT_CHECK(c->folder[0] != '\0', RT_ERR_CONFIG,
           "capture.dir is empty: name the folder of the dataset");
  RT_TRY(rt_wall_end(job, &c->wall_end_s));
  RT_TRY(look(c));
  if (c->finished)
    return RT_OK;
  // a capture that is refused for lack of memory leaves no dataset
  rt_shard_pipe_spec pipe;
  RT_TRY(plan(c, &pipe));
  RT_TRY(open_dataset(c));
  if (c->finished)
    return RT_OK;
  count_kept(c);
  RT_TRY(rt_agree(job->world, record(c)));
  c->rows_mine = missing_rows(c);
  RT_TRY(rt_agree(job->world, is_writer(c)
                                  ? rt_shard_pipe_create(&pipe, &c->pipe)
                                  : RT_OK));
  RT_TRY(rt_capture_teacher_commit(&c->teacher));
  return rt_weights_load(job->world, job->dev, c->teacher.model,
                         rt_deck_text(job->deck, RT_KEY_TEA_WEIGHTS));
}

/** Update the manifest, using at most a tenth of a percent of the time. */
static rt_err enter(rt_capture *c)
{
  const double now_s = rt_now_s();
  if (rt_comm_rank(c->job->world) != 0 ||
      now_s - c->entered_s < 1000.0 * c->enter_s)
    return RT_OK;
  RT_TRY(rt_logits_enter(c->folder));
  c->entered_s = rt_now_s();
  c->enter_s = c->entered_s - now_s;
  return RT_OK;
}

/** Take note of shards that were sealed since. */
static rt_err note_sealed(rt_capture *c)
{
  const int64_t sealed = rt_shard_pipe_sealed(c->pipe);
  if (sealed == c->rows_sealed)
    return RT_OK;
  c->rows_sealed = sealed;
  RT_TRY(enter(c));
  c->kept.saved = c->kept.first + sealed;
  return record(c);
}

/** Pass the \a n rows of the micro-batch to the threads. */
static rt_err take_rows(rt_capture *c, int64_t s, int64_t n)
{
  const rt_capture_teacher *const t = &c->teacher;
  RT_TRY(rt_shard_pipe_take(c->pipe, s, &t->entries, t->batch, n));
  return note_sealed(c);
}

/** Wait for the threads. */
static rt_err seal_rest(rt_capture *c)
{
  RT_TRY(rt_shard_pipe_drain(c->pipe));
  return note_sealed(c);
}

/** Reasons to end a capture early; ranks agree on the maximum. */
enum { GO_ON, STOP_WALL, STOP_ASKED };
/** A shard that can be finished within this many seconds is sealed before a
 *  stop. */
static const double soon_s = 5.0;

/** The reason, if any, for which this rank would abandon a shard of which \a
 *  done of \a n rows took \a took_s; these rows are lost and computed again
 *  later. */
static int32_t wish_inside(const rt_capture *c, double took_s, int64_t done,
                           int64_t n)
{
  const double row_s = took_s / (double)done;
  const double micro_s = row_s * (double)c->teacher.spec.micro_rows;
  if (done >= n)
    return GO_ON;
  if (row_s * (double)(n - done) > soon_s && c->job->hooks->stop_asked())
    return STOP_ASKED;
  return c->wall_end_s > 0.0 && rt_now_s() + micro_s >= c->wall_end_s
             ? STOP_WALL
             : GO_ON;
}

/** The tp ranks of a group agree on a stop; other groups receive the signal
 *  themselves. */
static rt_err agree_to_stop(const rt_capture *c, int32_t wish, int32_t *stop)
{
  *stop = wish;
  return rt_comm_allreduce_host(c->job->grid_t.comm_tp, stop, 1, RT_I32,
                                RT_MAX);
}

/** Compute shard \a s, unless the group agrees on a \a stop. */
static rt_err run_shard(rt_capture *c, int64_t s, int32_t *stop)
{
  const double since = rt_now_s();
  const int64_t first = s * c->info.shard_rows;
  const int64_t n = rt_logits_shard_rows(&c->info, s);
  const int64_t micro = c->teacher.spec.micro_rows; // rows between two beats
  for (int64_t r = 0; r < n; r += micro) {
    const int64_t n_micro = n - r < micro ? n - r : micro;
    c->job->hooks->beat(first + r, "capture");
    RT_TRY(rt_capture_teacher_run(&c->teacher, c->info.first_row + first + r,
                                  n_micro));
    rt_phases_to(&c->job->phases, RT_PHASE_WRITE);
    if (is_writer(c))
      RT_TRY(take_rows(c, s, n_micro));
    const double took_s = rt_now_s() - since;
    RT_TRY(agree_to_stop(c, wish_inside(c, took_s, r + n_micro, n), stop));
    if (*stop != GO_ON)
      return RT_OK;
  }
  c->rows_done += n;
  return RT_OK;
}

/** Rank 0 reports the progress of its own group about once a second, as groups
 *  do not communicate. */
static void progress(rt_capture *c)
{
  const double now_s = rt_now_s(), s = now_s - c->began_s;
  const double share = (double)c->rows_done / (double)c->rows_mine;
  const int dp = c->job->grid_t.dp;
  if (now_s - c->said_s < 1.0 && c->rows_done < c->rows_mine)
    return;
  c->said_s = now_s;
  rt_info_now(
      "capture %.1f%%: %lld of %lld rows in group 1 of %d, %.0f tok/s of "
      "all groups, ETA %.0f s",
      100.0 * share, (long long)c->rows_done, (long long)c->rows_mine, dp,
      (double)(c->n_busy * c->rows_done * c->info.seq) / s, s / share - s);
}

/** The reason, if any, for which this rank would not start another shard; the
 *  last one took \a shard_s. */
static int32_t wish(const rt_capture *c, double shard_s)
{
  if (c->rows_done == c->rows_mine)
    return GO_ON;
  if (c->job->hooks->stop_asked())
    return STOP_ASKED;
  return c->wall_end_s > 0.0 && rt_now_s() + shard_s >= c->wall_end_s
             ? STOP_WALL
             : GO_ON;
}

/** Compute this group's shards, until done or told to stop. */
static rt_err run_share(rt_capture *c, int32_t *stop)
{
  rt_job *job = c->job;
  c->began_s = rt_now_s();
  for (int64_t s = 0; s < c->n_shards && *stop == 0; s++) {
    const double since = rt_now_s();
    if (!c->mine[s])
      continue;
    RT_TRY(run_shard(c, s, stop));
    if (*stop != GO_ON)
      break;
    rt_phases_to(&job->phases, RT_PHASE_LOG);
    if (c->rows_done < c->rows_mine)
      progress(c);
    RT_TRY(agree_to_stop(c, wish(c, rt_now_s() - since), stop));
  }
  rt_phases_to(&job->phases, RT_PHASE_WRITE);
  if (is_writer(c))
    RT_TRY(seal_rest(c));
  rt_phases_to(&job->phases, RT_PHASE_LOG);
  if (c->rows_done > 0 && c->rows_done == c->rows_mine)
    progress(c); // the last shard is sealed
  rt_phases_to(&job->phases, RT_PHASE_OTHER);
  return RT_OK;
}

static void say_waiting(void *capture)
{
  const rt_capture *c = capture;
  c->job->hooks->waits("done, waiting for other groups");
}

/** Meet the other groups, for which finished groups may wait for hours: not in
 *  a collective, where they would look hung. */
static rt_err meet(rt_capture *c, int32_t *stop)
{
  const rt_comm *world = c->job->world;
  RT_TRY(rt_comm_meet(world, say_waiting, c));
  c->job->hooks->beat(c->info.n_rows, "manifest");
  uint64_t n = (uint64_t)c->rows_sealed;
  RT_TRY(rt_comm_allreduce_host(world, &n, 1, RT_U64, RT_SUM));
  c->kept.saved = c->kept.first + (int64_t)n;
  return rt_comm_allreduce_host(world, stop, 1, RT_I32, RT_MAX);
}

/** Open the finished dataset as a reader would, and report its counts. */
static rt_err look_back(const rt_capture *c, const char *how)
{
  rt_logits *ds = NULL;
  RT_TRY(rt_logits_open(rt_comm_mpi(c->job->world), c->folder,
                        RT_LOGITS_FINISHED, &ds));
  const rt_logits_totals n = rt_logits_count(ds);
  const double tokens = (double)n.tokens, bytes = (double)n.bytes;
  rt_logits_close(&ds);
  rt_info("%s %lld rows, %.0f tokens: %.2f entries and %.1f bytes per token, "
          "%.3f GiB in %s",
          how, (long long)n.rows, tokens, (double)n.entries / tokens,
          bytes / tokens, bytes * 0x1p-30, c->folder);
  return RT_OK;
}

/** Write the final manifest. */
static rt_err finish(rt_capture *c)
{
  const rt_comm *world = c->job->world;
  rt_phases_to(&c->job->phases, RT_PHASE_WRITE);
  RT_TRY(rt_agree(world, rt_comm_rank(world) == 0 ? rt_logits_finish(c->folder)
                                                  : RT_OK));
  rt_phases_to(&c->job->phases, RT_PHASE_OTHER);
  rt_phase_table table;
  RT_TRY(rt_phases_gather(&c->job->phases, world, &table));
  rt_phases_say(&table);
  return look_back(c, "captured");
}

static rt_err run(rt_capture *c)
{
  rt_job *job = c->job;
  int32_t stop = 0;
  RT_TRY(prepare(c));
  if (c->finished)
    return look_back(c, "nothing to do: this capture is finished:");
  const rt_err err = run_share(c, &stop);
  if (err != RT_OK) // the peers may be inside the teacher and cannot be told
    job->hooks->fatal(err);
  RT_TRY(err);
  RT_TRY(meet(c, &stop));
  RT_CHECK(stop == GO_ON, RT_ERR_STOPPED,
           "capture stopped %s: finished shards are kept in %s, the same "
           "command resumes the capture%s",
           stop == STOP_WALL ? "before the wall limit" : "by a signal",
           c->folder,
           c->kept.saved > c->kept.first
               ? ""
               : "; no shard was finished this time: a smaller "
                 "capture.shard_rows, in a new folder, would lose less");
  return finish(c);
}

static void clear(rt_capture *c)
{
  rt_shard_pipe_destroy(&c->pipe);
  rt_capture_teacher_clear(&c->teacher);
  free(c->done);
  free(c->mine);
}

rt_err rt_run_capture(rt_job *job)
{
  rt_capture c = {.job = job,
                  .folder = rt_deck_text(job->deck, RT_KEY_CAP_DIR)};
  const rt_err err = run(&c);
  if (c.recorded)
    rt_last_run_ends(c.folder, &c.kept, err);
  if (c.recorded && err == RT_OK)
    // a dataset is passed on to others, without last_run
    rt_last_run_forget(c.folder);
  if (err != RT_OK)
    rt_dev_drop(job->dev); // what is in its queues uses what goes now
  clear(&c);
  return err;
}
