/** \file train_scene.h
 *  A trainer of a small model on a small corpus, with everything below it. */
#ifndef RT_TRAIN_SCENE_H
#define RT_TRAIN_SCENE_H

#include "distill/train/step.h"
#include "support/corpus_dataset.h"
#include "support/scratch.h"

enum { TRAIN_SEQ = 8, TRAIN_BATCH = 8, TRAIN_V = 200, TRAIN_STEPS = 1000 };

typedef struct train_scene {
  rt_arch arch;
  char folder[RT_PATH_MAX];
  rt_comm *comm;
  rt_grid grid;
  rt_dev *dev;
  rt_corpus *corpus;
  rt_phases phases;
  rt_trainer *tr;
} train_scene;

typedef struct train_setup {
  MPI_Comm comm;
  int tp;
  int64_t micro_rows; // 0: all of a rank
  double clip, spike, eps, lr;
  bool stop;
  int text;           // first id of the text
  const char *device; // NULL: cpu
} train_setup;

/** One step after the other by a small learning rate, on ids from 100 on. */
train_setup train_usual(MPI_Comm comm, int tp);

/** Everything but the trainer.  Collective over all ranks. */
void train_open(train_scene *x, const train_setup *how);
/** What a trainer of the scene takes, without teacher and capture. */
rt_trainer_spec train_spec(train_scene *x, const train_setup *how);
/** The scene with its trainer, at step 0. */
void train_start(train_scene *x, train_setup how);
void train_finish(train_scene *x);
/** Run a step, and take its result at once. */
void train_step(train_scene *x, int64_t step, rt_step_result *r);

/** This rank's tile of the final norm's weights [width], whole on every rank.
 */
void train_norm(const train_scene *x, double w[16]);

#endif
