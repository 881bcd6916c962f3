/** \file hffolder.h
 *  Locates the folder of a model, and explains why there is none.  Layer: io.
 */
#ifndef RT_HFFOLDER_H
#define RT_HFFOLDER_H

#include "base/err.h"
#include "base/file.h"

/** The folder that contains the files of the model \a name: \a name itself, or,
 *  for a folder models--ORG--NAME of the Hugging Face cache, the snapshot that
 *  its refs/main names.  Anything but a folder is returned unchanged. */
RT_MUST rt_err rt_hffolder_find(const char *name, char folder[RT_PATH_MAX]);
/** The error for a \a folder without the file \a wanted; it names what the
 *  folder contains instead, and the remedy. */
RT_MUST rt_err rt_hffolder_refuse(const char *folder, const char *wanted);

#endif
