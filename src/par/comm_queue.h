/** \file comm_queue.h
 *  Collectives of device buffers as work in a device's queue.
 *
 *  Layer: par; for comm*.c only.  An operation is taken, and its stages are
 *  appended to RT_QUEUE_COMM; the last one gives it back. */
#ifndef RT_COMM_QUEUE_H
#define RT_COMM_QUEUE_H

#include "par/comm_impl.h"

typedef enum rt_kind { RT_ALL_REDUCE, RT_SCATTER, RT_GATHER, RT_ROWS } rt_kind;

struct rt_pending {
  rt_kind kind;
  const rt_comm *comm;  // borrowed
  rt_dev *dev;          // borrowed
  rt_view x;            // of an all-reduce or a gather of rows
  rt_shm *shm;          // borrowed; NULL: through MPI
  rt_shm_op op;         // with shm; its data also without
  rt_exchange exchange; // of parts; its shares also with shm
  char *copy; // owned [copy_bytes], pinned: what the host cannot access
  size_t copy_bytes;
  int n_queued;     // stages that are still in the device's queue
  bool open;        // started, and not complete
  bool given_up;    // stages in the queue do nothing; no other ones come
  rt_pending *next; // in a list of comm_queue.c
};

/** An operation, reusing a spare one if possible. */
RT_MUST rt_err rt_pending_take(rt_kind what, const rt_comm *comm, rt_dev *dev,
                               rt_pending **out);
void rt_pending_give_back(rt_pending *p);
/** Memory of the host for what it cannot access in place. */
RT_MUST rt_err rt_pending_copy(rt_pending *p, size_t bytes);

/** The stages come after \a ready. */
void rt_pending_begin(const rt_pending *p, rt_event ready);
/** Append a stage: \a fn calls rt_pending_run. */
void rt_pending_append(rt_pending *p, rt_dev_fn *fn);
typedef rt_err rt_stage(rt_pending *p);
/** Do a stage, unless the operation has been given up. */
RT_MUST rt_err rt_pending_run(rt_pending *p, rt_turn turn, rt_stage *fn);
/** The operation is over once the queue comes here, and kernels that follow
 *  have its result. */
RT_MUST rt_err rt_pending_end(rt_pending *p);

/** Wait for operations that have started. */
void rt_comm_wait(const rt_comm *comm, rt_shm *shm, const rt_shm_op *op);
void rt_comm_wait_exchange(const rt_pending *p);

#endif
