/** \file codec_check.c
 *  Checks the invariants of a row of logits. */
#include "io/codec/codec_check.h"

#include <math.h>
#include <stdlib.h>

/** A log-prob is a difference of two rounded floats, so it may exceed 0 by
 *  this. */
static const float max_logp = 1e-4F;

/** The ids of one token: a hash set with open addressing; a slot holds token +
 *  1 and id. */
typedef struct id_set {
  uint64_t *slot; // owned [mask + 1]
  size_t mask;
} id_set;

/** Allocate the set.  Counts beyond the spec's limit are rejected later and get
 *  no memory. */
static rt_err make_set(const rt_codec_spec *spec, const rt_logits_row *row,
                       id_set *out)
{
  uint32_t max = 0;
  size_t n = 16;
  for (int64_t t = 0; t < row->n_tokens; t++)
    max = row->count[t] > max ? row->count[t] : max;
  if (max > spec->max_entries)
    max = (uint32_t)spec->max_entries;
  while (n < 2 * (size_t)max)
    n *= 2;
  out->slot = calloc(n, sizeof *out->slot);
  out->mask = n - 1;
  RT_CHECK(out->slot != NULL, RT_ERR_MEM, "a set of %zu ids", n);
  return RT_OK;
}

/** Insert \a id; false if it was already present. */
static bool add_id(const id_set *set, uint64_t token, uint32_t id)
{
  const uint64_t mine = (token + 1) << 32 | id;
  size_t i = (size_t)((id * 0x9E3779B97F4A7C15U) >> 32) & set->mask;
  for (; set->slot[i] >> 32 == token + 1; i = (i + 1) & set->mask)
    if (set->slot[i] == mine)
      return false;
  set->slot[i] = mine;
  return true;
}

static rt_err check_entries(const rt_codec_spec *spec, const char *name,
                            const rt_logits_row *row, const id_set *set,
                            int64_t t, int64_t begin)
{
  const int64_t end = begin + row->count[t];
  double mass = 0.0;
  for (int64_t e = begin; e < end; e++) {
    const uint32_t id = row->ids[e];
    const float logp = row->logp[e];
    RT_CHECK(
        id < spec->vocab && add_id(set, (uint64_t)t, id), RT_ERR_DATA,
        "%s, token %lld: entry %lld is id %lu, expected less than %llu and "
        "each only once",
        name, (long long)t, (long long)(e - begin), (unsigned long)id,
        (unsigned long long)spec->vocab);
    RT_CHECK(isfinite(logp) && logp <= max_logp &&
                 (e == begin || logp < row->logp[e - 1] ||
                  (logp == row->logp[e - 1] && id > row->ids[e - 1])),
             RT_ERR_DATA,
             "%s, token %lld: entry %lld has id %lu and log-prob %g, expected "
             "finite log-probs <= 0 in descending order, ids ascending where "
             "they are equal",
             name, (long long)t, (long long)(e - begin), (unsigned long)id,
             (double)logp);
    mass += exp((double)logp);
  }
  const double max = row->stored ? RT_CODEC_MAX_STORED : RT_CODEC_MAX_MASS;
  RT_CHECK(mass <= max, RT_ERR_DATA,
           "%s, token %lld: %lu entries have mass %g, expected at most 1 (%g, "
           "rounded)",
           name, (long long)t, (unsigned long)row->count[t], mass, max);
  return RT_OK;
}

/** Check the fields of a token other than its entries. */
static rt_err check_token(const rt_codec_spec *spec, const char *name,
                          const rt_logits_row *row, int64_t t, int64_t begin)
{
  const float label = row->label_logp[t];
  RT_CHECK(row->count[t] <= spec->max_entries &&
               row->count[t] <= row->n_entries - begin,
           RT_ERR_DATA,
           "%s, token %lld: %lu entries, expected at most %lld and the %lld "
           "left in the row",
           name, (long long)t, (unsigned long)row->count[t],
           (long long)spec->max_entries, (long long)(row->n_entries - begin));
  RT_CHECK(isfinite(row->lse[t]) && isfinite(label) && label <= max_logp,
           RT_ERR_DATA,
           "%s, token %lld: log-sum-exp %g and label's log-prob %g, expected "
           "finite numbers and a log-prob <= 0",
           name, (long long)t, (double)row->lse[t], (double)label);
  RT_CHECK((!spec->entropy ||
            (isfinite(row->entropy[t]) && row->entropy[t] >= 0.0F)) &&
               (!spec->deviation ||
                (isfinite(row->deviation[t]) && row->deviation[t] >= 0.0F)),
           RT_ERR_DATA,
           "%s, token %lld: entropy or standard deviation is negative or not "
           "finite",
           name, (long long)t);
  return RT_OK;
}

static rt_err check_tokens(const rt_codec_spec *spec, const char *name,
                           const rt_logits_row *row, const id_set *set)
{
  int64_t begin = 0;
  for (int64_t t = 0; t < row->n_tokens; t++) {
    RT_TRY(check_token(spec, name, row, t, begin));
    RT_TRY(check_entries(spec, name, row, set, t, begin));
    begin += row->count[t];
  }
  RT_CHECK(begin == row->n_entries, RT_ERR_DATA,
           "%s: counts add up to %lld of %lld entries", name, (long long)begin,
           (long long)row->n_entries);
  return RT_OK;
}

rt_err rt_codec_check_row(const rt_codec_spec *spec, const char *name,
                          const rt_logits_row *row)
{
  RT_CHECK(row->n_tokens >= 0 && row->n_tokens <= spec->max_tokens, RT_ERR_DATA,
           "%s: %lld tokens, expected at most %lld", name,
           (long long)row->n_tokens, (long long)spec->max_tokens);
  // records and their readers count entries in 32 bits
  RT_CHECK(row->n_entries >= 0 && row->n_entries <= UINT32_MAX, RT_ERR_DATA,
           "%s: %lld entries, expected fewer than 2^32: use shorter rows, or a "
           "smaller top_k or top_p",
           name, (long long)row->n_entries);
  RT_CHECK((!spec->entropy || row->entropy != NULL) &&
               (!spec->deviation || row->deviation != NULL),
           RT_ERR_DATA, "%s: entropy or standard deviation is missing", name);
  for (int64_t t = 0; t <= row->n_tokens; t++)
    RT_CHECK(row->tok[t] < spec->vocab, RT_ERR_DATA,
             "%s, token %lld: id %lu, expected less than %llu", name,
             (long long)t, (unsigned long)row->tok[t],
             (unsigned long long)spec->vocab);
  id_set set;
  RT_TRY(make_set(spec, row, &set));
  const rt_err err = check_tokens(spec, name, row, &set);
  free(set.slot);
  return err;
}
