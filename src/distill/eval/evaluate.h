/** \file evaluate.h
 *  Evaluation of a model on held-out rows.  Layer: distill. */
#ifndef RT_EVALUATE_H
#define RT_EVALUATE_H

#include "distill/data/batch.h"
#include "distill/job/phases.h"
#include "distill/teacher/teacher_model.h"
#include "model/model.h"

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

/** A model and the rows to evaluate it on.  All borrowed. */
typedef struct rt_evaluator_spec {
  const rt_comm *world;
  const rt_grid *grid; /**< of the student */
  rt_dev *dev;
  rt_model *student;               /**< a trainer's, or a loaded one */
  const rt_teacher_model *teacher; /**< to compare with, of any tp and padding;
                                      NULL: none.  Copied */
  rt_rows rows;                    /**< with a corpus */
  int64_t micro_rows;              /**< rows of a batch */
  double chunk_bytes;              /**< size of the logit tiles */
  rt_phases *phases;               /**< where its time is counted */
  void (*beat)(int64_t row, const char *phase); /**< called for each batch */
} rt_evaluator_spec;

/** Plan an evaluator.  Collective. */
RT_MUST rt_err rt_evaluator_create(const rt_evaluator_spec *spec,
                                   rt_evaluator **out);
const rt_evaluator_spec *rt_evaluator_about(const rt_evaluator *e);
int rt_evaluator_arenas(const rt_evaluator *e, const rt_arena *plans[4]);
/** Memory in bytes on the host, in addition to these plans. */
double rt_evaluator_beside(const rt_evaluator *e);
/** Allocate, and load the teacher.  Collective. */
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
