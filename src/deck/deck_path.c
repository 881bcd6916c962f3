/** \file deck_path.c
 *  Expands "~" and "${NAME}" in paths: a shell does not do so in a deck or
 *  after the "=" of an override, and a folder named "~" is never intended.
 *  Also resolves relative paths. */
#include "deck/deck_parts.h"

#include "base/file.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_NAME = 128 };

/** Record why a path cannot be expanded. */
static rt_err refuse(char why[RT_DECK_ISSUE_BYTES], const char *fmt,
                     const char *name)
{
  snprintf(why, RT_DECK_ISSUE_BYTES, fmt, name);
  return RT_OK;
}

/** Append the value of the variable at *p, which follows "$"; advances *p. */
static rt_err put_variable(const char **p, FILE *to,
                           char why[RT_DECK_ISSUE_BYTES])
{
  char name[MAX_NAME];
  const bool braces = **p == '{';
  const char *const begin = *p + braces;
  size_t n = 0;
  while (isalnum((unsigned char)begin[n]) || begin[n] == '_')
    n++;
  if (n == 0 || n >= MAX_NAME || (braces && begin[n] != '}'))
    return refuse(why, "expected a variable as ${NAME}%s", "");
  memcpy(name, begin, n);
  name[n] = '\0';
  if (!braces)
    return refuse(why, "expected braces around the variable: ${%s}", name);
  const char *const value = getenv(name);
  if (value == NULL)
    return refuse(why, "expected a variable that is set, %s is not", name);
  fputs(value, to);
  *p = begin + n + 1;
  return RT_OK;
}

static rt_err put_variables(const char *text, FILE *to,
                            char why[RT_DECK_ISSUE_BYTES])
{
  const char *p = text;
  while (*p != '\0' && why[0] == '\0') {
    const bool variable = p[0] == '$' && (p[1] == '{' || p[1] == '_' ||
                                          isalpha((unsigned char)p[1]));
    if (!variable) {
      fputc(*p++, to);
      continue;
    }
    p++;
    RT_TRY(put_variable(&p, to, why));
  }
  return RT_OK;
}

/** Close a memory stream, which reports errors only then. */
static rt_err finish(FILE *to, char **out)
{
  if (fclose(to) == 0)
    return RT_OK;
  free(*out);
  *out = NULL;
  return RT_FAIL(RT_ERR_MEM, "no memory for a path");
}

/** Expand a leading "~", after the variables, which may contain it. */
static rt_err put_home(char **path, char why[RT_DECK_ISSUE_BYTES])
{
  const char *const home = getenv("HOME");
  char *full = NULL;
  if ((*path)[0] != '~')
    return RT_OK;
  if ((*path)[1] != '/' && (*path)[1] != '\0')
    return refuse(why, "expected ~/ of your own folder; write out where %s is",
                  "others'");
  if (home == NULL || home[0] == '\0')
    return refuse(why, "expected a path without ~, for HOME is not set%s", "");
  const int n = asprintf(&full, "%s%s", home, *path + 1);
  RT_CHECK(n >= 0, RT_ERR_MEM, "no memory for a path");
  free(*path);
  *path = full;
  return RT_OK;
}

rt_err rt_deck_path_expand(const char *text, char **out,
                           char why[RT_DECK_ISSUE_BYTES])
{
  size_t n = 0;
  why[0] = '\0';
  *out = NULL;
  FILE *const to = open_memstream(out, &n);
  RT_CHECK(to != NULL, RT_ERR_MEM, "no memory for a path");
  rt_err err = put_variables(text, to, why);
  const rt_err closed = finish(to, out);
  err = err == RT_OK ? closed : err;
  if (err == RT_OK && why[0] == '\0')
    err = put_home(out, why);
  if (err != RT_OK || why[0] != '\0') {
    free(*out);
    *out = NULL;
  }
  return err;
}

// a character of these makes a name of data.files a pattern
static const char patterns[] = "*?[";

/** Copy \a text to \a to, characters of patterns with a backslash if \a
 *  escapes. */
static void put(const char *text, bool escapes, FILE *to)
{
  for (const char *p = text; *p != '\0'; p++) {
    if (escapes && strchr("*?[\\", *p) != NULL)
      fputc('\\', to);
    fputc(*p, to);
  }
}

rt_err rt_deck_path_join(const char *folder, rt_key key, char **path)
{
  char *full = NULL;
  size_t n = 0;
  if (folder[0] == '\0' || (*path)[0] == '\0' || (*path)[0] == '/')
    return RT_OK;
  FILE *const to = open_memstream(&full, &n);
  RT_CHECK(to != NULL, RT_ERR_MEM, "no memory for a path");
  const bool files = key == RT_KEY_DATA_FILES;
  const bool pattern = files && strpbrk(*path, patterns) != NULL;
  const bool literal = files && !pattern && strpbrk(folder, patterns) != NULL;
  put(folder, pattern || literal, to);
  put(folder[strlen(folder) - 1] == '/' ? "" : "/", false, to);
  put(*path, literal, to);
  RT_TRY(finish(to, &full));
  free(*path);
  *path = full;
  return RT_OK;
}

rt_err rt_deck_path_folder(const char *path, char **out)
{
  const bool none = strcmp(path, "/dev/stdin") == 0 ||
                    strncmp(path, "/dev/fd/", 8) == 0 ||
                    strncmp(path, "/proc/", 6) == 0;
  const char *const slash = none ? NULL : strrchr(path, '/');
  const size_t n = slash == NULL   ? 0
                   : slash == path ? 1
                                   : (size_t)(slash - path);
  *out = strndup(path, n);
  RT_CHECK(*out != NULL, RT_ERR_MEM, "no memory for a path");
  return RT_OK;
}

/** Without the "./" and "../" that it may begin with. */
static const char *without_dots(const char *path)
{
  for (;;) {
    if (strncmp(path, "./", 2) == 0)
      path += 2;
    else if (strncmp(path, "../", 3) == 0)
      path += 3;
    else
      return path;
  }
}

/** \a path without the "./" and "../" that it may begin with, and without the
 *  backslashes of rt_deck_path_join, which earlier decks lack. */
static const char *plain(const char *path, char out[RT_PATH_MAX])
{
  size_t n = 0;
  const bool escaped = strpbrk(path, patterns) != NULL;
  path = without_dots(path);
  for (const char *p = path; *p != '\0' && n + 1 < RT_PATH_MAX; p++) {
    if (escaped && p[0] == '\\' && p[1] != '\0' &&
        strchr("*?[\\", p[1]) != NULL)
      p++;
    out[n++] = *p;
  }
  out[n] = '\0';
  return out;
}

bool rt_deck_path_same(const char *a, const char *b)
{
  char plain_a[RT_PATH_MAX], plain_b[RT_PATH_MAX];
  a = plain(a, plain_a);
  b = plain(b, plain_b);
  const char *const whole = strlen(a) > strlen(b) ? a : b;
  const char *const end = whole == a ? b : a;
  const size_t skip = strlen(whole) - strlen(end);
  return strcmp(whole + skip, end) == 0 &&
         (skip == 0 ||
          (end[0] != '\0' && end[0] != '/' && whole[skip - 1] == '/'));
}
