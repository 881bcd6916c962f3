/** \file agree.h
 *  Agreement on errors: all ranks learn the most severe error, and no rank
 *  waits forever for one that has failed.
 *
 *  Layer: ranks, below par and io, which build on it.
 *
 *  A rank that fails may leave its peers anywhere: in the next agreement, in a
 *  later one, or in a collective on another communicator.  Therefore:
 *
 *  - Agreements use a separate communicator, stored as an attribute of the
 *    caller's.  They match each other, never another collective.
 *  - Any two agreements match.  A rank that arrives with an error informs all
 *    ranks that wait in any agreement of the same ranks, and all of them leave
 *    it.  An error that all these ranks know passes later agreements without
 *    communication.
 *  - A rank with an error waits a few seconds for its peers.  If they do not
 *    arrive, they wait elsewhere; the error then goes up to app, which ends the
 *    job (rt_agree_alone).
 *  - Ranks that arrive at different agreements without an error are a bug,
 *    which all of them report. */
#ifndef RT_AGREE_H
#define RT_AGREE_H

#include "base/err.h"
#include <mpi.h>
#include <stdint.h>

/** The source position, e.g. "src/model/model.c:108". */
#define RT_HERE_TEXT(line) #line
#define RT_HERE_LINE(line) RT_HERE_TEXT(line)
#define RT_HERE __FILE__ ":" RT_HERE_LINE(__LINE__)

/** Forward the error of an MPI call on a communicator that returns errors. */
#define RT_TRY_MPI(call)                                                       \
  do {                                                                         \
    const int rt_try_mpi_ = (call);                                            \
    if (rt_try_mpi_ != MPI_SUCCESS)                                            \
      return rt_mpi_error(rt_try_mpi_, #call, __FILE__, __LINE__);             \
  } while (0)
/** The same for a collective, which the watchdog reports under the name \a
 *  where.  Not to be nested. */
#define RT_TRY_MEETING(where, call)                                            \
  do {                                                                         \
    const double rt_since_ = rt_ranks_enter(where);                            \
    const int rt_meeting_ = (call);                                            \
    rt_ranks_leave(rt_since_);                                                 \
    if (rt_meeting_ != MPI_SUCCESS)                                            \
      return rt_mpi_error(rt_meeting_, #call, __FILE__, __LINE__);             \
  } while (0)
/** Record the MPI error \a code of \a call. */
rt_err rt_mpi_error(int code, const char *call, const char *file, int line);

/** State of a communicator's agreements; in caller's storage. */
typedef struct rt_quorum {
  MPI_Comm comm; // owned; used for agreements only
  int rank, size;
  int number;     /**< number of this rank in messages */
  uint64_t group; /**< identifies the group of ranks; never 0 */
  bool owned;     // owned by the communicator: created by its first agreement
} rt_quorum;

/** Prepare \a comm for agreements.  \a q must live as long as \a comm and is
 *  released with it; \a number is the number of this rank in messages.
 *  Collective.  Communicators that were not prepared are so by their first
 *  agreement. */
RT_MUST rt_err rt_quorum_init(MPI_Comm comm, int number, rt_quorum *q);

/** How long a failed rank waits for its peers. */
typedef enum rt_patience {
  RT_SOON, /**< a few seconds, see above */
  RT_LATE  /**< without limit: ranks survive this error, or arrive far apart */
} rt_patience;

/** Agree on the outcome.  Returns RT_OK if every rank passed RT_OK; otherwise,
 *  on every rank, the error of the lowest failing rank, with its text.  If only
 *  some ranks failed, the text names the rank ("rank 3 on host x: text"),
 *  except rank 0, which often acts on behalf of all.  Collective.
 *  \param where  RT_HERE, the same on all ranks */
RT_MUST rt_err rt_agree_ranks(MPI_Comm comm, rt_err err, rt_patience patience,
                              const char *where);

/** True if this rank failed and its peers did not arrive: they wait elsewhere,
 *  and no further collective can complete. */
bool rt_agree_alone(void);

/** Note that this rank enters a collective with name or place \a where.
 *  Returns the current time, for rt_ranks_leave. */
double rt_ranks_enter(const char *where);
void rt_ranks_leave(double since);
/** Seconds that this process has spent in collectives. */
double rt_ranks_seconds(void);
/** Note that \a s of these seconds went into moving data; the rest was waiting
 *  for ranks. */
void rt_ranks_moved(double s);
double rt_ranks_moved_seconds(void);
/** Number of collectives entered, and the current one (NULL: none).  Callable
 *  from any thread. */
uint64_t rt_ranks_count(void);
const char *rt_ranks_where(void);
/** Note that this rank makes progress outside collectives, in work that may
 *  take hours before the first step (reading a corpus, say): a sign of life for
 *  the watchdog. */
void rt_ranks_alive(void);
/** Number of such notes.  Callable from any thread. */
uint64_t rt_ranks_signs(void);

#endif
