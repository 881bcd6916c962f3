/** \file digest_cache.c
 *  A file of lines "XXH3 DIGEST BYTES INODE MTIME CTIME PATH".  The first word
 *  is the hash of the rest of the line, so that lines torn by a crash, or by
 *  two writers on a file system without atomic appends, are ignored. */
#include "io/common/digest_cache.h"

#include "base/file.h"
#include "base/log.h"
#include "io/common/user_cache.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
  MAX_BYTES = 1 << 20,
  LINE_MAX_BYTES = RT_PATH_MAX + 256,
  PROOF = 17, // length of a line's first word and the space after it
  DIGEST = RT_SHA256_HEX - 1
};

#define DIGESTS "digests" // the file's name

struct rt_digest_cache {
  char path[RT_PATH_MAX];
  char *text; // owned [n]: contents at the time of opening, which may be any
              // bytes; NULL: none
  size_t n;
};

static int64_t ns_of(struct timespec t)
{
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

rt_err rt_stamp_of(const char *path, rt_stamp *out)
{
  struct stat s;
  RT_CHECK(stat(path, &s) == 0, RT_ERR_NOINPUT, "cannot look at %s: %s", path,
           strerror(errno));
  *out = (rt_stamp){.inode = (uint64_t)s.st_ino,
                    .bytes = (int64_t)s.st_size,
                    .mtime_ns = ns_of(s.st_mtim),
                    .ctime_ns = ns_of(s.st_ctim)};
  return RT_OK;
}

bool rt_stamp_same(const rt_stamp *a, const rt_stamp *b)
{
  return a->inode == b->inode && a->bytes == b->bytes &&
         a->mtime_ns == b->mtime_ns && a->ctime_ns == b->ctime_ns;
}

int64_t rt_stamp_now(void)
{
  struct timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  return ns_of(t);
}

/** Read the current lines; another process may be appending some. */
static rt_err read_lines(rt_digest_cache *c)
{
  int64_t bytes = 0;
  int fd;
  if (!rt_file_exists(c->path))
    return RT_OK;
  RT_TRY(rt_file_size(c->path, &bytes));
  const int64_t n = bytes < 4 * MAX_BYTES ? bytes : 4 * MAX_BYTES;
  c->text = malloc((size_t)n + 1);
  RT_CHECK(c->text != NULL, RT_ERR_MEM, "the lines of %s", c->path);
  RT_TRY(rt_file_open(c->path, &fd));
  const rt_err err =
      rt_file_read_at(fd, c->path, c->text, (size_t)n, bytes - n);
  close(fd);
  c->n = err == RT_OK ? (size_t)n : 0;
  return err;
}

/** Keep the newest lines, up to MAX_BYTES.  Files whose lines are dropped are
 *  hashed again when needed.  Only right after reading: lines appended since
 *  would be lost. */
static void shorten(const rt_digest_cache *c)
{
  if (c->n <= MAX_BYTES)
    return;
  // the byte before, so that a line that begins at the limit is kept
  const char *const stop = c->text + c->n;
  const char *const from = memchr(stop - MAX_BYTES - 1, '\n', MAX_BYTES + 1);
  if (from != NULL &&
      rt_file_put(c->path, from + 1, (size_t)(stop - from - 1)) != RT_OK)
    rt_debug("%s is not shortened: %s", c->path, rt_err_text());
}

static rt_err find_file(rt_digest_cache *c)
{
  char folder[RT_PATH_MAX];
  RT_TRY(rt_user_cache_folder(folder));
  return rt_path_join(c->path, folder, DIGESTS);
}

rt_err rt_digest_cache_check(void)
{
  char folder[RT_PATH_MAX], path[RT_PATH_MAX];
  RT_TRY(rt_user_cache_folder(folder));
  RT_TRY(rt_path_join(path, folder, DIGESTS));
  RT_CHECK(access(folder, R_OK | W_OK | X_OK) == 0, RT_ERR_PERM,
           "cannot write in %s: %s", folder, strerror(errno));
  RT_CHECK(access(path, R_OK | W_OK) == 0 || errno == ENOENT, RT_ERR_PERM,
           "cannot read and write %s: %s", path, strerror(errno));
  return RT_OK;
}

rt_digest_cache *rt_digest_cache_open(void)
{
  rt_digest_cache *c = calloc(1, sizeof *c);
  if (c != NULL && find_file(c) != RT_OK) {
    rt_debug("digests are not cached: %s", rt_err_text());
    rt_digest_cache_close(&c);
  } else if (c != NULL && read_lines(c) != RT_OK)
    rt_debug("no cached digest is used: %s", rt_err_text());
  if (c != NULL)
    shorten(c);
  return c;
}

void rt_digest_cache_close(rt_digest_cache **cache)
{
  if (*cache != NULL)
    free((*cache)->text);
  free(*cache);
  *cache = NULL;
}

const char *rt_digest_cache_path(const rt_digest_cache *cache)
{
  return cache != NULL ? cache->path : "";
}

/** The line for a file without its first word; false if it cannot be
 *  represented. */
static bool line_of(const char *path, const rt_stamp *s, const char *hex,
                    char line[LINE_MAX_BYTES])
{
  char full[RT_PATH_MAX];
  if (realpath(path, full) == NULL || strchr(full, '\n') != NULL)
    return false;
  const int n = snprintf(line, LINE_MAX_BYTES, "%s %lld %llu %lld %lld %s\n",
                         hex, (long long)s->bytes, (unsigned long long)s->inode,
                         (long long)s->mtime_ns, (long long)s->ctime_ns, full);
  return n > 0 && n < LINE_MAX_BYTES;
}

/** Is \a line, up to its newline, consistent with its hash, and does it say \a
 *  want after the digest? */
static bool is_line(const char *line, const char *end, const char *want)
{
  char proof[PROOF + 1];
  const size_t n = (size_t)(end + 1 - line);
  if (n < PROOF + DIGEST)
    return false;
  snprintf(proof, sizeof proof, "%016llx ",
           (unsigned long long)rt_hash_xxh3(line + PROOF, n - PROOF));
  return memcmp(line, proof, PROOF) == 0 &&
         n - PROOF - DIGEST == strlen(want) &&
         memcmp(line + PROOF + DIGEST, want, strlen(want)) == 0;
}

bool rt_digest_cache_get(const rt_digest_cache *cache, const char *path,
                         const rt_stamp *stamp, char hex[RT_SHA256_HEX])
{
  char want[LINE_MAX_BYTES];
  if (cache == NULL || !line_of(path, stamp, "", want))
    return false;
  if (cache->n == 0)
    return false;
  const char *line = cache->text, *const stop = line + cache->n;
  for (const char *end; line < stop; line = end + 1) {
    end = memchr(line, '\n', (size_t)(stop - line));
    if (end == NULL)
      return false;
    if (is_line(line, end, want)) {
      snprintf(hex, RT_SHA256_HEX, "%s", line + PROOF);
      return true;
    }
  }
  return false;
}

static void append(const rt_digest_cache *c, const char *line)
{
  char text[LINE_MAX_BYTES + 20];
  const int n =
      snprintf(text, sizeof text, "%016llx %s",
               (unsigned long long)rt_hash_xxh3(line, strlen(line)), line);
  const int fd = open(c->path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
  // a single write, so that lines of two processes do not mix
  if (fd < 0 || write(fd, text, (size_t)n) != n)
    rt_debug("a digest is not cached in %s: %s", c->path, strerror(errno));
  if (fd >= 0)
    close(fd);
}

void rt_digest_cache_put(rt_digest_cache *cache, const char *path,
                         const rt_stamp *stamp, int64_t began_ns,
                         const char hex[RT_SHA256_HEX])
{
  const int64_t settled_ns = 2000000000;
  char line[LINE_MAX_BYTES];
  if (cache == NULL || began_ns - stamp->mtime_ns < settled_ns ||
      began_ns - stamp->ctime_ns < settled_ns ||
      !line_of(path, stamp, hex, line))
    return;
  append(cache, line);
}
