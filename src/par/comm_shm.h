/** \file comm_shm.h
 *  Sums, scatters and gathers of ranks through the shared memory of one node.
 *
 *  Layer: par; for comm*.c only.  Between two ranks of a node this is several
 *  times as fast as Open MPI 4.1's all-reduce, and it does not need permission
 *  to read another process (CMA), which containers often deny.
 *
 *  An operation is divided into chunks.  Every rank has a ring of slots that
 *  all can read, and three counters of chunks:
 *
 *    in    the chunk is in my slot (for a sum: all but my own slice of it; for
 *          a scatter: a piece of every other rank's share)
 *    sum   my slice has been summed in rank order and is in my slot (for a
 *          scatter: where it belongs)
 *    out   I have copied the results of the others; the slot may be reused
 *
 *  A rank advances each counter as far as the others' counters allow, and never
 *  waits inside, so sums progress between kernels (rt_comm_progress).  Each
 *  element is summed by one rank, so every rank gets the same bits. */
#ifndef RT_COMM_SHM_H
#define RT_COMM_SHM_H

#include "par/comm_exchange.h"

typedef struct rt_shm rt_shm;
/** Size of a rank's part in bytes. */
size_t rt_shm_bytes(void);

/** An operation, in caller's storage, which must remain until it is complete.
 */
typedef struct rt_shm_op {
  char *data;              // borrowed: data to sum, or the whole gather
  size_t bytes;            /**< of data, or of all shares */
  rt_dtype type;           /**< of a sum: f32, f64, or bf16 with RT_SUM */
  rt_op op;                /**< of a sum */
  const size_t *bytes_of;  // for a gather: borrowed [size]; NULL: a sum
  const rt_shares *shares; // borrowed: instead of data; NULL: none
  rt_share_op share_op;
  // internal to rt_shm
  int64_t first, n_chunks;
  struct rt_shm_op *next;
} rt_shm_op;

/** Set up shared memory for the ranks of \a comm.  NULL if they are on several
 *  nodes, or if some rank cannot get shared memory (rank 0 warns).  Collective.
 */
RT_MUST rt_err rt_shm_create(MPI_Comm comm, rt_shm **out);
/** Free and set to NULL; NULL is accepted.  Not collective. */
void rt_shm_destroy(rt_shm **shm);

/** Append an operation.  All ranks append the same operations in the same
 *  order. */
void rt_shm_start(rt_shm *shm, rt_shm_op *op);
/** Make progress without waiting; false if none was possible.  Not collective.
 */
bool rt_shm_advance(rt_shm *shm);
/** Is the operation complete?  Also true after an error. */
bool rt_shm_done(const rt_shm *shm, const rt_shm_op *op);
/** The error if ranks disagreed about an operation, with both sizes.  Sticky.
 */
RT_MUST rt_err rt_shm_error(const rt_shm *shm);
/** Fail from now on. */
void rt_shm_give_up(rt_shm *shm);
/** Bytes that others have read, or will, of the shares of this rank. */
uint64_t rt_shm_sent(const rt_shm *shm);
/** a += b, for \a bytes bytes. */
void rt_shm_add(rt_dtype type, void *a, const void *b, size_t bytes);

#endif
