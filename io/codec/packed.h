/** \file packed.h
 *  Records of `packed` and `sampled` and their tables.  Layer: io, for io/codec
 *  alone.  Format: doc/formats.md, "packed and sampled". */
#ifndef RT_PACKED_H
#define RT_PACKED_H

#include "io/codec/codec_spec.h"
#include "io/codec/id_order.h"

/** M(name, models, m): what is coded, in how many contexts, how finely. */
#define RT_PACKED_MODELS(M)                                                    \
  M(COUNT, 1, 3)   /* most entries less those of the token */                  \
  M(TOP, 1, 3)     /* level of its likeliest entry */                          \
  M(RANGE, 1, 5)   /* level of its unlikeliest, above that */                  \
  M(LSE, 1, 3)     /* log-sum-exp in 32nds, from the base, zigzag */           \
  M(LABEL, 1, 3)   /* 1 + place of the corpus token in the entries; 0 none */  \
  M(RANK, 1, 2)    /* rank of a corpus token */                                \
  M(LEVEL, 1, 5)   /* level of its log-prob */                                 \
  M(ENTROPY, 1, 4) /* in 64ths */                                              \
  M(DEVIATION, 1, 3) /* in 64ths */                                            \
  M(GAP, RT_GAP_CONTEXTS, 2)                                                   \
  M(VALUE, (RT_N_RANGES * RT_DENSITIES), 5)

enum {
  RT_N_RANGES = 12,
  RT_N_LEVELS = 2048,
  RT_MAX_BITS = 5,
  RT_N_LEFT = 4096,
  RT_LINE = 64 // bytes of the cache's, at least RT_GAP_CONTEXTS
};
#define RT_MODEL_ENUM(name, n, m)                                              \
  RT_M_##name, RT_M_##name##_LAST = RT_M_##name + (n)-1,
enum { RT_PACKED_MODELS(RT_MODEL_ENUM) RT_N_MODELS };
#undef RT_MODEL_ENUM
#define RT_MODEL_BITS(name, n, m) RT_##name##_BITS = (m),
enum { RT_PACKED_MODELS(RT_MODEL_BITS) RT_MODEL_BITS_END };
#undef RT_MODEL_BITS

/** Tables of one shard, constant once made. */
typedef struct rt_packed {
  rt_codec_spec spec;
  rt_id_order order; // owned
  int32_t lse_base;  // 32nds
  rt_rans_model model[RT_N_MODELS];
  rt_rans_numbers numbers[RT_MAX_BITS + 1];    // by m
  uint16_t lg_left[RT_N_LEFT];                 // rt_lg16(), from 1 on
  float value[RT_N_LEVELS], prob[RT_N_LEVELS]; // log-prob of a level, its exp
  /** The slots of the models of GAP and VALUE side by side, so that they are
   *  fetched as soon as the state is known, before the context is. */
  _Alignas(RT_LINE) uint8_t gap_slot[RT_RANS_SCALE][RT_LINE];
  uint32_t value_slot[RT_N_RANGES][RT_RANS_SCALE]; // by density, from below
} rt_packed;

/** Tables with their constants, for models to come; the slots, once they have.
 */
RT_MUST rt_err rt_packed_create(const rt_codec_spec *spec, rt_packed **out);
void rt_packed_fill_slots(rt_packed *packed);
/** Tables from \a rows [n_rows]; from bytes of rt_packed_store(), of which
 *  nothing is believed.  \param[out] out  owned by the caller, who destroys it
 *  even after an error */
RT_MUST rt_err rt_packed_learn(const rt_codec_spec *spec,
                               const rt_logits_row *rows, int64_t n_rows,
                               rt_packed **out);
RT_MUST rt_err rt_packed_load(const rt_codec_spec *spec, rt_bytes_in *in,
                              rt_packed **out);
RT_MUST rt_err rt_packed_store(const rt_packed *packed, rt_bytes *out);
/** Bytes of memory for these tables; nearly those of the fixed parts for tables
 *  that no rt_packed_load() takes. */
size_t rt_packed_bytes(const rt_codec_spec *spec, const unsigned char *tables,
                       size_t n);
void rt_packed_destroy(rt_packed **packed);

/** Append the record of \a row, which keeps its rules; and back. */
RT_MUST rt_err rt_packed_encode(const rt_packed *packed,
                                const rt_logits_row *row, rt_bytes *out);
RT_MUST rt_err rt_packed_decode(const rt_packed *packed, rt_bytes_in *in,
                                rt_logits_row *out);
/** See rt_codec_bound(). */
float rt_packed_bound(float logp);

/** The level of a log-prob: how many steps it is below 0. */
int rt_packed_level(float logp);

/** Which values to expect of a token whose entries span \a range levels. */
int rt_packed_range_context(int range);

/** rt_lg16() of how many entries are left, at least 1. */
static inline int rt_packed_lg_left(const rt_packed *k, size_t left)
{
  return left < RT_N_LEFT ? k->lg_left[left] : rt_lg16(left);
}

/** Steps of a number that fields are kept in, at most 2^28. */
int64_t rt_packed_steps(float x, float per_unit);

#endif
