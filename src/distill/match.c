/** \file match.c
 *  Hashes that both sides know must be equal; where they are not, rows tell
 *  what that means. */
#include "distill/match.h"

#include <stdlib.h>
#include <string.h>

enum {
  DIFFERENCE_TEXT = 512,
  MOST_ROWS = 4096 // are compared: of text, that is enough to know it by
};

rt_err rt_match_row(const rt_logits *ds, int64_t i, const rt_logits_row *stored,
                    const rt_corpus *corpus, uint32_t *tok)
{
  const rt_logits_info *const info = rt_logits_about(ds);
  const int64_t row = info->step ? stored->stream_row : info->first_row + i;
  const int64_t n = rt_corpus_n_rows(corpus, RT_TRAIN);
  RT_CHECK(row < n, RT_ERR_DATA,
           "its row %lld is row %lld of the corpus, which has %lld here",
           (long long)i, (long long)row, (long long)n);
  RT_TRY(rt_corpus_row(corpus, RT_TRAIN, row, tok, NULL, NULL));
  for (int64_t t = 0; t <= stored->n_tokens; t++)
    RT_CHECK(stored->tok[t] == tok[t], RT_ERR_DATA,
             "its row %lld (row %lld of the corpus) differs from token %lld "
             "on: id %u there, %u here",
             (long long)i, (long long)row, (long long)t, stored->tok[t],
             tok[t]);
  return RT_OK;
}

/** The first row that differs; what keeps rows from being compared is said,
 *  too. */
static void tell_difference(const rt_job *job, char text[DIFFERENCE_TEXT])
{
  const rt_logits_info *const info = rt_logits_about(job->dataset);
  if (job->corpus == NULL || info->seq != job->seq) {
    snprintf(text, DIFFERENCE_TEXT, "%s, so their ids were not compared",
             job->corpus == NULL ? "data.files is empty"
                                 : "their rows have other lengths");
    return;
  }
  const int64_t n = info->n_rows < MOST_ROWS ? info->n_rows : MOST_ROWS;
  rt_logits_row stored = {0};
  uint32_t *const tok = malloc((size_t)(job->seq + 1) * sizeof *tok);
  rt_err err = tok != NULL ? RT_OK : RT_FAIL(RT_ERR_MEM, "no memory for a row");
  for (int64_t i = 0; i < n && err == RT_OK; i++) {
    err = rt_logits_read(job->dataset, i, &stored);
    if (err == RT_OK)
      err = rt_match_row(job->dataset, i, &stored, job->corpus, tok);
  }
  if (err != RT_OK)
    snprintf(text, DIFFERENCE_TEXT, "%s", rt_err_text());
  else
    snprintf(text, DIFFERENCE_TEXT, "the ids of its first %lld rows are equal",
             (long long)n);
  rt_logits_row_clear(&stored);
  free(tok);
}

static rt_err match_tokenizer(const rt_job *job, const char *folder)
{
  const char *const theirs = rt_logits_about(job->dataset)->tokenizer_hash;
  const char *const ours = job->tokenizer_hash;
  char text[DIFFERENCE_TEXT];
  if (ours[0] == '\0' || theirs[0] == '\0' || strcmp(ours, theirs) == 0)
    return RT_OK;
  tell_difference(job, text);
  return RT_FAIL(RT_ERR_CONFIG,
                 "%s was captured with tokenizer %s, data.tokenizer is %s; %s: "
                 "use the same tokenizer, or capture again",
                 folder, theirs, ours, text);
}

static rt_err match_corpus(const rt_job *job, const char *folder)
{
  const rt_logits_info *const info = rt_logits_about(job->dataset);
  const rt_deck *const d = job->deck;
  char hex[RT_SHA256_HEX], text[DIFFERENCE_TEXT], held_out[32];
  RT_TRY(rt_corpus_hash(job->corpus, hex));
  if (info->corpus_hash[0] != '\0' && strcmp(hex, info->corpus_hash) != 0) {
    tell_difference(job, text);
    return RT_FAIL(RT_ERR_CONFIG,
                   "%s was captured from corpus %s, data.files hash to %s; %s: "
                   "name the files of the capture, in its order, or capture "
                   "again",
                   folder, info->corpus_hash, hex, text);
  }
  rt_deck_real_text(info->valid_fraction, held_out);
  RT_CHECK(info->eot == rt_deck_int(d, RT_KEY_DATA_EOT) &&
               info->valid_fraction == rt_deck_real(d, RT_KEY_DATA_VALID) &&
               info->split_seed ==
                   (uint64_t)rt_deck_int(d, RT_KEY_DATA_SPLIT_SEED),
           RT_ERR_CONFIG,
           "%s was captured with data.eot=%lld data.valid_fraction=%s "
           "data.split_seed=%llu: set the same, else rows differ",
           folder, (long long)info->eot, held_out,
           (unsigned long long)info->split_seed);
  return RT_OK;
}

rt_err rt_match_dataset(const rt_job *job)
{
  const char *const folder = rt_deck_text(job->deck, RT_KEY_TEA_DATASET);
  RT_TRY(match_tokenizer(job, folder));
  return job->corpus != NULL ? match_corpus(job, folder) : RT_OK;
}
