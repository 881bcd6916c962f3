/** \file tokenizer.c
 *  Tokenizer files of Hugging Face folders.  Retort never reads text, but must
 *  know whether two models and a corpus share a tokenizer. */
#include "base/file.h"
#include "base/log.h"
#include "io/common/foreign.h"
#include "io/common/json.h"
#include "io/hf/hfconfig.h"
#include "io/hf/hffolder.h"

#include <stdlib.h>
#include <string.h>

/** The file that contains everything, written by the tokenizers library. */
#define FAST "tokenizer.json"

enum { MAX_BYTES = 256 << 20 };

/** Files of older folders. */
static const char *const vocabulary[] = {"tokenizer.model", "vocab.json",
                                         "merges.txt", "vocab.txt",
                                         "added_tokens.json"};
/** Additional files that make a folder usable. */
static const char *const extras[] = {
    "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja",
    "chat_template.json", "generation_config.json"};

enum {
  N_VOCABULARY = sizeof vocabulary / sizeof vocabulary[0],
  N_EXTRAS = sizeof extras / sizeof extras[0]
};

/** Add folder/name to the hash if it exists; *n counts the files that do. */
static rt_err hash_one(rt_sha256 *h, const char *folder, const char *name,
                       int *n)
{
  char path[RT_PATH_MAX];
  char *text;
  size_t bytes;
  RT_TRY(rt_path_join(path, folder, name));
  if (!rt_path_exists(path))
    return RT_OK;
  RT_TRY(rt_foreign_refuse(path));
  RT_TRY(rt_file_slurp(path, MAX_BYTES, &text, &bytes));
  rt_sha256_update(h, text, bytes);
  free(text);
  ++*n;
  return RT_OK;
}

static rt_err hash_all(rt_sha256 *h, const char *folder)
{
  int n = 0;
  RT_TRY(hash_one(h, folder, FAST, &n));
  if (n == 0)
    for (int i = 0; i < N_VOCABULARY; i++)
      RT_TRY(hash_one(h, folder, vocabulary[i], &n));
  RT_CHECK(n > 0, RT_ERR_NOINPUT,
           "%s holds no tokenizer: expected " FAST " (or tokenizer.model, "
           "vocab.json and merges.txt, vocab.txt)",
           folder);
  return RT_OK;
}

rt_err rt_tokenizer_hash(const char *name, char hex[RT_SHA256_HEX])
{
  char folder[RT_PATH_MAX];
  rt_sha256 *h;
  hex[0] = '\0';
  RT_TRY(rt_hffolder_find(name, folder));
  RT_TRY(rt_sha256_create(&h));
  const rt_err err = hash_all(h, folder);
  rt_sha256_finish(&h, hex);
  if (err != RT_OK) {
    hex[0] = '\0';
    return rt_err_forward(err, __FILE__, __LINE__);
  }
  return RT_OK;
}

static void raise_to(int64_t *n, const rt_json *id)
{
  int64_t i = -1;
  if (rt_json_int(id, &i) && i >= *n && i < INT32_MAX)
    *n = i + 1;
}

/** Count the ids of "model": {"vocab": {word: id}}, or a list for unigram
 *  models, and of "added_tokens": [{"id": id}]. */
static int64_t count_ids(const rt_json *root)
{
  const rt_json *const vocab = rt_json_get(rt_json_get(root, "model"), "vocab");
  const rt_json *const added = rt_json_get(root, "added_tokens");
  int64_t n = 0;
  rt_json_member m = {0};
  if (rt_json_kind_of(vocab) == RT_JSON_ARRAY)
    n = (int64_t)rt_json_n(vocab);
  while (rt_json_next(vocab, &m))
    raise_to(&n, m.value);
  for (size_t i = 0; n > 0 && i < rt_json_n(added); i++)
    raise_to(&n, rt_json_get(rt_json_at(added, i), "id"));
  return n;
}

rt_err rt_tokenizer_size(const char *name, int64_t *n)
{
  char folder[RT_PATH_MAX], path[RT_PATH_MAX];
  rt_json *root = NULL;
  *n = 0;
  RT_TRY(rt_hffolder_find(name, folder));
  RT_TRY(rt_path_join(path, folder, FAST));
  if (!rt_file_exists(path))
    return RT_OK;
  const rt_err err = rt_json_read(path, MAX_BYTES, &root);
  // a dialect of JSON; the file is hashed nevertheless
  if (err == RT_ERR_DATA) {
    rt_debug("%s: the number of its ids is unknown: %s", path, rt_err_text());
    return RT_OK;
  }
  RT_TRY(err);
  *n = count_ids(root);
  rt_json_free(&root);
  return RT_OK;
}

static rt_err copy_one(const char *from, const char *to, const char *name,
                       int *n)
{
  char source[RT_PATH_MAX], target[RT_PATH_MAX];
  RT_TRY(rt_path_join(source, from, name));
  RT_TRY(rt_path_join(target, to, name));
  if (!rt_file_exists(source))
    return RT_OK;
  RT_TRY(rt_file_copy(source, target));
  ++*n;
  return RT_OK;
}

rt_err rt_tokenizer_copy(const char *name, const char *to, int *n)
{
  char from[RT_PATH_MAX];
  *n = 0;
  RT_TRY(rt_hffolder_find(name, from));
  RT_TRY(copy_one(from, to, FAST, n));
  for (int i = 0; i < N_VOCABULARY; i++)
    RT_TRY(copy_one(from, to, vocabulary[i], n));
  for (int i = 0; i < N_EXTRAS; i++)
    RT_TRY(copy_one(from, to, extras[i], n));
  return RT_OK;
}
