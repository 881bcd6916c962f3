/** \file logits_card.c
 *  README.md of a logit dataset: what anyone who finds the folder needs to
 *  know. */
#include "io/logits/logits_place.h"

#include <stdlib.h>
#include <string.h>

static const char text_before[] =
    "# Teacher logits\n\n"
    "Sparse next-token log-probabilities of a language model over a corpus, "
    "made\nby Retort (format " RT_LOGITS_FORMAT
    " %lld, its doc/formats.md specifies it): HDF5 shards\nthat plain h5py "
    "reads, each with a seal (hashes), listed in manifest.json with\nthe "
    "SHA-256 of each file.\n\n"
    "The log-probs are natural and of the teacher's full softmax. Row i holds "
    "the\ntoken ids of %s and, for each of its tokens,\n%s.\n%s\n| key | value "
    "|\n|---|---|\n";

static const char text_moving[] =
    "\nThe teacher was being trained: each row also has the training step at "
    "which it was\nseen, and the weights changed between steps. `teacher_hash` "
    "identifies what its run\nstarted from.\n";

static const char text_selected[] =
    "\nSelected from another dataset (`source`). If that one was `packed`, a "
    "narrower\ntop_p was applied to rounded log-probs: tokens may have a few "
    "entries more or fewer\nthan a capture with this top_p would keep "
    "(doc/formats.md, 3.2, Narrower truncation).\n";

static const char text_after[] =
    "\nTo describe and verify it:\n\n"
    "    retort logits info FOLDER\n"
    "    retort logits verify FOLDER\n"
    "    retort logits export FOLDER OUT    # numpy arrays, or JSON lines\n\n"
    "Train a student on it: `teacher.source: dataset`, `teacher.dataset: "
    "FOLDER`.\nA reader in Python that does not need Retort is in "
    "doc/formats.md.\n";

static rt_err card_path(char out[RT_PATH_MAX], const char *folder)
{
  return rt_path_join(out, folder, "README.md");
}

static void print(const rt_logits_manifest *m, FILE *to)
{
  char what[256];
  if (m->info.draws > 0)
    snprintf(what, sizeof what,
             "the ids obtained by %lld draws from the softmax, and how often",
             (long long)m->info.draws);
  else
    snprintf(what, sizeof what,
             "the smallest set of ids with mass top_p, at most top_k of them, "
             "most probable first");
  fprintf(to, text_before, (long long)m->info.version,
          m->info.step ? "the row of the corpus that it names"
                       : "row first_row + i of the corpus",
          what, m->info.step ? text_moving : "");
  rt_logits_info_print(&m->info, to);
  if (m->info.source[0] != '\0')
    fputs(text_selected, to);
  fputs(text_after, to);
}

rt_err rt_logits_card_write(const char *folder, rt_logits_manifest *m)
{
  char path[RT_PATH_MAX], *text = NULL;
  size_t n = 0;
  RT_TRY(card_path(path, folder));
  FILE *const to = open_memstream(&text, &n);
  RT_CHECK(to != NULL, RT_ERR_MEM, "the text of %s", path);
  print(m, to);
  rt_err err = fclose(to) == 0 ? rt_file_put(path, text, n)
                               : RT_FAIL(RT_ERR_MEM, "the text of %s", path);
  if (err == RT_OK) // hash of the text that was to be written, not of the file
    err = rt_hash_text(text, n, m->readme_sha256);
  free(text);
  return err;
}

rt_err rt_logits_verify_card(const rt_logits *ds)
{
  char path[RT_PATH_MAX], got[RT_SHA256_HEX];
  RT_TRY(card_path(path, ds->folder));
  RT_TRY(rt_hash_file(path, got));
  RT_CHECK(strcmp(got, ds->manifest.readme_sha256) == 0, RT_ERR_DATA,
           "%s has SHA-256 %s, expected %s: it was damaged or changed after it "
           "was written; restore it from a copy, and keep your own notes in "
           "another file (training can still read the dataset)",
           path, got, ds->manifest.readme_sha256);
  return RT_OK;
}
