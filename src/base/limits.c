/** \file limits.c
 *  cgroups v1 and v2, Slurm's variables, rlimits. */
#include "base/limits.h"

#include "base/file.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LINE = 2 * RT_PATH_MAX, GROUP_SLURM = 2 };
// v1 writes "no limit" as the largest multiple of a page
static const double no_limit = 0x1p60;

static void add(rt_limits *to, rt_limit limit)
{
  if (limit.amount >= 0.0 && limit.amount < no_limit && to->n < RT_LIMITS_MAX)
    to->limit[to->n++] = limit;
}

/** So that paths under it read well: "" for "/". */
static const char *base_of(const char *root)
{
  return strcmp(root, "/") == 0 ? "" : root;
}

static FILE *open_under(const char *root, const char *path)
{
  char full[RT_PATH_MAX];
  const int n = snprintf(full, sizeof full, "%s/%s", root, path);
  return n < RT_PATH_MAX ? fopen(full, "r") : NULL;
}

/** The number after \a key in a file of lines "Key:  123 kB", in bytes; -1 when
 *  it is not there. */
static double bytes_of(const char *root, const char *path, const char *key)
{
  char line[256];
  double kib = -1.0;
  FILE *const f = open_under(root, path);
  if (f == NULL)
    return kib;
  while (kib < 0.0 && fgets(line, sizeof line, f) != NULL)
    if (strncmp(line, key, strlen(key)) == 0)
      kib = strtod(line + strlen(key), NULL);
  fclose(f);
  return kib < 0.0 ? kib : kib * 1024.0;
}

double rt_limits_resident(const char *root)
{
  const double bytes = bytes_of(base_of(root), "proc/self/status", "VmRSS:");
  return bytes > 0.0 ? bytes : 0.0;
}

/** --- cgroups --- */

/** A hierarchy, and where in it this process is. */
typedef struct hierarchy {
  bool v2;
  char point[RT_PATH_MAX]; // the folder that it is mounted on, with the root
  char root[RT_PATH_MAX];  // which of its cgroups lies there
  char path[RT_PATH_MAX];  // of this process's
} hierarchy;

/** Is \a word one of a list with commas? */
static bool has_word(const char *list, const char *word)
{
  const size_t n = strlen(word);
  for (const char *c = list; *c != '\0'; c += strcspn(c, ","), c += *c == ',')
    if (strncmp(c, word, n) == 0 && strchr(",\n", c[n]) != NULL)
      return true;
  return false;
}

/** Where the hierarchy of \a controller (v1) or that of v2 is mounted. */
static bool find_mount(const char *root, const char *controller, hierarchy *h)
{
  char line[LINE], type[64], options[1024], point[RT_PATH_MAX];
  bool found = false;
  FILE *const f = open_under(root, "proc/self/mountinfo");
  if (f == NULL)
    return false;
  while (!found && fgets(line, sizeof line, f) != NULL) {
    const char *const tail = strstr(line, " - ");
    if (tail == NULL ||
        sscanf(tail, " - %63s %*s %1023s", type, options) != 2 ||
        sscanf(line, "%*d %*d %*s %4095s %4095s", h->root, point) != 2)
      continue;
    found = h->v2
                ? strcmp(type, "cgroup2") == 0
                : strcmp(type, "cgroup") == 0 && has_word(options, controller);
  }
  fclose(f);
  const int n = snprintf(h->point, sizeof h->point, "%s%s", root, point);
  return found && n < RT_PATH_MAX;
}

/** The process's cgroup: "4:cpu,cpuacct:/path", "0::/path" for v2. */
static bool find_path(const char *root, const char *controller, hierarchy *h)
{
  char line[LINE];
  bool found = false;
  FILE *const f = open_under(root, "proc/self/cgroup");
  if (f == NULL)
    return false;
  while (!found && fgets(line, sizeof line, f) != NULL) {
    char *const list = strchr(line, ':');
    char *const path = list != NULL ? strchr(list + 1, ':') : NULL;
    if (path == NULL)
      continue;
    *path = '\0';
    found = h->v2 ? strcmp(line, "0:") == 0 : has_word(list + 1, controller);
    if (found)
      snprintf(h->path, sizeof h->path, "%.*s", (int)strcspn(path + 1, "\n"),
               path + 1);
  }
  fclose(f);
  return found;
}

/** \a path below \a top, "" for itself; NULL when it is not there. */
static const char *below(const char *path, const char *top)
{
  const size_t n = strcmp(top, "/") == 0 ? 0 : strlen(top);
  return strncmp(path, top, n) != 0     ? NULL
         : strcmp(path + n, "/") == 0   ? ""
         : strchr("/", path[n]) != NULL ? path + n
                                        : NULL;
}

/** The folder of the process's cgroup.  A container sees part of the hierarchy
 *  only: what is mounted there counts from its root. */
static bool folder_of(const hierarchy *h, char folder[RT_PATH_MAX])
{
  const char *rest = below(h->path, h->root);
  if (rest == NULL)
    rest = h->path; // the mount is of another place: the walk ends at its top
  if (strstr(rest, "/..") != NULL || rest[0] != '/')
    rest = ""; // outside of the namespace
  const int length = snprintf(folder, RT_PATH_MAX, "%s%s", h->point, rest);
  return length < RT_PATH_MAX;
}

/** One or two numbers of \a folder/\a name; how many were there. */
static int read_numbers(const char *folder, const char *name, double v[2])
{
  FILE *const f = open_under(folder, name);
  if (f == NULL)
    return 0;
  const int n = fscanf(f, "%lf %lf", &v[0], &v[1]); // "max" is no number
  fclose(f);
  return n > 0 ? n : 0;
}

static uint64_t group_of(const char *folder)
{
  struct stat s;
  if (stat(folder, &s) != 0)
    return 0;
  return ((uint64_t)s.st_dev << 48 ^ (uint64_t)s.st_ino) | UINT64_C(1) << 63;
}

static void add_file(rt_limits *to, const char *folder, const char *name,
                     double amount)
{
  rt_limit limit = {.amount = amount,
                    .group = group_of(folder),
                    .soft = strcmp(name, "memory.high") == 0};
  const size_t length = strlen(folder), most = 200; // its end tells more
  snprintf(limit.name, sizeof limit.name, "%s of %s%s", name,
           length > most ? "..." : "",
           folder + (length > most ? length - most : 0));
  add(to, limit);
}

/** A v1 cgroup may leave those below it alone. */
static bool binds_below(const char *folder)
{
  double v[2] = {1.0, 0.0};
  return read_numbers(folder, "memory.use_hierarchy", v) == 0 || v[0] != 0.0;
}

typedef void visit_fn(const char *folder, bool v2, bool own, rt_limits *to);

static void visit_memory(const char *folder, bool v2, bool own, rt_limits *to)
{
  static const char *const names[] = {"memory.max", "memory.high",
                                      "memory.limit_in_bytes"};
  double v[2];
  if (!v2 && !own && !binds_below(folder))
    return;
  for (int i = v2 ? 0 : 2; i < (v2 ? 2 : 3); i++)
    if (read_numbers(folder, names[i], v) == 1)
      add_file(to, folder, names[i], v[0]);
}

static void visit_cores(const char *folder, bool v2, bool own, rt_limits *to)
{
  double quota[2], period[2];
  (void)own;
  if (v2 && read_numbers(folder, "cpu.max", quota) == 2 && quota[1] > 0.0)
    add_file(to, folder, "cpu.max", quota[0] / quota[1]);
  if (!v2 && read_numbers(folder, "cpu.cfs_quota_us", quota) == 1 &&
      read_numbers(folder, "cpu.cfs_period_us", period) == 1 &&
      quota[0] > 0.0 && period[0] > 0.0)
    add_file(to, folder, "cpu.cfs_quota_us", quota[0] / period[0]);
}

/** Visit the process's cgroup and all above it, of both versions: a hybrid
 *  system has some controllers in each. */
static void walk(const char *root, const char *controller, visit_fn *visit,
                 rt_limits *to)
{
  for (int v2 = 0; v2 < 2; v2++) {
    hierarchy h = {.v2 = v2 == 1};
    char folder[RT_PATH_MAX];
    if (!find_mount(root, controller, &h) || !find_path(root, controller, &h) ||
        !folder_of(&h, folder))
      continue;
    const size_t top = strlen(h.point);
    bool own = true;
    while (strlen(folder) > top) {
      visit(folder, h.v2, own, to);
      own = false;
      *strrchr(folder, '/') = '\0';
    }
    visit(folder, h.v2, own, to);
  }
}

/** --- Slurm, the system, the process --- */

/** A number of MiB, or with K, M, G or T, of a variable; 0 when not set. */
static double slurm_bytes(const char *name)
{
  char *end = NULL;
  const char *const text = getenv(name);
  if (text == NULL)
    return 0.0;
  const double n = strtod(text, &end);
  const double unit = *end == 'K'   ? 0x1p10
                      : *end == 'G' ? 0x1p30
                      : *end == 'T' ? 0x1p40
                                    : 0x1p20;
  return n * unit;
}

static double slurm_number(const char *name)
{
  const char *const text = getenv(name);
  return text != NULL ? strtod(text, NULL) : 0.0;
}

/** \a bytes > 0 as limit \a name of the node's processes or of each one. */
static void add_slurm(rt_limits *to, const char *name, double bytes,
                      uint64_t group)
{
  rt_limit limit = {.amount = bytes, .group = group};
  snprintf(limit.name, sizeof limit.name, "%s", name);
  if (bytes > 0.0) // 0 means all that the node has
    add(to, limit);
}

static void add_slurms(rt_limits *to)
{
  const double per_cpu = slurm_bytes("SLURM_MEM_PER_CPU");
  const double on_node = slurm_number("SLURM_CPUS_ON_NODE");
  add_slurm(to, "SLURM_MEM_PER_NODE (--mem)", slurm_bytes("SLURM_MEM_PER_NODE"),
            GROUP_SLURM);
  add_slurm(to, "SLURM_MEM_PER_CPU (--mem-per-cpu) x SLURM_CPUS_ON_NODE",
            per_cpu * on_node, GROUP_SLURM);
  if (on_node == 0.0)
    add_slurm(to, "SLURM_MEM_PER_CPU (--mem-per-cpu) x SLURM_CPUS_PER_TASK",
              per_cpu * slurm_number("SLURM_CPUS_PER_TASK"), 0);
}

/** An rlimit counts what is mapped, \a key of the process: what it has mapped
 *  and does not use is not there for others. */
static void add_rlimit(rt_limits *to, const char *root, const char *key,
                       const struct rlimit *r)
{
  const double unused =
      bytes_of(root, "proc/self/status", key) - rt_limits_resident(root);
  const double most = (double)r->rlim_cur;
  rt_limit limit = {.amount = unused < 0.0    ? most
                              : unused < most ? most - unused
                                              : 0.0};
  snprintf(limit.name, sizeof limit.name, "%s less what is only mapped",
           strcmp(key, "VmData:") == 0 ? "RLIMIT_DATA (ulimit -d)"
                                       : "RLIMIT_AS (ulimit -v)");
  if (r->rlim_cur != RLIM_INFINITY)
    add(to, limit);
}

void rt_limits_memory(const char *root, rt_limits *out)
{
  *out = (rt_limits){0};
  root = base_of(root);
  rt_limit ram = {.amount = bytes_of(root, "proc/meminfo", "MemTotal:"),
                  .group = RT_GROUP_NODE,
                  .name = "RAM of the node"};
  if (ram.amount < 0.0)
    ram.amount =
        (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGE_SIZE);
  add(out, ram);
  add_slurms(out);
  struct rlimit r;
  if (getrlimit(RLIMIT_AS, &r) == 0)
    add_rlimit(out, root, "VmSize:", &r);
  if (getrlimit(RLIMIT_DATA, &r) == 0)
    add_rlimit(out, root, "VmData:", &r);
  walk(root, "memory", visit_memory, out);
}

void rt_limits_cores(const char *root, rt_limits *out)
{
  *out = (rt_limits){0};
  root = base_of(root);
  walk(root, "cpu", visit_cores, out);
}
