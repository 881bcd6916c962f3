/** \file job_train.c
 *  Keys of the deck that concern training. */
#include "distill/train/job_train.h"

#include "base/log.h"
#include "base/split.h"
#include "distill/capture/job_capture.h"
#include "distill/data/job_data.h"
#include "distill/job/job_inputs.h"
#include "distill/job/job_memory.h"
#include "distill/job/job_models.h"
#include "distill/teacher/job_teacher.h"
#include "distill/train/schedules.h"

rt_run_spec rt_job_run(const rt_job *job)
{
  return (rt_run_spec){.world = job->world,
                       .deck = job->deck,
                       .config = job->config,
                       .arch = &job->arch_s,
                       .tokenizer = job->tokenizer_hash,
                       .rows = rt_job_rows(job),
                       .n_rows = job->n_rows,
                       .batch_rows = job->batch_rows,
                       .loads_teacher = (job->needs & RT_NEED_TEACHER) != 0};
}

double rt_job_step_flops(const rt_job *job)
{
  const double tokens = (double)(job->batch_rows * job->seq);
  const bool live = rt_deck_is(job->deck, RT_KEY_TEA_SOURCE, "live");
  // backward has two GEMMs per GEMM of the forward
  const double student = 3.0 * rt_arch_flops_fwd(&job->arch_s, job->seq);
  const double teacher = live ? rt_arch_flops_fwd(&job->arch_t, job->seq) : 0.0;
  return tokens * (student + teacher);
}

rt_peak_spec rt_job_peak(const rt_job *job)
{
  return (rt_peak_spec){.world = job->world,
                        .dev = job->dev,
                        .type = job->types_s.act,
                        .threads = job->threads.n,
                        .given_gflops =
                            rt_deck_real(job->deck, RT_KEY_RUN_PEAK_GFLOPS)};
}

rt_progress_spec rt_job_progress(const rt_job *job, const rt_peak *peak)
{
  const bool loads = (job->needs & RT_NEED_TEACHER) != 0;
  return (rt_progress_spec){
      .world = job->world,
      .phases = &job->phases,
      .peak = peak,
      .flops = rt_job_step_flops(job),
      .n_steps = job->n_steps,
      .tokens_per_step = job->batch_rows * job->seq,
      .threads = job->threads.n,
      .dp = job->grid_s.dp,
      .tp = job->grid_s.tp,
      .teacher_dp = loads ? job->grid_t.dp : 0,
      .teacher_tp = loads ? job->grid_t.tp : 0,
      .has_kd = !rt_deck_is(job->deck, RT_KEY_TEA_SOURCE, "none")};
}

rt_run_card rt_job_card(const rt_job *job)
{
  const rt_deck *const d = job->deck;
  return (rt_run_card){.dataset = job->dataset,
                       .dataset_folder = rt_deck_text(d, RT_KEY_TEA_DATASET),
                       .seq = job->seq,
                       .pieces = job->pieces,
                       .row_cut = rt_deck_text(d, RT_KEY_TEA_ROW_CUT),
                       .cut_means = rt_job_cut_means(job),
                       .top_p = rt_deck_real(d, RT_KEY_TEA_TOP_P),
                       .top_k = rt_deck_int(d, RT_KEY_TEA_TOP_K)};
}

static rt_step_spec step_of(rt_job *job)
{
  const rt_deck *const d = job->deck;
  return (rt_step_spec){.dev = job->dev,
                        .tp = job->grid_s.comm_tp,
                        .dp = job->grid_s.comm_dp,
                        .phases = &job->phases,
                        .batch_rows = job->batch_rows,
                        .rows_per_rank = job->rows_per_rank,
                        .micro_rows = job->micro_rows,
                        .seq = job->seq,
                        .clip = rt_deck_real(d, RT_KEY_TRAIN_CLIP),
                        .spike = rt_deck_real(d, RT_KEY_TRAIN_SPIKE),
                        .stop = !rt_deck_is(d, RT_KEY_TRAIN_ON_BAD, "skip")};
}

static rt_adamw_spec adamw_of(const rt_deck *d)
{
  return (rt_adamw_spec){.beta1 = rt_deck_real(d, RT_KEY_TRAIN_BETA1),
                         .beta2 = rt_deck_real(d, RT_KEY_TRAIN_BETA2),
                         .eps = rt_deck_real(d, RT_KEY_TRAIN_EPS),
                         .weight_decay = rt_deck_real(d, RT_KEY_TRAIN_DECAY),
                         .decay_all = rt_deck_bool(d, RT_KEY_TRAIN_DECAY_ALL)};
}

static rt_objective_spec loss_of(const rt_job *job, bool dense)
{
  const rt_deck *const d = job->deck;
  const int tp = job->grid_s.tp;
  return (rt_objective_spec){
      .dev = job->dev,
      .types = job->types_s,
      .grid = &job->grid_s,
      .chunk_bytes = rt_job_chunk_bytes(job, &job->arch_s, &job->grid_s),
      .max_tokens = job->micro_rows * job->seq,
      .vocab_local = rt_round_up(job->arch_s.vocab, tp) / tp,
      .dense = dense,
      .kld = rt_deck_is(d, RT_KEY_LOSS_KIND, "kld"),
      .tau = rt_deck_real(d, RT_KEY_LOSS_TAU)};
}

static rt_err trainer_of(rt_job *job, rt_trainer_spec *out)
{
  const rt_deck *const d = job->deck;
  const int64_t tokens = job->batch_rows * job->seq;
  *out = (rt_trainer_spec){.world = job->world,
                           .step = step_of(job),
                           .student = rt_job_student(job),
                           .weights = rt_deck_text(d, RT_KEY_STU_WEIGHTS),
                           .seed = (uint64_t)rt_deck_int(d, RT_KEY_RUN_SEED),
                           .adamw = adamw_of(d),
                           .lr = rt_lr_schedule(d, tokens, job->n_steps),
                           .alpha = rt_alpha_schedule(d, tokens, job->n_steps),
                           .feed = rt_job_feed(job, 0)};
  out->student.train = true;
  RT_TRY(rt_job_teacher(job, &out->teacher));
  out->loss = loss_of(job, out->teacher.dense);
  return rt_job_window_capture(job, &out->capture);
}

/** Count the memory in addition to the arenas. */
static void count_beside(rt_job *job, const rt_trainer *tr)
{
  rt_job_beside(job, "rows read ahead", rt_feed_memory(&tr->rows));
  rt_job_beside_shared(job, job->grid_s.comm_tp);
  rt_job_beside_shared(job, job->grid_s.comm_dp);
  if ((job->needs & RT_NEED_TEACHER) != 0)
    rt_job_beside_shared(job, job->grid_t.comm_tp);
  rt_job_beside(job, "loss on the host",
                (double)rt_objective_host_bytes(tr->objective));
  if (tr->teacher != NULL)
    rt_job_beside(job, "targets on the host", rt_teacher_beside(tr->teacher));
  if (tr->capture == NULL)
    return;
  rt_job_beside(job, "shard in writing", rt_window_capture_writer(tr->capture));
  rt_job_beside(job, "captured entries on the host",
                rt_window_capture_entries(tr->capture));
}

rt_err rt_job_trainer(rt_job *job, rt_trainer **out)
{
  rt_trainer_spec spec;
  *out = NULL;
  if (job->arch_s.dropout > 0.0)
    rt_warn("the student's config.json asks for dropout (%g): it is trained "
            "without dropout",
            job->arch_s.dropout);
  rt_schedules_tell_unused(job->deck);
  RT_TRY(trainer_of(job, &spec));
  RT_TRY(rt_trainer_create(&spec, out));
  count_beside(job, *out);
  return RT_OK;
}
