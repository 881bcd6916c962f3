/** \file st_header.h
 *  The header of a .safetensors file, for its reader and writer only.  Layer:
 *  io.
 *
 *  A file is u64 n (little-endian), n bytes of JSON {name: {"dtype", "shape",
 *  "data_offsets": [begin, end]}, "__metadata__": {text: text}}, then the data.
 *  Offsets count from the first byte of the data. */
#ifndef RT_ST_HEADER_H
#define RT_ST_HEADER_H

#include "io/hf/safetensors.h"

/** Longest accepted header; the reference implementation allows 100 MB, the
 *  largest known models need about 10. */
#define RT_ST_MAX_HEADER ((int64_t)32 << 20)

typedef struct rt_st_entry {
  rt_st_tensor tensor;    // first: its address is the entry's; owns its name
  const char *dtype_name; /**< as in the file; static string */
  int i_shard;
  int64_t offset, bytes; /**< in the file */
} rt_st_entry;

/** Name of a type in the format ("F32"); NULL if it has none. */
const char *rt_st_dtype_name(rt_dtype dtype);

/** Read and check the header of an open file.
 *  \param[out] entry  [*n], sorted by offset; the caller frees each name and
 *    the array; NULL after an error */
RT_MUST rt_err rt_st_header_read(int fd, const char *path, int64_t file_bytes,
                                 rt_st_entry **entry, int *n);
void rt_st_entries_free(rt_st_entry *entry, int n);

#endif
