/** \file newest.h
 *  The newest checkpoint whose metadata can be read. */
#ifndef RT_TEST_NEWEST_H
#define RT_TEST_NEWEST_H

#include "io/run/checkpoint.h"

/** Collective over \a comm. */
RT_MUST rt_err newest_step(MPI_Comm comm, const char *folder, int64_t *step);

#endif
