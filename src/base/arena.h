/** \file arena.h
 *  Memory that is planned before it is allocated: named ranges with shapes, all
 *  in one block.  Layer: base.
 *
 *  Reserve all ranges (this allocates nothing), print or check the plan, then
 *  commit.  Only after the commit do the views point to memory.  With mark and
 *  rewind, ranges of phases that never overlap in time can share bytes. */
#ifndef RT_ARENA_H
#define RT_ARENA_H

#include "base/err.h"
#include "base/view.h"
#include <stdio.h>

typedef struct rt_arena rt_arena;

/** Memory functions of the device (or host) that the arena is on. */
typedef struct rt_arena_memory {
  void *(*alloc)(void *self, size_t bytes); /**< not zeroed */
  void (*release)(void *self, void *data);
  void *self; // borrowed
} rt_arena_memory;

/** Create an empty plan called \a name ("student", "teacher", "loss"). */
RT_MUST rt_err rt_arena_create(const char *name, rt_arena **out);

/** Reserve [rows, cols] of \a dtype, 256-byte aligned.  \a view is borrowed and
 *  must not move until the commit.  Its shape is set now, its data pointer by
 *  the commit. */
RT_MUST rt_err rt_arena_reserve(rt_arena *arena, const char *name,
                                rt_dtype dtype, int64_t rows, int64_t cols,
                                rt_view *view);

/** The same, but directly behind the range before, of the same type, so that
 *  one view can have both. */
RT_MUST rt_err rt_arena_append(rt_arena *arena, const char *name,
                               rt_dtype dtype, int64_t rows, int64_t cols,
                               rt_view *view);

/** The same as rt_arena_reserve(), but each row begins at a multiple of 64
 *  elements, but no two after another at one place of a page: for tiles of
 *  logits, whatever the vocabulary. */
RT_MUST rt_err rt_arena_reserve_tile(rt_arena *arena, const char *name,
                                     rt_dtype dtype, int64_t rows, int64_t cols,
                                     rt_view *view);
/** The leading dimension of such a tile. */
int64_t rt_arena_tile_ld(int64_t cols);

/** The current offset.  Rewinding to it lets later ranges reuse the bytes. */
size_t rt_arena_mark(const rt_arena *arena);
void rt_arena_rewind(rt_arena *arena, size_t mark);

/** Size of the whole plan in bytes. */
size_t rt_arena_bytes(const rt_arena *arena);
/** Print one line per range: name, shape, type, MiB, offset.  Ranges below 1
 *  MiB are summed in one line. */
void rt_arena_print(const rt_arena *arena, FILE *to);

/** Allocate the block and set the data pointers of all reserved views.  Call
 *  once. */
RT_MUST rt_err rt_arena_commit(rt_arena *arena, rt_arena_memory memory);

/** Free and set to NULL; NULL is accepted. */
void rt_arena_destroy(rt_arena **arena);

#endif
