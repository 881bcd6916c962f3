/** \file foreign.h
 *  Recognises, by their first bytes, files that are not what their name
 *  suggests, for error messages.  Layer: io. */
#ifndef RT_FOREIGN_H
#define RT_FOREIGN_H

#include "base/err.h"

/** Describe a file by its first bytes, with a remedy: "a Git LFS pointer, not
 *  the file itself: fetch it with `git lfs pull`"; "text" if it can be nothing
 *  else; NULL if not recognised, or if it cannot be read. */
const char *rt_foreign_file(const char *path);
/** RT_ERR_DATA if \a path is recognised as another kind of file. */
RT_MUST rt_err rt_foreign_refuse(const char *path);
/** RT_ERR_DATA if \a path is a Git LFS pointer instead of the file. */
RT_MUST rt_err rt_foreign_refuse_pointer(const char *path);

#endif
