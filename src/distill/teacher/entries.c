/** \file entries.c */
#include "distill/teacher/entries.h"

#include "base/bundle.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void lay_out(rt_entries *e, bool statistics, rt_bundle *s)
{
  const size_t n = (size_t)e->n, nk = n * (size_t)e->k;
  e->count = rt_bundle_take(s, n, sizeof *e->count);
  e->lse = rt_bundle_take(s, n, sizeof *e->lse);
  e->label_logp = rt_bundle_take(s, n, sizeof *e->label_logp);
  e->ids = rt_bundle_take(s, nk, sizeof *e->ids);
  e->logp = rt_bundle_take(s, nk, sizeof *e->logp);
  if (!statistics)
    return;
  e->entropy = rt_bundle_take(s, n, sizeof *e->entropy);
  e->deviation = rt_bundle_take(s, n, sizeof *e->deviation);
}

size_t rt_entries_bytes(const rt_entries_spec *spec)
{
  rt_bundle s = {0};
  lay_out(&(rt_entries){.n = spec->n, .k = spec->k}, spec->statistics, &s);
  return s.bytes;
}

rt_err rt_entries_create(const rt_entries_spec *spec, rt_entries *e)
{
  rt_bundle s = {.bytes = rt_entries_bytes(spec)};
  *e = (rt_entries){.n = spec->n, .k = spec->k};
  RT_TRY(rt_bundle_alloc(&s, "entries; reduce micro_rows"));
  e->block = s.block;
  lay_out(e, spec->statistics, &s);
  return RT_OK;
}

void rt_entries_clear(rt_entries *e)
{
  free(e->block);
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
  row->stored = false; // the buffer may have held a row read from a log
  for (int64_t t = 0; t < T; t++)
    row->n_entries += e->count[tok0 + t];
  RT_TRY(rt_logits_row_tokens(row, T));
  const bool statistics = e->entropy != NULL;
  RT_TRY(rt_logits_row_optional(
      row,
      (rt_logits_optional){.entropy = statistics, .deviation = statistics}));
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
