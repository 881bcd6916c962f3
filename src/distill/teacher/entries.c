/** \file entries.c */
#include "distill/teacher/entries.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

rt_err rt_entries_create(int64_t n_tokens, int64_t k, bool statistics,
                         rt_entries *e)
{
  const size_t n = (size_t)n_tokens, nk = n * (size_t)k;
  *e = (rt_entries){.n = n_tokens, .k = k};
  e->count = malloc(n * sizeof *e->count);
  e->lse = malloc(n * sizeof *e->lse);
  e->label_logp = malloc(n * sizeof *e->label_logp);
  e->ids = calloc(nk, sizeof *e->ids);
  e->logp = calloc(nk, sizeof *e->logp);
  if (statistics) {
    e->entropy = malloc(n * sizeof *e->entropy);
    e->deviation = malloc(n * sizeof *e->deviation);
  }
  RT_CHECK(e->count && e->lse && e->label_logp && e->ids && e->logp &&
               (!statistics || (e->entropy && e->deviation)),
           RT_ERR_MEM, "entries of %zu tokens, %lld each: fewer micro_rows", n,
           (long long)k);
  return RT_OK;
}

void rt_entries_clear(rt_entries *e)
{
  free(e->count);
  free(e->lse);
  free(e->label_logp);
  free(e->entropy);
  free(e->deviation);
  free(e->ids);
  free(e->logp);
  *e = (rt_entries){0};
}

void rt_entries_drop_bad(rt_entries *e)
{
  for (int64_t i = 0; i < e->n; i++) {
    if (isfinite(e->lse[i]) && isfinite(e->label_logp[i]))
      continue;
    e->count[i] = 0;
    e->lse[i] = e->label_logp[i] = 0.0F;
    if (e->entropy != NULL)
      e->entropy[i] = e->deviation[i] = 0.0F;
  }
}

rt_err rt_entries_row(const rt_entries *e, int64_t tok0, const int32_t *tok,
                      const int32_t *label, int64_t T, rt_logits_row *row)
{
  row->n_tokens = T;
  row->n_entries = 0;
  row->stored = false; // it may have held one from a log
  for (int64_t t = 0; t < T; t++)
    row->n_entries += e->count[tok0 + t];
  RT_TRY(rt_logits_row_tokens(row, T));
  RT_TRY(rt_logits_row_optional(row, e->entropy != NULL, e->entropy != NULL));
  RT_TRY(rt_logits_row_entries(row, row->n_entries));
  int64_t to = 0;
  for (int64_t t = 0; t < T; t++) {
    const int64_t at = tok0 + t, n = e->count[at];
    row->tok[t] = (uint32_t)tok[t];
    row->count[t] = (uint32_t)n;
    row->lse[t] = e->lse[at];
    row->label_logp[t] = e->label_logp[at];
    if (e->entropy != NULL) {
      row->entropy[t] = e->entropy[at];
      row->deviation[t] = e->deviation[at];
    }
    memcpy(row->ids + to, e->ids + at * e->k, (size_t)n * sizeof *row->ids);
    memcpy(row->logp + to, e->logp + at * e->k, (size_t)n * sizeof *row->logp);
    to += n;
  }
  row->tok[T] = (uint32_t)label[T - 1];
  return RT_OK;
}
