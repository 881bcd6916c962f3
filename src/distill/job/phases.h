/** \file phases.h
 *  Time accounting: every moment belongs to exactly one phase.  Layer: distill.
 */
#ifndef RT_PHASES_H
#define RT_PHASES_H

#include "par/comm.h"
#include <stdio.h>

#define RT_PHASE_LIST(X)                                                       \
  X(OTHER, "other")                                                            \
  X(SETUP, "set-up")                                                           \
  X(INPUT, "wait for input")                                                   \
  X(TEACHER, "teacher forward")                                                \
  X(STORED, "stored logits")                                                   \
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

/** Plain data; zero it, then rt_phases_start().  Communication within a phase
 *  is counted separately in comm_s, so that phases plus communication add up to
 *  the total. */
typedef struct rt_phases {
  double seconds[RT_N_PHASES];
  double comm_s;
  double moved_before; // rt_ranks_moved_seconds() at rt_phases_start
  rt_phase now;
  double since, comm_since, began;
} rt_phases;

void rt_phases_start(rt_phases *p, rt_phase first);
/** End the current phase and start \a next; returns the previous one, so that a
 *  caller can restore it: const rt_phase was = rt_phases_to(p, X). */
rt_phase rt_phases_to(rt_phases *p, rt_phase next);
const char *rt_phase_name(rt_phase phase);
/** Seconds of a phase so far, including the current one. */
double rt_phases_seconds(const rt_phases *p, rt_phase phase);

/** Lines of the final table: the phases, then communication in two parts: data
 *  transfer, and waiting for other ranks.  For the last few operations of each
 *  group (up to 63) all time counts as waiting. */
enum { RT_PHASE_TRANSFER = RT_N_PHASES, RT_PHASE_RANKS, RT_PHASE_LINES };
const char *rt_phase_line_name(int line);
/** Seconds of each line, over all ranks. */
typedef struct rt_phase_table {
  double min[RT_PHASE_LINES], avg[RT_PHASE_LINES], max[RT_PHASE_LINES];
} rt_phase_table;
/** Compute the table on all ranks.  Collective. */
RT_MUST rt_err rt_phases_gather(rt_phases *p, const rt_comm *world,
                                rt_phase_table *out);
/** Print the table, with shares that add up to 100 %. */
void rt_phases_print(const rt_phase_table *table, FILE *to);
/** Print it with rt_info. */
void rt_phases_say(const rt_phase_table *table);

#endif
