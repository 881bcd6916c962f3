/** \file logits_out.h
 *  Raw logits of an evaluation into a file.  Layer: distill/eval. */
#ifndef RT_LOGITS_OUT_H
#define RT_LOGITS_OUT_H

#include "distill/eval/evaluate.h"

/** Which, of whom.  All borrowed. */
typedef struct rt_logits_out_spec {
  rt_evaluator *evaluator; /**< committed */
  const char *path;        /**< of the new file */
  rt_part part;
  int64_t n_rows; /**< as of rt_evaluate() */
} rt_logits_out_spec;

/** rt_evaluate(), and raw f32 logits [rows, T, V] of the student into a file,
 * in the machine's byte order: each rank writes its own part.  Collective. */
RT_MUST rt_err rt_logits_out(const rt_logits_out_spec *spec,
                             rt_eval_result *out);

#endif
