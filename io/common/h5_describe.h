/** \file h5_describe.h
 *  The contents of an HDF5 file as flat records that can be read without HDF5.
 *  Layer: io; passed from the process that opens files (h5_child.h) to the
 *  reader (h5_reader.h).
 *
 *  There is one record per attribute of the root group and per dataset,
 *  including datasets in groups.  A record is u32 kind, u32 n, the name [n]
 *  including a terminating 0, then
 *
 *    TEXT   u32 n, the text [n] including a terminating 0
 *    INT    i64
 *    REAL   f64
 *    SET    u32 dtype, u32 n_dims, i64 rows, i64 cols, i64 chunk_rows, u32 n,
 *           n times i64: the offset of the data, or of each chunk in order
 *    ODD_*  u32 n, why retort does not accept it [n], with a terminating 0 */
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
  RT_H5_MAX_NAME = 256, /**< bytes, including the 0 */
  RT_H5_MAX_TEXT =
      2 << 20, /**< bytes of an attribute; a deck has at most 1 MiB */
  RT_H5_MAX_RECORDS =
      16 << 20 /**< bytes of all records, enough for 50,000 datasets */
};

/** Initialise HDF5, once, before the first file. */
void rt_h5_describe_begin(void);
/** Append the records of the file \a open, called \a path in messages.  HDF5
 *  may crash here on a damaged or crafted file, so this runs in a separate
 *  process. */
RT_MUST rt_err rt_h5_describe(const char *open, const char *path,
                              rt_bytes *out);

#endif
