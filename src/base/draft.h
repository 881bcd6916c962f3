/** \file draft.h
 *  What a user asked for by name, as something new.  Layer: base. */
#ifndef RT_DRAFT_H
#define RT_DRAFT_H

#include "base/err.h"
#include "base/file.h"

/** Nothing of the name is ever replaced, and drafts that killed runs left
 *  behind go away. */
typedef struct rt_draft {
  char path[RT_PATH_MAX]; // without slashes at its end
  char tmp[RT_PATH_MAX];  // work here
  int fd;                 // owned: locked while we live
} rt_draft;

/** Begin with an empty file, or an empty folder.  RT_ERR_LOCKED when \a path
 *  exists. */
RT_MUST rt_err rt_draft_file(const char *path, rt_draft *out);
RT_MUST rt_err rt_draft_folder(const char *path, rt_draft *out);
/** As rt_path_conclude, but RT_ERR_LOCKED when \a path exists by now. */
RT_MUST rt_err rt_draft_conclude(rt_err err, rt_draft *d);

#endif
