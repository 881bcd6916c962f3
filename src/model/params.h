/** \file params.h
 *  The tensors of a model, and this rank's tile of each.
 *
 *  Layer: model.  Weights are [out, in], as in Hugging Face files. */
#ifndef RT_PARAMS_H
#define RT_PARAMS_H

#include "base/arena.h"
#include "model/arch.h"
#include "par/grid.h"

/** How a tensor is distributed over tp. */
typedef enum rt_split {
  RT_SPLIT_NONE, /**< complete on every rank (norms; biases added after a sum
                    over tp) */
  RT_SPLIT_ROWS, /**< by output features: q, gate, up, embedding, head; a bias
                    [1, n] along its columns */
  RT_SPLIT_COLS, /**< by input features: o, down */
  RT_SPLIT_KV    /**< like ROWS, by kv head; replicated if tp > G */
} rt_split;

typedef enum rt_init { RT_INIT_NORMAL, RT_INIT_ONES, RT_INIT_ZEROS } rt_init;

typedef struct rt_param {
  char name[96]; /**< Hugging Face name */
  int kind;      /**< its row in model/tensors.h, an rt_tensor_id */
  int64_t rows,
      cols;    /**< of the whole tensor, without padding; vectors are [1, n] */
  bool vector; /**< 1-dimensional in files */
  rt_split split;
  int64_t row0, n_rows; /**< this rank's tile: rows without padding */
  int64_t col0, n_cols;
  int64_t pad_rows; /**< further rows of the tile that are vocabulary padding */
  int n_replicas;   /**< number of tp ranks that hold the same tile */
  bool owner;       /**< this rank is the first of these */
  int bucket;       /**< gradient bucket: 0 embedding (and tied head), 1..L
                         blocks, L+1 final norm and untied head */
  bool decay;       /**< subject to weight decay */
  rt_init init;
  double init_std;
  rt_view w; /**< [n_rows + pad_rows, n_cols] */
  rt_view g; /**< same shape; absent in a model without gradients */
  int64_t shard_row0,
      shard_n;    /**< rows of the tile that this dp rank updates */
  rt_view master; /**< of these rows, if it has another type than w; absent in a
                     model without gradients */
} rt_param;

/** Called with a bucket of tensors. */
typedef rt_err rt_bucket_fn(void *self, int bucket);

/** This dp rank's rows in the type that the optimizer updates and checkpoints
 *  store: the master, or these rows of w. */
rt_view rt_param_master(const rt_param *p);
/** Set rows of the tile from \a row0 on, in w and in the master.  \a rows is on
 *  the host, in any real type.  Reads it before it returns. */
RT_MUST rt_err rt_param_put(const rt_param *p, rt_dev *dev, int64_t row0,
                            rt_view rows);

typedef struct rt_params {
  rt_param *item; // owned [n]
  int n, n_buckets;
  rt_types types;
  rt_view *bucket_grad; // owned [n_buckets]: flat [1, n] gradients, tensor by
                        // tensor, without gaps of their own; or NULL
  const rt_grid *grid;  // borrowed
  rt_comm *comm_kv; // owned: ranks with the same kv heads; NULL if there are no
                    // replicas
  rt_bucket_fn *arrive; /**< waits until a bucket's weights have come from the
                           ranks that updated them; NULL: they are there */
  void *arrive_self;    // borrowed
} rt_params;

/** What memory tensors have beside their weights. */
typedef enum rt_params_use {
  RT_PARAMS_FIXED,  /**< none */
  RT_PARAMS_TRAINED /**< masters and gradients */
} rt_params_use;

/** Lay out all tensors of \a arch for this rank's position in \a grid
 *  (borrowed) and reserve memory in \a arena.  \a p must not move until the
 *  arena is committed.  The caller clears \a p, also after an error.
 *  Collective over the grid. */
RT_MUST rt_err rt_params_init(rt_params *p, const rt_arch *arch,
                              const rt_grid *grid, rt_arena *arena,
                              rt_types types, rt_params_use use);
/** Collective over the grid. */
void rt_params_clear(rt_params *p);

/** How a view of tensor \a i's tile (its weights or gradients) is divided among
 *  the ranks of dp, each of which updates ceil(rows / dp) rows at most.  The
 *  first part of tensor i belongs to rank i % dp, so that vectors and
 * remainders are spread. */
rt_parts rt_param_parts(const rt_params *p, int i, const rt_view *view);

/** Wait until the weights of \a bucket have arrived: before each use of whole
 *  tiles after an update.  Collective over dp, in the same order on all ranks.
 */
RT_MUST rt_err rt_params_arrive(const rt_params *p, int bucket);
/** The same for all buckets. */
RT_MUST rt_err rt_params_arrive_all(const rt_params *p);

/** The gradients of all buckets as one flat view [1, n], after the commit. */
rt_view rt_params_grads(const rt_params *p);
/** Set gradients and vocabulary padding to zero, after the commit. */
void rt_params_zero(rt_params *p, rt_dev *dev);

/** Initialise weights with the same numbers for any layout: normal(0, init_std)
 *  as a function of (seed, tensor, row, column); projections into the residual
 *  stream (o, down) use init_std / sqrt(2 L) (GPT-2); norms are 1, biases 0. */
RT_MUST rt_err rt_params_random(rt_params *p, rt_dev *dev, uint64_t seed);

/** Find a tensor by name; NULL if absent. */
const rt_param *rt_params_find(const rt_params *p, const char *name);

/** Number of elements of this rank's tiles, including padding. */
int64_t rt_params_n_local(const rt_params *p);

#endif
