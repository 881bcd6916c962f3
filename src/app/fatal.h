/** \file fatal.h
 *  How retort says that it failed, and how the whole job ends.  Layer: app. */
#ifndef RT_FATAL_H
#define RT_FATAL_H

#include "base/err.h"
#include "par/comm.h"

/** \a with_trace: where errors passed is printed with them. */
void rt_fatal_setup(bool with_trace);

/** This thread's error on stderr, with its trace when debugging or when it is
 *  our bug.  \a who: "" or "rank 3 on host x: ". */
void rt_fatal_print(rt_err err, const char *who);

/** The hook for an error of this rank alone, whose peers wait somewhere in
 *  MPI: print it and abort the whole job with its exit code.  The rank that had
 *  it speaks, also when others have been told.  Does not return. */
void rt_fatal_abort(rt_err err);

/** The end of a job whose ranks have met and whose MPI and HDF5 must not be
 *  closed: rank 0 prints the error, all exit with its code. */
_Noreturn void rt_fatal_quit(rt_err err);

/** The closing meeting of all ranks: all learn the worst.  An error whose rank
 *  nobody comes to meet, here or before, is printed and aborts the job.
 *  Collective. */
RT_MUST rt_err rt_fatal_meet(const rt_comm *world, rt_err err);

#endif
