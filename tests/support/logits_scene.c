/** \file logits_scene.c */
#include "support/logits_scene.h"

char folder[RT_PATH_MAX];
int my_rank, n_ranks;

void begin(void)
{
  MPI_Comm_rank(MPI_COMM_WORLD, &my_rank);
  MPI_Comm_size(MPI_COMM_WORLD, &n_ranks);
  rt_log_setup(RT_LOG_INFO, RT_LOG_SILENT);
  scratch_create(folder);
}

rt_logits_info info_of(int64_t seq, int64_t vocab, int64_t n_rows,
                       int64_t shard_rows)
{
  return (rt_logits_info){.version = RT_LOGITS_VERSION,
                          .seq = seq,
                          .vocab = vocab,
                          .n_rows = n_rows,
                          .shard_rows = shard_rows,
                          .encoding = "exact",
                          .top_p = 0.95,
                          .top_k = 50,
                          .temperature = 1.0,
                          .teacher_hash = "00ff",
                          .teacher = "a \"teacher\"",
                          .license = "CC0",
                          .created = "2026-01-31T12:00:00Z",
                          .eot = -1,
                          .valid_fraction = 0.01,
                          .split_seed = 1,
                          .mask_documents = true};
}

static bool same_rows(const rt_logits_info *info, const rt_logits_row *a,
                      const rt_logits_row *b)
{
  const size_t T = (size_t)info->seq, n = (size_t)a->n_entries;
  return a->n_entries == b->n_entries &&
         memcmp(a->tok, b->tok, (T + 1) * 4) == 0 &&
         memcmp(a->count, b->count, T * 4) == 0 &&
         memcmp(a->lse, b->lse, T * 4) == 0 &&
         memcmp(a->label_logp, b->label_logp, T * 4) == 0 &&
         memcmp(a->ids, b->ids, n * 4) == 0 &&
         memcmp(a->logp, b->logp, n * 4) == 0;
}

void write_alone(const char *to, const rt_logits_info *info)
{
  RT_OKAY(rt_logits_create(to, info, "deck: 1\n"));
  for (int64_t i = 0; i < rt_logits_n_shards(info); i++)
    RT_OKAY(write_shard(to, info, i));
  RT_OKAY(rt_logits_finish(to));
}

void write_together(const char *to, const rt_logits_info *info)
{
  if (my_rank == 0)
    RT_OKAY(rt_logits_create(to, info, "deck: 1\n"));
  MPI_Barrier(MPI_COMM_WORLD);
  for (int64_t i = my_rank; i < rt_logits_n_shards(info); i += n_ranks)
    RT_OKAY(write_shard(to, info, i));
  MPI_Barrier(MPI_COMM_WORLD);
  if (my_rank == 0)
    RT_OKAY(rt_logits_finish(to));
  MPI_Barrier(MPI_COMM_WORLD);
}

int64_t n_wrong(const rt_logits *ds, const rt_logits_row *expected)
{
  const rt_logits_info *const info = rt_logits_about(ds);
  rt_logits_row got = {0};
  int64_t wrong = 0;
  for (int64_t k = 0; k < info->n_rows && wrong >= 0; k++) {
    const int64_t i = k * 7919 % info->n_rows; // in no order
    if (rt_logits_read(ds, i, &got) != RT_OK)
      wrong = -1;
    else
      wrong += !same_rows(info, &got, &expected[i]);
  }
  rt_logits_row_clear(&got);
  return wrong;
}

void check_dataset(MPI_Comm comm, const char *from, const rt_logits_info *info)
{
  rt_logits *ds;
  char diff[512];
  RT_OKAY(rt_logits_open(comm, from, RT_LOGITS_FINISHED, &ds));
  rt_logits_info_diff(rt_logits_about(ds), info, diff, sizeof diff);
  CU_ASSERT_STRING_EQUAL(diff, "");
  rt_logits_row *const rows = make_rows(info);
  CU_ASSERT_EQUAL(n_wrong(ds, rows), 0);
  int64_t entries = 0;
  for (int64_t i = 0; i < info->n_rows; i++)
    entries += rows[i].n_entries;
  free_rows(rows, info->n_rows);
  CU_ASSERT_EQUAL(rt_logits_count(ds).entries, entries);
  CU_ASSERT_TRUE(rt_logits_count(ds).bytes > entries * 8);
  rt_logits_row none = {0};
  RT_FAILS(rt_logits_read(ds, -1, &none), RT_ERR_DATA, "row -1");
  RT_FAILS(rt_logits_read(ds, info->n_rows, &none), RT_ERR_DATA, "it has");
  rt_logits_close(&ds);
  CU_ASSERT_PTR_NULL(ds);
}
