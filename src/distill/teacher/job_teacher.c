/** \file job_teacher.c
 *  Keys of the deck that concern a teacher. */
#include "distill/teacher/job_teacher.h"

#include "distill/job/job_inputs.h"

/** The draws of a live teacher; N is 0 unless teacher.target is sampled. */
static rt_draws draws_of(const rt_job *job)
{
  if (!rt_deck_is(job->deck, RT_KEY_TEA_TARGET, "sampled"))
    return (rt_draws){0};
  return (rt_draws){rt_deck_int(job->deck, RT_KEY_TEA_DRAWS),
                    (uint64_t)rt_deck_int(job->deck, RT_KEY_TEA_SEED)};
}

/** The deck's truncation, with k at most V; for draws, all entries are kept. */
static rt_truncation rule_of(const rt_job *job)
{
  const rt_draws draws = draws_of(job);
  if (draws.n > 0)
    return (rt_truncation){1.0, draws.n};
  if (job->dataset != NULL && rt_logits_about(job->dataset)->draws > 0)
    return (rt_truncation){1.0, rt_logits_about(job->dataset)->draws};
  const int64_t k = rt_deck_int(job->deck, RT_KEY_TEA_TOP_K);
  const int64_t vocab = rt_arch_true_vocab(&job->arch_s);
  const double p = rt_deck_real(job->deck, RT_KEY_TEA_TOP_P);
  // a capture with this p is not truncated again: rounded log-probs would reach
  // p slightly earlier
  const bool done =
      job->dataset != NULL && rt_logits_about(job->dataset)->top_p == p;
  return (rt_truncation){done ? 1.0 : p, k < vocab ? k : vocab};
}

static rt_err check_dense(const rt_job *job)
{
  RT_CHECK(rt_deck_is(job->deck, RT_KEY_TEA_SOURCE, "live"), RT_ERR_CONFIG,
           "teacher.target is full, but a dataset holds truncated entries: use "
           "teacher.target=sparse, or teacher.source=live");
  return RT_OK;
}

static rt_err check_sampled(const rt_job *job)
{
  RT_CHECK(rt_deck_is(job->deck, RT_KEY_TEA_SOURCE, "live"), RT_ERR_CONFIG,
           "teacher.target is sampled, but a dataset holds its captured "
           "entries: remove teacher.target (capture.encoding=sampled captures "
           "draws), or use teacher.source=live");
  return rt_job_check_draws(job->deck, "teacher.target=sampled");
}

/** Report keys that were set but have no effect, so that a run does not
 *  silently differ from what its deck suggests. */
static void report_unused(const rt_job *job)
{
  static const rt_key any[] = {RT_KEY_TEA_TARGET, RT_KEY_TEA_TOP_P,
                               RT_KEY_TEA_TOP_K,  RT_KEY_TEA_ROW_CUT,
                               RT_KEY_LOSS_ALPHA, RT_KEY_LOSS_KIND,
                               RT_KEY_LOSS_TAU,   RT_KEY_LOSS_ALPHA_SHAPE};
  static const rt_key dataset[] = {RT_KEY_TEA_DATASET};
  static const rt_key weights[] = {RT_KEY_TEA_WEIGHTS};
  static const rt_key cut[] = {RT_KEY_TEA_TOP_P, RT_KEY_TEA_TOP_K};
  static const rt_key drawn[] = {RT_KEY_TEA_DRAWS, RT_KEY_TEA_SEED};
  const rt_deck *const d = job->deck;
  const bool none = rt_deck_is(d, RT_KEY_TEA_SOURCE, "none");
  if (!rt_deck_is(d, RT_KEY_TEA_SOURCE, "dataset"))
    rt_job_tell_unused(d, dataset, 1, "teacher.source is not dataset");
  if (none && (job->needs & RT_NEED_TEACHER) == 0)
    rt_job_tell_unused(d, weights, 1, "teacher.source is none");
  if (none)
    rt_job_tell_unused(d, any, sizeof any / sizeof any[0],
                       "teacher.source is none: language modelling only");
  else if (rt_deck_is(d, RT_KEY_TEA_TARGET, "full"))
    rt_job_tell_unused(d, cut, 2, "teacher.target is full");
  if (job->dataset == NULL && !rt_deck_is(d, RT_KEY_TEA_TARGET, "sampled"))
    rt_job_tell_unused(d, drawn, 2, "teacher.target is not sampled");
}

rt_teacher_model rt_job_teacher_model(const rt_job *job)
{
  return (rt_teacher_model){.world = job->world,
                            .dev = job->dev,
                            .types = job->types_t,
                            .student = &job->grid_s,
                            .teacher = &job->grid_t,
                            .arch = &job->arch_t,
                            .weights =
                                rt_deck_text(job->deck, RT_KEY_TEA_WEIGHTS),
                            .student_vocab = job->arch_s.vocab,
                            .micro_rows = job->micro_rows,
                            .seq = job->seq};
}

static rt_teacher_source source_of(const rt_deck *deck)
{
  return rt_deck_is(deck, RT_KEY_TEA_SOURCE, "live")      ? RT_TEACHER_LIVE
         : rt_deck_is(deck, RT_KEY_TEA_SOURCE, "dataset") ? RT_TEACHER_DATASET
                                                          : RT_TEACHER_NONE;
}

rt_err rt_job_teacher(rt_job *job, rt_teacher_spec *out)
{
  const rt_deck *const d = job->deck;
  report_unused(job);
  *out = (rt_teacher_spec){.source = source_of(d)};
  if (out->source == RT_TEACHER_NONE)
    return RT_OK;
  *out = (rt_teacher_spec){.source = out->source,
                           .dense = rt_deck_is(d, RT_KEY_TEA_TARGET, "full"),
                           .model = rt_job_teacher_model(job),
                           .phases = &job->phases,
                           .rule = rule_of(job),
                           .tau = rt_deck_real(d, RT_KEY_LOSS_TAU),
                           .target_type = job->types_s.stat,
                           .draws = draws_of(job)};
  if (out->source == RT_TEACHER_LIVE)
    out->chunk_bytes = rt_job_chunk_bytes(job, &job->arch_t, &job->grid_t);
  if (out->dense)
    RT_TRY(check_dense(job));
  return out->draws.n > 0 ? check_sampled(job) : RT_OK;
}
