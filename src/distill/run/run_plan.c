/** \file run_plan.c
 *  Predicts what a run needs: memory, work, disk, communication. */
#include "base/log.h"
#include "distill/capture/capture.h"
#include "distill/capture/capture_size.h"
#include "distill/capture/job_capture.h"
#include "distill/train/job_train.h"
#include "distill/train/trainer.h"
#include "distill/run/run.h"
#include "distill/run/run_parts.h"
#include "distill/capture/window.h"
#include <string.h>

static void print_work(const rt_job *job)
{
  const double tokens = (double)(job->batch_rows * job->seq);
  const double flops = rt_job_step_flops(job);
  const double rows = (double)job->batch_rows * (double)job->n_steps;
  const double peak = rt_deck_real(job->deck, RT_KEY_RUN_PEAK_GFLOPS) * 1e9 *
                      rt_comm_size(job->world);
  rt_info("student          %.3f M parameters, tied head counted once",
          (double)rt_arch_n_params(&job->arch_s) * 1e-6);
  if ((job->needs & RT_NEED_TEACHER) != 0)
    rt_info("teacher          %.3f M parameters",
            (double)rt_arch_n_params(&job->arch_t) * 1e-6);
  rt_info(
      "run              %lld steps of %.0f tokens, %.4g tokens, %.2f epochs "
      "of %lld rows",
      (long long)job->n_steps, tokens, tokens * (double)job->n_steps,
      rows / (double)job->n_rows, (long long)job->n_rows);
  rt_info("work             %.4g FLOP a step, %.4g in all", flops,
          flops * (double)job->n_steps);
  if (peak > 0.0)
    rt_info("time at peak     %.3f s a step, %.3f h in all (run.peak_gflops on "
            "%d ranks; expect 40-80 %% of peak)",
            flops / peak, flops / peak * (double)job->n_steps / 3600.0,
            rt_comm_size(job->world));
}

/** Print the size of a checkpoint (weights and both moments), and of those kept
 *  at the same time. */
static void print_checkpoints(const rt_job *job)
{
  const double one = 3.0 * (double)rt_arch_n_params(&job->arch_s) *
                     (double)rt_dtype_size(job->types_s.master);
  const double kept = (double)rt_deck_int(job->deck, RT_KEY_CKPT_KEEP_LAST);
  const int64_t every = rt_deck_int(job->deck, RT_KEY_CKPT_KEEP_EVERY);
  const int64_t for_ever = every > 0 ? job->n_steps / every : 0;
  rt_info("checkpoint       %.3f GiB each, up to %.3f GiB on disk",
          one * 0x1p-30, one * (kept + 1.0 + (double)for_ever) * 0x1p-30);
}

/** Print what train.recompute saves or would save. */
static rt_err print_recompute(const rt_job *job, const rt_model *student)
{
  size_t bytes;
  RT_TRY(rt_model_recompute_saves(student, &bytes));
  const bool on = rt_deck_is(job->deck, RT_KEY_TRAIN_RECOMPUTE, "block");
  rt_info("recomputation    train.recompute=block %s %.1f MiB of activations "
          "per rank",
          on ? "saves" : "would save", (double)bytes * 0x1p-20);
  return RT_OK;
}

/** Print the bytes that one rank sends per step: (n - 1) / n of what is summed
 *  for one rank each, or gathered, and twice that of what is summed for all. */
static void print_communication(const rt_job *job, rt_trainer *t)
{
  const rt_grid *g = &job->grid_s;
  const rt_types *const types = &job->types_s;
  // gradients are reduced, weights gathered
  const double params = (double)rt_params_n_local(rt_model_params(t->model)) *
                        (2.0 * (double)rt_dtype_size(types->grad) +
                         (double)rt_dtype_size(types->weight));
  const double ring_dp = (double)(g->dp - 1) / g->dp;
  const double ring_tp = (double)(g->tp - 1) / g->tp;
  const double hidden = (double)(job->rows_per_rank * job->seq) *
                        (double)job->arch_s.width *
                        (double)rt_dtype_size(types->act);
  // two sums in forward and two in backward per block; embedding and d_hidden
  const double sums = 4.0 * (double)job->arch_s.n_blocks + 2.0;
  rt_info("communication    a step and rank: %.2f MiB gradients and weights "
          "over dp %d, %.2f MiB activations over tp %d",
          ring_dp * params * 0x1p-20, g->dp,
          2.0 * ring_tp * sums * hidden * 0x1p-20, g->tp);
}

/** Print tokens x entries x encoding, if every token had the maximum number of
 *  entries: top-p keeps fewer of most tokens. */
static void print_sizes(const rt_logits_info *info, double tokens)
{
  const int64_t most = rt_capture_max_entries(info);
  const int64_t entries[] = {20, 50, 100, most};
  rt_logits_info as = *info;
  for (size_t i = 0; i < sizeof entries / sizeof entries[0]; i++) {
    if (entries[i] >= most && i < sizeof entries / sizeof entries[0] - 1)
      continue;
    snprintf(as.encoding, sizeof as.encoding, "exact");
    const double exact = rt_capture_size_of(&as, (double)entries[i]).likely;
    snprintf(as.encoding, sizeof as.encoding, "packed");
    const rt_capture_size packed = rt_capture_size_of(&as, (double)entries[i]);
    rt_info(
        "capture on disk  %lld entries a token: exact %.1f bytes, %.3f GiB; "
        "packed or sampled about %.1f bytes, %.3f GiB, never over %.3f GiB",
        (long long)entries[i], exact, tokens * exact * 0x1p-30, packed.likely,
        tokens * packed.likely * 0x1p-30, tokens * packed.most * 0x1p-30);
  }
}

/** Print the window capture of the student itself, which needs no additional
 *  work. */
static void print_window(const rt_job *job, rt_window w)
{
  const int64_t lane_rows = job->batch_rows / job->grid_s.dp;
  rt_logits_info info;
  rt_job_capture_rule(job, &info);
  info.vocab = rt_arch_true_vocab(&job->arch_s);
  info.n_rows = w.n_steps * job->batch_rows;
  rt_capture_complete(&info);
  rt_window_cut(&w, info.shard_rows / lane_rows);
  info.shard_rows = w.shard_steps * lane_rows;
  info.n_rows = w.n_steps * job->batch_rows;
  const double tokens = (double)(info.n_rows * job->seq);
  rt_info(
      "capture          of the model in training: %.4g tokens of steps [%lld, "
      "%lld), %lld files, %s, top-p %g",
      tokens, (long long)w.first, (long long)(w.first + w.n_steps),
      (long long)rt_logits_n_shards(&info), info.encoding, info.top_p);
  print_sizes(&info, tokens);
}

static void print_time(const rt_job *job, double tokens)
{
  const double flops = tokens * rt_arch_flops_fwd(&job->arch_t, job->seq);
  const double peak = rt_deck_real(job->deck, RT_KEY_RUN_PEAK_GFLOPS) * 1e9;
  const int n = rt_comm_size(job->world);
  const double rate = (peak > 0.0 ? 0.6 * peak : 1e11) * n;
  rt_info(peak > 0.0
              ? "capture time     %.4g FLOP: %.3f h at 60 %% of "
                "run.peak_gflops on %d ranks"
              : "capture time     %.4g FLOP: %.3f h if each of %d ranks does "
                "100 GFLOP/s (run.peak_gflops is not set)",
          flops, flops / rate / 3600.0, n);
}

static rt_err print_teacher(const rt_job *job)
{
  const rt_deck *d = job->deck;
  rt_logits_info info;
  rt_job_capture_rule(job, &info);
  info.vocab = rt_arch_true_vocab(&job->arch_t);
  RT_TRY(rt_job_capture_range(job, &info.first_row, &info.n_rows));
  rt_capture_complete(&info);
  const double tokens = (double)(info.n_rows * job->seq);
  if (rt_deck_bool(d, RT_KEY_CAP_COUNT))
    rt_info("capture          counts only (capture.count_only) of %.4g tokens: "
            "no shards",
            tokens);
  else {
    rt_info("capture          %.4g tokens in %lld files, %s, top-p %g", tokens,
            (long long)rt_logits_n_shards(&info), info.encoding, info.top_p);
    print_sizes(&info, tokens);
  }
  print_time(job, tokens);
  return RT_OK;
}

static rt_err print_capture(const rt_job *job)
{
  rt_window window;
  RT_TRY(rt_window_read(job->deck, job->batch_rows * job->seq, &window));
  if (window.n_steps > 0)
    print_window(job, window);
  else if (rt_deck_text(job->deck, RT_KEY_CAP_DIR)[0] != '\0' &&
           (job->needs & RT_NEED_TEACHER) != 0)
    return print_teacher(job);
  return RT_OK;
}

rt_err rt_run_plan(rt_job *job)
{
  rt_run_parts parts = {0};
  rt_err err = rt_job_make_config(job);
  if (err == RT_OK)
    err = rt_run_parts_plan(job, RT_PLAN_PARTS, &parts);
  if (err == RT_OK) {
    print_work(job);
    print_checkpoints(job);
    print_communication(job, parts.trainer);
    err = print_recompute(job, parts.trainer->model);
  }
  if (err == RT_OK)
    err = print_capture(job);
  rt_run_parts_clear(&parts);
  return err;
}
