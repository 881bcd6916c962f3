/** \file pattern.c */
#include "io/corpus/pattern.h"

#include "base/file.h"
#include "base/text.h"

#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static rt_err append(rt_names *list, const char *name)
{
  char **more = realloc(list->at, ((size_t)list->n + 1) * sizeof *more);
  if (more != NULL)
    list->at = more;
  char *const copy = more != NULL ? strdup(name) : NULL;
  RT_CHECK(copy != NULL, RT_ERR_MEM, "%d names of corpora", list->n + 1);
  list->at[list->n++] = copy;
  return RT_OK;
}

/** Is there such a file, or a Megatron pair with this prefix? */
static bool exists(const char *name)
{
  char bin[RT_PATH_MAX];
  const int n = snprintf(bin, sizeof bin, "%s.bin", name);
  return rt_path_exists(name) || (n < RT_PATH_MAX && rt_path_exists(bin));
}

/** Copy \a name without the backslashes that escape characters.  True if no
 *  character of a pattern stands without one. */
static bool unescape(const char *name, char plain[RT_PATH_MAX])
{
  size_t n = 0;
  bool literal = true;
  for (const char *p = name; *p != '\0' && n + 1 < RT_PATH_MAX; p++) {
    literal = literal && strchr("*?[", *p) == NULL;
    if (p[0] == '\\' && p[1] != '\0')
      p++;
    plain[n++] = *p;
  }
  plain[n] = '\0';
  return literal;
}

/** The name of one file that \a name stands for: \a name itself, or \a plain;
 *  NULL if it is a pattern.  An existing file with the exact name takes
 *  precedence. */
static const char *one_file(const char *name, char plain[RT_PATH_MAX])
{
  if (strpbrk(name, "*?[") == NULL || exists(name))
    return name;
  return unescape(name, plain) || exists(plain) ? plain : NULL;
}

/** Is it the index of a Megatron pair whose .bin is also listed? */
static bool is_index(const char *name, char *const *names, size_t n)
{
  char bin[RT_PATH_MAX];
  const size_t length = strlen(name);
  if (length < 4 || length >= RT_PATH_MAX ||
      strcmp(name + length - 4, ".idx") != 0)
    return false;
  snprintf(bin, sizeof bin, "%.*s.bin", (int)length - 4, name);
  for (size_t i = 0; i < n; i++)
    if (strcmp(names[i], bin) == 0)
      return true;
  return false;
}

static rt_err append_all(rt_names *list, const char *pattern, const glob_t *g)
{
  const int before = list->n;
  for (size_t i = 0; i < g->gl_pathc; i++)
    if (!rt_folder_exists(g->gl_pathv[i]) &&
        !is_index(g->gl_pathv[i], g->gl_pathv, g->gl_pathc))
      RT_TRY(append(list, g->gl_pathv[i]));
  RT_CHECK(list->n > before, RT_ERR_NOINPUT, "no file matches %s", pattern);
  qsort(list->at + before, (size_t)(list->n - before), sizeof *list->at,
        rt_text_compare); // independent of the locale
  return RT_OK;
}

rt_err rt_names_add(rt_names *list, const char *name)
{
  glob_t g = {0};
  char plain[RT_PATH_MAX];
  const char *const one = one_file(name, plain);
  if (one != NULL)
    return append(list, one);
  const int failed = glob(name, GLOB_NOSORT, NULL, &g);
  const rt_err err = failed == GLOB_NOSPACE
                         ? RT_FAIL(RT_ERR_MEM, "the files of %s", name)
                         : append_all(list, name, &g);
  globfree(&g);
  RT_TRY(err);
  return RT_OK;
}

void rt_names_clear(rt_names *list)
{
  for (int i = 0; i < list->n; i++)
    free(list->at[i]);
  free(list->at);
  *list = (rt_names){0};
}
