/** \file draft.h
 *  Outputs whose name the user chose, which must not exist yet.  Layer: base.
 */
#ifndef RT_DRAFT_H
#define RT_DRAFT_H

#include "base/err.h"
#include "base/file.h"

/** A file or folder that is written under a temporary name and renamed when it
 *  is complete.  It never replaces an existing file or folder.  Drafts left
 *  behind by killed runs are removed. */
typedef struct rt_draft {
  char path[RT_PATH_MAX]; // without trailing slashes
  char tmp[RT_PATH_MAX];  // temporary name, to be used until the draft is
                          // concluded
  int fd;                 // owned; its lock shows that the process is alive
} rt_draft;

/** Create an empty file, or an empty folder.  RT_ERR_LOCKED if \a path exists.
 */
RT_MUST rt_err rt_draft_file(const char *path, rt_draft *out);
RT_MUST rt_err rt_draft_folder(const char *path, rt_draft *out);
/** Like rt_path_conclude, but RT_ERR_LOCKED if \a path has been created
 *  meanwhile. */
RT_MUST rt_err rt_draft_conclude(rt_err err, rt_draft *d);

/** Length of BASE if the \a n bytes at \a name are BASE.tmp.HOST.PID, the name
 *  of a draft; 0 if they are not. */
size_t rt_draft_base(const char *name, size_t n);
/** Remove the file \a name of \a folder if it is older than \a min_age_s and no
 *  process holds a lock on it; tell so.  What cannot be removed stays.  Is it
 *  removed? */
bool rt_sweep_one(const char *folder, const char *name, double min_age_s);
/** Remove the drafts of the files \a bases [n] that killed processes left in
 *  \a folder, when they are older than a day: whether their process has ended
 *  cannot be known, as containers of one host's name number their own.  Call
 *  for a folder of Retort's, while it is locked. */
void rt_drafts_sweep(const char *folder, const char *const *bases, int n);

#endif
