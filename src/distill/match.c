/** \file match.c
 *  Hashes that both sides know must be equal; where they are not, rows tell
 * what that means. */
#include "distill/match.h"

#include <stdlib.h>
#include <string.h>

enum {
  DIFFERENCE_TEXT = 512,
  MOST_ROWS = 4096 // are compared: of text, that is enough to know it by
};

/** Row \a i of both, in words, unless they are equal. */
static rt_err compare_row(const rt_job *job, int64_t i, rt_logits_row *stored,
                          uint32_t *tok, char text[DIFFERENCE_TEXT])
{
  const rt_logits_info *const info = rt_logits_about(job->dataset);
  RT_TRY(rt_logits_read(job->dataset, i, stored));
  const int64_t row = info->step ? stored->stream_row : info->first_row + i;
  if (row >= rt_corpus_n_rows(job->corpus, RT_TRAIN)) {
    snprintf(text, DIFFERENCE_TEXT,
             "its row %lld is row %lld of the corpus, which has %lld here",
             (long long)i, (long long)row,
             (long long)rt_corpus_n_rows(job->corpus, RT_TRAIN));
    return RT_OK;
  }
  RT_TRY(rt_corpus_row(job->corpus, RT_TRAIN, row, tok, NULL, NULL));
  for (int64_t t = 0; t <= stored->n_tokens && text[0] == '\0'; t++)
    if (stored->tok[t] != tok[t])
      snprintf(text, DIFFERENCE_TEXT,
               "its row %lld (row %lld of the corpus) is the first to differ, "
               "from token %lld on: id %u there, %u here",
               (long long)i, (long long)row, (long long)t, stored->tok[t],
               tok[t]);
  return RT_OK;
}

/** Where the texts part; what keeps them from being compared is said, too. */
static void tell_difference(const rt_job *job, char text[DIFFERENCE_TEXT])
{
  const rt_logits_info *const info = rt_logits_about(job->dataset);
  text[0] = '\0';
  if (info->seq != job->seq) {
    snprintf(text, DIFFERENCE_TEXT,
             "rows of %lld and %lld tokens were not compared",
             (long long)info->seq, (long long)job->seq);
    return;
  }
  const int64_t n = info->n_rows < MOST_ROWS ? info->n_rows : MOST_ROWS;
  rt_logits_row stored = {0};
  uint32_t *const tok = malloc((size_t)(job->seq + 1) * sizeof *tok);
  rt_err err = tok != NULL ? RT_OK : RT_FAIL(RT_ERR_MEM, "no memory for a row");
  for (int64_t i = 0; i < n && err == RT_OK && text[0] == '\0'; i++)
    err = compare_row(job, i, &stored, tok, text);
  if (err != RT_OK)
    snprintf(text, DIFFERENCE_TEXT, "rows cannot be compared: %s",
             rt_err_text());
  else if (text[0] == '\0')
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
  if (job->corpus != NULL)
    tell_difference(job, text);
  else
    strcpy(text, "without data.files no ids can be compared");
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
  if (strcmp(hex, info->corpus_hash) != 0) {
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
