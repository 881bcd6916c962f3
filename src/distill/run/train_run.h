/** \file train_run.h
 *  The state of a training run, and when and how it is saved.  Layer:
 *  distill/run. */
#ifndef RT_TRAIN_RUN_H
#define RT_TRAIN_RUN_H

#include "distill/eval/evaluate.h"
#include "distill/job/job.h"
#include "distill/train/peak.h"
#include "distill/train/progress.h"
#include "distill/train/save.h"
#include "io/common/lock.h"
#include "io/run/last_run.h"

typedef struct rt_train_run {
  rt_job *job;             // borrowed
  rt_trainer *trainer;     // owned
  rt_evaluator *evaluator; // owned; NULL: no evaluation
  rt_saver *saver;         // owned
  rt_progress progress;    // owned
  rt_lock *lock;           // owned, rank 0 of a run with a folder
  const char *folder;      // output.dir; "" if not set
  int64_t first, step;     // steps completed at the start, and now
  int64_t launched;        // steps of which some may not be complete
  int64_t saved;           // step of the last checkpoint; -1: none
  int64_t checkpoint_every, eval_every; // steps, 0: only at the end
  double checkpoint_s,
      saved_s;   // alternative interval in seconds; time of the last checkpoint
  bool recorded; // last_run has been written for this run
  int64_t told;  // its step of the last checkpoint
  bool untold;   // it could not be brought up to date, which has been said
  int64_t n_unsaved; // checkpoints that could not be written since the last one
                     // that was, with the first and the last step
  int64_t unsaved, last_unsaved;
  bool unpruned; // older ones could not be removed, which has been said
  int64_t eval_rows;
  double eval_s;      // that the last evaluation took
  double step_s;      // that the last step took; 0: not known
  rt_peak peak;       // of one rank
  double wall_end_s;  // as rt_now_s(); 0: no limit
  double refreshed_s; // time of the last refresh of the lock
} rt_train_run;

/** Is it the turn of what is done every so many steps (0: never)? */
bool rt_train_due(int64_t step, int64_t every);
/** Is a checkpoint due, by this rank's clock or by the step?  Not collective.
 */
bool rt_train_save_due(const rt_train_run *run);

/** The seconds that this rank expects until a stop after the next step would be
 *  over, by what steps, evaluations and checkpoints have taken: what is due
 *  now, the steps that the device still has, one more, the checkpoint then in
 *  writing, and the last one. */
double rt_train_stop_s(const rt_train_run *run);

/** The time from \a since until now was not spent training, unless the device
 *  had a step to go on with. */
void rt_train_pause(rt_train_run *run, double since);

/** The progress for scripts that may start the run again. */
rt_last_run rt_train_progress_of(const rt_train_run *run);
/** Write it to the run's folder, before the first step.  Collective. */
RT_MUST rt_err rt_train_record(rt_train_run *run);
/** Write it if a newer checkpoint is published since; if it cannot be written,
 *  that is one warning.  Not collective. */
void rt_train_record_again(rt_train_run *run);

/** Save this step on the way, after the checkpoint in writing, if there is one;
 *  RT_SAVE_MEANWHILE waits, too, if there is no copy to write from.  If it
 *  cannot be written (for its disk), here and in the next two functions, the
 * state is still in memory, and is written when the next checkpoint is due. The
 *  first that cannot be is a warning; how many could not be is said when one is
 *  written again, or the run ends (rt_train_tell_unsaved).  Does nothing
 * without output.dir.  Collective, as are the next functions. */
RT_MUST rt_err rt_train_save(rt_train_run *run, rt_save_how how);
/** All ranks' threads are ready with a part of the checkpoint in writing. */
RT_MUST rt_err rt_train_go_on_saving(rt_train_run *run);
/** Wait for the checkpoint in writing, if there is one. */
RT_MUST rt_err rt_train_settle(rt_train_run *run);
/** Save this step at the end, unless the checkpoint in writing has it. */
RT_MUST rt_err rt_train_save_last(rt_train_run *run);
/** At the end of a run: say once more that its last checkpoints could not be
 *  written, if it was more than one.  Not collective. */
void rt_train_tell_unsaved(rt_train_run *run);

#endif
