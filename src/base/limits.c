/** \file limits.c
 *  Limits from cgroups v1 and v2, Slurm's environment, and rlimits. */
#include "base/limits.h"

#include "base/file.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LINE = 2 * RT_PATH_MAX, GROUP_SLURM = 2 };
// cgroup v1 represents "no limit" by the largest multiple of the page size
static const double no_limit = 0x1p60;

static void add(rt_limits *to, rt_limit limit)
{
  if (limit.amount >= 0.0 && limit.amount < no_limit && to->n < RT_LIMITS_MAX)
    to->limit[to->n++] = limit;
}

/** Prefix for paths below \a root: "" for "/". */
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

/** The value of \a key in a file of lines "Key:  123 kB", in bytes; -1 if
 *  absent. */
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

/** A cgroup hierarchy and this process's place in it. */
typedef struct hierarchy {
  bool v2;
  char point[RT_PATH_MAX]; // mount point, including the root prefix
  char root[RT_PATH_MAX];  // the cgroup that is mounted there
  char path[RT_PATH_MAX];  // cgroup of this process
} hierarchy;

/** Is \a word an element of a comma-separated list? */
static bool has_word(const char *list, const char *word)
{
  const size_t n = strlen(word);
  for (const char *c = list; *c != '\0'; c += strcspn(c, ","), c += *c == ',')
    if (strncmp(c, word, n) == 0 && strchr(",\n", c[n]) != NULL)
      return true;
  return false;
}

/** Find the mount point of the v1 hierarchy of \a controller, or of v2. */
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

/** Find the cgroup of this process: a line "4:cpu,cpuacct:/path", or "0::/path"
 *  for v2. */
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

/** The part of \a path below \a top, "" if equal; NULL if it is not below. */
static const char *below(const char *path, const char *top)
{
  const size_t n = strcmp(top, "/") == 0 ? 0 : strlen(top);
  return strncmp(path, top, n) != 0     ? NULL
         : strcmp(path + n, "/") == 0   ? ""
         : strchr("/", path[n]) != NULL ? path + n
                                        : NULL;
}

/** The folder of this process's cgroup.  A container sees only part of the
 *  hierarchy; paths there are relative to the root of what is mounted. */
static bool folder_of(const hierarchy *h, char folder[RT_PATH_MAX])
{
  const char *rest = below(h->path, h->root);
  if (rest == NULL)
    rest = h->path; // the mount shows another part: the walk ends at its top
  if (strstr(rest, "/..") != NULL || rest[0] != '/')
    rest = ""; // outside the cgroup namespace
  const int length = snprintf(folder, RT_PATH_MAX, "%s%s", h->point, rest);
  return length < RT_PATH_MAX;
}

/** Read one or two numbers from \a folder/\a name; return how many were found.
 */
static int read_numbers(const char *folder, const char *name, double v[2])
{
  FILE *const f = open_under(folder, name);
  if (f == NULL)
    return 0;
  const int n = fscanf(f, "%lf %lf", &v[0], &v[1]); // "max" does not match
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
  const size_t length = strlen(folder), max = 200; // the end says more
  snprintf(limit.name, sizeof limit.name, "%s of %s%s", name,
           length > max ? "..." : "",
           folder + (length > max ? length - max : 0));
  add(to, limit);
}

/** Does this v1 cgroup limit its descendants (memory.use_hierarchy)? */
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

/** Visit the cgroup of this process and all its ancestors, in both versions: on
 *  a hybrid system each version has some of the controllers. */
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

/** Value of an environment variable in MiB, or with a suffix K, M, G or T; 0 if
 *  unset. */
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

/** If \a bytes > 0, add a limit \a name for all processes of the node or for
 *  each one. */
static void add_slurm(rt_limits *to, const char *name, double bytes,
                      uint64_t group)
{
  rt_limit limit = {.amount = bytes, .group = group};
  snprintf(limit.name, sizeof limit.name, "%s", name);
  if (bytes > 0.0) // 0 means the whole node
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

/** An rlimit restricts mapped memory (\a key of the process).  Memory that is
 *  mapped but not used is subtracted, as it is not available for anything else.
 */
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
