/** \file h5.c
 *  HDF5, the only file that knows it. */
#include "io/common/h5.h"

#include "base/split.h"
#include <hdf5.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/** More than 2 GiB in one independent call fails under OMPIO and ROMIO. */
static const int64_t max_call_bytes = INT64_C(512) << 20;
static const int64_t max_chunks = 1 << 14; // HDF5 1.10: time is their square

struct rt_h5 {
  hid_t file;
  bool shared;  // by the ranks of a communicator
  bool writing; // created by us
  char path[];
};

/** The HDF5 type of \a dtype, in the file and in memory alike (little-endian
 *  machines only, so that nothing is ever converted); < 0: not storable. */
static hid_t type_of(rt_dtype dtype)
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
  if (n == 0 && e->desc != NULL)
    snprintf(text, 512, "%s", e->desc);
  return 0;
}

/** What HDF5 says of its last failure, into \a text [512]. */
static const char *reason(char *text)
{
  snprintf(text, 512, "no reason given");
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, keep_innermost, text);
  return text;
}

/** A failed HDF5 call on \a name ("": on the file). */
static rt_err failed(const rt_h5 *h5, const char *name, const char *what)
{
  char text[512];
  return RT_FAIL(h5->writing ? RT_ERR_IO : RT_ERR_DATA,
                 "%s%s%s: HDF5 cannot %s: %s", h5->path,
                 name[0] != '\0' ? ", " : "", name, what, reason(text));
}

/** Bad contents of \a name, although HDF5 is content. */
#define DATA_CHECK(condition, h5, name, ...)                                   \
  do {                                                                         \
    if (!(condition)) {                                                        \
      char why_[512];                                                          \
      snprintf(why_, sizeof why_, __VA_ARGS__);                                \
      return RT_FAIL(RT_ERR_DATA, "%s, %s: %s", (h5)->path, name, why_);       \
    }                                                                          \
  } while (0)

/** Access properties; < 0 on failure. */
static hid_t access_list(MPI_Comm comm)
{
  const hid_t fapl = H5Pcreate(H5P_FILE_ACCESS);
  // no locks of HDF5's own, which some file systems refuse: finished files
  // never change, and who writes has locked the folder writes stay independent,
  // those of metadata too: when one fails, its rank returns and can end the
  // job; inside a collective write (OMPIO, Open MPI 4.1) it waits for its
  // peers, and they for it
  const bool ok =
      H5Pset_libver_bounds(fapl, H5F_LIBVER_V110, H5F_LIBVER_V110) >= 0 &&
      H5Pset_file_locking(fapl, false, true) >= 0 &&
      (comm == MPI_COMM_NULL ||
       H5Pset_fapl_mpio(fapl, comm, MPI_INFO_NULL) >= 0);
  if (ok)
    return fapl;
  H5Pclose(fapl);
  return H5I_INVALID_HID;
}

static rt_err open_file(const char *path, MPI_Comm comm, bool writing,
                        rt_h5 **out)
{
  *out = NULL;
  H5Eset_auto2(H5E_DEFAULT, NULL, NULL); // errors are told once, by us
  H5PLset_loading_state(0);              // no code from plug-in folders
  rt_h5 *h5 = calloc(1, sizeof *h5 + strlen(path) + 1);
  RT_CHECK(h5 != NULL, RT_ERR_MEM, "%zu bytes to open %s", sizeof *h5, path);
  strcpy(h5->path, path);
  h5->shared = comm != MPI_COMM_NULL;
  h5->writing = writing;
  const hid_t fapl = access_list(comm), fcpl = H5Pcreate(H5P_FILE_CREATE);
  H5Pset_obj_track_times(fcpl, false); // same content, same bytes
  h5->file = fapl < 0  ? fapl
             : writing ? H5Fcreate(path, H5F_ACC_TRUNC, fcpl, fapl)
                       : H5Fopen(path, H5F_ACC_RDONLY, fapl);
  const rt_err err = h5->file >= 0 ? RT_OK : failed(h5, "", "open it");
  H5Pclose(fcpl);
  H5Pclose(fapl);
  if (err == RT_OK)
    *out = h5;
  else
    free(h5);
  return err;
}

rt_err rt_h5_create(const char *path, MPI_Comm comm, rt_h5 **out)
{
  return open_file(path, comm, true, out);
}

rt_err rt_h5_open(const char *path, rt_h5 **out)
{
  return open_file(path, MPI_COMM_NULL, false, out);
}

rt_err rt_h5_close(rt_h5 **h5)
{
  if (*h5 == NULL)
    return RT_OK;
  rt_err err = RT_OK;
  // with MPI-IO the flush syncs what each node holds in its cache
  if ((*h5)->writing && H5Fflush((*h5)->file, H5F_SCOPE_GLOBAL) < 0)
    err = failed(*h5, "", "flush it");
  if (H5Fclose((*h5)->file) < 0 && err == RT_OK)
    err = failed(*h5, "", "close it");
  free(*h5);
  *h5 = NULL;
  return err;
}

/** --- datasets --- */

/** Elements and bytes of a shape; false when they do not fit 63 bits. */
static bool size_of(const rt_h5_shape *s, int64_t *bytes)
{
  return s->rows >= 0 && s->cols >= 0 && s->chunk_rows >= 0 &&
         !__builtin_mul_overflow(s->rows, s->cols, bytes) &&
         !__builtin_mul_overflow(*bytes, (int64_t)rt_dtype_size(s->dtype),
                                 bytes);
}

/** "2-d 10 x 20 f32", into \a text [96]. */
static const char *show(const rt_h5_shape *s, char *text)
{
  snprintf(text, 96, "%d-d %lld x %lld %s", s->n_dims, (long long)s->rows,
           (long long)s->cols, rt_dtype_name(s->dtype));
  return text;
}

/** Layout of a new dataset.  Room is given at once, so that the data lies in
 *  order and a full disk is seen early; no fill values: all is written. */
static hid_t creation_list(const rt_h5_shape *shape)
{
  const hid_t dcpl = H5Pcreate(H5P_DATASET_CREATE);
  H5Pset_obj_track_times(dcpl, false);
  H5Pset_fill_time(dcpl, H5D_FILL_TIME_NEVER);
  H5Pset_alloc_time(dcpl, H5D_ALLOC_TIME_EARLY);
  const hsize_t rows = (hsize_t)shape->rows, cols = (hsize_t)shape->cols;
  const hsize_t asked = (hsize_t)shape->chunk_rows;
  if (asked > 0 && rows > 0 && cols > 0)
    H5Pset_chunk(dcpl, shape->n_dims,
                 (hsize_t[]){asked < rows ? asked : rows, cols});
  return dcpl;
}

/** The groups on the way to \a name, where absent. */
static void create_groups(const rt_h5 *h5, const char *name)
{
  const hid_t gcpl = H5Pcreate(H5P_GROUP_CREATE);
  H5Pset_obj_track_times(gcpl, false);
  char part[256];
  for (const char *c = strchr(name, '/'); c != NULL; c = strchr(c + 1, '/')) {
    snprintf(part, sizeof part, "%.*s", (int)(c - name), name);
    if (H5Lexists(h5->file, part, H5P_DEFAULT) == 0) // else declare fails
      H5Gclose(H5Gcreate2(h5->file, part, H5P_DEFAULT, gcpl, H5P_DEFAULT));
  }
  H5Pclose(gcpl);
}

rt_err rt_h5_declare(rt_h5 *h5, const char *name, const rt_h5_shape *shape)
{
  int64_t bytes;
  RT_CHECK(type_of(shape->dtype) >= 0 && size_of(shape, &bytes) &&
               (shape->n_dims == 2 || (shape->n_dims == 1 && shape->cols == 1)),
           RT_ERR_INTERNAL, "%s, %s: a dataset of %s", h5->path, name,
           show(shape, (char[96]){0}));
  const hsize_t dims[] = {(hsize_t)shape->rows, (hsize_t)shape->cols};
  const hid_t space = H5Screate_simple(shape->n_dims, dims, NULL);
  const hid_t dcpl = creation_list(shape);
  create_groups(h5, name);
  const hid_t set = H5Dcreate2(h5->file, name, type_of(shape->dtype), space,
                               H5P_DEFAULT, dcpl, H5P_DEFAULT);
  const rt_err err = set >= 0 ? RT_OK : failed(h5, name, "create it");
  H5Dclose(set);
  H5Pclose(dcpl);
  H5Sclose(space);
  return err;
}

/** Every step of the way to \a name must be a hard link: soft and external ones
 *  may lead out of what was hashed. */
static rt_err check_links(const rt_h5 *h5, const char *name)
{
  char part[256];
  RT_CHECK(name[0] != '\0' && name[0] != '/' && strlen(name) < sizeof part,
           RT_ERR_INTERNAL, "%s: a dataset called \"%.300s\"", h5->path, name);
  for (size_t i = 1; i <= strlen(name); i++)
    if (name[i] == '/' || name[i] == '\0') {
      snprintf(part, sizeof part, "%.*s", (int)i, name);
      H5L_info_t info;
      DATA_CHECK(H5Lget_info(h5->file, part, &info, H5P_DEFAULT) >= 0, h5, name,
                 "is not in the file");
      DATA_CHECK(info.type == H5L_TYPE_HARD, h5, name,
                 "%s is a soft or external link", part);
    }
  return RT_OK;
}

/** How \a set is stored: \a dcpl are its creation properties. */
static rt_err look_storage(const rt_h5 *h5, const char *name, hid_t dcpl,
                           rt_h5_shape *out)
{
  const H5D_layout_t layout = H5Pget_layout(dcpl);
  DATA_CHECK(layout == H5D_CONTIGUOUS || layout == H5D_CHUNKED, h5, name,
             "has HDF5 layout %d: not contiguous, not chunked", (int)layout);
  DATA_CHECK(H5Pget_nfilters(dcpl) == 0 && H5Pget_external_count(dcpl) == 0, h5,
             name, "has filters or external storage");
  if (layout == H5D_CONTIGUOUS)
    return RT_OK;
  hsize_t chunk[2] = {0, 1};
  DATA_CHECK(H5Pget_chunk(dcpl, 2, chunk) == out->n_dims && chunk[0] > 0 &&
                 chunk[0] <= INT32_MAX && chunk[1] == (hsize_t)out->cols,
             h5, name, "has chunks that are not whole rows");
  out->chunk_rows = (int64_t)chunk[0];
  return RT_OK;
}

static rt_err look_type(const rt_h5 *h5, const char *name, hid_t type,
                        rt_h5_shape *out)
{
  int i = 0;
  while (i < RT_N_DTYPE && (type_of((rt_dtype)i) < 0 ||
                            H5Tequal(type, type_of((rt_dtype)i)) <= 0))
    i++;
  DATA_CHECK(i < RT_N_DTYPE, h5, name, "is no little-endian f32, f64, u8 ...");
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
  DATA_CHECK((n == 1 || n == 2) && dims[0] <= INT64_MAX &&
                 dims[1] <= INT64_MAX && dims[0] == max[0] && dims[1] == max[1],
             h5, name, "is not of 1 or 2 fixed dimensions (it has %d)", n);
  out->n_dims = n;
  out->rows = (int64_t)dims[0];
  out->cols = (int64_t)dims[1];
  return RT_OK;
}

/** 0 on failure: nothing fits. */
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
  int64_t bytes; // callers make room for what is claimed
  DATA_CHECK(size_of(out, &bytes) && (h5->writing || bytes <= file_bytes(h5)),
             h5, name, "%lld x %lld do not fit a file of %lld bytes",
             (long long)out->rows, (long long)out->cols,
             (long long)file_bytes(h5));
  return RT_OK;
}

/** Open a dataset and look at it; the caller closes \a set.  No chunk cache: a
 *  piece of a chunk then costs its own bytes. */
static rt_err open_set(const rt_h5 *h5, const char *name, hid_t *set,
                       rt_h5_shape *shape)
{
  RT_TRY(check_links(h5, name));
  const hid_t dapl = H5Pcreate(H5P_DATASET_ACCESS);
  H5Pset_chunk_cache(dapl, H5D_CHUNK_CACHE_NSLOTS_DEFAULT, 0,
                     H5D_CHUNK_CACHE_W0_DEFAULT);
  *set = H5Dopen2(h5->file, name, dapl);
  H5Pclose(dapl);
  if (*set < 0)
    return failed(h5, name, "open it");
  const rt_err err = look(h5, name, *set, shape);
  if (err != RT_OK)
    H5Dclose(*set);
  return err;
}

rt_err rt_h5_look(const rt_h5 *h5, const char *name, rt_h5_shape *out)
{
  hid_t set = H5I_INVALID_HID;
  RT_TRY(open_set(h5, name, &set, out));
  H5Dclose(set);
  return RT_OK;
}

rt_err rt_h5_expect(const rt_h5 *h5, const char *name, const rt_h5_shape *shape)
{
  rt_h5_shape s;
  RT_TRY(rt_h5_look(h5, name, &s));
  DATA_CHECK(s.dtype == shape->dtype && s.n_dims == shape->n_dims &&
                 s.rows == shape->rows && s.cols == shape->cols,
             h5, name, "is %s, expected %s", show(&s, (char[96]){0}),
             show(shape, (char[96]){0}));
  return RT_OK;
}

/** --- moving data --- */

/** One call: \a v at (row0, col0) of an open dataset; v has its type. */
static rt_err move(const rt_h5 *h5, const char *name, hid_t set, int64_t row0,
                   int64_t col0, rt_view v)
{
  const hid_t space = H5Dget_space(set);
  // as many dimensions in memory: else HDF5 1.10 goes element by element
  const int n_dims = H5Sget_simple_extent_ndims(space);
  const hsize_t ld = (hsize_t)(v.rows > 0 ? v.ld : 1);
  const hsize_t rows = (hsize_t)(v.rows > 0 ? v.rows : 1);
  const hsize_t room[] = {n_dims == 1 ? rows * ld : rows, ld};
  const hsize_t from[] = {0, 0}, stride[] = {n_dims == 1 ? ld : 1, 1};
  const hsize_t at[] = {(hsize_t)row0, (hsize_t)col0};
  const hsize_t count[] = {rows, (hsize_t)v.cols};
  const hid_t memory = H5Screate_simple(n_dims, room, NULL);
  H5Sselect_hyperslab(memory, H5S_SELECT_SET, from, stride, count, NULL);
  H5Sselect_hyperslab(space, H5S_SELECT_SET, at, NULL, count, NULL);
  if (v.rows == 0) {
    H5Sselect_none(memory);
    H5Sselect_none(space);
  }
  const hid_t type = type_of(v.dtype);
  const herr_t ok =
      h5->writing ? H5Dwrite(set, type, memory, space, H5P_DEFAULT, v.data)
                  : H5Dread(set, type, memory, space, H5P_DEFAULT, v.data);
  const rt_err err = ok >= 0 ? RT_OK : failed(h5, name, "move its data");
  H5Sclose(memory);
  H5Sclose(space);
  return err;
}

/** Slices of whole rows of at most max_call_bytes.  When all ranks take part
 *  their number follows from the whole dataset, which all of them know. */
static rt_err move_slices(const rt_h5 *h5, const char *name, hid_t set,
                          const rt_h5_shape *s, int64_t row0, int64_t col0,
                          rt_view v)
{
  if (v.rows == 0 || v.cols == 0) // an empty piece needs no type
    v = rt_view_of(v.data, s->dtype, 0, 0);
  RT_CHECK(v.dtype == s->dtype && row0 >= 0 && col0 >= 0 &&
               (v.rows == 0 || (row0 <= s->rows - v.rows &&
                                col0 <= s->cols - v.cols && v.ld >= v.cols)),
           h5->writing ? RT_ERR_INTERNAL : RT_ERR_DATA,
           "%s, %s is %s: it has no %s rows %lld..%lld, columns %lld..%lld",
           h5->path, name, show(s, (char[96]){0}), rt_dtype_name(v.dtype),
           (long long)row0, (long long)(row0 + v.rows), (long long)col0,
           (long long)(col0 + v.cols));
  const int64_t row_bytes = s->cols * (int64_t)rt_dtype_size(s->dtype);
  RT_CHECK(row_bytes <= max_call_bytes, RT_ERR_INTERNAL,
           "%s, %s: a row of %lld bytes", h5->path, name, (long long)row_bytes);
  if (row_bytes == 0)
    return RT_OK;
  const int64_t rows_at_once = max_call_bytes / row_bytes;
  const int64_t rows = h5->writing && h5->shared ? s->rows : v.rows;
  const int n = (int)((rows + rows_at_once - 1) / rows_at_once);
  for (int i = 0; i < n; i++) {
    const int64_t n_rows = rt_split_count(v.rows, n, i);
    const int64_t r = n_rows > 0 ? rt_split_begin(v.rows, n, i) : 0;
    RT_TRY(move(h5, name, set, row0 + r, col0, rt_view_rows(v, r, n_rows)));
  }
  return RT_OK;
}

static rt_err transfer(const rt_h5 *h5, const char *name, int64_t row0,
                       int64_t col0, rt_view piece)
{
  hid_t set = H5I_INVALID_HID;
  rt_h5_shape shape;
  RT_TRY(open_set(h5, name, &set, &shape));
  const rt_err err = move_slices(h5, name, set, &shape, row0, col0, piece);
  H5Dclose(set);
  return err;
}

rt_err rt_h5_write(rt_h5 *h5, const char *name, int64_t row0, int64_t col0,
                   rt_view piece)
{
  return transfer(h5, name, row0, col0, piece);
}

rt_err rt_h5_read(const rt_h5 *h5, const char *name, int64_t row0, int64_t col0,
                  rt_view piece)
{
  return transfer(h5, name, row0, col0, piece);
}

/** --- where data lies --- */

/** Fill in extents[i].offset from HDF5's list of chunks. */
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
    const hsize_t j = at[0] / (hsize_t)s->chunk_rows; // whatever the file says
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
    DATA_CHECK(extents[i].offset >= 0 && extents[i].bytes <= end &&
                   extents[i].offset <= end - extents[i].bytes,
               h5, name, "its extent %lld is outside the file", (long long)i);
  return RT_OK;
}

static rt_err new_extents(const rt_h5 *h5, const char *name, hid_t set,
                          const rt_h5_shape *s, rt_extent **out, int64_t *n)
{
  *n = s->rows > 0 && s->cols > 0;
  if (s->chunk_rows > 0 && *n > 0)
    *n = s->rows / s->chunk_rows + (s->rows % s->chunk_rows != 0);
  DATA_CHECK(*n <= max_chunks, h5, name,
             "has %lld chunks, expected at most %lld", (long long)*n,
             (long long)max_chunks);
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
  RT_TRY(open_set(h5, name, &set, &shape));
  const rt_err err = new_extents(h5, name, set, &shape, out, n);
  H5Dclose(set);
  if (err != RT_OK) {
    free(*out);
    *out = NULL;
  }
  return err;
}

/** --- attributes --- */

static rt_err put_value(rt_h5 *h5, const char *name, hid_t type,
                        const void *value)
{
  const hid_t space = H5Screate(H5S_SCALAR);
  const hid_t id =
      H5Acreate2(h5->file, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
  const bool ok = id >= 0 && H5Awrite(id, type, value) >= 0;
  const rt_err err = ok ? RT_OK : failed(h5, name, "write this attribute");
  H5Aclose(id);
  H5Sclose(space);
  return err;
}

rt_err rt_h5_put_text(rt_h5 *h5, const char *name, const char *text)
{
  // fixed size: variable strings lie in a heap without checksums
  const hid_t type = H5Tcopy(H5T_C_S1);
  H5Tset_size(type, strlen(text) + 1);
  H5Tset_cset(type, H5T_CSET_UTF8);
  const rt_err err = put_value(h5, name, type, text);
  H5Tclose(type);
  return err;
}

rt_err rt_h5_put_int(rt_h5 *h5, const char *name, int64_t value)
{
  return put_value(h5, name, H5T_STD_I64LE, &value);
}

rt_err rt_h5_put_real(rt_h5 *h5, const char *name, double value)
{
  return put_value(h5, name, H5T_IEEE_F64LE, &value);
}

/** Read attribute \a id, of one value, as \a type. */
static bool get_value(hid_t id, hid_t type, void *value)
{
  const hid_t space = H5Aget_space(id);
  const bool scalar = H5Sget_simple_extent_npoints(space) == 1;
  H5Sclose(space);
  return scalar && H5Aread(id, type, value) >= 0;
}

rt_err rt_h5_get_text(const rt_h5 *h5, const char *name, size_t max_bytes,
                      char **text)
{
  *text = NULL;
  const hid_t id = H5Aopen(h5->file, name, H5P_DEFAULT);
  DATA_CHECK(id >= 0, h5, name, "the attribute is not in the file");
  const hid_t type = H5Aget_type(id);
  const size_t size = H5Tget_size(type);
  if (H5Tget_class(type) == H5T_STRING && H5Tis_variable_str(type) == 0 &&
      size <= max_bytes)
    *text = calloc(1, size + 1);
  const bool ok = *text != NULL && get_value(id, type, *text);
  H5Tclose(type);
  H5Aclose(id);
  if (ok)
    return RT_OK;
  free(*text);
  *text = NULL;
  return RT_FAIL(RT_ERR_DATA, "%s, %s: the attribute is no text of %zu bytes",
                 h5->path, name, max_bytes);
}

static rt_err get_number(const rt_h5 *h5, const char *name, hid_t expected,
                         void *value)
{
  const hid_t id = H5Aopen(h5->file, name, H5P_DEFAULT);
  DATA_CHECK(id >= 0, h5, name, "the attribute is not in the file");
  const hid_t type = H5Aget_type(id);
  const bool ok = H5Tequal(type, expected) > 0 && get_value(id, type, value);
  H5Tclose(type);
  H5Aclose(id);
  DATA_CHECK(ok, h5, name, "the attribute is not a 64-bit number of its kind");
  return RT_OK;
}

rt_err rt_h5_get_int(const rt_h5 *h5, const char *name, int64_t *value)
{
  return get_number(h5, name, H5T_STD_I64LE, value);
}

rt_err rt_h5_get_real(const rt_h5 *h5, const char *name, double *value)
{
  return get_number(h5, name, H5T_IEEE_F64LE, value);
}

const char *rt_h5_version(void)
{
  return H5_VERS_INFO[0] != '\0' ? strrchr(H5_VERS_INFO, ' ') + 1 : "?";
}
