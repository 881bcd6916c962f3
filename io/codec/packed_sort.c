/** \file packed_sort.c
 *  Puts the entries of tokens in order. */
#include "io/codec/packed_sort.h"

#include "io/codec/codec_check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/** Put the log-probs of levels. */
static rt_err put_levels(const rt_packed_token *token, const int32_t *level,
                         float *logp)
{
  const float *const value = token->k->value, *const prob = token->k->prob;
  double mass = 0.0;
#pragma omp simd reduction(+ : mass)
  for (size_t i = 0; i < token->n; i++) {
    logp[i] = value[level[i]];
    mass += (double)prob[level[i]];
  }
  RT_CHECK(mass <= RT_CODEC_MAX_STORED, RT_ERR_DATA,
           "%s: %zu entries have mass %g, expected at most 1 (%g, rounded)",
           token->name, token->n, mass, RT_CODEC_MAX_STORED);
  return RT_OK;
}

/** Put the log-probs of draws: \a less are N minus their numbers. */
static rt_err put_draws(const rt_packed_token *token, const int32_t *less,
                        float *logp)
{
  const int64_t n_draws = token->k->spec.n_draws;
  int64_t sum = 0;
  for (size_t i = 0; i < token->n; i++) {
    const int64_t draws = n_draws - less[i];
    logp[i] = (float)log((double)draws / (double)n_draws);
    sum += draws;
  }
  RT_CHECK(sum == n_draws, RT_ERR_DATA, "%s: %lld draws, expected %lld",
           token->name, (long long)sum, (long long)n_draws);
  return RT_OK;
}

static uint32_t *ids_of(const rt_packed_token *token)
{
  return token->row->ids + token->begin;
}

/** The ids are in the row, in order: put the rest.  \a upper [n]: the upper
 *  halves of their keys. */
static rt_err put(const rt_packed_token *token, const int32_t *upper)
{
  rt_logits_row *const row = token->row;
  float *const logp = row->logp + token->begin;
  const bool packed = token->k->spec.kind == RT_CODEC_PACKED;
  RT_TRY(packed ? put_levels(token, upper, logp)
                : put_draws(token, upper, logp));
  if (token->place == 0)
    return RT_OK;
  row->tok[token->t + 1] = ids_of(token)[token->place - 1];
  if (packed)
    row->label_logp[token->t] = logp[token->place - 1];
  return RT_OK;
}

static int by_key(const void *a, const void *b)
{
  const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return (x > y) - (x < y);
}

/** Insertion sort of nearly sorted keys.  Flat or malicious rows, for which it
 *  would take quadratic time, use qsort. */
static void sort_nearly(uint64_t *key, size_t n)
{
  size_t moves = 0;
  for (size_t i = 1; i < n; i++) {
    const uint64_t moved = key[i];
    size_t k = i;
    for (; k > 0 && key[k - 1] > moved; k--)
      key[k] = key[k - 1];
    key[k] = moved;
    moves += i - k;
    if (moves > 64 * n) {
      qsort(key, n, sizeof *key, by_key);
      return;
    }
  }
}

/** Sort keys into \a to: counting sort by upper halves, then sort those with
 *  equal ones. */
static void sort_keys(const rt_packed_token *token, const uint64_t *from,
                      uint64_t *to)
{
  const uint64_t least = token->least;
  uint32_t at[RT_N_LEVELS + 1];
  memset(at, 0, ((size_t)token->span + 2) * sizeof *at);
  for (size_t i = 0; i < token->n; i++)
    at[(from[i] >> 32) - least + 1]++;
  for (uint64_t k = 1; k <= token->span; k++)
    at[k] += at[k - 1];
  for (size_t i = 0; i < token->n; i++)
    to[at[(from[i] >> 32) - least]++] = from[i];
  sort_nearly(to, token->n);
}

/** Put the entries of one token; its keys are used up. */
static rt_err put_alone(const rt_packed_token *token, uint64_t *key)
{
  uint64_t *const sorted = key + token->n;
  sort_keys(token, key, sorted);
  int32_t *const upper = (void *)key;
  for (size_t i = 0; i < token->n; i++) {
    ids_of(token)[i] = (uint32_t)sorted[i];
    upper[i] = (int32_t)(sorted[i] >> 32);
  }
  return put(token, upper);
}

/** a becomes the lesser, b the greater key of each column. */
static inline void order(uint32_t *restrict a, uint32_t *restrict b)
{
#pragma omp simd
  for (int c = 0; c < RT_SORT_TOKENS; c++) {
    const uint32_t x = a[c], y = b[c];
    a[c] = x < y ? x : y;
    b[c] = x < y ? y : x;
  }
}

/** Sort each column of \a n keys, all with the same comparisons: Batcher's
 *  odd-even merge sort. */
static void sort_columns(uint32_t (*key)[RT_SORT_TOKENS], size_t n)
{
  for (size_t p = 1; p < n; p *= 2)
    for (size_t k = p; k >= 1; k /= 2)
      for (size_t j = k % p; j + k < n; j += 2 * k) {
        if (((j ^ (j + k)) & ~(2 * p - 1)) != 0) // not in one pair of runs
          continue;
        const size_t left = n - j - k;
        for (size_t i = 0; i < k && i < left; i++)
          order(key[i + j], key[i + j + k]);
      }
}

/** Bits of the ids in a key of 32 bits; at most 21 beside 2^11 levels. */
static int id_bits(const rt_packed_token *token)
{
  return 64 - __builtin_clzll(token->k->spec.vocab);
}

static void put_column(rt_packed_sorter *s, const rt_packed_token *token,
                       const uint64_t *key)
{
  const int c = s->n++, shift = id_bits(token);
  s->token[c] = *token;
  s->most = token->n > s->most ? token->n : s->most;
  for (size_t i = 0; i < token->n; i++)
    s->key[i][c] =
        (uint32_t)((key[i] >> 32) - token->least) << shift | (uint32_t)key[i];
}

static rt_err take_column(const rt_packed_sorter *s, int c)
{
  const rt_packed_token *const token = &s->token[c];
  const int shift = id_bits(token);
  const uint32_t of_id = (UINT32_C(1) << shift) - 1;
  const uint32_t least = (uint32_t)token->least;
  uint32_t *const ids = ids_of(token);
  int32_t upper[RT_SORT_ENTRIES];
  for (size_t i = 0; i < token->n; i++) {
    const uint32_t x = s->key[i][c];
    upper[i] = (int32_t)((x >> shift) + least);
    ids[i] = x & of_id;
  }
  return put(token, upper);
}

/** Fill up column \a c.  The entries' places in the row, which was last written
 *  long ago, come near while the columns are sorted. */
static void prepare_column(rt_packed_sorter *s, int c)
{
  enum { LINE = 16 };
  const rt_packed_token *const token = &s->token[c];
  for (size_t i = 0; i < token->n; i += LINE) {
    __builtin_prefetch(ids_of(token) + i, 1);
    __builtin_prefetch(token->row->logp + token->begin + i, 1);
  }
  for (size_t i = token->n; i < s->most; i++)
    s->key[i][c] = UINT32_MAX;
}

rt_err rt_packed_sort_rest(rt_packed_sorter *s)
{
  const int n = s->n;
  for (int c = 0; c < n; c++)
    prepare_column(s, c);
  sort_columns(s->key, s->most);
  s->n = 0;
  s->most = 0;
  for (int c = 0; c < n; c++)
    RT_TRY(take_column(s, c));
  return RT_OK;
}

rt_err rt_packed_sort(rt_packed_sorter *s, const rt_packed_token *token,
                      uint64_t *key)
{
  if (token->n > RT_SORT_ENTRIES || id_bits(token) > 21)
    return put_alone(token, key);
  put_column(s, token, key);
  return s->n == RT_SORT_TOKENS ? rt_packed_sort_rest(s) : RT_OK;
}
