/** \file merge.h
 *  What the kernels that merge shards' results have in common.  Layer: kernels.
 */
#ifndef K_MERGE_H
#define K_MERGE_H

#include "kernels/shards.h"

/** The statistics of \a n tokens from all shards: one row per shard. */
typedef struct k_merged {
  const rt_view *stats; // borrowed: f64 [shards, n * K_N_STAT]
  int64_t n;
} k_merged;

/** Those of token \a i. */
rt_shards k_merged_shards(const k_merged *m, int64_t i);
/** Its log-sum-exp. */
double k_merged_lse(const k_merged *m, int64_t i);

/** Are there statistics for all tokens, and \a each results of each of them in
 *  \a all (NULL: none to look at)?  If not, set the error. */
bool k_merged_fit(k_ctx *ctx, const k_merged *m, const rt_view *all,
                  int64_t each);
/** Say what is known of each token, if \a about is present, and complain of
 *  logits that are not finite. */
void k_merged_about(k_ctx *ctx, const k_merged *m, const k_logits *of,
                    const rt_view *about);

#endif
