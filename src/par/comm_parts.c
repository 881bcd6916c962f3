/** \file comm_parts.c
 *  Walks through the rows that one rank has of many views. */
#include "par/comm_parts.h"

#include <string.h>

void rt_parts_rows(const rt_parts *parts, int size, int rank, int64_t *row0,
                   int64_t *n)
{
  const int64_t rows = parts->view->rows;
  const int64_t from = (rank - parts->first + size) % size * parts->each;
  *row0 = from < rows ? from : rows;
  *n = rows - *row0 < parts->each ? rows - *row0 : parts->each;
}

/** The rows of rank \a r in view \a i: bytes [*from, *from + *n) of it. */
static void range_of(const rt_shares *s, int i, int r, size_t *from, size_t *n)
{
  const rt_view *v = s->parts[i].view;
  const size_t row = (size_t)v->cols * rt_dtype_size(v->dtype);
  int64_t row0, n_rows;
  rt_parts_rows(&s->parts[i], s->size, r, &row0, &n_rows);
  *from = (size_t)row0 * row;
  *n = (size_t)n_rows * row;
}

size_t rt_shares_bytes(const rt_shares *s, int r)
{
  size_t bytes = 0, from, n;
  for (int i = 0; i < s->n; i++) {
    range_of(s, i, r, &from, &n);
    bytes += n;
  }
  return bytes;
}

size_t rt_shares_most(const rt_shares *s)
{
  size_t most = 0;
  for (int r = 0; r < s->size; r++) {
    const size_t bytes = rt_shares_bytes(s, r);
    most = bytes > most ? bytes : most;
  }
  return most;
}

rt_walk rt_walk_from(const rt_shares *s, int r, size_t at)
{
  rt_walk w = {.of = s, .r = r, .at = at};
  size_t from, n;
  for (; w.view < s->n; w.view++) {
    range_of(s, w.view, r, &from, &n);
    if (w.at < n)
      break;
    w.at -= n;
    w.view_at += rt_view_bytes(s->parts[w.view].view);
  }
  return w;
}

size_t rt_walk_next(rt_walk *w, size_t most, char **run)
{
  const rt_shares *s = w->of;
  size_t from, n;
  for (; w->view < s->n; w->view++) {
    const rt_view *v = s->parts[w->view].view;
    range_of(s, w->view, w->r, &from, &n);
    if (w->at < n) {
      char *base = s->copy != NULL ? s->copy + w->view_at
                                   : (char *)rt_dev_host(s->dev, *v);
      n = n - w->at < most ? n - w->at : most;
      *run = base + from + w->at;
      w->at += n;
      return n;
    }
    w->at = 0;
    w->view_at += rt_view_bytes(v);
  }
  return 0;
}

void rt_shares_read(const rt_shares *s, int r, size_t at, size_t n, char *to)
{
  rt_walk w = rt_walk_from(s, r, at);
  char *run;
  for (size_t part; n > 0 && (part = rt_walk_next(&w, n, &run)) > 0;
       n -= part) {
    memcpy(to, run, part);
    to += part;
  }
}

void rt_shares_write(const rt_shares *s, int r, size_t at, size_t n,
                     const char *from)
{
  rt_walk w = rt_walk_from(s, r, at);
  char *run;
  for (size_t part; n > 0 && (part = rt_walk_next(&w, n, &run)) > 0;
       n -= part) {
    memcpy(run, from, part);
    from += part;
  }
}
