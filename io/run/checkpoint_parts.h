/** \file checkpoint_parts.h
 *  Code shared by checkpoint.c and checkpoint_write.c. */
#ifndef RT_CHECKPOINT_PARTS_H
#define RT_CHECKPOINT_PARTS_H

#include "base/file.h"
#include "io/run/checkpoint.h"

#define RT_CHECKPOINT_FORMAT "retort-checkpoint"
#define RT_CHECKPOINT_TMP ".tmp-" /**< before a name: being written */
#define RT_CHECKPOINT_OLD                                                      \
  ".tmp-old-"                         /**< about to be replaced by a new one   \
                                       */
#define RT_CHECKPOINT_GONE ".tmp-rm-" /**< being removed */
enum { RT_CHECKPOINT_VERSION = 5 };   // 4 lacks the tokenizer, 3 the teacher

/** FOLDER/<before>step-00000100<after> */
RT_MUST rt_err rt_checkpoint_path(char out[RT_PATH_MAX], const char *folder,
                                  const char *before, int64_t step,
                                  const char *after);

#endif
