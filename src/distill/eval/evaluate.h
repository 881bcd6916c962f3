/** \file evaluate.h
 *  Evaluation of a model on held-out rows.  Layer: distill. */
#ifndef RT_EVALUATE_H
#define RT_EVALUATE_H

#include "distill/job/job.h"
#include "distill/data/batch.h"

typedef struct rt_eval_result {
  int64_t tokens;
  double loss; /**< cross-entropy, nats per token */
  double ppl;  /**< exp(loss) */
  double top1; /**< fraction of tokens whose argmax is the label */
  double ece;  /**< expected calibration error, 15 equal bins of top-1
                  probability */
  bool with_teacher;
  double kl;    /**< mean KL(teacher || student), full vocabulary, nats */
  double agree; /**< fraction of tokens on which both argmax agree */
} rt_eval_result;

typedef struct rt_evaluator rt_evaluator;

/** Create an evaluator of \a student (borrowed: the trainer's, or a loaded
 *  one).  With eval.teacher it also owns a live teacher, of any tp and padding.
 *  Collective. */
RT_MUST rt_err rt_evaluator_create(rt_job *job, rt_model *student,
                                   rt_evaluator **out);
int rt_evaluator_arenas(const rt_evaluator *e, const rt_arena *plans[4]);
RT_MUST rt_err rt_evaluator_commit(rt_evaluator *e);
void rt_evaluator_destroy(rt_evaluator **e);
/** Evaluate the first \a n_rows rows of a part (0: all).  Every row counts
 *  exactly once on any layout, including those of an incomplete last batch.
 *  Collective. */
RT_MUST rt_err rt_evaluate(rt_evaluator *e, rt_part part, int64_t n_rows,
                           rt_eval_result *out);
/** Called with each tile of the student's logits, [n, V_pad / tp], of the
 * tokens from \a tok0 on, counted from the first row of the part. */
typedef rt_err rt_eval_tile_fn(void *self, rt_view tile, int64_t tok0);
/** From now on call \a fn with every tile (NULL: no longer). */
void rt_evaluator_show(rt_evaluator *e, rt_eval_tile_fn *fn, void *self);

#endif
