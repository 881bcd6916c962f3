/** \file logits_cache.c
 *  A cache of decoders. */
#include "io/logits/logits_cache.h"

#include <pthread.h>
#include <stdlib.h>

typedef struct place {
  rt_codec *codec; // owned; NULL: free
  int64_t i_shard;
  int n_loans;
  uint64_t used; // time of last use, as counted by the cache
} place;

struct rt_logits_cache {
  pthread_mutex_t lock; // protects everything below
  place places[RT_LOGITS_DECODERS];
  uint64_t now; // number of loans so far
  int64_t n_made;
};

rt_err rt_logits_cache_create(rt_logits_cache **out)
{
  *out = calloc(1, sizeof **out);
  RT_CHECK(*out != NULL, RT_ERR_MEM, "places of %d decoders",
           RT_LOGITS_DECODERS);
  pthread_mutex_init(&(*out)->lock, NULL);
  return RT_OK;
}

void rt_logits_cache_destroy(rt_logits_cache **cache)
{
  rt_logits_cache *const c = *cache;
  *cache = NULL;
  if (c == NULL)
    return;
  for (int i = 0; i < RT_LOGITS_DECODERS; i++)
    rt_codec_destroy(&c->places[i].codec);
  pthread_mutex_destroy(&c->lock);
  free(c);
}

/** Lock held.  Lend the shard's decoder, if it is cached. */
static bool lend(rt_logits_cache *c, int64_t i_shard, rt_logits_loan *out)
{
  for (int i = 0; i < RT_LOGITS_DECODERS; i++) {
    place *const p = &c->places[i];
    if (p->codec == NULL || p->i_shard != i_shard)
      continue;
    p->n_loans++;
    p->used = ++c->now;
    *out = (rt_logits_loan){p->codec, i};
    return true;
  }
  return false;
}

/** Lock held.  The least recently used slot that is not lent; NULL: none. */
static place *find_place(rt_logits_cache *c)
{
  place *best = NULL;
  for (int i = 0; i < RT_LOGITS_DECODERS; i++) {
    place *const p = &c->places[i];
    if (p->n_loans == 0 && (best == NULL || p->used < best->used))
      best = p;
  }
  return best;
}

/** Lock held.  Put \a made into a slot and lend it.  Returns a codec that the
 *  caller must destroy: the one replaced, or \a made if another thread was
 *  faster; NULL: none. */
static rt_codec *keep(rt_logits_cache *c, int64_t i_shard, rt_codec *made,
                      rt_logits_loan *out)
{
  c->n_made++;
  if (lend(c, i_shard, out))
    return made;
  place *const p = find_place(c);
  *out = (rt_logits_loan){made, -1};
  if (p == NULL)
    return NULL;
  rt_codec *const old = p->codec;
  *p = (place){.codec = made, .i_shard = i_shard};
  (void)lend(c, i_shard, out);
  return old;
}

rt_err rt_logits_cache_get(rt_logits_cache *cache,
                           const rt_logits_tables *tables, rt_logits_loan *out)
{
  rt_codec *made;
  pthread_mutex_lock(&cache->lock);
  const bool there = lend(cache, tables->i_shard, out);
  pthread_mutex_unlock(&cache->lock);
  if (there)
    return RT_OK;
  // lock not held: other threads continue with what is cached
  RT_TRY(rt_codec_load(tables->spec, tables->data, tables->n, tables->path,
                       &made));
  pthread_mutex_lock(&cache->lock);
  rt_codec *old = keep(cache, tables->i_shard, made, out);
  pthread_mutex_unlock(&cache->lock);
  rt_codec_destroy(&old);
  return RT_OK;
}

void rt_logits_cache_put(rt_logits_cache *cache, rt_logits_loan *loan)
{
  if (loan->i_place < 0) {
    rt_codec_destroy(&loan->codec);
    return;
  }
  pthread_mutex_lock(&cache->lock);
  cache->places[loan->i_place].n_loans--;
  pthread_mutex_unlock(&cache->lock);
  loan->codec = NULL;
}

int64_t rt_logits_cache_n_made(rt_logits_cache *cache)
{
  pthread_mutex_lock(&cache->lock);
  const int64_t n = cache->n_made;
  pthread_mutex_unlock(&cache->lock);
  return n;
}

int rt_logits_cache_n_kept(rt_logits_cache *cache)
{
  int n = 0;
  pthread_mutex_lock(&cache->lock);
  for (int i = 0; i < RT_LOGITS_DECODERS; i++)
    n += cache->places[i].codec != NULL;
  pthread_mutex_unlock(&cache->lock);
  return n;
}
