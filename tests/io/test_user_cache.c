/** \file test_user_cache.c
 *  Numbers in the user's cache folder: kept, damaged, nowhere to keep them.
 *  ranks: 1 */
#include "io/common/user_cache.h"

#include "base/log.h"
#include "support/rt_test.h"
#include "support/scratch.h"
#include <stdlib.h>
#include <string.h>

static char folder[RT_PATH_MAX], path[RT_PATH_MAX];

static void begin(void)
{
  rt_log_setup(RT_LOG_INFO, RT_LOG_SILENT);
  scratch_create(folder);
  setenv("XDG_CACHE_HOME", folder, 1);
}

static void test_kept(void)
{
  double x = 0.0;
  begin();
  CU_ASSERT_FALSE(rt_user_cache_get("speed of a", path, &x));
  CU_ASSERT_TRUE(rt_user_cache_put("speed of a", 1.0 / 3.0));
  CU_ASSERT_TRUE(rt_user_cache_put("speed of b", 2.0));
  CU_ASSERT_TRUE(rt_user_cache_put("speed of b", 4.0));
  CU_ASSERT_TRUE(rt_user_cache_get("speed of a", path, &x));
  CU_ASSERT_EQUAL(x, 1.0 / 3.0); // to the last bit
  CU_ASSERT_TRUE(rt_user_cache_get("speed of b", path, &x));
  CU_ASSERT_EQUAL(x, 4.0);
  CU_ASSERT_FALSE(rt_user_cache_get("speed of", path, &x));
  scratch_remove(folder);
}

/** Anything but a number under its own key is unknown, not another number. */
static void test_damaged(void)
{
  static const char *const texts[] = {"",           "k",         "k\n",
                                      "k\n1.5",     "k\n1.5x\n", "k\n\n",
                                      "other\n1\n", "k2\n1.5\n"};
  double x = 7.0;
  begin();
  CU_ASSERT_FALSE(rt_user_cache_get("k", path, &x));
  for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
    RT_OKAY(rt_file_put(path, texts[i], strlen(texts[i])));
    CU_ASSERT_FALSE(rt_user_cache_get("k", path, &x));
  }
  RT_OKAY(rt_file_put(path, "k\n1.5\n", 6));
  CU_ASSERT_TRUE(rt_user_cache_get("k", path, &x));
  CU_ASSERT_EQUAL(x, 1.5);
  scratch_remove(folder);
}

static void test_nowhere(void)
{
  double x = 0.0;
  char key[2000];
  begin();
  memset(key, 'x', sizeof key - 1);
  key[sizeof key - 1] = '\0';
  CU_ASSERT_FALSE(rt_user_cache_put(key, 1.0)); // too long
  setenv("XDG_CACHE_HOME", "/dev/null", 1);
  CU_ASSERT_FALSE(rt_user_cache_put("k", 1.0));
  CU_ASSERT_FALSE(rt_user_cache_get("k", path, &x));
  CU_ASSERT_STRING_EQUAL(path, "");
  unsetenv("XDG_CACHE_HOME");
  unsetenv("HOME");
  CU_ASSERT_FALSE(rt_user_cache_put("k", 1.0));
  CU_ASSERT_FALSE(rt_user_cache_get("k", path, &x));
  scratch_remove(folder);
}

RT_TEST_MAIN("user_cache", {"kept", test_kept}, {"damaged", test_damaged},
             {"nowhere to keep it", test_nowhere})
