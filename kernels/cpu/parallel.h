/** \file parallel.h
 *  Loops over the threads of a context \c ctx.  Layer: kernels. */
#ifndef K_PARALLEL_H
#define K_PARALLEL_H

#define K_PARALLEL_FOR                                                         \
  _Pragma("omp parallel for num_threads(ctx->n_threads) schedule(static)")

/** For iterations of unequal cost.  Their results must not depend on which
 *  thread computes them. */
#define K_PARALLEL_FOR_DYNAMIC                                                 \
  _Pragma("omp parallel for num_threads(ctx->n_threads) schedule(dynamic)")

#endif
