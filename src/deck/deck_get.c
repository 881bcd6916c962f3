/** \file deck_get.c
 *  Getters for the values of a deck. */
#include "deck/deck_parts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/** The value of \a key, which must have one of these types. */
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
  if (unit == RT_LENGTH_TIME)
    return 0;
  if (unit == RT_LENGTH_STEPS)
    return (int64_t)amount;
  RT_ASSERT(tokens_per_step > 0);
  const int64_t tokens = (int64_t)amount;
  return tokens / tokens_per_step + (tokens % tokens_per_step > 0);
}

double rt_deck_seconds(const rt_deck *deck, rt_key key)
{
  const rt_deck_value *v =
      value_of(deck, key, RT_KEY_TYPE_LENGTH, RT_KEY_TYPE_LENGTH);
  double amount = 0.0;
  rt_length_unit unit = RT_LENGTH_STEPS;
  return rt_deck_length_split(v->text, &amount, &unit) && unit == RT_LENGTH_TIME
             ? amount
             : 0.0;
}

const char *rt_deck_written(const rt_deck *deck, rt_key key)
{
  RT_ASSERT((int)key >= 0 && key < RT_N_KEYS);
  return deck->values[key].written;
}

rt_source rt_deck_source(const rt_deck *deck, rt_key key)
{
  RT_ASSERT((int)key >= 0 && key < RT_N_KEYS);
  return deck->values[key].source;
}
