/** \file deck_table.c */
#include "deck/deck_table.h"

#include "base/nearest.h"

#include <string.h>

#define KEY_ROW(id, path_, type_, dflt_, lo, hi, choices_, unit_, restart_,    \
                help_)                                                         \
  [RT_KEY_##id] = {.path = (path_),                                            \
                   .type = RT_KEY_TYPE_##type_,                                \
                   .dflt = (dflt_),                                            \
                   .low = (double)(lo),                                        \
                   .high = (double)(hi),                                       \
                   .low_int = (int64_t)(lo),                                   \
                   .high_int = (int64_t)(hi),                                  \
                   .choices = (choices_),                                      \
                   .unit = (unit_),                                            \
                   .restart = RT_KEY_##restart_,                               \
                   .help = (help_)},
static const rt_key_row key_rows[RT_N_KEYS] = {RT_DECK_KEYS(KEY_ROW)};

#define SECTION_ROW(name, help) {(name), (help)},
static const struct {
  const char *name, *help;
} sections[] = {RT_DECK_SECTIONS(SECTION_ROW)};
enum { N_SECTIONS = sizeof sections / sizeof sections[0] };

const rt_key_row *rt_key_row_of(rt_key key)
{
  RT_ASSERT((int)key >= 0 && key < RT_N_KEYS);
  return &key_rows[key];
}

const char *rt_key_path(rt_key key)
{
  return rt_key_row_of(key)->path;
}

bool rt_key_is_path(rt_key key)
{
  return strcmp(rt_key_row_of(key)->unit, "path") == 0;
}

const char *rt_deck_section(int i, const char **help)
{
  if (i >= N_SECTIONS)
    return NULL;
  if (help != NULL)
    *help = sections[i].help;
  return sections[i].name;
}

rt_key rt_key_find(const char *path)
{
  int k = 0;
  if (strcmp(path, "run.real") == 0) // its name in checkpoints before 0.1.0
    return RT_KEY_RUN_DTYPE;
  while (k < RT_N_KEYS && strcmp(key_rows[k].path, path) != 0)
    k++;
  return (rt_key)k;
}

/** The part "lr" of "train.lr". */
static const char *leaf_of(const char *path)
{
  const char *dot = strrchr(path, '.');
  return dot != NULL ? dot + 1 : path;
}

rt_key rt_key_nearest(const char *path)
{
  const char *leaf = leaf_of(path);
  int best = rt_nearest_limit(path) + 1;
  rt_key key = RT_N_KEYS;
  for (int k = 0; k < RT_N_KEYS; k++) {
    const char *leaf_k = leaf_of(key_rows[k].path);
    int distance = rt_nearest_distance(path, key_rows[k].path);
    const int by_leaf = rt_nearest_distance(leaf, leaf_k);
    if (by_leaf <= rt_nearest_limit(leaf) && by_leaf + 1 < distance)
      distance = by_leaf + 1;
    if (distance < best) {
      best = distance;
      key = (rt_key)k;
    }
  }
  return key;
}

bool rt_deck_has_section(const char *name)
{
  for (int i = 0; i < N_SECTIONS; i++) {
    if (strcmp(sections[i].name, name) == 0)
      return true;
  }
  return false;
}

rt_key rt_key_above(const char *path)
{
  for (int k = 0; k < RT_N_KEYS; k++) {
    const size_t n = strlen(key_rows[k].path);
    if (strncmp(path, key_rows[k].path, n) == 0 && path[n] == '.')
      return (rt_key)k;
  }
  return RT_N_KEYS;
}

const char *rt_key_type_name(rt_key_type type)
{
  static const char *const names[] = {
      [RT_KEY_TYPE_INT] = "integer",     [RT_KEY_TYPE_REAL] = "number",
      [RT_KEY_TYPE_BOOL] = "true/false", [RT_KEY_TYPE_TEXT] = "text",
      [RT_KEY_TYPE_CHOICE] = "choice",   [RT_KEY_TYPE_LENGTH] = "length",
      [RT_KEY_TYPE_TEXTS] = "texts",     [RT_KEY_TYPE_REALS] = "numbers"};
  return names[type];
}
