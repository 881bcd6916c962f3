/** \file json.c
 *  The only file that includes jansson.  An rt_json is a json_t. */
#include "io/common/json.h"

#include "base/file.h"
#include "io/common/foreign.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static json_t *node(const rt_json *value)
{
  // jansson takes non-const pointers even where it only reads
  return (json_t *)(uintptr_t)value;
}

/** Line and column of byte \a at of \a text. */
static void place_of(const char *text, size_t at, int *line, int *column)
{
  *line = *column = 1;
  for (size_t i = 0; i < at; i++) {
    *column = text[i] == '\n' ? 1 : *column + 1;
    *line += text[i] == '\n';
  }
}

/** Reject deep nesting before jansson sees it: jansson recurses, and its own
 *  limit of 2048 levels costs 2048 stack frames. */
static rt_err check_depth(const char *name, const char *text, size_t n)
{
  bool in_text = false;
  int depth = 0;
  for (size_t i = 0; i < n; i++) {
    const char c = text[i];
    if (in_text && c == '\\')
      i++;
    else if (c == '"')
      in_text = !in_text;
    else if (!in_text && (c == '{' || c == '['))
      depth++;
    else if (!in_text && (c == '}' || c == ']'))
      depth--;
    if (depth > RT_JSON_MAX_DEPTH) {
      int line, column;
      place_of(text, i, &line, &column);
      return RT_FAIL(RT_ERR_DATA, "%s:%d:%d: more than %d levels of nesting",
                     name, line, column, RT_JSON_MAX_DEPTH);
    }
  }
  return RT_OK;
}

rt_err rt_json_parse(const char *name, const char *text, size_t n,
                     rt_json **out)
{
  *out = NULL;
  RT_TRY(check_depth(name, text, n));
  json_error_t e;
  json_t *root =
      json_loadb(text, n, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &e);
  RT_CHECK(root != NULL,
           json_error_code(&e) == json_error_out_of_memory ? RT_ERR_MEM
                                                           : RT_ERR_DATA,
           "%s:%d:%d: %s", name, e.line, e.column, e.text);
  *out = (rt_json *)root;
  return RT_OK;
}

rt_err rt_json_read(const char *path, size_t max_bytes, rt_json **out)
{
  char *text;
  size_t n;
  *out = NULL;
  rt_err err = rt_file_slurp(path, max_bytes, &text, &n);
  if (err == RT_OK) {
    err = rt_json_parse(path, text, n, out);
    free(text);
  }
  if (err == RT_ERR_DATA)
    RT_TRY(rt_foreign_refuse(path)); // gives a more specific message
  RT_TRY(err);
  return RT_OK;
}

void rt_json_free(rt_json **root)
{
  json_decref(node(*root)); // accepts NULL
  *root = NULL;
}

rt_json_kind rt_json_kind_of(const rt_json *value)
{
  static const rt_json_kind kinds[] = {
      [JSON_OBJECT] = RT_JSON_OBJECT, [JSON_ARRAY] = RT_JSON_ARRAY,
      [JSON_STRING] = RT_JSON_TEXT,   [JSON_INTEGER] = RT_JSON_INT,
      [JSON_REAL] = RT_JSON_REAL,     [JSON_TRUE] = RT_JSON_BOOL,
      [JSON_FALSE] = RT_JSON_BOOL,    [JSON_NULL] = RT_JSON_NULL,
  };
  return value == NULL ? RT_JSON_ABSENT : kinds[json_typeof(node(value))];
}

void rt_json_show(const rt_json *value, char *to, size_t n)
{
  RT_ASSERT(n >= 4);
  memset(to, 0, n); // jansson omits parts that do not fit
  if (value == NULL) {
    snprintf(to, n, "absent");
    return;
  }
  const size_t used =
      json_dumpb(node(value), to, n - 1,
                 JSON_ENCODE_ANY | JSON_COMPACT | JSON_ENSURE_ASCII);
  if (used >= n) {
    const size_t kept = strlen(to);
    strcpy(to + (kept < n - 4 ? kept : n - 4), "...");
  }
}

const rt_json *rt_json_get(const rt_json *object, const char *key)
{
  return (const rt_json *)json_object_get(node(object), key);
}

size_t rt_json_n(const rt_json *value)
{
  return json_is_object(node(value)) ? json_object_size(node(value))
                                     : json_array_size(node(value));
}

const rt_json *rt_json_at(const rt_json *array, size_t i)
{
  return (const rt_json *)json_array_get(node(array), i);
}

bool rt_json_next(const rt_json *object, rt_json_member *member)
{
  json_t *o = node(object);
  member->place = member->place == NULL
                      ? json_object_iter(o)
                      : json_object_iter_next(o, member->place);
  if (member->place == NULL)
    return false;
  member->key = json_object_iter_key(member->place);
  member->value = (const rt_json *)json_object_iter_value(member->place);
  return true;
}

bool rt_json_bool(const rt_json *value, bool *to)
{
  if (!json_is_boolean(node(value)))
    return false;
  *to = json_is_true(node(value));
  return true;
}

bool rt_json_int(const rt_json *value, int64_t *to)
{
  if (!json_is_integer(node(value)))
    return false;
  *to = json_integer_value(node(value));
  return true;
}

bool rt_json_real(const rt_json *value, double *to)
{
  if (!json_is_number(node(value)))
    return false;
  *to = json_number_value(node(value));
  return true;
}

const char *rt_json_text(const rt_json *value)
{
  return json_string_value(node(value));
}

void rt_json_put_text(FILE *to, const char *text)
{
  fputc('"', to);
  for (const char *c = text; *c != '\0'; c++) {
    if (*c == '"' || *c == '\\')
      fprintf(to, "\\%c", *c);
    else if ((unsigned char)*c < 0x20)
      fprintf(to, "\\u%04x", (unsigned)*c);
    else
      fputc(*c, to);
  }
  fputc('"', to);
}

void rt_json_put_real(FILE *to, double value)
{
  char text[32]; // 17 digits always read back exactly; fewer often do
  for (int digits = 15; digits <= 17; digits++) {
    snprintf(text, sizeof text, "%.*g", digits, value);
    if (strtod(text, NULL) == value)
      break;
  }
  fputs(text, to);
  if (strpbrk(text, ".e") == NULL)
    fputs(".0", to);
}
