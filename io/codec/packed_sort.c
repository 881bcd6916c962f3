/** \file packed_sort.c
 *  Puts the entries of tokens in order. */
#include "io/codec/packed_sort.h"

#include "io/codec/codec_check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/** Put sorted entries into the row.  \a key: the upper halves are levels. */
static rt_err put_levels(const rt_packed_token *token, const uint64_t *key,
                         uint32_t *ids, float *logp)
{
  const float *const value = token->k->value, *const prob = token->k->prob;
  double mass = 0.0;
#pragma omp simd reduction(+ : mass)
  for (size_t i = 0; i < token->n; i++) {
    const int32_t level = (int32_t)(key[i] >> 32);
    ids[i] = (uint32_t)key[i];
    logp[i] = value[level];
    mass += (double)prob[level];
  }
  RT_CHECK(mass <= RT_CODEC_MAX_STORED, RT_ERR_DATA,
           "%s: %zu entries have mass %g, expected at most 1 (%g, rounded)",
           token->name, token->n, mass, RT_CODEC_MAX_STORED);
  return RT_OK;
}

static rt_err put_draws(const rt_packed_token *token, const uint64_t *key,
                        uint32_t *ids, float *logp)
{
  const uint64_t n_draws = (uint64_t)token->k->spec.n_draws;
  uint64_t sum = 0;
  for (size_t i = 0; i < token->n; i++) {
    const uint64_t draws = n_draws - (key[i] >> 32);
    ids[i] = (uint32_t)key[i];
    logp[i] = (float)log((double)draws / (double)n_draws);
    sum += draws;
  }
  RT_CHECK(sum == n_draws || token->n == 0, RT_ERR_DATA,
           "%s: %llu draws, expected %llu", token->name,
           (unsigned long long)sum, (unsigned long long)n_draws);
  return RT_OK;
}

/** Put sorted entries, and what the label has of them. */
static rt_err put(const rt_packed_token *token, const uint64_t *key)
{
  rt_logits_row *const row = token->row;
  uint32_t *const ids = row->ids + token->begin;
  float *const logp = row->logp + token->begin;
  const bool packed = token->k->spec.kind == RT_CODEC_PACKED;
  RT_TRY(packed ? put_levels(token, key, ids, logp)
                : put_draws(token, key, ids, logp));
  if (token->place == 0)
    return RT_OK;
  row->tok[token->t + 1] = ids[token->place - 1];
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

/** Sort the keys of one token into \a to: counting sort by upper halves, then
 *  sort those with equal ones. */
static void sort_alone(const rt_packed_token *token, const uint64_t *from,
                       uint64_t *to)
{
  const uint64_t least = token->least, span = token->span;
  const size_t n = token->n;
  uint32_t at[RT_N_LEVELS + 1];
  memset(at, 0, ((size_t)span + 2) * sizeof *at);
  for (size_t i = 0; i < n; i++)
    at[(from[i] >> 32) - least + 1]++;
  for (uint64_t k = 1; k <= span; k++)
    at[k] += at[k - 1];
  for (size_t i = 0; i < n; i++)
    to[at[(from[i] >> 32) - least]++] = from[i];
  sort_nearly(to, n);
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
        if (j / (2 * p) != (j + k) / (2 * p))
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
  const uint32_t ids = (UINT32_C(1) << shift) - 1;
  uint64_t key[RT_SORT_ENTRIES];
  for (size_t i = 0; i < token->n; i++) {
    const uint32_t x = s->key[i][c];
    key[i] = ((x >> shift) + token->least) << 32 | (x & ids);
  }
  return put(token, key);
}

rt_err rt_packed_sort_rest(rt_packed_sorter *s)
{
  const int n = s->n;
  for (int c = 0; c < n; c++)
    for (size_t i = s->token[c].n; i < s->most; i++)
      s->key[i][c] = UINT32_MAX;
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
  if (token->n > RT_SORT_ENTRIES || id_bits(token) > 21) {
    sort_alone(token, key, key + token->n);
    return put(token, key + token->n);
  }
  put_column(s, token, key);
  return s->n == RT_SORT_TOKENS ? rt_packed_sort_rest(s) : RT_OK;
}
