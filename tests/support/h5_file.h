/** \file h5_file.h
 *  A file that was laid out, to the disk. */
#ifndef RT_H5_FILE_H
#define RT_H5_FILE_H

#include "io/common/h5.h"

rt_err h5_save(rt_h5 **h5, const char *path);

#endif
