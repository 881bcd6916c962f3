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
  rt_comm *world;
  char folder[RT_PATH_MAX];
  char corpus[RT_PATH_MAX], teacher[RT_PATH_MAX], student[RT_PATH_MAX],
      logits[RT_PATH_MAX];
} scene;

static const rt_arch scene_arch = {.family = "llama",
                                   .vocab = SCENE_V,
                                   .width = 16,
                                   .n_blocks = 2,
                                   .n_heads = 4,
                                   .n_kv_heads = 4,
                                   .head_dim = 4,
                                   .ffn = 24,
                                   .max_positions = SCENE_T,
                                   .norm_eps = 1e-5,
                                   .rope_theta = 1e4,
                                   .tied = true,
                                   .init_std = 0.7, // far from flat
                                   .bos_id = -1,
                                   .eos_id = 0};

void scene_create(scene *s);

void scene_clear(scene *s);

#endif
