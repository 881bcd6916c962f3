/** \file banner.h
 *  Describes program, build, machine and run.  Layer: app. */
#ifndef RT_BANNER_H
#define RT_BANNER_H

#include "distill/job/job.h"
#include <stdio.h>

/** Version, commit, compiler, libraries: `retort --version`.  Does not need
 *  MPI. */
void rt_banner_version(FILE *to);

/** Print the first lines of a run.  Collective. */
RT_MUST rt_err rt_banner_print(const rt_job *job, const char *verb);

#endif
