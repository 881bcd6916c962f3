/** \file nearest.h
 *  "Did you mean ...?"  Layer: base. */
#ifndef RT_NEAREST_H
#define RT_NEAREST_H

/** Number of edits (insert, delete, replace, swap neighbours) from \a a to \a
 *  b, ignoring case.  Only the first 63 bytes are compared. */
int rt_nearest_distance(const char *a, const char *b);
/** Is this distance a likely typing error in \a word? */
int rt_nearest_limit(const char *word);

#endif
