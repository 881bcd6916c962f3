/** \file target_rule.c */
#include "distill/teacher/target_rule.h"

rt_draws rt_target_draws(const rt_job *job)
{
  if (!rt_deck_is(job->deck, RT_KEY_TEA_TARGET, "sampled"))
    return (rt_draws){0};
  return (rt_draws){rt_deck_int(job->deck, RT_KEY_TEA_DRAWS),
                    (uint64_t)rt_deck_int(job->deck, RT_KEY_TEA_SEED)};
}

rt_truncation rt_target_rule(const rt_job *job)
{
  const rt_draws draws = rt_target_draws(job);
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
