/** \file st_header.h
 *  The header of one .safetensors file, for its reader and its writer only.
 *  Layer: io.
 *
 *  A file is u64 n (little-endian), n bytes of JSON {name: {"dtype", "shape",
 *  "data_offsets": [begin, end]}, "__metadata__": {text: text}}, then the data;
 *  offsets count from the data's first byte. */
#ifndef RT_ST_HEADER_H
#define RT_ST_HEADER_H

#include "io/hf/safetensors.h"

/** Longest header; the reference allows 100 MB, the largest known models need
 *  some 10. */
#define RT_ST_MAX_HEADER ((int64_t)32 << 20)

typedef struct rt_st_entry {
  rt_st_tensor tensor;    // first, so that a pointer to it is one to the entry;
                          // tensor.name is owned; dtype RT_N_DTYPE: not for us
  const char *dtype_name; /**< as in the file; static */
  int i_shard;
  int64_t offset, bytes; /**< in the file */
} rt_st_entry;

/** "F32" of RT_F32 ...; NULL for a type that the format does not have. */
const char *rt_st_dtype_name(rt_dtype dtype);

/** Read and check the header of an open file.
 *  \param[out] entry  [*n], in order of offset; the caller frees each name and
 *                     the array; NULL after an error */
RT_MUST rt_err rt_st_header_read(int fd, const char *path, int64_t file_bytes,
                                 rt_st_entry **entry, int *n);
void rt_st_entries_free(rt_st_entry *entry, int n);

#endif
