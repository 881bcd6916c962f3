/** \file user_cache.c
 *  A file for each number, named by the hash of its key: "KEY\nNUMBER\n". */
#include "io/common/user_cache.h"

#include "base/hash.h"
#include "base/log.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KEY_MAX_BYTES = 1024 };

rt_err rt_user_cache_folder(char folder[RT_PATH_MAX])
{
  const char *const xdg = getenv("XDG_CACHE_HOME");
  const char *const home = getenv("HOME");
  const bool given = xdg != NULL && xdg[0] == '/';
  RT_CHECK(given || (home != NULL && home[0] == '/'), RT_ERR_NOINPUT,
           "neither XDG_CACHE_HOME nor HOME names a folder");
  RT_TRY(rt_path_join(folder, given ? xdg : home,
                      given ? "retort" : ".cache/retort"));
  return rt_folder_create(folder);
}

static rt_err find_file(const char *key, char path[RT_PATH_MAX])
{
  char folder[RT_PATH_MAX], name[32];
  RT_TRY(rt_user_cache_folder(folder));
  snprintf(name, sizeof name, "number-%016llx",
           (unsigned long long)rt_hash_xxh3(key, strlen(key)));
  return rt_path_join(path, folder, name);
}

bool rt_user_cache_get(const char *key, char path[RT_PATH_MAX], double *value)
{
  char *text = NULL, *end = NULL;
  size_t n = 0;
  const size_t key_n = strlen(key);
  path[0] = '\0';
  if (find_file(key, path) != RT_OK) {
    path[0] = '\0';
    return false;
  }
  if (!rt_file_exists(path) ||
      rt_file_slurp(path, KEY_MAX_BYTES + 64, &text, &n) != RT_OK)
    return false;
  bool good = n > key_n + 1 && memcmp(text, key, key_n) == 0 &&
              text[key_n] == '\n' && text[n - 1] == '\n';
  if (good) {
    text[n - 1] = '\0';
    *value = strtod(text + key_n + 1, &end);
    good = end == text + n - 1 && n > key_n + 2;
  }
  free(text);
  return good;
}

bool rt_user_cache_put(const char *key, double value)
{
  char path[RT_PATH_MAX], text[KEY_MAX_BYTES + 64];
  const int n = snprintf(text, sizeof text, "%s\n%.17g\n", key, value);
  rt_err err = find_file(key, path);
  if (err == RT_OK && strlen(key) < KEY_MAX_BYTES)
    err = rt_file_put(path, text, (size_t)n);
  if (err != RT_OK)
    rt_debug("a number is not remembered: %s", rt_err_text());
  return err == RT_OK && strlen(key) < KEY_MAX_BYTES;
}
