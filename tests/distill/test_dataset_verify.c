/** \file test_dataset_verify.c
 *  `logits verify`: a changed byte anywhere, and a missing file, are found.
 *  ranks: 1 2 */
#include "distill/dataset/dataset.h"
#include "support/logits_scene.h"
#include "support/rt_test_files.h"

enum { N_SHARDS = 2, N_LOOKS = 24 };

static rt_comm *world;
static rt_deck *deck; // without data.files
static char from[RT_PATH_MAX];

static void put(void)
{
  // rows of 2 MiB: whole blocks of them are in no seal
  rt_logits_info info = info_of(512, 1000, 3, 2);
  info.top_k = 1000;
  info.top_p = 1.0;
  begin();
  RT_OKAY(rt_comm_create(MPI_COMM_WORLD, &world));
  RT_OKAY(rt_deck_read(NULL, 0, NULL, &deck));
  rt_in(folder, "ds", from);
  write_together(from, &info);
}

static void clear(void)
{
  rt_deck_destroy(&deck);
  rt_comm_destroy(&world);
  scratch_remove(folder);
}

static rt_err verify(void)
{
  rt_logits *ds = NULL;
  MPI_Barrier(MPI_COMM_WORLD);
  rt_err err = rt_logits_open(MPI_COMM_WORLD, from, RT_LOGITS_SOUND, &ds);
  if (err == RT_OK)
    err = rt_logits_verify(world, deck, ds);
  rt_logits_close(&ds);
  MPI_Barrier(MPI_COMM_WORLD);
  return err;
}

static const char *shard(int i, char path[RT_PATH_MAX])
{
  char name[32];
  snprintf(name, sizeof name, "shard-%06d.h5", i);
  return rt_in(from, name, path);
}

static void test_bytes(void)
{
  char path[RT_PATH_MAX];
  int64_t bytes;
  put();
  RT_OKAY(verify());
  for (int i = 0; i < N_SHARDS; i++) {
    int by_row = 0;
    RT_OKAY(rt_file_size(shard(i, path), &bytes));
    for (int64_t k = 0; k < N_LOOKS; k++) {
      const int64_t at = bytes * (2 * k + 1) / (2 * N_LOOKS);
      if (my_rank == 0)
        scratch_flip(path, at, 8);
      CU_ASSERT_EQUAL(verify(), RT_ERR_DATA);
      by_row += strstr(rt_err_text(), "and 1 rows") != NULL;
      if (my_rank == 0)
        scratch_flip(path, at, 8);
    }
    CU_ASSERT(by_row > N_LOOKS / 4); // the rows are read, too
  }
  RT_OKAY(verify());
  clear();
}

static void test_missing(void)
{
  char path[RT_PATH_MAX];
  put();
  if (my_rank == 0)
    RT_OKAY(rt_path_remove(shard(1, path)));
  RT_FAILS(verify(), RT_ERR_DATA, "1 files are missing or damaged");
  clear();
}

RT_TEST_MAIN("dataset_verify", {"a changed byte", test_bytes},
             {"a missing file", test_missing})
