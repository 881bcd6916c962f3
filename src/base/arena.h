/** \file arena.h
 *  Memory planned before it is allocated: named, shaped ranges of one block.
 *  Layer: base.
 *
 *  Reserve ranges (nothing is allocated), print or check the plan, commit;
 *  only then do the views point anywhere.  mark/rewind lets ranges of phases
 *  that never live together share bytes. */
#ifndef RT_ARENA_H
#define RT_ARENA_H

#include "base/err.h"
#include "base/view.h"
#include <stdio.h>

typedef struct rt_arena rt_arena;

/** Memory functions of the place the arena lies in (host, device). */
typedef struct rt_arena_memory {
  void *(*alloc)(void *self, size_t bytes); /**< zeroed?  no: poisoned or raw */
  void (*release)(void *self, void *data);
  void *self; // borrowed
} rt_arena_memory;

/** Create an empty plan called \a name ("student", "teacher", "loss"). */
RT_MUST rt_err rt_arena_create(const char *name, rt_arena **out);

/** Plan [rows, cols] of \a dtype, 64-byte aligned.  \a view (borrowed, must
 *  stay where it is until commit) gets its shape now, its data at commit. */
RT_MUST rt_err rt_arena_reserve(rt_arena *arena, const char *name,
                                rt_dtype dtype, int64_t rows, int64_t cols,
                                rt_view *view);

/** The current offset; rewinding to it lets later ranges reuse the bytes. */
size_t rt_arena_mark(const rt_arena *arena);
void rt_arena_rewind(rt_arena *arena, size_t mark);

/** Bytes the whole plan needs. */
size_t rt_arena_bytes(const rt_arena *arena);
/** One line per range: name, shape, type, MiB, offset.  Ranges under 1 MiB are
 *  summed in one line. */
void rt_arena_print(const rt_arena *arena, FILE *to);

/** Allocate and fill in every reserved view.  Once. */
RT_MUST rt_err rt_arena_commit(rt_arena *arena, rt_arena_memory memory);

/** Free and set to NULL; NULL is accepted. */
void rt_arena_destroy(rt_arena **arena);

#endif
