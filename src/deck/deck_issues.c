/** \file deck_issues.c
 *  Collects all errors of a deck and reports them at once. */
#include "deck/deck_parts.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

void rt_deck_issue(rt_deck_issues *issues, rt_place place, const char *fmt, ...)
{
  if (issues->n < RT_DECK_MAX_ISSUES) {
    va_list args;
    va_start(args, fmt);
    vsnprintf(issues->at[issues->n].text, RT_DECK_ISSUE_BYTES, fmt, args);
    va_end(args);
    issues->at[issues->n].place = place;
  }
  issues->n++;
}

/** Sort by line, command line last; stable (insertion sort). */
static void sort_issues(rt_deck_issues *issues, int n)
{
  for (int i = 1; i < n; i++) {
    for (int j = i; j > 0; j--) {
      const rt_place a = issues->at[j - 1].place, b = issues->at[j].place;
      const bool swap =
          b.line != 0 && (a.line == 0 || b.line < a.line ||
                          (b.line == a.line && b.column < a.column));
      if (!swap)
        break;
      char text[RT_DECK_ISSUE_BYTES];
      memcpy(text, issues->at[j].text, sizeof text);
      memcpy(issues->at[j].text, issues->at[j - 1].text, sizeof text);
      memcpy(issues->at[j - 1].text, text, sizeof text);
      issues->at[j].place = a;
      issues->at[j - 1].place = b;
    }
  }
}

rt_err rt_deck_issues_report(rt_deck_issues *issues)
{
  if (issues->n == 0)
    return RT_OK;
  const int n = issues->n < RT_DECK_MAX_ISSUES ? issues->n : RT_DECK_MAX_ISSUES;
  sort_issues(issues, n);
  char *all = NULL;
  size_t bytes = 0;
  FILE *memory = open_memstream(&all, &bytes);
  RT_CHECK(memory != NULL, RT_ERR_MEM, "no memory to list a deck's errors");
  for (int i = 0; i < n; i++) {
    const rt_place place = issues->at[i].place;
    fputs(i > 0 ? "\n" : "", memory);
    if (place.line > 0)
      fprintf(memory, "%s:%d:%d: %s", issues->name, place.line, place.column,
              issues->at[i].text);
    else
      fprintf(memory, "command line: %s", issues->at[i].text);
  }
  if (issues->n > n)
    fprintf(memory, "\n%s: and %d more errors", issues->name, issues->n - n);
  if (fclose(memory) != 0) {
    free(all);
    return RT_FAIL(RT_ERR_MEM, "no memory to list a deck's errors");
  }
  const rt_err err = RT_FAIL(RT_ERR_CONFIG, "%s", all);
  free(all);
  return err;
}

const char *rt_deck_quote(char out[RT_QUOTE_BYTES], const char *text)
{
  size_t n = strnlen(text, RT_QUOTE_BYTES);
  const bool clip = n > RT_QUOTE_BYTES - 6;
  if (clip) {
    n = RT_QUOTE_BYTES - 6;
    while (n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80)
      n--; // do not split a UTF-8 character
  }
  char *p = out;
  *p++ = '"';
  for (size_t i = 0; i < n; i++) {
    const unsigned char c = (unsigned char)text[i];
    *p++ = c < 0x20 || c == 0x7f ? '?' : text[i];
  }
  strcpy(p, clip ? "...\"" : "\"");
  return out;
}
