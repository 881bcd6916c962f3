/** \file target_rule.h
 *  The truncation of a teacher's softmax that the deck requests.  Layer:
 *  distill/teacher. */
#ifndef RT_TARGET_RULE_H
#define RT_TARGET_RULE_H

#include "distill/job/job.h"
#include "distill/teacher/draws.h"
#include "distill/teacher/targets.h"
#include "distill/teacher/truncate.h"

/** The deck's truncation, with k at most V; for draws, all entries are kept. */
rt_truncation rt_target_rule(const rt_job *job);
/** The draws of a live teacher; N is 0 unless teacher.target is sampled. */
rt_draws rt_target_draws(const rt_job *job);

#endif
