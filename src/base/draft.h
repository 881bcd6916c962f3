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

/** Remove the drafts of files (rt_file_put ...) that killed processes left in
 * \a folder: of ended processes of this host, and of others when they are older
 *  than a day.  Call while the folder is locked.  What cannot be removed
 *  stays. */
void rt_drafts_sweep(const char *folder);

#endif
