/** \file comm_shm.h
 *  Sums and gathers of ranks that share the memory of one node.
 *
 *  Layer: par; for comm alone.  Between two ranks of a node this is several
 *  times as fast as Open MPI 4.1's all-reduce, and it does not need the right
 *  to read another process (CMA), which containers often take away.
 *
 *  An operation is cut into chunks.  Every rank has a ring of slots that all
 *  can read, and three counters of chunks:
 *
 *    in    the chunk lies in my slot (a sum: all but my own slice of it)
 *    sum   my slice is added up in the order of ranks and lies in my slot
 *    out   I have copied what the others made; all may use the slot again
 *
 *  A rank moves each counter as far as the others' counters allow and never
 *  waits inside, so that sums go on between kernels (rt_comm_progress).  One
 *  rank adds each element, so every rank gets the same bits. */
#ifndef RT_COMM_SHM_H
#define RT_COMM_SHM_H

#include "par/comm.h"

typedef struct rt_shm rt_shm;
/** Bytes of a rank's part. */
size_t rt_shm_bytes(void);

/** One operation; the caller's storage, which must stay until it is done. */
typedef struct rt_shm_op {
  char *data;             // borrowed: what is summed, or the whole gather
  size_t bytes;           /**< of data */
  rt_dtype type;          /**< of a sum: RT_F32 or RT_F64 */
  rt_op op;               /**< of a sum */
  const size_t *bytes_of; // of a gather: borrowed [size]; NULL: a sum
  // below: rt_shm's own
  int64_t first, n_chunks;
  struct rt_shm_op *next;
} rt_shm_op;

/** Set up for the ranks of \a comm.  NULL when they are on several nodes, or
 *  when some rank gets no shared memory (rank 0 warns).  Collective. */
RT_MUST rt_err rt_shm_create(MPI_Comm comm, rt_shm **out);
/** Free and set to NULL; NULL is accepted.  Not collective. */
void rt_shm_destroy(rt_shm **shm);

/** Append an operation.  All ranks append the same ones in the same order. */
void rt_shm_start(rt_shm *shm, rt_shm_op *op);
/** Do what can be done without waiting; false: nothing could.  Not
 *  collective. */
bool rt_shm_advance(rt_shm *shm);
/** Is it over?  Also after an error. */
bool rt_shm_done(const rt_shm *shm, const rt_shm_op *op);
/** The ranks disagreed about an operation: the sizes of both.  Sticky. */
RT_MUST rt_err rt_shm_error(const rt_shm *shm);

#endif
