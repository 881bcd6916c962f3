/** \file deck.c
 *  Converts items to a deck: known keys, duplicates, overrides. */
#include "deck/deck_parts.h"

#include "base/file.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_DECK_BYTES = 1 << 20 };

static bool is_empty_scalar(const rt_deck_item *item)
{
  return item->kind == RT_ITEM_SCALAR && item->n == 1 &&
         !item->scalars[0].quoted && item->scalars[0].text[0] == '\0';
}

/** Report a path that is not a key. */
static void refuse_path(const rt_deck_item *item, rt_deck_issues *issues)
{
  char quoted[RT_QUOTE_BYTES], bare[RT_QUOTE_BYTES];
  snprintf(bare, sizeof bare, "%s", rt_deck_quote(quoted, item->path) + 1);
  bare[strlen(bare) - 1] = '\0';
  if (rt_deck_has_section(item->path)) {
    // allowed: all its keys may be commented out
    if (item->kind != RT_ITEM_SECTION && !is_empty_scalar(item))
      rt_deck_issue(issues, item->place,
                    "%s: got a value, expected a section with \"key: value\" "
                    "lines below",
                    bare);
    return;
  }
  const rt_key above = rt_key_above(item->path);
  if (above != RT_N_KEYS) {
    rt_deck_issue(
        issues, item->place,
        "%s: got a section with the key \"%s\", expected a value (%s)",
        rt_key_path(above), bare + strlen(rt_key_path(above)) + 1,
        rt_key_type_name(rt_key_row_of(above)->type));
    return;
  }
  // limits the time for a deck full of unknown keys
  const rt_key near =
      issues->n < RT_DECK_MAX_ISSUES ? rt_key_nearest(item->path) : RT_N_KEYS;
  if (near != RT_N_KEYS)
    rt_deck_issue(issues, item->place,
                  "%s: got an unknown key, did you mean %s?", bare,
                  rt_key_path(near));
  else
    rt_deck_issue(issues, item->place,
                  "%s: got an unknown key, expected one of those that "
                  "`retort --help=keys` lists",
                  bare);
}

/** Report words of a list of keys that are not keys. */
static void refuse_words(rt_key key, const rt_deck_item *item,
                         rt_deck_issues *issues)
{
  for (int i = 0; i < item->n; i++) {
    const char *const word = item->scalars[i].text;
    char quoted[RT_QUOTE_BYTES];
    if (rt_key_find(word) != RT_N_KEYS)
      continue;
    const rt_key near = rt_key_nearest(word);
    rt_deck_issue(issues, item->place, "%s: got %s, expected keys%s%s%s",
                  rt_key_path(key), rt_deck_quote(quoted, word),
                  near != RT_N_KEYS ? "; did you mean " : "",
                  near != RT_N_KEYS ? rt_key_path(near) : "",
                  near != RT_N_KEYS ? "?" : "");
  }
}

/** Paths in a deck are relative to its folder, wherever the program is started.
 */
static rt_err join_paths(const rt_deck *deck, rt_key key, rt_deck_value *value)
{
  if (value->text != NULL) {
    value->written = strdup(value->text);
    RT_CHECK(value->written != NULL, RT_ERR_MEM, "no memory for a path");
    RT_TRY(rt_deck_path_join(deck->folder, key, &value->text));
  }
  for (int i = 0; value->texts != NULL && i < value->n; i++)
    RT_TRY(rt_deck_path_join(deck->folder, key, &value->texts[i]));
  return RT_OK;
}

/** Set the value of \a key, and record its source on success. */
static rt_err set_value(rt_deck *deck, rt_key key, const rt_deck_item *item,
                        rt_source source, rt_deck_issues *issues)
{
  const int n_before = issues->n;
  RT_TRY(rt_deck_value_read(key, item, issues, &deck->values[key]));
  if (key == RT_KEY_CKPT_ALLOW && issues->n == n_before)
    refuse_words(key, item, issues);
  if (issues->n > n_before)
    return RT_OK;
  deck->values[key].source = source;
  return source == RT_FROM_DECK && rt_key_is_path(key)
             ? join_paths(deck, key, &deck->values[key])
             : RT_OK;
}

static rt_err apply_text(rt_deck *deck, const char *text, size_t n,
                         rt_deck_issues *issues)
{
  rt_deck_items items = {0};
  int line_of[RT_N_KEYS] = {0}; // line on which a key was first given
  rt_err err = rt_deck_yaml_read(text, n, issues, &items);
  for (int i = 0; err == RT_OK && i < items.n; i++) {
    const rt_deck_item *item = &items.at[i];
    const rt_key key = rt_key_find(item->path);
    if (key == RT_N_KEYS) {
      refuse_path(item, issues);
    } else if (line_of[key] > 0) {
      rt_deck_issue(issues, item->place,
                    "%s: got a second value, expected one; the first is on "
                    "line %d",
                    item->path, line_of[key]);
    } else {
      line_of[key] = item->place.line;
      if (item->n > 0 || item->kind != RT_ITEM_SCALAR)
        err = set_value(deck, key, item, RT_FROM_DECK, issues);
    }
  }
  rt_deck_items_clear(&items);
  RT_TRY(err);
  return RT_OK;
}

/** Append a copy of the \a n bytes at \a text, with blanks trimmed. */
static rt_err add_scalar(rt_deck_item *item, const char *text, size_t n)
{
  while (n > 0 && *text == ' ') {
    text++;
    n--;
  }
  while (n > 0 && text[n - 1] == ' ')
    n--;
  rt_deck_scalar *more =
      realloc(item->scalars, ((size_t)item->n + 1) * sizeof *item->scalars);
  RT_CHECK(more != NULL, RT_ERR_MEM, "a list of %d values", item->n + 1);
  item->scalars = more;
  char *copy = strndup(text, n);
  RT_CHECK(copy != NULL, RT_ERR_MEM, "a value of %zu bytes", n);
  item->scalars[item->n++] = (rt_deck_scalar){.text = copy};
  return RT_OK;
}

/** Parse "[a, b]" as YAML. */
static rt_err split_flow_list(const char *value, rt_deck_item *item,
                              rt_deck_issues *issues)
{
  char *text = NULL, quoted[RT_QUOTE_BYTES];
  rt_deck_issues *own = calloc(1, sizeof *own);
  rt_deck_items items = {0};
  rt_err err = RT_OK;
  const int n = asprintf(&text, "x: %s", value);
  if (own == NULL || n < 0)
    err = RT_FAIL(RT_ERR_MEM, "%zu bytes for an override", strlen(value));
  else
    err = rt_deck_yaml_read(text, (size_t)n, own, &items);
  if (err == RT_OK && (own->n > 0 || items.n != 1)) {
    rt_deck_issue(issues, item->place,
                  "%s: got %s, expected a list such as [a, b] or a,b",
                  item->path, rt_deck_quote(quoted, value));
  } else if (err == RT_OK) {
    item->n = items.at[0].n;
    item->scalars = items.at[0].scalars;
    items.at[0].n = 0;
    items.at[0].scalars = NULL;
  }
  rt_deck_items_clear(&items);
  free(own);
  if (n >= 0)
    free(text);
  RT_TRY(err);
  return RT_OK;
}

static rt_err split_list(const char *value, rt_deck_item *item,
                         rt_deck_issues *issues)
{
  item->kind = RT_ITEM_LIST;
  if (value[0] == '[') {
    RT_TRY(split_flow_list(value, item, issues));
    for (int i = 0; i < item->n; i++)
      item->scalars[i].place = item->place;
    return RT_OK;
  }
  for (const char *p = value; *p != '\0';) {
    const size_t n = strcspn(p, ",");
    RT_TRY(add_scalar(item, p, n));
    p += n;
    p += *p == ',';
  }
  return RT_OK;
}

/** Set \a key from the command line or from a default. */
static rt_err set_from_words(rt_deck *deck, rt_key key, const char *value,
                             rt_source source, rt_deck_issues *issues)
{
  const rt_key_type type = rt_key_row_of(key)->type;
  const int n_before = issues->n;
  rt_deck_item item = {0};
  item.path = strdup(rt_key_path(key));
  rt_err err = RT_OK;
  if (item.path == NULL)
    err = RT_FAIL(RT_ERR_MEM, "a copy of a key");
  else if (type == RT_KEY_TYPE_TEXTS || type == RT_KEY_TYPE_REALS)
    err = split_list(value, &item, issues);
  else
    err = add_scalar(&item, value, strlen(value));
  if (err == RT_OK && type == RT_KEY_TYPE_TEXT)
    item.scalars[0].quoted = true; // taken literally, including ""
  if (err == RT_OK && issues->n == n_before)
    err = set_value(deck, key, &item, source, issues);
  rt_deck_item_clear(&item);
  RT_TRY(err);
  return RT_OK;
}

static rt_err apply_override(rt_deck *deck, const char *override,
                             rt_deck_issues *issues)
{
  const rt_place here = {0, 0};
  char path[RT_QUOTE_BYTES];
  const size_t n = strcspn(override, "=");
  if (override[n] == '\0' || n == 0 || n >= sizeof path) {
    rt_deck_issue(issues, here, "got %s, expected key.path=value",
                  rt_deck_quote(path, override));
    return RT_OK;
  }
  memcpy(path, override, n);
  path[n] = '\0';
  const rt_key key = rt_key_find(path);
  if (key != RT_N_KEYS)
    return set_from_words(deck, key, override + n + 1, RT_FROM_COMMAND_LINE,
                          issues);
  refuse_path(&(rt_deck_item){.path = path}, issues);
  return RT_OK;
}

static rt_err fill(rt_deck *deck, const char *text, size_t n, int n_overrides,
                   char *const *overrides, rt_deck_issues *issues)
{
  for (int k = 0; k < RT_N_KEYS; k++)
    RT_TRY(set_from_words(deck, (rt_key)k, rt_key_row_of((rt_key)k)->dflt,
                          RT_FROM_DEFAULT, issues));
  RT_CHECK(issues->n == 0, RT_ERR_INTERNAL,
           "invalid default in deck_keys.h: %s", issues->at[0].text);
  if (text != NULL && n > MAX_DECK_BYTES)
    rt_deck_issue(issues, (rt_place){1, 1},
                  "got a deck of %zu bytes, expected at most %d", n,
                  MAX_DECK_BYTES);
  else if (text != NULL)
    RT_TRY(apply_text(deck, text, n, issues));
  for (int i = 0; i < n_overrides; i++)
    RT_TRY(apply_override(deck, overrides[i], issues));
  RT_TRY(rt_deck_issues_report(issues));
  return RT_OK;
}

void rt_deck_destroy(rt_deck **deck)
{
  if (*deck == NULL)
    return;
  for (int k = 0; k < RT_N_KEYS; k++)
    rt_deck_value_clear(&(*deck)->values[k]);
  free((*deck)->name);
  free((*deck)->folder);
  free(*deck);
  *deck = NULL;
}

/** What rt_deck_parse and the like take. */
typedef struct source_text {
  const char *name;
  const char *path; // folder of the file; "": not from a file
  const char *text; // [n], NULL: none
  size_t n;
} source_text;

static rt_err name_deck(rt_deck *deck, const source_text *from)
{
  deck->name = strdup(from->name);
  RT_CHECK(deck->name != NULL, RT_ERR_MEM, "no memory for a deck");
  return rt_deck_path_folder(from->path, &deck->folder);
}

static rt_err parse(const source_text *from, int n_overrides,
                    char *const *overrides, rt_deck **out)
{
  *out = NULL;
  rt_deck *deck = calloc(1, sizeof *deck);
  rt_deck_issues *issues = calloc(1, sizeof *issues);
  rt_err err = RT_OK;
  if (deck == NULL || issues == NULL)
    err = RT_FAIL(RT_ERR_MEM, "no memory for the deck %s", from->name);
  else
    err = name_deck(deck, from);
  if (err == RT_OK) {
    RT_ASSERT(issues != NULL);
    issues->name = from->name;
    err = fill(deck, from->text, from->n, n_overrides, overrides, issues);
  }
  free(issues);
  if (err != RT_OK) {
    rt_deck_destroy(&deck);
    return rt_err_forward(err, __FILE__, __LINE__);
  }
  *out = deck;
  return RT_OK;
}

rt_err rt_deck_parse(const char *name, const char *text, int n_overrides,
                     char *const *overrides, rt_deck **out)
{
  const source_text from = {name, "", text, strlen(text)};
  return parse(&from, n_overrides, overrides, out);
}

/** Is \a text YAML of the form of a deck, whatever its keys? */
static rt_err is_readable(const char *text, bool *readable)
{
  rt_deck_items items = {0};
  rt_deck_issues *const issues = calloc(1, sizeof *issues);
  RT_CHECK(issues != NULL, RT_ERR_MEM, "no memory to read a deck");
  const rt_err err = rt_deck_yaml_read(text, strlen(text), issues, &items);
  *readable = issues->n == 0;
  rt_deck_items_clear(&items);
  free(issues);
  return err;
}

rt_err rt_deck_parse_back(const char *name, const char *text, rt_deck **out)
{
  bool readable = true;
  rt_err err = rt_deck_parse(name, text, 0, NULL, out);
  if (err == RT_ERR_CONFIG)
    RT_TRY(is_readable(text, &readable));
  if (!readable)
    err = RT_FAIL(RT_ERR_DATA, "%s", rt_err_text());
  return err;
}

rt_err rt_deck_parse_file(const char *path, const char *text, int n_overrides,
                          char *const *overrides, rt_deck **out)
{
  const source_text from = {path, path, text, strlen(text)};
  return parse(&from, n_overrides, overrides, out);
}

rt_err rt_deck_read(const char *path, int n_overrides, char *const *overrides,
                    rt_deck **out)
{
  *out = NULL;
  if (path == NULL)
    return parse(&(source_text){"defaults", "", NULL, 0}, n_overrides,
                 overrides, out);
  char *text;
  size_t n;
  rt_err err = rt_file_slurp_pipe(path, MAX_DECK_BYTES, &text, &n);
  if (err == RT_ERR_DATA)
    return RT_FAIL(RT_ERR_CONFIG,
                   "%s:1:1: got more than %d bytes, expected a deck", path,
                   MAX_DECK_BYTES);
  RT_TRY(err);
  err = parse(&(source_text){path, path, text, n}, n_overrides, overrides, out);
  free(text);
  RT_TRY(err);
  return RT_OK;
}
