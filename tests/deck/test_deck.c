/** \file test_deck.c
 *  Reading of decks: values of every type, overrides, files.
 *  ranks: 1 */
#include "support/deck_text.h"
#include "support/rt_test.h"

#include "deck/deck_parts.h"
#include "base/file.h"
#include <locale.h>
#include <string.h>
#include <unistd.h>

static void test_values_of_every_type(void)
{
  rt_deck *deck;
  RT_OKAY(deck_of("\xef\xbb\xbf# a comment\r\n"
                  "run: {device: check, threads: 3}\r\n"
                  "train:\r\n"
                  "  lr: 6e-4\r\n"
                  "  batch_rows: 3e2 # whole\r\n"
                  "  length: 3e6 tokens\r\n"
                  "data.seq: 64\r\n"
                  "data:\r\n"
                  "  files: [a.bin, \"b c\", 'd: #']\r\n"
                  "  weights:\r\n"
                  "    - 1\r\n"
                  "    - .5\r\n"
                  "  mask_documents: yes\r\n"
                  "loss:\r\n"
                  "output:\r\n"
                  "  dir: \"out \\u00e9\"\r\n",
                  &deck));
  CU_ASSERT_TRUE(rt_deck_is(deck, RT_KEY_RUN_DEVICE, "check"));
  CU_ASSERT_EQUAL(rt_deck_int(deck, RT_KEY_RUN_THREADS), 3);
  CU_ASSERT(rt_deck_real(deck, RT_KEY_TRAIN_LR) == 6e-4);
  CU_ASSERT_EQUAL(rt_deck_int(deck, RT_KEY_TRAIN_BATCH), 300);
  CU_ASSERT_EQUAL(rt_deck_int(deck, RT_KEY_DATA_SEQ), 64);
  CU_ASSERT_TRUE(rt_deck_bool(deck, RT_KEY_DATA_MASK_DOCS));
  CU_ASSERT_EQUAL_FATAL(rt_deck_n(deck, RT_KEY_DATA_FILES), 3);
  CU_ASSERT_STRING_EQUAL(rt_deck_text_at(deck, RT_KEY_DATA_FILES, 1), "b c");
  CU_ASSERT_STRING_EQUAL(rt_deck_text_at(deck, RT_KEY_DATA_FILES, 2), "d: #");
  CU_ASSERT_EQUAL_FATAL(rt_deck_n(deck, RT_KEY_DATA_WEIGHTS), 2);
  CU_ASSERT(rt_deck_real_at(deck, RT_KEY_DATA_WEIGHTS, 1) == 0.5);
  CU_ASSERT_STRING_EQUAL(rt_deck_text(deck, RT_KEY_OUT_DIR), "out \xc3\xa9");
  CU_ASSERT_EQUAL(rt_deck_source(deck, RT_KEY_OUT_DIR), RT_FROM_DECK);
  CU_ASSERT_EQUAL(rt_deck_source(deck, RT_KEY_LOSS_TAU), RT_FROM_DEFAULT);
  CU_ASSERT(rt_deck_real(deck, RT_KEY_LOSS_TAU) == 1.0);
  rt_deck_destroy(&deck);
  CU_ASSERT_PTR_NULL(deck);
}

static void test_lengths(void)
{
  static const struct {
    const char *text;
    int64_t steps; // with 1000 tokens in a step and 250 steps in the run
  } good[] = {{"200", 200},       {"200 steps", 200},   {"1 step", 1},
              {"\"7 steps\"", 7}, {"3e6 tokens", 3000}, {"1 token", 1},
              {"1001 tokens", 2}, {"10 %", 25},         {"10%", 25},
              {"0", 0},           {"0.5 %", 1},         {"100 %", 250},
              {"0 %", 0},         {"0.01 %", 1},        {"2.5e1 steps", 25}};
  for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
    char text[80];
    rt_deck *deck;
    snprintf(text, sizeof text, "train: {lr_warmup: %s}", good[i].text);
    RT_OKAY(deck_of(text, &deck));
    CU_ASSERT_EQUAL(rt_deck_steps(deck, RT_KEY_TRAIN_LR_WARMUP, 1000, 250),
                    good[i].steps);
    rt_deck_destroy(&deck);
  }
}

static void test_times(void)
{
  static const struct {
    const char *text;
    double seconds;
  } good[] = {{"90 s", 90},          {"30 min", 1800},    {"1.5 h", 5400},
              {"2d", 172800},        {"59:30", 3570},     {"04:00:00", 14400},
              {"1-00:00:00", 86400}, {"1-12:30", 131400}, {"2-0", 172800},
              {"\"30 min\"", 1800},  {"'00:00:01'", 1},   {"120:00:00", 432e3}};
  for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
    char text[120];
    rt_deck *deck;
    snprintf(text, sizeof text, "checkpoint: {every: %s}\nrun: {wall_s: %s}",
             good[i].text, good[i].text);
    RT_OKAY(deck_of(text, &deck));
    CU_ASSERT(rt_deck_seconds(deck, RT_KEY_CKPT_EVERY) == good[i].seconds);
    CU_ASSERT(rt_deck_real(deck, RT_KEY_RUN_WALL_S) == good[i].seconds);
    CU_ASSERT_EQUAL(rt_deck_steps(deck, RT_KEY_CKPT_EVERY, 1000, 250), 0);
    rt_deck_destroy(&deck);
  }
  rt_deck *deck;
  RT_OKAY(deck_of("checkpoint: {every: 60}\nrun: {wall_s: 60}", &deck));
  CU_ASSERT(rt_deck_seconds(deck, RT_KEY_CKPT_EVERY) == 0.0);
  CU_ASSERT_EQUAL(rt_deck_steps(deck, RT_KEY_CKPT_EVERY, 1000, 250), 60);
  CU_ASSERT(rt_deck_real(deck, RT_KEY_RUN_WALL_S) == 60.0);
  rt_deck_destroy(&deck);
}

static void test_empty_decks(void)
{
  static const char *const texts[] = {"",           "\n",       "# nothing\n",
                                      "---\n...\n", "train:\n", "train: {}\n"};
  for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
    rt_deck *deck;
    RT_OKAY(deck_of(texts[i], &deck));
    CU_ASSERT_EQUAL(rt_deck_int(deck, RT_KEY_TRAIN_BATCH), 8);
    rt_deck_destroy(&deck);
  }
}

static void test_overrides(void)
{
  char *overrides[] = {"train.lr=1",
                       "train.lr=0.5", // the last wins
                       "data.files=[\"a b.bin\", 'a,b']",
                       "data.weights=[1, 2.5]",
                       "output.dir=x = \"y\": #z",
                       "capture.dir=",
                       "checkpoint.allow_change=train.lr, train.clip",
                       "checkpoint.resume=no",
                       "train.length=3e3 tokens"};
  rt_deck *deck;
  RT_OKAY(rt_deck_parse("d", "capture: {dir: c}\ntrain: {clip: 2}",
                        sizeof overrides / sizeof overrides[0], overrides,
                        &deck));
  CU_ASSERT(rt_deck_real(deck, RT_KEY_TRAIN_LR) == 0.5);
  CU_ASSERT(rt_deck_real(deck, RT_KEY_TRAIN_CLIP) == 2.0);
  CU_ASSERT_EQUAL_FATAL(rt_deck_n(deck, RT_KEY_DATA_FILES), 2);
  CU_ASSERT_STRING_EQUAL(rt_deck_text_at(deck, RT_KEY_DATA_FILES, 0),
                         "a b.bin");
  CU_ASSERT_STRING_EQUAL(rt_deck_text_at(deck, RT_KEY_DATA_FILES, 1), "a,b");
  CU_ASSERT_EQUAL_FATAL(rt_deck_n(deck, RT_KEY_DATA_WEIGHTS), 2);
  CU_ASSERT(rt_deck_real_at(deck, RT_KEY_DATA_WEIGHTS, 1) == 2.5);
  CU_ASSERT_STRING_EQUAL(rt_deck_text(deck, RT_KEY_OUT_DIR), "x = \"y\": #z");
  CU_ASSERT_STRING_EQUAL(rt_deck_text(deck, RT_KEY_CAP_DIR), "");
  CU_ASSERT_EQUAL_FATAL(rt_deck_n(deck, RT_KEY_CKPT_ALLOW), 2);
  CU_ASSERT_STRING_EQUAL(rt_deck_text_at(deck, RT_KEY_CKPT_ALLOW, 1),
                         "train.clip");
  CU_ASSERT_FALSE(rt_deck_bool(deck, RT_KEY_CKPT_RESUME));
  CU_ASSERT_EQUAL(rt_deck_steps(deck, RT_KEY_TRAIN_LENGTH, 1000, 0), 3);
  CU_ASSERT_EQUAL(rt_deck_source(deck, RT_KEY_TRAIN_LR), RT_FROM_COMMAND_LINE);
  CU_ASSERT_EQUAL(rt_deck_source(deck, RT_KEY_TRAIN_CLIP), RT_FROM_DECK);
  rt_deck_destroy(&deck);
}

static void test_files(void)
{
  char path[] = "/tmp/rt_deck_XXXXXX";
  rt_deck *deck;
  RT_FAILS(rt_deck_read("/no/such/deck.yaml", 0, NULL, &deck), RT_ERR_NOINPUT,
           "/no/such/deck.yaml");
  RT_FAILS(rt_deck_read("/tmp", 0, NULL, &deck), RT_ERR_NOINPUT, "/tmp");
  const int fd = mkstemp(path);
  CU_ASSERT_FATAL(fd >= 0);
  close(fd);
  RT_OKAY(rt_file_put(path, "train: {lr: x}", 14));
  RT_FAILS(rt_deck_read(path, 0, NULL, &deck), RT_ERR_CONFIG, path);
  RT_OKAY(rt_file_put(path, "train: {lr: 2}\0x", 16));
  RT_FAILS(rt_deck_read(path, 0, NULL, &deck), RT_ERR_CONFIG,
           ":1:15: not text: control characters");
  RT_OKAY(rt_file_put(path, deck_sample, strlen(deck_sample)));
  RT_OKAY(rt_deck_read(path, 0, NULL, &deck));
  rt_deck_destroy(&deck);
  const size_t n = (1 << 20) + 1;
  char *large = malloc(n);
  CU_ASSERT_PTR_NOT_NULL_FATAL(large);
  memset(large, '#', n);
  RT_OKAY(rt_file_put(path, large, n));
  RT_FAILS(rt_deck_read(path, 0, NULL, &deck), RT_ERR_CONFIG,
           "got more than 1048576 bytes, expected a deck");
  RT_OKAY(rt_file_put(path, large, n - 1));
  RT_OKAY(rt_deck_read(path, 0, NULL, &deck));
  rt_deck_destroy(&deck);
  free(large);
  RT_OKAY(rt_path_remove(path));
}

static void test_other_locales(void)
{
  static const char *const names[] = {"de_DE.UTF-8", "de_DE.utf8",
                                      "fr_FR.UTF-8", "fr_FR.utf8"};
  const char *set = NULL;
  for (size_t i = 0; set == NULL && i < sizeof names / sizeof names[0]; i++)
    set = setlocale(LC_NUMERIC, names[i]);
  char text[32];
  rt_deck *deck;
  RT_OKAY(deck_of("train: {lr: 0.5}", &deck));
  CU_ASSERT(rt_deck_real(deck, RT_KEY_TRAIN_LR) == 0.5);
  rt_deck_real_text(0.1, text);
  CU_ASSERT_STRING_EQUAL(text, "0.1");
  rt_deck_destroy(&deck);
  setlocale(LC_NUMERIC, "C");
}

RT_TEST_MAIN("deck", {"values of every type", test_values_of_every_type},
             {"lengths and their units", test_lengths},
             {"times, where they are taken", test_times},
             {"decks that say nothing", test_empty_decks},
             {"overrides", test_overrides}, {"decks from files", test_files},
             {"other locales", test_other_locales})
