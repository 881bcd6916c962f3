/** \file deck_value.c
 *  Converts words of a deck to typed values.
 *
 *  Numbers are plain decimals with an optional exponent: no hexadecimal, no
 *  1_000, no infinity, no leading zeros (YAML 1.1 would read 010 as 8). */
#include "deck/deck_parts.h"

#include "base/clock.h"
#include "base/nearest.h"
#include <ctype.h>
#include <errno.h>
#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/** The value of a scalar. */
typedef struct scalar_value {
  int64_t whole;
  double real;
  const char *text; // borrowed
} scalar_value;

void rt_deck_real_text(double x, char out[32])
{
  // printf's decimal point depends on the locale, YAML's does not
  const locale_t plain = newlocale(LC_ALL_MASK, "C", (locale_t)0);
  const locale_t before = uselocale(plain);
  for (int digits = 15; digits <= 17; digits++) {
    snprintf(out, 32, "%.*g", digits, x);
    if (strtod(out, NULL) == x)
      break;
  }
  uselocale(before);
  freelocale(plain);
}

/** Is \a text a well-formed decimal number? */
static bool number_is_well_formed(const char *text, bool *whole)
{
  const char *p = text;
  p += *p == '+' || *p == '-';
  const size_t before = strspn(p, "0123456789");
  if (before > 1 && p[0] == '0')
    return false;
  p += before;
  size_t after = 0;
  *whole = *p != '.';
  if (*p == '.') {
    after = strspn(++p, "0123456789");
    p += after;
  }
  if (before + after == 0)
    return false;
  if (*p == 'e' || *p == 'E') {
    *whole = false;
    p++;
    p += *p == '+' || *p == '-';
    const size_t digits = strspn(p, "0123456789");
    if (digits == 0)
      return false;
    p += digits;
  }
  return *p == '\0';
}

/** Parse a decimal number that is the whole of \a text, independent of the
 *  locale. */
static bool parse_number(const char *text, double *x)
{
  bool whole;
  if (!number_is_well_formed(text, &whole))
    return false;
  // the user's locale may use a comma; requesting the "C" locale allocates
  // nothing
  *x = strtod_l(text, NULL, newlocale(LC_ALL_MASK, "C", (locale_t)0));
  return isfinite(*x);
}

/** Parse an integer; 3e6 counts as one. */
static bool parse_whole(const char *text, int64_t *x)
{
  bool digits_only;
  if (!number_is_well_formed(text, &digits_only))
    return false;
  if (digits_only) {
    errno = 0;
    *x = strtoll(text, NULL, 10);
    return errno == 0;
  }
  double real;
  if (!parse_number(text, &real) || fabs(real) > 0x1p53 || real != floor(real))
    return false;
  *x = (int64_t)real;
  return true;
}

static bool parse_bool(const char *text, int64_t *x)
{
  static const char *const words[][3] = {{"false", "False", "FALSE"},
                                         {"true", "True", "TRUE"},
                                         {"no", "No", "NO"},
                                         {"yes", "Yes", "YES"}};
  for (int i = 0; i < 4; i++) {
    for (int j = 0; j < 3; j++) {
      if (strcmp(text, words[i][j]) == 0) {
        *x = i & 1;
        return true;
      }
    }
  }
  return false;
}

bool rt_deck_length_split(const char *text, double *amount,
                          rt_length_unit *unit)
{
  static const struct {
    const char *word;
    rt_length_unit unit;
    double of_it; // value of the unit
  } units[] = {{"", RT_LENGTH_STEPS, 1},        {"step", RT_LENGTH_STEPS, 1},
               {"steps", RT_LENGTH_STEPS, 1},   {"token", RT_LENGTH_TOKENS, 1},
               {"tokens", RT_LENGTH_TOKENS, 1}, {"%", RT_LENGTH_PERCENT, 1},
               {"s", RT_LENGTH_TIME, 1},        {"min", RT_LENGTH_TIME, 60},
               {"h", RT_LENGTH_TIME, 3600},     {"d", RT_LENGTH_TIME, 86400}};
  char number[32];
  *unit = RT_LENGTH_TIME;
  if (rt_clock_parse(text, amount))
    return true;
  const size_t n = strspn(text, "0123456789.eE+-");
  if (n == 0 || n >= sizeof number)
    return false;
  memcpy(number, text, n);
  number[n] = '\0';
  const char *word = text + n + strspn(text + n, " ");
  if (!parse_number(number, amount))
    return false;
  for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
    if (strcmp(word, units[i].word) == 0) {
      *unit = units[i].unit;
      *amount *= units[i].of_it;
      return true;
    }
  }
  return false;
}

/** Is \a word (\a n bytes) in a list of words separated by blanks? */
static bool has_word(const char *words, const char *word, size_t n)
{
  for (const char *p = words; (p += strspn(p, " "), *p != '\0');) {
    const size_t length = strcspn(p, " ");
    if (length == n && memcmp(p, word, n) == 0)
      return true;
    p += length;
  }
  return false;
}

static bool length_is_valid(const rt_key_row *row, const char *text)
{
  static const char *const names[] = {"steps", "tokens", "%", "time"};
  rt_length_unit unit;
  double amount;
  if (!rt_deck_length_split(text, &amount, &unit) || amount < 0.0)
    return false;
  if (unit == RT_LENGTH_PERCENT && amount > 100.0)
    return false;
  if ((unit == RT_LENGTH_STEPS || unit == RT_LENGTH_TOKENS) &&
      (amount > 0x1p53 || amount != floor(amount)))
    return false;
  return row->choices[0] == '\0'
             ? unit != RT_LENGTH_TIME
             : has_word(row->choices, names[unit], strlen(names[unit]));
}

/** Is the text valid UTF-8 without control characters, as it goes to files and
 *  messages? */
static bool text_is_clean(const char *text)
{
  const unsigned char *p = (const unsigned char *)text;
  while (*p != '\0') {
    const int more = *p < 0x80                 ? 0
                     : *p >= 0xc2 && *p < 0xe0 ? 1
                     : (*p & 0xf0) == 0xe0     ? 2
                     : *p >= 0xf0 && *p < 0xf5 ? 3
                                               : -1;
    if (more < 0 || *p < 0x20 || *p == 0x7f)
      return false;
    // overlong forms, surrogates and numbers past U+10FFFF
    if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
        (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
      return false;
    p++;
    for (int i = 0; i < more; i++, p++) {
      if ((*p & 0xc0) != 0x80)
        return false;
    }
  }
  return true;
}

static bool takes_time(const rt_key_row *row)
{
  return row->type == RT_KEY_TYPE_REAL && strcmp(row->unit, "s") == 0;
}

/** Parse a number, or a time if the unit is seconds. */
static bool parse_real(const rt_key_row *row, const rt_deck_scalar *s,
                       double *x)
{
  rt_length_unit unit;
  if (parse_number(s->text, x))
    return !s->quoted;
  return takes_time(row) && rt_deck_length_split(s->text, x, &unit) &&
         unit == RT_LENGTH_TIME && isfinite(*x);
}

/** Describe the expected form of a value of this key. */
static void describe(const rt_key_row *row, char *out, size_t n)
{
  switch (row->type) {
  case RT_KEY_TYPE_INT:
    snprintf(out, n, "a whole number");
    break;
  case RT_KEY_TYPE_REAL:
  case RT_KEY_TYPE_REALS:
    snprintf(out, n, "a number%s",
             takes_time(row) ? ", or a time such as \"30 min\" or 04:00:00"
                             : "");
    break;
  case RT_KEY_TYPE_BOOL:
    snprintf(out, n, "true or false");
    break;
  case RT_KEY_TYPE_CHOICE:
    snprintf(out, n, "one of: %s", row->choices);
    break;
  case RT_KEY_TYPE_LENGTH:
    snprintf(out, n, "a length such as \"200 steps\" or \"3e6 tokens\"%s%s",
             row->choices[0] == '\0' || has_word(row->choices, "%", 1)
                 ? " or \"10 %\" of the run"
                 : "",
             has_word(row->choices, "time", 4) ? " or \"30 min\"" : "");
    break;
  case RT_KEY_TYPE_TEXT:
  case RT_KEY_TYPE_TEXTS:
    snprintf(out, n, "a text of UTF-8 without control characters");
    break;
  }
}

/** Words that users know from other programs and that are not valid here. */
static const struct {
  const char *path, *word, *hint;
} not_yet[] = {
    {"run.device", "cuda", "; GPUs are not computed on yet, take cpu"},
    {"run.device", "gpu", "; GPUs are not computed on yet, take cpu"},
    {"run.device", "hip", "; GPUs are not computed on yet, take cpu"},
    {"run.dtype", "fp16", "; fp16 is not there yet, take fp32"},
    {"run.dtype", "f16", "; fp16 is not there yet, take fp32"},
};

/** Other words for a choice. */
static const struct {
  const char *word, *choice;
} synonyms[] = {{"f32", "fp32"}, {"f64", "fp64"}, {"bfloat16", "bf16"}};

/** The choice that a word means, in the words of its key; NULL if none. */
static const char *choice_of(const rt_key_row *row, const char *word)
{
  if (has_word(row->choices, word, strlen(word)))
    return word;
  for (size_t i = 0; i < sizeof synonyms / sizeof synonyms[0]; i++)
    if (strcmp(word, synonyms[i].word) == 0 &&
        has_word(row->choices, synonyms[i].choice, strlen(synonyms[i].choice)))
      return synonyms[i].choice;
  return NULL;
}

/** Explain why a plausible value was rejected, if it can be guessed. */
static void add_hint(const rt_key_row *row, const rt_deck_scalar *s, char *out,
                     size_t n)
{
  const rt_key_type type = row->type;
  const bool number = type == RT_KEY_TYPE_INT || type == RT_KEY_TYPE_REAL ||
                      type == RT_KEY_TYPE_REALS;
  out[0] = '\0';
  if ((number || type == RT_KEY_TYPE_BOOL) && s->quoted)
    snprintf(out, n, "; remove the quotes");
  else if (number && strchr(s->text, '_') != NULL)
    snprintf(out, n, "; write it without \"_\"");
  else if (number && strchr(s->text, ',') != NULL)
    snprintf(out, n, "; the decimal point is \".\"");
  else if (s->text[0] == '\0' && !s->quoted && type == RT_KEY_TYPE_TEXT)
    snprintf(out, n, "; write \"\" for none");
  if (type != RT_KEY_TYPE_CHOICE)
    return;
  for (size_t i = 0; i < sizeof not_yet / sizeof not_yet[0]; i++)
    if (strcmp(row->path, not_yet[i].path) == 0 &&
        strncmp(s->text, not_yet[i].word, strlen(not_yet[i].word)) == 0) {
      snprintf(out, n, "%s", not_yet[i].hint);
      return;
    }
  int best = rt_nearest_limit(s->text) + 1;
  for (const char *p = row->choices; (p += strspn(p, " "), *p != '\0');) {
    char word[64];
    const size_t length = strcspn(p, " ");
    snprintf(word, sizeof word, "%.*s", (int)length, p);
    const int distance = rt_nearest_distance(s->text, word);
    if (distance < best) {
      best = distance;
      snprintf(out, n, "; did you mean %s?", word);
    }
    p += length;
  }
}

/** Is it "~", "null" or empty, YAML's ways to express "no value"? */
static bool is_null(const rt_deck_scalar *s)
{
  return !s->quoted && (s->text[0] == '\0' || strcmp(s->text, "~") == 0 ||
                        strcasecmp(s->text, "null") == 0);
}

static bool parse_scalar(const rt_key_row *row, const rt_deck_scalar *s,
                         scalar_value *out)
{
  *out = (scalar_value){.text = s->text};
  if (is_null(s))
    return false;
  switch (row->type) {
  case RT_KEY_TYPE_INT:
    return !s->quoted && parse_whole(s->text, &out->whole);
  case RT_KEY_TYPE_REAL:
  case RT_KEY_TYPE_REALS:
    return parse_real(row, s, &out->real);
  case RT_KEY_TYPE_BOOL:
    return !s->quoted && parse_bool(s->text, &out->whole);
  case RT_KEY_TYPE_CHOICE:
    return (out->text = choice_of(row, s->text)) != NULL;
  case RT_KEY_TYPE_LENGTH:
    return length_is_valid(row, s->text);
  case RT_KEY_TYPE_TEXT:
  case RT_KEY_TYPE_TEXTS:
    return text_is_clean(s->text);
  }
  return false;
}

static bool is_in_range(const rt_key_row *row, const scalar_value *v)
{
  if (row->low > row->high)
    return true;
  if (row->type == RT_KEY_TYPE_INT)
    return v->whole >= row->low_int && v->whole <= row->high_int;
  return v->real >= row->low && v->real <= row->high;
}

/** Read one scalar; errors become issues. */
static bool read_scalar(rt_key key, const rt_deck_scalar *s,
                        rt_deck_issues *issues, scalar_value *out)
{
  const rt_key_row *row = rt_key_row_of(key);
  const bool parsed = parse_scalar(row, s, out);
  if (parsed && is_in_range(row, out))
    return true;
  char got[RT_QUOTE_BYTES], expected[128], range[96], hint[96] = "";
  describe(row, expected, sizeof expected);
  range[0] = '\0';
  if (row->type != RT_KEY_TYPE_TEXT && row->type != RT_KEY_TYPE_TEXTS)
    rt_key_range(key, range, sizeof range);
  if (!parsed)
    add_hint(row, s, hint, sizeof hint);
  rt_deck_issue(issues, s->place, "%s: got %s, expected %s%s%s%s%s", row->path,
                s->text[0] == '\0' && !s->quoted ? "nothing"
                                                 : rt_deck_quote(got, s->text),
                expected, range[0] != '\0' ? " (" : "", range,
                range[0] != '\0' ? ")" : "", hint);
  return false;
}

/** Copy a text, expanding a path; errors become issues. */
static rt_err copy_text(rt_key key, const char *text, rt_place place,
                        rt_deck_issues *issues, char **out)
{
  char why[RT_DECK_ISSUE_BYTES], got[RT_QUOTE_BYTES];
  const rt_key_row *row = rt_key_row_of(key);
  if (!rt_key_is_path(key)) {
    *out = strdup(text);
    RT_CHECK(*out != NULL, RT_ERR_MEM, "a text of %zu bytes", strlen(text));
    return RT_OK;
  }
  RT_TRY(rt_deck_path_expand(text, out, why));
  if (*out == NULL)
    rt_deck_issue(issues, place, "%s: got %s, %s", row->path,
                  rt_deck_quote(got, text), why);
  else if (!text_is_clean(*out))
    rt_deck_issue(issues, place,
                  "%s: got %s, expected variables of UTF-8 without control "
                  "characters",
                  row->path, rt_deck_quote(got, text));
  return RT_OK;
}

static bool is_list(rt_key key)
{
  const rt_key_type type = rt_key_row_of(key)->type;
  return type == RT_KEY_TYPE_TEXTS || type == RT_KEY_TYPE_REALS;
}

static rt_err fill_list(rt_key key, const rt_deck_item *item,
                        rt_deck_issues *issues, rt_deck_value *value)
{
  const size_t n = (size_t)(item->n > 0 ? item->n : 1);
  if (rt_key_row_of(key)->type == RT_KEY_TYPE_TEXTS)
    value->texts = calloc(n, sizeof *value->texts);
  else
    value->reals = calloc(n, sizeof *value->reals);
  RT_CHECK(value->texts != NULL || value->reals != NULL, RT_ERR_MEM,
           "a list of %d values", item->n);
  for (int i = 0; i < item->n; i++) {
    scalar_value v;
    if (!read_scalar(key, &item->scalars[i], issues, &v))
      continue; // the other values may be wrong as well
    if (value->reals != NULL) {
      value->reals[value->n++] = v.real;
    } else {
      RT_TRY(copy_text(key, item->scalars[i].text, item->scalars[i].place,
                       issues, &value->texts[value->n]));
      value->n += value->texts[value->n] != NULL;
    }
  }
  return RT_OK;
}

static rt_err fill_single(rt_key key, const rt_deck_item *item,
                          rt_deck_issues *issues, rt_deck_value *value)
{
  const rt_key_row *row = rt_key_row_of(key);
  scalar_value v;
  if (!read_scalar(key, &item->scalars[0], issues, &v))
    return RT_OK;
  value->whole = v.whole;
  value->real = v.real;
  if (row->type == RT_KEY_TYPE_TEXT || row->type == RT_KEY_TYPE_CHOICE ||
      row->type == RT_KEY_TYPE_LENGTH)
    return copy_text(key, v.text, item->scalars[0].place, issues, &value->text);
  return RT_OK;
}

rt_err rt_deck_value_read(rt_key key, const rt_deck_item *item,
                          rt_deck_issues *issues, rt_deck_value *value)
{
  const rt_key_row *row = rt_key_row_of(key);
  const int n_before = issues->n;
  if (item->kind == RT_ITEM_SECTION ||
      (item->kind == RT_ITEM_LIST && !is_list(key))) {
    char expected[128];
    describe(row, expected, sizeof expected);
    rt_deck_issue(issues, item->place, "%s: got %s, expected %s", row->path,
                  item->kind == RT_ITEM_LIST ? "a list" : "a section",
                  is_list(key) ? "a list such as [a, b]" : expected);
    return RT_OK;
  }
  rt_deck_value fresh = {.source = value->source, .line = item->place.line};
  // a list of one may be written without brackets
  rt_err err = is_list(key) ? fill_list(key, item, issues, &fresh)
                            : fill_single(key, item, issues, &fresh);
  if (err != RT_OK || issues->n > n_before) {
    rt_deck_value_clear(&fresh);
    RT_TRY(err);
    return RT_OK;
  }
  rt_deck_value_clear(value);
  *value = fresh;
  return RT_OK;
}

void rt_deck_value_clear(rt_deck_value *value)
{
  for (int i = 0; value->texts != NULL && i < value->n; i++)
    free(value->texts[i]);
  free(value->texts);
  free(value->reals);
  free(value->text);
  free(value->written);
  *value = (rt_deck_value){0};
}

void rt_key_range(rt_key key, char *out, size_t n)
{
  const rt_key_row *row = rt_key_row_of(key);
  char low[32], high[32];
  out[0] = '\0';
  if (row->low > row->high) {
    if (row->unit[0] != '\0')
      snprintf(out, n, "%s", row->unit);
    return;
  }
  if (row->type == RT_KEY_TYPE_INT) {
    snprintf(low, sizeof low, "%lld", (long long)row->low_int);
    snprintf(high, sizeof high, "%lld", (long long)row->high_int);
  } else {
    rt_deck_real_text(row->low, low);
    rt_deck_real_text(row->high, high);
  }
  snprintf(out, n, "range %s to %s%s%s", low, high,
           row->unit[0] != '\0' ? " " : "", row->unit);
}
