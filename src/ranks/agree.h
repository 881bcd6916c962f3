/** \file agree.h
 *  All ranks learn the worst, and none waits for ever where one has failed.
 *
 *  Layer: ranks, below par and io, which build on it.
 *
 *  A rank that fails may leave its peers anywhere: in the next agreement, in a
 *  later one, in a collective of another communicator.  So:
 *   - agreements travel on a communicator of their own, an attribute of the
 *     caller's: they meet each other, and never another collective;
 *   - any two of them match: who comes with an error tells all who stand in
 *     another agreement of the same ranks, and all of them leave.  An error
 * that all those ranks have passes every later agreement without a word;
 *   - who comes with an error waits some seconds for its peers.  When they do
 *     not come, they wait in something else: the error goes up to app, which
 *     ends the job (rt_agree_alone);
 *   - ranks that come without an error to different agreements are a bug, which
 *     all of them report. */
#ifndef RT_AGREE_H
#define RT_AGREE_H

#include "base/err.h"
#include <mpi.h>
#include <stdint.h>

/** "src/model/model.c:108" of the line it stands in. */
#define RT_HERE_TEXT(line) #line
#define RT_HERE_LINE(line) RT_HERE_TEXT(line)
#define RT_HERE __FILE__ ":" RT_HERE_LINE(__LINE__)

/** Forward a failing MPI call, where the communicator returns errors. */
#define RT_TRY_MPI(call)                                                       \
  do {                                                                         \
    const int rt_try_mpi_ = (call);                                            \
    if (rt_try_mpi_ != MPI_SUCCESS)                                            \
      return rt_mpi_error(rt_try_mpi_, #call, __FILE__, __LINE__);             \
  } while (0)
/** The same for a collective, in which the watchdog may find this rank under
 *  the name \a where; not inside another one. */
#define RT_TRY_MEETING(where, call)                                            \
  do {                                                                         \
    const double rt_since_ = rt_ranks_enter(where);                            \
    const int rt_meeting_ = (call);                                            \
    rt_ranks_leave(rt_since_);                                                 \
    if (rt_meeting_ != MPI_SUCCESS)                                            \
      return rt_mpi_error(rt_meeting_, #call, __FILE__, __LINE__);             \
  } while (0)
/** Record the error \a code of \a call. */
rt_err rt_mpi_error(int code, const char *call, const char *file, int line);

/** What agreements of a communicator need; caller's storage. */
typedef struct rt_quorum {
  MPI_Comm comm; // owned: the agreements' own
  int rank, size;
  int number;     /**< of this rank, in messages */
  uint64_t group; /**< tells groups of ranks apart; never 0 */
  bool owned;     // by the communicator: made at its first agreement
} rt_quorum;

/** Make \a comm ready for agreements.  \a q must stay as long as \a comm and
 *  goes with it; \a number is this rank's in messages.  Collective.  A
 *  communicator that was not made ready is so at its first agreement. */
RT_MUST rt_err rt_quorum_init(MPI_Comm comm, int number, rt_quorum *q);

/** Whom an agreement waits for. */
typedef enum rt_patience {
  RT_SOON, /**< an error: a few seconds, see above */
  RT_LATE  /**< the ranks outlive this error, or come far apart and have more
                to say: as long as it takes */
} rt_patience;

/** All ranks learn the worst: returns RT_OK when every rank passed RT_OK; else
 *  the error of the lowest failing rank, with its text on every rank.  Where
 *  only some failed, the text names that rank, "rank 3 on host x: text", but
 *  not rank 0, which often acts for all.  Collective.
 *  \a where: RT_HERE, the same on all ranks. */
RT_MUST rt_err rt_agree_ranks(MPI_Comm comm, rt_err err, rt_patience patience,
                              const char *where);

/** This rank has failed, and its peers did not come to hear it: they wait for
 *  it elsewhere.  No collective will end any more. */
bool rt_agree_alone(void);

/** Enter something collective, whose name or place is \a where; the time. */
double rt_ranks_enter(const char *where);
void rt_ranks_leave(double since);
/** Seconds of this process in between. */
double rt_ranks_seconds(void);
/** Of those, \a s went into moving data; the rest was waiting for ranks. */
void rt_ranks_moved(double s);
double rt_ranks_moved_seconds(void);
/** How many it has entered; where it is, NULL: outside.  For any thread. */
uint64_t rt_ranks_count(void);
const char *rt_ranks_where(void);

#endif
