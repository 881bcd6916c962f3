/** \file fail_call.c
 *  A preload library that lets one call of the program fail, once, on one rank.
 *  Calls by libraries (MPI, HDF5, ...) are not affected: the return address
 *  tells them apart.  A place is a call together with its callers.
 *
 *    FAIL_RANK=1 FAIL_LIST=FILE  write the places passed, one line each:
 *                                "key function offset"
 *    FAIL_RANK=1 FAIL_KEY=key    the first call at that place fails
 *    FAIL_DEPTH=4                number of callers that distinguish places */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <inttypes.h>
#include <link.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MOST = 1 << 14, FRAMES = 32 };

// the C library's own, as dlsym may allocate
// NOLINTBEGIN(bugprone-reserved-identifier)
extern void *__libc_malloc(size_t n);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *p, size_t n);
extern void *__libc_memalign(size_t alignment, size_t n);
// NOLINTEND(bugprone-reserved-identifier)

// static, because a preload library has no other place for it
static struct {
  bool on;
  uintptr_t base, begin, end; // of the program's code
  int depth, list;
  uint64_t key; // that fails; 0: none
  pthread_mutex_t lock;
  int n;
  uint64_t seen[MOST];
} us = {.lock = PTHREAD_MUTEX_INITIALIZER};
static _Thread_local bool busy;

static int look(struct dl_phdr_info *info, size_t size, void *unused)
{
  (void)size, (void)unused;
  for (int i = 0; i < info->dlpi_phnum; i++) {
    const ElfW(Phdr) *p = &info->dlpi_phdr[i];
    if (p->p_type != PT_LOAD || (p->p_flags & PF_X) == 0)
      continue;
    us.base = info->dlpi_addr;
    us.begin = us.base + p->p_vaddr;
    us.end = us.begin + p->p_memsz;
  }
  return 1; // the first entry is the program
}

__attribute__((constructor)) static void start(void)
{
  const char *rank = getenv("OMPI_COMM_WORLD_RANK");
  const char *wanted = getenv("FAIL_RANK"), *key = getenv("FAIL_KEY");
  const char *list = getenv("FAIL_LIST"), *depth = getenv("FAIL_DEPTH");
  void *warm[1];
  if (rank == NULL || wanted == NULL || strcmp(rank, wanted) != 0)
    return;
  dl_iterate_phdr(look, NULL);
  us.depth = depth != NULL ? atoi(depth) : 4;
  us.key = key != NULL ? strtoull(key, NULL, 16) : 0;
  us.list = list != NULL ? open(list, O_WRONLY | O_CREAT | O_TRUNC, 0644) : -1;
  backtrace(warm, 1); // its first call allocates
  us.on = true;
}

__attribute__((destructor)) static void end(void)
{
  const char *path = getenv("FAIL_PEAK");
  char line[256];
  long kib = 0;
  if (!us.on || path == NULL)
    return;
  busy = true;
  FILE *from = fopen("/proc/self/status", "r");
  while (from != NULL && kib == 0 && fgets(line, sizeof line, from) != NULL)
    if (strncmp(line, "VmPeak:", 7) == 0)
      kib = strtol(line + 7, NULL, 10);
  if (from != NULL)
    fclose(from);
  FILE *to = fopen(path, "w");
  if (to != NULL) {
    fprintf(to, "%ld\n", kib);
    fclose(to);
  }
}

static bool is_ours(const void *address)
{
  return (uintptr_t)address >= us.begin && (uintptr_t)address < us.end;
}

/** Identify the place by the return addresses in the program, innermost first.
 */
static uint64_t place(const char *name)
{
  void *frames[FRAMES];
  const int n = backtrace(frames, FRAMES);
  uint64_t key = 1469598103934665603u;
  for (const char *c = name; *c != '\0'; c++)
    key = (key ^ (uint64_t)*c) * 1099511628211u;
  for (int i = 0, found = 0; i < n && found < us.depth; i++)
    if (is_ours(frames[i])) {
      key = (key ^ ((uintptr_t)frames[i] - us.base)) * 1099511628211u;
      found++;
    }
  return key;
}

/** Should this call fail?  \a from: its return address. */
static bool fails(const char *name, const void *from)
{
  char line[128];
  if (!us.on || busy || !is_ours(from))
    return false;
  busy = true;
  const uint64_t key = place(name);
  pthread_mutex_lock(&us.lock);
  int i = 0;
  while (i < us.n && us.seen[i] != key)
    i++;
  const bool first = i == us.n && us.n < MOST;
  if (first)
    us.seen[us.n++] = key;
  if (first && us.list >= 0) {
    const int n =
        snprintf(line, sizeof line, "%016" PRIx64 " %s %" PRIxPTR "\n", key,
                 name, (uintptr_t)from - us.base);
    if (write(us.list, line, (size_t)n) != n)
      us.list = -1;
  }
  pthread_mutex_unlock(&us.lock);
  busy = false;
  return first && key == us.key;
}

#define FROM __builtin_return_address(0)
#define NEXT(type, name) ((type)dlsym(RTLD_NEXT, name))

// NOLINTBEGIN(bugprone-macro-parentheses): these are types
/** A wrapper that fails with \a code and \a result, or calls \a real. */
#define CALL(result_type, name, parameters, arguments, types, result, code)    \
  result_type name parameters                                                  \
  {                                                                            \
    if (!fails(#name, FROM))                                                   \
      return NEXT(result_type(*) types, #name) arguments;                      \
    errno = (code);                                                            \
    return (result);                                                           \
  }
// NOLINTEND(bugprone-macro-parentheses)

void *malloc(size_t n)
{
  if (!fails("malloc", FROM))
    return __libc_malloc(n);
  errno = ENOMEM;
  return NULL;
}

void *calloc(size_t n, size_t size)
{
  if (!fails("calloc", FROM))
    return __libc_calloc(n, size);
  errno = ENOMEM;
  return NULL;
}

void *realloc(void *p, size_t n)
{
  if (!fails("realloc", FROM))
    return __libc_realloc(p, n);
  errno = ENOMEM;
  return NULL;
}

void *aligned_alloc(size_t alignment, size_t n)
{
  if (!fails("aligned_alloc", FROM))
    return __libc_memalign(alignment, n);
  errno = ENOMEM;
  return NULL;
}

int open(const char *path, int flags, ...)
{
  va_list more;
  va_start(more, flags);
  const mode_t mode = (flags & O_CREAT) != 0 ? va_arg(more, mode_t) : 0;
  va_end(more);
  if (!fails("open", FROM))
    return NEXT(int (*)(const char *, int, ...), "open")(path, flags, mode);
  errno = EIO;
  return -1;
}

CALL(char *, strdup, (const char *s), (s), (const char *), NULL, ENOMEM)
CALL(char *, strndup, (const char *s, size_t n), (s, n), (const char *, size_t),
     NULL, ENOMEM)
CALL(FILE *, fopen, (const char *path, const char *mode), (path, mode),
     (const char *, const char *), NULL, EIO)
CALL(FILE *, fmemopen, (void *p, size_t n, const char *mode), (p, n, mode),
     (void *, size_t, const char *), NULL, ENOMEM)
CALL(FILE *, open_memstream, (char **p, size_t *n), (p, n), (char **, size_t *),
     NULL, ENOMEM)
CALL(DIR *, opendir, (const char *path), (path), (const char *), NULL, EIO)
CALL(void *, mmap, (void *p, size_t n, int a, int b, int fd, off_t at),
     (p, n, a, b, fd, at), (void *, size_t, int, int, int, off_t), MAP_FAILED,
     ENOMEM)
CALL(int, mkdir, (const char *path, mode_t mode), (path, mode),
     (const char *, mode_t), -1, EIO)
CALL(int, rename, (const char *from, const char *to), (from, to),
     (const char *, const char *), -1, EIO)
CALL(int, link, (const char *from, const char *to), (from, to),
     (const char *, const char *), -1, EIO)
CALL(int, ftruncate, (int fd, off_t n), (fd, n), (int, off_t), -1, EIO)
CALL(int, fsync, (int fd), (fd), (int), -1, EIO)
CALL(int, shm_open, (const char *name, int flags, mode_t mode),
     (name, flags, mode), (const char *, int, mode_t), -1, EACCES)
CALL(int, posix_fallocate, (int fd, off_t at, off_t n), (fd, at, n),
     (int, off_t, off_t), ENOSPC, ENOSPC)
CALL(ssize_t, read, (int fd, void *to, size_t n), (fd, to, n),
     (int, void *, size_t), -1, EIO)
CALL(ssize_t, pread, (int fd, void *to, size_t n, off_t at), (fd, to, n, at),
     (int, void *, size_t, off_t), -1, EIO)
CALL(ssize_t, write, (int fd, const void *from, size_t n), (fd, from, n),
     (int, const void *, size_t), -1, EIO)
CALL(ssize_t, pwrite, (int fd, const void *from, size_t n, off_t at),
     (fd, from, n, at), (int, const void *, size_t, off_t), -1, EIO)
