/** \file teacher.h
 *  A teacher provides the target of each token: sparse entries, or a dense tile
 *  of logits.  One interface with two implementations: teacher_live.c and
 *  teacher_disk.c.  Layer: distill. */
#ifndef RT_TEACHER_H
#define RT_TEACHER_H

#include "distill/data/batch.h"
#include "distill/job/phases.h"
#include "distill/teacher/draws.h"
#include "distill/teacher/targets.h"
#include "distill/teacher/teacher_model.h"
#include "kernels/truncate.h"

typedef struct rt_teacher rt_teacher;

typedef enum rt_teacher_source {
  RT_TEACHER_NONE,
  RT_TEACHER_LIVE,   /**< runs its model on each micro-batch */
  RT_TEACHER_DATASET /**< takes the entries that a batch read with its rows */
} rt_teacher_source;

/** Where targets come from, and how they are formed.  All borrowed. */
typedef struct rt_teacher_spec {
  rt_teacher_source source;
  bool dense;             /**< tiles of logits instead of entries; only live */
  rt_teacher_model model; /**< from a dataset: only dev, micro_rows and seq */
  rt_phases *phases;      /**< where its time is counted */
  rt_truncation rule;     /**< of entries, with k at most V */
  double tau;             /**< temperature of entries */
  rt_dtype target_type; /**< of probabilities: the student's, for statistics */
  rt_draws draws;       /**< of a live teacher; n is then the rule's k */
  double chunk_bytes;   /**< of a live teacher: size of its logit tile */
} rt_teacher_spec;

/** Plan a teacher; *out is NULL for RT_TEACHER_NONE.  Collective. */
RT_MUST rt_err rt_teacher_create(const rt_teacher_spec *spec, rt_teacher **out);
/** Plans of its memory; returns their number, at most 4. */
int rt_teacher_arenas(const rt_teacher *t, const rt_arena *plans[4]);
/** Memory in bytes on the host, in addition to these plans. */
double rt_teacher_beside(const rt_teacher *t);
/** Allocate, and load a live teacher's weights.  Collective. */
RT_MUST rt_err rt_teacher_commit(rt_teacher *t);
void rt_teacher_destroy(rt_teacher **t);
/** Does it provide dense tiles (teacher.target: full)? */
bool rt_teacher_dense(const rt_teacher *t);

/** Make the targets of row \a r of a batch from its stored entries, into slot
 *  b->slot.  An rt_row_fn, with the teacher as self: the thread that reads the
 *  rows calls it before rt_teacher_begin().  Live teachers need none. */
RT_MUST rt_err rt_teacher_on_row(void *teacher, const rt_batch *b, int64_t r);
/** Start a micro-batch; a live teacher runs its forward.  Collective. */
RT_MUST rt_err rt_teacher_begin(rt_teacher *t, const rt_batch *b);
/** Targets of a chunk of tokens.  Dense: \a tile [n, V_pad / tp] is filled with
 *  the teacher's logits in the student's layout; otherwise \a tile is ignored.
 */
RT_MUST rt_err rt_teacher_chunk(rt_teacher *t, int64_t tok0, int64_t n,
                                rt_view tile, rt_targets *out);

#endif
