/** \file job_capture.c
 *  Keys of the deck that concern captures. */
#include "distill/capture/job_capture.h"

#include "base/build_info.h"
#include "base/clock.h"
#include "distill/capture/capture.h"
#include "distill/data/job_data.h"
#include "distill/job/job_memory.h"

#include <stdio.h>
#include <string.h>

void rt_job_capture_rule(const rt_job *job, rt_logits_info *info)
{
  const rt_deck *d = job->deck;
  *info = (rt_logits_info){.version = RT_LOGITS_VERSION,
                           .seq = job->seq,
                           .shard_rows = rt_deck_int(d, RT_KEY_CAP_SHARD),
                           .top_p = rt_deck_real(d, RT_KEY_CAP_TOP_P),
                           .top_k = rt_deck_int(d, RT_KEY_CAP_TOP_K),
                           .temperature = 1.0,
                           .entropy = rt_deck_bool(d, RT_KEY_CAP_STATISTICS),
                           .deviation = rt_deck_bool(d, RT_KEY_CAP_STATISTICS)};
  snprintf(info->encoding, sizeof info->encoding, "%s",
           rt_deck_text(d, RT_KEY_CAP_ENCODING));
  if (rt_deck_is(d, RT_KEY_CAP_ENCODING, "sampled")) {
    info->draws = rt_deck_int(d, RT_KEY_CAP_DRAWS);
    info->draw_seed = (uint64_t)rt_deck_int(d, RT_KEY_CAP_SEED);
    info->top_p = 1.0;
  }
}

/** Report keys that have no effect with this encoding. */
static void report_unused(const rt_job *job)
{
  static const rt_key cut[] = {RT_KEY_CAP_TOP_P, RT_KEY_CAP_TOP_K};
  static const rt_key drawn[] = {RT_KEY_CAP_DRAWS, RT_KEY_CAP_SEED};
  if (rt_deck_is(job->deck, RT_KEY_CAP_ENCODING, "sampled"))
    rt_job_tell_unused(
        job->deck, cut, 2,
        "capture.encoding is sampled, which draws from the whole softmax");
  else
    rt_job_tell_unused(job->deck, drawn, 2,
                       "only capture.encoding=sampled uses draws");
}

void rt_job_capture_info(const rt_job *job, rt_logits_info *info)
{
  const rt_deck *d = job->deck;
  const rt_corpus_spec spec = rt_corpus_spec_of(job->corpus);
  report_unused(job);
  rt_job_capture_rule(job, info);
  info->eot = rt_deck_int(d, RT_KEY_DATA_EOT);
  info->bos = spec.bos_at != RT_BOS_NOWHERE ? spec.bos : -1;
  snprintf(info->bos_at, sizeof info->bos_at, "%s",
           rt_bos_at_name(spec.bos_at));
  info->valid_fraction = rt_deck_real(d, RT_KEY_DATA_VALID);
  info->split_seed = (uint64_t)rt_deck_int(d, RT_KEY_DATA_SPLIT_SEED);
  info->mask_documents = rt_deck_bool(d, RT_KEY_DATA_MASK_DOCS);
  memcpy(info->tokenizer_hash, job->tokenizer_hash,
         sizeof info->tokenizer_hash);
  snprintf(info->license, sizeof info->license, "%s",
           rt_deck_text(d, RT_KEY_CAP_LICENSE));
  snprintf(info->creator, sizeof info->creator, "retort %s (%s)", RT_VERSION,
           rt_build_commit());
  rt_clock_iso(info->created, sizeof info->created);
}

rt_err rt_job_capture_range(const rt_job *job, int64_t *first, int64_t *n)
{
  *first = rt_deck_int(job->deck, RT_KEY_CAP_FIRST);
  *n = rt_deck_int(job->deck, RT_KEY_CAP_ROWS);
  return rt_capture_rows(job->n_rows, job->seq, *first, n);
}

rt_err rt_job_capture_teacher(rt_job *job, const rt_logits_info *info,
                              rt_capture_teacher *t)
{
  const rt_deck *const d = job->deck;
  const rt_capture_teacher_spec spec = {
      .world = job->world,
      .model = {.arch = &job->arch_t,
                .grid = &job->grid_t,
                .dev = job->dev,
                .types = job->types_t,
                .max_rows = 1,
                .seq = job->seq},
      .rows = rt_job_rows(job),
      .rule = {info->top_p, rt_capture_max_entries(info)},
      .draws = {info->draws, info->draw_seed},
      .statistics = info->entropy,
      .micro_rows = rt_deck_int(d, RT_KEY_CAP_MICRO),
      .chunk_bytes = rt_job_chunk_bytes(job, &job->arch_t, &job->grid_t),
      .phases = &job->phases};
  RT_TRY(rt_capture_teacher_plan(&spec, t));
  rt_job_beside_shared(job, job->grid_t.comm_tp);
  rt_job_beside(job, "entries on the host", rt_capture_teacher_beside(t));
  return RT_OK;
}

enum { N_PLANS = 3 };

static void plans_of(const rt_capture_teacher *t,
                     const rt_arena *plans[N_PLANS])
{
  plans[0] = rt_model_arena(t->model, 0);
  plans[1] = rt_model_arena(t->model, 1);
  plans[2] = rt_trunc_head_arena(t->head);
}

rt_err rt_job_capture_fits(const rt_job *job, const rt_capture_teacher *t,
                           double more, bool *fits)
{
  const rt_arena *plans[N_PLANS];
  plans_of(t, plans);
  return rt_job_fits(job, plans, N_PLANS, more, fits);
}

rt_err rt_job_capture_check(const rt_job *job, const rt_capture_teacher *t)
{
  const rt_arena *plans[N_PLANS];
  plans_of(t, plans);
  return rt_job_check_memory(job, plans, N_PLANS, RT_PLAN_SUM);
}

/** Check the requirements of a window other than its steps. */
static rt_err check_window(const rt_job *job)
{
  const char *const folder = rt_deck_text(job->deck, RT_KEY_CAP_DIR);
  RT_CHECK(folder[0] != '\0', RT_ERR_CONFIG,
           "capture.window_length is given, but capture.dir is empty: name the "
           "folder of the dataset");
  RT_CHECK(strcmp(folder, rt_deck_text(job->deck, RT_KEY_OUT_DIR)) != 0,
           RT_ERR_CONFIG,
           "capture.dir and output.dir are both %s: give the dataset a folder "
           "of its own, such as %s/logits",
           folder, folder);
  RT_CHECK(
      job->corpus != NULL && job->pieces == 0, RT_ERR_CONFIG,
      "capture.window_length needs data.files and whole rows: a dataset alone, "
      "or with shortened rows, does not identify the rows of a corpus");
  return RT_OK;
}

rt_err rt_job_window_capture(rt_job *job, rt_window_capture_spec *out)
{
  const rt_deck *const d = job->deck;
  rt_window window;
  *out = (rt_window_capture_spec){0};
  RT_TRY(rt_window_read(d, job->batch_rows * job->seq, &window));
  if (window.n_steps == 0)
    return RT_OK;
  RT_TRY(check_window(job));
  *out = (rt_window_capture_spec){
      .world = job->world,
      .grid = &job->grid_s,
      .dev = job->dev,
      .corpus = job->corpus,
      .deck = d,
      .folder = rt_deck_text(d, RT_KEY_CAP_DIR),
      .window = window,
      .n_steps = job->n_steps,
      .batch_rows = job->batch_rows,
      .micro_rows = job->micro_rows,
      .chunk_bytes = rt_job_chunk_bytes(job, &job->arch_s, &job->grid_s),
      .silence_s = rt_job_silence_s(d),
      .phases = &job->phases,
      .beat = job->hooks->beat};
  rt_job_capture_info(job, &out->info);
  out->info.vocab = rt_arch_true_vocab(&job->arch_s);
  out->info.vocab_padded = job->arch_s.vocab;
  rt_capture_name(rt_deck_text(d, RT_KEY_OUT_DIR), out->info.teacher,
                  sizeof out->info.teacher);
  return RT_OK;
}
