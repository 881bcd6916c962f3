/** \file packed_all.c
 *  Decodes several records side by side. */
#include "io/codec/packed_lanes.h"

#include <stdlib.h>

/** Records in lanes. */
typedef struct readers {
  rt_packed_reader of[RT_LANES];
  int n;
  rt_lanes lanes;
  rt_packed_sorter sorter;
} readers;

static bool is_on(const readers *x, int i)
{
  return (x->lanes.on >> i & 1) != 0;
}

/** Read on until a token is in lane \a i, or the record is complete. */
static rt_err fill_lane(readers *x, int i)
{
  rt_packed_reader *const r = &x->of[i];
  while (r->t < r->row->n_tokens) {
    RT_TRY(rt_packed_reader_begin(r));
    if (rt_lanes_put(&x->lanes, i, r))
      return RT_OK;
    RT_TRY(rt_packed_reader_take(r, r->set.n));
    RT_TRY(rt_packed_reader_end(r, &x->sorter));
  }
  return rt_packed_reader_close(r);
}

/** The token in lane \a i has no entries left. */
static rt_err empty_lane(readers *x, int i)
{
  rt_lanes_get(&x->lanes, i, &x->of[i]);
  RT_TRY(rt_packed_reader_end(&x->of[i], &x->sorter));
  return fill_lane(x, i);
}

/** Read an entry of each lane of a group one by one. */
static rt_err step_aside(readers *x, int group)
{
  const int first = group * RT_LANE_GROUP;
  for (int i = first; i < first + RT_LANE_GROUP && i < x->n; i++) {
    if (!is_on(x, i))
      continue;
    rt_packed_reader *const r = &x->of[i];
    rt_lanes_get(&x->lanes, i, r);
    RT_TRY(rt_packed_reader_take(r, 1));
    if (rt_lanes_put(&x->lanes, i, r))
      continue;
    RT_TRY(rt_packed_reader_take(r, r->set.n - r->set.taken));
    RT_TRY(rt_packed_reader_end(r, &x->sorter));
    RT_TRY(fill_lane(x, i));
  }
  return RT_OK;
}

/** The least number of entries that a lane has left. */
static uint64_t least_left(const readers *x)
{
  uint64_t least = UINT64_MAX;
  for (int i = 0; i < x->n; i++)
    if (is_on(x, i) && x->lanes.left[i] < least)
      least = x->lanes.left[i];
  return least;
}

static rt_err take_all(readers *x)
{
  for (int i = 0; i < x->n; i++)
    RT_TRY(fill_lane(x, i));
  while (x->lanes.on != 0) {
    const int odd = rt_lanes_take(&x->lanes, least_left(x));
    if (odd >= 0)
      RT_TRY(step_aside(x, odd));
    for (int i = 0; i < x->n; i++)
      if (is_on(x, i) && x->lanes.left[i] == 0)
        RT_TRY(empty_lane(x, i));
  }
  return rt_packed_sort_rest(&x->sorter);
}

static rt_err decode_one_by_one(rt_packed_record *records, int n)
{
  for (int i = 0; i < n; i++)
    RT_TRY(rt_packed_decode(records[i].k, &records[i].in, records[i].row));
  return RT_OK;
}

rt_err rt_packed_decode_all(rt_packed_record *records, int n)
{
  RT_ASSERT(n <= RT_LANES);
  if (n < 3 || !rt_lanes_permitted()) // fewer lanes are no faster
    return decode_one_by_one(records, n);
  readers x = {.n = n};
  rt_err err = RT_OK;
  for (int i = 0; i < n && err == RT_OK; i++)
    err = rt_packed_reader_open(records[i].k, &records[i].in, records[i].row,
                                &x.of[i]);
  if (err == RT_OK)
    err = take_all(&x);
  for (int i = 0; i < n; i++)
    rt_packed_reader_clear(&x.of[i]);
  return err;
}
