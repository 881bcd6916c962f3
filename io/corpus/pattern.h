/** \file pattern.h
 *  Patterns with * ? [ in names of corpora, as llm.c names its shards.  Layer:
 *  io. */
#ifndef RT_PATTERN_H
#define RT_PATTERN_H

#include "base/err.h"

/** A list of file names; strings and list are owned. */
typedef struct rt_names {
  char **at; // owned [n]
  int n;
} rt_names;

/** Append \a name to \a list, or the files that match it in byte order; for a
 *  Megatron pair, only the .bin.  RT_ERR_NOINPUT if there is none.  A name
 * whose characters of patterns are all escaped by backslashes, as the deck does
 * with its folder, is that of one file, which need not exist.  The caller
 *  clears the list, also after an error. */
RT_MUST rt_err rt_names_add(rt_names *list, const char *name);
void rt_names_clear(rt_names *list);

#endif
