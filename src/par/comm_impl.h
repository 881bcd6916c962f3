/** \file comm_impl.h
 *  Internals of a communicator.  Layer: par; for comm*.c only. */
#ifndef RT_COMM_IMPL_H
#define RT_COMM_IMPL_H

#include "par/comm_exchange.h"
#include "par/comm_shm.h"

/** Maximum number of elements per MPI call: counts are int, and temporary
 *  buffers bounded. */
enum { RT_COMM_MOST = 1 << 28 };

/** Operations whose times ranks compare at once. */
enum { RT_COMM_COMPARED = 64 };

/** State that a group sets up at its first large operation. */
typedef struct rt_comm_lane {
  bool known;              /**< at its first large operation: the next member */
  rt_shm *shm;             // owned; NULL: everything goes through MPI
  rt_exchanges *exchanges; // owned; NULL before the first one through MPI
  uint64_t sent;           /**< see rt_comm_sent */
  int n_spent, n_due;
  double spent_s[RT_COMM_COMPARED]; /**< [n_spent]: in each of the last ones;
                                       compared once they are n_due */
} rt_comm_lane;

struct rt_comm {
  MPI_Comm comm;   // owned duplicate
  MPI_Op sum_bf16; // owned
  int rank, size;
  rt_quorum quorum;   /**< for its agreements */
  rt_comm_lane *lane; // owned
  size_t max;         /**< maximum elements, or bytes, per MPI call */
};

/** Leave an operation entered at \a since; \a err is its error on this rank,
 *  and is returned.  The rank that arrived last did not wait, so the minimum
 *  over ranks of the time spent counts as data transfer.  Ranks exchange these
 *  times now and then.  Collective. */
RT_MUST rt_err rt_comm_left(const rt_comm *comm, double since, rt_err err);

MPI_Datatype rt_comm_mpi_type(rt_dtype type);
MPI_Op rt_comm_mpi_op(const rt_comm *comm, rt_op op, rt_dtype type);
/** Create the operations that MPI lacks. */
RT_MUST rt_err rt_comm_mpi_start(rt_comm *comm);

/** Before this rank waits for others in a collective of the host: do what they
 *  may wait for, the exchanges in the queues of devices (rt_dev_push).  After
 *  an error in one of them it must not wait: others may never come. */
RT_MUST rt_err rt_comm_flush(void);

/** The group's shared memory, set up at the first call; NULL if there is none.
 *  Collective. */
RT_MUST rt_err rt_comm_shm(const rt_comm *comm, rt_shm **out);
/** Start an operation and wait until it is complete.  Collective. */
RT_MUST rt_err rt_comm_shm_run(const rt_comm *comm, rt_shm *shm, rt_shm_op *op);

/** For tests: use no shared memory, but MPI with at most \a max elements, or
 *  bytes, per call.  Call before the first operation, on all ranks alike. */
void rt_comm_only_mpi(rt_comm *comm, size_t max);

#endif
