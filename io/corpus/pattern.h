/** \file pattern.h
 *  Names of corpora with * ? [ in them, as llm.c names its shards.  Layer: io.
 */
#ifndef RT_CORPUS_PATTERN_H
#define RT_CORPUS_PATTERN_H

#include "base/err.h"

/** Names of files; strings and list are owned. */
typedef struct rt_names {
  char **at; // owned [n]
  int n;
} rt_names;

/** Append \a name to \a list, or the files that it stands for, in the order of
 *  their bytes; of a Megatron pair the .bin.  RT_ERR_NOINPUT when there is
 * none. The caller clears the list, also after an error. */
RT_MUST rt_err rt_names_add(rt_names *list, const char *name);
void rt_names_clear(rt_names *list);

#endif
