/** \file match.c
 *  Compares a dataset with corpus and tokenizer by their hashes; if these
 *  differ, by rows, to explain the difference. */
#include "distill/job/match.h"

#include "base/log.h"
#include "deck/deck.h"
#include <stdlib.h>
#include <string.h>

// maximum number of rows compared, enough to identify a text
enum { MAX_ROWS = 4096 };

rt_err rt_match_row(const rt_logits *ds, int64_t i, const rt_logits_row *stored,
                    const rt_corpus *corpus, uint32_t *tok,
                    char where[RT_MATCH_TEXT])
{
  const rt_logits_info *const info = rt_logits_about(ds);
  const int64_t row = info->step ? stored->stream_row : info->first_row + i;
  const int64_t n = rt_corpus_n_rows(corpus, RT_TRAIN);
  where[0] = '\0';
  if (row >= n) {
    snprintf(where, RT_MATCH_TEXT,
             "its row %lld is row %lld of the corpus, which has %lld here",
             (long long)i, (long long)row, (long long)n);
    return RT_OK;
  }
  RT_TRY(rt_corpus_row(corpus, RT_TRAIN, row, tok, NULL, NULL));
  for (int64_t t = 0; t <= stored->n_tokens; t++)
    if (stored->tok[t] != tok[t]) {
      snprintf(where, RT_MATCH_TEXT,
               "its row %lld (row %lld of the corpus) differs from token %lld "
               "on: id %u there, %u here",
               (long long)i, (long long)row, (long long)t, stored->tok[t],
               tok[t]);
      return RT_OK;
    }
  return RT_OK;
}

/** Find the first row of \a corpus, with rows as in the dataset, that differs.
 */
static rt_err compare_rows(const rt_logits *ds, const rt_corpus *corpus,
                           char where[RT_MATCH_TEXT])
{
  const rt_logits_info *const info = rt_logits_about(ds);
  const int64_t n = info->n_rows < MAX_ROWS ? info->n_rows : MAX_ROWS;
  rt_logits_row stored = {0};
  uint32_t *const tok = malloc((size_t)(info->seq + 1) * sizeof *tok);
  rt_err err = tok != NULL ? RT_OK : RT_FAIL(RT_ERR_MEM, "no memory for a row");
  where[0] = '\0';
  for (int64_t i = 0; i < n && err == RT_OK && where[0] == '\0'; i++) {
    err = rt_logits_read(ds, i, &stored);
    if (err == RT_OK)
      err = rt_match_row(ds, i, &stored, corpus, tok, where);
  }
  if (err == RT_OK && where[0] == '\0')
    snprintf(where, RT_MATCH_TEXT, "the ids of its first %lld rows are equal",
             (long long)n);
  rt_logits_row_clear(&stored);
  free(tok);
  return err;
}

/** Describe the first row that differs, or why none can be named. */
static rt_err tell_difference(const rt_match_spec *m, char where[RT_MATCH_TEXT])
{
  // opened separately, because the run may use shorter rows
  rt_corpus *corpus = NULL;
  if (m->corpus == NULL) {
    snprintf(where, RT_MATCH_TEXT,
             "data.files is empty, so their ids were not compared");
    return RT_OK;
  }
  RT_TRY(
      rt_corpus_reopen(m->corpus, rt_logits_about(m->dataset)->seq, &corpus));
  const rt_err err = compare_rows(m->dataset, corpus, where);
  rt_corpus_close(&corpus);
  return err;
}

static rt_err match_tokenizer(const rt_match_spec *m)
{
  const char *const theirs = rt_logits_about(m->dataset)->tokenizer_hash;
  const char *const ours = m->tokenizer_hash;
  char where[RT_MATCH_TEXT];
  if (ours[0] != '\0' && theirs[0] == '\0')
    rt_warn("%s was captured without data.tokenizer, so it cannot be compared "
            "with this one",
            m->folder);
  if (ours[0] == '\0' || theirs[0] == '\0' || strcmp(ours, theirs) == 0)
    return RT_OK;
  RT_TRY(tell_difference(m, where));
  return RT_FAIL(RT_ERR_CONFIG,
                 "%s was captured with tokenizer %s, data.tokenizer is %s; %s: "
                 "use the same tokenizer, or capture again",
                 m->folder, theirs, ours, where);
}

static rt_err match_hash(const rt_match_spec *m)
{
  const rt_logits_info *const info = rt_logits_about(m->dataset);
  char where[RT_MATCH_TEXT];
  if (info->corpus_hash[0] == '\0') {
    rt_warn(
        "%s does not record its corpus: only rows that are used are compared",
        m->folder);
    return RT_OK;
  }
  if (strcmp(m->corpus_hash, info->corpus_hash) == 0)
    return RT_OK;
  RT_TRY(tell_difference(m, where));
  return RT_FAIL(RT_ERR_CONFIG,
                 "%s was captured from corpus %s, data.files and data.weights "
                 "hash to %s; %s: name the files of the capture, in its order "
                 "and with its weights, or capture again",
                 m->folder, info->corpus_hash, m->corpus_hash, where);
}

/** Compare the keys that determine the stream. */
static rt_err match_keys(const rt_match_spec *m)
{
  const rt_logits_info *const info = rt_logits_about(m->dataset);
  const rt_corpus_spec ours = rt_corpus_spec_of(m->corpus);
  const char *const bos_at = rt_bos_at_name(ours.bos_at);
  const bool same_bos = strcmp(info->bos_at, bos_at) == 0 &&
                        (bos_at[0] == '\0' || info->bos == ours.bos);
  char held_out[32], where[RT_MATCH_TEXT];
  if (same_bos && info->eot == ours.eot &&
      info->valid_fraction == ours.valid_fraction &&
      info->split_seed == ours.split_seed)
    return RT_OK;
  rt_deck_real_text(info->valid_fraction, held_out);
  RT_TRY(tell_difference(m, where));
  return RT_FAIL(RT_ERR_CONFIG,
                 "%s was captured with data.eot=%lld data.bos=%lld%s%s "
                 "data.valid_fraction=%s data.split_seed=%llu, which differ in "
                 "this deck; %s: use the same values",
                 m->folder, (long long)info->eot, (long long)info->bos,
                 info->bos_at[0] != '\0' ? " data.bos_at=" : "", info->bos_at,
                 held_out, (unsigned long long)info->split_seed, where);
}

rt_err rt_match_dataset(const rt_match_spec *spec)
{
  RT_TRY(match_tokenizer(spec));
  if (spec->corpus == NULL)
    return RT_OK;
  RT_TRY(match_hash(spec));
  return match_keys(spec);
}
