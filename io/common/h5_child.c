/** \file h5_child.c
 *  A server process, forked before MPI starts, waits at a socket.  For each
 *  file it forks a child, which may crash and exits afterwards, so that one
 *  file cannot affect how HDF5 reads the next.
 *
 *  Answers are passed in memory shared by all three processes; the client
 *  copies an answer before it examines it. */
#include "io/common/h5_child.h"

#include "base/clock.h"
#include "base/file.h"
#include "io/common/h5_describe.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
  MAX_CPU_S = 20,   // CPU seconds per file; a file of 16,384 chunks takes 2
  MAX_WALL_S = 600, // in case the file system does not respond
  MAX_WORDS = 2000  // maximum length of an error's text
};
// in addition to what it has at its start
static const rlim_t max_memory = (rlim_t)1 << 30;

/** Memory shared by the processes. */
typedef struct board {
  volatile rt_err err; // if not RT_OK, the answer is its text, not 0-terminated
  volatile uint64_t n; // bytes of the answer
  unsigned char answer[RT_H5_MAX_RECORDS];
} board;

typedef struct question {
  unsigned number;
  char path[RT_PATH_MAX];
} question;

typedef struct answer {
  unsigned number;
  int signal; // signal that ended the child, or 0
} answer;

// One per process: otherwise it would have to be passed to every function that
// opens a dataset or checkpoint.
static struct {
  int socket; // file descriptor + 1; 0: none
  pid_t keeper;
  unsigned n_asked;
  board *board;
} self;

/** Limit the child: no core dump, no new files, bounded memory and time,
 *  default signal handling. */
static void limit_child(void)
{
  static const int deadly[] = {SIGSEGV, SIGBUS,  SIGFPE, SIGILL,
                               SIGABRT, SIGXCPU, SIGXFSZ};
  for (size_t i = 0; i < sizeof deadly / sizeof deadly[0]; i++)
    signal(deadly[i], SIG_DFL);
  long pages = 0;
  FILE *const f = fopen("/proc/self/statm", "r");
  if (f == NULL || fscanf(f, "%ld", &pages) != 1)
    pages = 0;
  if (f != NULL)
    fclose(f);
  const rlim_t now = (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE);
  const struct rlimit memory = {now + max_memory, now + max_memory};
  // a limit of 1 byte also disables core dumps through a pipe, see core(5)
  const struct rlimit core = {1, 1}, files = {0, 0};
  const struct rlimit cpu = {MAX_CPU_S, MAX_CPU_S + 1};
  if (pages > 0)
    setrlimit(RLIMIT_AS, &memory);
  setrlimit(RLIMIT_CORE, &core);
  setrlimit(RLIMIT_FSIZE, &files);
  setrlimit(RLIMIT_CPU, &cpu);
}

/** Describe the open \a file in the shared memory. */
_Noreturn static void look_into(const question *q, int file, board *to)
{
  char open[64];
  rt_bytes records = {0};
  limit_child();
  snprintf(open, sizeof open, "/proc/self/fd/%d", file);
  const rt_err err = rt_h5_describe(open, q->path, &records);
  const void *const from =
      err != RT_OK ? (void *)(uintptr_t)rt_err_text() : records.data;
  to->n = err != RT_OK ? strnlen(rt_err_text(), MAX_WORDS) : records.n;
  if (to->n > 0)
    memcpy(to->answer, from, to->n);
  to->err = err;
  _exit(0);
}

/** Close every descriptor that there may be but \a fd and the first three. */
static void close_range_but(int fd)
{
  enum { MAX_OPEN = 1 << 16 }; // sysconf may say a billion in a container
  const long limit = sysconf(_SC_OPEN_MAX);
  for (int i = 3; i < (limit > 0 && limit < MAX_OPEN ? limit : MAX_OPEN); i++)
    if (i != fd)
      close(i);
}

/** Close all inherited descriptors: a launcher waits until its pipes are
 *  closed. */
static void close_all_but(int fd)
{
  const int null = open("/dev/null", O_RDWR);
  for (int i = 0; i <= 2; i++)
    dup2(null, i);
  DIR *const dir = opendir("/proc/self/fd");
  if (dir == NULL) { // no list of them
    close_range_but(fd);
    return;
  }
  for (const struct dirent *e; (e = readdir(dir)) != NULL;) {
    const int i = atoi(e->d_name);
    if (i > 2 && i != fd && i != dirfd(dir))
      close(i);
  }
  closedir(dir);
}

/** Signals that ask a job to stop are sent to all its processes.  This one
 *  ignores them, and ends when its client does. */
static void settle(int fd, pid_t asker)
{
  static const int asking[] = {SIGINT,  SIGTERM, SIGHUP, SIGQUIT,
                               SIGUSR1, SIGUSR2, SIGPIPE};
  for (size_t i = 0; i < sizeof asking / sizeof asking[0]; i++)
    signal(asking[i], SIG_IGN);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != asker) // the client ended before the call above
    _exit(0);
  prctl(PR_SET_NAME, "retort-h5");
  close_all_but(fd);
}

/** Receive a request and the file's descriptor.  False: the client has ended.
 */
static bool take_question(int fd, question *q, int *file)
{
  char control[CMSG_SPACE(sizeof(int))] = {0};
  struct iovec io = {q, sizeof *q};
  struct msghdr m = {.msg_iov = &io,
                     .msg_iovlen = 1,
                     .msg_control = control,
                     .msg_controllen = sizeof control};
  ssize_t n;
  do
    n = recvmsg(fd, &m, MSG_CMSG_CLOEXEC);
  while (n < 0 && errno == EINTR);
  const struct cmsghdr *const c = CMSG_FIRSTHDR(&m);
  if (n != (ssize_t)sizeof *q || c == NULL || c->cmsg_type != SCM_RIGHTS)
    return false;
  memcpy(file, CMSG_DATA(c), sizeof *file);
  return true;
}

/** Let a child describe \a file; returns the signal that ended it, or 0. */
static int run_child(int fd, const question *q, int file, board *b)
{
  const pid_t keeper = getpid();
  // the answer if the child ends without writing one
  b->err = RT_ERR_MEM;
  b->n =
      (uint64_t)snprintf((char *)b->answer, MAX_WORDS,
                         "%.1000s: cannot start a process to open it", q->path);
  const pid_t child = fork();
  if (child == 0) {
    close(fd);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() == keeper)
      look_into(q, file, b);
    _exit(0);
  }
  int status = 0;
  while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR)
    ;
  if (WIFSIGNALED(status))
    return WTERMSIG(status);
  return WEXITSTATUS(status) != 0 ? SIGABRT : 0; // a library called exit
}

_Noreturn static void keep(int fd, board *b, pid_t asker)
{
  question q;
  int file;
  settle(fd, asker);
  for (bool first = true; take_question(fd, &q, &file); first = false) {
    if (first)
      rt_h5_describe_begin(); // once here instead of in every child
    const answer a = {q.number, run_child(fd, &q, file, b)};
    close(file);
    if (send(fd, &a, sizeof a, MSG_NOSIGNAL) < 0)
      break;
  }
  _exit(0);
}

rt_err rt_h5_child_start(void)
{
  int end[2] = {-1, -1};
  RT_CHECK(self.socket == 0, RT_ERR_INTERNAL, "the HDF5 process is there");
  void *const shared = mmap(NULL, sizeof(board), PROT_READ | PROT_WRITE,
                            MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  const pid_t asker = getpid();
  pid_t keeper = -1;
  if (shared != MAP_FAILED &&
      socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, end) == 0)
    keeper = fork();
  if (keeper == 0)
    keep(end[1], shared, asker);
  const int reason = errno;
  close(end[1]);
  if (keeper < 0) {
    close(end[0]);
    if (shared != MAP_FAILED)
      munmap(shared, sizeof(board));
    return RT_FAIL(RT_ERR_MEM,
                   "cannot start the process that opens HDF5 files: %s",
                   strerror(reason));
  }
  self.socket = end[0] + 1;
  self.keeper = keeper;
  self.board = shared;
  return RT_OK;
}

void rt_h5_child_stop(void)
{
  if (self.socket == 0)
    return;
  close(self.socket - 1);
  while (waitpid(self.keeper, NULL, 0) < 0 && errno == EINTR)
    ;
  munmap(self.board, sizeof(board));
  self.socket = 0;
}

static bool put_question(int fd, const question *q, int file)
{
  char control[CMSG_SPACE(sizeof(int))] = {0};
  struct iovec io = {(void *)(uintptr_t)q, sizeof *q};
  struct msghdr m = {.msg_iov = &io,
                     .msg_iovlen = 1,
                     .msg_control = control,
                     .msg_controllen = sizeof control};
  struct cmsghdr *const c = CMSG_FIRSTHDR(&m);
  c->cmsg_level = SOL_SOCKET;
  c->cmsg_type = SCM_RIGHTS;
  c->cmsg_len = CMSG_LEN(sizeof file);
  memcpy(CMSG_DATA(c), &file, sizeof file);
  ssize_t n;
  do
    n = sendmsg(fd, &m, MSG_NOSIGNAL);
  while (n < 0 && errno == EINTR);
  return n == (ssize_t)sizeof *q;
}

/** Wait for the answer to this request, at most MAX_WALL_S. */
static rt_err take_answer(int fd, const question *q, answer *a)
{
  const double end_s = rt_now_s() + MAX_WALL_S;
  do {
    struct pollfd p = {.fd = fd, .events = POLLIN};
    const double left_s = end_s - rt_now_s();
    const int ready = left_s > 0 ? poll(&p, 1, (int)(1000 * left_s) + 1) : 0;
    if (ready < 0 && errno == EINTR)
      continue;
    RT_CHECK(
        ready > 0, RT_ERR_IO,
        "%s: HDF5 has tried to open it for %d s: does its file system respond?",
        q->path, MAX_WALL_S);
    RT_CHECK(recv(fd, a, sizeof *a, 0) == (ssize_t)sizeof *a, RT_ERR_IO,
             "%s: the process that opens HDF5 files has ended: was it killed?",
             q->path);
  } while (a->number != q->number);
  return RT_OK;
}

/** Error for a child that was killed by a signal. */
static rt_err child_killed(const char *path, int signal_number)
{
  RT_CHECK(signal_number != SIGKILL, RT_ERR_MEM,
           "%s: the process that opened it was killed; was there no memory "
           "left?",
           path);
  RT_CHECK(signal_number != SIGXCPU, RT_ERR_DATA,
           "%s: HDF5 used more than %d s of CPU time to open it: the file is "
           "damaged or crafted",
           path, MAX_CPU_S);
  const char *const name = signal_number == SIGSEGV  ? "SIGSEGV"
                           : signal_number == SIGBUS ? "SIGBUS"
                           : signal_number == SIGFPE ? "SIGFPE"
                           : signal_number == SIGABRT
                               ? "SIGABRT"
                               : strsignal(signal_number);
  return RT_FAIL(RT_ERR_DATA,
                 "%s: HDF5 crashed (%s) while it opened it: the file is "
                 "damaged or crafted",
                 path, name);
}

/** The error reported by the child.  As the child has processed the file, its
 *  text is not trusted either. */
static rt_err complaint(rt_err err, const char *path)
{
  char text[MAX_WORDS + 1];
  const uint64_t said = self.board->n;
  const size_t n = said < MAX_WORDS ? (size_t)said : MAX_WORDS;
  memcpy(text, self.board->answer, n);
  text[n] = '\0';
  for (size_t i = 0; i < n; i++)
    if ((unsigned char)text[i] < ' ')
      text[i] = '?';
  return RT_FAIL(err == RT_ERR_MEM ? RT_ERR_MEM : RT_ERR_DATA, "%s",
                 n > 0 ? text : path);
}

rt_err rt_h5_child_ask(int fd, const char *path, rt_bytes *out)
{
  question q;
  answer a = {0};
  RT_CHECK(self.socket > 0, RT_ERR_INTERNAL,
           "%s: no process was started to open HDF5 files", path);
  q.number = ++self.n_asked;
  snprintf(q.path, sizeof q.path, "%s", path);
  RT_CHECK(put_question(self.socket - 1, &q, fd), RT_ERR_IO,
           "%s: the process that opens HDF5 files has ended: %s", path,
           strerror(errno));
  RT_TRY(take_answer(self.socket - 1, &q, &a));
  if (a.signal != 0)
    return child_killed(path, a.signal);
  const rt_err err = self.board->err;
  const uint64_t n = self.board->n;
  if (err != RT_OK)
    return complaint(err, path);
  RT_CHECK(n <= RT_H5_MAX_RECORDS, RT_ERR_DATA,
           "%s: the process that opened it gave an invalid answer: the file is "
           "damaged or crafted",
           path);
  RT_TRY(rt_bytes_fit(out, (size_t)n + 1));
  memcpy(out->data, self.board->answer, (size_t)n);
  out->data[n] = '\0';
  out->n = (size_t)n;
  return RT_OK;
}
