/** \file deck_path.c
 *  "~" and "${NAME}" in paths: no shell sees a deck, nor what follows the "="
 * of an override, and a folder named "~" is nobody's wish. */
#include "deck/deck_parts.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_NAME = 128 };

/** What keeps a path from being expanded. */
static rt_err refuse(char why[RT_DECK_ISSUE_BYTES], const char *fmt,
                     const char *name)
{
  snprintf(why, RT_DECK_ISSUE_BYTES, fmt, name);
  return RT_OK;
}

/** The variable at \a *p, which is after "$"; moves behind it. */
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

/** Memory streams fail at their end. */
static rt_err finish(FILE *to, char **out)
{
  if (fclose(to) == 0)
    return RT_OK;
  free(*out);
  *out = NULL;
  return RT_FAIL(RT_ERR_MEM, "no memory for a path");
}

/** "~" at the beginning, after the variables: they may bring it. */
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
