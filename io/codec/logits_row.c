/** \file logits_row.c
 *  Memory management of a row of logits. */
#include "io/codec/logits_row.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void rt_logits_row_clear(rt_logits_row *row)
{
  void *const arrays[] = {row->tok,     row->count,    row->ids,
                          row->logp,    row->lse,      row->label_logp,
                          row->entropy, row->deviation};
  for (size_t i = 0; i < sizeof arrays / sizeof arrays[0]; i++)
    free(arrays[i]);
  *row = (rt_logits_row){0};
}

/** Resize an array of 4-byte elements to n + 1, as tok has T + 1. */
static rt_err grow(void **array, int64_t n)
{
  void *const more = realloc(*array, ((size_t)n + 1) * 4);
  RT_CHECK(more != NULL, RT_ERR_MEM, "%lld bytes for a row of logits",
           (long long)n * 4);
  *array = more;
  return RT_OK;
}
#define GROW(member, n)                                                        \
  do {                                                                         \
    void *array_ = (member);                                                   \
    RT_TRY(grow(&array_, n));                                                  \
    (member) = array_;                                                         \
  } while (0)

rt_err rt_logits_row_tokens(rt_logits_row *row, int64_t n)
{
  if (n <= row->cap_tokens && row->tok != NULL)
    return RT_OK;
  GROW(row->tok, n);
  GROW(row->count, n);
  GROW(row->lse, n);
  GROW(row->label_logp, n);
  if (row->entropy != NULL)
    GROW(row->entropy, n);
  if (row->deviation != NULL)
    GROW(row->deviation, n);
  row->cap_tokens = n;
  return RT_OK;
}

/** Free values of an earlier row, which must not be mistaken for those of this
 *  one. */
static void forget(float **array)
{
  free(*array);
  *array = NULL;
}

rt_err rt_logits_row_optional(rt_logits_row *row, rt_logits_optional has)
{
  if (!has.entropy)
    forget(&row->entropy);
  if (!has.deviation)
    forget(&row->deviation);
  if (has.entropy && row->entropy == NULL)
    GROW(row->entropy, row->cap_tokens);
  if (has.deviation && row->deviation == NULL)
    GROW(row->deviation, row->cap_tokens);
  return RT_OK;
}

rt_err rt_logits_row_entries(rt_logits_row *row, int64_t n)
{
  if (n <= row->cap_entries && row->ids != NULL)
    return RT_OK;
  GROW(row->ids, n);
  GROW(row->logp, n);
  row->cap_entries = n;
  return RT_OK;
}
#undef GROW

rt_err rt_logits_row_copy(const rt_logits_row *from, rt_logits_row *to)
{
  const size_t T = 4 * (size_t)from->n_tokens, n = 4 * (size_t)from->n_entries;
  RT_TRY(rt_logits_row_tokens(to, from->n_tokens));
  RT_TRY(rt_logits_row_optional(
      to, (rt_logits_optional){.entropy = from->entropy != NULL,
                               .deviation = from->deviation != NULL}));
  RT_TRY(rt_logits_row_entries(to, from->n_entries));
  memcpy(to->tok, from->tok, T + 4);
  memcpy(to->count, from->count, T);
  memcpy(to->lse, from->lse, T);
  memcpy(to->label_logp, from->label_logp, T);
  if (from->entropy != NULL)
    memcpy(to->entropy, from->entropy, T);
  if (from->deviation != NULL)
    memcpy(to->deviation, from->deviation, T);
  if (n > 0) {
    memcpy(to->ids, from->ids, n);
    memcpy(to->logp, from->logp, n);
  }
  to->n_tokens = from->n_tokens;
  to->n_entries = from->n_entries;
  to->stored = from->stored;
  to->step = from->step;
  to->stream_row = from->stream_row;
  return RT_OK;
}

static int64_t sum(const uint32_t *count, int64_t n)
{
  int64_t s = 0;
  for (int64_t i = 0; i < n; i++)
    s += count[i];
  return s;
}

void rt_logits_row_cut(rt_logits_row *row, int64_t first, int64_t n)
{
  RT_ASSERT(first >= 0 && n > 0 && first + n <= row->n_tokens);
  const int64_t before = sum(row->count, first);
  const int64_t kept = sum(row->count + first, n);
  const size_t T = 4 * (size_t)n;
  memmove(row->tok, row->tok + first, T + 4);
  memmove(row->count, row->count + first, T);
  memmove(row->lse, row->lse + first, T);
  memmove(row->label_logp, row->label_logp + first, T);
  if (row->entropy != NULL)
    memmove(row->entropy, row->entropy + first, T);
  if (row->deviation != NULL)
    memmove(row->deviation, row->deviation + first, T);
  memmove(row->ids, row->ids + before, 4 * (size_t)kept);
  memmove(row->logp, row->logp + before, 4 * (size_t)kept);
  row->n_tokens = n;
  row->n_entries = kept;
}

/** Sums over the entries of one token. */
typedef struct padding {
  double kept;    /**< mass of entries that are not padding */
  double mass;    /**< mass of padding entries */
  double entropy; /**< -sum p log p over the padding entries */
} padding;

static padding weigh(const uint32_t *ids, const float *logp, int64_t n,
                     int64_t vocab)
{
  padding pad = {0};
  for (int64_t i = 0; i < n; i++) {
    const double p = exp((double)logp[i]);
    if (ids[i] < vocab) {
      pad.kept += p;
      continue;
    }
    pad.mass += p;
    pad.entropy -= p * (double)logp[i];
  }
  return pad;
}

/** Increase a log-prob, limited to 0 (log-probs may have been rounded up). */
static float lift(float logp, double by)
{
  return (float)fmin((double)logp + by, 0.0);
}

/** Move the valid entries among [from, from + n) of token \a t to position \a
 *  to; \return their number. */
static int64_t narrow_token(rt_logits_row *row, int64_t t, int64_t from,
                            int64_t to, int64_t vocab)
{
  const int64_t n = row->count[t];
  const padding pad = weigh(row->ids + from, row->logp + from, n, vocab);
  // rounded masses may exceed 1; the entries kept then add up to 1
  const double left = fmax(1.0 - pad.mass, pad.kept);
  const double rise = left > 0.0 ? -log(left) : 0.0;
  int64_t kept = 0;
  for (int64_t i = from; i < from + n; i++)
    if (row->ids[i] < vocab) {
      row->ids[to + kept] = row->ids[i];
      row->logp[to + kept++] = lift(row->logp[i], rise);
    }
  row->lse[t] -= (float)rise;
  row->label_logp[t] = lift(row->label_logp[t], rise);
  if (row->entropy != NULL)
    row->entropy[t] = (float)fmax(
        ((double)row->entropy[t] - pad.entropy) * exp(rise) - rise, 0.0);
  row->count[t] = (uint32_t)kept;
  return kept;
}

rt_err rt_logits_row_narrow(rt_logits_row *row, int64_t vocab)
{
  int64_t from = 0, to = 0;
  for (int64_t t = 0; t <= row->n_tokens; t++)
    RT_CHECK(row->tok[t] < vocab, RT_ERR_DATA,
             "token %lld of a row is %u, but data.vocab is %lld: the text "
             "contains ids that would be padding",
             (long long)t, row->tok[t], (long long)vocab);
  for (int64_t t = 0; t < row->n_tokens; t++) {
    const int64_t n = row->count[t];
    to += narrow_token(row, t, from, to, vocab);
    from += n;
  }
  row->n_entries = to;
  return RT_OK;
}
