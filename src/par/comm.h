/** \file comm.h
 *  Collectives over a group of ranks, on host or device buffers.
 *
 *  Layer: par.  Each rt_comm owns a private duplicate of its communicator.
 *  Counts beyond 2^31 are split.  A group of one rank costs nothing.  A group
 * on one node sums device buffers and gathers 64 KiB or more through shared
 * memory (2 MiB a rank, made at the first such call), other groups through MPI;
 * every rank gets the same bits either way.  Every function is collective over
 * the group unless said otherwise.  A failing MPI call returns RT_ERR_INTERNAL,
 * or RT_ERR_MEM (MPI_ERRORS_RETURN). */
#ifndef RT_COMM_H
#define RT_COMM_H

#include "base/err.h"
#include "dev/device.h"
#include "ranks/agree.h"
#include <mpi.h>

typedef struct rt_comm rt_comm;

/** Duplicate \a comm.  The one that fails before the others have it too must
 *  end the job. */
RT_MUST rt_err rt_comm_create(MPI_Comm comm, rt_comm **out);
/** The ranks with the same \a color (>= 0), ordered by \a key; color < 0: the
 *  caller gets NULL.  Errors are agreed upon. */
RT_MUST rt_err rt_comm_split(const rt_comm *comm, int color, int key,
                             rt_comm **out);
/** The ranks of this node, in the same order.  Errors are agreed upon. */
RT_MUST rt_err rt_comm_split_node(const rt_comm *comm, rt_comm **out);
void rt_comm_destroy(rt_comm **comm);
/** Bytes of memory that each rank gives to large sums and gathers of its node;
 *  0 for one rank.  Each comes to see the parts of all.  Not collective. */
size_t rt_comm_shared_bytes(const rt_comm *comm);
int rt_comm_rank(const rt_comm *comm);
int rt_comm_size(const rt_comm *comm);
MPI_Comm rt_comm_mpi(const rt_comm *comm); /**< borrowed, for io and tests */

typedef enum rt_op { RT_SUM, RT_MAX, RT_MIN } rt_op;

/** All ranks learn the worst (rt_agree_ranks, RT_SOON): who fails may go to any
 *  rt_agree of the same ranks, and no rank waits for ever. */
#define rt_agree(comm, err) rt_comm_agree(comm, err, RT_HERE)
RT_MUST rt_err rt_comm_agree(const rt_comm *comm, rt_err err,
                             const char *where);

/** In-place all-reduce of host data: f32, f64, i32, u64. */
RT_MUST rt_err rt_comm_allreduce_host(const rt_comm *comm, void *data, size_t n,
                                      rt_dtype type, rt_op op);
RT_MUST rt_err rt_comm_bcast(const rt_comm *comm, void *data, size_t bytes,
                             int root);
/** Gather \a bytes of each rank into out [size][bytes]. */
RT_MUST rt_err rt_comm_allgather(const rt_comm *comm, const void *mine,
                                 size_t bytes, void *out);
/** As above with own lengths; out has room for all; bytes_of [size], the same
 *  on all ranks.  \a mine may be its place in \a out. */
RT_MUST rt_err rt_comm_allgatherv(const rt_comm *comm, const void *mine,
                                  const size_t *bytes_of, void *out);
RT_MUST rt_err rt_comm_barrier(const rt_comm *comm);
/** A barrier for ranks that may come hours apart: who waits sleeps most of the
 *  time, and calls \a meanwhile(\a with) at once and about every second. */
RT_MUST rt_err rt_comm_meet(const rt_comm *comm, void (*meanwhile)(void *with),
                            void *with);

/** In-place all-reduce of a contiguous device view (f32, f64).  Waits for the
 *  work on \a dev that came before, and returns with the result in place. */
RT_MUST rt_err rt_comm_allreduce(const rt_comm *comm, rt_dev *dev, rt_view x,
                                 rt_op op);

/** A non-blocking all-reduce. */
typedef struct rt_pending rt_pending;
/** Start one as soon as \a ready is over on \a dev; \a x is borrowed until the
 *  finish.  Host code must call rt_comm_progress() now and then, or nothing
 *  moves.  Any number may be open; all ranks start them in the same order. */
RT_MUST rt_err rt_comm_allreduce_start(const rt_comm *comm, rt_dev *dev,
                                       rt_event ready, rt_view x, rt_op op,
                                       rt_pending **out);
/** Wait for one, and set to NULL; NULL is accepted. */
RT_MUST rt_err rt_comm_finish(rt_pending **pending);
/** Let MPI move open operations of this process.  Cheap; not collective. */
void rt_comm_progress(void);

#endif
