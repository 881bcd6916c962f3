/** \file test_digest.c
 *  Digests of files: their definition, shared out over ranks, and what is
 *  remembered of them.
 *  ranks: 1 2 4 */
#include "io/common/digest.h"
#include "io/common/digest_cache.h"
#include "ranks/agree.h"

#include "support/rt_test.h"
#include "support/scratch.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static char folder[RT_PATH_MAX];
static int my_rank;

/** Grows when it is read next; "": none.  pread() precedes the system's. */
static char grows[RT_PATH_MAX];

ssize_t pread(int fd, void *to, size_t n, off_t at)
{
  if (grows[0] != '\0') {
    struct stat s;
    CU_ASSERT_EQUAL(stat(grows, &s), 0);
    CU_ASSERT_EQUAL(truncate(grows, s.st_size + 1), 0);
    grows[0] = '\0';
  }
  return syscall(SYS_pread64, fd, to, n, at);
}

/** A folder of its own for the cache, and the names of two files. */
static void begin(char a[RT_PATH_MAX], char b[RT_PATH_MAX])
{
  char cache[RT_PATH_MAX];
  MPI_Comm_rank(MPI_COMM_WORLD, &my_rank);
  scratch_create(folder);
  RT_OKAY(rt_path_join(cache, folder, "cache"));
  setenv("XDG_CACHE_HOME", cache, 1);
  RT_OKAY(rt_path_join(a, folder, "a"));
  RT_OKAY(rt_path_join(b, folder, "b"));
}

/** Rank 0 makes a file of zeros with an x at \a at. */
static void put(const char *path, int64_t bytes, int64_t at)
{
  MPI_Barrier(MPI_COMM_WORLD);
  if (my_rank == 0) {
    const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    CU_ASSERT_FATAL(fd >= 0 && ftruncate(fd, bytes) == 0);
    if (at < bytes)
      RT_OKAY(rt_file_write_at(fd, path, "x", 1, at));
    close(fd);
  }
  MPI_Barrier(MPI_COMM_WORLD);
}

/** Old enough to be kept: nobody can set a file's ctime. */
static void settle(void)
{
  MPI_Barrier(MPI_COMM_WORLD);
  usleep(2100000);
}

static void digest(const char *path, char hex[RT_SHA256_HEX])
{
  char got[1][RT_SHA256_HEX];
  const char *const paths[] = {path};
  RT_OKAY(rt_files_digest(MPI_COMM_WORLD, "test", paths, 1, got));
  memcpy(hex, got[0], RT_SHA256_HEX);
}

/** What digest.h says, word by word. */
static void definition(const char *path, char hex[RT_SHA256_HEX])
{
  char text[1024], block[RT_SHA256_HEX], *data;
  size_t n;
  RT_OKAY(rt_file_slurp(path, (size_t)3 << 26, &data, &n));
  size_t used = (size_t)snprintf(text, sizeof text, "%zu\n", n);
  for (size_t at = 0; at < n; at += (size_t)1 << 26) {
    const size_t left = n - at;
    RT_OKAY(rt_hash_text(data + at, left < (size_t)1 << 26 ? left : 1 << 26,
                         block));
    used += (size_t)snprintf(text + used, sizeof text - used, "%s\n", block);
  }
  free(data);
  RT_OKAY(rt_hash_text(text, used, hex));
}

static void test_definition(void)
{
  static const int64_t sizes[] = {0, 1, RT_DIGEST_BLOCK, RT_DIGEST_BLOCK + 1,
                                  2 * RT_DIGEST_BLOCK + 77};
  enum { N = sizeof sizes / sizeof sizes[0] };
  char a[RT_PATH_MAX], b[RT_PATH_MAX], want[N][RT_SHA256_HEX];
  char path[N][RT_PATH_MAX], got[N][RT_SHA256_HEX];
  const char *paths[N];
  begin(a, b);
  for (int i = 0; i < N; i++) {
    snprintf(path[i], RT_PATH_MAX, "%.4000s-%d", a, i);
    put(path[i], sizes[i], sizes[i] / 2);
    definition(path[i], want[i]);
    digest(path[i], got[i]);
    CU_ASSERT_STRING_EQUAL(got[i], want[i]);
    paths[i] = path[i];
  }
  RT_OKAY(rt_files_digest(MPI_COMM_WORLD, "test", paths, N, got));
  for (int i = 0; i < N; i++)
    CU_ASSERT_STRING_EQUAL(got[i], want[i]);
  CU_ASSERT_STRING_EQUAL(
      want[0], // printf '0\n' | sha256sum
      "9a271f2a916b0b6ee6cecb2426f0b3206ef074578be55d9bc94f6f3fe3ab86aa");
  scratch_remove(folder);
}

static void test_other_sizes(void)
{
  char a[RT_PATH_MAX], b[RT_PATH_MAX], got[1][RT_SHA256_HEX];
  int n_ranks;
  begin(a, b);
  put(a, 100, 5);
  put(b, 101, 5);
  MPI_Comm_size(MPI_COMM_WORLD, &n_ranks);
  // the last rank alone goes astray: by another name, and by the same link
  const bool astray = my_rank == n_ranks - 1 && my_rank > 0;
  const char *const names[] = {astray ? b : a};
  rt_err err = rt_files_digest(MPI_COMM_WORLD, "test", names, 1, got);
  CU_ASSERT_EQUAL(err, n_ranks > 1 ? RT_ERR_DATA : RT_OK);
  CU_ASSERT(n_ranks == 1 ||
            strstr(rt_err_text(), "finds other files than rank 0") != NULL);
  char here[RT_PATH_MAX], back[RT_PATH_MAX];
  CU_ASSERT_PTR_NOT_NULL_FATAL(getcwd(back, sizeof back));
  snprintf(here, sizeof here, "%.4000s-%d", folder, my_rank);
  CU_ASSERT_FATAL(mkdir(here, 0700) == 0 && chdir(here) == 0 &&
                  symlink(names[0], "data") == 0);
  const char *const paths[] = {"data"};
  err = rt_files_digest(MPI_COMM_WORLD, "test", paths, 1, got);
  CU_ASSERT_EQUAL(err, n_ranks > 1 ? RT_ERR_DATA : RT_OK);
  CU_ASSERT(n_ranks == 1 ||
            strstr(rt_err_text(), "the ranks see different files") != NULL);
  CU_ASSERT_EQUAL(chdir(back), 0);
  RT_OKAY(rt_path_remove(here));
  const char *const absent[] = {"/nowhere/at/all"};
  CU_ASSERT_EQUAL(rt_files_digest(MPI_COMM_WORLD, "test", absent, 1, got),
                  RT_ERR_NOINPUT);
  scratch_remove(folder);
}

/** Is \a path's digest known, as it is now? */
static bool is_known(const char *path, char hex[RT_SHA256_HEX])
{
  rt_stamp s;
  rt_digest_cache *cache = rt_digest_cache_open();
  RT_OKAY(rt_stamp_of(path, &s));
  const bool known = rt_digest_cache_get(cache, path, &s, hex);
  rt_digest_cache_close(&cache);
  return known;
}

/** A file is remembered once it has been left alone, and forgotten with any
 *  change, also one that sets its times back. */
static void test_remembered(void)
{
  char a[RT_PATH_MAX], b[RT_PATH_MAX];
  char hex[RT_SHA256_HEX], first[RT_SHA256_HEX], known[RT_SHA256_HEX] = "";
  struct stat s;
  begin(a, b);
  put(a, 1000, 5);
  digest(a, first); // of this second: it could change yet
  CU_ASSERT_FALSE(is_known(a, known));
  settle();
  digest(a, hex);
  CU_ASSERT(is_known(a, known));
  CU_ASSERT_STRING_EQUAL(known, first);
  CU_ASSERT_FALSE(stat(a, &s) != 0);
  const struct timespec times[2] = {s.st_atim, s.st_mtim};
  put(a, 1000, 6);
  if (my_rank == 0)
    CU_ASSERT_EQUAL(utimensat(AT_FDCWD, a, times, 0), 0);
  settle();
  CU_ASSERT_FALSE(is_known(a, known));
  digest(a, hex);
  CU_ASSERT_STRING_NOT_EQUAL(hex, first);
  CU_ASSERT(is_known(a, known));
  CU_ASSERT_STRING_EQUAL(known, hex);
  scratch_remove(folder);
}

/** Lines of all ranks at once, and rubbish among them. */
static void test_many_writers(void)
{
  enum { N = 40 };
  char a[RT_PATH_MAX], b[RT_PATH_MAX], hex[RT_SHA256_HEX];
  rt_stamp s;
  begin(a, b);
  put(a, 10, 0);
  RT_OKAY(rt_stamp_of(a, &s));
  s.mtime_ns = s.ctime_ns = 0;
  for (int i = 0; i < N; i++) {
    char word[40];
    rt_digest_cache *cache = rt_digest_cache_open();
    s.inode = (uint64_t)(my_rank * N + i);
    snprintf(word, sizeof word, "%d %d", my_rank, i);
    RT_OKAY(rt_hash_text(word, strlen(word), hex));
    rt_digest_cache_put(cache, a, &s, rt_stamp_now(), hex);
    if (i == N / 2) {
      const int fd = open(rt_digest_cache_path(cache), O_WRONLY | O_APPEND);
      CU_ASSERT_EQUAL(write(fd, "rubbish \0\n\n0123\n", 16), 16);
      close(fd);
    }
    rt_digest_cache_close(&cache);
  }
  MPI_Barrier(MPI_COMM_WORLD);
  rt_digest_cache *cache = rt_digest_cache_open();
  for (int i = 0; i < N; i++) {
    char word[40], want[RT_SHA256_HEX];
    s.inode = (uint64_t)(my_rank * N + i);
    snprintf(word, sizeof word, "%d %d", my_rank, i);
    RT_OKAY(rt_hash_text(word, strlen(word), want));
    CU_ASSERT(rt_digest_cache_get(cache, a, &s, hex));
    CU_ASSERT_STRING_EQUAL(hex, want);
  }
  rt_digest_cache_close(&cache);
  scratch_remove(folder);
}

/** A cache that has grown too long keeps its newest lines, as many as the limit
 *  allows, and those that are put after that. */
static void test_shortened(void)
{
  enum { N = 5, LIMIT = 1 << 20, TOO_LONG = 5 * LIMIT / 2 };
  char a[RT_PATH_MAX], b[RT_PATH_MAX], hex[RT_SHA256_HEX], got[RT_SHA256_HEX];
  rt_stamp s;
  int64_t bytes = 0, line_bytes = 0;
  begin(a, b);
  put(a, 10, 0);
  RT_OKAY(rt_stamp_of(a, &s));
  s.mtime_ns = s.ctime_ns = 0;
  s.inode = 1000000; // lines of one length
  RT_OKAY(rt_hash_text("x", 1, hex));
  rt_digest_cache *cache = my_rank == 0 ? rt_digest_cache_open() : NULL;
  for (int64_t n = 0; cache != NULL && n < TOO_LONG; s.inode++) {
    rt_digest_cache_put(cache, a, &s, rt_stamp_now(), hex);
    RT_OKAY(rt_file_size(rt_digest_cache_path(cache), &n));
    line_bytes = line_bytes == 0 ? n : line_bytes;
  }
  rt_digest_cache_close(&cache);
  const uint64_t end = s.inode;
  cache = my_rank == 0 ? rt_digest_cache_open() : NULL; // shortens it
  for (; cache != NULL && s.inode < end + N; s.inode++)
    rt_digest_cache_put(cache, a, &s, rt_stamp_now(), hex);
  if (cache != NULL)
    RT_OKAY(rt_file_size(rt_digest_cache_path(cache), &bytes));
  CU_ASSERT(cache == NULL || (bytes > LIMIT - line_bytes + N * line_bytes &&
                              bytes <= LIMIT + N * line_bytes));
  rt_digest_cache_close(&cache);
  cache = my_rank == 0 ? rt_digest_cache_open() : NULL;
  for (int i = 0; cache != NULL && i < LIMIT / line_bytes + N; i += 1 + i / 9) {
    s.inode = end + N - 1 - (uint64_t)i;
    CU_ASSERT(rt_digest_cache_get(cache, a, &s, got));
  }
  rt_digest_cache_close(&cache);
  scratch_remove(folder);
}

/** A start that ends in the middle has cached the files it was done with, and
 *  given signs of life. */
static void test_interrupted(void)
{
  enum { ROUND = 4 }; // blocks of a rank, as in digest.c
  char a[RT_PATH_MAX], b[RT_PATH_MAX], got[2][RT_SHA256_HEX],
      known[RT_SHA256_HEX];
  int n_ranks;
  begin(a, b);
  MPI_Comm_size(MPI_COMM_WORLD, &n_ranks);
  put(a, n_ranks * ROUND * RT_DIGEST_BLOCK, 5);
  if (my_rank == 0) // cannot be read
    CU_ASSERT_FATAL(mkdir(b, 0700) == 0);
  settle();
  const char *const paths[] = {a, b};
  const uint64_t signs = rt_ranks_signs();
  CU_ASSERT_NOT_EQUAL(rt_files_digest(MPI_COMM_WORLD, "test", paths, 2, got),
                      RT_OK);
  CU_ASSERT(rt_ranks_signs() >= signs + ROUND);
  CU_ASSERT(is_known(a, known));
  scratch_remove(folder);
}

/** No place for a cache: the digest is what it is. */
static void test_nowhere(void)
{
  static const char *const places[] = {"/proc/nowhere", "/dev/null", "", "x"};
  char a[RT_PATH_MAX], b[RT_PATH_MAX], hex[RT_SHA256_HEX], want[RT_SHA256_HEX];
  begin(a, b);
  put(a, 10, 0);
  definition(a, want);
  unsetenv("HOME");
  for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
    setenv("XDG_CACHE_HOME", places[i], 1);
    digest(a, hex);
    CU_ASSERT_STRING_EQUAL(hex, want);
  }
  scratch_remove(folder);
}

/** A file that grows while it is hashed has no digest, and none is kept. */
static void test_changes(void)
{
  char a[RT_PATH_MAX], b[RT_PATH_MAX], hex[1][RT_SHA256_HEX];
  begin(a, b);
  const char *const paths[] = {a};
  put(a, 5000, 1);
  if (my_rank == 0)
    snprintf(grows, sizeof grows, "%s", a);
  RT_FAILS(rt_files_digest(MPI_COMM_WORLD, "test", paths, 1, hex), RT_ERR_DATA,
           "changed while it was hashed");
  grows[0] = '\0';
  digest(a, hex[0]);
  definition(a, b);
  CU_ASSERT_STRING_EQUAL(hex[0], b);
  scratch_remove(folder);
}

RT_TEST_MAIN("digest", {"its definition", test_definition},
             {"other sizes on other ranks", test_other_sizes},
             {"remembered, and forgotten", test_remembered},
             {"many writers", test_many_writers}, {"shortened", test_shortened},
             {"interrupted", test_interrupted},
             {"a file that changes", test_changes},
             {"nowhere to remember", test_nowhere})
