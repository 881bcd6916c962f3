/** \file h5.c
 *  Creates HDF5 files in memory. */
#include "io/common/h5_parts.h"

#include "io/common/h5_memory.h"
#include "io/common/sparse.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/** Create the file in memory, which no other process sees, so HDF5's file locks
 *  are unnecessary. */
static rt_err create(rt_h5 *h5)
{
  h5->memory.fd = memfd_create("retort", MFD_CLOEXEC);
  RT_CHECK(h5->memory.fd >= 0, RT_ERR_MEM, "cannot lay out %s in memory: %s",
           h5->path, strerror(errno));
  const hid_t fapl = H5Pcreate(H5P_FILE_ACCESS),
              fcpl = H5Pcreate(H5P_FILE_CREATE);
  // the same content must give the same bytes
  H5Pset_obj_track_times(fcpl, false);
  if (H5Pset_libver_bounds(fapl, H5F_LIBVER_V110, H5F_LIBVER_V110) >= 0 &&
      H5Pset_file_locking(fapl, false, true) >= 0 &&
      rt_h5_memory_use(fapl, &h5->memory) >= 0)
    h5->file = H5Fcreate(h5->path, H5F_ACC_TRUNC, fcpl, fapl);
  const rt_err err = h5->file >= 0 ? RT_OK : rt_h5_failed(h5, "", "create it");
  H5Pclose(fcpl);
  H5Pclose(fapl);
  return err;
}

rt_err rt_h5_create(const char *path, rt_h5 **out)
{
  *out = NULL;
  RT_TRY(rt_h5_new(path, RT_H5_WRITES, out));
  const rt_err err = create(*out);
  if (err != RT_OK)
    rt_h5_close(out);
  return err;
}

/** Close the HDF5 handles. */
static rt_err close_file(rt_h5 *h5)
{
  const hid_t file = h5->file;
  h5->file = H5I_INVALID_HID;
  return file < 0 || H5Fclose(file) >= 0 ? RT_OK
                                         : rt_h5_failed(h5, "", "close it");
}

void rt_h5_close(rt_h5 **h5)
{
  if (*h5 == NULL)
    return;
  if ((*h5)->file >= 0)
    H5Fclose((*h5)->file); // the file exists in memory only
  rt_h5_memory_leave(&(*h5)->memory);
  if ((*h5)->memory.fd >= 0)
    close((*h5)->memory.fd);
  free(*h5);
  *h5 = NULL;
}

rt_err rt_h5_save(rt_h5 **h5, const rt_extent *raw, int64_t n_raw,
                  rt_outfile *to)
{
  const rt_h5_memory *const m = &(*h5)->memory;
  rt_err err = close_file(*h5);
  // the file size limit applies to files in memory, too
  if (err == RT_OK && m->reason == EFBIG)
    err =
        RT_FAIL(RT_ERR_IO,
                "%s is too large: files of this process may have at most %.3f "
                "MiB (ulimit -f)",
                (*h5)->path, (double)rt_file_most_bytes() * 0x1p-20);
  if (err == RT_OK && m->reason != 0)
    err = RT_FAIL(RT_ERR_MEM, "cannot lay out %s in memory: %s", (*h5)->path,
                  strerror(m->reason));
  if (err == RT_OK)
    err = rt_sparse_save(m->fd, (*h5)->path, raw, n_raw, to);
  if (err == RT_OK)
    err = rt_outfile_resize(to, m->end);
  rt_h5_close(h5);
  return err;
}

/** Creation properties of a new dataset.  Space is allocated early, so that
 *  data lies in order and lack of space is noticed early.  No fill values, as
 *  all of it is written. */
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

/** Create the groups on the path of \a name that do not exist yet. */
static void create_groups(const rt_h5 *h5, const char *name)
{
  const hid_t gcpl = H5Pcreate(H5P_GROUP_CREATE);
  H5Pset_obj_track_times(gcpl, false);
  char part[256];
  for (const char *c = strchr(name, '/'); c != NULL; c = strchr(c + 1, '/')) {
    snprintf(part, sizeof part, "%.*s", (int)(c - name), name);
    // if this fails, so does the declaration
    if (H5Lexists(h5->file, part, H5P_DEFAULT) == 0)
      H5Gclose(H5Gcreate2(h5->file, part, H5P_DEFAULT, gcpl, H5P_DEFAULT));
  }
  H5Pclose(gcpl);
}

rt_err rt_h5_declare(rt_h5 *h5, const char *name, const rt_h5_shape *shape)
{
  int64_t bytes;
  RT_CHECK(rt_h5_type_of(shape->dtype) >= 0 && rt_h5_size_of(shape, &bytes) &&
               (shape->n_dims == 2 || (shape->n_dims == 1 && shape->cols == 1)),
           RT_ERR_INTERNAL, "%s, %s: a dataset of %s", h5->path, name,
           rt_h5_show(shape, (char[96]){0}));
  const hsize_t dims[] = {(hsize_t)shape->rows, (hsize_t)shape->cols};
  const hid_t space = H5Screate_simple(shape->n_dims, dims, NULL);
  const hid_t dcpl = creation_list(shape);
  create_groups(h5, name);
  const hid_t set = H5Dcreate2(h5->file, name, rt_h5_type_of(shape->dtype),
                               space, H5P_DEFAULT, dcpl, H5P_DEFAULT);
  // closing also writes
  const bool ok = set >= 0 && H5Dclose(set) >= 0;
  const rt_err err = ok ? RT_OK : rt_h5_failed(h5, name, "create it");
  H5Pclose(dcpl);
  H5Sclose(space);
  return err;
}

/** Write \a v at (row0, col0) of an open dataset of the same type. */
static rt_err move(const rt_h5 *h5, const char *name, hid_t set, int64_t row0,
                   int64_t col0, rt_view v)
{
  const hid_t space = H5Dget_space(set);
  // the memory space needs the same rank, or HDF5 1.10 copies element by
  // element
  const int n_dims = H5Sget_simple_extent_ndims(space);
  const hsize_t rows = (hsize_t)v.rows, ld = (hsize_t)v.ld;
  const hsize_t room[] = {n_dims == 1 ? rows * ld : rows, ld};
  const hsize_t from[] = {0, 0}, stride[] = {n_dims == 1 ? ld : 1, 1};
  const hsize_t at[] = {(hsize_t)row0, (hsize_t)col0};
  const hsize_t count[] = {rows, (hsize_t)v.cols};
  const hid_t memory = H5Screate_simple(n_dims, room, NULL);
  H5Sselect_hyperslab(memory, H5S_SELECT_SET, from, stride, count, NULL);
  H5Sselect_hyperslab(space, H5S_SELECT_SET, at, NULL, count, NULL);
  const hid_t type = rt_h5_type_of(v.dtype);
  const herr_t ok = H5Dwrite(set, type, memory, space, H5P_DEFAULT, v.data);
  const rt_err err = ok >= 0 ? RT_OK : rt_h5_failed(h5, name, "write its data");
  H5Sclose(memory);
  H5Sclose(space);
  return err;
}

/** Check that the piece \a v at (row0, col0) lies inside a dataset of shape \a
 *  s. */
static rt_err check_piece(const rt_h5 *h5, const char *name,
                          const rt_h5_shape *s, int64_t row0, int64_t col0,
                          const rt_view *v)
{
  RT_CHECK(v->dtype == s->dtype && row0 >= 0 && col0 >= 0 &&
               row0 <= s->rows - v->rows && col0 <= s->cols - v->cols &&
               v->ld >= v->cols,
           RT_ERR_INTERNAL,
           "%s, %s is %s: it has no %s rows %lld..%lld, columns %lld..%lld",
           h5->path, name, rt_h5_show(s, (char[96]){0}),
           rt_dtype_name(v->dtype), (long long)row0,
           (long long)(row0 + v->rows), (long long)col0,
           (long long)(col0 + v->cols));
  return RT_OK;
}

rt_err rt_h5_write(rt_h5 *h5, const char *name, int64_t row0, int64_t col0,
                   rt_view piece)
{
  hid_t set = H5I_INVALID_HID;
  rt_h5_shape shape;
  RT_TRY(rt_h5_open_set(h5, name, &set, &shape));
  rt_err err = RT_OK;
  if (piece.rows > 0 && piece.cols > 0) // an empty piece needs no type
    err = check_piece(h5, name, &shape, row0, col0, &piece);
  if (err == RT_OK && piece.rows > 0 && piece.cols > 0)
    err = move(h5, name, set, row0, col0, piece);
  const bool closed = H5Dclose(set) >= 0; // closing also writes
  RT_TRY(err);
  return closed ? RT_OK : rt_h5_failed(h5, name, "write its data");
}

static rt_err put_value(rt_h5 *h5, const char *name, hid_t type,
                        const void *value)
{
  const hid_t space = H5Screate(H5S_SCALAR);
  const hid_t id =
      H5Acreate2(h5->file, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
  const bool ok = id >= 0 && H5Awrite(id, type, value) >= 0;
  const bool closed = H5Aclose(id) >= 0;
  const rt_err err =
      ok && closed ? RT_OK : rt_h5_failed(h5, name, "write this attribute");
  H5Sclose(space);
  return err;
}

rt_err rt_h5_put_text(rt_h5 *h5, const char *name, const char *text)
{
  // fixed size: variable-length strings are stored in a heap without checksums
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

const char *rt_h5_version(void)
{
  return H5_VERS_INFO[0] != '\0' ? strrchr(H5_VERS_INFO, ' ') + 1 : "?";
}
