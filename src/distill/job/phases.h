/** \file phases.h
 *  Where the time goes: every moment belongs to exactly one phase.
 *  Layer: distill. */
#ifndef RT_PHASES_H
#define RT_PHASES_H

#include "par/comm.h"
#include <stdio.h>

#define RT_PHASE_LIST(X)                                                       \
  X(OTHER, "other")                                                            \
  X(SETUP, "set-up")                                                           \
  X(INPUT, "wait for input")                                                   \
  X(TEACHER, "teacher forward")                                                \
  X(FORWARD, "student forward")                                                \
  X(LOSS, "head and loss")                                                     \
  X(BACKWARD, "student backward")                                              \
  X(REDUCE, "gradient sum wait")                                               \
  X(OPTIMIZER, "clip and update")                                              \
  X(EVAL, "evaluation")                                                        \
  X(WRITE, "dataset writing")                                                  \
  X(CHECKPOINT, "checkpoint")                                                  \
  X(LOG, "logging")

#define RT_PHASE_ENUM(name, text) RT_PHASE_##name,
typedef enum rt_phase { RT_PHASE_LIST(RT_PHASE_ENUM) RT_N_PHASES } rt_phase;
#undef RT_PHASE_ENUM

/** Plain data; zero it, then rt_phases_start(). Communication inside a phase is
 *  split off into comm_s, so that phases plus communication add up to the
 * whole. */
typedef struct rt_phases {
  double seconds[RT_N_PHASES];
  double comm_s;
  rt_phase now;
  double since, comm_since, began;
} rt_phases;

void rt_phases_start(rt_phases *p, rt_phase first);
/** Close the current phase, open \a next; returns the closed one's name so that
 *  a caller can go back:  const rt_phase was = rt_phases_to(p, X). */
rt_phase rt_phases_to(rt_phases *p, rt_phase next);
const char *rt_phase_name(rt_phase phase);
/** Seconds of a phase so far (the open one included). */
double rt_phases_seconds(const rt_phases *p, rt_phase phase);
/** The end table: min, average, max over ranks and share, which add up to 100
 * %. Collective; printed by rank 0 to \a to. */
RT_MUST rt_err rt_phases_print(rt_phases *p, const rt_comm *world, FILE *to);

#endif
