/** \file deck_get.c
 *  Values of a deck, and what differs between two. */
#include "deck/deck_parts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/** Keys that may change over a restart: where and how often, not what.  A name
 *  that ends in "." stands for a whole section. */
static const char *const free_keys[] = {
    "run.",        "output.",    "eval.",     "capture.",
    "checkpoint.", "student.tp", "teacher.tp"};
/** Keys of those sections that do change the numbers. */
static const char *const bound_keys[] = {"run.seed", "run.real"};

/** The value of \a key, which must have this type or the other. */
static const rt_deck_value *value_of(const rt_deck *deck, rt_key key,
                                     rt_key_type type, rt_key_type other)
{
  RT_ASSERT(rt_key_row_of(key)->type == type ||
            rt_key_row_of(key)->type == other);
  (void)type, (void)other;
  return &deck->values[key];
}

int64_t rt_deck_int(const rt_deck *deck, rt_key key)
{
  return value_of(deck, key, RT_KEY_TYPE_INT, RT_KEY_TYPE_INT)->whole;
}

double rt_deck_real(const rt_deck *deck, rt_key key)
{
  return value_of(deck, key, RT_KEY_TYPE_REAL, RT_KEY_TYPE_REAL)->real;
}

bool rt_deck_bool(const rt_deck *deck, rt_key key)
{
  return value_of(deck, key, RT_KEY_TYPE_BOOL, RT_KEY_TYPE_BOOL)->whole != 0;
}

const char *rt_deck_text(const rt_deck *deck, rt_key key)
{
  return value_of(deck, key, RT_KEY_TYPE_TEXT, RT_KEY_TYPE_CHOICE)->text;
}

bool rt_deck_is(const rt_deck *deck, rt_key key, const char *word)
{
  RT_ASSERT(strstr(rt_key_row_of(key)->choices, word) != NULL);
  return strcmp(
             value_of(deck, key, RT_KEY_TYPE_CHOICE, RT_KEY_TYPE_CHOICE)->text,
             word) == 0;
}

int rt_deck_n(const rt_deck *deck, rt_key key)
{
  return value_of(deck, key, RT_KEY_TYPE_TEXTS, RT_KEY_TYPE_REALS)->n;
}

const char *rt_deck_text_at(const rt_deck *deck, rt_key key, int i)
{
  RT_ASSERT(i >= 0 && i < rt_deck_n(deck, key));
  return value_of(deck, key, RT_KEY_TYPE_TEXTS, RT_KEY_TYPE_TEXTS)->texts[i];
}

double rt_deck_real_at(const rt_deck *deck, rt_key key, int i)
{
  RT_ASSERT(i >= 0 && i < rt_deck_n(deck, key));
  return value_of(deck, key, RT_KEY_TYPE_REALS, RT_KEY_TYPE_REALS)->reals[i];
}

int64_t rt_deck_steps(const rt_deck *deck, rt_key key, int64_t tokens_per_step,
                      int64_t run_steps)
{
  const rt_deck_value *v =
      value_of(deck, key, RT_KEY_TYPE_LENGTH, RT_KEY_TYPE_LENGTH);
  double amount = 0.0;
  rt_length_unit unit = RT_LENGTH_STEPS;
  const bool valid = rt_deck_length_split(v->text, &amount, &unit);
  RT_ASSERT(valid); // checked when the deck was read
  (void)valid;
  if (unit == RT_LENGTH_PERCENT) {
    const int64_t n = (int64_t)llround(amount / 100.0 * (double)run_steps);
    return n == 0 && amount > 0.0 && run_steps > 0 ? 1 : n;
  }
  if (unit == RT_LENGTH_STEPS)
    return (int64_t)amount;
  RT_ASSERT(tokens_per_step > 0);
  const int64_t tokens = (int64_t)amount;
  return tokens / tokens_per_step + (tokens % tokens_per_step > 0);
}

rt_source rt_deck_source(const rt_deck *deck, rt_key key)
{
  RT_ASSERT((int)key >= 0 && key < RT_N_KEYS);
  return deck->values[key].source;
}

void rt_deck_destroy(rt_deck **deck)
{
  if (*deck == NULL)
    return;
  for (int k = 0; k < RT_N_KEYS; k++)
    rt_deck_value_clear(&(*deck)->values[k]);
  free((*deck)->name);
  free(*deck);
  *deck = NULL;
}

static bool is_free(const char *path)
{
  for (size_t i = 0; i < sizeof bound_keys / sizeof bound_keys[0]; i++) {
    if (strcmp(path, bound_keys[i]) == 0)
      return false;
  }
  for (size_t i = 0; i < sizeof free_keys / sizeof free_keys[0]; i++) {
    const size_t n = strlen(free_keys[i]);
    const bool section = free_keys[i][n - 1] == '.';
    if (strncmp(path, free_keys[i], n) == 0 && (section || path[n] == '\0'))
      return true;
  }
  return false;
}

static bool equal(const rt_deck_value *a, const rt_deck_value *b)
{
  bool same = a->whole == b->whole && a->real == b->real && a->n == b->n;
  same = same && (a->text == NULL || strcmp(a->text, b->text) == 0);
  for (int i = 0; same && i < a->n; i++)
    same = a->texts != NULL ? strcmp(a->texts[i], b->texts[i]) == 0
                            : a->reals[i] == b->reals[i];
  return same;
}

bool rt_deck_is_set(const rt_deck *deck, rt_key key)
{
  rt_deck *plain = NULL;
  if (rt_deck_source(deck, key) == RT_FROM_DEFAULT)
    return false;
  const bool set = rt_deck_parse("defaults", "", 0, NULL, &plain) != RT_OK ||
                   !equal(&deck->values[key], &plain->values[key]);
  rt_deck_destroy(&plain);
  return set;
}

/** "5" and "5 steps" are one length. */
static bool same_length(const rt_deck_value *a, const rt_deck_value *b)
{
  double x, y;
  rt_length_unit x_unit, y_unit;
  return rt_deck_length_split(a->text, &x, &x_unit) &&
         rt_deck_length_split(b->text, &y, &y_unit) && x == y &&
         x_unit == y_unit;
}

rt_err rt_deck_diff(const rt_deck *old_deck, const rt_deck *new_deck,
                    char **text)
{
  *text = NULL;
  size_t n = 0;
  FILE *memory = open_memstream(text, &n);
  RT_CHECK(memory != NULL, RT_ERR_MEM, "no memory to compare two decks");
  for (int k = 0; k < RT_N_KEYS; k++) {
    const rt_key key = (rt_key)k;
    const rt_deck_value *a = &old_deck->values[k], *b = &new_deck->values[k];
    const bool is_length = rt_key_row_of(key)->type == RT_KEY_TYPE_LENGTH;
    if (is_free(rt_key_path(key)) || equal(a, b) ||
        (is_length && same_length(a, b)))
      continue;
    fprintf(memory, "%s: ", rt_key_path(key));
    rt_deck_value_print(key, a, memory);
    fputs(" -> ", memory);
    rt_deck_value_print(key, b, memory);
    fputc('\n', memory);
  }
  if (fclose(memory) != 0) {
    free(*text);
    *text = NULL;
    return RT_FAIL(RT_ERR_MEM, "no memory to compare two decks");
  }
  return RT_OK;
}
