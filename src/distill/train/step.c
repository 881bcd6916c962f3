/** \file step.c
 *  One training step. */
#include "distill/train/step.h"

#include <math.h>

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

/** Sum the parts of the loss over all rows of the step. */
static rt_err sum_loss(const rt_trainer *tr, k_loss *loss)
{
  RT_TRY(rt_objective_loss(tr->objective, loss));
  double parts[3] = {loss->lm, loss->kd, loss->entries};
  RT_TRY(rt_comm_allreduce_host(tr->spec.dp, parts, 3, RT_F64, RT_SUM));
  *loss = (k_loss){parts[0], parts[1], parts[2]};
  return RT_OK;
}

/** Is there a NaN, Inf, or a norm far above its running mean?  The answer is
 *  the same on every rank, since loss and norm are bitwise equal everywhere. */
static bool looks_bad(const rt_trainer *tr, double loss, double norm)
{
  const double spike = tr->spec.spike;
  if (!isfinite(loss) || !isfinite(norm))
    return true;
  return spike > 0.0 && tr->norm_mean > 0.0 && norm > spike * tr->norm_mean;
}

static rt_err update(rt_trainer *tr, const rt_step_result *r)
{
  const double clip = tr->spec.clip;
  const double scale =
      clip > 0.0 && r->grad_norm > clip ? clip / r->grad_norm : 1.0;
  tr->n_updates++;
  tr->norm_mean = tr->norm_mean > 0.0
                      ? 0.98 * tr->norm_mean + 0.02 * r->grad_norm
                      : r->grad_norm;
  return rt_adamw_update(tr->opt, tr->n_updates, r->lr, scale);
}

/** Norm of the gradients, and the update, unless the step is bad. */
static rt_err optimize(rt_trainer *tr, const k_loss *loss, rt_step_result *out)
{
  RT_TRY(rt_adamw_grad_norm(tr->opt, &out->grad_norm));
  out->lm = loss->lm;
  out->kd = loss->kd;
  out->entries = loss->entries;
  out->loss = (1.0 - out->alpha) * loss->lm + out->alpha * loss->kd;
  out->bad = looks_bad(tr, out->loss, out->grad_norm);
  if (!out->bad)
    return update(tr, out);
  tr->n_skipped++;
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
  k_loss loss;
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
  RT_TRY(optimize(tr, &loss, out));
  tr->n_optimizer += 1 + launched(tr) - before; // 1: clear_gradients
  RT_TRY(rt_window_capture_end_step(tr->capture));
  tr->n_waits += rt_dev_host_waits(spec->dev) - waits;
  tr->n_run++;
  rt_phases_to(ph, was);
  return RT_OK;
}
