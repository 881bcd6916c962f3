/** \file window_capture.c
 *  Saves the logits of a model being trained to a dataset.
 *
 *  With W steps in the window and L lanes, lane l holds rows [l W R, (l + 1) W
 *  R) of the dataset, where R = batch_rows / L rows come from each step, in
 *  order of steps.  A shard is S steps of one lane; S divides W, as the window
 *  is rounded to whole shards. */
#include "distill/capture/window_capture.h"
#include "distill/teacher/trunc_head.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "distill/capture/capture.h"
#include "io/common/lock.h"
#include "io/logits/logits_log.h"

#include <stdlib.h>
#include <string.h>

/** A lane and its current shard. */
typedef struct lane {
  int64_t i_lane, i_shard;
  int64_t n_rows;           // rows of the shard so far
  bool sealed;              // sealed by an earlier run, so its rows are skipped
  rt_logits_writer *writer; // owned; on the first rank of a group
  rt_logits_log *log;       // owned; on the first rank of a group
} lane;

struct rt_window_capture {
  rt_window_capture_spec spec;
  rt_objective *objective; // borrowed
  const char *folder;      // borrowed, that of spec
  rt_logits_info info;     // the same on every rank, after begin
  rt_window window;        // W steps in shards of S
  int64_t step;            // current step, -1 if it is not in the window
  bool active;             // the dataset has been begun and is not finished
  rt_trunc_head *head;     // owned
  rt_entries entries;      // owned arrays: entries of a micro-batch
  rt_logits_row row;       // owned arrays: buffer for one row
  int64_t *stream_row;     // owned [micro_rows], for draws
  lane *lanes;             // owned [n_lanes]: lanes of this group
  int n_lanes;
  bool *done;         // owned [n_shards]
  rt_lock *lock;      // owned, rank 0
  double refreshed_s; // time of the last refresh of the lock
};

static bool is_writer(const rt_window_capture *tc)
{
  return tc->spec.grid->i_tp == 0;
}

/** R: rows per lane and step. */
static int64_t lane_rows(const rt_window_capture *tc)
{
  return tc->spec.batch_rows / tc->info.lanes;
}

static int64_t window_end(const rt_window_capture *tc)
{
  return tc->window.first + tc->window.n_steps;
}

/** Number of shards per lane. */
static int64_t shards_of_lane(const rt_window_capture *tc)
{
  return tc->window.n_steps / tc->window.shard_steps;
}

/** Start the description with what is known before the folder is read. */
static void start_info(rt_window_capture *tc)
{
  tc->info = tc->spec.info;
  // before rounding to shards
  tc->info.n_rows = tc->window.n_steps * tc->spec.batch_rows;
  rt_capture_complete(&tc->info);
}

/** Entries of a micro-batch. */
static rt_entries_spec entries_of(const rt_window_capture *tc)
{
  return (rt_entries_spec){.n = tc->spec.micro_rows * tc->info.seq,
                           .k = rt_capture_max_entries(&tc->info),
                           .statistics = tc->info.entropy};
}

rt_err rt_window_capture_create(const rt_window_capture_spec *spec,
                                rt_model *model, rt_objective *objective,
                                rt_window_capture **out)
{
  *out = NULL;
  if (spec->window.n_steps == 0)
    return RT_OK;
  rt_window_capture *tc = calloc(1, sizeof *tc);
  *out = tc;
  RT_CHECK(tc != NULL, RT_ERR_MEM, "a capture of the model in training");
  tc->spec = *spec;
  tc->objective = objective;
  tc->folder = spec->folder;
  tc->step = -1;
  tc->window = spec->window;
  start_info(tc);
  const rt_logits_info *const info = &tc->info;
  const rt_trunc_spec head = {
      .model = model,
      .grid = spec->grid,
      .dev = spec->dev,
      .rule = {info->top_p, rt_capture_max_entries(info)},
      .draws = {info->draws, info->draw_seed},
      .chunk_bytes = spec->chunk_bytes,
      .seq = info->seq,
      .use = RT_TRUNC_TAKE};
  return rt_trunc_head_create(&head, &tc->head);
}

double rt_window_capture_entries(const rt_window_capture *tc)
{
  const rt_entries_spec entries = entries_of(tc);
  return (double)(rt_trunc_head_host_bytes(tc->head) +
                  rt_entries_bytes(&entries));
}

double rt_window_capture_writer(const rt_window_capture *tc)
{
  return is_writer(tc) ? rt_capture_writer_bytes(&tc->info) : 0.0;
}

const rt_arena *rt_window_capture_arena(const rt_window_capture *tc)
{
  return tc != NULL ? rt_trunc_head_arena(tc->head) : NULL;
}

rt_err rt_window_capture_commit(rt_window_capture *tc)
{
  if (tc == NULL)
    return RT_OK;
  const rt_entries_spec entries = entries_of(tc);
  RT_TRY(rt_entries_create(&entries, &tc->entries));
  tc->stream_row = calloc((size_t)tc->spec.micro_rows, sizeof *tc->stream_row);
  RT_CHECK(tc->stream_row != NULL, RT_ERR_MEM, "a list of rows");
  return rt_trunc_head_commit(tc->head);
}

static void close_lane(lane *l)
{
  rt_logits_writer_close(&l->writer);
  rt_logits_log_close(&l->log);
}

void rt_window_capture_destroy(rt_window_capture **out)
{
  rt_window_capture *tc = *out;
  *out = NULL;
  if (tc == NULL)
    return;
  for (int i = 0; i < tc->n_lanes; i++)
    close_lane(&tc->lanes[i]);
  rt_trunc_head_destroy(&tc->head);
  rt_entries_clear(&tc->entries);
  rt_logits_row_clear(&tc->row);
  rt_lock_release(&tc->lock);
  free(tc->stream_row);
  free(tc->lanes);
  free(tc->done);
  free(tc);
}

/** Round the window to whole shards of at most capture.shard_rows rows. */
static void cut_window(rt_window_capture *tc)
{
  rt_window *const w = &tc->window;
  rt_window_cut(w, tc->info.shard_rows / lane_rows(tc));
  tc->info.shard_rows = w->shard_steps * lane_rows(tc);
  tc->info.n_rows = w->n_steps * tc->spec.batch_rows;
}

/** All that is known of the dataset; \a lanes of an earlier run, or 0.  The
 *  teacher is known by where its run began. */
static rt_err describe(rt_window_capture *tc, const rt_capture_hashes *hashes,
                       const char *origin, int64_t lanes)
{
  const rt_window_capture_spec *const spec = &tc->spec;
  const char *const run = spec->info.teacher;
  start_info(tc);
  rt_capture_identify(hashes, &tc->info);
  tc->info.step = true;
  tc->info.lanes = lanes > 0 ? lanes : spec->grid->dp;
  RT_CHECK(spec->batch_rows % tc->info.lanes == 0, RT_ERR_CONFIG,
           "%s has %lld lanes, which do not divide train.batch_rows %lld: "
           "restore the earlier value",
           tc->folder, (long long)tc->info.lanes, (long long)spec->batch_rows);
  cut_window(tc);
  snprintf(tc->info.teacher_hash, sizeof tc->info.teacher_hash, "%s", origin);
  snprintf(tc->info.teacher, sizeof tc->info.teacher,
           "%.127s%sin training, steps %lld to %lld of %lld", run,
           run[0] != '\0' ? ", " : "", (long long)tc->window.first,
           (long long)window_end(tc), (long long)spec->n_steps);
  return rt_capture_check(&tc->info);
}

/** On rank 0: the description of the dataset, taken from an earlier run if
 *  there is one. */
static rt_err find_dataset(rt_window_capture *tc, int64_t step,
                           const rt_capture_hashes *hashes, const char *origin)
{
  rt_logits_info old = {0};
  char *deck = NULL;
  RT_TRY(rt_lock_take(tc->folder, tc->spec.silence_s, &tc->lock));
  RT_TRY(rt_logits_peek(tc->folder, &old, &deck));
  rt_err err = RT_OK;
  char of[RT_PATH_MAX + 64];
  snprintf(of, sizeof of, "that of the capture in %s", tc->folder);
  if (deck != NULL)
    err = rt_deck_same_run(tc->spec.deck, deck, of, RT_KEY_CAP_DIR);
  else if (step > tc->window.first)
    err = RT_FAIL(RT_ERR_CONFIG,
                  "the run is at step %lld, the window began at step %lld and "
                  "%s has no rows of it: set capture.window_start to %lld or "
                  "later, or restore the folder",
                  (long long)step, (long long)tc->window.first, tc->folder,
                  (long long)step);
  free(deck);
  RT_TRY(err);
  RT_CHECK(old.lanes == 0 || strcmp(old.teacher_hash, origin) == 0,
           RT_ERR_LOCKED,
           "%s holds logits of another run: it began from %s, this one from %s "
           "(SHA-256 of the weights and data that a run starts from); choose "
           "another capture.dir, or remove that one",
           tc->folder, old.teacher_hash, origin);
  return describe(tc, hashes, origin, old.lanes);
}

static rt_err make_lanes(rt_window_capture *tc)
{
  const int dp = tc->spec.grid->dp;
  const int64_t n_shards = rt_logits_n_shards(&tc->info);
  RT_CHECK(tc->info.lanes % dp == 0, RT_ERR_CONFIG,
           "%s has %lld lanes, which dp %d does not divide: resume with a dp "
           "that does",
           tc->folder, (long long)tc->info.lanes, dp);
  const int n_lanes = (int)(tc->info.lanes / dp);
  tc->lanes = calloc((size_t)n_lanes, sizeof *tc->lanes);
  tc->done = calloc((size_t)n_shards, sizeof *tc->done);
  RT_CHECK(tc->lanes != NULL && tc->done != NULL, RT_ERR_MEM,
           "%d lanes, %lld shards", n_lanes, (long long)n_shards);
  tc->n_lanes = n_lanes;
  for (int i = 0; i < tc->n_lanes; i++)
    tc->lanes[i].i_lane = tc->spec.grid->i_dp * tc->n_lanes + i;
  return RT_OK;
}

/** Pass the rows of the current shard that an earlier run saw to the writer
 *  again. */
static rt_err replay(rt_window_capture *tc, lane *l, int64_t n)
{
  for (int64_t r = 0; r < n; r++) {
    const rt_err err = rt_logits_log_next(l->log, &tc->row);
    RT_CHECK(err == RT_OK, err,
             "%s; %lld of the %lld rows of shard %lld that this run saw before "
             "its checkpoint are lost: restore the file, or remove %s and "
             "start the run again",
             rt_err_text(), (long long)(n - r), (long long)n,
             (long long)l->i_shard, tc->folder);
    RT_TRY(rt_logits_writer_add(l->writer, &tc->row));
  }
  l->n_rows = n;
  return RT_OK;
}

/** Start shard \a i of the lane, of which \a n rows were already seen. */
static rt_err start_shard(rt_window_capture *tc, lane *l, int64_t i, int64_t n)
{
  const int64_t per_lane = shards_of_lane(tc);
  l->i_shard = l->i_lane * per_lane + i;
  l->n_rows = n;
  l->sealed = tc->done[l->i_shard];
  if (!is_writer(tc))
    return RT_OK;
  RT_TRY(rt_logits_log_open(tc->folder, &tc->info, l->i_shard, &l->log));
  if (l->sealed) // in case a run was killed before it removed the log
    return rt_logits_log_remove(&l->log);
  if (l->writer == NULL)
    RT_TRY(rt_logits_writer_open(tc->folder, &l->writer));
  RT_TRY(rt_logits_writer_begin(l->writer, l->i_shard));
  return replay(tc, l, n);
}

/** Check that the earlier shards exist. */
static rt_err check_past(const rt_window_capture *tc, const lane *l, int64_t i)
{
  const int64_t per_lane = shards_of_lane(tc);
  for (int64_t s = 0; s < i; s++)
    RT_CHECK(tc->done[l->i_lane * per_lane + s], RT_ERR_DATA,
             "%s lacks shard %lld, whose rows this run saw before its "
             "checkpoint: restore it, or remove the folder and start the run "
             "again",
             tc->folder, (long long)(l->i_lane * per_lane + s));
  return RT_OK;
}

/** Position all lanes at \a step steps of the window. */
static rt_err start_lanes(rt_window_capture *tc, int64_t step)
{
  const int64_t i = step / tc->window.shard_steps;
  const int64_t n = step % tc->window.shard_steps * lane_rows(tc);
  for (int k = 0; k < tc->n_lanes; k++) {
    RT_TRY(check_past(tc, &tc->lanes[k], i));
    if (step < tc->window.n_steps)
      RT_TRY(start_shard(tc, &tc->lanes[k], i, n));
  }
  return RT_OK;
}

static rt_err finish(rt_window_capture *tc)
{
  const rt_comm *const world = tc->spec.world;
  RT_TRY(rt_agree(world, rt_comm_rank(world) == 0 ? rt_logits_finish(tc->folder)
                                                  : RT_OK));
  rt_info("captured steps %lld to %lld of the model in training: %lld rows in "
          "%s",
          (long long)tc->window.first, (long long)window_end(tc),
          (long long)tc->info.n_rows, tc->folder);
  tc->active = false;
  return RT_OK;
}

rt_err rt_window_capture_origin(const rt_window_capture *tc,
                                char hex[RT_SHA256_HEX])
{
  const rt_comm *const world = tc->spec.world;
  rt_logits_info info = {0};
  char *deck = NULL;
  rt_err err = RT_OK;
  if (rt_comm_rank(world) == 0)
    err = rt_logits_peek(tc->folder, &info, &deck);
  free(deck);
  RT_TRY(rt_agree(world, err));
  // a dataset of a teacher has no lanes
  snprintf(hex, RT_SHA256_HEX, "%s", info.lanes > 0 ? info.teacher_hash : "");
  return rt_comm_bcast(world, hex, RT_SHA256_HEX, 0);
}

rt_err rt_window_capture_begin(rt_window_capture *tc, int64_t step,
                               const char *origin)
{
  if (tc == NULL)
    return RT_OK;
  const rt_comm *const world = tc->spec.world;
  const bool first = rt_comm_rank(world) == 0;
  bool finished = false;
  rt_capture_hashes hashes;
  RT_TRY(rt_capture_hash(world, tc->spec.corpus, tc->folder, NULL, &hashes));
  RT_TRY(
      rt_agree(world, first ? find_dataset(tc, step, &hashes, origin) : RT_OK));
  RT_TRY(rt_comm_bcast(world, &tc->info, sizeof tc->info, 0));
  RT_TRY(rt_comm_bcast(world, &tc->window, sizeof tc->window, 0));
  RT_TRY(rt_agree(world, make_lanes(tc)));
  RT_TRY(rt_agree(world, first
                             ? rt_capture_begin(tc->spec.deck, tc->folder,
                                                &tc->info, tc->done, &finished)
                             : RT_OK));
  RT_TRY(rt_comm_bcast(world, &finished, sizeof finished, 0));
  RT_TRY(rt_comm_bcast(world, tc->done,
                       (size_t)rt_logits_n_shards(&tc->info) * sizeof *tc->done,
                       0));
  if (tc->window.left_out > 0)
    rt_info("the first %lld steps of the window are left out, so that all "
            "shards are whole",
            (long long)tc->window.left_out);
  rt_info("logits of steps [%lld, %lld) go into %s: %lld rows in "
          "%lld lanes, %lld steps a shard%s",
          (long long)tc->window.first, (long long)window_end(tc), tc->folder,
          (long long)tc->info.n_rows, (long long)tc->info.lanes,
          (long long)tc->window.shard_steps,
          finished ? "; the dataset is already complete" : "");
  if (finished)
    return RT_OK;
  tc->active = true;
  int64_t seen = step - tc->window.first; // steps of the window
  seen = seen < 0 ? 0 : seen > tc->window.n_steps ? tc->window.n_steps : seen;
  RT_TRY(rt_agree(world, start_lanes(tc, seen)));
  return seen == tc->window.n_steps ? finish(tc) : RT_OK;
}

static rt_err show_tile(void *self, rt_view tile, const rt_batch *b,
                        int64_t tok0)
{
  rt_window_capture *tc = self;
  rt_phases *const ph = tc->spec.phases;
  const rt_phase was = rt_phases_to(ph, RT_PHASE_WRITE);
  for (int64_t r = 0; r < b->n_rows; r++)
    tc->stream_row[r] = rt_batch_stream_row(b, r);
  const rt_host_rows rows = {.tok = b->tok,
                             .pos = b->pos,
                             .doc_start = b->doc_start,
                             .label = b->label,
                             .row = tc->stream_row,
                             .n_rows = b->n_rows};
  const rt_err err =
      rt_trunc_head_take(tc->head, tile, &rows, tok0, &tc->entries);
  rt_phases_to(ph, was);
  return err;
}

void rt_window_capture_look(rt_window_capture *tc, int64_t step)
{
  if (tc == NULL)
    return;
  const bool in =
      tc->active && step >= tc->window.first && step < window_end(tc);
  tc->step = in ? step : -1;
  rt_objective_show(tc->objective, in ? show_tile : NULL, tc);
}

/** Add row \a r of the batch to the lane; the last row of a shard seals it. */
static rt_err add_row(rt_window_capture *tc, const rt_batch *b, int64_t r,
                      lane *l)
{
  const int64_t at = r * b->seq;
  l->n_rows++;
  if (l->sealed || !is_writer(tc))
    return RT_OK;
  RT_TRY(rt_entries_row(&tc->entries, at, b->tok + at, b->label + at, b->seq,
                        &tc->row));
  tc->row.step = tc->step;
  tc->row.stream_row = rt_batch_stream_row(b, r);
  RT_TRY(rt_logits_log_add(l->log, &tc->row));
  RT_TRY(rt_logits_writer_add(l->writer, &tc->row));
  if (l->n_rows < tc->info.shard_rows)
    return RT_OK;
  tc->spec.beat(tc->step, "capture");
  RT_TRY(rt_capture_seal(tc->folder, l->i_shard, l->writer));
  return rt_logits_log_remove(&l->log);
}

/** The lane for the next row of the step: they are filled in turn. */
static lane *next_lane(const rt_window_capture *tc)
{
  const int64_t in_step = tc->step - tc->window.first;
  const int64_t full = (in_step % tc->window.shard_steps + 1) * lane_rows(tc);
  int i = 0;
  while (i < tc->n_lanes - 1 && tc->lanes[i].n_rows == full)
    i++;
  return &tc->lanes[i];
}

rt_err rt_window_capture_take(rt_window_capture *tc, const rt_batch *b)
{
  if (tc == NULL || tc->step < 0)
    return RT_OK;
  rt_phases *const ph = tc->spec.phases;
  const rt_phase was = rt_phases_to(ph, RT_PHASE_WRITE);
  rt_entries_drop_bad(&tc->entries);
  for (int64_t r = 0; r < b->n_rows; r++)
    RT_TRY(add_row(tc, b, r, next_lane(tc)));
  rt_phases_to(ph, was);
  return RT_OK;
}

static void refresh_lock(rt_window_capture *tc)
{
  if (tc->lock == NULL || rt_now_s() - tc->refreshed_s < 30.0)
    return;
  rt_lock_refresh(tc->lock);
  tc->refreshed_s = rt_now_s();
}

rt_err rt_window_capture_end_step(rt_window_capture *tc)
{
  if (tc == NULL)
    return RT_OK;
  refresh_lock(tc);
  const int64_t seen = tc->step - tc->window.first + 1;
  if (tc->step < 0 || seen % tc->window.shard_steps != 0)
    return RT_OK;
  const rt_comm *world = tc->spec.world;
  const rt_phase was = rt_phases_to(tc->spec.phases, RT_PHASE_WRITE);
  RT_TRY(rt_agree(world, RT_OK)); // waits until every lane's shard is sealed
  if (seen == tc->window.n_steps) {
    RT_TRY(finish(tc));
  } else {
    RT_TRY(rt_agree(
        world, rt_comm_rank(world) == 0 ? rt_logits_enter(tc->folder) : RT_OK));
    for (int i = 0; i < tc->n_lanes; i++)
      RT_TRY(start_shard(tc, &tc->lanes[i], seen / tc->window.shard_steps, 0));
  }
  rt_phases_to(tc->spec.phases, was);
  return RT_OK;
}

rt_err rt_window_capture_sync(rt_window_capture *tc)
{
  if (tc == NULL || !tc->active)
    return RT_OK;
  for (int i = 0; i < tc->n_lanes; i++)
    if (tc->lanes[i].log != NULL)
      RT_TRY(rt_logits_log_sync(tc->lanes[i].log));
  return RT_OK;
}
