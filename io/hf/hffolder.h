/** \file hffolder.h
 *  Which folder a model is in, and what is wrong when it is in none.  Layer:
 * io.
 */
#ifndef RT_HFFOLDER_H
#define RT_HFFOLDER_H

#include "base/err.h"
#include "base/file.h"

/** Where the files of the model that a user calls \a name are: \a name itself,
 *  or, of a folder models--ORG--NAME of the Hugging Face cache, the snapshot
 *  that its refs/main names.  What is no folder is taken as it is. */
RT_MUST rt_err rt_hffolder_find(const char *name, char folder[RT_PATH_MAX]);
/** Why \a folder has no file \a wanted: always an error, which names what is
 *  there instead and what to do. */
RT_MUST rt_err rt_hffolder_refuse(const char *folder, const char *wanted);

#endif
