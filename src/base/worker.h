/** \file worker.h
 *  A thread that does one piece of work at a time beside its owner.
 *  Layer: base.
 *
 *  The work must not call what only the main thread may (MPI, HDF5).  All
 *  functions belong to the owner's thread. */
#ifndef RT_WORKER_H
#define RT_WORKER_H

#include "base/err.h"

typedef struct rt_worker rt_worker;

/** A piece of work; its error is returned by rt_worker_wait. */
typedef rt_err rt_work_fn(void *work);

RT_MUST rt_err rt_worker_create(rt_worker **out);
/** Waits for the work in hand.  NULL is accepted. */
void rt_worker_destroy(rt_worker **worker);

/** Begin \a fn(work).  The worker must be idle: it was waited for. */
void rt_worker_start(rt_worker *worker, rt_work_fn *fn, void *work);
/** Has the work that was started not ended yet?  Does not wait. */
bool rt_worker_busy(rt_worker *worker);
/** Has it ended with an error?  Does not wait. */
bool rt_worker_failed(rt_worker *worker);
/** Seconds that all work that has ended took. */
double rt_worker_seconds(rt_worker *worker);
/** Wait for the end of the work that was started, if any, and return its error,
 *  with its text, once. */
RT_MUST rt_err rt_worker_wait(rt_worker *worker);
/** Wait for that end, and leave its error to rt_worker_wait. */
void rt_worker_rest(rt_worker *worker);
/** Wait for that end, and drop its error. */
void rt_worker_forget(rt_worker *worker);

#endif
