/** \file st_header.c
 *  Checks every number of a safetensors header against the contents of the
 *  file. */
#include "io/hf/st_header.h"

#include "io/common/foreign.h"
#include "io/common/json.h"

#include <stdlib.h>
#include <string.h>

_Static_assert(
    __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
    "safetensors files are little-endian and read without conversion");

/** All types of the format.  RT_N_DTYPE: known size, but not readable. */
static const struct {
  const char *name;
  int bits;
  rt_dtype dtype;
} types[] = {
    {"F32", 32, RT_F32},
    {"BF16", 16, RT_BF16},
    {"F16", 16, RT_F16},
    {"F64", 64, RT_N_DTYPE},
    {"I64", 64, RT_N_DTYPE},
    {"I32", 32, RT_N_DTYPE},
    {"I16", 16, RT_N_DTYPE},
    {"I8", 8, RT_N_DTYPE},
    {"U64", 64, RT_N_DTYPE},
    {"U32", 32, RT_N_DTYPE},
    {"U16", 16, RT_N_DTYPE},
    {"U8", 8, RT_N_DTYPE},
    {"BOOL", 8, RT_N_DTYPE},
    {"C64", 64, RT_N_DTYPE},
    {"F8_E4M3", 8, RT_N_DTYPE},
    {"F8_E5M2", 8, RT_N_DTYPE},
    {"F8_E8M0", 8, RT_N_DTYPE},
    {"F6_E2M3", 6, RT_N_DTYPE},
    {"F6_E3M2", 6, RT_N_DTYPE},
    {"F4", 4, RT_N_DTYPE},
    {"F8_E4M3FNUZ", 8, RT_N_DTYPE},
    {"F8_E5M2FNUZ", 8, RT_N_DTYPE},
};
enum { N_TYPES = sizeof types / sizeof types[0] };

const char *rt_st_dtype_name(rt_dtype dtype)
{
  for (int i = 0; i < N_TYPES && dtype != RT_N_DTYPE; i++)
    if (types[i].dtype == dtype)
      return types[i].name;
  return NULL;
}

/** Read dtype and shape of one tensor.  \param[out] bits  size of the whole
 *  tensor */
static rt_err read_shape(const char *path, const char *name,
                         const rt_json *info, rt_st_entry *e, int64_t *bits)
{
  char got[80];
  const rt_json *dtype = rt_json_get(info, "dtype");
  const rt_json *shape = rt_json_get(info, "shape");
  const char *type_name = rt_json_text(dtype);
  int i_type = 0;
  while (i_type < N_TYPES &&
         (type_name == NULL || strcmp(types[i_type].name, type_name) != 0))
    i_type++;
  rt_json_show(dtype, got, sizeof got);
  RT_CHECK(i_type < N_TYPES, RT_ERR_DATA,
           "%s: tensor %s: dtype is %s, expected a type of the safetensors "
           "format such as \"F32\"",
           path, name, got);
  e->dtype_name = types[i_type].name;
  e->tensor.dtype = types[i_type].dtype;

  rt_json_show(shape, got, sizeof got);
  RT_CHECK(rt_json_kind_of(shape) == RT_JSON_ARRAY &&
               rt_json_n(shape) <= RT_ST_MAX_DIMS,
           RT_ERR_DATA,
           "%s: tensor %s: shape is %s, expected a list of at most %d sizes",
           path, name, got, RT_ST_MAX_DIMS);
  e->tensor.n_dims = (int)rt_json_n(shape);
  *bits = types[i_type].bits;
  for (int d = 0; d < e->tensor.n_dims; d++) {
    int64_t *size = &e->tensor.shape[d];
    RT_CHECK(
        rt_json_int(rt_json_at(shape, (size_t)d), size) && *size >= 0 &&
            !__builtin_mul_overflow(*bits, *size, bits),
        RT_ERR_DATA,
        "%s: tensor %s: shape %s has an invalid size, or more than 2^63 bits",
        path, name, got);
  }
  return RT_OK;
}

/** Read one member of the header.  Offsets remain relative to the data. */
static rt_err read_tensor(const char *path, int64_t data_bytes,
                          const char *name, const rt_json *info, rt_st_entry *e)
{
  char got[80];
  rt_json_show(info, got, sizeof got);
  RT_CHECK(rt_json_kind_of(info) == RT_JSON_OBJECT && rt_json_n(info) == 3,
           RT_ERR_DATA,
           "%s: tensor %s: got %s, expected {dtype, shape, data_offsets} and "
           "nothing else",
           path, name, got);
  int64_t bits = 0, begin = 0, end = 0;
  RT_TRY(read_shape(path, name, info, e, &bits));
  const rt_json *offsets = rt_json_get(info, "data_offsets");
  rt_json_show(offsets, got, sizeof got);
  RT_CHECK(rt_json_n(offsets) == 2 &&
               rt_json_int(rt_json_at(offsets, 0), &begin) &&
               rt_json_int(rt_json_at(offsets, 1), &end) && begin >= 0 &&
               begin <= end && end <= data_bytes,
           RT_ERR_DATA,
           "%s: tensor %s: data_offsets are %s, expected [begin, end] within "
           "the %lld bytes of data; the file is damaged or truncated",
           path, name, got, (long long)data_bytes);
  RT_CHECK(bits % 8 == 0 && bits / 8 == end - begin, RT_ERR_DATA,
           "%s: tensor %s: data_offsets %s hold %lld bytes, but shape and "
           "dtype %s need %lld bits",
           path, name, got, (long long)(end - begin), e->dtype_name,
           (long long)bits);
  e->offset = begin;
  e->bytes = end - begin;
  e->tensor.name = strdup(name);
  RT_CHECK(e->tensor.name != NULL, RT_ERR_MEM, "%zu bytes for a tensor's name",
           strlen(name) + 1);
  return RT_OK;
}

static rt_err check_metadata(const char *path, const rt_json *metadata)
{
  rt_json_member m = {0};
  bool ok = rt_json_kind_of(metadata) == RT_JSON_OBJECT;
  while (ok && rt_json_next(metadata, &m))
    ok = rt_json_text(m.value) != NULL;
  RT_CHECK(ok, RT_ERR_DATA, "%s: __metadata__ must hold texts only", path);
  return RT_OK;
}

static int by_offset(const void *a, const void *b)
{
  const rt_st_entry *x = a, *y = b;
  if (x->offset != y->offset)
    return x->offset < y->offset ? -1 : 1;
  return (x->bytes > y->bytes) - (x->bytes < y->bytes); // empty tensors first
}

/** Check that the tensors tile the data: no hole (which could hide something),
 *  no overlap, and nothing after the last. */
static rt_err check_tiling(const char *path, int64_t data_bytes,
                           const rt_st_entry *e, int n)
{
  int64_t at = 0;
  for (int i = 0; i < n; i++) {
    RT_CHECK(e[i].offset == at, RT_ERR_DATA,
             "%s: tensor %s starts at data byte %lld, expected %lld: %s", path,
             e[i].tensor.name, (long long)e[i].offset, (long long)at,
             e[i].offset < at ? "it overlaps the tensor before it"
                              : "there is a hole before it");
    at += e[i].bytes;
  }
  RT_CHECK(at == data_bytes, RT_ERR_DATA,
           "%s: the tensors need %lld bytes of data, the file has %lld", path,
           (long long)at, (long long)data_bytes);
  return RT_OK;
}

/** Add the aliases {alias: name} of __metadata__ as further entries with the
 *  same bytes.  An actual tensor of that name takes precedence. */
static rt_err read_aliases(const rt_json *header, rt_st_entry *e, int *n)
{
  const int n_real = *n;
  rt_json_member m = {0};
  while (rt_json_next(rt_json_get(header, "__metadata__"), &m)) {
    const char *const name = rt_json_text(m.value);
    if (rt_json_get(header, m.key) != NULL)
      continue;
    for (int i = 0; i < n_real; i++)
      if (strcmp(e[i].tensor.name, name) == 0) {
        rt_st_entry *const to = &e[(*n)++];
        *to = e[i];
        to->tensor.alias = true;
        to->tensor.name = strdup(m.key);
        RT_CHECK(to->tensor.name != NULL, RT_ERR_MEM, "a tensor's name");
        break;
      }
  }
  return RT_OK;
}

/** Convert the parsed header to checked entries with file offsets. */
static rt_err read_entries(const char *path, int64_t data_begin,
                           int64_t data_bytes, const rt_json *header,
                           rt_st_entry *e, int *n)
{
  rt_json_member m = {0};
  RT_CHECK(rt_json_kind_of(header) == RT_JSON_OBJECT, RT_ERR_DATA,
           "%s: the header is not a JSON object", path);
  *n = 0;
  while (rt_json_next(header, &m)) {
    if (strcmp(m.key, "__metadata__") == 0) {
      RT_TRY(check_metadata(path, m.value));
      continue;
    }
    RT_TRY(read_tensor(path, data_bytes, m.key, m.value, &e[*n]));
    ++*n;
  }
  qsort(e, (size_t)*n, sizeof *e, by_offset);
  RT_TRY(check_tiling(path, data_bytes, e, *n));
  for (int i = 0; i < *n; i++)
    e[i].offset += data_begin;
  return read_aliases(header, e, n);
}

/** Read the header's JSON text.  \param[out] text  [*n], the caller frees */
static rt_err read_text(int fd, const char *path, int64_t file_bytes,
                        char **text, size_t *n)
{
  uint64_t length;
  RT_CHECK(file_bytes >= (int64_t)sizeof length, RT_ERR_DATA,
           "%s is truncated: %lld bytes cannot hold the 8 of a header's length",
           path, (long long)file_bytes);
  RT_TRY(rt_file_read_at(fd, path, &length, sizeof length, 0));
  if (length > (uint64_t)RT_ST_MAX_HEADER)
    RT_TRY(rt_foreign_refuse(path)); // gives a more specific message
  RT_CHECK(length <= (uint64_t)RT_ST_MAX_HEADER, RT_ERR_DATA,
           "%s: header of %llu bytes, expected at most %lld; this is not a "
           "safetensors file",
           path, (unsigned long long)length, (long long)RT_ST_MAX_HEADER);
  RT_CHECK((int64_t)length <= file_bytes - 8, RT_ERR_DATA,
           "%s is truncated: a header of %llu bytes, but only %lld follow its "
           "length",
           path, (unsigned long long)length, (long long)file_bytes - 8);
  *n = (size_t)length;
  *text = malloc(*n + 1);
  RT_CHECK(*text != NULL, RT_ERR_MEM, "%zu bytes for the header of %s", *n,
           path);
  RT_TRY(rt_file_read_at(fd, path, *text, *n, 8));
  size_t end = *n; // only spaces may follow, so that nothing can be hidden
  while (end > 0 && (*text)[end - 1] == ' ')
    end--;
  RT_CHECK(
      end >= 2 && (*text)[0] == '{' && (*text)[end - 1] == '}', RT_ERR_DATA,
      "%s: the header must start with '{' and end with '}' and spaces", path);
  return RT_OK;
}

/** The number of tensors is bounded by the length of the header, so it fits
 *  into an int. */
_Static_assert(RT_ST_MAX_HEADER < INT32_MAX, "counts of tensors are int");

rt_err rt_st_header_read(int fd, const char *path, int64_t file_bytes,
                         rt_st_entry **entry, int *n)
{
  char *text = NULL;
  size_t n_text = 0;
  rt_json *header = NULL;
  *entry = NULL;
  *n = 0;
  rt_err err = read_text(fd, path, file_bytes, &text, &n_text);
  if (err == RT_OK)
    err = rt_json_parse(path, text, n_text, &header);
  free(text);
  if (err == RT_OK) {
    const size_t n_members =
        rt_json_n(header) + rt_json_n(rt_json_get(header, "__metadata__"));
    *entry = calloc(n_members + 1, sizeof **entry);
    if (*entry == NULL)
      err = RT_FAIL(RT_ERR_MEM, "%zu tensors of %s", n_members, path);
  }
  const int64_t data_begin = 8 + (int64_t)n_text;
  if (err == RT_OK)
    err = read_entries(path, data_begin, file_bytes - data_begin, header,
                       *entry, n);
  rt_json_free(&header);
  if (err != RT_OK) {
    rt_st_entries_free(*entry, *n);
    *entry = NULL;
    *n = 0;
    return rt_err_forward(err, __FILE__, __LINE__);
  }
  return RT_OK;
}

void rt_st_entries_free(rt_st_entry *entry, int n)
{
  for (int i = 0; entry != NULL && i < n; i++)
    free((void *)(uintptr_t)entry[i].tensor.name);
  free(entry);
}
