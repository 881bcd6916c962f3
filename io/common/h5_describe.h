/** \file h5_describe.h
 *  What HDF5 finds in a file, as flat bytes that need no HDF5 to be read.
 *  Layer: io, between the process that opens files (h5_child.h) and who reads
 *  them (h5_reader.h).
 *
 *  One record for each attribute of the root group and for each dataset, also
 *  of groups.  A record is u32 kind, u32 n, the name [n] closed by a 0, then
 *
 *    TEXT   u32 n, the text [n] closed by a 0
 *    INT    i64
 *    REAL   f64
 *    SET    u32 dtype, u32 n_dims, i64 rows, i64 cols, i64 chunk_rows, u32 n,
 *           n times i64: the offset of the data, or of each chunk in order
 *    ODD_*  u32 n, why retort does not take it [n] closed by a 0 */
#ifndef RT_H5_DESCRIBE_H
#define RT_H5_DESCRIBE_H

#include "io/common/bytes.h"

typedef enum rt_h5_record {
  RT_H5_TEXT,
  RT_H5_INT,
  RT_H5_REAL,
  RT_H5_ODD_ATTRIBUTE,
  RT_H5_SET,
  RT_H5_ODD_SET,
  RT_H5_N_RECORD
} rt_h5_record;

enum {
  RT_H5_MAX_NAME = 256,        /**< bytes, with the 0 */
  RT_H5_MAX_TEXT = 2 << 20,    /**< of an attribute: a deck has 1 MiB at most */
  RT_H5_MAX_RECORDS = 16 << 20 /**< bytes of all: 50,000 datasets */
};

/** What HDF5 does once, before the first file. */
void rt_h5_describe_begin(void);
/** Append the records of the file that is opened by the name \a open and
 *  called \a path in messages.  HDF5 may crash here on a file that was damaged
 *  or crafted, so this runs in a process of its own. */
RT_MUST rt_err rt_h5_describe(const char *open, const char *path,
                              rt_bytes *out);

#endif
