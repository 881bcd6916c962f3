/** \file param_set.h
 *  What the optimizer's suites share: a small model's tensors on a grid, with
 *  values that do not depend on the layout. */
#ifndef PARAM_SET_H
#define PARAM_SET_H

#include "model/params.h"
#include "support/rt_test.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

typedef struct set {
  rt_comm *comm;
  rt_grid grid;
  rt_dev *dev;
  rt_arena *arena;
  rt_params p;
} set;

typedef struct set_spec {
  MPI_Comm comm;
  int tp;
  const char *device;
  rt_dtype real;
  int64_t n_kv_heads;
  bool with_grad;
} set_spec;

void set_start(set *s, set_spec how);

void set_finish(set *s);

/** Value of one element of the whole tensor \a i. */
typedef double element_fn(int i, int64_t row, int64_t col, int salt);
/** Normal random values, others for each salt. */
double set_random(int i, int64_t row, int64_t col, int salt);

/** Fill the true part of tile \a v of tensor \a i; padding becomes 0. */
void set_put(const set *s, int i, rt_view v, element_fn *value, int salt,
             double factor);

/** Host copy of a contiguous view as doubles; to free. */
double *set_get(const set *s, rt_view v);

#endif
