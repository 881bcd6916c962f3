/** \file scene.h
 *  A tiny corpus, a teacher and a student on disk, for tests of whole runs. */
#ifndef RT_SCENE_H
#define RT_SCENE_H

#include "distill/run/run.h"
#include "io/hf/hfconfig.h"
#include "io/hf/safetensors.h"
#include "support/rt_test.h"
#include "support/scratch.h"

enum { SCENE_V = 301, SCENE_T = 8, SCENE_TOKENS = 2400 };

void scene_on_fatal(rt_err err);

void scene_on_beat(int64_t step, const char *phase);

void scene_on_wait(const char *phase);

bool scene_never(void);

static const rt_hooks scene_hooks = {scene_on_fatal, scene_on_beat,
                                     scene_on_wait, scene_never};

/** Files of the test, the same on all ranks. */
typedef struct scene {
  rt_arch arch; /**< of both models */
  rt_comm *world;
  char folder[RT_PATH_MAX];
  char corpus[RT_PATH_MAX], teacher[RT_PATH_MAX], student[RT_PATH_MAX],
      logits[RT_PATH_MAX];
} scene;

void scene_create(scene *s);

void scene_clear(scene *s);

/** Its corpus, of which \a valid_fraction is held out. */
rt_corpus *scene_corpus(const scene *s, double valid_fraction);

#endif
