/** \file comm.h
 *  Collectives over a group of ranks, on host or device buffers.
 *
 *  Layer: par.  Each rt_comm owns a private duplicate of its communicator.
 *  Messages beyond 2^31 elements are split.  Operations on a group of one rank
 *  are free.  A group on one node sums device buffers, and gathers 64 KiB or
 *  more, through shared memory (2 MiB per rank, created by the first such
 *  call); other groups use MPI.  Either way every rank gets the same bits.
 *  Where the host cannot access device buffers, they pass through a copy.
 *  Every function is collective over the group unless stated otherwise.  A
 *  failing MPI call returns RT_ERR_INTERNAL or RT_ERR_MEM (MPI_ERRORS_RETURN).
 */
#ifndef RT_COMM_H
#define RT_COMM_H

#include "base/err.h"
#include "dev/device.h"
#include "ranks/agree.h"
#include <mpi.h>

typedef struct rt_comm rt_comm;

/** Duplicate \a comm.  A rank that fails before the others have the duplicate
 *  must end the job. */
RT_MUST rt_err rt_comm_create(MPI_Comm comm, rt_comm **out);
/** The ranks with the same \a color (>= 0), ordered by \a key; a rank with
 *  color < 0 gets NULL.  Errors are agreed upon. */
RT_MUST rt_err rt_comm_split(const rt_comm *comm, int color, int key,
                             rt_comm **out);
/** The ranks of this node, in the same order.  Errors are agreed upon. */
RT_MUST rt_err rt_comm_split_node(const rt_comm *comm, rt_comm **out);
void rt_comm_destroy(rt_comm **comm);
/** Shared memory in bytes that each rank contributes for large sums and gathers
 *  on its node; 0 for one rank.  Each rank maps the parts of all.  Not
 *  collective. */
size_t rt_comm_shared_bytes(const rt_comm *comm);
int rt_comm_rank(const rt_comm *comm);
int rt_comm_size(const rt_comm *comm);
MPI_Comm rt_comm_mpi(const rt_comm *comm); /**< borrowed, for io and tests */

typedef enum rt_op { RT_SUM, RT_MAX, RT_MIN } rt_op;

/** Agree on the most severe error (rt_agree_ranks, RT_SOON): a rank that fails
 *  may proceed to any rt_agree of the same ranks, and no rank waits forever. */
#define rt_agree(comm, err) rt_comm_agree(comm, err, RT_HERE)
RT_MUST rt_err rt_comm_agree(const rt_comm *comm, rt_err err,
                             const char *where);
/** The same for an error that all survive, or ranks that arrive far apart
 *  (RT_LATE). */
#define rt_agree_late(comm, err) rt_comm_agree_late(comm, err, RT_HERE)
RT_MUST rt_err rt_comm_agree_late(const rt_comm *comm, rt_err err,
                                  const char *where);

/** In-place all-reduce of host data: f32, f64, i32, u64. */
RT_MUST rt_err rt_comm_allreduce_host(const rt_comm *comm, void *data, size_t n,
                                      rt_dtype type, rt_op op);
RT_MUST rt_err rt_comm_bcast(const rt_comm *comm, void *data, size_t bytes,
                             int root);
/** Gather \a bytes of each rank into out [size][bytes]. */
RT_MUST rt_err rt_comm_allgather(const rt_comm *comm, const void *mine,
                                 size_t bytes, void *out);
/** Gather with a length per rank; \a out has space for all; bytes_of [size] is
 *  the same on all ranks.  \a mine may be its place in \a out. */
RT_MUST rt_err rt_comm_allgatherv(const rt_comm *comm, const void *mine,
                                  const size_t *bytes_of, void *out);
RT_MUST rt_err rt_comm_barrier(const rt_comm *comm);
/** A barrier for ranks that may arrive hours apart: waiting ranks sleep most of
 *  the time, and call \a meanwhile(\a with) at once and about every second. */
RT_MUST rt_err rt_comm_meet(const rt_comm *comm, void (*meanwhile)(void *with),
                            void *with);

// Collectives of device buffers stand in the device's RT_QUEUE_COMM: the host
// waits for nothing.  They follow kernels that were launched before, and
// kernels launched after them have the result.  Errors in them are told by the
// next wait of the device, or by the next such call.  All ranks of a group
// append the same ones in the same order; on a device that works only while the
// host waits, it also waits where the others do.

/** In-place all-reduce of a contiguous device view (f32, f64; sums also bf16).
 */
RT_MUST rt_err rt_comm_allreduce(const rt_comm *comm, rt_dev *dev, rt_view x,
                                 rt_op op);
/** In-place all-gather of a contiguous device view of any type, of which each
 *  rank has as many rows, in order of ranks.  For small ones: it uses MPI. */
RT_MUST rt_err rt_comm_gather(const rt_comm *comm, rt_dev *dev, rt_view x);

/** An operation beside kernels, until its join. */
typedef struct rt_pending rt_pending;
/** A view whose rows are divided among ranks: rank (first + j) % size has rows
 *  [j * each, (j + 1) * each), as far as there are any. */
typedef struct rt_parts {
  const rt_view *view; // borrowed: contiguous, of device memory
  int64_t each;        /**< >= 1; each * size >= rows */
  int first;           /**< 0 .. size - 1 */
} rt_parts;
/** The rows [*row0, *row0 + *n) that rank \a rank of \a size has. */
void rt_parts_rows(const rt_parts *parts, int size, int rank, int64_t *row0,
                   int64_t *n);

/** Start a reduce-scatter of the \a n views of \a parts (f32, f64), after \a
 *  ready: each rank gets the sums of its own rows, added in the order of ranks.
 *  All other rows keep this rank's numbers.  \a parts and the views are
 *  borrowed until the device has done it, and kernels leave the views alone.
 *  Where launches are complete at once, host code must call rt_comm_progress()
 *  now and then, otherwise nothing progresses.  Any number may be open. */
RT_MUST rt_err rt_comm_scatter_start(const rt_comm *comm, rt_dev *dev,
                                     rt_event ready, const rt_parts *parts,
                                     int n, rt_pending **out);
/** Start an all-gather in the same way: each rank gets the rows of all. */
RT_MUST rt_err rt_comm_gather_start(const rt_comm *comm, rt_dev *dev,
                                    rt_event ready, const rt_parts *parts,
                                    int n, rt_pending **out);
/** Bytes that this rank has sent in scatters and gathers of parts. */
uint64_t rt_comm_sent(const rt_comm *comm);

/** Kernels launched from now on have the result.  Sets to NULL, which is
 *  accepted. */
RT_MUST rt_err rt_comm_join(rt_pending **pending);
/** Forget an operation that this rank will not join, after an error, and set
 *  to NULL; NULL is accepted.  Later ones of the group fail.  Not collective.
 */
void rt_comm_give_up(rt_pending **pending);
/** Before \a dev is destroyed: drop the work in its queues (rt_dev_drop), and
 *  free what collectives keep on it for reuse.  Not collective. */
void rt_comm_forget(rt_dev *dev);
/** Let open operations of this process make progress.  Cheap; not collective.
 */
void rt_comm_progress(void);

#endif
