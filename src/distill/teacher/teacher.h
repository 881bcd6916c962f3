/** \file teacher.h
 *  A teacher gives the target of each token: sparse entries, or a dense tile of
 *  logits.  One interface, two rooms: teacher_live.c, teacher_disk.c.
 *  Layer: distill. */
#ifndef RT_TEACHER_H
#define RT_TEACHER_H

#include "distill/data/batch.h"
#include "distill/teacher/truncate.h"

/** Targets of tokens [tok0, tok0 + n) of the micro-batch, on the device. */
typedef struct rt_targets {
  rt_view count, ids, t;   /**< sparse: i32 [n, 1], i32 [n, K], real [n, K] */
  const int32_t *h_count;  /**< sparse: [n] count again, host */
  const double *entropy;   /**< sparse: [n] entropy of the target, host */
  const float *label_logp; /**< sparse: [n] teacher's log-prob of the label */
  bool dense;              /**< then the teacher wrote the given tile instead */
} rt_targets;

typedef struct rt_teacher rt_teacher;

/** From the deck: NULL in *out when teacher.source is none.  Collective. */
RT_MUST rt_err rt_teacher_create(const rt_job *job, rt_teacher **out);
/** Plans of its memory; returns how many of at most 4. */
int rt_teacher_arenas(const rt_teacher *t, const rt_arena *plans[4]);
/** Allocate, and load a live teacher's weights.  Collective. */
RT_MUST rt_err rt_teacher_commit(rt_teacher *t, rt_job *job);
void rt_teacher_destroy(rt_teacher **t);
/** Does it fill dense tiles (teacher.target: full)? */
bool rt_teacher_dense(const rt_teacher *t);

/** A new micro-batch: a live teacher runs its forward.  Collective. */
RT_MUST rt_err rt_teacher_begin(rt_teacher *t, rt_job *job, const rt_batch *b);
/** Targets of a chunk.  Dense: \a tile [n, V_pad / tp] is filled with the
 *  teacher's logits in the student's layout; else \a tile is ignored. */
RT_MUST rt_err rt_teacher_chunk(rt_teacher *t, int64_t tok0, int64_t n,
                                rt_view tile, rt_targets *out);

/** --- for capture: a live teacher's sparse entries, tokens x K --- */
typedef struct rt_entries {
  int64_t n, k;      /**< tokens, room per token */
  int32_t *count;    /**< [n] */
  int32_t *ids;      /**< [n, k], largest first, ties by id */
  float *logp;       /**< [n, k] log-prob of the full softmax; or of draws:
                          log(how often / N) */
  float *lse;        /**< [n] log-sum-exp of the raw logits */
  float *label_logp; /**< [n] */
  float *entropy;    /**< [n] of the full softmax, nats; NULL: not wanted */
  float *deviation;  /**< [n] standard deviation of the raw logits over V; both
                          or none */
} rt_entries;

/** Rows on the host, each array [n_rows, T]; borrowed. */
typedef struct rt_host_rows {
  const int32_t *tok, *pos, *doc_start, *label;
  const int64_t *row; /**< [n_rows] of the stream, for draws */
  int64_t n_rows;
} rt_host_rows;

/** Random-sampling KD (arXiv 2503.16870): instead of the largest entries, N ids
 *  drawn from the full softmax, with how often each came.  A draw is a function
 *  of (seed, row of the stream, token, number); of tp by rounding only. */
typedef struct rt_draws {
  int64_t n; /**< N; 0: truncate */
  uint64_t seed;
} rt_draws;

/** A model and its truncating head: rows to entries, exact over the vocabulary
 *  shards of its grid.  Row by row, so that the entries of a row are a function
 *  of the row, the weights, T, tp and chunk_bytes, not of the rows beside it:
 *  BLAS rounds a token by its place in the batch. */
typedef struct rt_trunc_head rt_trunc_head;
typedef struct rt_trunc_spec {
  rt_model *model;     // borrowed; has room for one row of seq tokens
  const rt_grid *grid; // borrowed
  rt_dev *dev;         // borrowed
  rt_truncation rule;
  rt_draws draws;
  double chunk_bytes; /**< of its logit tile */
  int64_t seq;        /**< T */
  bool takes_tiles;   /**< rt_trunc_head_take only: no forward, no own tile */
} rt_trunc_spec;
RT_MUST rt_err rt_trunc_head_create(const rt_trunc_spec *spec,
                                    rt_trunc_head **out);
const rt_arena *rt_trunc_head_arena(const rt_trunc_head *th);
RT_MUST rt_err rt_trunc_head_commit(rt_trunc_head *th);
void rt_trunc_head_destroy(rt_trunc_head **th);
/** Forward of the rows and their entries, into caller's arrays (k = the rule's
 *  top_k, at most V).  The same on every rank of the tp group.
 *  Collective over tp. */
RT_MUST rt_err rt_trunc_head_run(rt_trunc_head *th, const rt_host_rows *rows,
                                 rt_entries *out);
/** The same from logits that are there already: \a tile [n, V_pad / tp] of
 *  tokens [tok0, tok0 + n) of \a rows.  Collective over tp. */
RT_MUST rt_err rt_trunc_head_take(rt_trunc_head *th, rt_view tile,
                                  const rt_host_rows *rows, int64_t tok0,
                                  rt_entries *out);

#endif
