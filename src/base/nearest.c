/** \file nearest.c
 *  Optimal string alignment distance: Levenshtein plus swaps of neighbours. */
#include "base/nearest.h"

#include <ctype.h>
#include <string.h>

enum { MAX_WORD = 63 };

static int least(int a, int b)
{
  return a < b ? a : b;
}

static int same(char a, char b)
{
  return tolower((unsigned char)a) == tolower((unsigned char)b);
}

int rt_nearest_distance(const char *a, const char *b)
{
  const int n_a = (int)strnlen(a, MAX_WORD), n_b = (int)strnlen(b, MAX_WORD);
  int d[MAX_WORD + 1][MAX_WORD + 1]; // d[i][j]: distance between the first i
                                     // bytes of a and the first j of b
  for (int i = 0; i <= n_a; i++)
    d[i][0] = i;
  for (int j = 0; j <= n_b; j++)
    d[0][j] = j;
  for (int i = 1; i <= n_a; i++) {
    for (int j = 1; j <= n_b; j++) {
      const int replace = d[i - 1][j - 1] + !same(a[i - 1], b[j - 1]);
      d[i][j] = least(replace, 1 + least(d[i - 1][j], d[i][j - 1]));
      if (i > 1 && j > 1 && same(a[i - 1], b[j - 2]) &&
          same(a[i - 2], b[j - 1]))
        d[i][j] = least(d[i][j], d[i - 2][j - 2] + 1);
    }
  }
  return d[n_a][n_b];
}

int rt_nearest_limit(const char *word)
{
  const int third = (int)strlen(word) / 3;
  return third < 1 ? 1 : third;
}
