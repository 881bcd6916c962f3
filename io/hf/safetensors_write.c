/** \file safetensors_write.c
 *  Writes one .safetensors file under a temporary name, then renames it. */
#include "io/hf/st_header.h"

#include "base/outfile.h"

#include "io/common/json.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/** A tensor of the file to be written. */
typedef struct item {
  char *name; // owned
  int64_t rows, cols;
  int64_t offset;      /**< in the file */
  unsigned char *done; // owned [rows]: 1 once the row is written
  int64_t n_done;
} item;

struct rt_st_writer {
  char path[RT_PATH_MAX], tmp[RT_PATH_MAX];
  rt_outfile *to; // owned
  rt_dtype dtype;
  item *item; // owned [n]
  int n;
};

/** Copy the tensors' names and sizes, and lay them out from data byte 0. */
static rt_err plan(rt_st_writer *w, const rt_st_tensor *t, int n)
{
  w->item = calloc((size_t)n + 1, sizeof *w->item);
  RT_CHECK(w->item != NULL, RT_ERR_MEM, "%d tensors of %s", n, w->path);
  w->dtype = n > 0 ? t[0].dtype : RT_F32;
  RT_CHECK(w->dtype == RT_F32 || w->dtype == RT_BF16, RT_ERR_INTERNAL,
           "%s: weights as %s, expected f32 or bf16", w->path,
           rt_dtype_name(w->dtype));
  int64_t at = 0;
  for (int i = 0; i < n; i++) {
    item *it = &w->item[w->n++];
    RT_CHECK(t[i].dtype == w->dtype && t[i].n_dims >= 1 && t[i].n_dims <= 2,
             RT_ERR_INTERNAL,
             "%s: tensor %s must be a vector or matrix of the first's type",
             w->path, t[i].name);
    it->name = strdup(t[i].name);
    it->rows = t[i].n_dims == 2 ? t[i].shape[0] : 1;
    it->cols = t[i].shape[t[i].n_dims - 1];
    it->offset = at;
    int64_t bytes = 0;
    RT_CHECK(it->rows >= 0 && it->cols >= 0 &&
                 !__builtin_mul_overflow(it->rows, it->cols, &bytes) &&
                 !__builtin_mul_overflow(
                     bytes, (int64_t)rt_dtype_size(w->dtype), &bytes) &&
                 !__builtin_add_overflow(at, bytes, &at),
             RT_ERR_INTERNAL, "%s: tensor %s of [%lld, %lld] is too large",
             w->path, t[i].name, (long long)it->rows, (long long)it->cols);
    it->done = calloc((size_t)it->rows + 1, 1);
    RT_CHECK(it->name != NULL && it->done != NULL, RT_ERR_MEM,
             "tensor %s of %s", t[i].name, w->path);
  }
  return RT_OK;
}

static void print_header(FILE *to, const rt_st_writer *w, const rt_st_tensor *t)
{
  const int64_t size = (int64_t)rt_dtype_size(w->dtype);
  // transformers rejects files without this format
  fputs("{\"__metadata__\":{\"format\":\"pt\"}", to);
  for (int i = 0; i < w->n; i++) {
    const item *it = &w->item[i];
    fputc(',', to);
    rt_json_put_text(to, it->name);
    fprintf(to, ":{\"dtype\":\"%s\",\"shape\":[", rt_st_dtype_name(w->dtype));
    for (int d = 0; d < t[i].n_dims; d++)
      fprintf(to, "%s%lld", d == 0 ? "" : ",", (long long)t[i].shape[d]);
    fprintf(to, "],\"data_offsets\":[%lld,%lld]}", (long long)it->offset,
            (long long)(it->offset + it->rows * it->cols * size));
  }
  fputc('}', to);
  while (ftello(to) % 8 != 0) // aligns the data for readers that map the file
    fputc(' ', to);
}

/** Create the file and write its header; offsets become file offsets. */
static rt_err create_file(rt_st_writer *w, const char *text, size_t n)
{
  const uint64_t length = n;
  RT_CHECK((int64_t)n <= RT_ST_MAX_HEADER, RT_ERR_INTERNAL,
           "%s: header of %zu bytes, expected at most %lld", w->path, n,
           (long long)RT_ST_MAX_HEADER);
  RT_TRY(rt_outfile_create(w->tmp, &w->to));
  RT_TRY(rt_outfile_put_at(w->to, &length, sizeof length, 0));
  RT_TRY(rt_outfile_put_at(w->to, text, n, sizeof length));
  for (int i = 0; i < w->n; i++)
    w->item[i].offset += (int64_t)(sizeof length + n);
  return RT_OK;
}

static rt_err write_header(rt_st_writer *w, const rt_st_tensor *t)
{
  char *text = NULL;
  size_t n = 0;
  FILE *to = open_memstream(&text, &n);
  RT_CHECK(to != NULL, RT_ERR_MEM, "the header of %s", w->path);
  print_header(to, w, t);
  const int failed = fclose(to);
  rt_err err = RT_OK;
  if (failed != 0)
    err = RT_FAIL(RT_ERR_MEM, "the header of %s", w->path);
  else
    err = create_file(w, text, n);
  free(text);
  RT_TRY(err);
  return RT_OK;
}

rt_err rt_st_writer_create(const char *path, const rt_st_tensor *tensors, int n,
                           rt_st_writer **out)
{
  *out = NULL;
  rt_st_writer *w = calloc(1, sizeof *w);
  RT_CHECK(w != NULL, RT_ERR_MEM, "%zu bytes to write %s", sizeof *w, path);
  rt_err err = rt_path_join(w->path, "", path);
  if (err == RT_OK)
    err = rt_path_draft(w->tmp, path);
  if (err == RT_OK)
    err = plan(w, tensors, n);
  if (err == RT_OK)
    err = write_header(w, tensors);
  if (err != RT_OK) {
    rt_st_writer_destroy(&w);
    return rt_err_forward(err, __FILE__, __LINE__);
  }
  *out = w;
  return RT_OK;
}

/** Pack the rows of \a from contiguously, converted to the type in the file. */
static void pack(void *to, rt_dtype to_type, rt_view from)
{
  const size_t n = (size_t)from.cols;
  for (int64_t r = 0; r < from.rows; r++)
    rt_dtype_convert(
        (char *)to + (size_t)r * n * rt_dtype_size(to_type), to_type,
        (char *)from.data + (size_t)(r * from.ld) * rt_dtype_size(from.dtype),
        from.dtype, n);
}

rt_err rt_st_writer_put(rt_st_writer *w, int i, int64_t row0, rt_view from)
{
  RT_CHECK(i >= 0 && i < w->n, RT_ERR_INTERNAL, "%s: tensor %d of %d", w->path,
           i, w->n);
  item *it = &w->item[i];
  RT_CHECK(from.cols == it->cols && row0 >= 0 && from.rows >= 0 &&
               from.rows <= it->rows && row0 <= it->rows - from.rows,
           RT_ERR_INTERNAL,
           "%s: tensor %s is [%lld, %lld], got [%lld, %lld] from row %lld",
           w->path, it->name, (long long)it->rows, (long long)it->cols,
           (long long)from.rows, (long long)from.cols, (long long)row0);
  const size_t size = rt_dtype_size(w->dtype);
  const size_t bytes = (size_t)(from.rows * from.cols) * size;
  const int64_t offset = it->offset + row0 * it->cols * (int64_t)size;
  void *packed = malloc(bytes + 1);
  RT_CHECK(packed != NULL, RT_ERR_MEM, "%zu bytes to write tensor %s", bytes,
           it->name);
  pack(packed, w->dtype, from);
  const rt_err err = rt_outfile_put_at(w->to, packed, bytes, offset);
  free(packed);
  RT_TRY(err);
  for (int64_t r = row0; r < row0 + from.rows; r++) {
    it->n_done += !it->done[r];
    it->done[r] = 1;
  }
  return RT_OK;
}

rt_err rt_st_writer_publish(rt_st_writer *w)
{
  for (int i = 0; i < w->n; i++)
    RT_CHECK(w->item[i].n_done == w->item[i].rows, RT_ERR_INTERNAL,
             "%s: only %lld of %lld rows of tensor %s were written", w->path,
             (long long)w->item[i].n_done, (long long)w->item[i].rows,
             w->item[i].name);
  return rt_path_conclude(rt_outfile_finish(RT_OK, &w->to), w->tmp, w->path);
}

void rt_st_writer_destroy(rt_st_writer **w)
{
  if (*w == NULL)
    return;
  if ((*w)->to != NULL) { // if it was not published
    (void)!rt_outfile_finish(RT_ERR_IO, &(*w)->to);
    unlink((*w)->tmp);
  }
  for (int i = 0; i < (*w)->n; i++) {
    free((*w)->item[i].name);
    free((*w)->item[i].done);
  }
  free((*w)->item);
  free(*w);
  *w = NULL;
}
