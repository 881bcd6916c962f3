/** \file job_inputs.c
 *  Corpus and dataset of a job, and the rows that it uses. */
#include "distill/job/job_inputs.h"

#include "base/log.h"
#include "io/corpus/pattern.h"
#include <stdlib.h>

/** Expand patterns in the list of files. */
static rt_err name_files(const rt_deck *deck, const rt_corpus_spec *spec,
                         rt_names *names)
{
  const bool given = spec->n_files > 0;
  const int n = given ? spec->n_files : rt_deck_n(deck, RT_KEY_DATA_FILES);
  RT_CHECK(n > 0, RT_ERR_CONFIG,
           "data.files is empty: name at least one tokenised corpus");
  for (int i = 0; i < n; i++)
    RT_TRY(rt_names_add(names,
                        given ? spec->files[i]
                              : rt_deck_text_at(deck, RT_KEY_DATA_FILES, i)));
  return RT_OK;
}

static rt_err read_weights(const rt_deck *deck, int n, double **weights)
{
  const int n_weights = rt_deck_n(deck, RT_KEY_DATA_WEIGHTS);
  RT_CHECK(n_weights == 0 || n_weights == n, RT_ERR_CONFIG,
           "data.weights has %d numbers for %d files: give one per file, or "
           "none to blend by size",
           n_weights, n);
  if (n_weights == 0)
    return RT_OK;
  *weights = calloc((size_t)n, sizeof **weights);
  RT_CHECK(*weights != NULL, RT_ERR_MEM, "weights of %d corpora", n);
  for (int i = 0; i < n; i++)
    (*weights)[i] = rt_deck_real_at(deck, RT_KEY_DATA_WEIGHTS, i);
  return RT_OK;
}

rt_bos_at rt_deck_bos_at(const rt_deck *deck)
{
  if (rt_deck_int(deck, RT_KEY_DATA_BOS) < 0)
    return RT_BOS_NOWHERE;
  return rt_deck_is(deck, RT_KEY_DATA_BOS_AT, "rows") ? RT_BOS_ROWS
                                                      : RT_BOS_DOCUMENTS;
}

rt_err rt_open_corpus(const rt_deck *deck, rt_corpus_spec spec, rt_corpus **out)
{
  rt_names names = {0};
  double *weights = NULL;
  *out = NULL;
  rt_err err = name_files(deck, &spec, &names);
  if (err == RT_OK)
    err = read_weights(deck, names.n, &weights);
  spec.n_files = names.n;
  spec.files = (const char *const *)names.at;
  spec.weights = weights;
  if (err == RT_OK)
    err = rt_corpus_open(&spec, out);
  rt_names_clear(&names);
  free(weights);
  return err;
}

rt_corpus_spec rt_job_corpus_spec(const rt_job *job)
{
  const rt_deck *const d = job->deck;
  const bool student = (job->needs & RT_NEED_STUDENT) != 0;
  return (rt_corpus_spec){
      .seq = job->seq,
      .vocab = rt_arch_true_vocab(student ? &job->arch_s : &job->arch_t),
      .eot = rt_deck_int(d, RT_KEY_DATA_EOT),
      .bos_at = rt_deck_bos_at(d),
      .bos = rt_deck_int(d, RT_KEY_DATA_BOS),
      .valid_fraction = rt_deck_real(d, RT_KEY_DATA_VALID),
      .split_seed = (uint64_t)rt_deck_int(d, RT_KEY_DATA_SPLIT_SEED)};
}

/** Check that the deck's truncation is not wider than that of the capture. */
static rt_err check_rule(const rt_deck *d, const rt_logits_info *info,
                         const char *folder)
{
  RT_CHECK(rt_deck_real(d, RT_KEY_TEA_TOP_P) <= info->top_p, RT_ERR_CONFIG,
           "teacher.top_p is %g, %s was captured with %g: choose a smaller p "
           "or capture again",
           rt_deck_real(d, RT_KEY_TEA_TOP_P), folder, info->top_p);
  RT_CHECK(rt_deck_int(d, RT_KEY_TEA_TOP_K) <= info->top_k, RT_ERR_CONFIG,
           "teacher.top_k is %lld, %s was captured with %lld: choose a smaller "
           "k or capture again",
           (long long)rt_deck_int(d, RT_KEY_TEA_TOP_K), folder,
           (long long)info->top_k);
  return RT_OK;
}
rt_err rt_job_check_draws(const rt_deck *d, const char *where)
{
  RT_CHECK(rt_deck_real(d, RT_KEY_LOSS_TAU) == 1.0, RT_ERR_CONFIG,
           "%s: draws are at temperature 1, but loss.tau is %g: set "
           "loss.tau=1, or use truncated entries",
           where, rt_deck_real(d, RT_KEY_LOSS_TAU));
  RT_CHECK(!rt_deck_is_set(d, RT_KEY_TEA_TOP_P) &&
               !rt_deck_is_set(d, RT_KEY_TEA_TOP_K),
           RT_ERR_CONFIG,
           "%s: all draws are used: remove teacher.top_p and teacher.top_k",
           where);
  return RT_OK;
}

const char *rt_job_cut_means(const rt_job *job)
{
  if (job->pieces == 0)
    return "";
  return rt_deck_is(job->deck, RT_KEY_TEA_ROW_CUT, "pieces")
             ? "in all but the first, the teacher saw preceding tokens that "
               "the student does not see"
             : "the rest is not used";
}

/** Check that the student's rows start where the captured rows start, unless
 *  the deck says otherwise. */
static rt_err check_length(rt_job *job, const char *folder)
{
  const rt_deck *d = job->deck;
  const int64_t seq = rt_logits_about(job->dataset)->seq;
  const bool pieces = rt_deck_is(d, RT_KEY_TEA_ROW_CUT, "pieces");
  if (seq == job->seq)
    return RT_OK;
  RT_CHECK(job->seq < seq && !rt_deck_is(d, RT_KEY_TEA_ROW_CUT, "none"),
           RT_ERR_CONFIG,
           "%s holds rows of %lld tokens, data.seq is %lld: a student's row "
           "must start where the captured row starts; set data.seq=%lld%s",
           folder, (long long)seq, (long long)job->seq, (long long)seq,
           job->seq > seq ? ", rows are not joined"
                          : ", or set teacher.row_cut to use shorter rows");
  RT_CHECK(!rt_deck_bool(d, RT_KEY_DATA_MASK_DOCS), RT_ERR_CONFIG,
           "data.mask_documents needs whole rows, %s has %lld tokens in each "
           "and data.seq is %lld: set data.seq=%lld",
           folder, (long long)seq, (long long)job->seq, (long long)seq);
  job->pieces = pieces ? seq / job->seq : 1;
  rt_info("%s: %lld rows of %lld tokens are obtained from each row of %lld; %s",
          folder, (long long)job->pieces, (long long)job->seq, (long long)seq,
          rt_job_cut_means(job));
  return RT_OK;
}

/** Set vocab_cut for a dataset that was captured without data.vocab and
 *  contains padding. */
static void cut_vocab(rt_job *job, const char *folder)
{
  const int64_t stored = rt_logits_about(job->dataset)->vocab;
  const int64_t vocab = rt_deck_int(job->deck, RT_KEY_DATA_VOCAB);
  if (vocab == 0 || vocab >= stored)
    return;
  job->vocab_cut = vocab;
  rt_info("%s has logits of %lld ids: those from data.vocab=%lld on are "
          "dropped as padding, and the others renormalised",
          folder, (long long)stored, (long long)vocab);
}

rt_err rt_job_check_dataset(rt_job *job)
{
  const rt_deck *d = job->deck;
  const rt_logits_info *info = rt_logits_about(job->dataset);
  const char *folder = rt_deck_text(d, RT_KEY_TEA_DATASET);
  cut_vocab(job, folder);
  RT_TRY(check_length(job, folder));
  RT_TRY(info->draws > 0 ? rt_job_check_draws(d, folder)
                         : check_rule(d, info, folder));
  RT_CHECK(rt_deck_bool(d, RT_KEY_DATA_MASK_DOCS) == info->mask_documents,
           RT_ERR_CONFIG,
           "%s was captured with data.mask_documents %s: the student must see "
           "what the teacher saw",
           folder, info->mask_documents ? "true" : "false");
  return RT_OK;
}

rt_err rt_job_count_rows(rt_job *job)
{
  const int64_t asked = rt_deck_int(job->deck, RT_KEY_DATA_ROWS);
  if (job->dataset != NULL) {
    job->n_rows = rt_logits_about(job->dataset)->n_rows *
                  (job->pieces > 0 ? job->pieces : 1);
    job->first_row = rt_logits_about(job->dataset)->first_row;
  } else
    job->n_rows = rt_corpus_n_rows(job->corpus, RT_TRAIN);
  RT_CHECK(asked <= job->n_rows, RT_ERR_CONFIG,
           "data.rows is %lld, but only %lld rows exist", (long long)asked,
           (long long)job->n_rows);
  if (asked > 0)
    job->n_rows = asked;
  return RT_OK;
}
