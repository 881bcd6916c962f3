/** \file comm_scene.h
 *  All ranks and a device, numbers for them to reduce, and what must come out.
 */
#ifndef RT_COMM_SCENE_H
#define RT_COMM_SCENE_H

#include "par/comm.h"

typedef struct comm_scene {
  rt_comm *world;
  int rank, size;
  rt_dev *dev;
} comm_scene;

/** \a shared: sums through shared memory, else through MPI in calls of at most
 *  1000 elements.  Collective. */
void comm_scene_start(comm_scene *s, const char *device, bool shared);

void comm_scene_finish(comm_scene *s);

/** \a n values of this rank, f32 or f64; freed by the caller. */
rt_view comm_values(rt_dtype type, size_t n, int rank);

/** Element \a i. */
double comm_value(const rt_view *v, size_t i);

/** Element \a i of the result as one rank computes it: in the order of ranks,
 *  in the type itself. */
double comm_serial(rt_dtype type, int size, size_t i, rt_op op);

/** \a v is the serial result, bit for bit or up to rounding, and has the same
 *  bits on every rank.  Collective. */
void comm_check(const comm_scene *s, const rt_view *v, rt_op op, bool exact);

#endif
