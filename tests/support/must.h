/** \file must.h
 *  How a fuzzer's target reports a finding. */
#ifndef RT_MUST_H
#define RT_MUST_H

#include <stdbool.h>

/** Say \a what and the last error, and abort, unless it \a holds. */
void must(bool holds, const char *what);

#endif
