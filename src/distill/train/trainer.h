/** \file trainer.h
 *  The state of training.  Layer: distill/train. */
#ifndef RT_TRAINER_H
#define RT_TRAINER_H

#include "distill/capture/window_capture.h"
#include "distill/data/feed.h"
#include "distill/train/same_run.h"
#include "optim/adamw.h"
#include "optim/gradsync.h"
#include "optim/schedule.h"

/** Parameters of a step.  All borrowed. */
typedef struct rt_step_spec {
  rt_dev *dev;
  const rt_comm *tp, *dp; /**< of the student */
  rt_phases *phases;
  int64_t batch_rows;    /**< B, of a step over all ranks */
  int64_t rows_per_rank; /**< B / dp */
  int64_t micro_rows;    /**< of a micro-step, divides rows_per_rank */
  int64_t seq;           /**< T */
  double clip;           /**< largest norm of the gradient; 0: any */
  double spike; /**< a norm above this times its running mean is bad; 0: none */
  bool stop;    /**< after a bad step, none changes anything */
} rt_step_spec;

/** Everything that training a model takes.  All borrowed. */
typedef struct rt_trainer_spec {
  const rt_comm *world;
  rt_step_spec step;
  rt_model_spec student; /**< to train, on step.dev */
  const char *weights;   /**< its initial weights; "": random by \a seed */
  uint64_t seed;
  rt_adamw_spec adamw;
  rt_objective_spec loss;
  rt_schedule lr, alpha;
  rt_teacher_spec teacher;
  rt_feed_spec feed;              /**< its thread makes the teacher's targets */
  rt_window_capture_spec capture; /**< its window may be empty */
} rt_trainer_spec;

/** Steps whose results the host has not taken yet, at most. */
enum { RT_STEPS_OPEN = 2 };

/** Such a step: what the host knows of it. */
typedef struct rt_open_step {
  double alpha, lr;
  double since_s;  /**< when it was launched, as rt_now_s() */
  k_told *told;    // owned by the device: see rt_dev_pin
  rt_event copied; /**< the device has told */
} rt_open_step;

typedef struct rt_trainer {
  rt_step_spec spec;
  const rt_comm *world; // borrowed, like the next two
  const char *weights;
  uint64_t seed;
  rt_feed_spec rows;
  rt_model *model;     // owned, like everything below
  rt_teacher *teacher; /**< NULL: language modelling only */
  rt_objective *objective;
  rt_window_capture *capture; /**< NULL: no window capture in this run */
  rt_adamw *opt;
  rt_gradsync *sync;
  rt_feed *feed;
  rt_schedule lr, alpha;
  uint64_t rows_seen; /**< hash of this rank's rows so far */
  // up to the last result that was taken:
  int64_t n_updates; /**< t of AdamW: number of steps that were not skipped */
  int64_t n_skipped;
  double norm_mean; /**< running mean of the gradient norm, 0 at the start */
  rt_open_step open[RT_STEPS_OPEN]; /**< step i of this start at i modulo their
                                       number */
  int64_t n_run, n_taken; /**< since the start: steps, results taken */
  int64_t n_waits,
      n_drains,    /**< waits of the host for the device: in steps, and for
                      the result of the last one in the queue */
      n_optimizer; /**< launches of the optimizer */
  double taken_s;  /**< when the last result was taken */
  rt_run_id id;    /**< identifies this run in its checkpoints */
  rt_arena *input; /**< owned: memory of the views below */
  rt_view tok, pos, doc_start; /**< i32 [N, 1] on the device */
  rt_view control; /**< f64 [1, K_N_CONTROL] on the device: n_updates, n_skipped
                      and norm_mean are what the host knows of it */
  rt_view told;    /**< f64 [1, K_N_TOLD] on the device */
  rt_event told_free; /**< told has been copied, and may be overwritten */
} rt_trainer;

/** Plan everything; allocate nothing.  Collective. */
RT_MUST rt_err rt_trainer_create(const rt_trainer_spec *spec, rt_trainer **out);
/** Allocate, and initialise or load the weights.  Collective. */
RT_MUST rt_err rt_trainer_commit(rt_trainer *trainer);
void rt_trainer_destroy(rt_trainer **trainer);
/** Plans of its memory; returns their number, at most 10. */
int rt_trainer_arenas(const rt_trainer *trainer, const rt_arena *plans[10]);
/** Start the feed at \a step.  Call before the first rt_trainer_step. */
RT_MUST rt_err rt_trainer_seek(rt_trainer *trainer, int64_t step);

/** Send n_updates, n_skipped and norm_mean to the device, which goes on from
 *  them; rt_trainer_seek does.  No step may be open. */
RT_MUST rt_err rt_trainer_send_control(rt_trainer *trainer);

#endif
