/** \file comm_exchange.h
 *  Scatters and gathers of parts by messages between every two ranks.
 *
 *  Layer: par; for comm*.c only.  Each byte is sent once to each rank that
 *  needs it, so a rank sends no more than a ring would, and sums are added in
 *  the order of ranks, as in shared memory.  (Open MPI's own non-blocking
 *  reduce-scatter collects everything on one rank.)  The exchanges of a group
 *  run one after the other, in rounds of bounded size; a round is advanced
 *  between kernels. */
#ifndef RT_COMM_EXCHANGE_H
#define RT_COMM_EXCHANGE_H

#include "par/comm_parts.h"

typedef enum rt_share_op { RT_SHARE_SCATTER, RT_SHARE_GATHER } rt_share_op;

/** An exchange, in caller's storage, which must remain until it is complete. */
typedef struct rt_exchange {
  rt_shares shares;
  rt_share_op op;
  rt_dtype type; /**< RT_F32 or RT_F64 */
  // internal
  int64_t round, n_rounds;
  bool done;
  struct rt_exchange *next;
} rt_exchange;

/** Queue and buffers of a group. */
typedef struct rt_exchanges rt_exchanges;

/** \a most: bytes of a message. */
RT_MUST rt_err rt_exchanges_create(MPI_Comm comm, size_t most,
                                   rt_exchanges **out);
/** Free and set to NULL; NULL is accepted. */
void rt_exchanges_destroy(rt_exchanges **q);

/** Append an exchange.  All ranks append the same ones in the same order. */
void rt_exchange_start(rt_exchanges *q, rt_exchange *x);
/** Make progress without waiting; false if none was possible.  Not collective.
 */
bool rt_exchange_advance(rt_exchanges *q);
/** Is the exchange complete?  Also true after an error. */
bool rt_exchange_done(const rt_exchanges *q, const rt_exchange *x);
/** The error of a call of MPI.  Sticky. */
RT_MUST rt_err rt_exchange_error(const rt_exchanges *q);
/** Fail from now on. */
void rt_exchanges_give_up(rt_exchanges *q);
/** Bytes that this rank has sent. */
uint64_t rt_exchange_sent(const rt_exchanges *q);

#endif
