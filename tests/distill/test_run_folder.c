/** \file test_run_folder.c
 *  The folder of a run: whose it is, what is kept in it, and its dataset.md.
 *  ranks: 1 */
#include "distill/train/run_folder.h"
#include "support/logits_scene.h"
#include "support/rt_test_files.h"

/** A folder with the files \a names, each with its name as contents. */
static void folder_of(const char *const *names, int n)
{
  char path[RT_PATH_MAX];
  begin();
  for (int i = 0; i < n; i++)
    rt_put_text(rt_in(folder, names[i], path), names[i]);
}

static bool says(const char *name, const char *part)
{
  char path[RT_PATH_MAX], *text;
  size_t n;
  RT_OKAY(rt_file_slurp(rt_in(folder, name, path), 1 << 20, &text, &n));
  const bool found = strstr(text, part) != NULL;
  if (!found)
    fprintf(stderr, "%s does not say \"%s\":\n%s", name, part, text);
  free(text);
  return found;
}

/** A user's deck is not overwritten; a run's is. */
static void test_whose(void)
{
  static const char *const of_run[] = {"deck.yaml", "metrics.jsonl"};
  static const char *const of_user[] = {"deck.yaml", "config.json",
                                        "dataset.md"};
  char path[RT_PATH_MAX];
  folder_of(NULL, 0);
  RT_OKAY(rt_run_folder_check(folder));
  scratch_remove(folder);
  folder_of(of_run, 2);
  RT_OKAY(rt_run_folder_check(folder));
  scratch_remove(folder);
  for (int i = 0; i < 3; i++) {
    folder_of(of_user + i, 1);
    RT_FAILS(rt_run_folder_check(folder), RT_ERR_LOCKED, of_user[i]);
    RT_OKAY(rt_folder_create(rt_in(folder, "checkpoints", path)));
    RT_OKAY(rt_run_folder_check(folder)); // a run has been here
    scratch_remove(folder);
  }
  folder_of((const char *const[]){"checkpoints"}, 1);
  RT_FAILS(rt_run_folder_check(folder), RT_ERR_LOCKED, "is not a folder");
  scratch_remove(folder);
}

/** Metrics are kept under a new name each time. */
static void test_keep_metrics(void)
{
  char path[RT_PATH_MAX];
  folder_of(NULL, 0);
  RT_OKAY(rt_run_folder_keep_metrics(folder)); // there are none
  rt_put_text(rt_in(folder, "metrics.jsonl", path), "first");
  RT_OKAY(rt_run_folder_keep_metrics(folder));
  rt_put_text(rt_in(folder, "metrics.jsonl", path), "second");
  RT_OKAY(rt_run_folder_keep_metrics(folder));
  CU_ASSERT_TRUE(says("metrics.jsonl.damaged", "first"));
  CU_ASSERT_TRUE(says("metrics.jsonl.damaged-2", "second"));
  CU_ASSERT_TRUE(says("metrics.jsonl", "second"));
  scratch_remove(folder);
}

/** The dataset, and a card about a run that cuts its rows in \a pieces. */
static rt_run_card card_of(const rt_logits *ds, const char *from,
                           int64_t pieces)
{
  return (rt_run_card){.dataset = ds,
                       .dataset_folder = from,
                       .seq = pieces > 0 ? 4 : 8,
                       .pieces = pieces,
                       .row_cut = pieces > 0 ? "pieces" : "whole",
                       .cut_means = "seen by the teacher only",
                       .top_p = 0.5,
                       .top_k = 7};
}

static void test_card(void)
{
  char from[RT_PATH_MAX], to[RT_PATH_MAX], proof[17];
  rt_logits *ds;
  folder_of(NULL, 0);
  rt_in(folder, "ds", from);
  rt_in(folder, "weights", to);
  const rt_logits_info info = info_of(8, 100, 4, 2);
  write_alone(from, &info);
  RT_OKAY(rt_logits_open(MPI_COMM_SELF, from, RT_LOGITS_FINISHED, &ds));
  rt_run_card card = card_of(ds, from, 0);
  RT_OKAY(rt_run_card_write(&card, folder));
  rt_logits_proof(ds, proof);
  CU_ASSERT_TRUE(says("dataset.md", proof));
  CU_ASSERT_TRUE(says("dataset.md", from));
  CU_ASSERT_TRUE(says("dataset.md", "CC0"));
  CU_ASSERT_TRUE(says("dataset.md", "| 8 of the 8 tokens of a row |"));
  CU_ASSERT_TRUE(says("dataset.md", "whole: rows are taken whole"));
  CU_ASSERT_TRUE(says("dataset.md", "| teacher.top_p | 0.5 |"));
  CU_ASSERT_TRUE(says("dataset.md", "| teacher.top_k | 7 |"));
  card = card_of(ds, from, 2);
  RT_OKAY(rt_run_card_write(&card, folder));
  CU_ASSERT_TRUE(says("dataset.md", "| 4 of the 8 tokens of a row |"));
  CU_ASSERT_TRUE(says("dataset.md",
                      "pieces: 2 student's rows of each captured row; seen by "
                      "the teacher only |"));
  RT_OKAY(rt_folder_create(to));
  RT_OKAY(rt_run_card_copy(folder, to));
  CU_ASSERT_TRUE(says("weights/dataset.md", proof));
  rt_logits_close(&ds);
  scratch_remove(folder);
}

/** No dataset, no card. */
static void test_no_card(void)
{
  const rt_run_card none = {0};
  char to[RT_PATH_MAX], path[RT_PATH_MAX];
  folder_of(NULL, 0);
  rt_in(folder, "weights", to);
  RT_OKAY(rt_folder_create(to));
  RT_OKAY(rt_run_card_write(&none, folder));
  RT_OKAY(rt_run_card_copy(folder, to));
  CU_ASSERT_FALSE(rt_path_exists(rt_in(folder, "dataset.md", path)));
  CU_ASSERT_FALSE(rt_path_exists(rt_in(to, "dataset.md", path)));
  scratch_remove(folder);
}

RT_TEST_MAIN("run_folder", {"whose folder it is", test_whose},
             {"metrics are kept", test_keep_metrics},
             {"the dataset of a run", test_card}, {"no dataset", test_no_card})
