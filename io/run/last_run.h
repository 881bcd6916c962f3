/** \file last_run.h
 *  FOLDER/last_run: how far the last run in a folder came and how it ended, for
 *  scripts that decide whether to start it again (doc/formats.md).
 *
 *  Layer: io.  A launcher's exit code does not tell: srun gives its own for a
 *  rank that was killed, and of a lost node nothing remains.  Not collective:
 *  one rank, which holds the folder's lock, writes. */
#ifndef RT_LAST_RUN_H
#define RT_LAST_RUN_H

#include "base/err.h"
#include <stdint.h>

/** Units are steps of a training, rows of a capture. */
typedef struct rt_last_run {
  int64_t first; /**< done when it began */
  int64_t saved; /**< on disk now */
  int64_t whole; /**< of all that is to be done */
} rt_last_run;

/** It runs: call at its start and whenever more was saved. */
RT_MUST rt_err rt_last_run_goes(const char *folder, const rt_last_run *run);

/** It ended with \a how.  Keeps that error and its text; a failure to write is
 *  silent, as what made the run fail may be the disk. */
void rt_last_run_ends(const char *folder, const rt_last_run *run, rt_err how);

/** Remove it. */
void rt_last_run_forget(const char *folder);

#endif
