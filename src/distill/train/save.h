/** \file save.h
 *  Writes a run's checkpoints, at once or while training goes on.  Layer:
 *  distill/train.
 *
 *  Meanwhile: the state is copied at a step's end, and a thread of each rank
 *  writes, reads back and hashes the copy.  The main thread looks at the end of
 *  each step (rt_saver_poll) and does what only it may when all threads are
 *  ready (rt_saver_go_on).  A checkpoint counts when it is published. */
#ifndef RT_SAVE_H
#define RT_SAVE_H

#include "distill/train/trainer.h"
#include "io/run/checkpoint.h"

typedef struct rt_saver rt_saver;

typedef enum rt_save_how {
  RT_SAVE_WAITING,  /**< training waits for every checkpoint */
  RT_SAVE_MEANWHILE /**< it goes on, except for the last one */
} rt_save_how;

/** Memory in bytes that writing a checkpoint of \a arch takes on one of \a
 *  n_ranks ranks, and that of the copy of the state, for writing meanwhile. */
double rt_save_memory(const rt_arch *arch, rt_dtype master, int n_ranks,
                      const rt_dev *dev);
size_t rt_saver_copy_bytes(const rt_trainer *trainer);

/** \a run is copied, \a trainer borrowed.  The caller destroys *out, also after
 * an error.  If a rank has no memory or thread for writing meanwhile, all wait,
 * with one warning.  Collective. */
RT_MUST rt_err rt_saver_create(const rt_run_spec *run,
                               const rt_trainer *trainer, rt_save_how how,
                               rt_saver **out);
/** Gives up what is being written.  Not collective; NULL is accepted. */
void rt_saver_destroy(rt_saver **saver);

/** Write the checkpoint of \a step, then remove those that the deck does not
 *  keep.  Nothing may be in writing.  Collective. */
RT_MUST rt_err rt_saver_save(rt_saver *saver, int64_t step);

/** Is there a copy to write from?  The same on all ranks. */
bool rt_saver_can_begin(const rt_saver *saver);
/** Begin to write the checkpoint of \a step.  Nothing may be in writing.
 *  Collective. */
RT_MUST rt_err rt_saver_begin(rt_saver *saver, int64_t step);
/** The step whose checkpoint is being written; -1: none. */
int64_t rt_saver_writes(const rt_saver *saver);
/** The step that was published last; -1: none.  Counts also if an error
 *  followed, as older ones could not be removed. */
int64_t rt_saver_published(const rt_saver *saver);
/** The most that writing one has taken on this rank, waiting or not, without
 *  the steps between; 0 before the first is published. */
double rt_saver_seconds(const rt_saver *saver);
/** The seconds that this rank's thread has worked on the one in writing, once
 * it is ready with a part; writing takes longer than hashing. */
double rt_saver_work_s(const rt_saver *saver);
/** This rank's state.  Not collective; NULL is accepted. */
rt_checkpoint_state rt_saver_poll(const rt_saver *saver);
/** Call if the maximum of the ranks' states is not RT_CHECKPOINT_WRITES, while
 *  something is in writing.  Collective. */
RT_MUST rt_err rt_saver_go_on(rt_saver *saver);
/** Wait until what is in writing is published.  Collective. */
RT_MUST rt_err rt_saver_finish(rt_saver *saver);

#endif
