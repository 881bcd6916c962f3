/** \file job_memory.h
 *  Compares the memory that a job needs with the memory that it may use.
 *  Layer: distill.
 *
 *  The plan of a rank consists of the memory of its process at the start of the
 *  job, its arenas, and further parts: each module that allocates more than a
 *  few KiB has a function that computes its size, which its allocation uses,
 *  too. */
#ifndef RT_JOB_MEMORY_H
#define RT_JOB_MEMORY_H

#include "base/arena.h"
#include "base/limits.h"
#include "distill/job/job.h"

/** Record the current memory of the process, before the job allocates anything,
 *  and what it will touch of its libraries. */
void rt_job_note_base(rt_job *job);
/** Add what the library of products keeps, by a product as large as those of
 *  the job's models. */
RT_MUST rt_err rt_job_note_products(rt_job *job);
/** Count the memory that the ranks of \a comm share: what this rank sees, and
 *  what others contribute. */
void rt_job_beside_shared(rt_job *job, const rt_comm *comm);
/** Add \a bytes for \a what (a literal); repeated calls add up. */
void rt_job_beside(rt_job *job, const char *what, double bytes);

/** A memory limit, and the total that it applies to. */
typedef struct rt_bound {
  rt_limit limit;
  double need; /**< total of all ranks of this node that share it */
} rt_bound;
/** Of all limits of this process (base/limits.h), or only run.memory_gib if
 *  set, the one that is tightest for \a need bytes on this rank and what the
 *  other ranks need; and the one that slows the process down, with limit.amount
 *  0 if there is none.  Collective. */
RT_MUST rt_err rt_job_memory_bound(const rt_job *job, double need,
                                   rt_bound *hard, rt_bound *soft);

/** Would the plan with \a more bytes on this rank stay within all limits, also
 *  those that only slow it down?  The same answer on all ranks.  Collective. */
RT_MUST rt_err rt_job_fits(const rt_job *job, const rt_arena *const *plans,
                           int n_plans, double more, bool *fits);

/** How much of a plan that fits is printed. */
typedef enum rt_plan_show {
  RT_PLAN_NOTHING,
  RT_PLAN_SUM,  /**< one line; with --verbose as RT_PLAN_PARTS */
  RT_PLAN_PARTS /**< arenas, their large ranges, and further parts */
} rt_plan_show;
/** RT_ERR_MEM, with all parts and the limit, if a rank's plan cannot fit;
 *  otherwise rank 0 prints what \a show says.  Collective. */
RT_MUST rt_err rt_job_check_memory(const rt_job *job,
                                   const rt_arena *const *plans, int n_plans,
                                   rt_plan_show show);

#endif
