/** \file safetensors.c
 *  Reads folders of safetensors files: shards, index, slices. */
#include "io/hf/st_header.h"

#include "base/log.h"
#include "base/text.h"
#include "io/common/digest.h"
#include "io/common/json.h"
#include "io/common/ranks.h"
#include "io/hf/hffolder.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SINGLE "model.safetensors"
#define INDEX "model.safetensors.index.json"

enum { MAX_INDEX = 32 << 20, PIECE_BYTES = 4 << 20 };

typedef struct shard {
  char path[RT_PATH_MAX];
  const char *name; // points into path
  int fd;           // owned, -1: not open
} shard;

struct rt_safetensors {
  char path[RT_PATH_MAX]; // as given by the user, for messages
  shard *shard;           // owned [n_shards], sorted by name
  int n_shards;
  rt_st_entry *entry; // owned [n], sorted by name
  int n;
};

/** Check the name of a shard, which is untrusted: it must not lead out of the
 *  folder. */
static rt_err check_shard_name(const char *index_path, const char *tensor,
                               const rt_json *value)
{
  char got[120];
  const char *name = rt_json_text(value);
  rt_json_show(value, got, sizeof got);
  RT_CHECK(name != NULL && name[0] != '\0' && strchr(name, '/') == NULL &&
               strstr(name, "..") == NULL,
           RT_ERR_DATA,
           "%s: weight_map puts %s into %s, expected the name of a file in "
           "the same folder, without \"/\" and \"..\"",
           index_path, tensor, got);
  return RT_OK;
}

static rt_err add_shard(rt_safetensors *st, const char *folder,
                        const char *name)
{
  shard *s = &st->shard[st->n_shards];
  RT_TRY(rt_path_join(s->path, folder, name));
  s->name = strrchr(s->path, '/');
  s->name = s->name == NULL ? s->path : s->name + 1;
  s->fd = -1;
  st->n_shards++;
  return RT_OK;
}

static rt_err alloc_shards(rt_safetensors *st, size_t n)
{
  st->shard = calloc(n, sizeof *st->shard);
  RT_CHECK(st->shard != NULL, RT_ERR_MEM, "%zu shards of %s", n, st->path);
  return RT_OK;
}

/** Add each file of weight_map once.  \a names [members of weight_map] is
 *  scratch. */
static rt_err add_mapped_shards(rt_safetensors *st, const char *index_path,
                                const rt_json *weight_map, const char **names)
{
  rt_json_member m = {0};
  size_t n = 0, n_unique = 0;
  while (rt_json_next(weight_map, &m)) {
    RT_TRY(check_shard_name(index_path, m.key, m.value));
    names[n++] = rt_json_text(m.value);
  }
  qsort(names, n, sizeof *names, rt_text_compare);
  for (size_t i = 0; i < n; i++)
    if (i == 0 || strcmp(names[i], names[n_unique - 1]) != 0)
      names[n_unique++] = names[i];
  RT_TRY(alloc_shards(st, n_unique));
  for (size_t i = 0; i < n_unique; i++)
    RT_TRY(add_shard(st, st->path, names[i]));
  return RT_OK;
}

static rt_err list_shards(rt_safetensors *st, const char *index_path,
                          const rt_json *index)
{
  const rt_json *weight_map = rt_json_get(index, "weight_map");
  const size_t n = rt_json_n(weight_map);
  RT_CHECK(rt_json_kind_of(weight_map) == RT_JSON_OBJECT && n > 0, RT_ERR_DATA,
           "%s: weight_map must be an object {tensor: file} and not empty",
           index_path);
  const char **names = malloc(n * sizeof *names);
  RT_CHECK(names != NULL, RT_ERR_MEM, "%zu names of %s", n, index_path);
  const rt_err err = add_mapped_shards(st, index_path, weight_map, names);
  free(names);
  RT_TRY(err);
  return RT_OK;
}

/** Reject a folder with both a single file and the shards of an index, since it
 *  is ambiguous.  An index that lists only that file, or shards that do not
 *  exist, is accepted. */
static rt_err check_only(const rt_safetensors *st, const char *index_path,
                         const rt_json *index)
{
  const rt_json *const weight_map = rt_json_get(index, "weight_map");
  char path[RT_PATH_MAX];
  rt_json_member m = {0};
  while (rt_json_next(weight_map, &m)) {
    RT_TRY(check_shard_name(index_path, m.key, m.value));
    if (strcmp(rt_json_text(m.value), SINGLE) == 0)
      continue;
    RT_TRY(rt_path_join(path, st->path, rt_json_text(m.value)));
    RT_CHECK(!rt_file_exists(path), RT_ERR_DATA,
             "%s holds %s and also %s with %s: two sets of weights; remove the "
             "one you do not want",
             st->path, SINGLE, INDEX, rt_json_text(m.value));
  }
  return RT_OK;
}

static rt_err use_single(rt_safetensors *st, const char *index_path)
{
  rt_json *index = NULL;
  RT_TRY(alloc_shards(st, 1));
  RT_TRY(add_shard(st, st->path, SINGLE));
  if (!rt_file_exists(index_path))
    return RT_OK;
  RT_TRY(rt_json_read(index_path, MAX_INDEX, &index));
  const rt_err err = check_only(st, index_path, index);
  rt_json_free(&index);
  return err;
}

/** Fill the list of shards; *index remains NULL if there is no index. */
static rt_err find_files(rt_safetensors *st, char index_path[RT_PATH_MAX],
                         rt_json **index)
{
  char single[RT_PATH_MAX];
  if (rt_file_exists(st->path)) {
    RT_TRY(alloc_shards(st, 1));
    return add_shard(st, "", st->path);
  }
  RT_TRY(rt_path_join(single, st->path, SINGLE));
  RT_TRY(rt_path_join(index_path, st->path, INDEX));
  if (rt_path_exists(single)) // preferred, as in transformers
    return use_single(st, index_path);
  if (!rt_path_exists(index_path))
    return rt_hffolder_refuse(st->path, SINGLE " or " INDEX);
  RT_TRY(rt_json_read(index_path, MAX_INDEX, index));
  return list_shards(st, index_path, *index);
}

static int by_name(const void *a, const void *b)
{
  const rt_st_entry *x = a, *y = b;
  return strcmp(x->tensor.name, y->tensor.name);
}

/** Open a shard and append its tensors to the list. */
static rt_err open_shard(rt_safetensors *st, const char *index_path,
                         int i_shard)
{
  shard *s = &st->shard[i_shard];
  int64_t bytes;
  rt_st_entry *entry;
  int n;
  RT_CHECK(index_path == NULL || rt_path_exists(s->path), RT_ERR_NOINPUT,
           "%s names %s, which is not there: the model is incomplete, download "
           "or copy it again",
           index_path, s->name);
  RT_TRY(rt_file_size(s->path, &bytes));
  RT_TRY(rt_file_open(s->path, &s->fd));
  RT_TRY(rt_st_header_read(s->fd, s->path, bytes, &entry, &n));
  const size_t total = (size_t)st->n + (size_t)n;
  rt_st_entry *all =
      total > INT32_MAX ? NULL : realloc(st->entry, (total + 1) * sizeof *all);
  if (all == NULL) {
    rt_st_entries_free(entry, n);
    return RT_FAIL(RT_ERR_MEM, "%zu tensors of %s", total, st->path);
  }
  st->entry = all;
  for (int i = 0; i < n; i++) {
    entry[i].i_shard = i_shard;
    st->entry[st->n++] = entry[i]; // including ownership of its name
  }
  free(entry);
  return RT_OK;
}

/** Check that weight_map and the shards agree: every tensor is in exactly the
 *  shard it names, none is missing.  total_size is ignored: some writers count
 *  differently, and other readers only use it to show progress. */
static rt_err check_index(const rt_safetensors *st, const char *index_path,
                          const rt_json *index)
{
  const rt_json *weight_map = rt_json_get(index, "weight_map");
  const rt_json *total =
      rt_json_get(rt_json_get(index, "metadata"), "total_size");
  int64_t sum = 0; // sum of file sizes, so it does not overflow
  for (int i = 0; i < st->n; i++) {
    const rt_st_entry *e = &st->entry[i];
    const char *in = st->shard[e->i_shard].name;
    if (e->tensor.alias)
      continue;
    const char *mapped = rt_json_text(rt_json_get(weight_map, e->tensor.name));
    RT_CHECK(mapped != NULL && strcmp(mapped, in) == 0, RT_ERR_DATA,
             "%s: weight_map puts tensor %s into %s, but %s holds it",
             index_path, e->tensor.name, mapped == NULL ? "no file" : mapped,
             in);
    sum += e->bytes;
  }
  rt_json_member m = {0};
  while (rt_json_next(weight_map, &m))
    RT_CHECK(rt_safetensors_find(st, m.key) != NULL, RT_ERR_DATA,
             "%s: weight_map puts tensor %s into %s, which does not hold it",
             index_path, m.key, rt_json_text(m.value));
  double claimed;
  if (total != NULL &&
      !(rt_json_real(total, &claimed) && claimed == (double)sum))
    rt_warn(
        "%s: metadata.total_size differs from the %lld bytes of the tensors; "
        "it is ignored, as every tensor was found where the index says",
        index_path, (long long)sum);
  return RT_OK;
}

static rt_err open_all(rt_safetensors *st, const char *index_path,
                       const rt_json *index)
{
  for (int i = 0; i < st->n_shards; i++)
    RT_TRY(open_shard(st, index != NULL ? index_path : NULL, i));
  qsort(st->entry, (size_t)st->n, sizeof *st->entry, by_name);
  for (int i = 1; i < st->n; i++)
    RT_CHECK(by_name(&st->entry[i - 1], &st->entry[i]) != 0, RT_ERR_DATA,
             "%s: tensor %s is in %s and again in %s", st->path,
             st->entry[i].tensor.name, st->shard[st->entry[i - 1].i_shard].name,
             st->shard[st->entry[i].i_shard].name);
  if (index != NULL)
    RT_TRY(check_index(st, index_path, index));
  return RT_OK;
}

rt_err rt_safetensors_open(const char *path, rt_safetensors **out)
{
  char index_path[RT_PATH_MAX];
  rt_json *index = NULL;
  *out = NULL;
  rt_safetensors *st = calloc(1, sizeof *st);
  RT_CHECK(st != NULL, RT_ERR_MEM, "%zu bytes to open %s", sizeof *st, path);
  rt_err err = rt_hffolder_find(path, st->path);
  if (err == RT_OK)
    err = find_files(st, index_path, &index);
  if (err == RT_OK)
    err = open_all(st, index_path, index);
  rt_json_free(&index);
  if (err != RT_OK) {
    rt_safetensors_close(&st);
    return rt_err_forward(err, __FILE__, __LINE__);
  }
  *out = st;
  return RT_OK;
}

void rt_safetensors_close(rt_safetensors **st)
{
  if (*st == NULL)
    return;
  for (int i = 0; i < (*st)->n_shards; i++)
    if ((*st)->shard[i].fd >= 0)
      close((*st)->shard[i].fd);
  rt_st_entries_free((*st)->entry, (*st)->n);
  free((*st)->shard);
  free(*st);
  *st = NULL;
}

const rt_st_tensor *rt_safetensors_find(const rt_safetensors *st,
                                        const char *name)
{
  const rt_st_entry key = {.tensor.name = name};
  const rt_st_entry *e = NULL;
  if (st->n > 0)
    e = bsearch(&key, st->entry, (size_t)st->n, sizeof *st->entry, by_name);
  return e == NULL ? NULL : &e->tensor;
}

int rt_safetensors_n(const rt_safetensors *st)
{
  return st->n;
}

const rt_st_tensor *rt_safetensors_at(const rt_safetensors *st, int i)
{
  RT_ASSERT(i >= 0 && i < st->n);
  return &st->entry[i].tensor;
}

int rt_safetensors_n_files(const rt_safetensors *st)
{
  return st->n_shards;
}

const char *rt_safetensors_file(const rt_safetensors *st, int i)
{
  RT_ASSERT(i >= 0 && i < st->n_shards);
  return st->shard[i].path;
}

/** Number of rows of a tensor as a matrix: a vector is one row. */
static int64_t rows_of(const rt_st_tensor *t)
{
  return t->n_dims == 2 ? t->shape[0] : 1;
}

static int64_t cols_of(const rt_st_tensor *t)
{
  return t->n_dims == 0 ? 1 : t->shape[t->n_dims - 1];
}

/** Check that the slice lies inside the tensor. */
static rt_err check_slice(const char *path, const rt_st_tensor *t, int64_t row0,
                          int64_t col0, const rt_view *to)
{
  RT_CHECK(t->n_dims <= 2, RT_ERR_DATA,
           "%s: tensor %s has %d dimensions, expected a matrix or a vector",
           path, t->name, t->n_dims);
  const int64_t rows = rows_of(t), cols = cols_of(t);
  RT_CHECK(row0 >= 0 && col0 >= 0 && to->rows >= 0 && to->cols >= 0 &&
               to->rows <= rows && row0 <= rows - to->rows &&
               to->cols <= cols && col0 <= cols - to->cols,
           RT_ERR_DATA,
           "%s: tensor %s is [%lld, %lld], but rows %lld + %lld and columns "
           "%lld + %lld are needed: weights and config.json disagree",
           path, t->name, (long long)rows, (long long)cols, (long long)row0,
           (long long)to->rows, (long long)col0, (long long)to->cols);
  return RT_OK;
}

/** Read the rows \a to, contiguous in the file from \a offset on, through the
 *  buffer \a piece unless no conversion is needed. */
static rt_err read_run(const shard *s, rt_dtype from, int64_t offset,
                       rt_view to, void *piece)
{
  const size_t elements = (size_t)(to.rows * to.cols);
  const size_t size_to = rt_dtype_size(to.dtype), size = rt_dtype_size(from);
  char *const first = to.data;
  const bool dense = to.rows == 1 || to.ld == to.cols;
  if (from == to.dtype && dense)
    return rt_file_read_at(s->fd, s->path, first, elements * size, offset);
  RT_TRY(rt_file_read_at(s->fd, s->path, piece, elements * size, offset));
  if (dense) {
    rt_dtype_convert(first, to.dtype, piece, from, elements);
    return RT_OK;
  }
  for (int64_t i = 0; i < to.rows; i++)
    rt_dtype_convert(first + (size_t)(i * to.ld) * size_to, to.dtype,
                     (char *)piece + (size_t)(i * to.cols) * size, from,
                     (size_t)to.cols);
  return RT_OK;
}

rt_err rt_safetensors_read(const rt_safetensors *st, const char *name,
                           int64_t row0, int64_t col0, rt_view to)
{
  const rt_st_tensor *t = rt_safetensors_find(st, name);
  RT_CHECK(t != NULL, RT_ERR_DATA,
           "%s has no tensor %s: weights and config.json disagree", st->path,
           name);
  const rt_st_entry *e = (const rt_st_entry *)t;
  const shard *s = &st->shard[e->i_shard];
  const int64_t cols = cols_of(t);
  RT_TRY(check_slice(s->path, t, row0, col0, &to));
  RT_CHECK(t->dtype != RT_N_DTYPE, RT_ERR_DATA,
           "%s: tensor %s is %s, expected F32, BF16 or F16; quantised weights "
           "must be saved again as one of these",
           s->path, name, e->dtype_name);
  RT_CHECK(to.dtype == RT_F32 || to.dtype == RT_F64, RT_ERR_INTERNAL,
           "%s: tensor %s wanted as %s, expected f32 or f64", s->path, name,
           rt_dtype_name(to.dtype));
  if (to.rows == 0 || to.cols == 0)
    return RT_OK;
  // whole rows are contiguous: read many at once; otherwise row by row
  const int64_t size = (int64_t)rt_dtype_size(t->dtype);
  int64_t run = to.cols == cols ? PIECE_BYTES / (cols * size) : 1;
  run = run < 1 ? 1 : run < to.rows ? run : to.rows;
  void *piece = malloc((size_t)(run * to.cols * size));
  RT_CHECK(piece != NULL, RT_ERR_MEM, "%lld bytes to read tensor %s of %s",
           (long long)(run * to.cols * size), name, s->path);
  rt_err err = RT_OK;
  for (int64_t r = 0; r < to.rows && err == RT_OK; r += run) {
    const int64_t n = to.rows - r < run ? to.rows - r : run;
    const int64_t at = e->offset + ((row0 + r) * cols + col0) * size;
    err = read_run(s, t->dtype, at, rt_view_rows(to, r, n), piece);
    rt_ranks_alive();
  }
  free(piece);
  RT_TRY(err);
  return RT_OK;
}

static rt_err hash_shard(const shard *s, rt_sha256 *h, void *piece)
{
  int64_t bytes;
  RT_TRY(rt_file_size(s->path, &bytes));
  for (int64_t at = 0; at < bytes; at += PIECE_BYTES) {
    const int64_t left = bytes - at;
    const size_t n = (size_t)(left < PIECE_BYTES ? left : PIECE_BYTES);
    RT_TRY(rt_file_read_at(s->fd, s->path, piece, n, at));
    rt_sha256_update(h, piece, n);
    rt_ranks_alive();
  }
  return RT_OK;
}

static rt_err hash_shards(const rt_safetensors *st, rt_sha256 *h)
{
  void *piece = malloc(PIECE_BYTES);
  RT_CHECK(piece != NULL, RT_ERR_MEM, "%d bytes to hash %s", PIECE_BYTES,
           st->path);
  rt_err err = RT_OK;
  for (int i = 0; i < st->n_shards && err == RT_OK; i++)
    err = hash_shard(&st->shard[i], h, piece);
  free(piece);
  RT_TRY(err);
  return RT_OK;
}

rt_err rt_safetensors_hash(const char *path, char hex[RT_SHA256_HEX])
{
  rt_safetensors *st;
  rt_sha256 *h = NULL;
  hex[0] = '\0';
  RT_TRY(rt_safetensors_open(path, &st));
  rt_err err = rt_sha256_create(&h);
  if (err == RT_OK)
    err = hash_shards(st, h);
  rt_safetensors_close(&st);
  if (h != NULL)
    rt_sha256_finish(&h, hex);
  if (err != RT_OK) {
    hex[0] = '\0';
    return rt_err_forward(err, __FILE__, __LINE__);
  }
  return RT_OK;
}

/** Hash the text of the shards' digests.  \a paths and \a each are scratch [n].
 */
static rt_err digest_shards(MPI_Comm comm, const rt_safetensors *st,
                            const char **paths, char (*each)[RT_SHA256_HEX],
                            char hex[RT_SHA256_HEX])
{
  for (int i = 0; i < st->n_shards; i++)
    paths[i] = st->shard[i].path;
  RT_TRY(rt_files_digest(comm, st->path, paths, st->n_shards, each));
  for (int i = 0; i < st->n_shards; i++)
    each[i][RT_SHA256_HEX - 1] = '\n';
  return rt_hash_text(each[0], (size_t)st->n_shards * sizeof each[0], hex);
}

rt_err rt_safetensors_digest(MPI_Comm comm, const char *path,
                             char hex[RT_SHA256_HEX])
{
  rt_safetensors *st;
  const char **paths = NULL;
  char(*each)[RT_SHA256_HEX] = NULL;
  rt_err err = rt_safetensors_open(path, &st);
  if (err == RT_OK) {
    paths = calloc((size_t)st->n_shards, sizeof *paths);
    each = calloc((size_t)st->n_shards, sizeof *each);
    if (paths == NULL || each == NULL)
      err = RT_FAIL(RT_ERR_MEM, "%d files of %s", st->n_shards, path);
  }
  err = rt_group_agree(comm, err);
  if (err == RT_OK) {
    RT_ASSERT(st != NULL && paths != NULL && each != NULL);
    err = rt_group_agree(comm, digest_shards(comm, st, paths, each, hex));
  }
  free(paths);
  free(each);
  rt_safetensors_close(&st);
  RT_TRY(err);
  return RT_OK;
}
