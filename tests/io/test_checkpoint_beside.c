/** \file test_checkpoint_beside.c
 *  Checkpoints that threads write while their owners do something else.
 *  ranks: 1 2 4 */
#include "io/run/checkpoint.h"

#include "support/newest.h"
#include "support/rt_test_files.h"
#include "support/rt_test.h"
#include "support/scratch.h"
#include <signal.h>
#include <sys/resource.h>

enum { ROWS = 64, COLS = 5000 }; // a rank's columns of one tensor

static char folder[RT_PATH_MAX];
static int my_rank, n_ranks, n_parts;
static rt_worker *worker;
static float *data; // [ROWS * COLS]
static rt_slab slab;

static void begin(void)
{
  MPI_Comm_rank(MPI_COMM_WORLD, &my_rank);
  MPI_Comm_size(MPI_COMM_WORLD, &n_ranks);
  scratch_create(folder);
  data = malloc(ROWS * COLS * sizeof *data);
  for (int i = 0; i < ROWS * COLS; i++)
    data[i] = (float)(i * n_ranks + my_rank);
  slab = (rt_slab){.name = "w/x",
                   .rows = ROWS,
                   .cols = (int64_t)COLS * n_ranks,
                   .col0 = (int64_t)COLS * my_rank,
                   .data = rt_view_of(data, RT_F32, ROWS, COLS)};
  RT_OKAY(rt_worker_create(&worker));
}

static void end(void)
{
  rt_worker_destroy(&worker);
  free(data);
  scratch_remove(folder);
}

static rt_checkpoint_meta meta_of(int64_t step)
{
  return (rt_checkpoint_meta){
      .step = step, .rows = 1000, .deck = "a: 1\n", .arch = "{}"};
}

static void write_step(int64_t step)
{
  const rt_checkpoint_meta meta = meta_of(step);
  RT_OKAY(rt_checkpoint_write(MPI_COMM_WORLD, folder, &meta, &slab, 1));
}

static void begin_step(int64_t step, rt_checkpoint_writer **w)
{
  const rt_checkpoint_meta meta = meta_of(step);
  const rt_checkpoint_spec spec = {.comm = MPI_COMM_WORLD,
                                   .folder = folder,
                                   .meta = &meta,
                                   .slabs = &slab,
                                   .n_slabs = 1,
                                   .worker = worker};
  RT_OKAY(rt_checkpoint_begin(&spec, w));
}

/** Look and go on as a training does at the end of its steps. */
static rt_err poll_to_the_end(rt_checkpoint_writer **w)
{
  bool published = false;
  for (n_parts = 0; !published;) {
    int state = (int)rt_checkpoint_poll(*w);
    MPI_Allreduce(MPI_IN_PLACE, &state, 1, MPI_INT, MPI_MAX, MPI_COMM_WORLD);
    if (state == RT_CHECKPOINT_WRITES) {
      usleep(1000);
      continue;
    }
    n_parts++;
    RT_TRY(rt_checkpoint_go_on(w, &published));
  }
  return RT_OK;
}

/** Rank 0 arrives later than a failed rank would wait for its peers if the
 *  error ended the job. */
static rt_err finish_late(rt_checkpoint_writer **w)
{
  rt_test_sleep(my_rank == 0 ? 4 : 0);
  return rt_checkpoint_finish(w);
}

static int64_t newest(void)
{
  int64_t step = -2;
  MPI_Barrier(MPI_COMM_WORLD);
  RT_OKAY(newest_step(MPI_COMM_WORLD, folder, &step));
  return step;
}

/** Is the file NAME of step 3 the one in the folder "aside"? */
static void same_as_aside(const char *name)
{
  char path[RT_PATH_MAX], *one, *other;
  size_t n_one, n_other;
  snprintf(path, sizeof path, "%.3000s/step-00000003/%s", folder, name);
  RT_OKAY(rt_file_slurp(path, 1 << 24, &one, &n_one));
  snprintf(path, sizeof path, "%.3000s/aside/%s", folder, name);
  RT_OKAY(rt_file_slurp(path, 1 << 24, &other, &n_other));
  CU_ASSERT_EQUAL_FATAL(n_one, n_other);
  CU_ASSERT_EQUAL(memcmp(one, other, n_one), 0);
  free(one);
  free(other);
}

/** Threads write the same bytes; until they are published, the newest is the
 *  one before, and a writer that is given up changes nothing. */
static void test_same(void)
{
  char path[RT_PATH_MAX], aside[RT_PATH_MAX];
  rt_checkpoint_writer *w;
  begin();
  write_step(2);
  write_step(3);
  snprintf(path, sizeof path, "%.3000s/step-00000003", folder);
  snprintf(aside, sizeof aside, "%.3000s/aside", folder);
  CU_ASSERT_TRUE(my_rank != 0 || rename(path, aside) == 0);
  begin_step(3, &w);
  CU_ASSERT_EQUAL(newest(), 2);
  RT_OKAY(poll_to_the_end(&w));
  CU_ASSERT_PTR_NULL(w);
  CU_ASSERT_EQUAL(n_parts, 2);
  same_as_aside("state.h5");
  same_as_aside("state.h5.seal");
  begin_step(4, &w);
  RT_OKAY(rt_checkpoint_finish(&w));
  CU_ASSERT_EQUAL(newest(), 4);
  begin_step(5, &w);
  rt_checkpoint_abandon(&w);
  CU_ASSERT_EQUAL(newest(), 4);
  end();
}

/** One rank's thread cannot write: all learn why, also those that still write;
 *  the checkpoint before stays, and the draft is removed. */
static void test_fails(void)
{
  char draft[RT_PATH_MAX], name[RT_PATH_MAX];
  rt_checkpoint_writer *w;
  struct rlimit old;
  begin();
  signal(SIGXFSZ, SIG_IGN);
  write_step(1);
  getrlimit(RLIMIT_FSIZE, &old);
  const bool odd = n_ranks > 1 && my_rank == n_ranks - 1;
  const struct rlimit low = {odd ? 4096 : old.rlim_cur, old.rlim_max};
  setrlimit(RLIMIT_FSIZE, &low);
  begin_step(2, &w);
  const rt_err err = n_ranks == 2 ? finish_late(&w) : poll_to_the_end(&w);
  setrlimit(RLIMIT_FSIZE, &old);
  CU_ASSERT_PTR_NULL(w);
  CU_ASSERT_EQUAL(err, n_ranks > 1 ? RT_ERR_IO : RT_OK);
  CU_ASSERT_TRUE(n_ranks == 1 || strstr(rt_err_text(), "state.h5") != NULL);
  CU_ASSERT_TRUE(n_ranks == 1 ||
                 strstr(rt_err_text(), "the checkpoint needs") != NULL);
  CU_ASSERT_EQUAL(newest(), n_ranks > 1 ? 1 : 2);
  snprintf(name, sizeof name, "%.3000s/.tmp-step-00000002", folder);
  RT_OKAY(rt_path_draft(draft, name));
  CU_ASSERT_TRUE(my_rank != 0 || !rt_path_exists(draft));
  end();
}

/** A checkpoint that was being replaced, and one in removal. */
static void put_files(void)
{
  static const char *const names[] = {".tmp-old-step-00000003/state.h5",
                                      ".tmp-old-step-00000003/state.h5.seal",
                                      ".tmp-old-step-00000006/state.h5"};
  char path[RT_PATH_MAX];
  for (int i = 0; i < 3; i++)
    rt_put_text(rt_in(folder, names[i], path), "x");
}

/** What a killed run left is removed before free space is looked at, and
 *  nothing else. */
static void test_leftovers(void)
{
  static const struct {
    const char *name;
    bool stays;
  } all[] = {{".tmp-step-00000007.tmp.some-host.12", false},
             {".tmp-step-00000007", false},
             {".tmp-old-step-00000003", false}, // it has its name again
             {"step-00000003", true},
             {".tmp-old-step-00000004", false}, // the new one is there
             {"step-00000004", true},
             {".tmp-rm-step-00000005", false},
             {".tmp-old-step-00000006", false}, // no seal: was in removal
             {"step-00000006", false},
             {".tmp-step-7.tmp.host.12", true},
             {".tmp-step-00000007.bak", true},
             {".tmp-old-step-00000003.tmp.host.1", true},
             {".tmp-mine", true}};
  const int n = (int)(sizeof all / sizeof all[0]);
  char path[RT_PATH_MAX];
  for (int how = 0; how < 2; how++) {
    begin();
    for (int i = 0; my_rank == 0 && i < n; i++)
      if (strcmp(all[i].name, "step-00000003") != 0 &&
          strcmp(all[i].name, "step-00000006") != 0)
        RT_OKAY(rt_folder_create(rt_in(folder, all[i].name, path)));
    if (my_rank == 0)
      put_files();
    if (how == 1 && my_rank == 0) {
      RT_OKAY(rt_checkpoint_sweep(folder));
    } else if (how == 0) { // a checkpoint that nobody can write
      const rt_checkpoint_meta meta = meta_of(1);
      rt_slab huge = {.name = "w/x", .rows = 1 << 20, .cols = 1 << 30};
      huge.data = rt_view_of(NULL, RT_F32, my_rank == 0 ? 1 << 20 : 0, 1 << 30);
      RT_FAILS(rt_checkpoint_write(MPI_COMM_WORLD, folder, &meta, &huge, 1),
               RT_ERR_IO, "no room for a checkpoint");
    }
    for (int i = 0; my_rank == 0 && i < n; i++)
      CU_ASSERT_EQUAL(rt_folder_exists(rt_in(folder, all[i].name, path)),
                      all[i].stays);
    end();
  }
}

RT_TEST_MAIN("checkpoint_beside", {"threads write the same", test_same},
             {"a rank's thread fails", test_fails},
             {"what a killed run left", test_leftovers})
