/** \file test_deck.c
 *  Reading and printing of decks, valid and invalid.
 *  ranks: 1 */
#include "support/rt_test.h"

#include "deck/deck_parts.h"
#include "base/file.h"
#include "base/nearest.h"
#include <locale.h>
#include <string.h>
#include <unistd.h>

static rt_err parse(const char *text, rt_deck **deck)
{
  return rt_deck_parse("d.yaml", text, 0, NULL, deck);
}

static void test_values_of_every_type(void)
{
  rt_deck *deck;
  RT_OKAY(parse("\xef\xbb\xbf# a comment\r\n"
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
    RT_OKAY(parse(text, &deck));
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
    RT_OKAY(parse(text, &deck));
    CU_ASSERT(rt_deck_seconds(deck, RT_KEY_CKPT_EVERY) == good[i].seconds);
    CU_ASSERT(rt_deck_real(deck, RT_KEY_RUN_WALL_S) == good[i].seconds);
    CU_ASSERT_EQUAL(rt_deck_steps(deck, RT_KEY_CKPT_EVERY, 1000, 250), 0);
    rt_deck_destroy(&deck);
  }
  rt_deck *deck;
  RT_OKAY(parse("checkpoint: {every: 60}\nrun: {wall_s: 60}", &deck));
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
    RT_OKAY(parse(texts[i], &deck));
    CU_ASSERT_EQUAL(rt_deck_int(deck, RT_KEY_TRAIN_BATCH), 8);
    rt_deck_destroy(&deck);
  }
}

/** Decks with one error, and the expected message. */
static const struct {
  const char *text, *message;
} bad[] = {
    // keys
    {"train:\n  batch_row: 8", "d.yaml:2:3: train.batch_row: got an unknown "
                               "key, did you mean train.batch_rows?"},
    {"trian:\n  lr: 1", "d.yaml:2:3: trian.lr: got an unknown key, did you "
                        "mean train.lr?"},
    {"batch_rows: 8", "did you mean train.batch_rows?"},
    {"loss: {batch_rows: 8}", "did you mean train.batch_rows?"},
    {"train: {bacth_rows: 8}", "did you mean train.batch_rows?"},
    {"zzz: {qqqqqq: 8}", "zzz.qqqqqq: got an unknown key, expected one of "
                         "those that `retort --help=keys` lists"},
    {"nosuch: {}", "d.yaml:1:1: nosuch: got an unknown key"},
    {"train: 5", "d.yaml:1:1: train: got a value, expected a section"},
    {"train:\n  lr:\n    x: 1", "d.yaml:3:5: train.lr: got a section with the "
                                "key \"x\", expected a value (number)"},
    {"train: {lr: {}}", "train.lr: got a section, expected a number"},
    {"train:\n  lr: 1\n  lr: 2", "d.yaml:3:3: train.lr: got a second value, "
                                 "expected one; the first is on line 2"},
    {"train: {lr: 1}\ntrain.lr: 1", "d.yaml:2:1: train.lr: got a second"},
    {"train: {? [a] : 1}", "got a key that is not a word"},
    {"checkpoint: {allow_change: [train.lr, train.legnth]}",
     "checkpoint.allow_change: got \"train.legnth\", expected keys; did you "
     "mean train.length?"},
    // types
    {"train:\n  batch_rows: many",
     "d.yaml:2:15: train.batch_rows: got \"many\", expected a whole number "
     "(range 1 to 100000000 rows)"},
    {"train: {batch_rows: \"8\"}", "remove the quotes"},
    {"train: {batch_rows: 8.5}", "got \"8.5\", expected a whole number"},
    {"train: {batch_rows: 1_000}", "write it without \"_\""},
    {"train: {batch_rows: 0x10}", "got \"0x10\", expected a whole number"},
    {"train: {batch_rows: 010}", "got \"010\", expected a whole number"},
    {"train: {batch_rows: 1e300}", "got \"1e300\", expected a whole number"},
    {"train: {batch_rows: 99999999999999999999}", "expected a whole number"},
    {"train: {batch_rows: }", "got nothing, expected a whole number"},
    {"train: {batch_rows: ~}", "got \"~\", expected a whole number"},
    {"train: {batch_rows: [8]}", "got a list, expected a whole number"},
    {"train: {lr: 1,5}", "train.5: got an unknown key"},
    {"train:\n  lr: 1,5", "the decimal point is \".\""},
    {"train: {lr: .inf}", "got \".inf\", expected a number (range 0 to 100)"},
    {"train: {lr: nan}", "got \"nan\", expected a number"},
    {"train: {lr: 1e999}", "got \"1e999\", expected a number"},
    {"train: {lr: 1e}", "got \"1e\", expected a number"},
    {"train: {lr: .}", "got \".\", expected a number"},
    {"checkpoint: {resume: maybe}", "got \"maybe\", expected true or false"},
    {"checkpoint: {resume: 1}", "got \"1\", expected true or false"},
    {"checkpoint: {resume: \"yes\"}", "remove the quotes"},
    {"train: {lr_schedule: cosin}", "got \"cosin\", expected one of: constant "
                                    "cosine wsd; did you mean cosine?"},
    {"output: {dir: }", "output.dir: got nothing, expected a text of UTF-8 "
                        "without control characters; write \"\" for none"},
    {"output: {dir: null}", "got \"null\", expected a text"},
    {"output: {dir: \"a\\tb\"}", "got \"a?b\", expected a text"},
    {"output: {dir: \"a\\0b\"}", "NUL character"},
    {"data: {files: {a: 1}}", "data.files: got a section with the key \"a\""},
    {"data: {files: [[a]]}", "data.files: got a list or section inside a list"},
    {"data: {weights: [1, x, 2]}", "d.yaml:1:21: data.weights: got \"x\", "
                                   "expected a number"},
    // ranges
    {"train: {batch_rows: 0}", "got \"0\", expected a whole number (range 1"},
    {"train: {batch_rows: -1}", "got \"-1\", expected a whole number (range"},
    {"run: {seed: 72057594037927936}", "range 0 to 72057594037927935"},
    {"loss: {alpha: 1.0000001}", "expected a number (range 0 to 1)"},
    {"teacher: {top_p: 1e-7}", "(range 1e-06 to 1)"},
    // lengths
    {"train: {lr_warmup: 10 stpes}", "got \"10 stpes\", expected a length such "
                                     "as \"200 steps\" or \"3e6 tokens\" or "
                                     "\"10 %\" of the run"},
    {"train: {lr_warmup: 30 min}", "got \"30 min\", expected a length such as "
                                   "\"200 steps\" or \"3e6 tokens\" or \"10 "
                                   "%\" of the run"},
    {"checkpoint: {every: 30 mni}", "or \"10 %\" of the run or \"30 min\""},
    {"run: {wall_s: 04:00:61}", "got \"04:00:61\", expected a number, or a "
                                "time such as \"30 min\" or 04:00:00"},
    {"run: {wall_s: 1-}", "expected a number, or a time"},
    {"run: {wall_s: 1:2:3:4}", "expected a number, or a time"},
    {"run: {wall_s: \"60\"}", "remove the quotes"},
    {"run: {peak_gflops: 30 s}", "got \"30 s\", expected a number ("},
    {"train: {lr_warmup: -1}", "got \"-1\", expected a length"},
    {"train: {lr_warmup: 1.5 steps}", "got \"1.5 steps\", expected a length"},
    {"train: {lr_warmup: 101 %}", "got \"101 %\", expected a length"},
    {"train: {lr_warmup: steps}", "got \"steps\", expected a length"},
    {"train: {lr_warmup: 1e30 tokens}", "expected a length"},
    {"train: {length: 10 %}", "got \"10 %\", expected a length such as \"200 "
                              "steps\" or \"3e6 tokens\""},
    // YAML
    {"train:\n\tlr: 1",
     "d.yaml:2:1: not YAML: while scanning for the next "
     "token (from line 2), found character that cannot start any token "
     "(a tab; indent with spaces)"},
    {"train: {lr: 1", "not YAML: while parsing a flow mapping (from line 1), "
                      "did not find expected ',' or '}'"},
    {"output.dir: b: c",
     "d.yaml:1:14: not YAML: mapping values are not allowed"},
    {"train: &x {lr: 1}", "d.yaml:1:8: got the anchor \"x\", expected plain"},
    {"train: {lr: *x}", "d.yaml:1:13: got the alias \"x\", expected plain"},
    {"train: {lr: !!float 1}", "got the tag \"tag:yaml.org,2002:float\""},
    {"data: {files: !x [a]}", "got the tag \"!x\""},
    {"train: {lr: 1}\n---\ntrain: {lr: 2}",
     "d.yaml:2:1: got a second document"},
    {"- a\n- b", "d.yaml:1:1: got a single value or a list, expected"},
    {"hello", "d.yaml:1:1: got a single value or a list, expected"},
    {"a: {b: {c: {d: {e: {f: {g: {h: {i: 1}}}}}}}}", "nested more than 8 deep"},
    {"train:\n  lr: \xff", "d.yaml:2:7: not text: invalid leading UTF-8"},
    {"train:\n  lr: \x01", "d.yaml:2:7: not text: control characters"},
};

static void test_bad_decks(void)
{
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    rt_deck *deck;
    RT_FAILS(parse(bad[i].text, &deck), RT_ERR_CONFIG, bad[i].message);
    CU_ASSERT_PTR_NULL(deck);
    if (strchr(rt_err_text(), '\n') != NULL) {
      fprintf(stderr, "more than one message for \"%s\":\n%s\n", bad[i].text,
              rt_err_text());
      CU_FAIL("one error, one message");
    }
  }
}

static void test_all_errors_at_once(void)
{
  char *overrides[] = {"train.lr=x", "nothing", "train.clp=1"};
  rt_deck *deck;
  const rt_err err =
      rt_deck_parse("d.yaml",
                    "train:\n  lr: y\n  nope_nope: 1\nrun: &a\n  threads: -1\n"
                    "  seed: 'x\n",
                    3, overrides, &deck);
  CU_ASSERT_EQUAL(err, RT_ERR_CONFIG);
  CU_ASSERT_STRING_EQUAL(
      rt_err_text(),
      "d.yaml:2:7: train.lr: got \"y\", expected a number (range 0 to 100)\n"
      "d.yaml:3:3: train.nope_nope: got an unknown key, expected one of those "
      "that `retort --help=keys` lists\n"
      "d.yaml:4:6: got the anchor \"a\", expected plain values; write the "
      "value out\n"
      "d.yaml:5:12: run.threads: got \"-1\", expected a whole number (range 0 "
      "to 1024)\n"
      "d.yaml:7:1: not YAML: while scanning a quoted scalar (from line 6), "
      "found unexpected "
      "end of stream\n"
      "command line: train.lr: got \"x\", expected a number (range 0 to 100)\n"
      "command line: got \"nothing\", expected key.path=value\n"
      "command line: train.clp: got an unknown key, did you mean train.clip?");
}

static void test_at_most_fifty_errors(void)
{
  char text[4096] = "data:\n  weights: [";
  for (int i = 0; i < 60; i++)
    strcat(text, "x, ");
  strcat(text, "]\n");
  rt_deck *deck;
  RT_FAILS(parse(text, &deck), RT_ERR_CONFIG, "\nd.yaml: and 10 more errors");
  int n_lines = 1;
  for (const char *p = rt_err_text(); *p != '\0'; p++)
    n_lines += *p == '\n';
  CU_ASSERT_EQUAL(n_lines, 51);
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

static void test_paths(void)
{
  static const struct {
    const char *written, *path;
  } good[] = {
      {"~/run", "/home/me/run"},
      {"~", "/home/me"},
      {"a/~/b", "a/~/b"},
      {"${RT_TEST_DIR}/run", "/scratch/run"},
      {"/x/${RT_TEST_DIR}${RT_TEST_NONE}/y", "/x//scratch/y"},
      {"${RT_TEST_TILDE}/run", "/home/me/x/run"},
      {"5$/a", "5$/a"},
      {"$", "$"},
  };
  static const struct {
    const char *written, *why;
  } wrong[] = {
      {"~other/run", "output.dir: got \"~other/run\", expected ~/ of your own"},
      {"${RT_TEST_UNSET}/run", "a variable that is set, RT_TEST_UNSET is not"},
      {"$RT_TEST_DIR/run", "braces around the variable: ${RT_TEST_DIR}"},
      {"${RT_TEST_DIR/run", "expected a variable as ${NAME}"},
      {"${}/run", "expected a variable as ${NAME}"},
      {"${RT_TEST_DIR:-x}", "expected a variable as ${NAME}"},
      {"${RT_TEST_BAD}", "expected variables of UTF-8"},
  };
  char home[4096];
  snprintf(home, sizeof home, "%s", getenv("HOME"));
  setenv("HOME", "/home/me", 1);
  setenv("RT_TEST_DIR", "/scratch", 1);
  setenv("RT_TEST_NONE", "", 1);
  setenv("RT_TEST_TILDE", "~/x", 1);
  setenv("RT_TEST_BAD", "a\nb", 1);
  unsetenv("RT_TEST_UNSET");
  char text[200], *override[] = {text};
  rt_deck *deck;
  for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
    snprintf(text, sizeof text, "output.dir=%s", good[i].written);
    RT_OKAY(rt_deck_parse("d", "", 1, override, &deck));
    CU_ASSERT_STRING_EQUAL(rt_deck_text(deck, RT_KEY_OUT_DIR), good[i].path);
    rt_deck_destroy(&deck);
    snprintf(text, sizeof text, "data: {files: [plain, '%s']}",
             good[i].written);
    RT_OKAY(parse(text, &deck));
    CU_ASSERT_STRING_EQUAL(rt_deck_text_at(deck, RT_KEY_DATA_FILES, 1),
                           good[i].path);
    rt_deck_destroy(&deck);
  }
  for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
    snprintf(text, sizeof text, "output.dir=%s", wrong[i].written);
    RT_FAILS(rt_deck_parse("d", "", 1, override, &deck), RT_ERR_CONFIG,
             wrong[i].why);
  }
  // texts that are not paths are used unchanged
  snprintf(text, sizeof text, "capture.license=~ ${X} $Y");
  RT_OKAY(rt_deck_parse("d", "", 1, override, &deck));
  CU_ASSERT_STRING_EQUAL(rt_deck_text(deck, RT_KEY_CAP_LICENSE), "~ ${X} $Y");
  rt_deck_destroy(&deck);
  unsetenv("HOME");
  snprintf(text, sizeof text, "output.dir=~/run");
  RT_FAILS(rt_deck_parse("d", "", 1, override, &deck), RT_ERR_CONFIG,
           "HOME is not set");
  setenv("HOME", home, 1);
}

static void test_bad_overrides(void)
{
  static const struct {
    const char *text, *message;
  } overrides[] = {
      {"train.batch_row=8",
       "command line: train.batch_row: got an unknown key, "
       "did you mean train.batch_rows?"},
      {"train.batch_rows", "got \"train.batch_rows\", expected key.path=value"},
      {"=5", "got \"=5\", expected key.path=value"},
      {"train=5", "command line: train: got a value, expected a section"},
      {"train.lr=", "command line: train.lr: got nothing, expected a number"},
      {"train.lr=[1]",
       "command line: train.lr: got \"[1]\", expected a number"},
      {"data.files=[a", "command line: data.files: got \"[a\", expected a list "
                        "such as [a, b] or a,b"},
      {"data.files=[a]\ny: 1", "expected a list such as [a, b] or a,b"},
      {"data.weights=1,,2", "command line: data.weights: got nothing"},
      {"output.dir=\xff", "output.dir: got \"\xff\", expected a text of UTF-8"},
      {"output.dir=\xc0\xaf", "expected a text of UTF-8"},
      {"output.dir=\xed\xa0\x80", "expected a text of UTF-8"},
  };
  for (size_t i = 0; i < sizeof overrides / sizeof overrides[0]; i++) {
    char *one[] = {(char *)(uintptr_t)overrides[i].text};
    rt_deck *deck;
    RT_FAILS(rt_deck_parse("d", "", 1, one, &deck), RT_ERR_CONFIG,
             overrides[i].message);
    CU_ASSERT_PTR_NULL(strchr(rt_err_text(), '\n'));
  }
}

static const char sample[] =
    "# a deck with something of everything\n"
    "run:\n"
    "  device: check\n"
    "  seed: 72057594037927935\n"
    "train: {lr: 0.1234567890123456789, clip: 1e-300}\n"
    "loss:\n"
    "  alpha_warmup: 3e6 tokens\n"
    "data:\n"
    "  files: [a, 'it''s', \"q\\\"\\\\\\u2028#: é\"]\n"
    "  weights: [0.1, 3, 1e22]\n"
    "  mask_documents: yes\n"
    "output:\n"
    "  dir: \"true\"\n"
    "capture:\n"
    "  dir: |-\n"
    "    block\n";

static void test_printed_decks_read_back(void)
{
  char *overrides[] = {"student.weights= - [x", "teacher.weights=null"};
  rt_deck *deck, *again;
  char *text, *text_again;
  RT_OKAY(rt_deck_parse("a\nb.yaml", sample, 2, overrides, &deck));
  RT_OKAY(rt_deck_to_text(deck, &text));
  CU_ASSERT_PTR_NOT_NULL(strstr(text, "  device: check"));
  CU_ASSERT_PTR_NOT_NULL(strstr(text, "# a?b.yaml:3\n"));
  CU_ASSERT_PTR_NOT_NULL(strstr(text, "# command line\n"));
  CU_ASSERT_PTR_NOT_NULL(strstr(text, "# default\n"));
  RT_OKAY(parse(text, &again));
  char *diff;
  RT_OKAY(rt_deck_diff(deck, again, &diff));
  CU_ASSERT_STRING_EQUAL(diff, "");
  free(diff);
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
  char *diff;
  RT_OKAY(parse("data: {files: [x]}", &a));
  RT_OKAY(parse("data: {files: [x, y]}\ntrain: {lr: 1, length: 5}\n"
                "run: {threads: 2, seed: 5}\nstudent: {tp: 2}\n"
                "checkpoint: {allow_change: [data.files]}\n"
                "output: {dir: z}\neval: {rows: 1}\ncapture: {rows: 1}",
                &b));
  RT_OKAY(rt_deck_diff(a, b, &diff));
  CU_ASSERT_STRING_EQUAL(diff, "run.seed: 1 -> 5\n"
                               "data.files: [\"x\"] -> [\"x\", \"y\"]\n"
                               "train.length: 100 steps -> 5\n"
                               "train.lr: 0.0006 -> 1\n");
  free(diff);
  rt_deck_destroy(&a);
  rt_deck_destroy(&b);
  RT_OKAY(parse("train: {length: 5, lr_warmup: 1 %}", &a));
  RT_OKAY(parse("train: {length: 5 steps, lr_warmup: 1}", &b));
  RT_OKAY(rt_deck_diff(a, b, &diff));
  CU_ASSERT_STRING_EQUAL(diff, "train.lr_warmup: 1 % -> 1\n");
  free(diff);
  rt_deck_destroy(&a);
  rt_deck_destroy(&b);
}

/** Each key by itself: FREE ones are passed over, KEPT ones are told unless
 *  they are allowed. */
static void test_restart_of_every_key(void)
{
  static const char *const kept[] = {"run.seed", "run.real", "train.lr",
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
  RT_OKAY(parse("train: {lr: 2, beta1: 0.5}", &deck));
  RT_FAILS(rt_deck_same_run(deck, old, "the old one", RT_KEY_OUT_DIR),
           RT_ERR_CONFIG,
           "the deck is not the old one:\ntrain.lr: 1 -> 2\nRestore these "
           "keys, list them in checkpoint.allow_change, or choose another "
           "output.dir");
  CU_ASSERT_FALSE(rt_deck_allows(deck, RT_KEY_TRAIN_LR));
  rt_deck_destroy(&deck);
  RT_OKAY(parse("train: {lr: 2, beta1: 0.5}\n"
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
      char *diff;
      RT_OKAY(parse(text, &deck));
      RT_OKAY(rt_deck_read(NULL, 0, NULL, &defaults));
      RT_OKAY(rt_deck_diff(defaults, deck, &diff));
      CU_ASSERT_STRING_EQUAL(diff, "");
      CU_ASSERT_EQUAL(rt_deck_source(deck, RT_KEY_EVAL_ROWS), RT_FROM_DECK);
      free(diff);
      rt_deck_destroy(&deck);
      rt_deck_destroy(&defaults);
    }
    free(text);
  }
  RT_FAILS(rt_deck_document("html", stdout), RT_ERR_USAGE, "html");
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
  RT_OKAY(rt_file_put(path, sample, sizeof sample - 1));
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

/** Paths of a file are seen from its folder, others from where the program is;
 *  written down for another place they are absolute. */
static void test_whence(void)
{
  static const struct {
    const char *deck, *written, *path;
  } cases[] = {
      {"a/b/x.yaml", "c/d", "a/b/c/d"}, {"x.yaml", "c/d", "c/d"},
      {"/x.yaml", "c", "/c"},           {"./x.yaml", "../c", "./../c"},
      {"/a/x.yaml", "/c", "/c"},        {"/a/x.yaml", "~/c", "/home/me/c"},
      {"/a/x.yaml", "''", ""},          {"/dev/stdin", "c", "c"},
      {"/proc/self/fd/63", "c", "c"},   {"/dev/shm/x.yaml", "c", "/dev/shm/c"}};
  char home[4096], here[4096], want[9000], text[200];
  char *override[] = {"output.dir=o"};
  snprintf(home, sizeof home, "%s", getenv("HOME"));
  CU_ASSERT_PTR_NOT_NULL_FATAL(getcwd(here, sizeof here));
  setenv("HOME", "/home/me", 1);
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    rt_deck *deck;
    char *saved;
    snprintf(text, sizeof text,
             "output: {dir: x}\nteacher: {weights: %s}\n"
             "data: {files: [/f, %s]}\ncapture: {license: a/b}",
             cases[i].written, cases[i].written);
    RT_OKAY(rt_deck_parse_file(cases[i].deck, text, 1, override, &deck));
    const char *const path = rt_deck_text(deck, RT_KEY_TEA_WEIGHTS);
    CU_ASSERT_STRING_EQUAL(path, cases[i].path);
    CU_ASSERT_STRING_EQUAL(rt_deck_text_at(deck, RT_KEY_DATA_FILES, 1), path);
    CU_ASSERT_STRING_EQUAL(rt_deck_text(deck, RT_KEY_OUT_DIR), "o");
    CU_ASSERT_PTR_NULL(rt_deck_written(deck, RT_KEY_OUT_DIR));
    CU_ASSERT_STRING_EQUAL(rt_deck_text(deck, RT_KEY_CAP_LICENSE), "a/b");
    RT_OKAY(rt_deck_to_file_text(deck, &saved));
    const bool joins = path[0] != '\0' && path[0] != '/';
    snprintf(want, sizeof want, "files: [\"/f\", \"%s%s%s\"]",
             joins ? here : "", joins ? "/" : "", path);
    CU_ASSERT_PTR_NOT_NULL(strstr(saved, want));
    snprintf(want, sizeof want, "dir: \"%s/o\"", here);
    CU_ASSERT_PTR_NOT_NULL(strstr(saved, want));
    CU_ASSERT_PTR_NOT_NULL(strstr(saved, "license: \"a/b\""));
    free(saved);
    rt_deck_destroy(&deck);
  }
  setenv("HOME", home, 1);
}

/** A folder that reads like a pattern is none, in front of one or of a name. */
static void test_brackets(void)
{
  rt_deck *deck;
  RT_OKAY(rt_deck_parse_file(
      "a[1]*/x.yaml", "data: {files: [p_*.bin, q.bin]}\noutput: {dir: 'r*'}", 0,
      NULL, &deck));
  CU_ASSERT_STRING_EQUAL(rt_deck_text_at(deck, RT_KEY_DATA_FILES, 0),
                         "a\\[1]\\*/p_*.bin");
  CU_ASSERT_STRING_EQUAL(rt_deck_text_at(deck, RT_KEY_DATA_FILES, 1),
                         "a\\[1]\\*/q.bin");
  CU_ASSERT_STRING_EQUAL(rt_deck_text(deck, RT_KEY_OUT_DIR), "a[1]*/r*");
  CU_ASSERT_STRING_EQUAL(rt_deck_written(deck, RT_KEY_OUT_DIR), "r*");
  rt_deck_destroy(&deck);
}

/** Of two decks only what may be another file differs. */
static void test_same_paths(void)
{
  static const struct {
    const char *a, *b;
    bool same;
  } cases[] = {{"c/d", "c/d", true},
               {"c/d", "/x/c/d", true},
               {"../c/d", "c/d", true},
               {"/x/c/d", "../../c/d", true},
               {"./d", "d", true},
               {"c/d", "c/e", false},
               {"'/a\\[1]/d'", "'/a[1]/d'", true},
               {"'/a\\[1]/d'", "'[1]/d'", false},
               {"'/a\\[1]/d*'", "'d*'", true},
               {"'/a\\1/d'", "/a1/d", false},
               {"d", "xd", false},
               {"/d", "/x/d", false},
               {"/x/c/d", "/y/c/d", false},
               {"''", "d", false}};
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    rt_deck *a, *b;
    char text[200], *diff;
    snprintf(text, sizeof text, "data: {files: [x, %s]}", cases[i].a);
    RT_OKAY(parse(text, &a));
    snprintf(text, sizeof text, "data: {files: [x, %s]}", cases[i].b);
    RT_OKAY(parse(text, &b));
    RT_OKAY(rt_deck_diff(a, b, &diff));
    CU_ASSERT_EQUAL(diff[0] == '\0', cases[i].same);
    free(diff);
    rt_deck_destroy(&a);
    rt_deck_destroy(&b);
  }
}

/** A corrupted deck is either read or rejected as an invalid deck. */
static void read_hostile(const char *text)
{
  rt_deck *deck;
  const rt_err err = parse(text, &deck);
  CU_ASSERT_FATAL(err == RT_OK || err == RT_ERR_CONFIG);
  CU_ASSERT_FATAL((deck != NULL) == (err == RT_OK));
  if (err == RT_ERR_CONFIG)
    CU_ASSERT(strncmp(rt_err_text(), "d.yaml:", 7) == 0);
  rt_deck_destroy(&deck);
}

static void test_truncated_and_flipped(void)
{
  char text[sizeof sample];
  for (size_t n = 0; n < sizeof sample; n++) {
    memcpy(text, sample, n);
    text[n] = '\0';
    read_hostile(text);
  }
  static const char evil[] = "\t\n\"'#&*!|>%@`[]{},:-?~ \\\x01\x7f\x80\xc3\xff";
  for (size_t i = 0; i + 1 < sizeof sample; i++) {
    for (size_t j = 0; j + 1 < sizeof evil; j++) {
      memcpy(text, sample, sizeof sample);
      text[i] = evil[j];
      read_hostile(text);
    }
    for (int bit = 0; bit < 8; bit++) {
      memcpy(text, sample, sizeof sample);
      text[i] = (char)(text[i] ^ (1 << bit));
      if (text[i] != '\0')
        read_hostile(text);
    }
  }
}

/** The largest deck, made of one repeated piece, must not take excessive time.
 */
static void test_large_and_hostile(void)
{
  static const char *const pieces[] = {"[",
                                       "{",
                                       "- ",
                                       "? ",
                                       "a: ",
                                       "[a, ",
                                       "a:\n",
                                       "\"\n",
                                       "&a ",
                                       "!a ",
                                       "train: {lr: x}\n",
                                       "*a\n",
                                       "'",
                                       "#\n",
                                       "{a: [",
                                       "a:\n - b\n",
                                       "|\n",
                                       "%a\n"};
  const size_t n = 1 << 18;
  char *text = malloc(n + 32);
  CU_ASSERT_PTR_NOT_NULL_FATAL(text);
  for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
    size_t used = 0;
    while (used < n) {
      strcpy(text + used, pieces[i]);
      used += strlen(pieces[i]);
    }
    read_hostile(text);
  }
  free(text);
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
  RT_OKAY(parse("train: {lr: 0.5}", &deck));
  CU_ASSERT(rt_deck_real(deck, RT_KEY_TRAIN_LR) == 0.5);
  rt_deck_real_text(0.1, text);
  CU_ASSERT_STRING_EQUAL(text, "0.1");
  rt_deck_destroy(&deck);
  setlocale(LC_NUMERIC, "C");
}

static void test_distances(void)
{
  CU_ASSERT_EQUAL(rt_nearest_distance("", ""), 0);
  CU_ASSERT_EQUAL(rt_nearest_distance("abc", ""), 3);
  CU_ASSERT_EQUAL(rt_nearest_distance("kitten", "sitting"), 3);
  CU_ASSERT_EQUAL(rt_nearest_distance("train", "trian"), 1); // a swap
  CU_ASSERT_EQUAL(rt_nearest_distance("Train", "train"), 0);
  char longer[200];
  memset(longer, 'x', sizeof longer - 1);
  longer[sizeof longer - 1] = '\0';
  CU_ASSERT_EQUAL(rt_nearest_distance(longer, "x"), 62);
}

RT_TEST_MAIN("deck", {"values of every type", test_values_of_every_type},
             {"lengths and their units", test_lengths},
             {"times, where they are taken", test_times},
             {"decks that say nothing", test_empty_decks},
             {"bad decks are told why", test_bad_decks},
             {"all errors come at once", test_all_errors_at_once},
             {"at most fifty errors", test_at_most_fifty_errors},
             {"overrides", test_overrides},
             {"bad overrides", test_bad_overrides},
             {"~ and variables in paths", test_paths},
             {"whence paths are seen", test_whence},
             {"brackets in a folder", test_brackets},
             {"paths seen from elsewhere", test_same_paths},
             {"printed decks read back", test_printed_decks_read_back},
             {"decks are compared", test_diff_of_decks},
             {"keys that may change", test_restart_of_every_key},
             {"the same run", test_same_run},
             {"every key is described", test_every_key_is_described},
             {"generated documents", test_documents},
             {"decks from files", test_files},
             {"truncated and flipped decks", test_truncated_and_flipped},
             {"large hostile decks", test_large_and_hostile},
             {"other locales", test_other_locales},
             {"distances of words", test_distances})
