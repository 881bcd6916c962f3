/** \file test_limits.c
 *  Limits of the job: cgroups of both versions, Slurm, rlimits.
 *  ranks: 1 */
#include "base/limits.h"

#include "support/rt_test.h"
#include "support/scratch.h"
#include <math.h>
#include <sys/resource.h>
#include <sys/wait.h>

static char root[RT_PATH_MAX];

/** Write a file of the tree, creating its folder. */
static void put(const char *path, const char *text)
{
  char full[RT_PATH_MAX], folder[RT_PATH_MAX];
  RT_OKAY(rt_path_join(full, root, path));
  snprintf(folder, sizeof folder, "%s", full);
  *strrchr(folder, '/') = '\0';
  RT_OKAY(rt_folder_create(folder));
  RT_OKAY(rt_file_put(full, text, strlen(text)));
}

static void begin(void)
{
  static const char *const slurm[] = {"SLURM_MEM_PER_NODE", "SLURM_MEM_PER_CPU",
                                      "SLURM_CPUS_ON_NODE",
                                      "SLURM_CPUS_PER_TASK"};
  for (size_t i = 0; i < sizeof slurm / sizeof slurm[0]; i++)
    unsetenv(slurm[i]);
  scratch_create(root);
  put("proc/meminfo", "MemTotal:       32000000 kB\nMemFree:        1 kB\n");
}

static void end(void)
{
  scratch_remove(root);
}

/** The first limit whose name contains \a part; NULL if there is none. */
static const rt_limit *find(const rt_limits *l, const char *part)
{
  for (int i = 0; i < l->n; i++)
    if (strstr(l->limit[i].name, part) != NULL)
      return &l->limit[i];
  return NULL;
}

static void expect(const rt_limits *l, const char *part, double amount)
{
  const rt_limit *const limit = find(l, part);
  CU_ASSERT_PTR_NOT_NULL_FATAL(limit);
  CU_ASSERT_DOUBLE_EQUAL(limit->amount, amount, 0.0);
}

static void test_none(void)
{
  rt_limits l;
  begin();
  rt_limits_memory(root, &l);
  CU_ASSERT_EQUAL(l.n, 1); // no cgroups, no Slurm, no rlimits: RAM
  expect(&l, "RAM of the node", 32000000.0 * 1024.0);
  rt_limits_cores(root, &l);
  CU_ASSERT_EQUAL(l.n, 0);
  end();
  rt_limits_memory(root, &l); // nothing at all can be read
  CU_ASSERT_EQUAL(l.n, 1);
  CU_ASSERT_TRUE(l.limit[0].amount > 0.0);
}

static void test_v2(void)
{
  rt_limits l;
  begin();
  put("proc/self/cgroup", "0::/job_7/step_0/task_1\n");
  put("proc/self/mountinfo",
      "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
      "30 22 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw\n");
  put("sys/fs/cgroup/job_7/memory.max", "3221225472\n");
  put("sys/fs/cgroup/job_7/memory.high", "2147483648\n");
  put("sys/fs/cgroup/job_7/cpu.max", "max 100000\n");
  put("sys/fs/cgroup/job_7/step_0/memory.max", "max\n");
  put("sys/fs/cgroup/job_7/step_0/memory.high", "max\n");
  put("sys/fs/cgroup/job_7/step_0/cpu.max", "250000 100000\n");
  put("sys/fs/cgroup/job_7/step_0/task_1/memory.max", "1073741824\n");
  put("sys/fs/cgroup/other/memory.max", "1\n");
  rt_limits_memory(root, &l);
  CU_ASSERT_EQUAL(l.n, 4);
  expect(&l, "memory.max of", 0x1p30); // its own first
  expect(&l, "step_0/task_1", 0x1p30);
  expect(&l, "memory.high of", 0x1p31);
  CU_ASSERT_DOUBLE_EQUAL(l.limit[2].amount, 3.0 * 0x1p30, 0.0);
  CU_ASSERT_TRUE(find(&l, "memory.high")->soft);
  CU_ASSERT_FALSE(find(&l, "memory.max")->soft);
  CU_ASSERT_EQUAL(find(&l, "memory.high")->group, l.limit[2].group);
  CU_ASSERT_NOT_EQUAL(find(&l, "task_1")->group, l.limit[2].group);
  CU_ASSERT_NOT_EQUAL(l.limit[2].group, 0);
  rt_limits_cores(root, &l);
  CU_ASSERT_EQUAL(l.n, 1);
  expect(&l, "cpu.max of", 2.5);
  end();
}

static void test_v1(void)
{
  rt_limits l;
  begin();
  put("proc/self/cgroup", "5:memory:/slurm/uid_0/job_7\n"
                          "4:cpu,cpuacct:/slurm\n3:cpuset:/slurm\n");
  put("proc/self/mountinfo",
      "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n"
      "32 31 0:29 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n"
      "33 31 0:30 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup "
      "rw,cpu,cpuacct\n"
      "34 31 0:31 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n");
  put("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  put("sys/fs/cgroup/memory/slurm/memory.limit_in_bytes", "8000000000\n");
  put("sys/fs/cgroup/memory/slurm/uid_0/memory.limit_in_bytes", "1000\n");
  put("sys/fs/cgroup/memory/slurm/uid_0/memory.use_hierarchy", "0\n");
  put("sys/fs/cgroup/memory/slurm/uid_0/job_7/memory.limit_in_bytes",
      "157286400\n");
  put("sys/fs/cgroup/cpu,cpuacct/slurm/cpu.cfs_quota_us", "-1\n");
  put("sys/fs/cgroup/cpu,cpuacct/slurm/cpu.cfs_period_us", "100000\n");
  put("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "400000\n");
  put("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n");
  rt_limits_memory(root, &l);
  CU_ASSERT_EQUAL(l.n, 3); // not "no limit", nor what binds only itself
  expect(&l, "job_7", 157286400.0);
  expect(&l, "memory/slurm", 157286400.0);
  CU_ASSERT_DOUBLE_EQUAL(l.limit[2].amount, 8e9, 0.0);
  rt_limits_cores(root, &l);
  CU_ASSERT_EQUAL(l.n, 1);
  expect(&l, "cpu.cfs_quota_us of", 4.0);
  end();
}

/** Memory in v1, CPU in v2. */
static void test_hybrid(void)
{
  rt_limits l;
  begin();
  put("proc/self/cgroup", "5:memory:/m\n0::/u\n");
  put("proc/self/mountinfo",
      "34 31 0:31 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
      "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n");
  put("sys/fs/cgroup/memory/m/memory.limit_in_bytes", "1000000\n");
  put("sys/fs/cgroup/unified/u/cpu.max", "50000 100000\n");
  rt_limits_memory(root, &l);
  CU_ASSERT_EQUAL(l.n, 2);
  expect(&l, "memory.limit_in_bytes", 1e6);
  rt_limits_cores(root, &l);
  expect(&l, "cpu.max", 0.5);
  end();
}

/** A container sees its part of the tree under the whole tree's name (Docker,
 *  v1), as "/" (cgroup namespace), or another part (bind mounts). */
static void test_containers(void)
{
  rt_limits l;
  begin();
  put("proc/self/cgroup", "5:memory:/docker/abc\n0::/../sibling\n");
  put("proc/self/mountinfo",
      "34 31 0:31 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup "
      "rw,memory\n"
      "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n");
  put("sys/fs/cgroup/memory/memory.limit_in_bytes", "1000000\n");
  put("sys/fs/cgroup/sibling/memory.max", "5\n"); // not below the mount
  put("sys/fs/cgroup/unified/memory.max", "2000000\n");
  rt_limits_memory(root, &l);
  CU_ASSERT_EQUAL(l.n, 3);
  expect(&l, "memory.limit_in_bytes", 1e6);
  expect(&l, "unified", 2e6);
  put("proc/self/cgroup", "5:memory:/docker/abcdef/x\n0::/\n");
  rt_limits_memory(root, &l);
  CU_ASSERT_EQUAL(l.n, 3);
  expect(&l, "memory.limit_in_bytes", 1e6);
  end();
}

static void test_nonsense(void)
{
  static const char *const texts[] = {
      "", "\n", "max", "many\n", "-5\n", "99999999999999999999999999\n"};
  rt_limits l;
  begin();
  put("proc/self/cgroup", "nothing\n0::/a\n:::\n");
  put("proc/self/mountinfo", "\n - \n41 31 0:38 / /c rw - cgroup2\n"
                             "41 31 0:38 / /c rw - cgroup2 x rw\n");
  for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
    put("c/a/memory.max", texts[i]);
    put("c/a/cpu.max", texts[i]);
    rt_limits_memory(root, &l);
    CU_ASSERT_EQUAL(l.n, 1);
    rt_limits_cores(root, &l);
    CU_ASSERT_EQUAL(l.n, 0);
  }
  end();
}

static void test_slurm(void)
{
  rt_limits l;
  begin();
  setenv("SLURM_MEM_PER_NODE", "1500", 1);
  rt_limits_memory(root, &l);
  expect(&l, "SLURM_MEM_PER_NODE", 1500.0 * 0x1p20);
  setenv("SLURM_MEM_PER_NODE", "2G", 1);
  rt_limits_memory(root, &l);
  expect(&l, "SLURM_MEM_PER_NODE", 0x1p31);
  setenv("SLURM_MEM_PER_NODE", "0", 1); // all of it
  rt_limits_memory(root, &l);
  CU_ASSERT_EQUAL(l.n, 1);
  unsetenv("SLURM_MEM_PER_NODE");
  setenv("SLURM_MEM_PER_CPU", "1024", 1);
  setenv("SLURM_CPUS_PER_TASK", "2", 1);
  rt_limits_memory(root, &l);
  expect(&l, "SLURM_CPUS_PER_TASK", 0x1p31);
  CU_ASSERT_EQUAL(find(&l, "SLURM_MEM_PER_CPU")->group, 0); // of each process
  setenv("SLURM_CPUS_ON_NODE", "16", 1);
  rt_limits_memory(root, &l);
  CU_ASSERT_EQUAL(l.n, 2);
  expect(&l, "SLURM_CPUS_ON_NODE", 16.0 * 0x1p30);
  CU_ASSERT_NOT_EQUAL(find(&l, "SLURM_MEM_PER_CPU")->group, 0);
  end();
}

/** In a separate process, because the limit is permanent. */
static void test_rlimits(void)
{
  begin();
  put("proc/self/status", "VmSize:   300000 kB\nVmData:  150000 kB\n"
                          "VmRSS:    100000 kB\n");
  CU_ASSERT_DOUBLE_EQUAL(rt_limits_resident(root), 100000.0 * 1024.0, 0.0);
  const pid_t child = fork();
  if (child == 0) {
    rt_limits l;
    const struct rlimit as = {(rlim_t)1 << 40, (rlim_t)1 << 40},
                        data = {(rlim_t)1 << 39, (rlim_t)1 << 39};
    bool good =
        setrlimit(RLIMIT_AS, &as) == 0 && setrlimit(RLIMIT_DATA, &data) == 0;
    rt_limits_memory(root, &l);
    good = good && l.n == 3 && find(&l, "RLIMIT_AS")->group == 0 &&
           find(&l, "RLIMIT_AS")->amount == 0x1p40 - 200000.0 * 1024.0 &&
           find(&l, "RLIMIT_DATA")->amount == 0x1p39 - 50000.0 * 1024.0;
    _exit(!good);
  }
  int status = 1;
  CU_ASSERT_EQUAL(waitpid(child, &status, 0), child);
  CU_ASSERT_EQUAL(status, 0);
  end();
}

RT_TEST_MAIN("limits", {"nothing but the machine", test_none},
             {"cgroup v2, nested", test_v2}, {"cgroup v1, nested", test_v1},
             {"a hybrid of both", test_hybrid},
             {"what containers see", test_containers},
             {"no numbers", test_nonsense}, {"Slurm", test_slurm},
             {"rlimits", test_rlimits})
