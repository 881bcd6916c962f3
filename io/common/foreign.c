/** \file foreign.c */
#include "io/common/foreign.h"

#include "base/file.h"

#include <string.h>
#include <unistd.h>

enum { LOOK_AT = 512 };

static const struct {
  const char *first;
  const char *kind;
} kinds[] = {
    {"version https://git-lfs",
     "a Git LFS pointer, not the file itself: fetch it with `git lfs "
     "pull`"},
    {"../../blobs/",
     "the text of a link into a cache of the Hugging Face hub, not the "
     "file itself: copy the model with its links followed (cp -rL)"},
    {"GGUF", "a GGUF file, which is not read: take the model's Hugging "
             "Face folder, with config.json and model.safetensors"},
    {"PK\3\4", "a zip archive, as torch.save writes: load the model with "
               "transformers and save it again (save_pretrained) as "
               "safetensors"},
    {"\x80\2}", "a Python pickle: load the model with transformers and "
                "save it again (save_pretrained) as safetensors"},
    {"\x89HDF\r\n\x1a\n", "an HDF5 file"},
    {"\x93NUMPY", "a numpy array: write its ids raw (tofile) as *.u16 or "
                  "*.u32"},
    {"PAR1", "a Parquet file: its text must be tokenised first "
             "(inputs/prepare/tokenize.py reads text and JSON lines)"},
    {"ARROW1", "an Arrow file: its text must be tokenised first "
               "(inputs/prepare/tokenize.py reads text and JSON lines)"},
    {"\x1f\x8b", "compressed by gzip: unpack it first"},
    {"\x28\xb5\x2f\xfd", "compressed by zstd: unpack it first"},
    {"<!DOCTYPE", "a page of HTML, as a failed download leaves"},
    {"<!doctype", "a page of HTML, as a failed download leaves"},
    {"<html", "a page of HTML, as a failed download leaves"},
};

/** What a file is by its first \a n bytes; NULL if not recognised. */
static const char *kind_of(const void *head, size_t n)
{
  for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
    if (n >= strlen(kinds[i].first) &&
        memcmp(head, kinds[i].first, strlen(kinds[i].first)) == 0)
      return kinds[i].kind;
  return NULL;
}

/** Is it text (letters, blanks, UTF-8)?  Token ids contain zero bytes or others
 *  that do not occur in text. */
static bool is_text(const unsigned char *p, size_t n)
{
  for (size_t i = 0; i < n; i++)
    if ((p[i] < 0x20 && p[i] != '\n' && p[i] != '\r' && p[i] != '\t') ||
        p[i] == 0x7f || p[i] == 0xc0 || p[i] == 0xc1 || p[i] > 0xf4)
      return false;
  return n > 0;
}

const char *rt_foreign_file(const char *path)
{
  unsigned char head[LOOK_AT];
  int64_t bytes = 0;
  int fd;
  const bool opened =
      rt_file_size(path, &bytes) == RT_OK && rt_file_open(path, &fd) == RT_OK;
  if (!opened)
    return NULL;
  const size_t n = bytes < LOOK_AT ? (size_t)bytes : LOOK_AT;
  const bool read = rt_file_read_at(fd, path, head, n, 0) == RT_OK;
  close(fd);
  if (!read)
    return NULL;
  const char *kind = kind_of(head, n);
  return kind == NULL && is_text(head, n) ? "text" : kind;
}

rt_err rt_foreign_refuse(const char *path)
{
  const char *kind = rt_foreign_file(path);
  RT_CHECK(kind == NULL || strcmp(kind, "text") == 0, RT_ERR_DATA, "%s is %s",
           path, kind);
  return RT_OK;
}

rt_err rt_foreign_refuse_pointer(const char *path)
{
  const char *const kind = rt_foreign_file(path);
  RT_CHECK(kind != kinds[0].kind, RT_ERR_DATA, "%s is %s", path, kind);
  return RT_OK;
}
