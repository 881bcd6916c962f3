/** \file split.c
 *  Even splits. */
#include "base/split.h"

int64_t rt_split_begin(int64_t n, int parts, int i)
{
  const int64_t each = n / parts, extra = n % parts;
  return each * i + (i < extra ? i : extra);
}

int64_t rt_split_count(int64_t n, int parts, int i)
{
  return rt_split_begin(n, parts, i + 1) - rt_split_begin(n, parts, i);
}

int64_t rt_round_up(int64_t n, int64_t step)
{
  return (n + step - 1) / step * step;
}

int64_t rt_chunk_rows(int64_t n, double max)
{
  enum { STEP = 16 };
  if (max >= (double)n)
    return n;
  int64_t room = max < 1.0 ? 1 : (int64_t)max;
  const int64_t step = room < STEP ? 1 : STEP;
  room -= room % step;
  const int64_t n_chunks = (n + room - 1) / room;
  return rt_round_up((n + n_chunks - 1) / n_chunks, step);
}
