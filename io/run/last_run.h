/** \file last_run.h
 *  FOLDER/last_run records how far the last run in a folder came and how it
 *  ended, for scripts that decide whether to start it again (doc/formats.md).
 *
 *  Layer: io.  A launcher's exit code is not sufficient: srun returns its own
 *  code for a rank that was killed, and none for a lost node.  Not collective:
 *  the rank that holds the folder's lock writes. */
#ifndef RT_LAST_RUN_H
#define RT_LAST_RUN_H

#include "base/err.h"
#include <stdint.h>

/** Counts are steps of training, or rows of a capture. */
typedef struct rt_last_run {
  int64_t first; /**< completed at the start */
  int64_t saved; /**< on disk now */
  int64_t whole; /**< total of the run */
} rt_last_run;

/** Record that the run is in progress.  Call at its start and whenever more was
 *  saved. */
RT_MUST rt_err rt_last_run_goes(const char *folder, const rt_last_run *run);

/** Record that the run ended with \a how, whose text is kept.  A failure to
 *  write is a warning, as the disk may be the reason why the run failed. */
void rt_last_run_ends(const char *folder, const rt_last_run *run, rt_err how);

/** Remove the file. */
void rt_last_run_forget(const char *folder);

#endif
