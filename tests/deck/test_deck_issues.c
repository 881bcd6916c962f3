/** \file test_deck_issues.c
 *  Messages about invalid decks, and decks that are damaged or hostile.
 *  ranks: 1 */
#include "support/deck_text.h"
#include "support/rt_test.h"

#include "deck/deck.h"
#include <string.h>

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
    RT_FAILS(deck_of(bad[i].text, &deck), RT_ERR_CONFIG, bad[i].message);
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
  RT_FAILS(deck_of(text, &deck), RT_ERR_CONFIG, "\nd.yaml: and 10 more errors");
  int n_lines = 1;
  for (const char *p = rt_err_text(); *p != '\0'; p++)
    n_lines += *p == '\n';
  CU_ASSERT_EQUAL(n_lines, 51);
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

/** A corrupted deck is either read or rejected as an invalid deck. */
static void read_hostile(const char *text)
{
  rt_deck *deck;
  const rt_err err = deck_of(text, &deck);
  CU_ASSERT_FATAL(err == RT_OK || err == RT_ERR_CONFIG);
  CU_ASSERT_FATAL((deck != NULL) == (err == RT_OK));
  if (err == RT_ERR_CONFIG)
    CU_ASSERT(strncmp(rt_err_text(), "d.yaml:", 7) == 0);
  rt_deck_destroy(&deck);
}

static void test_truncated_and_flipped(void)
{
  char text[1000];
  const size_t length = strlen(deck_sample);
  CU_ASSERT_FATAL(length < sizeof text);
  for (size_t n = 0; n <= length; n++) {
    memcpy(text, deck_sample, n);
    text[n] = '\0';
    read_hostile(text);
  }
  static const char evil[] = "\t\n\"'#&*!|>%@`[]{},:-?~ \\\x01\x7f\x80\xc3\xff";
  for (size_t i = 0; i < length; i++) {
    for (size_t j = 0; j + 1 < sizeof evil; j++) {
      memcpy(text, deck_sample, length + 1);
      text[i] = evil[j];
      read_hostile(text);
    }
    for (int bit = 0; bit < 8; bit++) {
      memcpy(text, deck_sample, length + 1);
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

RT_TEST_MAIN("deck_issues", {"bad decks are told why", test_bad_decks},
             {"all errors come at once", test_all_errors_at_once},
             {"at most fifty errors", test_at_most_fifty_errors},
             {"bad overrides", test_bad_overrides},
             {"truncated and flipped decks", test_truncated_and_flipped},
             {"large hostile decks", test_large_and_hostile})
