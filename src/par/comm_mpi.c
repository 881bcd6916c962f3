/** \file comm_mpi.c
 *  Types and operations as MPI has them; times of collectives. */
#include "par/comm_impl.h"

#include "base/bf16.h"
#include "base/clock.h"

MPI_Datatype rt_comm_mpi_type(rt_dtype type)
{
  switch (type) {
  case RT_F32:
    return MPI_FLOAT;
  case RT_F64:
    return MPI_DOUBLE;
  case RT_I32:
    return MPI_INT32_T;
  case RT_U64:
    return MPI_UINT64_T;
  case RT_BF16:
    return MPI_UINT16_T; // summed by an operation of our own
  default:
    RT_ASSERT(false); // no type that MPI can add
    return MPI_DATATYPE_NULL;
  }
}

static void add_bf16(void *in, void *inout, int *n, MPI_Datatype *type)
{
  const rt_bf16 *const x = in;
  rt_bf16 *const y = inout;
  (void)type;
  for (int i = 0; i < *n; i++)
    y[i] = rt_bf16_put(rt_bf16_get(x[i]) + rt_bf16_get(y[i]));
}

rt_err rt_comm_mpi_start(rt_comm *comm)
{
  RT_TRY_MPI(MPI_Op_create(add_bf16, 1, &comm->sum_bf16));
  return RT_OK;
}

MPI_Op rt_comm_mpi_op(const rt_comm *comm, rt_op op, rt_dtype type)
{
  return op == RT_MAX      ? MPI_MAX
         : op == RT_MIN    ? MPI_MIN
         : type == RT_BF16 ? comm->sum_bf16
                           : MPI_SUM;
}

/** The shortest times of all ranks, added up. */
static rt_err compare_times(const rt_comm *comm, double *moved_s)
{
  rt_comm_lane *const lane = comm->lane;
  const int n = lane->n_spent;
  *moved_s = 0.0;
  RT_TRY_MPI(MPI_Allreduce(MPI_IN_PLACE, lane->spent_s, n, MPI_DOUBLE, MPI_MIN,
                           comm->comm));
  for (int i = 0; i < n; i++)
    *moved_s += lane->spent_s[i];
  lane->n_spent = 0;
  // soon at first, so that a short run knows, too
  lane->n_due = 2 * n < RT_COMM_COMPARED ? 2 * n : RT_COMM_COMPARED;
  return RT_OK;
}

rt_err rt_comm_left(const rt_comm *comm, double since, rt_err err)
{
  rt_comm_lane *const lane = comm->lane;
  double moved_s = 0.0;
  if (err == RT_OK && comm->size > 1) {
    lane->spent_s[lane->n_spent++] = rt_now_s() - since;
    if (lane->n_spent == lane->n_due)
      err = compare_times(comm, &moved_s);
  }
  rt_ranks_moved(moved_s);
  rt_ranks_leave(since);
  return err;
}
