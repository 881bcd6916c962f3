/** \file model_side.h
 *  What the model's suites share: small shapes, weights, tokens, and a model
 *  with everything below it. */
#ifndef MODEL_SIDE_H
#define MODEL_SIDE_H

#include "base/rng.h"
#include "model/model.h"
#include "support/rt_test.h"

#include <math.h>
#include <string.h>

#define T 7 // tokens of a row
#define N_ROWS 2
#define N (T * N_ROWS)

/** A model with everything below it. */
typedef struct side {
  rt_comm *comm;
  rt_grid grid;
  rt_dev *dev;
  rt_arena *arena; // of in
  rt_tokens_in in;
  rt_model *m;
} side;

rt_arch plain(void);

/** Everything that plain() leaves out. */
rt_arch rich(void);

rt_arch one_kv_head(void);

/** Host copy of a contiguous real view as doubles, [rows, cols]; to free. */
double *fetch(const side *s, rt_view v);

typedef struct setup {
  MPI_Comm comm;
  const char *device;
  rt_dtype real;
  bool docs, train, recompute;
} setup;

void start(side *s, const rt_arch *arch, setup how);

void finish(side *s);

#define ALONE ((setup){MPI_COMM_SELF, "cpu", RT_F64, false, true, false})

/** Fixed d loss / d hidden [N, D]; the loss is sum(hidden * this). */
double slope(int64_t i);

/** Forward and backward; over tp each rank gives a different part. */
void run(side *s, rt_bucket_fn *done, void *self);

double norm_of(const double *x, int64_t n);

/** |x - y| <= tol |y| */
void check_near(const char *what, const double *x, const double *y, int64_t n,
                double tol);

/** The other way. */
void store(const side *s, rt_view v, const double *x);

#endif
