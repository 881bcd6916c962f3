/** \file packed.h
 *  Records and tables of the encodings `packed` and `sampled`.  Layer: io, for
 *  io/codec only.  Format: doc/formats.md, "packed and sampled". */
#ifndef RT_PACKED_H
#define RT_PACKED_H

#include "io/codec/codec_spec.h"
#include "io/codec/id_order.h"

/** M(name, models, m): kind of number, number of contexts, precision m. */
#define RT_PACKED_MODELS(M)                                                    \
  M(COUNT, 1, 3) /* maximum number of entries minus that of the token */       \
  M(TOP, 1, 3)   /* level of its most probable entry */                        \
  M(RANGE, 1, 5) /* level of its least probable entry, minus TOP */            \
  M(LSE, 1, 3)   /* log-sum-exp in 32nds minus the base, zigzag */             \
  M(LABEL, 1, 3) /* 1 + position of the corpus token in the entries; 0 none */ \
  M(RANK, 1, 2)  /* rank of a corpus token */                                  \
  M(LEVEL, 1, 5) /* level of its log-prob */                                   \
  M(ENTROPY, 1, 4)   /* in 64ths */                                            \
  M(DEVIATION, 1, 3) /* in 64ths */                                            \
  M(GAP, RT_GAP_CONTEXTS, 2)                                                   \
  M(VALUE, (RT_N_RANGES * RT_DENSITIES), 5)

enum { RT_N_RANGES = 12, RT_N_LEVELS = 2048, RT_N_LEFT = 4096 };
#define RT_MODEL_ENUM(name, n, m)                                              \
  RT_M_##name, RT_M_##name##_LAST = RT_M_##name + (n)-1,
enum { RT_PACKED_MODELS(RT_MODEL_ENUM) RT_N_MODELS };
#undef RT_MODEL_ENUM
#define RT_MODEL_BITS(name, n, m) RT_##name##_BITS = (m),
enum { RT_PACKED_MODELS(RT_MODEL_BITS) RT_MODEL_BITS_END };
#undef RT_MODEL_BITS

/** Tables of one shard, immutable once created. */
typedef struct rt_packed {
  rt_codec_spec spec;
  rt_id_order order; // owned
  int32_t lse_base;  // in 32nds
  rt_rans_model model[RT_N_MODELS];
  uint16_t lg_left[RT_N_LEFT]; // rt_lg16(i + 1)
  float value[RT_N_LEVELS],
      prob[RT_N_LEVELS]; // log-prob of a level, and its exp
  // by range: the symbols of a slot for all densities, so that they can be
  // loaded before the density is known
  uint8_t value_slot[RT_N_RANGES][RT_RANS_SCALE][RT_DENSITIES];
} rt_packed;

/** Create tables with their constants but without models. */
RT_MUST rt_err rt_packed_create(const rt_codec_spec *spec, rt_packed **out);
/** Build tables from \a rows [n_rows], or read them from untrusted bytes of
 *  rt_packed_store().
 *  \param[out] out  owned by the caller, who destroys it even after an error */
RT_MUST rt_err rt_packed_learn(const rt_codec_spec *spec,
                               const rt_logits_row *rows, int64_t n_rows,
                               rt_packed **out);
RT_MUST rt_err rt_packed_load(const rt_codec_spec *spec, rt_bytes_in *in,
                              rt_packed **out);
RT_MUST rt_err rt_packed_store(const rt_packed *packed, rt_bytes *out);
/** Memory in bytes for these tables; for invalid tables, about that of the
 *  fixed parts. */
size_t rt_packed_bytes(const rt_codec_spec *spec, const unsigned char *tables,
                       size_t n);
void rt_packed_destroy(rt_packed **packed);

/** Append the record of a valid \a row; and decode a record. */
RT_MUST rt_err rt_packed_encode(const rt_packed *packed,
                                const rt_logits_row *row, rt_bytes *out);
RT_MUST rt_err rt_packed_decode(const rt_packed *packed, rt_bytes_in *in,
                                rt_logits_row *out);

/** A record and the row that it becomes. */
typedef struct rt_packed_record {
  const rt_packed *k; // borrowed
  rt_bytes_in in;
  rt_logits_row *row; // borrowed
} rt_packed_record;
/** Decode \a n <= RT_LANES records, side by side if the processor can.  An
 *  error is that of any of them. */
RT_MUST rt_err rt_packed_decode_all(rt_packed_record *records, int n);

/** After the models: set what follows from them. */
void rt_packed_complete(rt_packed *packed);

/** Precision of the numbers of a model. */
int rt_packed_bits(int model);

/** Quantisation level of a log-prob. */
int rt_packed_level(float logp);

/** Context for the values of a token whose entries span \a range levels. */
int rt_packed_range_context(int range);

/** rt_lg16() of the number of entries left, at least 1. */
static inline int rt_packed_lg_left(const rt_packed *k, size_t left)
{
  return left < RT_N_LEFT ? k->lg_left[left] : rt_lg16(left);
}

/** A field in integer steps of 1 / \a per_unit, at most 2^28. */
int64_t rt_packed_steps(float x, float per_unit);

#endif
