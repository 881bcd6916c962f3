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
/** The same, and write raw f32 logits [rows, T, V] of the student to \a path in
 *  the machine's byte order; each rank writes its own part.  Collective. */
RT_MUST rt_err rt_evaluator_write_logits(rt_evaluator *e, const char *path,
                                         rt_part part, int64_t n_rows,
                                         rt_eval_result *out);

#endif
