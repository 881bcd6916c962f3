/** \file safetensors.h
 *  Weights in Hugging Face folders: model.safetensors, or shards with
 *  model.safetensors.index.json.  Layer: io.
 *
 *  Files are untrusted: header length, JSON, dtypes, shapes, offsets (no holes
 *  or overlaps), file sizes and weight_map are all checked on opening, before
 *  anything is allocated based on them. */
#ifndef RT_SAFETENSORS_H
#define RT_SAFETENSORS_H

#include "base/err.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/view.h"
#include <mpi.h>

#define RT_ST_MAX_DIMS 8

typedef struct rt_st_tensor {
  const char *name;
  rt_dtype dtype; /**< RT_F32, RT_F16 or RT_BF16; others cannot be read */
  int n_dims;
  int64_t shape[RT_ST_MAX_DIMS];
  bool alias; /**< alias of a tensor: safetensors.torch.save_model stores one of
                 several tied tensors, and the other names in __metadata__ */
} rt_st_tensor;

typedef struct rt_safetensors rt_safetensors;

/** Open a folder (or a .safetensors file) and check all headers.  Not
 *  collective; every rank that reads opens its own. */
RT_MUST rt_err rt_safetensors_open(const char *path, rt_safetensors **out);
void rt_safetensors_close(rt_safetensors **st);
/** Find a tensor; NULL if absent. */
const rt_st_tensor *rt_safetensors_find(const rt_safetensors *st,
                                        const char *name);
int rt_safetensors_n(const rt_safetensors *st);
const rt_st_tensor *rt_safetensors_at(const rt_safetensors *st, int i);

/** Number of files; and the files, sorted by name. */
int rt_safetensors_n_files(const rt_safetensors *st);
const char *rt_safetensors_file(const rt_safetensors *st, int i);

/** Read rows [row0, row0 + to.rows) and columns [col0, col0 + to.cols) of a
 *  tensor with 2 dimensions (one with 1 dimension counts as [1, n]), converting
 *  to to.dtype (f32, f64).  Only the bytes of the slice are read.  \a to is
 *  host memory. */
RT_MUST rt_err rt_safetensors_read(const rt_safetensors *st, const char *name,
                                   int64_t row0, int64_t col0, rt_view to);

/** SHA-256 over the digest (io/common/digest.h) of each weight file and a
 *  newline, sorted by name.  Collective. */
RT_MUST rt_err rt_safetensors_digest(MPI_Comm comm, const char *path,
                                     char hex[RT_SHA256_HEX]);
/** SHA-256 over all weight files, sorted by name. */
RT_MUST rt_err rt_safetensors_hash(const char *path, char hex[RT_SHA256_HEX]);

/** Writer of one model.safetensors: declare the tensors, then write them in any
 *  order. */
typedef struct rt_st_writer rt_st_writer;
/** \a tensors [n]: all f32 (or bf16); names are copied.  Creates path + ".tmp".
 */
RT_MUST rt_err rt_st_writer_create(const char *path,
                                   const rt_st_tensor *tensors, int n,
                                   rt_st_writer **out);
/** Write rows of tensor \a i from \a row0 on; \a from is host memory, and is
 *  converted. */
RT_MUST rt_err rt_st_writer_put(rt_st_writer *w, int i, int64_t row0,
                                rt_view from);
/** Sync and rename; every byte must have been written. */
RT_MUST rt_err rt_st_writer_publish(rt_st_writer *w);
void rt_st_writer_destroy(rt_st_writer **w); /**< removes an unpublished file */

#endif
