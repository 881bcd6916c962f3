/** \file fatal.h
 *  Reports a failure and ends the whole job.  Layer: app. */
#ifndef RT_FATAL_H
#define RT_FATAL_H

#include "base/err.h"
#include "par/comm.h"

/** From now on print the trace of every error, not only of bugs. */
void rt_fatal_show_traces(void);

enum { RT_FATAL_WHO = 128 };
/** How messages name this rank: "rank 3 on host x: "; "" if it is the only one.
 */
void rt_fatal_who(char who[RT_FATAL_WHO]);

/** Print this thread's error to stderr, with its trace if that was asked for or
 *  if it is a bug in Retort.  \a who: "" or as of rt_fatal_who. */
void rt_fatal_print(rt_err err, const char *who);

/** The hook for an error on this rank only, whose peers wait somewhere in MPI:
 *  print it and abort the whole job with its exit code.  The rank on which the
 *  error occurred prints it, even if other ranks know it.  Does not return. */
void rt_fatal_abort(rt_err err);

/** End a job whose ranks have met, without closing MPI and HDF5: rank 0 prints
 *  the error, all ranks exit with its code. */
_Noreturn void rt_fatal_quit(rt_err err);

/** The final agreement of all ranks.  If the peers of a failed rank do not
 *  arrive, here or before, it prints its error and aborts the job.  Collective.
 */
RT_MUST rt_err rt_fatal_meet(const rt_comm *world, rt_err err);

#endif
