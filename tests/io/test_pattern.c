/** \file test_pattern.c
 *  Names of corpora and patterns of them.
 *  ranks: 1 */
#include "io/corpus/pattern.h"
#include "support/rt_test.h"
#include "support/scratch.h"

static char folder[RT_PATH_MAX];

static void put(const char *name)
{
  char path[RT_PATH_MAX];
  RT_OKAY(rt_path_join(path, folder, name));
  RT_OKAY(rt_file_put(path, "x", 1));
}

/** The names found for \a name in the folder, without the folder, with blanks
 *  between them. */
static rt_err find(const char *name, char *text, size_t n)
{
  char path[RT_PATH_MAX];
  rt_names names = {0};
  text[0] = '\0';
  RT_OKAY(rt_path_join(path, folder, name));
  const rt_err err = rt_names_add(&names, path);
  for (int i = 0; i < names.n; i++) {
    const size_t used = strlen(text);
    snprintf(text + used, n - used, "%s%s", i > 0 ? " " : "",
             names.at[i] + strlen(folder) + 1);
  }
  rt_names_clear(&names);
  return err;
}

static void test_names(void)
{
  static const char *const cases[][2] = {
      {"p_1.bin", "p_1.bin"},
      {"absent.bin", "absent.bin"}, // whoever opens it says so
      {"p_*.bin", "p_1.bin p_2.bin"},
      {"p_[2].bin", "p_2.bin"},
      {"q[1].bin", "q[1].bin"}, // exists as it is written
      {"q\\[1].bin", "q[1].bin"},
      {"q\\[2].bin", "q[2].bin"}, // a name, though there is no such file
      {"q\\?", "q?"},
      {"d[1]/q[1]", "d[1]/q[1]"},   // the prefix of a Megatron pair
      {"d\\[1]/q[1]", "d[1]/q[1]"}, // exists, behind an escaped folder
      {"d\\[1]/q*", "d[1]/q[1].bin"}};
  char text[256], path[RT_PATH_MAX];
  scratch_create(folder);
  RT_OKAY(rt_path_join(path, folder, "d[1]"));
  RT_OKAY(rt_folder_create(path));
  RT_OKAY(rt_path_join(path, folder, "d1"));
  RT_OKAY(rt_folder_create(path));
  put("p_1.bin");
  put("p_2.bin");
  put("q1.bin");
  put("q2.bin");
  put("q[1].bin");
  put("d[1]/q[1].bin");
  put("d1/q1.bin");
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    RT_OKAY(find(cases[i][0], text, sizeof text));
    CU_ASSERT_STRING_EQUAL(text, cases[i][1]);
  }
  RT_FAILS(find("r*", text, sizeof text), RT_ERR_NOINPUT, "no file matches");
  scratch_remove(folder);
}

RT_TEST_MAIN("pattern", {"names and patterns", test_names})
