/** \file heartbeat.c
 *  Reads and writes the heartbeat file. */
#include "app/heartbeat.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LINE = 384 };

void rt_heartbeat_init(rt_heartbeat *h, const char *folder, uint64_t run,
                       int rank, int n_ranks)
{
  *h = (rt_heartbeat){
      .folder = folder, .run = run, .rank = rank, .n_ranks = n_ranks, .fd = -1};
  h->mine.pid = (int)getpid();
  gethostname(h->mine.host, sizeof h->mine.host - 1);
}

const char *rt_heartbeat_tmp(void)
{
  const char *const tmp = getenv("TMPDIR");
  return tmp != NULL ? tmp : "/tmp";
}

/** Returns false if the path is too long. */
static bool name_file(const rt_heartbeat *h, bool in_folder, char *path)
{
  const int n =
      in_folder ? snprintf(path, RT_PATH_MAX, "%s/heartbeat", h->folder)
                : snprintf(path, RT_PATH_MAX, "%s/retort-heartbeat-%016" PRIx64,
                           rt_heartbeat_tmp(), h->run);
  return n < RT_PATH_MAX;
}

bool rt_heartbeat_calls(const rt_heartbeat *h)
{
  char path[RT_PATH_MAX];
  return name_file(h, false, path) && access(path, W_OK) == 0;
}

void rt_heartbeat_open(rt_heartbeat *h)
{
  h->in_folder = h->folder[0] != '\0' && rt_folder_exists(h->folder);
  h->everyone = h->in_folder || h->one_node;
  if (!name_file(h, h->in_folder, h->path))
    return;
  h->fd = open(h->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
  h->open = h->fd >= 0;
}

void rt_heartbeat_write(rt_heartbeat *h, rt_heartbeat_reach reach)
{
  const rt_pulse *p = &h->mine;
  char line[LINE + 1], where[sizeof p->where];
  if (!h->open)
    return;
  // a reader takes the place as one word
  for (size_t i = 0; i < sizeof where; i++)
    where[i] = (char)(p->where[i] == ' ' ? '-' : p->where[i]);
  const int n = snprintf(line, sizeof line,
                         "%016" PRIx64 " rank %d tick %" PRIu64
                         " pid %d %c beat %.1f s ago, %" PRIu64
                         " collectives, at %" PRId64 " in %s host %s doing %s",
                         h->run, h->rank, p->tick, p->pid, p->main, p->age_s,
                         p->n_collectives, p->step, where, p->host, p->doing);
  for (int i = n < LINE ? n : LINE - 1; i < LINE; i++)
    line[i] = i == LINE - 1 ? '\n' : ' ';
  // A rank whose line is missing would look frozen, so a full disk must not
  // matter: the space for all lines is reserved by the first write.
  if (pwrite(h->fd, line, LINE, (off_t)h->rank * LINE) == LINE &&
      reach == RT_HEARTBEAT_ALL)
    fdatasync(h->fd);
}

/** Parse a line of this run; otherwise leave p->tick 0. */
static void parse(const rt_heartbeat *h, int rank, char *line, rt_pulse *p)
{
  uint64_t run = 0;
  int of = -1;
  rt_pulse got = {0};
  line[LINE - 1] = '\0';
  const int n = sscanf(
      line,
      "%" SCNx64 " rank %d tick %" SCNu64 " pid %d %c beat %lf s ago, %" SCNu64
      " collectives, at %" SCNd64 " in %63s host %63s doing %63[^\n]",
      &run, &of, &got.tick, &got.pid, &got.main, &got.age_s, &got.n_collectives,
      &got.step, got.where, got.host, got.doing);
  if (n != 11 || run != h->run || of != rank)
    return;
  for (size_t i = strlen(got.doing); i > 0 && got.doing[i - 1] == ' '; i--)
    got.doing[i - 1] = '\0';
  *p = got;
}

bool rt_heartbeat_read(const rt_heartbeat *h, rt_pulse *all)
{
  char line[LINE];
  memset(all, 0, (size_t)h->n_ranks * sizeof *all);
  // reopen the file, so that a network file system asks the server
  const int fd = h->open ? open(h->path, O_RDONLY | O_CLOEXEC) : -1;
  for (int r = 0; fd >= 0 && r < h->n_ranks; r++)
    if (pread(fd, line, LINE, (off_t)r * LINE) == LINE)
      parse(h, r, line, &all[r]);
  const bool gone = h->open && fd < 0 && errno == ENOENT;
  if (fd >= 0)
    close(fd);
  all[h->rank] = h->mine;
  return !gone;
}

void rt_heartbeat_close(rt_heartbeat *h)
{
  if (h->open)
    close(h->fd);
  h->open = false;
}

bool rt_heartbeat_remove(rt_heartbeat *h)
{
  const bool was_open = h->open;
  rt_heartbeat_close(h);
  return !was_open || unlink(h->path) == 0 || errno != ENOENT;
}
