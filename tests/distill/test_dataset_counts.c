/** \file test_dataset_counts.c
 *  What `logits info` counts: as many rows as it says, spread evenly, whatever
 *  the number of ranks.
 *  ranks: 1 2 */
#include "distill/dataset/dataset.h"
#include "support/logits_scene.h"
#include "support/rt_test_files.h"

enum { SEQ = 2, N_ROWS = 8, MOST = 128 };

/** Each token of row i has 2^i entries. */
static rt_err add_row(rt_logits_writer *w, int i)
{
  uint32_t ids[SEQ * MOST], tok[SEQ + 1] = {1, 2, 3}, count[SEQ];
  float logp[SEQ * MOST], lse[SEQ] = {0}, label[SEQ] = {-1, -1};
  const uint32_t n = UINT32_C(1) << i;
  for (uint32_t t = 0; t < SEQ; t++) {
    count[t] = n;
    for (uint32_t e = 0; e < n; e++) {
      ids[t * n + e] = e;
      logp[t * n + e] = -6.0F - 0.01F * (float)e;
    }
  }
  const rt_logits_row row = {.tok = tok,
                             .count = count,
                             .ids = ids,
                             .logp = logp,
                             .lse = lse,
                             .label_logp = label,
                             .n_tokens = SEQ,
                             .n_entries = (int64_t)SEQ * n};
  return rt_logits_writer_add(w, &row);
}

static void put_rows(const char *to)
{
  rt_logits_info info = info_of(SEQ, 1000, N_ROWS, N_ROWS);
  rt_logits_writer *w;
  info.top_k = MOST;
  info.top_p = 1.0;
  RT_OKAY(rt_logits_create(to, &info, "deck: 1\n"));
  RT_OKAY(rt_logits_writer_open(to, &w));
  RT_OKAY(rt_logits_writer_begin(w, 0));
  for (int i = 0; i < N_ROWS; i++)
    RT_OKAY(add_row(w, i));
  RT_OKAY(rt_logits_writer_seal(w));
  rt_logits_writer_close(&w);
  RT_OKAY(rt_logits_finish(to));
}

/** What is printed of at most \a n rows; the caller frees it.  "" but on rank
 *  0. */
static char *counted(const rt_comm *world, const rt_logits *ds, int64_t n)
{
  char log[RT_PATH_MAX], *text = calloc(1, 1);
  size_t length;
  rt_log_setup(RT_LOG_INFO, my_rank == 0 ? RT_LOG_SPEAKS : RT_LOG_SILENT);
  RT_OKAY(rt_log_keep(rt_in(folder, my_rank == 0 ? "log" : "none", log)));
  RT_OKAY(rt_logits_print_counts(ds, n, world));
  rt_log_release();
  if (my_rank == 0) {
    free(text);
    RT_OKAY(rt_file_slurp(log, 1 << 20, &text, &length));
    RT_OKAY(rt_path_remove(log));
  }
  return text;
}

static int occurrences(const char *text, const char *part)
{
  int n = 0;
  for (; (text = strstr(text, part)) != NULL; text++)
    n++;
  return n;
}

static void test_sample(void)
{
  static const struct {
    int64_t most;
    int rows;
    const char *share; // of the tokens, in each row
  } all[] = {{100, 8, " 12.5% of the tokens"},
             {8, 8, " 12.5% of the tokens"},
             {4, 4, " 25.0% of the tokens"},
             {2, 2, " 50.0% of the tokens"},
             {1, 1, "100.0% of the tokens"}};
  char from[RT_PATH_MAX], said[64];
  rt_comm *world;
  rt_logits *ds;
  begin();
  RT_OKAY(rt_comm_create(MPI_COMM_WORLD, &world));
  rt_in(folder, "ds", from);
  if (my_rank == 0)
    put_rows(from);
  RT_OKAY(rt_comm_barrier(world));
  RT_OKAY(rt_logits_open(MPI_COMM_WORLD, from, RT_LOGITS_FINISHED, &ds));
  for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
    char *const text = counted(world, ds, all[i].most);
    snprintf(said, sizeof said, "counted     %d of 8 rows", all[i].rows);
    CU_ASSERT_TRUE(my_rank != 0 || strstr(text, said) != NULL);
    CU_ASSERT_EQUAL(occurrences(text, all[i].share),
                    my_rank == 0 ? all[i].rows : 0);
    free(text);
  }
  rt_logits_close(&ds);
  rt_comm_destroy(&world);
  scratch_remove(folder);
}

RT_TEST_MAIN("dataset_counts", {"as many rows as it says", test_sample})
