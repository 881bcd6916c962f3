/** \file small_arch.h
 *  The shape that the suites' small models start from. */
#ifndef RT_SMALL_ARCH_H
#define RT_SMALL_ARCH_H

#include "base/model_shape.h"

/** A tied Llama of \a vocab ids and two blocks, for any tp of 1, 2 and 4. */
rt_arch small_arch(int64_t vocab);

#endif
