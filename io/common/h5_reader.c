/** \file h5_reader.c
 *  Checks the description of an HDF5 file by another process against the file,
 *  and reads data by pread.  That process may be under the control of the
 *  author of the file, so nothing it says may lead outside the file or outside
 *  memory. */
#include "io/common/h5_reader.h"

#include "io/common/h5_child.h"
#include "io/common/h5_describe.h"
#include "io/common/ranks.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/** Limits for reading whole rows in order to extract some of their columns. */
static const int64_t max_row_bytes = 64 << 10, max_rows_bytes = 1 << 20;

/** An attribute or a dataset. */
typedef struct entry {
  rt_h5_record kind;
  const char *name, *text; // borrowed from the records; text of TEXT, ODD_*
  size_t text_bytes;       // of TEXT, including the 0
  uint64_t bits;           // of INT, REAL
  rt_h5_shape shape;       // of SET, with the next two
  const unsigned char *offsets; // borrowed [n_extents] i64, not aligned
  int64_t n_extents, extent_bytes;
} entry;

struct rt_h5_reader {
  int fd;
  int64_t bytes; // of the file
  rt_bytes records;
  entry *entries; // owned [n], attributes before datasets, sorted by name
  int64_t n;
  char path[];
};

static rt_err take_string(rt_bytes_in *in, size_t max, const char **text,
                          size_t *bytes)
{
  uint32_t n = 0;
  const unsigned char *at = NULL;
  RT_TRY(rt_bytes_take_u32(in, &n));
  RT_TRY(rt_bytes_take(in, n, &at));
  RT_CHECK(n > 0 && n <= max && memchr(at, '\0', n) == at + n - 1, RT_ERR_DATA,
           "%s: a name or text is not terminated", in->name);
  *text = (const char *)at;
  *bytes = n;
  return RT_OK;
}

/** Offset of extent \a i of a dataset. */
static int64_t offset_of(const entry *e, int64_t i)
{
  int64_t offset;
  memcpy(&offset, e->offsets + 8 * i, sizeof offset);
  return offset;
}

/** Is the shape valid and no larger than the file, with the right number of
 *  extents, each inside the file? */
static bool fits(const rt_h5_reader *r, entry *e)
{
  const rt_h5_shape *const s = &e->shape;
  int64_t bytes;
  if ((s->n_dims != 2 && (s->n_dims != 1 || s->cols != 1)) ||
      !rt_h5_size_of(s, &bytes) || bytes > r->bytes)
    return false;
  const int64_t rows = s->chunk_rows > 0 ? s->chunk_rows : s->rows;
  int64_t n = bytes > 0;
  if (s->chunk_rows > 0 && n > 0)
    n = s->rows / s->chunk_rows + (s->rows % s->chunk_rows != 0);
  const rt_h5_shape one = {s->dtype, s->n_dims, rows, s->cols, 0};
  if (n != e->n_extents || n > RT_H5_MAX_CHUNKS ||
      !rt_h5_size_of(&one, &e->extent_bytes) || e->extent_bytes > r->bytes)
    return false;
  for (int64_t i = 0; i < n; i++)
    if (offset_of(e, i) < 0 || offset_of(e, i) > r->bytes - e->extent_bytes)
      return false;
  return true;
}

/** Is it a type that retort stores? */
static bool is_stored(uint32_t dtype)
{
  return dtype == RT_F32 || dtype == RT_F64 || dtype == RT_U8 ||
         dtype == RT_U32 || dtype == RT_U64;
}

static rt_err take_set(const rt_h5_reader *r, rt_bytes_in *in, entry *e)
{
  uint32_t dtype = 0, n_dims = 0, n = 0;
  uint64_t x[3] = {0};
  RT_TRY(rt_bytes_take_u32(in, &dtype));
  RT_TRY(rt_bytes_take_u32(in, &n_dims));
  for (int i = 0; i < 3; i++)
    RT_TRY(rt_bytes_take_u64(in, &x[i]));
  RT_TRY(rt_bytes_take_u32(in, &n));
  RT_TRY(rt_bytes_take(in, (size_t)n * 8, &e->offsets));
  e->n_extents = n;
  RT_CHECK(is_stored(dtype) && n_dims <= 2, RT_ERR_DATA,
           "%s, %s: it has no valid type", r->path, e->name);
  e->shape = (rt_h5_shape){.dtype = (rt_dtype)dtype,
                           .n_dims = (int)n_dims,
                           .rows = (int64_t)x[0],
                           .cols = (int64_t)x[1],
                           .chunk_rows = (int64_t)x[2]};
  RT_CHECK(fits(r, e), RT_ERR_DATA,
           "%s, %s: %lld x %lld in chunks of %lld rows do not fit a file of "
           "%lld bytes",
           r->path, e->name, (long long)x[0], (long long)x[1], (long long)x[2],
           (long long)r->bytes);
  return RT_OK;
}

static rt_err take_entry(const rt_h5_reader *r, rt_bytes_in *in, entry *e)
{
  uint32_t kind = 0;
  size_t n = 0;
  RT_TRY(rt_bytes_take_u32(in, &kind));
  RT_CHECK(kind < RT_H5_N_RECORD, RT_ERR_DATA, "%s: a record of kind %u",
           in->name, kind);
  *e = (entry){.kind = (rt_h5_record)kind};
  RT_TRY(take_string(in, RT_H5_MAX_NAME, &e->name, &n));
  if (kind == RT_H5_INT || kind == RT_H5_REAL)
    return rt_bytes_take_u64(in, &e->bits);
  if (kind == RT_H5_SET)
    return take_set(r, in, e);
  return take_string(in, RT_H5_MAX_TEXT + 1, &e->text, &e->text_bytes);
}

static bool is_set(const entry *e)
{
  return e->kind >= RT_H5_SET;
}

static int by_name(const void *a, const void *b)
{
  const entry *const x = a, *const y = b;
  const int sets = is_set(x) - is_set(y);
  return sets != 0 ? sets : strcmp(x->name, y->name);
}

/** Parse all of r->records. */
static rt_err parse(rt_h5_reader *r)
{
  RT_ASSERT(r != NULL);
  rt_bytes_in in = {r->records.data, r->records.n, 0, r->path};
  int64_t room = 0;
  while (in.at < in.n) {
    if (r->n == room) {
      room = 2 * room + 64;
      entry *const more = realloc(r->entries, (size_t)room * sizeof *more);
      RT_CHECK(more != NULL, RT_ERR_MEM, "%lld names in %s", (long long)room,
               r->path);
      r->entries = more;
    }
    RT_ASSERT(r->entries != NULL);
    RT_TRY(take_entry(r, &in, &r->entries[r->n]));
    r->n++;
  }
  if (r->n > 0)
    qsort(r->entries, (size_t)r->n, sizeof *r->entries, by_name);
  return RT_OK;
}

/** Open the file, without a description yet. */
static rt_err open_file(const char *path, rt_h5_reader **out)
{
  *out = NULL;
  rt_h5_reader *const r = calloc(1, sizeof *r + strlen(path) + 1);
  RT_CHECK(r != NULL, RT_ERR_MEM, "%zu bytes to open %s", sizeof *r, path);
  strcpy(r->path, path);
  r->fd = -1;
  *out = r;
  RT_TRY(rt_file_open(path, &r->fd));
  return rt_file_size_of(r->fd, path, &r->bytes);
}

/** Unless \a err is set, get and parse the description; close the reader after
 *  any error. */
static rt_err look(rt_err err, rt_h5_reader **r)
{
  if (err == RT_OK)
    err = rt_h5_child_ask((*r)->fd, (*r)->path, &(*r)->records);
  if (err == RT_OK)
    err = parse(*r);
  if (err != RT_OK)
    rt_h5_reader_close(r);
  return err;
}

rt_err rt_h5_reader_open(const char *path, rt_seal_proof *proof,
                         rt_h5_reader **out)
{
  *proof = (rt_seal_proof){0};
  rt_err err = open_file(path, out);
  if (err == RT_OK)
    err = rt_seal_check_open(MPI_COMM_SELF, (*out)->fd, path, proof);
  return look(err, out);
}

/** Each rank checks a share of the blocks through its own descriptor. */
static rt_err prove_all(MPI_Comm comm, const rt_h5_reader *r)
{
  RT_ASSERT(r != NULL); // the ranks have agreed that all have it open
  rt_seal_proof proof;
  rt_err err = rt_seal_check_open(comm, r->fd, r->path, &proof);
  if (err == RT_OK)
    err = rt_seal_proof_covers(&proof, r->path, NULL, 0);
  rt_seal_proof_clear(&proof);
  return rt_group_agree(comm, err);
}

/** Broadcast rank 0's records. */
static rt_err share_records(MPI_Comm comm, rt_h5_reader *r)
{
  int rank;
  RT_ASSERT(r != NULL); // as above
  RT_TRY_MPI(MPI_Comm_rank(comm, &rank));
  rt_err err = RT_OK;
  rt_bytes records = {0};
  if (rank == 0)
    err = rt_h5_child_ask(r->fd, r->path, &records);
  char *text = (char *)records.data;
  size_t n = records.n;
  RT_TRY(rt_group_bcast_text(comm, err, &text, &n));
  r->records = (rt_bytes){(unsigned char *)text, n, n};
  return RT_OK;
}

rt_err rt_h5_reader_open_all(MPI_Comm comm, const char *path,
                             rt_h5_reader **out)
{
  rt_err err = rt_group_agree(comm, open_file(path, out));
  if (err == RT_OK)
    err = prove_all(comm, *out);
  if (err == RT_OK)
    err = share_records(comm, *out);
  if (err == RT_OK)
    err = rt_group_agree(comm, parse(*out));
  if (err != RT_OK)
    rt_h5_reader_close(out);
  return err;
}

int64_t rt_h5_reader_bytes(const rt_h5_reader *r)
{
  return r->bytes;
}

void rt_h5_reader_close(rt_h5_reader **r)
{
  if (*r == NULL)
    return;
  if ((*r)->fd >= 0)
    close((*r)->fd);
  rt_bytes_clear(&(*r)->records);
  free((*r)->entries);
  free(*r);
  *r = NULL;
}

/** Find an entry by name; NULL if there is none. */
static const entry *find(const rt_h5_reader *r, const char *name, bool set)
{
  const entry key = {.kind = set ? RT_H5_SET : RT_H5_TEXT, .name = name};
  return r->n == 0
             ? NULL
             : bsearch(&key, r->entries, (size_t)r->n, sizeof key, by_name);
}

/** Find a readable dataset, or report why it (or a group on its path) is not.
 */
static rt_err find_set(const rt_h5_reader *r, const char *name,
                       const entry **out)
{
  char part[RT_H5_MAX_NAME];
  *out = find(r, name, true);
  for (const char *c = strchr(name, '/'); *out == NULL && c != NULL;
       c = strchr(c + 1, '/')) {
    snprintf(part, sizeof part, "%.*s", (int)(c - name), name);
    *out = find(r, part, true);
  }
  RT_CHECK(*out != NULL, RT_ERR_DATA, "%s, %s: is not in the file", r->path,
           name);
  RT_CHECK((*out)->kind == RT_H5_SET, RT_ERR_DATA, "%s", (*out)->text);
  RT_CHECK(strcmp((*out)->name, name) == 0, RT_ERR_DATA,
           "%s, %s: %s is not a group", r->path, name, (*out)->name);
  return RT_OK;
}

rt_err rt_h5_reader_look(const rt_h5_reader *r, const char *name,
                         rt_h5_shape *out)
{
  const entry *e = NULL;
  RT_TRY(find_set(r, name, &e));
  *out = e->shape;
  return RT_OK;
}

rt_err rt_h5_reader_expect(const rt_h5_reader *r, const char *name,
                           const rt_h5_shape *shape)
{
  rt_h5_shape s;
  RT_TRY(rt_h5_reader_look(r, name, &s));
  RT_CHECK(s.dtype == shape->dtype && s.n_dims == shape->n_dims &&
               s.rows == shape->rows && s.cols == shape->cols,
           RT_ERR_DATA, "%s, %s: is %s, expected %s", r->path, name,
           rt_h5_show(&s, (char[96]){0}), rt_h5_show(shape, (char[96]){0}));
  return RT_OK;
}

rt_err rt_h5_reader_extents(const rt_h5_reader *r, const char *name,
                            rt_extent **out, int64_t *n)
{
  const entry *e = NULL;
  *out = NULL;
  RT_TRY(find_set(r, name, &e));
  *n = e->n_extents;
  *out = malloc((size_t)(*n + 1) * sizeof **out);
  RT_CHECK(*out != NULL, RT_ERR_MEM, "the extents of %s", r->path);
  for (int64_t i = 0; i < *n; i++)
    (*out)[i] = (rt_extent){offset_of(e, i), e->extent_bytes};
  return RT_OK;
}

/** Read rows [row0, row0 + v.rows), which lie in one extent, from column \a
 *  col0 on.  \a buffer [max_rows_bytes] holds whole rows where that takes fewer
 *  calls. */
static rt_err read_rows(const rt_h5_reader *r, const entry *e, int64_t row0,
                        int64_t col0, rt_view v, char *buffer)
{
  const int64_t size = (int64_t)rt_dtype_size(v.dtype);
  const int64_t row_bytes = e->shape.cols * size, n_bytes = v.cols * size;
  const int64_t in_extent =
      e->shape.chunk_rows > 0 ? e->shape.chunk_rows : e->shape.rows;
  const int64_t begin =
      offset_of(e, row0 / in_extent) + row0 % in_extent * row_bytes;
  char *const to = v.data;
  if (v.cols == e->shape.cols && v.ld == v.cols)
    return rt_file_read_at(r->fd, r->path, to, (size_t)(v.rows * row_bytes),
                           begin);
  const int64_t at_once =
      row_bytes <= max_row_bytes ? max_rows_bytes / row_bytes : 0;
  for (int64_t i = 0; i < v.rows && at_once == 0; i++)
    RT_TRY(rt_file_read_at(r->fd, r->path, to + i * v.ld * size,
                           (size_t)n_bytes,
                           begin + i * row_bytes + col0 * size));
  for (int64_t i = 0; i < v.rows && at_once > 0; i += at_once) {
    const int64_t n = v.rows - i < at_once ? v.rows - i : at_once;
    RT_TRY(rt_file_read_at(r->fd, r->path, buffer, (size_t)(n * row_bytes),
                           begin + i * row_bytes));
    for (int64_t k = 0; k < n; k++)
      memcpy(to + (i + k) * v.ld * size, buffer + k * row_bytes + col0 * size,
             (size_t)n_bytes);
  }
  return RT_OK;
}

rt_err rt_h5_reader_read(const rt_h5_reader *r, const char *name, int64_t row0,
                         int64_t col0, rt_view piece)
{
  const entry *e = NULL;
  RT_TRY(find_set(r, name, &e));
  const rt_h5_shape *const s = &e->shape;
  if (piece.rows == 0 || piece.cols == 0)
    return RT_OK;
  RT_CHECK(piece.dtype == s->dtype && row0 >= 0 && col0 >= 0 &&
               row0 <= s->rows - piece.rows && col0 <= s->cols - piece.cols &&
               piece.ld >= piece.cols,
           RT_ERR_DATA,
           "%s, %s is %s: it has no %s rows %lld..%lld, columns %lld..%lld",
           r->path, name, rt_h5_show(s, (char[96]){0}),
           rt_dtype_name(piece.dtype), (long long)row0,
           (long long)(row0 + piece.rows), (long long)col0,
           (long long)(col0 + piece.cols));
  char *const buffer = malloc((size_t)max_rows_bytes);
  RT_CHECK(buffer != NULL, RT_ERR_MEM, "%lld bytes to read %s",
           (long long)max_rows_bytes, r->path);
  const int64_t in_extent = s->chunk_rows > 0 ? s->chunk_rows : s->rows;
  rt_err err = RT_OK;
  for (int64_t i = 0, n; i < piece.rows && err == RT_OK; i += n) {
    const int64_t left = in_extent - (row0 + i) % in_extent;
    n = piece.rows - i < left ? piece.rows - i : left;
    err = read_rows(r, e, row0 + i, col0, rt_view_rows(piece, i, n), buffer);
  }
  free(buffer);
  return err;
}

/** Find an attribute that retort accepts. */
static rt_err find_attribute(const rt_h5_reader *r, const char *name,
                             const entry **out)
{
  *out = find(r, name, false);
  RT_CHECK(*out != NULL, RT_ERR_DATA,
           "%s, %s: the attribute is not in the file", r->path, name);
  RT_CHECK((*out)->kind != RT_H5_ODD_ATTRIBUTE, RT_ERR_DATA,
           "%s, %s: the attribute %s", r->path, name, (*out)->text);
  return RT_OK;
}

rt_err rt_h5_reader_text(const rt_h5_reader *r, const char *name,
                         size_t max_bytes, char **text)
{
  const entry *e = NULL;
  *text = NULL;
  RT_TRY(find_attribute(r, name, &e));
  RT_CHECK(e->kind == RT_H5_TEXT && e->text_bytes <= max_bytes, RT_ERR_DATA,
           "%s, %s: the attribute is not a text of at most %zu bytes", r->path,
           name, max_bytes);
  *text = strdup(e->text);
  RT_CHECK(*text != NULL, RT_ERR_MEM, "%zu bytes of %s", e->text_bytes, name);
  return RT_OK;
}

static rt_err get_number(const rt_h5_reader *r, const char *name,
                         rt_h5_record kind, void *value)
{
  const entry *e = NULL;
  RT_TRY(find_attribute(r, name, &e));
  RT_CHECK(e->kind == kind, RT_ERR_DATA,
           "%s, %s: the attribute is not a 64-bit number of its kind", r->path,
           name);
  memcpy(value, &e->bits, sizeof e->bits);
  return RT_OK;
}

rt_err rt_h5_reader_int(const rt_h5_reader *r, const char *name, int64_t *value)
{
  return get_number(r, name, RT_H5_INT, value);
}

rt_err rt_h5_reader_real(const rt_h5_reader *r, const char *name, double *value)
{
  return get_number(r, name, RT_H5_REAL, value);
}
