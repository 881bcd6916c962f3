/** \file digest.c
 *  The blocks of all files form one list, which the ranks hash in rounds: each
 *  reads a contiguous part, then the digests of files that are complete are
 *  cached.  A job that is ended meanwhile has to hash the rest only. */
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

enum {
  PIECE = 4 << 20,
  HEX = RT_SHA256_HEX - 1,
  ROUND = 4 // blocks that a rank hashes in a round
};

/** A file, as seen by the first rank of a group of ranks that see the same one.
 */
typedef struct source {
  rt_stamp stamp;
  int64_t first, n; // its blocks in the list; none if its digest is cached
  char hex[RT_SHA256_HEX];
} source;

typedef struct work {
  MPI_Comm comm; // of the group
  int rank, n_ranks, n;
  const char *const *paths; // borrowed [n]
  source *source;           // owned [n]
  int64_t n_blocks;
  char *blocks; // owned [n_blocks][HEX]; zeros for blocks that other ranks read
} work;

/** Check that all ranks passed the same names; otherwise they would wait for
 *  each other forever. */
static rt_err compare_names(MPI_Comm comm, const work *w)
{
  uint64_t mine = (uint64_t)w->n, first;
  for (int i = 0; i < w->n; i++) {
    const uint64_t part[] = {mine,
                             rt_hash_xxh3(w->paths[i], strlen(w->paths[i]))};
    mine = rt_hash_xxh3(part, sizeof part);
  }
  first = mine;
  RT_TRY(rt_group_bcast(comm, &first, sizeof first));
  return rt_group_agree(
      comm, mine == first
                ? RT_OK
                : RT_FAIL(RT_ERR_DATA,
                          "rank %d finds other files than rank 0 (%d, %s ...): "
                          "the ranks see different folders",
                          w->rank, w->n, w->n > 0 ? w->paths[0] : "none"));
}

/** On rank 0: get size and times of the files, and look up cached digests. */
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
    rt_ranks_alive();
  }
  if (h != NULL)
    rt_sha256_finish(&h, hex);
  free(piece);
  return err;
}

/** Hash the blocks [begin, end) of the list that belong to file \a i. */
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

/** Hash this rank's share of the blocks [first, end) of the list. */
static rt_err hash_share(work *w, int64_t first, int64_t end)
{
  const int64_t begin =
      first + rt_split_begin(end - first, w->n_ranks, w->rank);
  const int64_t n = rt_split_count(end - first, w->n_ranks, w->rank);
  for (int i = 0; i < w->n; i++)
    RT_TRY(hash_file(w, i, begin, begin + n));
  return RT_OK;
}

/** Combine the hashes of a file's blocks to its digest. */
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

/** On rank 0, which now has the hashes of the first \a n_known blocks: compute
 *  and cache the digests of files that are complete. */
static rt_err finish(work *w, rt_digest_cache *cache, int64_t began_ns,
                     int64_t n_known)
{
  for (int i = 0; i < w->n; i++) {
    source *const s = &w->source[i];
    rt_stamp now;
    if (s->hex[0] != '\0' || s->first + s->n > n_known)
      continue;
    RT_TRY(combine(w, s));
    RT_TRY(rt_stamp_of(w->paths[i], &now));
    RT_CHECK(rt_stamp_same(&now, &s->stamp), RT_ERR_DATA,
             "%s changed while it was hashed: run again when it is complete",
             w->paths[i]);
    rt_digest_cache_put(cache, w->paths[i], &s->stamp, began_ns, s->hex);
  }
  return RT_OK;
}

/** Hash all blocks, in rounds.  There is at least one, as empty files have a
 *  digest too. */
static rt_err hash_rounds(work *w, rt_digest_cache *cache, int64_t began_ns)
{
  const int64_t n_round = (int64_t)ROUND * w->n_ranks;
  w->blocks = calloc((size_t)w->n_blocks + 1, HEX);
  RT_TRY(rt_group_agree(
      w->comm, w->blocks != NULL ? RT_OK
                                 : RT_FAIL(RT_ERR_MEM, "hashes of %lld blocks",
                                           (long long)w->n_blocks)));
  for (int64_t at = 0; at == 0 || at < w->n_blocks; at += n_round) {
    const int64_t left = w->n_blocks - at;
    const int64_t n = left < n_round ? left : n_round;
    char *const here = w->blocks + at * HEX;
    RT_TRY(rt_group_agree(w->comm, hash_share(w, at, at + n)));
    RT_TRY_MEETING("reduce",
                   MPI_Reduce(w->rank == 0 ? MPI_IN_PLACE : here, here,
                              (int)(n * HEX), MPI_BYTE, MPI_BOR, 0, w->comm));
    RT_TRY(rt_group_agree(
        w->comm, w->rank == 0 ? finish(w, cache, began_ns, at + n) : RT_OK));
  }
  return RT_OK;
}

enum { COUNT_TEXT = 64 };

/** Bytes of the files that are read, or whose digest is known: "2 files, 1.86
 *  GiB". */
static double count(const work *w, bool read, char text[COUNT_TEXT])
{
  static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
  int n = 0, unit = 0;
  double bytes = 0.0, size;
  for (int i = 0; i < w->n; i++)
    if ((w->source[i].n > 0) == read) {
      bytes += (double)w->source[i].stamp.bytes;
      n++;
    }
  for (size = bytes; size >= 1024.0 && unit < 4; unit++)
    size /= 1024.0;
  snprintf(text, COUNT_TEXT, "%d file%s, %.4g %s", n, n == 1 ? "" : "s", size,
           units[unit]);
  return bytes;
}

/** Report digests taken from the cache, and long reads. */
static void tell(const work *w, const char *what, const rt_digest_cache *cache)
{
  const double many = 0x1p28; // a second
  char text[COUNT_TEXT];
  if (count(w, false, text) > 0.0)
    rt_info("%s: using the cached hash of %s; size and time stamps are "
            "unchanged (delete %s to hash again)",
            what, text, rt_digest_cache_path(cache));
  if (count(w, true, text) > many)
    rt_info("%s: hashing %s, on %d rank%s", what, text, w->n_ranks,
            w->n_ranks == 1 ? "" : "s");
}

static rt_err run(work *w, const char *what, rt_digest_cache *cache)
{
  const double since = rt_now_s();
  const int64_t began_ns = rt_stamp_now();
  RT_TRY(rt_group_agree(w->comm, w->rank == 0 ? look(w, cache) : RT_OK));
  RT_TRY(rt_group_bcast(w->comm, w->source, (size_t)w->n * sizeof *w->source));
  RT_TRY(rt_group_bcast(w->comm, &w->n_blocks, sizeof w->n_blocks));
  if (w->rank == 0)
    tell(w, what, cache);
  RT_TRY(hash_rounds(w, cache, began_ns));
  if (w->n_blocks > 0 && rt_now_s() - since > 1.0)
    rt_info("%s: hashed in %.1f s", what, rt_now_s() - since);
  return rt_group_bcast(w->comm, w->source, (size_t)w->n * sizeof *w->source);
}

/** Get this rank's stamps, and reject copies of another size before anything is
 *  read. */
static rt_err look_here(MPI_Comm comm, work *w, uint64_t *sees)
{
  rt_err err = RT_OK;
  *sees = 0;
  for (int i = 0; err == RT_OK && i < w->n; i++) {
    const rt_stamp *const s = &w->source[i].stamp;
    err = rt_stamp_of(w->paths[i], &w->source[i].stamp);
    const uint64_t part[] = {*sees, s->inode, (uint64_t)s->bytes,
                             (uint64_t)s->mtime_ns, (uint64_t)s->ctime_ns};
    *sees = rt_hash_xxh3(part, sizeof part);
  }
  RT_TRY(rt_group_agree(comm, err));
  for (int i = 0; i < w->n; i++) {
    int64_t first = w->source[i].stamp.bytes;
    RT_TRY(rt_group_bcast(comm, &first, sizeof first));
    if (err == RT_OK && first != w->source[i].stamp.bytes)
      err = RT_FAIL(RT_ERR_DATA,
                    "%s has %lld bytes here and %lld on rank 0: the ranks see "
                    "different files; copy it to this host again",
                    w->paths[i], (long long)w->source[i].stamp.bytes,
                    (long long)first);
  }
  return rt_group_agree(comm, err);
}

/** Compare the digests of all groups with rank 0's. */
static rt_err compare(MPI_Comm comm, const work *w)
{
  rt_err err = RT_OK;
  for (int i = 0; i < w->n; i++) {
    char first[RT_SHA256_HEX];
    memcpy(first, w->source[i].hex, sizeof first);
    RT_TRY(rt_group_bcast(comm, first, sizeof first));
    if (err == RT_OK && strcmp(first, w->source[i].hex) != 0)
      err = RT_FAIL(RT_ERR_DATA,
                    "%s differs from rank 0's file: all ranks must read the "
                    "same data; copy it to this host again",
                    w->paths[i]);
  }
  return rt_group_agree(comm, err);
}

/** The ranks of a group see the same files (of a shared file system, or of a
 *  node) and share the reading; each group reads its own. */
static rt_err hash_in_groups(MPI_Comm comm, const char *what, work *w)
{
  uint64_t sees = 0;
  int rank;
  RT_TRY_MPI(MPI_Comm_rank(comm, &rank));
  RT_TRY(compare_names(comm, w));
  RT_TRY(look_here(comm, w, &sees));
  RT_TRY_MPI(MPI_Comm_split(comm, (int)(sees & INT_MAX), rank, &w->comm));
  RT_TRY_MPI(MPI_Comm_rank(w->comm, &w->rank));
  RT_TRY_MPI(MPI_Comm_size(w->comm, &w->n_ranks));
  rt_digest_cache *cache = w->rank == 0 ? rt_digest_cache_open() : NULL;
  const rt_err err = run(w, what, cache);
  rt_digest_cache_close(&cache);
  RT_TRY(rt_group_agree(comm, err));
  return compare(comm, w);
}

rt_err rt_files_digest(MPI_Comm comm, const char *what,
                       const char *const *paths, int n,
                       char (*hex)[RT_SHA256_HEX])
{
  work w = {.comm = MPI_COMM_NULL, .n = n, .paths = paths};
  RT_TRY_MPI(MPI_Comm_rank(comm, &w.rank));
  w.source = calloc((size_t)n + 1, sizeof *w.source);
  rt_err err = rt_group_agree(
      comm, w.source != NULL ? RT_OK : RT_FAIL(RT_ERR_MEM, "%d files", n));
  if (err == RT_OK)
    err = hash_in_groups(comm, what, &w);
  RT_ASSERT(err != RT_OK || w.source != NULL);
  for (int i = 0; err == RT_OK && i < n; i++)
    memcpy(hex[i], w.source[i].hex, sizeof hex[i]);
  if (w.comm != MPI_COMM_NULL)
    MPI_Comm_free(&w.comm);
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
    // avoids a product that could overflow: files may have 2^63 bytes
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
