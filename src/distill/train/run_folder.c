/** \file run_folder.c */
#include "distill/train/run_folder.h"

#include "base/log.h"
#include "deck/deck.h"
#include "io/common/lock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

rt_err rt_run_folder_checkpoints(char out[RT_PATH_MAX], const char *run_folder)
{
  return rt_path_join(out, run_folder, "checkpoints");
}

static bool holds(const char *folder, const char *name)
{
  char path[RT_PATH_MAX];
  return rt_path_join(path, folder, name) == RT_OK &&
         (rt_file_exists(path) || rt_folder_exists(path));
}

/** Has a run written into it? */
static bool is_runs(const char *folder)
{
  return holds(folder, "metrics.jsonl") || holds(folder, "checkpoints");
}

rt_err rt_run_folder_check(const char *folder)
{
  static const char *const written[] = {"deck.yaml", "config.json",
                                        RT_RUN_CARD};
  char path[RT_PATH_MAX];
  RT_TRY(rt_run_folder_checkpoints(path, folder));
  RT_CHECK(rt_folder_exists(path) || !rt_path_exists(path), RT_ERR_LOCKED,
           "%s is not a folder but a file or a dangling link, so no checkpoint "
           "could be written; remove it, or choose another output.dir",
           path);
  RT_CHECK(!rt_path_exists(path) || access(path, W_OK | X_OK) == 0, RT_ERR_PERM,
           "no checkpoint could be written to %s: %s; let this user write to "
           "it, or choose another output.dir",
           path, strerror(errno));
  if (is_runs(folder))
    return RT_OK;
  for (size_t i = 0; i < sizeof written / sizeof written[0]; i++)
    RT_CHECK(!holds(folder, written[i]), RT_ERR_LOCKED,
             "%s holds a %s that was not written by a training run and would "
             "be overwritten; choose another output.dir",
             folder, written[i]);
  return RT_OK;
}

rt_err rt_run_folder_keep_metrics(const char *folder)
{
  char from[RT_PATH_MAX], to[RT_PATH_MAX], name[64] = "metrics.jsonl.damaged";
  RT_TRY(rt_path_join(from, folder, "metrics.jsonl"));
  if (!rt_file_exists(from))
    return RT_OK;
  RT_TRY(rt_path_join(to, folder, name));
  for (int i = 2; rt_path_exists(to); i++) {
    snprintf(name, sizeof name, "metrics.jsonl.damaged-%d", i);
    RT_TRY(rt_path_join(to, folder, name));
  }
  RT_TRY(rt_file_copy(from, to));
  rt_warn(
      "%s goes on from an older checkpoint: its lines until now are kept in "
      "%s",
      from, to);
  return RT_OK;
}

void rt_run_folder_sweep(const char *folder)
{
  static const char *const outputs[] = {
      "metrics.jsonl", "last_run", "deck.yaml", "config.json", RT_RUN_CARD};
  if (is_runs(folder))
    rt_lock_sweep(folder, outputs, sizeof outputs / sizeof outputs[0]);
}

static void print_use(const rt_run_card *card, FILE *to)
{
  const rt_logits_info *const info = rt_logits_about(card->dataset);
  char p[32];
  fprintf(to,
          "\nHow this run uses it:\n\n| key | value |\n|---|---|\n"
          "| data.seq | %lld of the %lld tokens of a row |\n"
          "| teacher.row_cut | %s: ",
          (long long)card->seq, (long long)info->seq, card->row_cut);
  if (card->pieces > 0)
    fprintf(to, "%lld student's rows of each captured row; %s |\n",
            (long long)card->pieces, card->cut_means);
  else
    fputs("rows are taken whole, the student sees what the teacher saw |\n",
          to);
  if (info->draws > 0)
    return;
  rt_deck_real_text(card->top_p, p);
  fprintf(to,
          "| teacher.top_p | %s |\n"
          "| teacher.top_k | %lld |\n",
          p, (long long)card->top_k);
}

static void print(const rt_run_card *card, FILE *to)
{
  char proof[17];
  rt_logits_proof(card->dataset, proof);
  fprintf(to,
          "# The dataset of this run\n\nThe student was trained on captured "
          "logits of a teacher, by the rules of\n`deck.yaml`.  Their terms of "
          "use (`license`) may bind whoever uses the student.\n\n| key | value "
          "|\n|---|---|\n| folder | %s |\n| manifest | %s |\n",
          card->dataset_folder, proof);
  rt_logits_info_print(rt_logits_about(card->dataset), to);
  print_use(card, to);
}

rt_err rt_run_card_write(const rt_run_card *card, const char *folder)
{
  char path[RT_PATH_MAX], *text = NULL;
  size_t n = 0;
  if (card->dataset == NULL)
    return RT_OK;
  RT_TRY(rt_path_join(path, folder, RT_RUN_CARD));
  FILE *const to = open_memstream(&text, &n);
  RT_CHECK(to != NULL, RT_ERR_MEM, "the text of %s", path);
  print(card, to);
  const rt_err err = fclose(to) == 0
                         ? rt_file_put(path, text, n)
                         : RT_FAIL(RT_ERR_MEM, "the text of %s", path);
  free(text);
  return err;
}

rt_err rt_run_card_copy(const char *folder, const char *out)
{
  char from[RT_PATH_MAX], to[RT_PATH_MAX];
  RT_TRY(rt_path_join(from, folder, RT_RUN_CARD));
  if (!rt_file_exists(from))
    return RT_OK;
  RT_TRY(rt_path_join(to, out, RT_RUN_CARD));
  return rt_file_copy(from, to);
}
