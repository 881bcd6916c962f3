/** \file arena.c
 *  Memory that is planned before it is allocated. */
#include "base/arena.h"

#include "base/split.h"
#include <stdlib.h>
#include <string.h>

enum { ALIGN = 256, NAME = 48, TILE_STEP = 64, PAGE = 1024 };

typedef struct range {
  char name[NAME];
  rt_view *view; // borrowed until commit
  rt_view shape; // without data
  size_t offset;
} range;

struct rt_arena {
  char name[NAME];
  range *ranges; // owned [n_ranges]
  int n_ranges, room;
  size_t top, peak;
  size_t end; // of the last range, without its padding
  rt_arena_memory memory;
  void *block; // owned after commit
};

rt_err rt_arena_create(const char *name, rt_arena **out)
{
  rt_arena *arena = calloc(1, sizeof *arena);
  *out = arena;
  RT_CHECK(arena != NULL, RT_ERR_MEM, "arena %s", name);
  snprintf(arena->name, sizeof arena->name, "%s", name);
  return RT_OK;
}

static rt_err grow(rt_arena *arena)
{
  const int room = arena->room == 0 ? 16 : 2 * arena->room;
  range *more = realloc(arena->ranges, (size_t)room * sizeof *more);
  RT_CHECK(more != NULL, RT_ERR_MEM, "%d ranges of arena %s", room,
           arena->name);
  arena->ranges = more;
  arena->room = room;
  return RT_OK;
}

rt_err rt_arena_reserve(rt_arena *arena, const char *name, rt_dtype dtype,
                        int64_t rows, int64_t cols, rt_view *view)
{
  RT_CHECK(arena->block == NULL, RT_ERR_INTERNAL,
           "arena %s: %s is reserved after commit", arena->name, name);
  size_t bytes;
  RT_CHECK(rows >= 0 && cols >= 0 &&
               !__builtin_mul_overflow((size_t)rows, (size_t)cols, &bytes) &&
               !__builtin_mul_overflow(bytes, rt_dtype_size(dtype), &bytes) &&
               bytes <= SIZE_MAX / 4,
           RT_ERR_MEM, "arena %s: %s [%lld, %lld] of %s is too large",
           arena->name, name, (long long)rows, (long long)cols,
           rt_dtype_name(dtype));
  if (arena->n_ranges == arena->room)
    RT_TRY(grow(arena));
  range *r = &arena->ranges[arena->n_ranges++];
  snprintf(r->name, sizeof r->name, "%s", name);
  r->view = view;
  r->offset = arena->top;
  *view = r->shape = rt_view_of(NULL, dtype, rows, cols);
  arena->end = r->offset + bytes;
  arena->top = (size_t)rt_round_up((int64_t)arena->end, ALIGN);
  if (arena->top > arena->peak)
    arena->peak = arena->top;
  return RT_OK;
}

rt_err rt_arena_append(rt_arena *arena, const char *name, rt_dtype dtype,
                       int64_t rows, int64_t cols, rt_view *view)
{
  arena->top = arena->end;
  return rt_arena_reserve(arena, name, dtype, rows, cols, view);
}

int64_t rt_arena_tile_ld(int64_t cols)
{
  const int64_t ld = rt_round_up(cols, TILE_STEP);
  // rows that begin alike in their pages would meet in a few lines of a cache
  return ld % PAGE == 0 ? ld + TILE_STEP : ld;
}

rt_err rt_arena_reserve_tile(rt_arena *arena, const char *name, rt_dtype dtype,
                             int64_t rows, int64_t cols, rt_view *view)
{
  RT_TRY(
      rt_arena_reserve(arena, name, dtype, rows, rt_arena_tile_ld(cols), view));
  view->cols = cols;
  return RT_OK;
}

size_t rt_arena_mark(const rt_arena *arena)
{
  return arena->top;
}

void rt_arena_rewind(rt_arena *arena, size_t mark)
{
  RT_ASSERT(mark <= arena->top);
  arena->top = arena->end = mark;
}

size_t rt_arena_bytes(const rt_arena *arena)
{
  return arena->peak;
}

void rt_arena_print(const rt_arena *arena, FILE *to)
{
  const double mib = 0x1p-20;
  double small = 0.0;
  fprintf(to, "%-18s %38.1f MiB\n", arena->name, (double)arena->peak * mib);
  for (int i = 0; i < arena->n_ranges; i++) {
    const range *r = &arena->ranges[i];
    const double bytes = (double)rt_view_bytes(&r->shape);
    if (bytes < 0x1p20) {
      small += bytes;
      continue;
    }
    fprintf(to, "  %-26s %4s [%9lld, %6lld] %7.1f MiB at %.1f\n", r->name,
            rt_dtype_name(r->shape.dtype), (long long)r->shape.rows,
            (long long)r->shape.cols, bytes * mib, (double)r->offset * mib);
  }
  if (small > 0.0)
    fprintf(to, "  %-46s %8.1f MiB\n", "ranges below 1 MiB", small * mib);
}

rt_err rt_arena_commit(rt_arena *arena, rt_arena_memory memory)
{
  RT_CHECK(arena->block == NULL, RT_ERR_INTERNAL, "arena %s: committed twice",
           arena->name);
  const size_t bytes = arena->peak > 0 ? arena->peak : ALIGN;
  arena->memory = memory;
  arena->block = memory.alloc(memory.self, bytes);
  RT_CHECK(arena->block != NULL, RT_ERR_MEM,
           "%s needs %.1f MiB that this machine does not give: a smaller "
           "micro-batch, more tp, or more nodes",
           arena->name, (double)bytes * 0x1p-20);
  for (int i = 0; i < arena->n_ranges; i++)
    arena->ranges[i].view->data =
        (char *)arena->block + arena->ranges[i].offset;
  return RT_OK;
}

void rt_arena_destroy(rt_arena **out)
{
  rt_arena *arena = *out;
  *out = NULL;
  if (arena == NULL)
    return;
  if (arena->block != NULL)
    arena->memory.release(arena->memory.self, arena->block);
  free(arena->ranges);
  free(arena);
}
