/** \file h5_look.c
 *  Queries on an open HDF5 file, used by the writer and by the process that
 *  opens untrusted files. */
#include "io/common/h5_parts.h"

#include "base/file.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

rt_err rt_h5_new(const char *path, rt_h5_use use, rt_h5 **out)
{
  H5Eset_auto2(H5E_DEFAULT, NULL, NULL); // Retort prints errors itself
  // do not load code from plug-in folders
  H5PLset_loading_state(0);
  rt_h5 *const h5 = calloc(1, sizeof *h5 + strlen(path) + 1);
  RT_CHECK(h5 != NULL, RT_ERR_MEM, "%zu bytes to open %s", sizeof *h5, path);
  strcpy(h5->path, path);
  h5->use = use;
  h5->file = H5I_INVALID_HID;
  h5->memory.fd = -1;
  *out = h5;
  return RT_OK;
}

hid_t rt_h5_type_of(rt_dtype dtype)
{
  return dtype == RT_F32   ? H5T_IEEE_F32LE
         : dtype == RT_F64 ? H5T_IEEE_F64LE
         : dtype == RT_U8  ? H5T_STD_U8LE
         : dtype == RT_U32 ? H5T_STD_U32LE
         : dtype == RT_U64 ? H5T_STD_U64LE
                           : H5I_INVALID_HID;
}
static herr_t keep_innermost(unsigned n, const H5E_error2_t *e, void *text)
{
  (void)n;
  if (e->desc == NULL || e->desc[0] == '\0')
    return 0;
  snprintf(text, 512, "%s", e->desc);
  return 1; // stop after the first
}

/** The text of HDF5's last error, in \a text [512]. */
static const char *reason(char *text)
{
  snprintf(text, 512, "no reason given");
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, keep_innermost, text);
  return text;
}

rt_err rt_h5_failed(const rt_h5 *h5, const char *name, const char *what)
{
  char text[512],
      limit[160]; // limit: the file size limit, which HDF5 does not report
  return RT_FAIL(h5->use == RT_H5_WRITES ? RT_ERR_IO : RT_ERR_DATA,
                 "%s%s%s: HDF5 cannot %s: %s%s", h5->path,
                 name[0] != '\0' ? ", " : "", name, what, reason(text),
                 h5->use == RT_H5_WRITES ? rt_write_reason(0, limit) : "");
}

bool rt_h5_size_of(const rt_h5_shape *s, int64_t *bytes)
{
  return s->rows >= 0 && s->cols >= 0 && s->chunk_rows >= 0 &&
         !__builtin_mul_overflow(s->rows, s->cols, bytes) &&
         !__builtin_mul_overflow(*bytes, (int64_t)rt_dtype_size(s->dtype),
                                 bytes);
}

const char *rt_h5_show(const rt_h5_shape *s, char *text)
{
  snprintf(text, 96, "%d-d %lld x %lld %s", s->n_dims, (long long)s->rows,
           (long long)s->cols, rt_dtype_name(s->dtype));
  return text;
}
/** Check that every component of \a name is a hard link: soft and external
 *  links may lead outside of what was hashed. */
static rt_err check_links(const rt_h5 *h5, const char *name)
{
  char part[256];
  RT_CHECK(name[0] != '\0' && name[0] != '/' && strlen(name) < sizeof part,
           RT_ERR_INTERNAL, "%s: a dataset called \"%.300s\"", h5->path, name);
  for (size_t i = 1; i <= strlen(name); i++)
    if (name[i] == '/' || name[i] == '\0') {
      snprintf(part, sizeof part, "%.*s", (int)i, name);
      H5L_info_t info;
      RT_H5_CHECK(H5Lget_info(h5->file, part, &info, H5P_DEFAULT) >= 0, h5,
                  name, "is not in the file");
      RT_H5_CHECK(info.type == H5L_TYPE_HARD, h5, name,
                  "%s is a soft or external link", part);
    }
  return RT_OK;
}

/** Check how \a set is stored; \a dcpl are its creation properties. */
static rt_err look_storage(const rt_h5 *h5, const char *name, hid_t dcpl,
                           rt_h5_shape *out)
{
  const H5D_layout_t layout = H5Pget_layout(dcpl);
  RT_H5_CHECK(layout == H5D_CONTIGUOUS || layout == H5D_CHUNKED, h5, name,
              "has HDF5 layout %d: not contiguous, not chunked", (int)layout);
  RT_H5_CHECK(H5Pget_nfilters(dcpl) == 0 && H5Pget_external_count(dcpl) == 0,
              h5, name, "has filters or external storage");
  if (layout == H5D_CONTIGUOUS)
    return RT_OK;
  hsize_t chunk[2] = {0, 1};
  RT_H5_CHECK(H5Pget_chunk(dcpl, 2, chunk) == out->n_dims && chunk[0] > 0 &&
                  chunk[0] <= INT32_MAX && chunk[1] == (hsize_t)out->cols,
              h5, name, "has chunks that are not whole rows");
  out->chunk_rows = (int64_t)chunk[0];
  return RT_OK;
}

static rt_err look_type(const rt_h5 *h5, const char *name, hid_t type,
                        rt_h5_shape *out)
{
  int i = 0;
  while (i < RT_N_DTYPE && (rt_h5_type_of((rt_dtype)i) < 0 ||
                            H5Tequal(type, rt_h5_type_of((rt_dtype)i)) <= 0))
    i++;
  RT_H5_CHECK(i < RT_N_DTYPE, h5, name,
              "is not little-endian f32, f64, u8 ...");
  out->dtype = (rt_dtype)i;
  return RT_OK;
}

static rt_err look_dims(const rt_h5 *h5, const char *name, hid_t space,
                        rt_h5_shape *out)
{
  const int n = H5Sget_simple_extent_ndims(space);
  hsize_t dims[2] = {0, 1}, max[2] = {0, 1};
  if (n == 1 || n == 2)
    H5Sget_simple_extent_dims(space, dims, max);
  RT_H5_CHECK((n == 1 || n == 2) && dims[0] <= INT64_MAX &&
                  dims[1] <= INT64_MAX && dims[0] == max[0] &&
                  dims[1] == max[1],
              h5, name, "is not of 1 or 2 fixed dimensions (it has %d)", n);
  out->n_dims = n;
  out->rows = (int64_t)dims[0];
  out->cols = (int64_t)dims[1];
  return RT_OK;
}

/** Size of the file; 0 on failure, so that nothing fits. */
static int64_t file_bytes(const rt_h5 *h5)
{
  hsize_t n = 0;
  return H5Fget_filesize(h5->file, &n) >= 0 ? (int64_t)n : 0;
}

static rt_err look(const rt_h5 *h5, const char *name, hid_t set,
                   rt_h5_shape *out)
{
  *out = (rt_h5_shape){.cols = 1};
  const hid_t type = H5Dget_type(set), space = H5Dget_space(set);
  const hid_t dcpl = H5Dget_create_plist(set);
  rt_err err = look_type(h5, name, type, out);
  if (err == RT_OK)
    err = look_dims(h5, name, space, out);
  if (err == RT_OK)
    err = look_storage(h5, name, dcpl, out);
  H5Pclose(dcpl);
  H5Sclose(space);
  H5Tclose(type);
  RT_TRY(err);
  int64_t bytes; // checked because callers allocate what the file claims
  RT_H5_CHECK(rt_h5_size_of(out, &bytes) &&
                  (h5->use == RT_H5_WRITES || bytes <= file_bytes(h5)),
              h5, name, "%lld x %lld do not fit a file of %lld bytes",
              (long long)out->rows, (long long)out->cols,
              (long long)file_bytes(h5));
  return RT_OK;
}

rt_err rt_h5_open_set(const rt_h5 *h5, const char *name, hid_t *set,
                      rt_h5_shape *shape)
{
  RT_TRY(check_links(h5, name));
  const hid_t dapl = H5Pcreate(H5P_DATASET_ACCESS);
  H5Pset_chunk_cache(dapl, H5D_CHUNK_CACHE_NSLOTS_DEFAULT, 0,
                     H5D_CHUNK_CACHE_W0_DEFAULT);
  *set = H5Dopen2(h5->file, name, dapl);
  H5Pclose(dapl);
  if (*set < 0)
    return rt_h5_failed(h5, name, "open it");
  const rt_err err = look(h5, name, *set, shape);
  if (err != RT_OK)
    H5Dclose(*set);
  return err;
}

/** Set extents[i].offset from HDF5's list of chunks. */
static rt_err chunk_offsets(const rt_h5 *h5, const char *name, hid_t set,
                            const rt_h5_shape *s, rt_extent *extents, int64_t n)
{
  const hid_t space = H5Dget_space(set);
  rt_err err = RT_OK;
  for (int64_t i = 0; i < n && err == RT_OK; i++) {
    hsize_t at[2] = {0, 0}, bytes = 0;
    unsigned mask = 0;
    haddr_t address = HADDR_UNDEF;
    const herr_t ok =
        H5Dget_chunk_info(set, space, (hsize_t)i, at, &mask, &address, &bytes);
    // checked below, as the file may contain any value
    const hsize_t j = at[0] / (hsize_t)s->chunk_rows;
    if (ok < 0 || address == HADDR_UNDEF || j >= (hsize_t)n || mask != 0 ||
        bytes != (hsize_t)extents[0].bytes)
      err = RT_FAIL(RT_ERR_DATA, "%s, %s: chunk %lld is missing or odd",
                    h5->path, name, (long long)i);
    else
      extents[j].offset = (int64_t)address;
  }
  H5Sclose(space);
  return err;
}

static rt_err find_extents(const rt_h5 *h5, const char *name, hid_t set,
                           const rt_h5_shape *s, rt_extent *extents, int64_t n)
{
  const int64_t rows = s->chunk_rows > 0 ? s->chunk_rows : s->rows;
  for (int64_t i = 0; i < n; i++)
    extents[i] =
        (rt_extent){-1, rows * s->cols * (int64_t)rt_dtype_size(s->dtype)};
  if (s->chunk_rows > 0)
    RT_TRY(chunk_offsets(h5, name, set, s, extents, n));
  else if (n > 0)
    extents[0].offset = (int64_t)H5Dget_offset(set); // undefined: -1
  const int64_t end = file_bytes(h5);
  for (int64_t i = 0; i < n; i++)
    RT_H5_CHECK(extents[i].offset >= 0 && extents[i].bytes <= end &&
                    extents[i].offset <= end - extents[i].bytes,
                h5, name, "its extent %lld is outside the file", (long long)i);
  return RT_OK;
}

rt_err rt_h5_find_extents(const rt_h5 *h5, const char *name, hid_t set,
                          const rt_h5_shape *s, rt_extent **out, int64_t *n)
{
  *n = s->rows > 0 && s->cols > 0;
  if (s->chunk_rows > 0 && *n > 0)
    *n = s->rows / s->chunk_rows + (s->rows % s->chunk_rows != 0);
  RT_H5_CHECK(*n <= RT_H5_MAX_CHUNKS, h5, name,
              "has %lld chunks, expected at most %d", (long long)*n,
              RT_H5_MAX_CHUNKS);
  *out = malloc((size_t)(*n + 1) * sizeof **out);
  RT_CHECK(*out != NULL, RT_ERR_MEM, "the extents of %s", h5->path);
  RT_TRY(find_extents(h5, name, set, s, *out, *n));
  return RT_OK;
}
rt_err rt_h5_extents(const rt_h5 *h5, const char *name, rt_extent **out,
                     int64_t *n)
{
  *out = NULL;
  hid_t set = H5I_INVALID_HID;
  rt_h5_shape shape;
  RT_TRY(rt_h5_open_set(h5, name, &set, &shape));
  const rt_err err = rt_h5_find_extents(h5, name, set, &shape, out, n);
  H5Dclose(set);
  if (err != RT_OK) {
    free(*out);
    *out = NULL;
  }
  return err;
}
