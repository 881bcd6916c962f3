/** \file digest.c
 *  Blocks of all files in one list, a run of which each rank reads. */
#include "io/common/digest.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/split.h"
#include "io/common/digest_cache.h"
#include "io/common/ranks.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PIECE = 4 << 20, HEX = RT_SHA256_HEX - 1 };

/** One file; rank 0's, which every rank must see alike. */
typedef struct source {
  rt_stamp stamp;
  int64_t first, n; // its blocks in the list; none when its digest is known
  char hex[RT_SHA256_HEX];
} source;

typedef struct work {
  MPI_Comm comm;
  int rank, n_ranks, n;
  const char *const *paths; // borrowed [n]
  source *source;           // owned [n]
  int64_t n_blocks;
  char *blocks; // owned [n_blocks][HEX]; zeros where another rank reads
} work;

/** Collective calls for other files would wait for each other for ever. */
static rt_err compare_names(const work *w)
{
  uint64_t mine = (uint64_t)w->n, first;
  for (int i = 0; i < w->n; i++) {
    const uint64_t part[] = {mine,
                             rt_hash_xxh3(w->paths[i], strlen(w->paths[i]))};
    mine = rt_hash_xxh3(part, sizeof part);
  }
  first = mine;
  RT_TRY(rt_group_bcast(w->comm, &first, sizeof first));
  return rt_group_agree(
      w->comm, mine == first
                   ? RT_OK
                   : RT_FAIL(RT_ERR_DATA,
                             "rank %d finds other files than rank 0 (%d, %s "
                             "...): the ranks see different folders",
                             w->rank, w->n, w->n > 0 ? w->paths[0] : "none"));
}

/** Rank 0 looks at the files, and at what is known of them. */
static rt_err look(work *w, const rt_digest_cache *cache)
{
  RT_ASSERT(w->source != NULL);
  for (int i = 0; i < w->n; i++) {
    source *const s = &w->source[i];
    RT_TRY(rt_stamp_of(w->paths[i], &s->stamp));
    if (!rt_digest_cache_get(cache, w->paths[i], &s->stamp, s->hex))
      s->n = (s->stamp.bytes + RT_DIGEST_BLOCK - 1) / RT_DIGEST_BLOCK;
    s->first = w->n_blocks;
    w->n_blocks += s->n;
  }
  RT_CHECK(w->n_blocks < INT_MAX / HEX, RT_ERR_DATA,
           "more than %d blocks to hash", INT_MAX / HEX);
  return RT_OK;
}

/** Each rank has the files in its own place: as long as rank 0's they must be.
 */
static rt_err compare_sizes(const work *w)
{
  rt_stamp mine;
  for (int i = 0; i < w->n; i++) {
    RT_TRY(rt_stamp_of(w->paths[i], &mine));
    RT_CHECK(mine.bytes == w->source[i].stamp.bytes, RT_ERR_DATA,
             "%s has %lld bytes on rank %d and %lld on rank 0: the ranks see "
             "different files; copy it anew",
             w->paths[i], (long long)mine.bytes, w->rank,
             (long long)w->source[i].stamp.bytes);
  }
  return RT_OK;
}

static rt_err hash_block(const char *path, int fd, int64_t begin, int64_t end,
                         char hex[RT_SHA256_HEX])
{
  rt_sha256 *h;
  void *const piece = malloc(PIECE);
  RT_CHECK(piece != NULL, RT_ERR_MEM, "%d bytes to hash %s", PIECE, path);
  rt_err err = rt_sha256_create(&h);
  for (int64_t at = begin; err == RT_OK && at < end; at += PIECE) {
    const size_t n = (size_t)(end - at < PIECE ? end - at : PIECE);
    err = rt_file_read_at(fd, path, piece, n, at);
    if (err == RT_OK)
      rt_sha256_update(h, piece, n);
  }
  if (h != NULL)
    rt_sha256_finish(&h, hex);
  free(piece);
  return err;
}

/** Blocks [begin, end) of the list that are file \a i's. */
static rt_err hash_file(work *w, int i, int64_t begin, int64_t end)
{
  const source *const s = &w->source[i];
  char hex[RT_SHA256_HEX];
  int fd = -1;
  begin = begin > s->first ? begin : s->first;
  end = end < s->first + s->n ? end : s->first + s->n;
  if (begin >= end)
    return RT_OK;
  rt_err err = rt_file_open(w->paths[i], &fd);
  for (int64_t b = begin; err == RT_OK && b < end; b++) {
    const int64_t at = (b - s->first) * RT_DIGEST_BLOCK;
    const int64_t left = s->stamp.bytes - at;
    err =
        hash_block(w->paths[i], fd, at,
                   at + (left < RT_DIGEST_BLOCK ? left : RT_DIGEST_BLOCK), hex);
    if (err == RT_OK)
      memcpy(w->blocks + b * HEX, hex, HEX);
  }
  if (fd >= 0)
    close(fd);
  return err;
}

static rt_err hash_share(work *w)
{
  const int64_t begin = rt_split_begin(w->n_blocks, w->n_ranks, w->rank);
  const int64_t n = rt_split_count(w->n_blocks, w->n_ranks, w->rank);
  RT_TRY(compare_sizes(w));
  w->blocks = calloc((size_t)w->n_blocks + 1, HEX);
  RT_CHECK(w->blocks != NULL, RT_ERR_MEM, "hashes of %lld blocks",
           (long long)w->n_blocks);
  for (int i = 0; i < w->n; i++)
    RT_TRY(hash_file(w, i, begin, begin + n));
  return RT_OK;
}

/** From a file's blocks to its digest. */
static rt_err combine(const work *w, source *s)
{
  char size[32];
  rt_sha256 *h;
  RT_TRY(rt_sha256_create(&h));
  const int n =
      snprintf(size, sizeof size, "%lld\n", (long long)s->stamp.bytes);
  rt_sha256_update(h, size, (size_t)n);
  for (int64_t b = 0; b < s->n; b++) {
    rt_sha256_update(h, w->blocks + (s->first + b) * HEX, HEX);
    rt_sha256_update(h, "\n", 1);
  }
  rt_sha256_finish(&h, s->hex);
  return RT_OK;
}

/** Rank 0 has all blocks now. */
static rt_err finish(work *w, rt_digest_cache *cache, int64_t began_ns)
{
  for (int i = 0; i < w->n; i++) {
    source *const s = &w->source[i];
    rt_stamp now;
    if (s->hex[0] != '\0')
      continue;
    RT_TRY(combine(w, s));
    RT_TRY(rt_stamp_of(w->paths[i], &now));
    RT_CHECK(rt_stamp_same(&now, &s->stamp), RT_ERR_DATA,
             "%s was changed while it was hashed: start again when it is "
             "finished",
             w->paths[i]);
    rt_digest_cache_put(cache, w->paths[i], &s->stamp, began_ns, s->hex);
  }
  return RT_OK;
}

/** What was read and what was not, where that took or saved time. */
static void tell(const work *w, const char *what, const rt_digest_cache *cache,
                 double seconds)
{
  double read = 0.0, known = 0.0;
  for (int i = 0; i < w->n; i++)
    *(w->source[i].n > 0 ? &read : &known) += (double)w->source[i].stamp.bytes;
  if (known > 0.0)
    rt_info("%s: the hash of %.3g GiB is taken from %s: size and times are as "
            "they were when it was read",
            what, known * 0x1p-30, rt_digest_cache_path(cache));
  if (read > 0.0 && seconds > 1.0)
    rt_info("%s: %.3g GiB hashed on %d ranks in %.1f s", what, read * 0x1p-30,
            w->n_ranks, seconds);
}

static rt_err run(work *w, const char *what, rt_digest_cache *cache)
{
  const double since = rt_now_s();
  const int64_t began_ns = rt_stamp_now();
  RT_TRY(compare_names(w));
  RT_TRY(rt_group_agree(w->comm, w->rank == 0 ? look(w, cache) : RT_OK));
  RT_TRY(rt_group_bcast(w->comm, w->source, (size_t)w->n * sizeof *w->source));
  RT_TRY(rt_group_bcast(w->comm, &w->n_blocks, sizeof w->n_blocks));
  RT_TRY(rt_group_agree(w->comm, hash_share(w)));
  RT_TRY_MEETING("reduce", MPI_Reduce(w->rank == 0 ? MPI_IN_PLACE : w->blocks,
                                      w->blocks, (int)(w->n_blocks * HEX),
                                      MPI_BYTE, MPI_BOR, 0, w->comm));
  RT_TRY(rt_group_agree(w->comm,
                        w->rank == 0 ? finish(w, cache, began_ns) : RT_OK));
  tell(w, what, cache, rt_now_s() - since);
  return rt_group_bcast(w->comm, w->source, (size_t)w->n * sizeof *w->source);
}

rt_err rt_files_digest(MPI_Comm comm, const char *what,
                       const char *const *paths, int n,
                       char (*hex)[RT_SHA256_HEX])
{
  work w = {.comm = comm, .n = n, .paths = paths};
  RT_TRY_MPI(MPI_Comm_rank(comm, &w.rank));
  RT_TRY_MPI(MPI_Comm_size(comm, &w.n_ranks));
  w.source = calloc((size_t)n + 1, sizeof *w.source);
  rt_err err = rt_group_agree(
      comm, w.source != NULL ? RT_OK : RT_FAIL(RT_ERR_MEM, "%d files", n));
  rt_digest_cache *cache = w.rank == 0 ? rt_digest_cache_open() : NULL;
  if (err == RT_OK)
    err = run(&w, what, cache);
  for (int i = 0; err == RT_OK && i < n; i++)
    memcpy(hex[i], w.source[i].hex, sizeof hex[i]);
  rt_digest_cache_close(&cache);
  free(w.source);
  free(w.blocks);
  return err;
}

static rt_err sample(int fd, const char *path, int n_looks, uint64_t *hash)
{
  enum { BLOCK = 4096 };
  unsigned char block[BLOCK];
  int64_t bytes = 0;
  RT_TRY(rt_file_size(path, &bytes));
  const int64_t size = bytes < BLOCK ? bytes : BLOCK, room = bytes - size;
  *hash = (uint64_t)bytes;
  for (int64_t i = 0; i < n_looks && (i == 0 || room > 0); i++) {
    // no product of both: files have up to 2^63 bytes
    const int64_t at =
        i * (room / (n_looks - 1)) + i * (room % (n_looks - 1)) / (n_looks - 1);
    RT_TRY(rt_file_read_at(fd, path, block, (size_t)size, at));
    const uint64_t part[] = {*hash, rt_hash_xxh3(block, (size_t)size)};
    *hash = rt_hash_xxh3(part, sizeof part);
  }
  return RT_OK;
}

rt_err rt_file_sample(const char *path, int n_looks, uint64_t *hash)
{
  int fd;
  RT_TRY(rt_file_open(path, &fd));
  const rt_err err = sample(fd, path, n_looks, hash);
  close(fd);
  RT_TRY(err);
  return RT_OK;
}
