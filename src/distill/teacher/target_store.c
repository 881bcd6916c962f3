/** \file target_store.c
 *  Sparse targets of micro-batches. */
#include "distill/teacher/target_store.h"

#include "base/bundle.h"

#include "kernels/truncate.h"

#include <stdlib.h>
#include <string.h>

static rt_err reserve(rt_target_store *s)
{
  const int64_t n = s->n, k = s->k;
  RT_TRY(rt_arena_reserve(s->arena, "count", RT_I32, n, 1, &s->count));
  RT_TRY(rt_arena_reserve(s->arena, "ids", RT_I32, n, k, &s->ids));
  RT_TRY(
      rt_arena_reserve(s->arena, "target probabilities", s->type, n, k, &s->t));
  return rt_arena_reserve(s->arena, "entropies", RT_F64, n, 1, &s->entropy);
}

/** The device reads the host's arrays of \a slot. */
static void show(rt_target_store *s, int slot)
{
  const int64_t n = s->n, k = s->k, at = slot * n;
  const size_t of_t = (size_t)(at * k) * rt_dtype_size(s->type);
  s->count = rt_view_of(s->h_count + at, RT_I32, n, 1);
  s->ids = rt_view_of(s->h_ids + at * k, RT_I32, n, k);
  s->t = rt_view_of((char *)s->h_t + of_t, s->type, n, k);
  s->entropy = rt_view_of(s->h_entropy + at, RT_F64, n, 1);
}

rt_err rt_target_store_init(rt_target_store *s, rt_dev *dev)
{
  s->dev = dev;
  // a slot is not filled again before all that reads it is launched
  s->in_place = s->n_slots > 0 && rt_dev_at_once(dev) && rt_dev_on_host(dev);
  RT_TRY(rt_arena_create("targets", &s->arena));
  if (!s->in_place)
    RT_TRY(reserve(s));
  if (s->n_slots == 0)
    RT_PLAN(dev, targets, .t = s->t);
  return RT_OK;
}

/** The host arrays. */
static void lay_out(rt_target_store *s, rt_bundle *bundle)
{
  const size_t n = (size_t)s->n_slots * (size_t)s->n, all = n * (size_t)s->k;
  s->h_count = rt_bundle_take(bundle, n, sizeof *s->h_count);
  s->h_ids = rt_bundle_take(bundle, all, sizeof *s->h_ids);
  s->h_t = rt_bundle_take(bundle, all, rt_dtype_size(s->type));
  s->h_entropy = rt_bundle_take(bundle, n, sizeof *s->h_entropy);
  s->row = rt_bundle_take(bundle, n > 0 ? (size_t)s->k : 0, sizeof *s->row);
}

size_t rt_target_store_host_bytes(const rt_target_store *s)
{
  rt_bundle bundle = {0};
  rt_target_store counted = *s;
  lay_out(&counted, &bundle);
  return bundle.bytes;
}

rt_err rt_target_store_commit(rt_target_store *s)
{
  rt_bundle bundle = {.bytes = rt_target_store_host_bytes(s)};
  RT_TRY(rt_bundle_alloc(&bundle, "targets; reduce train.micro_rows"));
  s->host = bundle.block;
  lay_out(s, &bundle);
  return rt_arena_commit(s->arena, rt_dev_memory(s->dev));
}

void rt_target_store_clear(rt_target_store *s)
{
  rt_arena_destroy(&s->arena);
  free(s->host);
  *s = (rt_target_store){0};
}

void rt_target_store_set(rt_target_store *s, int64_t i, int64_t count,
                         const int32_t *ids, const float *logp)
{
  RT_ASSERT(count <= s->k);
  s->h_count[i] = (int32_t)count;
  s->h_entropy[i] = rt_truncate_target(logp, count, s->tau, s->row);
  memcpy(s->h_ids + i * s->k, ids, (size_t)count * sizeof *ids);
  rt_dtype_convert((char *)s->h_t + (size_t)(i * s->k) * rt_dtype_size(s->type),
                   s->type, s->row, RT_F64, (size_t)count);
}

rt_err rt_target_store_send(rt_target_store *s, int slot)
{
  const int64_t at = slot * s->n;
  if (s->in_place) {
    show(s, slot);
    return RT_OK;
  }
  RT_TRY(rt_dev_put(s->dev, s->count, s->h_count + at));
  RT_TRY(rt_dev_put(s->dev, s->ids, s->h_ids + at * s->k));
  RT_TRY(rt_dev_put(s->dev, s->entropy, s->h_entropy + at));
  return rt_dev_put(s->dev, s->t,
                    (char *)s->h_t + (size_t)slot * rt_view_bytes(&s->t));
}

void rt_target_store_form(rt_target_store *s, int64_t tok0, rt_view logp)
{
  const rt_targets to = rt_target_store_view(s, tok0, logp.rows);
  RT_RUN(s->dev, targets, .count = to.count, .logp = logp, .t = to.t,
         .entropy = to.entropy, .tau = s->tau);
}

rt_targets rt_target_store_view(const rt_target_store *s, int64_t tok0,
                                int64_t n)
{
  return (rt_targets){.count = rt_view_rows(s->count, tok0, n),
                      .ids = rt_view_rows(s->ids, tok0, n),
                      .t = rt_view_rows(s->t, tok0, n),
                      .entropy = rt_view_rows(s->entropy, tok0, n)};
}
