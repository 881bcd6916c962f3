/** \file check.h
 *  Arguments against the shapes that a row of the table promises.
 *  Layer: kernels. */
#ifndef K_CHECK_H
#define K_CHECK_H

#include "kernels/kernels.h"

/** Do the views that \a args begins with have the shapes of k_row.shapes?  If
 *  not, the error goes into the context.  False also while an earlier error
 *  sticks there, so that nothing runs on its results. */
bool k_args_fit(k_ctx *ctx, const char *shapes, rt_dtype real,
                const void *args);

#endif
