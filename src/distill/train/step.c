/** \file step.c
 *  One training step on one page, and what it needs. */
#include "distill/train/step.h"

#include "base/log.h"
#include "base/split.h"
#include "distill/train/schedules.h"
#include "distill/job/job_memory.h"

#include <math.h>
#include <stdlib.h>

static rt_err plan_student(rt_trainer *tr)
{
  rt_job *job = tr->job;
  const rt_deck *d = job->deck;
  const rt_model_spec spec = {.arch = &job->arch_s,
                              .grid = &job->grid_s,
                              .dev = job->dev,
                              .max_rows = job->micro_rows,
                              .seq = job->seq,
                              .train = true};
  RT_TRY(rt_model_create("student", &spec, &tr->model));
  const rt_adamw_spec adamw = {
      .beta1 = rt_deck_real(d, RT_KEY_TRAIN_BETA1),
      .beta2 = rt_deck_real(d, RT_KEY_TRAIN_BETA2),
      .eps = rt_deck_real(d, RT_KEY_TRAIN_EPS),
      .weight_decay = rt_deck_real(d, RT_KEY_TRAIN_DECAY),
      .decay_all = rt_deck_bool(d, RT_KEY_TRAIN_DECAY_ALL)};
  rt_params *params = rt_model_params(tr->model);
  RT_TRY(rt_adamw_create(params, job->dev, &adamw, &tr->opt));
  return rt_gradsync_create(params, job->dev, &tr->sync);
}

static rt_err plan_objective(rt_trainer *tr)
{
  rt_job *job = tr->job;
  const rt_objective_spec spec = {
      .dev = job->dev,
      .grid = &job->grid_s,
      .chunk_bytes = rt_deck_real(job->deck, RT_KEY_LOSS_CHUNK_MIB) * 0x1p20,
      .max_tokens = job->micro_rows * job->seq,
      .vocab_local =
          rt_round_up(job->arch_s.vocab, job->grid_s.tp) / job->grid_s.tp,
      .dense = tr->teacher != NULL && rt_teacher_dense(tr->teacher),
      .kld = rt_deck_is(job->deck, RT_KEY_LOSS_KIND, "kld"),
      .tau = rt_deck_real(job->deck, RT_KEY_LOSS_TAU)};
  return rt_objective_create(&spec, &tr->objective);
}

static rt_err plan_input(rt_trainer *tr)
{
  const int64_t n = tr->job->micro_rows * tr->job->seq;
  RT_TRY(rt_arena_create("student input", &tr->input));
  RT_TRY(rt_arena_reserve(tr->input, "tok", RT_I32, n, 1, &tr->tok));
  RT_TRY(rt_arena_reserve(tr->input, "pos", RT_I32, n, 1, &tr->pos));
  return rt_arena_reserve(tr->input, "doc_start", RT_I32, n, 1, &tr->doc_start);
}

int rt_trainer_arenas(const rt_trainer *tr, const rt_arena *plans[10])
{
  int n = 0;
  plans[n++] = rt_model_arena(tr->model, 0);
  plans[n++] = rt_model_arena(tr->model, 1);
  plans[n++] = rt_adamw_arena(tr->opt);
  plans[n++] = rt_objective_arena(tr->objective);
  plans[n++] = tr->input;
  if (tr->capture != NULL)
    plans[n++] = rt_train_capture_arena(tr->capture);
  if (tr->teacher != NULL)
    n += rt_teacher_arenas(tr->teacher, plans + n);
  return n;
}

/** What needs no other rank. */
static rt_err commit_own(rt_trainer *tr)
{
  RT_TRY(rt_adamw_commit(tr->opt));
  RT_TRY(rt_objective_commit(tr->objective));
  RT_TRY(rt_train_capture_commit(tr->capture));
  return rt_arena_commit(tr->input, rt_dev_memory(tr->job->dev));
}

rt_err rt_trainer_commit(rt_trainer *tr)
{
  rt_job *job = tr->job;
  RT_TRY(rt_agree(job->world, commit_own(tr)));
  RT_TRY(rt_model_commit(tr->model));
  if (tr->teacher != NULL)
    RT_TRY(rt_teacher_commit(tr->teacher, job));
  const char *weights = rt_deck_text(job->deck, RT_KEY_STU_WEIGHTS);
  if (weights[0] != '\0')
    return rt_job_load_weights(job, tr->model, weights);
  const uint64_t seed = (uint64_t)rt_deck_int(job->deck, RT_KEY_RUN_SEED);
  return rt_agree(job->world,
                  rt_params_random(rt_model_params(tr->model), job->dev, seed));
}

/** What is in no arena. */
static void plan_beside(rt_trainer *tr)
{
  rt_job *const job = tr->job;
  rt_job_beside(job, "rows read ahead", rt_feed_memory(job));
  rt_job_beside_shared(job, job->grid_s.comm_tp);
  rt_job_beside_shared(job, job->grid_s.comm_dp);
  if ((job->needs & RT_NEED_TEACHER) != 0)
    rt_job_beside_shared(job, job->grid_t.comm_tp);
  rt_job_beside(job, "loss on the host",
                (double)rt_objective_host_bytes(tr->objective));
  if (tr->teacher != NULL)
    rt_job_beside(job, "targets on the host", rt_teacher_beside(tr->teacher));
}

rt_err rt_trainer_create(rt_job *job, rt_trainer **out)
{
  rt_trainer *tr = calloc(1, sizeof *tr);
  *out = tr;
  RT_CHECK(tr != NULL, RT_ERR_MEM, "a trainer");
  if (job->arch_s.dropout > 0.0)
    rt_warn("the student's config.json asks for dropout (%g): it is trained "
            "without dropout",
            job->arch_s.dropout);
  tr->job = job;
  const int64_t tokens = job->batch_rows * job->seq;
  rt_schedules_tell_unused(job->deck);
  tr->lr = rt_lr_schedule(job->deck, tokens, job->n_steps);
  tr->alpha = rt_alpha_schedule(job->deck, tokens, job->n_steps);
  RT_TRY(plan_student(tr));
  RT_TRY(rt_teacher_create(job, &tr->teacher));
  RT_TRY(plan_objective(tr));
  RT_TRY(plan_input(tr));
  RT_TRY(rt_train_capture_create(job, tr->model, tr->objective, &tr->capture));
  plan_beside(tr);
  return RT_OK;
}

void rt_trainer_destroy(rt_trainer **out)
{
  rt_trainer *tr = *out;
  *out = NULL;
  if (tr == NULL)
    return;
  rt_feed_destroy(&tr->feed);
  rt_train_capture_destroy(&tr->capture);
  rt_objective_destroy(&tr->objective);
  rt_teacher_destroy(&tr->teacher);
  rt_gradsync_destroy(&tr->sync);
  rt_adamw_destroy(&tr->opt);
  rt_model_destroy(&tr->model);
  rt_arena_destroy(&tr->input);
  free(tr);
}

rt_err rt_trainer_seek(rt_trainer *tr, int64_t step)
{
  rt_feed_destroy(&tr->feed);
  return rt_feed_create(tr->job, step, &tr->feed);
}

/** Send a micro-batch's token arrays to the device. */
static rt_err send_batch(rt_trainer *tr, const rt_batch *b, rt_tokens_in *in)
{
  rt_dev *dev = tr->job->dev;
  RT_TRY(rt_dev_put(dev, tr->tok, b->tok));
  RT_TRY(rt_dev_put(dev, tr->pos, b->pos));
  RT_TRY(rt_dev_put(dev, tr->doc_start, b->doc_start));
  *in = (rt_tokens_in){tr->tok, tr->pos, tr->doc_start, b->n_rows, b->seq};
  return RT_OK;
}

/** Rows of the micro-batch, added to the hash of all that came before. */
static void note_rows(rt_trainer *tr, const rt_batch *b)
{
  const size_t bytes = (size_t)(b->n_rows * b->seq) * sizeof *b->tok;
  const uint64_t part[] = {tr->rows_seen, rt_hash_xxh3(b->tok, bytes),
                           rt_hash_xxh3(b->label, bytes)};
  tr->rows_seen = rt_hash_xxh3(part, sizeof part);
}

/** The tp ranks of a group compute parts of one model: of one text. */
static rt_err check_rows(const rt_trainer *tr, int64_t step)
{
  const rt_comm *const tp = tr->job->grid_s.comm_tp;
  uint64_t most[2] = {tr->rows_seen, ~tr->rows_seen};
  if (rt_comm_size(tp) == 1)
    return RT_OK;
  RT_TRY(rt_comm_allreduce_host(tp, most, 2, RT_U64, RT_MAX));
  RT_CHECK(most[0] == ~most[1], RT_ERR_DATA,
           "step %lld: ranks of one tp group have read different rows: they "
           "see different files under the names of data.files; copy them to "
           "every node anew.  Nothing was updated in this step",
           (long long)step + 1);
  return RT_OK;
}

/** One micro-step: gradients are added to; the last one starts their sum. */
static rt_err micro_step(rt_trainer *tr, double alpha, double weight_total,
                         bool last, rt_loss *loss)
{
  rt_job *job = tr->job;
  rt_phases *ph = &job->phases;
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
    RT_TRY(rt_teacher_begin(tr->teacher, job, b));
  RT_TRY(send_batch(tr, b, &in));
  RT_TRY(rt_model_forward(tr->model, &in, &hidden));
  rt_phases_to(ph, RT_PHASE_LOSS);
  const rt_objective_in loss_in = {.head = &head,
                                   .hidden = hidden,
                                   .d_hidden = d_hidden,
                                   .b = b,
                                   .alpha = alpha,
                                   .weight_total = weight_total};
  RT_TRY(rt_objective_run(tr->objective, tr->teacher, &loss_in, loss));
  RT_TRY(rt_train_capture_take(tr->capture, b));
  rt_phases_to(ph, RT_PHASE_BACKWARD);
  return rt_model_backward(tr->model, &in, d_hidden,
                           last ? rt_gradsync_bucket : NULL, tr->sync);
}

static void clear_gradients(rt_trainer *tr)
{
  const rt_params *params = rt_model_params(tr->model);
  for (int i = 0; i < params->n_buckets; i++)
    RT_RUN(tr->job->dev, fill, .y = params->bucket_grad[i], .value = 0.0);
}

/** The parts of the loss over all rows of the step. */
static rt_err sum_loss(const rt_trainer *tr, rt_loss *loss)
{
  double parts[3] = {loss->lm, loss->kd, loss->entries};
  RT_TRY(rt_comm_allreduce_host(tr->job->grid_s.comm_dp, parts, 3, RT_F64,
                                RT_SUM));
  *loss = (rt_loss){parts[0], parts[1], parts[2]};
  return RT_OK;
}

/** NaN, Inf, or a norm far above its running mean: the same answer on every
 * rank, since loss and norm are the same bits everywhere. */
static bool looks_bad(const rt_trainer *tr, double loss, double norm)
{
  const double spike = rt_deck_real(tr->job->deck, RT_KEY_TRAIN_SPIKE);
  if (!isfinite(loss) || !isfinite(norm))
    return true;
  return spike > 0.0 && tr->norm_mean > 0.0 && norm > spike * tr->norm_mean;
}

static rt_err update(rt_trainer *tr, const rt_step_result *r)
{
  const double clip = rt_deck_real(tr->job->deck, RT_KEY_TRAIN_CLIP);
  const double scale =
      clip > 0.0 && r->grad_norm > clip ? clip / r->grad_norm : 1.0;
  tr->n_updates++;
  tr->norm_mean = tr->norm_mean > 0.0
                      ? 0.98 * tr->norm_mean + 0.02 * r->grad_norm
                      : r->grad_norm;
  return rt_adamw_update(tr->opt, tr->n_updates, r->lr, scale);
}

rt_err rt_trainer_step(rt_trainer *tr, int64_t step, rt_step_result *out)
{
  rt_job *job = tr->job;
  rt_phases *ph = &job->phases;
  const rt_phase was = ph->now;
  const int64_t n_micro = job->rows_per_rank / job->micro_rows;
  // every token of a corpus row weighs 1
  const double weight_total = (double)(job->batch_rows * job->seq);
  rt_loss loss = {0};
  *out = (rt_step_result){.lr = rt_schedule_at(&tr->lr, step)};
  if (tr->teacher != NULL)
    out->alpha = rt_schedule_at(&tr->alpha, step);

  rt_phases_to(ph, RT_PHASE_BACKWARD);
  clear_gradients(tr);
  rt_train_capture_look(tr->capture, step);
  for (int64_t i = 0; i < n_micro; i++)
    RT_TRY(micro_step(tr, out->alpha, weight_total, i == n_micro - 1, &loss));
  rt_phases_to(ph, RT_PHASE_REDUCE);
  RT_TRY(check_rows(tr, step));
  RT_TRY(rt_gradsync_finish(tr->sync));
  RT_TRY(sum_loss(tr, &loss));
  rt_phases_to(ph, RT_PHASE_OPTIMIZER);
  RT_TRY(rt_adamw_grad_norm(tr->opt, &out->grad_norm));
  out->lm = loss.lm;
  out->kd = loss.kd;
  out->entries = loss.entries;
  out->loss = (1.0 - out->alpha) * loss.lm + out->alpha * loss.kd;
  out->bad = looks_bad(tr, out->loss, out->grad_norm);
  if (out->bad)
    tr->n_skipped++;
  else
    RT_TRY(update(tr, out));
  RT_TRY(rt_train_capture_end_step(tr->capture));
  rt_phases_to(ph, was);
  return RT_OK;
}
