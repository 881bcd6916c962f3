/** \file logits_manifest.c
 *  manifest.json of a logit dataset. */
#include "io/logits/logits_manifest.h"

#include "io/common/seal.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void rt_logits_shard_name(char name[32], int64_t i_shard)
{
  snprintf(name, 32, "shard-%06lld.h5", (long long)i_shard);
}

rt_err rt_logits_shard_path(char out[RT_PATH_MAX], const char *folder,
                            int64_t i_shard)
{
  char name[32];
  rt_logits_shard_name(name, i_shard);
  return rt_path_join(out, folder, name);
}

rt_err rt_logits_manifest_path(char out[RT_PATH_MAX], const char *folder)
{
  return rt_path_join(out, folder, "manifest.json");
}

void rt_logits_manifest_clear(rt_logits_manifest *m)
{
  free(m->deck);
  free(m->shards);
  *m = (rt_logits_manifest){0};
}

static void print(const rt_logits_manifest *m, FILE *to)
{
  fprintf(to, "{\"format\": \"%s\", \"version\": %lld,\n", RT_LOGITS_FORMAT,
          (long long)m->info.version);
  rt_logits_info_json(&m->info, to);
  fputs("\"deck\": ", to);
  rt_json_put_text(to, m->deck);
  fprintf(to,
          ",\n\"complete\": %s,\n\"readme_sha256\": \"%s\",\n"
          "\"shards\": [",
          m->complete ? "true" : "false", m->readme_sha256);
  const char *comma = "";
  for (int64_t i = 0; i < m->n_shards; i++) {
    const rt_logits_shard *const s = &m->shards[i];
    if (s->bytes == 0)
      continue;
    char name[32];
    rt_logits_shard_name(name, i);
    fprintf(to,
            "%s\n{\"file\": \"%s\", \"row0\": %lld, \"n_rows\": %lld, "
            "\"bytes\": %lld, \"seal\": \"%016" PRIx64 "\",\n"
            " \"sha256\": \"%s\"}",
            comma, name, (long long)(i * m->info.shard_rows),
            (long long)rt_logits_shard_rows(&m->info, i), (long long)s->bytes,
            s->seal, s->sha256);
    comma = ",";
  }
  fputs("],\n", to);
}

rt_err rt_logits_manifest_write(const char *folder, const rt_logits_manifest *m)
{
  char path[RT_PATH_MAX], *text = NULL;
  size_t n = 0;
  RT_TRY(rt_logits_manifest_path(path, folder));
  FILE *const to = open_memstream(&text, &n);
  RT_CHECK(to != NULL, RT_ERR_MEM, "the text of %s", path);
  print(m, to);
  fflush(to);
  const size_t body = n;
  fputs("\"seal\": 0}", to);
  rt_json *j = NULL;
  rt_err err = RT_OK;
  const bool good = ferror(to) == 0;
  if (fclose(to) != 0 || !good) // close in any case
    err = RT_FAIL(RT_ERR_MEM, "the text of %s", path);
  // detects a text that is not UTF-8 now instead of when it is read
  if (err == RT_OK)
    err = rt_json_parse(path, text, n, &j);
  if (err == RT_OK)
    err = rt_seal_text_put(path, text, body);
  rt_json_free(&j);
  free(text);
  RT_TRY(err);
  return RT_OK;
}

static bool is_hex(const char *text, size_t n)
{
  return text != NULL && strlen(text) == n &&
         strspn(text, "0123456789abcdef") == n;
}

/** Parse an element of the list; its shard has number *i or, in an unfinished
 *  capture, a larger one. */
static rt_err parse_shard(const char *name, const rt_json *j,
                          rt_logits_manifest *m, int64_t *i)
{
  const rt_logits_info *const info = &m->info;
  char expected[32];
  int64_t row0 = -1, n_rows = 0, bytes = 0;
  if (rt_json_int(rt_json_get(j, "row0"), &row0) && !m->complete &&
      row0 > *i * info->shard_rows && row0 < info->n_rows)
    *i = row0 / info->shard_rows;
  rt_logits_shard_name(expected, *i);
  const char *const file = rt_json_text(rt_json_get(j, "file"));
  const char *const seal = rt_json_text(rt_json_get(j, "seal"));
  const char *const sha = rt_json_text(rt_json_get(j, "sha256"));
  RT_CHECK(*i < m->n_shards && file != NULL && strcmp(file, expected) == 0 &&
               row0 == *i * info->shard_rows &&
               rt_json_int(rt_json_get(j, "n_rows"), &n_rows) &&
               n_rows == rt_logits_shard_rows(info, *i) &&
               rt_json_int(rt_json_get(j, "bytes"), &bytes) && bytes > 0 &&
               is_hex(seal, 16) && is_hex(sha, 64),
           RT_ERR_DATA,
           "%s: shard %lld of the list is not {file: %s, row0: %lld, n_rows: "
           "%lld, bytes, seal, sha256}",
           name, (long long)*i, expected, (long long)(*i * info->shard_rows),
           (long long)(*i < m->n_shards ? rt_logits_shard_rows(info, *i) : 0));
  m->shards[*i] = (rt_logits_shard){bytes, strtoull(seal, NULL, 16), ""};
  strcpy(m->shards[*i].sha256, sha);
  return RT_OK;
}

static rt_err parse_shards(const char *name, const rt_json *list,
                           rt_logits_manifest *m)
{
  const int64_t n = (int64_t)rt_json_n(list);
  RT_CHECK(m->complete ? n == m->n_shards : n <= m->n_shards, RT_ERR_DATA,
           "%s: %lld shards are listed, expected %lld for %lld rows", name,
           (long long)n, (long long)m->n_shards, (long long)m->info.n_rows);
  m->shards = calloc((size_t)m->n_shards + 1, sizeof *m->shards);
  RT_CHECK(m->shards != NULL, RT_ERR_MEM, "a list of %lld shards",
           (long long)m->n_shards);
  int64_t i = 0;
  for (int64_t k = 0; k < n; k++, i++)
    RT_TRY(parse_shard(name, rt_json_at(list, (size_t)k), m, &i));
  return RT_OK;
}

static rt_err parse(const char *name, const rt_json *j, rt_logits_manifest *m)
{
  const char *const format = rt_json_text(rt_json_get(j, "format"));
  int64_t *const version = &m->info.version;
  RT_CHECK(
      format != NULL && strcmp(format, RT_LOGITS_FORMAT) == 0 &&
          rt_json_int(rt_json_get(j, "version"), version) &&
          *version >= RT_LOGITS_OLDEST && *version <= RT_LOGITS_VERSION,
      RT_ERR_DATA,
      "%s is not a %s of version %d to %d (it has %lld): capture it again, "
      "or read it with the version of retort that wrote it",
      name, RT_LOGITS_FORMAT, RT_LOGITS_OLDEST, RT_LOGITS_VERSION,
      (long long)*version);
  RT_TRY(rt_logits_info_parse(name, j, &m->info));
  m->n_shards = rt_logits_n_shards(&m->info);
  const char *const deck = rt_json_text(rt_json_get(j, "deck"));
  RT_CHECK(deck != NULL &&
               rt_json_bool(rt_json_get(j, "complete"), &m->complete),
           RT_ERR_DATA, "%s: deck or complete is absent", name);
  const char *const readme = rt_json_text(rt_json_get(j, "readme_sha256"));
  RT_CHECK(is_hex(readme, m->complete ? 64 : 0), RT_ERR_DATA,
           "%s: readme_sha256 is \"%.80s\", expected %s", name,
           readme != NULL ? readme : "absent",
           m->complete ? "64 hex digits" : "nothing before all is captured");
  strcpy(m->readme_sha256, readme);
  m->deck = strdup(deck);
  RT_CHECK(m->deck != NULL, RT_ERR_MEM, "the deck of %s", name);
  return parse_shards(name, rt_json_get(j, "shards"), m);
}

rt_err rt_logits_manifest_parse(const char *name, const char *text, size_t n,
                                rt_logits_manifest *out)
{
  *out = (rt_logits_manifest){0};
  rt_json *j = NULL;
  rt_err err = rt_json_parse(name, text, n, &j);
  if (err == RT_OK)
    err = parse(name, j, out);
  rt_json_free(&j);
  if (err != RT_OK)
    rt_logits_manifest_clear(out);
  RT_TRY(err);
  return RT_OK;
}

rt_err rt_logits_manifest_read(const char *folder, rt_logits_manifest *out)
{
  char path[RT_PATH_MAX], *text;
  size_t n;
  *out = (rt_logits_manifest){0};
  RT_TRY(rt_logits_manifest_path(path, folder));
  RT_TRY(rt_seal_text_get(path, RT_LOGITS_MANIFEST_MAX, &text, &n, NULL));
  const rt_err err = rt_logits_manifest_parse(path, text, n, out);
  free(text);
  RT_TRY(err);
  return RT_OK;
}
