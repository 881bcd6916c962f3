/** \file test_deck_print.c
 *  Printed decks, differences between decks, the table of keys.
 *  ranks: 1 */
#include "support/deck_text.h"
#include "support/rt_test.h"

#include "deck/deck.h"
#include "deck/deck_table.h"
#include <string.h>

static void test_printed_decks_read_back(void)
{
  char *overrides[] = {"student.weights= - [x", "teacher.weights=null"};
  rt_deck *deck, *again;
  char *text, *text_again;
  RT_OKAY(rt_deck_parse("a\nb.yaml", deck_sample, 2, overrides, &deck));
  RT_OKAY(rt_deck_to_text(deck, &text));
  CU_ASSERT_PTR_NOT_NULL(strstr(text, "  device: check"));
  CU_ASSERT_PTR_NOT_NULL(strstr(text, "# a?b.yaml:3\n"));
  CU_ASSERT_PTR_NOT_NULL(strstr(text, "# command line\n"));
  CU_ASSERT_PTR_NOT_NULL(strstr(text, "# default\n"));
  RT_OKAY(deck_of(text, &again));
  char diff[1000];
  deck_diff(deck, again, diff);
  CU_ASSERT_STRING_EQUAL(diff, "");
  CU_ASSERT_STRING_EQUAL(rt_deck_text(again, RT_KEY_OUT_DIR), "true");
  CU_ASSERT_STRING_EQUAL(rt_deck_text(again, RT_KEY_CAP_DIR), "block");
  CU_ASSERT_STRING_EQUAL(rt_deck_text(again, RT_KEY_STU_WEIGHTS), "- [x");
  CU_ASSERT_STRING_EQUAL(rt_deck_text(again, RT_KEY_TEA_WEIGHTS), "null");
  CU_ASSERT(rt_deck_real(again, RT_KEY_TRAIN_LR) == 0.1234567890123456789);
  RT_OKAY(rt_deck_to_text(again, &text_again));
  // except for the sources, the two texts are the same
  const char *a = text, *b = text_again;
  while (*a != '\0' && *b != '\0') {
    const size_t n_a = strcspn(a, "#\n"), n_b = strcspn(b, "#\n");
    CU_ASSERT_FATAL(n_a == n_b && memcmp(a, b, n_a) == 0);
    a += strcspn(a, "\n");
    b += strcspn(b, "\n");
    a += *a == '\n';
    b += *b == '\n';
  }
  CU_ASSERT(*a == '\0' && *b == '\0');
  free(text);
  free(text_again);
  rt_deck_destroy(&deck);
  rt_deck_destroy(&again);
}

static void test_diff_of_decks(void)
{
  rt_deck *a, *b;
  char diff[1000];
  RT_OKAY(deck_of("data: {files: [x]}", &a));
  RT_OKAY(deck_of("data: {files: [x, y]}\ntrain: {lr: 1, length: 5}\n"
                  "run: {threads: 2, seed: 5}\nstudent: {tp: 2}\n"
                  "output: {dir: z}\neval: {rows: 1}\ncapture: {rows: 1}",
                  &b));
  deck_diff(a, b, diff);
  CU_ASSERT_STRING_EQUAL(diff, "run.seed: 1 -> 5\n"
                               "data.files: [\"x\"] -> [\"x\", \"y\"]\n"
                               "train.length: 100 steps -> 5\n"
                               "train.lr: 0.0006 -> 1\n");
  rt_deck_destroy(&a);
  rt_deck_destroy(&b);
  RT_OKAY(deck_of("train: {length: 5, lr_warmup: 1 %}", &a));
  RT_OKAY(deck_of("train: {length: 5 steps, lr_warmup: 1}", &b));
  deck_diff(a, b, diff);
  CU_ASSERT_STRING_EQUAL(diff, "train.lr_warmup: 1 % -> 1\n");
  rt_deck_destroy(&a);
  rt_deck_destroy(&b);
}

/** Each key by itself: FREE ones are passed over, KEPT ones are told unless
 *  they are allowed. */
static void test_restart_of_every_key(void)
{
  static const char *const kept[] = {"run.seed", "run.dtype", "train.lr",
                                     "data.files", "loss.tau"};
  static const char *const free_ones[] = {
      "run.threads", "student.tp",       "teacher.tp",   "train.micro_rows",
      "output.dir",  "checkpoint.every", "eval.every",   "capture.dir",
      "run.device",  "loss.chunk_mib",   "capture.top_k"};
  for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++)
    CU_ASSERT_EQUAL(rt_key_row_of(rt_key_find(kept[i]))->restart, RT_KEY_KEPT);
  for (size_t i = 0; i < sizeof free_ones / sizeof free_ones[0]; i++)
    CU_ASSERT_EQUAL(rt_key_row_of(rt_key_find(free_ones[i]))->restart,
                    RT_KEY_FREE);
  CU_ASSERT_EQUAL(rt_key_row_of(RT_KEY_DATA_TOKENIZER)->restart,
                  RT_KEY_CONTENT);
}

static void test_same_run(void)
{
  rt_deck *deck;
  const char *const old = "train: {lr: 1, micro_rows: 2, beta1: 0.5}\n"
                          "run: {device: check, threads: 3}\n"
                          "data: {tokenizer: there}\n" // compared by hash
                          "loss: {chunk_mib: 3}";
  RT_OKAY(deck_of("train: {lr: 2, beta1: 0.5}", &deck));
  RT_FAILS(rt_deck_same_run(deck, old, "the old one", RT_KEY_OUT_DIR),
           RT_ERR_CONFIG,
           "the deck is not the old one:\ntrain.lr: 1 -> 2\nRestore these "
           "keys, list them in checkpoint.allow_change, or choose another "
           "output.dir");
  CU_ASSERT_FALSE(rt_deck_allows(deck, RT_KEY_TRAIN_LR));
  rt_deck_destroy(&deck);
  RT_OKAY(deck_of("train: {lr: 2, beta1: 0.5}\n"
                  "checkpoint: {allow_change: [train.lr]}",
                  &deck));
  RT_OKAY(rt_deck_same_run(deck, old, "the old one", RT_KEY_OUT_DIR));
  CU_ASSERT_TRUE(rt_deck_allows(deck, RT_KEY_TRAIN_LR));
  CU_ASSERT_FALSE(rt_deck_allows(deck, RT_KEY_RUN_THREADS));
  rt_deck_destroy(&deck);
}

static void test_every_key_is_described(void)
{
  for (int k = 0; k < RT_N_KEYS; k++) {
    const rt_key_row *row = rt_key_row_of((rt_key)k);
    CU_ASSERT(strlen(row->help) >= 5);
    CU_ASSERT_PTR_NULL(strpbrk(row->help, "|\n")); // they are table cells
    CU_ASSERT((row->type == RT_KEY_TYPE_CHOICE) <= (row->choices[0] != '\0'));
    const char *dot = strchr(row->path, '.');
    CU_ASSERT_PTR_NOT_NULL_FATAL(dot);
    bool known = false;
    const char *section;
    for (int i = 0; (section = rt_deck_section(i, NULL)) != NULL; i++)
      known = known ||
              (strncmp(section, row->path, (size_t)(dot - row->path)) == 0 &&
               strlen(section) == (size_t)(dot - row->path));
    if (!known)
      fprintf(stderr, "%s: section not in RT_DECK_SECTIONS\n", row->path);
    CU_ASSERT_TRUE(known);
    for (int j = 0; j < k; j++)
      CU_ASSERT_STRING_NOT_EQUAL(row->path, rt_key_path((rt_key)j));
  }
}

static void test_documents(void)
{
  static const char *const kinds[] = {"markdown", "yaml", "help"};
  for (int i = 0; i < 3; i++) {
    char *text = NULL;
    size_t n = 0;
    FILE *memory = open_memstream(&text, &n);
    RT_OKAY(rt_deck_document(kinds[i], memory));
    fclose(memory);
    for (int k = 0; k < RT_N_KEYS; k++)
      CU_ASSERT_PTR_NOT_NULL(strstr(text, rt_key_row_of((rt_key)k)->help));
    if (i == 1) { // a deck that changes nothing
      rt_deck *deck, *defaults;
      char diff[1000];
      RT_OKAY(deck_of(text, &deck));
      RT_OKAY(rt_deck_read(NULL, 0, NULL, &defaults));
      deck_diff(defaults, deck, diff);
      CU_ASSERT_STRING_EQUAL(diff, "");
      CU_ASSERT_EQUAL(rt_deck_source(deck, RT_KEY_EVAL_ROWS), RT_FROM_DECK);
      rt_deck_destroy(&deck);
      rt_deck_destroy(&defaults);
    }
    free(text);
  }
  RT_FAILS(rt_deck_document("html", stdout), RT_ERR_USAGE, "html");
}

RT_TEST_MAIN("deck_print",
             {"printed decks read back", test_printed_decks_read_back},
             {"decks are compared", test_diff_of_decks},
             {"keys that may change", test_restart_of_every_key},
             {"the same run", test_same_run},
             {"every key is described", test_every_key_is_described},
             {"generated documents", test_documents})
