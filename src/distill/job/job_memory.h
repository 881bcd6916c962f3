/** \file job_memory.h
 *  What a job needs of memory against what it may have.  Layer: distill.
 *
 *  The plan of a rank is what its process had when the job began, its arenas,
 *  and its parts beside them: each module that allocates more than a few KiB
 *  has one function that says how much, which its allocation uses, too. */
#ifndef RT_JOB_MEMORY_H
#define RT_JOB_MEMORY_H

#include "base/arena.h"
#include "base/limits.h"
#include "distill/job/job.h"

/** What the process has in memory now, before the job makes anything, and what
 *  it will touch of its libraries. */
void rt_job_note_base(rt_job *job);
/** Count the memory that the ranks of \a comm share: what this rank sees, and
 *  of that what others give. */
void rt_job_beside_shared(rt_job *job, const rt_comm *comm);
/** Count \a bytes more for \a what (a literal); a second time adds to it. */
void rt_job_beside(rt_job *job, const char *what, double bytes);

/** A limit of memory, and who is under it. */
typedef struct rt_bound {
  rt_limit limit;
  double need; /**< of all that share it on this node */
} rt_bound;
/** Of all limits of this process (base/limits.h), or run.memory_gib alone when
 *  that is given, the one that \a need bytes on this rank and what the others
 *  need come nearest to, or are farthest over; and the one that slows the
 *  process down, limit.amount 0 when there is none.  Collective. */
RT_MUST rt_err rt_job_memory_bound(const rt_job *job, double need,
                                   rt_bound *hard, rt_bound *soft);

/** How much of a plan that fits is printed. */
typedef enum rt_plan_show {
  RT_PLAN_NOTHING,
  RT_PLAN_SUM,  /**< one line; with --verbose as below */
  RT_PLAN_PARTS /**< arenas, their large ranges, and what is beside them */
} rt_plan_show;
/** RT_ERR_MEM with all parts, naming the limit, when a rank's plan cannot fit;
 *  else rank 0 prints what \a show says.  Collective. */
RT_MUST rt_err rt_job_check_memory(const rt_job *job,
                                   const rt_arena *const *plans, int n_plans,
                                   rt_plan_show show);

#endif
