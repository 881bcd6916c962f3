/** \file packed_lanes.c
 *  Entries of tokens side by side, by AVX-512.
 *
 *  A lane is 64 bits wide, since each one has tables and a record of its own:
 *  loads are gathers from addresses.  What is rare ends a call: escapes, ids
 *  that the tables do not know, many raw bits, the end of a record, and all
 *  that is invalid.  Nothing of such an entry is kept. */
#include "io/codec/packed_lanes.h"

#ifdef __x86_64__

#include <immintrin.h>

#define AVX512 __attribute__((target("avx512f,avx512vl,avx512dq,avx512cd")))

bool rt_lanes_permitted(void)
{
  return __builtin_cpu_supports("avx512f") &&
         __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512cd");
}

bool rt_lanes_put(rt_lanes *x, int i, const rt_packed_reader *r)
{
  const rt_rans_in *const in = &r->in;
  const rt_packed *const k = r->k;
  const rt_packed_set *const s = &r->set;
  const size_t left = s->n - s->taken;
  // an entry takes at most two words
  if (left == 0 || s->next >= k->order.n_seen || in->bad ||
      (size_t)(in->word_end - in->word) / 4 < left ||
      in->bits_end - in->bits < 8)
    return false;
  x->gap[i] = in->x[in->turn];
  x->value[i] = in->x[in->turn ^ 1];
  x->word[i] = (uintptr_t)in->word;
  x->bit[i] = (uint64_t)(uintptr_t)in->bits * 8 - (uint64_t)in->n_pending;
  x->last_bit[i] = (uint64_t)(uintptr_t)(in->bits_end - 8) * 8;
  x->next[i] = s->next;
  x->left[i] = left;
  x->near[i] = rt_order_near(&k->order, s->next);
  x->ranks[i] = (uintptr_t)k->order.at;
  x->n_seen[i] = k->order.n_seen;
  x->gaps[i] = (uintptr_t)&k->model[RT_M_GAP];
  x->values[i] =
      (uintptr_t)&k->model[RT_M_VALUE + s->context_of_range * RT_DENSITIES];
  x->value_slots[i] = (uintptr_t)k->value_slot[s->context_of_range];
  x->max[i] = s->max;
  x->span[i] = s->span;
  x->key[i] = (uintptr_t)(r->key + s->taken);
  x->on |= (uint16_t)(1U << i);
  return true;
}

void rt_lanes_get(rt_lanes *x, int i, rt_packed_reader *r)
{
  rt_rans_in *const in = &r->in;
  const unsigned char *const bits =
      (const unsigned char *)(uintptr_t)(x->bit[i] / 8);
  const int used = (int)(x->bit[i] % 8);
  in->x[in->turn] = (uint32_t)x->gap[i];
  in->x[in->turn ^ 1] = (uint32_t)x->value[i];
  in->word = (const unsigned char *)(uintptr_t)x->word[i];
  in->bits = used > 0 ? bits + 1 : bits;
  in->pending = used > 0 ? (uint64_t)(*bits >> used) : 0;
  in->n_pending = used > 0 ? 8 - used : 0;
  r->set.next = x->next[i];
  r->set.taken = r->set.n - x->left[i];
  x->on &= (uint16_t) ~(1U << i);
}

/** The lanes of a group in registers. */
typedef struct group {
  __m512i gap, value, word, bit, next, left, near, last_bit, ranks, n_seen,
      gaps, values, value_slots, max, span, key;
  __mmask8 on;
} group;

/** G(member): those that an entry changes. */
#define CHANGING(G)                                                            \
  G(gap) G(value) G(word) G(bit) G(next) G(left) G(near) G(key)
#define CONSTANT(G)                                                            \
  G(last_bit) G(ranks) G(n_seen) G(gaps) G(values) G(value_slots) G(max) G(span)

AVX512 static inline void load(const rt_lanes *x, int g, group *out)
{
  const int at = g * RT_LANE_GROUP;
#define LOAD(member) out->member = _mm512_load_si512(x->member + at);
  CHANGING(LOAD)
  CONSTANT(LOAD)
#undef LOAD
  out->on = (__mmask8)(x->on >> at);
}

AVX512 static inline void store(const group *from, int g, rt_lanes *x)
{
  const int at = g * RT_LANE_GROUP;
#define STORE(member) _mm512_store_si512(x->member + at, from->member);
  CHANGING(STORE)
#undef STORE
}

/** 32 or 64 bits from each of the addresses. */
AVX512 static inline __m512i words_at(__mmask8 on, __m512i at)
{
  return _mm512_cvtepu32_epi64(_mm512_mask_i64gather_epi32(
      _mm256_setzero_si256(), on, at, (const void *)0, 1));
}
AVX512 static inline __m512i longs_at(__mmask8 on, __m512i at)
{
  return _mm512_mask_i64gather_epi64(_mm512_setzero_si512(), on, at,
                                     (const void *)0, 1);
}

AVX512 static inline __m512i constant(int64_t x)
{
  return _mm512_set1_epi64(x);
}

/** The address of model \a i of those at \a first. */
AVX512 static inline __m512i model_at(__m512i first, __m512i i)
{
  enum { LG_PART = 11 };
  static_assert(sizeof(rt_rans_model) == 3 << LG_PART, "a product by shifts");
  return _mm512_add_epi64(first,
                          _mm512_add_epi64(_mm512_slli_epi64(i, LG_PART),
                                           _mm512_slli_epi64(i, LG_PART + 1)));
}

/** rt_lg16() of each. */
AVX512 static inline __m512i lg16(__m512i x)
{
  const __m512i zeros = _mm512_lzcnt_epi64(x);
  const __m512i f = _mm512_and_si512(
      _mm512_srli_epi64(_mm512_sllv_epi64(x, zeros), 59), constant(15));
  const __m512i top =
      _mm512_slli_epi64(_mm512_sub_epi64(constant(63), zeros), 4);
  __m512i part = _mm512_mask_add_epi64(
      f, _mm512_cmpge_epi64_mask(f, constant(2)), f, constant(1));
  part = _mm512_min_epi64(part, constant(15));
  return _mm512_add_epi64(top, part);
}

/** The contexts of gaps: rt_gap_context(). */
AVX512 static inline __m512i gap_contexts(const group *g)
{
  const __m512i lg = lg16(g->left);
  const __m512i lg_near = _mm512_srli_epi64(g->near, 2);
  const __m512i biased = _mm512_srai_epi64(
      _mm512_sub_epi64(_mm512_add_epi64(lg_near, constant(4 + 1024)), lg), 3);
  const __m512i context = _mm512_sub_epi64(biased, constant(126));
  return _mm512_max_epi64(
      constant(0), _mm512_min_epi64(context, constant(RT_GAP_CONTEXTS - 1)));
}

AVX512 static inline __m512i slots_of(__m512i states)
{
  return _mm512_and_si512(states, constant(RT_RANS_SCALE - 1));
}

/** Symbols 0 to 255 of models. */
AVX512 static inline __m512i symbols_at(__mmask8 on, __m512i model, __m512i i)
{
  const __m512i symbols =
      _mm512_add_epi64(model, constant(offsetof(rt_rans_model, symbol)));
  return longs_at(on, _mm512_add_epi64(symbols, _mm512_slli_epi64(i, 3)));
}

AVX512 static inline __m512i gap_symbols(const group *g)
{
  const __m512i model = model_at(g->gaps, gap_contexts(g));
  const __m512i i = words_at(g->on, _mm512_add_epi64(model, slots_of(g->gap)));
  return symbols_at(g->on, model, _mm512_and_si512(i, constant(0xFF)));
}

/** Symbols of values: \a slots has those of all densities. */
AVX512 static inline __m512i value_symbols(const group *g, __m512i slots,
                                           __m512i density)
{
  const __m512i i = _mm512_srlv_epi64(slots, _mm512_slli_epi64(density, 3));
  return symbols_at(g->on, model_at(g->values, density),
                    _mm512_and_si512(i, constant(0xFF)));
}

/** Remove a symbol from the state; the low halves of \a words are next. */
AVX512 static inline __m512i drop(__m512i state, __m512i symbol, __m512i words,
                                  __mmask8 *low)
{
  const __m512i slot = slots_of(state);
  const __m512i freq =
      _mm512_and_si512(_mm512_srli_epi64(symbol, RT_RANS_FREQ_AT),
                       constant(2 * RT_RANS_SCALE - 1));
  const __m512i sum = _mm512_and_si512(symbol, constant(RT_RANS_SCALE - 1));
  const __m512i s = _mm512_add_epi64(
      _mm512_mul_epu32(freq, _mm512_srli_epi64(state, RT_RANS_BITS)),
      _mm512_sub_epi64(slot, sum));
  *low = _mm512_cmplt_epu64_mask(s, constant(rt_rans_low));
  return _mm512_mask_or_epi64(s, *low, _mm512_slli_epi64(s, 16),
                              _mm512_and_si512(words, constant(0xFFFF)));
}

AVX512 static inline __m512i n_raw_of(__m512i symbol)
{
  return _mm512_and_si512(_mm512_srli_epi64(symbol, RT_RANS_RAW_AT),
                          constant(63));
}

/** The number of a symbol whose \a n raw bits are the lowest ones. */
AVX512 static inline __m512i number(__m512i symbol, __m512i bits, __m512i n)
{
  const __m512i beyond = _mm512_sllv_epi64(constant(-1), n);
  return _mm512_add_epi64(_mm512_srli_epi64(symbol, RT_RANS_FIRST_AT),
                          _mm512_andnot_si512(beyond, bits));
}

AVX512 static inline __mmask8 odd(__m512i symbol)
{
  return _mm512_test_epi64_mask(symbol, constant(INT64_C(1) << RT_RANS_ODD_AT));
}

/** Decode an entry in each lane; false, and nothing is changed, if one of them
 *  is rare or invalid. */
AVX512 static inline bool take_entry(group *g)
{
  const __mmask8 on = g->on;
  const __m512i value_slots =
      words_at(on, _mm512_add_epi64(g->value_slots,
                                    _mm512_slli_epi64(slots_of(g->value), 2)));
  const __m512i gap_symbol = gap_symbols(g);
  if (_mm512_mask_cmpgt_epu64_mask(on, g->bit, g->last_bit))
    return false;
  const __m512i bits =
      _mm512_srlv_epi64(longs_at(on, _mm512_srli_epi64(g->bit, 3)),
                        _mm512_and_si512(g->bit, constant(7)));
  const __m512i n_gap = n_raw_of(gap_symbol);
  const __m512i rank =
      _mm512_add_epi64(g->next, number(gap_symbol, bits, n_gap));
  const __m512i next = _mm512_add_epi64(rank, constant(1));
  if (_mm512_mask_cmpge_epu64_mask(on, next, g->n_seen) |
      (on & odd(gap_symbol)))
    return false;
  const __m512i of_rank =
      longs_at(on, _mm512_add_epi64(g->ranks, _mm512_slli_epi64(rank, 3)));
  const __m512i density =
      _mm512_and_si512(_mm512_srli_epi64(of_rank, 32), constant(3));
  const __m512i value_symbol = value_symbols(g, value_slots, density);
  const __m512i n_value = n_raw_of(value_symbol);
  const __m512i value =
      number(value_symbol, _mm512_srlv_epi64(bits, n_gap), n_value);
  const __m512i n_bits = _mm512_add_epi64(n_gap, n_value);
  if ((on & odd(value_symbol)) |
      _mm512_mask_cmpgt_epu64_mask(on, value, g->span) |
      _mm512_mask_cmpgt_epu64_mask(on, n_bits, constant(57)))
    return false;
  __mmask8 low;
  __m512i words = words_at(on, g->word);
  g->gap = drop(g->gap, gap_symbol, words, &low);
  words = _mm512_mask_srli_epi64(words, low, words, 16);
  g->word = _mm512_mask_add_epi64(g->word, low, g->word, constant(2));
  g->value = drop(g->value, value_symbol, words, &low);
  g->word = _mm512_mask_add_epi64(g->word, low, g->word, constant(2));
  g->bit = _mm512_add_epi64(g->bit, n_bits);
  g->next = next;
  g->near = _mm512_srli_epi64(of_rank, 48);
  g->left = _mm512_sub_epi64(g->left, constant(1));
  const __m512i key =
      _mm512_or_si512(_mm512_slli_epi64(_mm512_sub_epi64(g->max, value), 32),
                      _mm512_and_si512(of_rank, constant(UINT32_MAX)));
  _mm512_mask_i64scatter_epi64((void *)0, on, g->key, key, 1);
  g->key = _mm512_add_epi64(g->key, constant(sizeof(uint64_t)));
  return true;
}

AVX512 static int take_one_group(rt_lanes *x, int i, uint64_t n)
{
  group g;
  load(x, i, &g);
  int odd_one = -1;
  while (n-- > 0 && odd_one < 0)
    odd_one = take_entry(&g) ? -1 : i;
  store(&g, i, x);
  return odd_one;
}

/** Two groups, one of which decodes while the other waits for its loads. */
AVX512 static int take_both_groups(rt_lanes *x, uint64_t n)
{
  group a, b;
  load(x, 0, &a);
  load(x, 1, &b);
  int odd_one = -1;
  while (n-- > 0 && odd_one < 0)
    odd_one = !take_entry(&a) ? 0 : !take_entry(&b) ? 1 : -1;
  store(&a, 0, x);
  store(&b, 1, x);
  return odd_one;
}

int rt_lanes_take(rt_lanes *x, uint64_t n)
{
  const bool a = (x->on & 0xFF) != 0, b = x->on >> RT_LANE_GROUP != 0;
  return a && b ? take_both_groups(x, n) : take_one_group(x, a ? 0 : 1, n);
}

#else

bool rt_lanes_permitted(void)
{
  return false;
}

bool rt_lanes_put(rt_lanes *x, int i, const rt_packed_reader *r)
{
  (void)x, (void)i, (void)r;
  return false;
}

void rt_lanes_get(rt_lanes *x, int i, rt_packed_reader *r)
{
  (void)x, (void)i, (void)r;
}

int rt_lanes_take(rt_lanes *x, uint64_t n)
{
  (void)x, (void)n;
  return -1;
}

#endif
