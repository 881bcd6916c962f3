/** \file test_same_run.c
 *  Does a checkpoint belong to this run?  Each thing that may differ, whether
 *  it is refused, and whether the deck can allow it.
 *  ranks: 1 2 */
#include "distill/train/same_run.h"
#include "io/hf/hfconfig.h"
#include "support/corpus_dataset.h"
#include "support/scratch.h"
#include "support/small_arch.h"

enum { SEQ = 8, BATCH = 4, STEP = 6, N_IDS = 400, N_ROWS = 10 };

/** A run, and what its checkpoint of step STEP says. */
typedef struct scene {
  char folder[RT_PATH_MAX], file[RT_PATH_MAX], ds_folder[RT_PATH_MAX];
  rt_comm *world;
  rt_deck *deck;
  rt_arch arch;
  char tokenizer[RT_SHA256_HEX];
  rt_corpus *corpus;
  rt_logits *ds;
  rt_run_spec run;
  rt_checkpoint_meta meta;
} scene;

/** The deck with these keys, up to NULL. */
static rt_deck *make_deck(const char *const *keys)
{
  char words[8][200], *overrides[8];
  rt_deck *deck = NULL;
  int n = 0;
  for (; keys[n] != NULL; n++) {
    snprintf(words[n], sizeof words[n], "%s", keys[n]);
    overrides[n] = words[n];
  }
  RT_OKAY(rt_deck_read(NULL, n, overrides, &deck));
  return deck;
}

/** From here on the run has the deck with these keys. */
static void set_deck(scene *s, const char *const *keys)
{
  rt_deck_destroy(&s->deck);
  s->run.deck = s->deck = make_deck(keys);
}

static const char *const usual[] = {"teacher.source=dataset", "loss.tau=1",
                                    NULL};

static void open_files(scene *s)
{
  const char *const files[] = {s->file};
  const rt_corpus_spec spec = plain_spec(files, SEQ);
  rt_in(s->folder, "a.u16", s->file);
  rt_in(s->folder, "ds", s->ds_folder);
  if (rt_comm_rank(s->world) == 0)
    put_ids(s->file, N_IDS, 100);
  RT_OKAY(rt_comm_barrier(s->world));
  RT_OKAY(rt_corpus_open(&spec, &s->corpus));
  const rt_logits_info info = info_of_corpus(s->corpus, 0, N_ROWS);
  if (rt_comm_rank(s->world) == 0)
    put_dataset(s->ds_folder, &info, s->corpus);
  RT_OKAY(rt_comm_barrier(s->world));
  RT_OKAY(
      rt_logits_open(MPI_COMM_WORLD, s->ds_folder, RT_LOGITS_FINISHED, &s->ds));
}

static void begin(scene *s)
{
  *s = (scene){.arch = small_arch(50)};
  rt_run_id id = {0};
  scratch_create(s->folder);
  RT_OKAY(rt_comm_create(MPI_COMM_WORLD, &s->world));
  open_files(s);
  s->run = (rt_run_spec){.world = s->world,
                         .arch = &s->arch,
                         .tokenizer = s->tokenizer,
                         .rows = {.seq = SEQ,
                                  .corpus = s->corpus,
                                  .dataset = s->ds,
                                  .folder = s->ds_folder},
                         .n_rows = N_ROWS,
                         .batch_rows = BATCH};
  set_deck(s, usual);
  RT_OKAY(rt_run_id_read(&s->run, &id));
  s->meta = (rt_checkpoint_meta){.step = STEP,
                                 .consumed = STEP * BATCH,
                                 .rows = N_ROWS,
                                 .rows_xxh3 = id.rows_xxh3};
  memcpy(s->meta.teacher, id.teacher, sizeof s->meta.teacher);
  memcpy(s->meta.tokenizer, id.tokenizer, sizeof s->meta.tokenizer);
  RT_OKAY(rt_deck_to_file_text(s->deck, &s->meta.deck));
  RT_OKAY(rt_hfconfig_text(&s->arch, "here", &s->meta.arch));
}

static void end(scene *s)
{
  rt_checkpoint_meta_clear(&s->meta);
  rt_logits_close(&s->ds);
  rt_corpus_close(&s->corpus);
  rt_deck_destroy(&s->deck);
  rt_comm_destroy(&s->world);
  scratch_remove(s->folder);
}

/** Compare the run as it is now with the checkpoint. */
static rt_err check(const scene *s)
{
  rt_run_id id = {0};
  RT_TRY(rt_run_id_read(&s->run, &id));
  return rt_run_id_check(&s->run, &id, &s->meta);
}

static void test_same(void)
{
  static const char *const free_keys[] = {"teacher.source=dataset",
                                          "loss.tau=1", "eval.rows=3",
                                          "checkpoint.keep_last=9", NULL};
  scene s;
  begin(&s);
  RT_OKAY(check(&s));
  set_deck(&s, free_keys);
  RT_OKAY(check(&s));
  end(&s);
}

static void test_deck(void)
{
  static const char *const other[] = {"teacher.source=dataset", "loss.tau=2",
                                      NULL};
  static const char *const allowed[] = {"teacher.source=dataset", "loss.tau=2",
                                        "checkpoint.allow_change=[loss.tau]",
                                        NULL};
  scene s;
  begin(&s);
  set_deck(&s, other);
  RT_FAILS(check(&s), RT_ERR_CONFIG, "loss.tau: 1 -> 2");
  set_deck(&s, allowed);
  RT_OKAY(check(&s));
  set_deck(&s, usual);
  s.run.batch_rows = BATCH / 2; // the decks are the same: it contradicts itself
  RT_FAILS(check(&s), RT_ERR_DATA,
           "has consumed 24 rows in 6 steps, which does not match "
           "train.batch_rows 2");
  end(&s);
}

/** Fewer rows, or as many of another text. */
static void test_rows(void)
{
  static const char *const allowed[] = {"teacher.source=dataset", "loss.tau=1",
                                        "checkpoint.allow_change=[data.files]",
                                        NULL};
  const char *files[1];
  char path[RT_PATH_MAX];
  rt_corpus *other = NULL;
  scene s;
  begin(&s);
  s.run.n_rows = N_ROWS - 1;
  RT_FAILS(check(&s), RT_ERR_CONFIG, "10 rows then, 9 now. The corpus");
  set_deck(&s, allowed);
  RT_OKAY(check(&s));
  set_deck(&s, usual);
  s.run.n_rows = N_ROWS;
  RT_OKAY(check(&s));
  // a dataset would notice: its rows must be those of the corpus
  s.run.rows.dataset = NULL;
  s.meta.teacher[0] = '\0';
  RT_OKAY(check(&s));
  files[0] = rt_in(s.folder, "b.u16", path);
  const rt_corpus_spec spec = plain_spec(files, SEQ);
  if (rt_comm_rank(s.world) == 0)
    put_ids(path, N_IDS, 101);
  RT_OKAY(rt_comm_barrier(s.world));
  RT_OKAY(rt_corpus_open(&spec, &other));
  s.run.rows.corpus = other;
  RT_FAILS(check(&s), RT_ERR_CONFIG, "10 rows then, 10 now, with other tokens");
  set_deck(&s, allowed);
  RT_OKAY(check(&s));
  rt_corpus_close(&other);
  end(&s);
}

static void test_teacher(void)
{
  static const char *const allowed[] = {
      "teacher.source=dataset", "loss.tau=1",
      "checkpoint.allow_change=[teacher.dataset]", NULL};
  static const char *const none[] = {"teacher.source=none", "loss.tau=1",
                                     "checkpoint.allow_change=[teacher.source]",
                                     NULL};
  scene s;
  begin(&s);
  CU_ASSERT_EQUAL(strlen(s.meta.teacher), 16); // of the manifest
  s.meta.teacher[3] ^= 1;
  RT_FAILS(check(&s), RT_ERR_CONFIG, "the contents of teacher.dataset");
  set_deck(&s, allowed);
  RT_OKAY(check(&s));
  set_deck(&s, none); // it has no influence any more
  RT_OKAY(check(&s));
  set_deck(&s, usual);
  s.meta.teacher[0] = '\0'; // of an old version
  RT_OKAY(check(&s));
  end(&s);
}

static void test_tokenizer(void)
{
  static const char *const allowed[] = {
      "teacher.source=dataset", "loss.tau=1",
      "checkpoint.allow_change=[data.tokenizer]", NULL};
  scene s;
  begin(&s);
  CU_ASSERT_STRING_EQUAL(s.meta.tokenizer, "none");
  snprintf(s.tokenizer, sizeof s.tokenizer, "12ab");
  RT_FAILS(check(&s), RT_ERR_CONFIG, "the tokenizer differs");
  set_deck(&s, allowed);
  RT_OKAY(check(&s));
  end(&s);
}

/** Only what shapes the computation counts. */
static void test_shape(void)
{
  static const char *const allowed[] = {
      "teacher.source=dataset", "loss.tau=1",
      "checkpoint.allow_change=[student.config]", NULL};
  scene s;
  begin(&s);
  s.arch.eos_id = 7;
  s.arch.dropout = 0.5;
  s.arch.init_std = 1.0;
  RT_OKAY(check(&s));
  s.arch.ffn++;
  RT_FAILS(check(&s), RT_ERR_CONFIG, "\"intermediate_size\": 12");
  CU_ASSERT_PTR_NOT_NULL(strstr(rt_err_text(), "\"intermediate_size\": 13"));
  set_deck(&s, allowed);
  RT_OKAY(check(&s));
  end(&s);
}

/** A window of logits that lies ahead, or has begun, must continue; one that is
 *  over need not. */
static void test_window(void)
{
  static const char *const with[] = {"teacher.source=dataset", "loss.tau=1",
                                     "capture.window_start=4",
                                     "capture.window_length=4", NULL};
  static const char *const later[] = {"teacher.source=dataset", "loss.tau=1",
                                      "capture.window_start=5",
                                      "capture.window_length=4", NULL};
  static const char *const allowed[] = {
      "teacher.source=dataset", "loss.tau=1",
      "checkpoint.allow_change=[capture.window_length]", NULL};
  scene s;
  begin(&s);
  set_deck(&s, with);
  RT_OKAY(check(&s)); // none before
  free(s.meta.deck);
  RT_OKAY(rt_deck_to_file_text(s.deck, &s.meta.deck));
  RT_OKAY(check(&s));
  set_deck(&s, later);
  RT_FAILS(check(&s), RT_ERR_CONFIG, "now requests [5, 9)");
  set_deck(&s, usual);
  RT_FAILS(check(&s), RT_ERR_CONFIG, "steps [4, 8) to ");
  CU_ASSERT_PTR_NOT_NULL(strstr(rt_err_text(), "now requests no window"));
  set_deck(&s, allowed);
  RT_OKAY(check(&s));
  set_deck(&s, usual);
  s.meta.step = 8;
  s.meta.consumed = 8 * BATCH;
  RT_OKAY(check(&s));
  end(&s);
}

/** What a run starts from: the same for the same inputs, and kept once known.
 */
static void test_origin(void)
{
  rt_run_id with = {0}, again = {0}, without = {0}, kept = {.origin = "abc"};
  scene s;
  begin(&s);
  RT_OKAY(rt_run_id_origin(&s.run, -1, "", &with));
  RT_OKAY(rt_run_id_origin(&s.run, -1, "", &again));
  s.run.rows.dataset = NULL;
  RT_OKAY(rt_run_id_origin(&s.run, -1, "", &without));
  CU_ASSERT_EQUAL(strlen(with.origin), 64);
  CU_ASSERT_STRING_EQUAL(with.origin, again.origin);
  CU_ASSERT_STRING_NOT_EQUAL(with.origin, without.origin);
  RT_OKAY(rt_run_id_origin(&s.run, -1, "", &kept));
  CU_ASSERT_STRING_EQUAL(kept.origin, "abc");
  end(&s);
}

RT_TEST_MAIN("same_run", {"the same run", test_same}, {"decks", test_deck},
             {"rows", test_rows}, {"teachers", test_teacher},
             {"tokenizers", test_tokenizer}, {"shapes", test_shape},
             {"windows", test_window}, {"origins", test_origin})
