/** \file h5_describe.c
 *  Opens an untrusted file and lists its contents.  Runs in the process that
 *  may crash (h5_child.c). */
#include "io/common/h5_describe.h"

#include "io/common/h5_parts.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static rt_err put_string(rt_bytes *out, const char *text)
{
  const size_t n = strlen(text) + 1;
  RT_TRY(rt_bytes_put_u32(out, (uint32_t)n));
  return rt_bytes_put(out, text, n);
}

static rt_err put_head(rt_bytes *out, rt_h5_record kind, const char *name)
{
  RT_TRY(rt_bytes_put_u32(out, kind));
  return put_string(out, name);
}

/** Append a record with the text of the last error. */
static rt_err put_odd(rt_bytes *out, rt_h5_record kind, const char *name)
{
  char why[1024];
  snprintf(why, sizeof why, "%s", rt_err_text());
  RT_TRY(put_head(out, kind, name));
  return put_string(out, why);
}

/** State for callbacks of HDF5's iterators. */
typedef struct walk {
  const rt_h5 *h5;  // borrowed
  rt_bytes *out;    // borrowed
  const char *name; // borrowed: the group being listed; "" for the root
  rt_err err;
} walk;

/** Conclude a record that was appended.  If \a err, replace it by a record that
 *  says why retort does not accept the object.  Returns the value for HDF5's
 *  iterator. */
static herr_t conclude(walk *w, size_t before, rt_h5_record kind,
                       const char *name)
{
  if (w->err == RT_ERR_DATA) {
    w->out->n = before;
    w->err = put_odd(w->out, kind, name);
  }
  if (w->err == RT_OK && w->out->n > RT_H5_MAX_RECORDS)
    w->err = RT_FAIL(RT_ERR_DATA,
                     "%s: listing its contents takes more than %d bytes",
                     w->h5->path, RT_H5_MAX_RECORDS);
  return w->err == RT_OK ? 0 : -1;
}

/** Read attribute \a id, which must have one value, as \a type. */
static bool get_value(hid_t id, hid_t type, void *value)
{
  const hid_t space = H5Aget_space(id);
  const bool scalar = H5Sget_simple_extent_npoints(space) == 1;
  H5Sclose(space);
  return scalar && H5Aread(id, type, value) >= 0;
}

static rt_err put_text(rt_bytes *out, const char *name, hid_t id, hid_t type)
{
  const size_t n = H5Tget_size(type);
  char *const text = calloc(1, n + 1);
  RT_CHECK(text != NULL, RT_ERR_MEM, "attribute %s of %zu bytes", name, n);
  rt_err err = RT_OK;
  if (!get_value(id, type, text))
    err = RT_FAIL(RT_ERR_DATA, "cannot be read");
  if (err == RT_OK)
    err = put_head(out, RT_H5_TEXT, name);
  if (err == RT_OK)
    err = put_string(out, text);
  free(text);
  return err;
}

static rt_err put_number(rt_bytes *out, rt_h5_record kind, const char *name,
                         hid_t id, hid_t type)
{
  uint64_t bits = 0;
  RT_CHECK(get_value(id, type, &bits), RT_ERR_DATA, "cannot be read");
  RT_TRY(put_head(out, kind, name));
  return rt_bytes_put_u64(out, bits);
}

static rt_err put_value(rt_bytes *out, const char *name, hid_t id, hid_t type)
{
  if (H5Tequal(type, H5T_STD_I64LE) > 0)
    return put_number(out, RT_H5_INT, name, id, type);
  if (H5Tequal(type, H5T_IEEE_F64LE) > 0)
    return put_number(out, RT_H5_REAL, name, id, type);
  RT_CHECK(
      H5Tget_class(type) == H5T_STRING && H5Tis_variable_str(type) == 0 &&
          H5Tget_size(type) <= RT_H5_MAX_TEXT,
      RT_ERR_DATA,
      "is neither a 64-bit number nor a text of fixed size of at most %d bytes",
      RT_H5_MAX_TEXT);
  return put_text(out, name, id, type);
}

static herr_t put_attribute(hid_t file, const char *name,
                            const H5A_info_t *about, void *data)
{
  walk *const w = data;
  const size_t before = w->out->n;
  (void)about;
  if (strlen(name) >= RT_H5_MAX_NAME)
    return 0; // not one of ours
  const hid_t id = H5Aopen(file, name, H5P_DEFAULT), type = H5Aget_type(id);
  w->err = put_value(w->out, name, id, type);
  H5Tclose(type);
  H5Aclose(id);
  return conclude(w, before, RT_H5_ODD_ATTRIBUTE, name);
}

static rt_err put_set(const rt_h5 *h5, const char *name, hid_t set,
                      const rt_h5_shape *s, rt_bytes *out)
{
  rt_extent *extents = NULL;
  int64_t n = 0;
  rt_err err = rt_h5_find_extents(h5, name, set, s, &extents, &n);
  if (err == RT_OK)
    err = put_head(out, RT_H5_SET, name);
  const uint64_t shape[] = {(uint64_t)s->rows, (uint64_t)s->cols,
                            (uint64_t)s->chunk_rows};
  if (err == RT_OK)
    err = rt_bytes_put_u32(out, s->dtype);
  if (err == RT_OK)
    err = rt_bytes_put_u32(out, (uint32_t)s->n_dims);
  for (int i = 0; err == RT_OK && i < 3; i++)
    err = rt_bytes_put_u64(out, shape[i]);
  if (err == RT_OK)
    err = rt_bytes_put_u32(out, (uint32_t)n);
  for (int64_t i = 0; err == RT_OK && i < n; i++)
    err = rt_bytes_put_u64(out, (uint64_t)extents[i].offset);
  free(extents);
  return err;
}

static rt_err look_at_set(const rt_h5 *h5, const char *name, rt_bytes *out)
{
  hid_t set = H5I_INVALID_HID;
  rt_h5_shape shape;
  RT_TRY(rt_h5_open_set(h5, name, &set, &shape));
  const rt_err err = put_set(h5, name, set, &shape, out);
  H5Dclose(set);
  return err;
}

static rt_err list_group(const rt_h5 *h5, const char *name, rt_bytes *out);

/** Does the hard link \a name lead to a group? */
static bool is_group(const rt_h5 *h5, const char *name)
{
  H5L_info_t link;
  if (H5Lget_info(h5->file, name, &link, H5P_DEFAULT) < 0 ||
      link.type != H5L_TYPE_HARD)
    return false;
  const hid_t id = H5Oopen(h5->file, name, H5P_DEFAULT);
  const bool is = H5Iget_type(id) == H5I_GROUP;
  H5Oclose(id);
  return is;
}

/** Append a member of a group: a dataset, a group, or something retort does not
 *  accept. */
static herr_t put_link(hid_t group, const char *name, const H5L_info_t *about,
                       void *data)
{
  walk *const w = data;
  char path[RT_H5_MAX_NAME];
  (void)group;
  (void)about;
  const int n = snprintf(path, sizeof path, "%s%s%s", w->name,
                         w->name[0] != '\0' ? "/" : "", name);
  if (n < 0 || n >= (int)sizeof path || name[0] == '\0' ||
      strchr(name, '/') != NULL)
    return 0; // retort does not write this; stopping here also ends cycles of
              // groups
  const size_t before = w->out->n;
  if (is_group(w->h5, path))
    w->err = list_group(w->h5, path, w->out);
  else
    w->err = look_at_set(w->h5, path, w->out);
  return conclude(w, before, RT_H5_ODD_SET, path);
}

static rt_err list_group(const rt_h5 *h5, const char *name, rt_bytes *out)
{
  walk w = {h5, out, name, RT_OK};
  const hid_t group =
      H5Gopen2(h5->file, name[0] != '\0' ? name : "/", H5P_DEFAULT);
  const herr_t ok =
      H5Literate(group, H5_INDEX_NAME, H5_ITER_INC, NULL, put_link, &w);
  H5Gclose(group);
  RT_TRY(w.err);
  return ok >= 0 ? RT_OK : rt_h5_failed(h5, name, "list its datasets");
}

static rt_err describe(const rt_h5 *h5, rt_bytes *out)
{
  walk w = {h5, out, "", RT_OK};
  const herr_t ok = H5Aiterate2(h5->file, H5_INDEX_NAME, H5_ITER_INC, NULL,
                                put_attribute, &w);
  RT_TRY(w.err);
  if (ok < 0)
    return rt_h5_failed(h5, "", "list its attributes");
  return list_group(h5, "", out);
}

void rt_h5_describe_begin(void)
{
  H5open();
}

rt_err rt_h5_describe(const char *open, const char *path, rt_bytes *out)
{
  rt_h5 *h5 = NULL;
  RT_TRY(rt_h5_new(path, RT_H5_READS, &h5));
  const hid_t fapl = H5Pcreate(H5P_FILE_ACCESS);
  // finished files never change, so readers need no lock
  H5Pset_file_locking(fapl, false, true);
  h5->file = H5Fopen(open, H5F_ACC_RDONLY, fapl);
  H5Pclose(fapl);
  rt_err err =
      h5->file >= 0 ? describe(h5, out) : rt_h5_failed(h5, "", "open it");
  if (h5->file >= 0 && H5Fclose(h5->file) < 0 && err == RT_OK)
    err = rt_h5_failed(h5, "", "close it");
  free(h5);
  return err;
}
