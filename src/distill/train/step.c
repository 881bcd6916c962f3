/** \file step.c
 *  One training step. */
#include "distill/train/step.h"

/** Send a micro-batch's token arrays to the device. */
static rt_err send_batch(rt_trainer *tr, const rt_batch *b, rt_tokens_in *in)
{
  rt_dev *dev = tr->spec.dev;
  RT_TRY(rt_dev_put(dev, tr->tok, b->tok));
  RT_TRY(rt_dev_put(dev, tr->pos, b->pos));
  RT_TRY(rt_dev_put(dev, tr->doc_start, b->doc_start));
  *in = (rt_tokens_in){tr->tok, tr->pos, tr->doc_start, b->n_rows, b->seq};
  return RT_OK;
}

/** Add the rows of the micro-batch to the hash of all previous rows. */
static void note_rows(rt_trainer *tr, const rt_batch *b)
{
  const size_t bytes = (size_t)(b->n_rows * b->seq) * sizeof *b->tok;
  const uint64_t part[] = {tr->rows_seen, rt_hash_xxh3(b->tok, bytes),
                           rt_hash_xxh3(b->label, bytes)};
  tr->rows_seen = rt_hash_xxh3(part, sizeof part);
}

/** Check that the tp ranks of a group have read the same rows. */
static rt_err check_rows(const rt_trainer *tr, int64_t step)
{
  const rt_comm *const tp = tr->spec.tp;
  uint64_t max[2] = {tr->rows_seen, ~tr->rows_seen};
  if (rt_comm_size(tp) == 1)
    return RT_OK;
  RT_TRY(rt_comm_allreduce_host(tp, max, 2, RT_U64, RT_MAX));
  RT_CHECK(max[0] == ~max[1], RT_ERR_DATA,
           "step %lld: ranks of a tp group have read different rows: the files "
           "in data.files differ between nodes; copy them to every node again. "
           " Nothing was updated in this step",
           (long long)step + 1);
  return RT_OK;
}

/** One micro-step: gradients are accumulated; the last one starts their sum
 *  over dp. */
static rt_err micro_step(rt_trainer *tr, double alpha, double weight_total,
                         bool last)
{
  rt_phases *ph = tr->spec.phases;
  const rt_batch *b;
  rt_tokens_in in;
  rt_view hidden;
  const rt_head head = rt_model_head(tr->model);
  const rt_view d_hidden = rt_model_d_hidden(tr->model);

  rt_phases_to(ph, RT_PHASE_INPUT);
  RT_TRY(rt_feed_next(tr->feed, &b));
  note_rows(tr, b);
  rt_phases_to(ph, RT_PHASE_FORWARD);
  if (tr->teacher != NULL)
    RT_TRY(rt_teacher_begin(tr->teacher, b));
  RT_TRY(send_batch(tr, b, &in));
  RT_TRY(rt_model_forward(tr->model, &in, &hidden));
  rt_phases_to(ph, RT_PHASE_LOSS);
  const rt_objective_in loss_in = {.head = &head,
                                   .hidden = hidden,
                                   .d_hidden = d_hidden,
                                   .b = b,
                                   .alpha = alpha,
                                   .weight_total = weight_total};
  RT_TRY(rt_objective_run(tr->objective, tr->teacher, &loss_in));
  RT_TRY(rt_window_capture_take(tr->capture, b));
  rt_phases_to(ph, RT_PHASE_BACKWARD);
  return rt_model_backward(tr->model, &in, d_hidden,
                           last ? rt_gradsync_bucket : NULL, tr->sync);
}

static void clear_gradients(rt_trainer *tr)
{
  RT_RUN(tr->spec.dev, fill, .y = rt_params_grads(rt_model_params(tr->model)),
         .value = 0.0);
}

/** The sums of the loss over all rows of the step, on the device. */
static rt_err sum_loss(const rt_trainer *tr, rt_view *out)
{
  k_loss all;
  *out = rt_objective_sums(tr->objective);
  if (rt_comm_size(tr->spec.dp) == 1)
    return RT_OK;
  RT_TRY(rt_objective_loss(tr->objective, &all));
  RT_TRY(rt_comm_allreduce_host(tr->spec.dp, &all, K_N_LOSS, RT_F64, RT_SUM));
  return rt_dev_put(tr->spec.dev, *out, &all);
}

/** Decide on the device what becomes of the step, and update. */
static rt_err optimize(rt_trainer *tr, rt_view loss, const rt_step_result *r)
{
  const rt_adamw_spec *const adamw = rt_adamw_spec_of(tr->opt);
  rt_view squares;
  RT_TRY(rt_adamw_squares(tr->opt, &squares));
  RT_RUN(tr->spec.dev, step_control, .squares = squares, .loss = loss,
         .control = tr->control, .step = rt_adamw_step(tr->opt),
         .told = tr->told, .alpha = r->alpha, .lr = r->lr,
         .clip = tr->spec.clip, .spike = tr->spec.spike, .beta1 = adamw->beta1,
         .beta2 = adamw->beta2, .stop = tr->spec.stop);
  return rt_adamw_update(tr->opt);
}

/** Take what the device tells of the step. */
static rt_err take_result(rt_trainer *tr, rt_step_result *out)
{
  k_told t;
  RT_TRY(rt_dev_get(tr->spec.dev, &t, tr->told));
  tr->norm_mean = t.control.norm_mean;
  tr->n_updates = (int64_t)t.control.n_updates;
  tr->n_skipped = (int64_t)t.control.n_skipped;
  out->loss = t.loss;
  out->lm = t.lm;
  out->kd = t.kd;
  out->entries = t.entries;
  out->grad_norm = t.grad_norm;
  out->bad = t.bad != 0.0;
  return RT_OK;
}

rt_step_counts rt_trainer_counts(const rt_trainer *tr)
{
  const double n = tr->n_run > 0 ? (double)tr->n_run : 1.0;
  return (rt_step_counts){.host_waits = (double)tr->n_waits / n,
                          .optimizer_launches = (double)tr->n_optimizer / n};
}

/** Launches so far; this waits for nothing. */
static int64_t launched(const rt_trainer *tr)
{
  return rt_dev_event(tr->spec.dev).at;
}

rt_err rt_trainer_step(rt_trainer *tr, int64_t step, rt_step_result *out)
{
  const rt_step_spec *const spec = &tr->spec;
  rt_phases *ph = spec->phases;
  const rt_phase was = ph->now;
  const int64_t n_micro = spec->rows_per_rank / spec->micro_rows;
  // every token of a row has weight 1
  const double weight_total = (double)(spec->batch_rows * spec->seq);
  const int64_t waits = rt_dev_host_waits(spec->dev);
  rt_view loss;
  *out = (rt_step_result){.lr = rt_schedule_at(&tr->lr, step)};
  if (tr->teacher != NULL)
    out->alpha = rt_schedule_at(&tr->alpha, step);

  rt_phases_to(ph, RT_PHASE_BACKWARD);
  clear_gradients(tr);
  rt_objective_clear(tr->objective);
  rt_window_capture_look(tr->capture, step);
  for (int64_t i = 0; i < n_micro; i++)
    RT_TRY(micro_step(tr, out->alpha, weight_total, i == n_micro - 1));
  rt_phases_to(ph, RT_PHASE_REDUCE);
  RT_TRY(check_rows(tr, step));
  RT_TRY(rt_gradsync_finish(tr->sync));
  RT_TRY(sum_loss(tr, &loss));
  rt_phases_to(ph, RT_PHASE_OPTIMIZER);
  const int64_t before = launched(tr);
  RT_TRY(optimize(tr, loss, out));
  tr->n_optimizer += 1 + launched(tr) - before; // 1: clear_gradients
  RT_TRY(take_result(tr, out));
  RT_TRY(rt_window_capture_end_step(tr->capture));
  tr->n_waits += rt_dev_host_waits(spec->dev) - waits;
  tr->n_run++;
  rt_phases_to(ph, was);
  return RT_OK;
}
