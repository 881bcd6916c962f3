/** \file target_rule.h
 *  Which entries the deck keeps of a teacher's softmax.  Layer:
 * distill/teacher.
 */
#ifndef RT_TARGET_RULE_H
#define RT_TARGET_RULE_H

#include "distill/job/job.h"
#include "distill/teacher/draws.h"
#include "distill/teacher/targets.h"
#include "distill/teacher/truncate.h"

/** The deck's truncation, with k at most V; or of draws, all of them. */
rt_truncation rt_target_rule(const rt_job *job);
/** Of a live teacher; N is 0 unless teacher.target is sampled. */
rt_draws rt_target_draws(const rt_job *job);

#endif
