/** \file id_order.h
 *  An order of all ids, most frequent first, and estimates of the distance
 *  between the members of a set in this order.  Layer: io, for io/codec only.
 *
 *  Ids that occur in the sample are sorted into classes of similar frequency (a
 *  quarter of an octave), and within a class by id; all other ids follow by id.
 *  The position of an id in this order is its rank, in [0, V).  Format:
 *  doc/formats.md, "Tables". */
#ifndef RT_ID_ORDER_H
#define RT_ID_ORDER_H

#include "io/codec/rans.h"

enum { RT_ORDER_CLASSES = 128, RT_GAP_CONTEXTS = 37 };

/** What decoding needs to know of a rank, in one word. */
typedef struct rt_rank {
  uint32_t id;
  uint16_t near, /**< its rt_order_near() */
      after;     /**< that of the next rank, where that was seen too */
} rt_rank;

typedef struct rt_id_order {
  uint64_t vocab;
  uint32_t n_seen;
  int n_classes; // the last class contains the ids that were not seen
  rt_rank *at;   // owned [n_seen], by rank
  uint32_t *sorted,
      *rank_of;    // owned [n_seen]: ids in ascending order; their ranks
  uint32_t *dense; // owned [n_dense]: rank + 1 of an id, or NULL
  uint64_t n_dense;
  uint64_t end[RT_ORDER_CLASSES];    // one past the last rank of a class
  uint32_t beyond[RT_ORDER_CLASSES]; // mass of all later classes, in units of
                                     // one id of the class
} rt_id_order;

/** Build the order from a sample \a ids [n], in any order, with repetitions. */
RT_MUST rt_err rt_id_order_learn(uint64_t vocab, const uint32_t *ids, int64_t n,
                                 rt_id_order *out);
RT_MUST rt_err rt_id_order_store(const rt_id_order *order, rt_bytes *out);
/** Read an order from untrusted bytes; advances *at. */
RT_MUST rt_err rt_id_order_load(uint64_t vocab, const unsigned char *data,
                                size_t n, size_t *at, const char *name,
                                rt_id_order *out);
/** Memory in bytes that it takes after loading \a data [n]. */
size_t rt_id_order_bytes(uint64_t vocab, const unsigned char *data, size_t n);
void rt_id_order_clear(rt_id_order *order);

uint32_t rt_id_order_rank(const rt_id_order *order, uint32_t id);
uint32_t rt_id_order_id(const rt_id_order *order, uint32_t rank);

/** 16 log2(x), approximately; x > 0. */
static inline int rt_lg16(uint64_t x)
{
  static const uint8_t part[16] = {0, 1,  3,  4,  5,  6,  7,  8,
                                   9, 10, 11, 12, 13, 14, 15, 15};
  const int top = 63 - __builtin_clzll(x);
  return 16 * top + part[(top >= 4 ? x >> (top - 4) : x << (4 - top)) & 15];
}

enum { RT_DENSITIES = 4 };

/** For rank \a rank in class \a c: 16 log2 of the mass from there on, in units
 *  of one id of the class; the two lowest bits say how rare these ids are. */
static inline unsigned rt_order_near_of(const rt_id_order *o, int c,
                                        uint64_t rank)
{
  const uint64_t mass = o->beyond[c] + (o->end[c] - rank);
  const int density = c >> 4 < RT_DENSITIES ? c >> 4 : RT_DENSITIES - 1;
  return (unsigned)(rt_lg16(mass) << 2 | density);
}

/** The same, from a table where there is one; \a rank < V. */
static inline unsigned rt_order_near(const rt_id_order *o, uint64_t rank)
{
  return rank < o->n_seen ? o->at[rank].near
                          : rt_order_near_of(o, o->n_classes - 1, rank);
}

/** Context of a gap: the expected distance to the next of the remaining members
 *  (given as their rt_lg16()), in half octaves. */
static inline unsigned rt_gap_context(unsigned near, int lg_left)
{
  const unsigned biased =
      (unsigned)((int)(near >> 2) - lg_left + 4 + 1024) >> 3;
  return biased < 126                         ? 0
         : biased > 126 + RT_GAP_CONTEXTS - 1 ? RT_GAP_CONTEXTS - 1
                                              : biased - 126;
}

#endif
