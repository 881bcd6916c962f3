/** \file teacher_disk.c
 *  The offline teacher: entries of a captured dataset.  The feed thread makes
 *  the targets of each row that it has read, so that the step only sends them.
 */
#include "distill/data/feed.h"
#include "distill/teacher/target_store.h"
#include "distill/teacher/teacher_kind.h"

#include <stdlib.h>

typedef struct disk {
  rt_truncation rule;
  rt_phases *phases; // borrowed
  rt_target_store store;
} disk;

rt_err rt_teacher_disk_create(const rt_teacher_spec *spec, void **self)
{
  disk *d = calloc(1, sizeof *d);
  *self = d;
  RT_CHECK(d != NULL, RT_ERR_MEM, "a teacher from a dataset");
  d->rule = spec->rule;
  d->phases = spec->phases;
  d->store = (rt_target_store){.n_slots = RT_FEED_SLOTS,
                               .n = spec->model.micro_rows * spec->model.seq,
                               .k = spec->rule.top_k,
                               .type = spec->target_type,
                               .tau = spec->tau};
  return rt_target_store_init(&d->store, spec->model.dev);
}

static int disk_arenas(void *self, const rt_arena *plans[4])
{
  plans[0] = ((disk *)self)->store.arena;
  return 1;
}

static double disk_beside(const void *self)
{
  return (double)rt_target_store_host_bytes(&((const disk *)self)->store);
}

static rt_err disk_commit(void *self)
{
  return rt_target_store_commit(&((disk *)self)->store);
}

static rt_err disk_on_row(void *self, const rt_batch *b, int64_t r)
{
  disk *d = self;
  const rt_logits_row *const row = &b->logits[r];
  const int64_t first = b->slot * d->store.n + r * b->seq;
  int64_t at = 0;
  for (int64_t t = 0; t < b->seq; t++) {
    const int64_t count =
        rt_truncate_count(row->logp + at, row->count[t], d->rule);
    rt_target_store_set(&d->store, first + t, count,
                        (const int32_t *)row->ids + at, row->logp + at);
    at += row->count[t];
  }
  return RT_OK;
}

static rt_err disk_begin(void *self, const rt_batch *b)
{
  disk *d = self;
  const rt_phase was = rt_phases_to(d->phases, RT_PHASE_STORED);
  RT_TRY(rt_target_store_send(&d->store, b->slot));
  rt_phases_to(d->phases, was);
  return RT_OK;
}

static rt_err disk_chunk(void *self, int64_t tok0, int64_t n, rt_view tile,
                         rt_targets *out)
{
  (void)tile;
  const disk *d = self;
  *out = rt_target_store_view(&d->store, tok0, n);
  return RT_OK;
}

static void disk_destroy(void *self)
{
  rt_target_store_clear(&((disk *)self)->store);
  free(self);
}

const rt_teacher_kind rt_teacher_disk_kind = {.arenas = disk_arenas,
                                              .beside = disk_beside,
                                              .commit = disk_commit,
                                              .on_row = disk_on_row,
                                              .begin = disk_begin,
                                              .chunk = disk_chunk,
                                              .destroy = disk_destroy};
