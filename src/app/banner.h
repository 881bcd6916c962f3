/** \file banner.h
 *  What runs, built from what, where.  Layer: app. */
#ifndef RT_BANNER_H
#define RT_BANNER_H

#include "distill/job/job.h"
#include <stdio.h>

/** Version, commit, compiler, libraries: `retort --version`. MPI need not have
 *  started. */
void rt_banner_version(FILE *to);

/** The lines at the start of a run.  Collective. */
RT_MUST rt_err rt_banner_print(const rt_job *job, const char *verb);

#endif
