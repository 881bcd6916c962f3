/** \file check.h
 *  Checks the arguments of a kernel against its row of the table.  Layer:
 *  kernels. */
#ifndef K_CHECK_H
#define K_CHECK_H

#include "kernels/kernels.h"

/** The set whose types the views at the beginning of \a args have: if none
 *  fits, the one that fits most views, which k_args_fit then rejects. */
k_set k_set_of(const char *shapes, const void *args);

/** Check that the views at the beginning of \a args have the shapes of
 *  k_row.shapes.  If not, set the error of the context and return false.  Also
 *  return false if the context already has an error, so that no kernel runs on
 *  the results of a failed one. */
bool k_args_fit(k_ctx *ctx, const char *shapes, k_set set, const void *args);

/** May this view of the shape's three characters be absent? */
bool k_may_be_absent(const char *shape);

#endif
