/** \file h5_file.h
 *  HDF5 files that are part of no dataset or checkpoint. */
#ifndef RT_H5_FILE_H
#define RT_H5_FILE_H

#include "io/common/h5_reader.h"

/** Write a file that was laid out. */
rt_err h5_save(rt_h5 **h5, const char *path);

/** Seal a file as it is, and open it.  Not collective. */
rt_err h5_open(const char *path, rt_h5_reader **out);

#endif
