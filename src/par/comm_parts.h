/** \file comm_parts.h
 *  Walks through the rows that one rank has of many views.
 *
 *  Layer: par; for comm*.c only.  A rank's rows of all views, one after the
 *  other, are one sequence of bytes, its share.  Shares are exchanged in
 *  pieces, wherever a view begins or ends. */
#ifndef RT_COMM_PARTS_H
#define RT_COMM_PARTS_H

#include "par/comm.h"

/** Views and where the host finds them. */
typedef struct rt_shares {
  const rt_parts *parts; // borrowed [n]
  int n, size;           /**< of views, of ranks */
  const rt_dev *dev;     // borrowed
  char *copy; // borrowed: all views, one after the other; NULL: in place
} rt_shares;

/** Bytes of rank \a r's share, and of the largest one. */
size_t rt_shares_bytes(const rt_shares *s, int r);
size_t rt_shares_most(const rt_shares *s);

/** A position in the share of rank \a r. */
typedef struct rt_walk {
  const rt_shares *of; // borrowed
  int r, view;
  size_t view_at; // of the view in the copy
  size_t at;      // in the rank's rows of this view
} rt_walk;
rt_walk rt_walk_from(const rt_shares *s, int r, size_t at);
/** The next run of contiguous bytes, at most \a most; 0 at the end. */
size_t rt_walk_next(rt_walk *w, size_t most, char **run);

/** Copy bytes [at, at + n) of the share of rank \a r. */
void rt_shares_read(const rt_shares *s, int r, size_t at, size_t n, char *to);
void rt_shares_write(const rt_shares *s, int r, size_t at, size_t n,
                     const char *from);

#endif
