/** \file logits_row.c
 *  One row of a logit dataset in memory. */
#include "io/logits_manifest.h"

#include <math.h>

/** A log-prob is a difference of two rounded floats: it may exceed 0 by this.
 */
static const float max_logp = 1e-4F;

#define ABOUT(name, type, n) {#name, type},
const rt_logits_field_about rt_logits_fields[] = {RT_LOGITS_FIELDS(ABOUT)};
#undef ABOUT

int64_t rt_logits_width(rt_logits_field field, int64_t seq, int64_t n_entries)
{
#define WIDTH(name, type, elements) elements,
  const int64_t T = seq, n = n_entries;
  const int64_t widths[] = {RT_LOGITS_FIELDS(WIDTH)};
#undef WIDTH
  return widths[field];
}

int64_t rt_logits_row_words(int64_t seq, int64_t n_entries)
{
  int64_t words = 0;
  for (int f = 0; f < RT_LOGITS_N_FIELDS; f++)
    words += rt_logits_width((rt_logits_field)f, seq, n_entries);
  return words;
}

void *rt_logits_array(const rt_logits_row *row, rt_logits_field field)
{
#define ARRAY(name, type, n) row->name,
  void *const arrays[] = {RT_LOGITS_FIELDS(ARRAY)};
#undef ARRAY
  return arrays[field];
}

rt_logits_row rt_logits_row_of(void *words, int64_t seq, int64_t n_entries)
{
  uint32_t *const at = words; // every element has 4 bytes
  rt_logits_row row = {.n_entries = n_entries};
  int64_t used = 0;
  for (int f = 0; f < RT_LOGITS_N_FIELDS; f++) {
#define PLACE(name, type, n)                                                   \
  if (f == RT_LOGITS_##name)                                                   \
    row.name = (void *)(at + used);
    RT_LOGITS_FIELDS(PLACE)
#undef PLACE
    used += rt_logits_width((rt_logits_field)f, seq, n_entries);
  }
  return row;
}

/** Entries [begin, end) of one token. */
static rt_err check_token(const rt_logits_info *info, const char *name,
                          int64_t i_row, int64_t t, const rt_logits_row *row,
                          int64_t begin, int64_t end)
{
  RT_CHECK(isfinite(row->lse[t]) && isfinite(row->label_logp[t]) &&
               row->label_logp[t] <= max_logp,
           RT_ERR_DATA,
           "%s, row %lld, token %lld: log-sum-exp %g and label's log-prob %g, "
           "expected finite numbers and a log-prob <= 0",
           name, (long long)i_row, (long long)t, (double)row->lse[t],
           (double)row->label_logp[t]);
  for (int64_t e = begin; e < end; e++) {
    RT_CHECK(row->ids[e] < (uint64_t)info->vocab, RT_ERR_DATA,
             "%s, row %lld, token %lld: entry %lld is id %lu, expected less "
             "than %lld",
             name, (long long)i_row, (long long)t, (long long)(e - begin),
             (unsigned long)row->ids[e], (long long)info->vocab);
    RT_CHECK(isfinite(row->logp[e]) && row->logp[e] <= max_logp &&
                 (e == begin || row->logp[e] <= row->logp[e - 1]),
             RT_ERR_DATA,
             "%s, row %lld, token %lld: entry %lld has log-prob %g, expected "
             "finite, <= 0 and sorted",
             name, (long long)i_row, (long long)t, (long long)(e - begin),
             (double)row->logp[e]);
  }
  return RT_OK;
}

rt_err rt_logits_row_check(const rt_logits_info *info, const char *name,
                           int64_t i_row, const rt_logits_row *row)
{
  int64_t begin = 0;
  for (int64_t t = 0; t <= info->seq; t++)
    RT_CHECK(row->tok[t] < (uint64_t)info->vocab, RT_ERR_DATA,
             "%s, row %lld: token %lld is id %lu, expected less than %lld",
             name, (long long)i_row, (long long)t, (unsigned long)row->tok[t],
             (long long)info->vocab);
  for (int64_t t = 0; t < info->seq; t++) {
    RT_CHECK(row->count[t] <= info->vocab &&
                 row->count[t] <= row->n_entries - begin,
             RT_ERR_DATA,
             "%s, row %lld, token %lld: %lu entries, expected at most %lld",
             name, (long long)i_row, (long long)t, (unsigned long)row->count[t],
             (long long)(row->n_entries - begin));
    const int64_t end = begin + row->count[t];
    RT_TRY(check_token(info, name, i_row, t, row, begin, end));
    begin = end;
  }
  RT_CHECK(begin == row->n_entries, RT_ERR_DATA,
           "%s, row %lld: counts add up to %lld of %lld entries", name,
           (long long)i_row, (long long)begin, (long long)row->n_entries);
  return RT_OK;
}
