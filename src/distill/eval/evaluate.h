/** \file evaluate.h
 *  Held-out quality of a model.  Layer: distill. */
#ifndef RT_EVALUATE_H
#define RT_EVALUATE_H

#include "distill/job/job.h"
#include "distill/data/batch.h"

typedef struct rt_eval_result {
  int64_t tokens;
  double loss; /**< cross-entropy, nats per token */
  double ppl;  /**< exp(loss) */
  double top1; /**< share of tokens whose argmax is the text's token */
  double ece;  /**< expected calibration error, 15 equal bins of top-1 prob */
  bool with_teacher;
  double kl;    /**< mean KL(teacher || student), full vocabulary, nats */
  double agree; /**< share of tokens where both argmax agree */
} rt_eval_result;

typedef struct rt_evaluator rt_evaluator;

/** Evaluates \a student (borrowed: the trainer's, or a loaded one); with
 *  eval.teacher it owns a live teacher as well, of any tp and padding.
 *  Collective. */
RT_MUST rt_err rt_evaluator_create(rt_job *job, rt_model *student,
                                   rt_evaluator **out);
int rt_evaluator_arenas(const rt_evaluator *e, const rt_arena *plans[4]);
RT_MUST rt_err rt_evaluator_commit(rt_evaluator *e);
void rt_evaluator_destroy(rt_evaluator **e);
/** The first \a n_rows of a part (0: all; the rest of the last full batch is
 *  included: every row exactly once, over any layout). Collective. */
RT_MUST rt_err rt_evaluate(rt_evaluator *e, rt_part part, int64_t n_rows,
                           rt_eval_result *out);
/** The same, and raw f32 logits [rows, T, V] of the student into \a path, in
 *  the machine's byte order: each rank writes its own part.  Collective. */
RT_MUST rt_err rt_evaluator_write_logits(rt_evaluator *e, const char *path,
                                         rt_part part, int64_t n_rows,
                                         rt_eval_result *out);

#endif
