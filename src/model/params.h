/** \file params.h
 *  A model's tensors: one table row per tensor, and this rank's tile of each.
 *
 *  Layer: model.  Weights are [out, in], as in Hugging Face files. */
#ifndef RT_PARAMS_H
#define RT_PARAMS_H

#include "base/arena.h"
#include "model/arch.h"
#include "par/grid.h"

/** How a tensor lies over tp. */
typedef enum rt_split {
  RT_SPLIT_NONE, /**< whole on every rank (norms; biases after a sum) */
  RT_SPLIT_ROWS, /**< output features: q, gate, up, embedding, head; a vector
                      [1, n] of output features (a bias) along its cols */
  RT_SPLIT_COLS, /**< input features: o, down */
  RT_SPLIT_KV    /**< as ROWS, by kv head; replicated when tp > G */
} rt_split;

typedef enum rt_init { RT_INIT_NORMAL, RT_INIT_ONES, RT_INIT_ZEROS } rt_init;

typedef struct rt_param {
  char name[96]; /**< Hugging Face name */
  int kind;      /**< its row, an rt_tensor_id (model/tensors.h) */
  int64_t rows,
      cols;    /**< whole tensor, true sizes; vectors are [1, n] in cols */
  bool vector; /**< 1-D in files */
  rt_split split;
  int64_t row0, n_rows; /**< this rank's tile, true rows (without padding) */
  int64_t col0, n_cols;
  int64_t pad_rows; /**< further rows of the tile that are vocabulary padding */
  int n_replicas;   /**< tp ranks that hold the same tile */
  bool owner;       /**< this rank is the first of them */
  int bucket;       /**< gradient bucket: 0 embedding (and tied head), 1..L
                         blocks, L+1 final norm and untied head */
  bool decay;       /**< takes weight decay */
  rt_init init;
  double init_std;
  rt_view w; /**< [n_rows + pad_rows, n_cols] */
  rt_view g; /**< the same shape; absent without gradients */
} rt_param;

typedef struct rt_params {
  rt_param *item; // owned [n]
  int n, n_buckets;
  rt_view *bucket_grad; // owned [n_buckets]: flat [1, n] gradients, tensor by
                        // tensor, each filled up to 64 bytes; or NULL
  const rt_grid *grid;  // borrowed
  rt_comm *comm_kv; // owned: ranks with the same kv head, NULL if no replicas
} rt_params;

/** Lay out all tensors of \a arch on this rank's place in \a grid (borrowed)
 *  and reserve memory in \a arena; \a p must stay where it is until the arena
 * is committed.  The caller clears \a p, also after an error.  Collective over
 * the grid (comm_kv). */
RT_MUST rt_err rt_params_init(rt_params *p, const rt_arch *arch,
                              const rt_grid *grid, rt_arena *arena,
                              rt_dtype real, bool with_grad);
/** Collective, as the start was. */
void rt_params_clear(rt_params *p);

/** Fill gradients and vocabulary padding with zeros, after the commit. */
void rt_params_zero(rt_params *p, rt_dev *dev);

/** Random start, the same numbers for any layout: normal(0, init_std) by
 *  (seed, tensor, row, col); residual outputs (o, down) get
 *  init_std / sqrt(2 L) (GPT-2); norms 1, biases 0. */
RT_MUST rt_err rt_params_random(rt_params *p, rt_dev *dev, uint64_t seed);

/** Row of a name, NULL when absent. */
const rt_param *rt_params_find(const rt_params *p, const char *name);

/** Elements of this rank's tiles, padding included. */
int64_t rt_params_n_local(const rt_params *p);

#endif
