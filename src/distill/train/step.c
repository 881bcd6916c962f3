/** \file step.c
 *  One training step. */
#include "distill/train/step.h"

#include "base/clock.h"
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

/** The sums of the loss over all rows of the step, on the device. */
static rt_err sum_loss(const rt_trainer *tr, rt_view *out)
{
  *out = rt_objective_sums(tr->objective);
  return rt_comm_allreduce(tr->spec.dp, tr->spec.dev, *out, RT_SUM);
}

/** Decide on the device what becomes of the step, and update. */
static rt_err optimize(rt_trainer *tr, rt_view loss, const rt_open_step *s)
{
  const rt_adamw_spec *const adamw = rt_adamw_spec_of(tr->opt);
  rt_view squares;
  RT_TRY(rt_adamw_squares(tr->opt, &squares));
  // what the step before tells must have been copied
  rt_dev_wait(tr->spec.dev, RT_QUEUE_COMPUTE, tr->told_free);
  RT_RUN(tr->spec.dev, step_control, .squares = squares, .loss = loss,
         .control = tr->control, .step = rt_adamw_step(tr->opt),
         .told = tr->told, .alpha = s->alpha, .lr = s->lr,
         .clip = tr->spec.clip, .spike = tr->spec.spike, .beta1 = adamw->beta1,
         .beta2 = adamw->beta2, .stop = tr->spec.stop);
  return rt_adamw_update(tr->opt);
}

/** Let the device tell of the step, while its next kernels run. */
static void tell(rt_trainer *tr, rt_open_step *s)
{
  rt_dev *const dev = tr->spec.dev;
  rt_dev_wait(dev, RT_QUEUE_COPY, rt_dev_event(dev, RT_QUEUE_COMPUTE));
  rt_dev_get_start(dev, RT_QUEUE_COPY, s->told, tr->told);
  s->copied = tr->told_free = rt_dev_event(dev, RT_QUEUE_COPY);
}

int64_t rt_trainer_n_open(const rt_trainer *tr)
{
  return tr->n_run - tr->n_taken;
}

int64_t rt_trainer_lag(const rt_trainer *tr)
{
  return rt_dev_at_once(tr->spec.dev) ? 0 : RT_STEPS_OPEN - 1;
}

/** Wait until the device has told of the step. */
static rt_err wait_for(rt_trainer *tr, const rt_open_step *s)
{
  rt_dev *const dev = tr->spec.dev;
  const int64_t waits = rt_dev_host_waits(dev);
  const rt_phase was = rt_phases_to(tr->spec.phases, RT_PHASE_OPTIMIZER);
  RT_TRY(rt_dev_event_wait(dev, s->copied));
  tr->n_drains += rt_dev_host_waits(dev) - waits;
  rt_phases_to(tr->spec.phases, was);
  return RT_OK;
}

rt_err rt_trainer_result(rt_trainer *tr, rt_step_result *out)
{
  RT_ASSERT(rt_trainer_n_open(tr) > 0);
  const rt_open_step *const s = &tr->open[tr->n_taken % RT_STEPS_OPEN];
  RT_TRY(wait_for(tr, s));
  const k_told t = *s->told;
  const double since = fmax(s->since_s, tr->taken_s);
  tr->taken_s = rt_now_s();
  tr->n_taken++;
  tr->norm_mean = t.control.norm_mean;
  tr->n_updates = (int64_t)t.control.n_updates;
  tr->n_skipped = (int64_t)t.control.n_skipped;
  *out = (rt_step_result){.loss = t.loss,
                          .lm = t.lm,
                          .kd = t.kd,
                          .alpha = s->alpha,
                          .lr = s->lr,
                          .grad_norm = t.grad_norm,
                          .entries = t.entries,
                          .bad = t.bad != 0.0,
                          .seconds = tr->taken_s - since};
  return RT_OK;
}

rt_step_counts rt_trainer_counts(const rt_trainer *tr)
{
  const double n = tr->n_run > 0 ? (double)tr->n_run : 1.0;
  return (rt_step_counts){.host_waits = (double)tr->n_waits / n,
                          .optimizer_launches = (double)tr->n_optimizer / n,
                          .drains = tr->n_drains};
}

/** The forward and backward passes of a step, and its sums. */
static rt_err run_micro_steps(rt_trainer *tr, int64_t step, double alpha)
{
  const rt_step_spec *const spec = &tr->spec;
  const int64_t n_micro = spec->rows_per_rank / spec->micro_rows;
  // every token of a row has weight 1
  const double weight_total = (double)(spec->batch_rows * spec->seq);
  rt_phases_to(spec->phases, RT_PHASE_BACKWARD);
  clear_gradients(tr);
  rt_objective_clear(tr->objective);
  rt_window_capture_look(tr->capture, step);
  for (int64_t i = 0; i < n_micro; i++)
    RT_TRY(micro_step(tr, alpha, weight_total, i == n_micro - 1));
  rt_phases_to(spec->phases, RT_PHASE_REDUCE);
  RT_TRY(check_rows(tr, step));
  return rt_gradsync_finish(tr->sync);
}

rt_err rt_trainer_step(rt_trainer *tr, int64_t step)
{
  rt_phases *ph = tr->spec.phases;
  const rt_phase was = ph->now;
  const int64_t waits = rt_dev_host_waits(tr->spec.dev);
  rt_open_step *const s = &tr->open[tr->n_run % RT_STEPS_OPEN];
  rt_view loss;
  RT_ASSERT(rt_trainer_n_open(tr) < RT_STEPS_OPEN);
  s->since_s = rt_now_s();
  s->lr = rt_schedule_at(&tr->lr, step);
  s->alpha = tr->teacher != NULL ? rt_schedule_at(&tr->alpha, step) : 0.0;
  RT_TRY(run_micro_steps(tr, step, s->alpha));
  RT_TRY(sum_loss(tr, &loss));
  rt_phases_to(ph, RT_PHASE_OPTIMIZER);
  const int64_t before = rt_dev_launches(tr->spec.dev);
  RT_TRY(optimize(tr, loss, s));
  // 1: clear_gradients
  tr->n_optimizer += 1 + rt_dev_launches(tr->spec.dev) - before;
  tell(tr, s);
  RT_TRY(rt_window_capture_end_step(tr->capture));
  tr->n_waits += rt_dev_host_waits(tr->spec.dev) - waits;
  tr->n_run++;
  rt_phases_to(ph, was);
  return RT_OK;
}
