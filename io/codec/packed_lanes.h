/** \file packed_lanes.h
 *  Entries of several tokens, of different records, decoded side by side.
 *  Layer: io, for io/codec only.
 *
 *  Each entry depends on the one before it through five loads, so a single
 *  record leaves a core waiting most of the time. */
#ifndef RT_PACKED_LANES_H
#define RT_PACKED_LANES_H

#include "io/codec/packed_reader.h"

enum { RT_LANES = 16, RT_LANE_GROUP = 8 };

/** A token in each lane, lane by lane.  Addresses are numbers, those of raw
 *  bits are of bits. */
typedef struct rt_lanes {
  _Alignas(64) uint64_t gap[RT_LANES]; /**< state of gaps */
  uint64_t value[RT_LANES];            /**< state of values */
  uint64_t word[RT_LANES];             /**< next word */
  uint64_t bit[RT_LANES];              /**< next raw bit */
  uint64_t next[RT_LANES], left[RT_LANES], near[RT_LANES];
  uint64_t last_bit[RT_LANES]; /**< from here on 64 bits can be loaded */
  uint64_t ranks[RT_LANES], n_seen[RT_LANES];
  uint64_t gaps[RT_LANES], values[RT_LANES]; /**< models */
  uint64_t value_slots[RT_LANES];            /**< symbols of their slots */
  uint64_t max[RT_LANES], span[RT_LANES], key[RT_LANES];
  uint16_t on; /**< a bit for each lane that has a token */
} rt_lanes;

/** Does this processor decode side by side? */
bool rt_lanes_permitted(void);
/** Put the entries of a reader's token that are left into lane \a i, or return
 *  false if they cannot be decoded there. */
bool rt_lanes_put(rt_lanes *x, int i, const rt_packed_reader *r);
/** Take the lane's token back, with what was decoded of it. */
void rt_lanes_get(rt_lanes *x, int i, rt_packed_reader *r);
/** Decode \a n entries in each lane that is on; all have as many left.  Returns
 *  the number of a group whose next entry must be read by its readers, as it
 *  is rare or invalid; -1: none. */
int rt_lanes_take(rt_lanes *x, uint64_t n);

#endif
