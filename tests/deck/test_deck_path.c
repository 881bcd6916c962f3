/** \file test_deck_path.c
 *  Paths in decks: ~, variables, the folder from which they are seen.
 *  ranks: 1 */
#include "support/deck_text.h"
#include "support/rt_test.h"

#include "deck/deck.h"
#include <string.h>
#include <unistd.h>

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
    RT_OKAY(deck_of(text, &deck));
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
    char text[200], diff[1000];
    snprintf(text, sizeof text, "data: {files: [x, %s]}", cases[i].a);
    RT_OKAY(deck_of(text, &a));
    snprintf(text, sizeof text, "data: {files: [x, %s]}", cases[i].b);
    RT_OKAY(deck_of(text, &b));
    deck_diff(a, b, diff);
    CU_ASSERT_EQUAL(diff[0] == '\0', cases[i].same);
    rt_deck_destroy(&a);
    rt_deck_destroy(&b);
  }
}

RT_TEST_MAIN("deck_path", {"~ and variables in paths", test_paths},
             {"whence paths are seen", test_whence},
             {"brackets in a folder", test_brackets},
             {"paths seen from elsewhere", test_same_paths})
