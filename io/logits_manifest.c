/** \file logits_manifest.c
 *  manifest.json of a logit dataset. */
#include "io/logits_manifest.h"

#include "base/log.h"
#include "io/json.h"
#include "io/seal.h"
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const size_t max_bytes = (size_t)256 << 20;

/** --- rt_logits_info, member by member --- */

typedef enum kind { INT, REAL, TEXT, BOOL } kind;

/** Every member: its key is its name.  Those that say when and by what it was
 *  made may differ between the two halves of an interrupted capture. */
static const struct member {
  const char *name;
  kind kind;
  bool may_differ;
  size_t offset, size;
} members[] = {
#define MEMBER(kind, name, may_differ)                                         \
  {                                                                            \
#name, kind, may_differ, offsetof(rt_logits_info, name),                   \
        sizeof((rt_logits_info *)0)->name                                      \
  }
    MEMBER(INT, seq, false),
    MEMBER(INT, vocab, false),
    MEMBER(INT, n_rows, false),
    MEMBER(INT, shard_rows, false),
    MEMBER(REAL, top_p, false),
    MEMBER(INT, top_k, false),
    MEMBER(TEXT, teacher_hash, false),
    MEMBER(TEXT, tokenizer_hash, false),
    MEMBER(TEXT, corpus_hash, false),
    MEMBER(TEXT, teacher, true),
    MEMBER(TEXT, license, false),
    MEMBER(TEXT, creator, true),
    MEMBER(TEXT, created, true),
    MEMBER(INT, eot, false),
    MEMBER(REAL, valid_fraction, false),
    MEMBER(INT, split_seed, false), // 64 bits, signed in the file
    MEMBER(BOOL, mask_documents, false),
#undef MEMBER
};
enum { N_MEMBERS = sizeof members / sizeof members[0] };

static const void *place(const rt_logits_info *info, const struct member *m)
{
  return (const char *)info + m->offset;
}

static int64_t get_int(const rt_logits_info *info, const struct member *m)
{
  int64_t value;
  memcpy(&value, place(info, m), sizeof value);
  return value;
}

/** As JSON, which is also good to read. */
static void print_value(const rt_logits_info *info, const struct member *m,
                        FILE *to)
{
  switch (m->kind) {
  case INT:
    fprintf(to, "%lld", (long long)get_int(info, m));
    break;
  case REAL:
    rt_json_put_real(to, *(const double *)place(info, m));
    break;
  case TEXT:
    rt_json_put_text(to, place(info, m));
    break;
  case BOOL:
    fputs(*(const bool *)place(info, m) ? "true" : "false", to);
    break;
  }
}

static bool parse_value(const rt_json *value, const struct member *m,
                        rt_logits_info *info)
{
  void *const to = (char *)info + m->offset;
  const char *text;
  switch (m->kind) {
  case INT:
    return rt_json_int(value, to);
  case REAL:
    return rt_json_real(value, to);
  case BOOL:
    return rt_json_bool(value, to);
  case TEXT:
    text = rt_json_text(value);
    if (text == NULL || strlen(text) >= m->size)
      return false;
    strcpy(to, text);
    return true;
  }
  return false;
}

static bool same_value(const rt_logits_info *a, const rt_logits_info *b,
                       const struct member *m)
{
  if (m->kind == TEXT)
    return strcmp(place(a, m), place(b, m)) == 0;
  return memcmp(place(a, m), place(b, m), m->size) == 0;
}

void rt_logits_info_diff(const rt_logits_info *is, const rt_logits_info *want,
                         char *text, size_t n)
{
  text[0] = '\0';
  FILE *const to = fmemopen(text, n, "w");
  bool any = false;
  for (int i = 0; i < N_MEMBERS && to != NULL; i++) {
    const struct member *const m = &members[i];
    if (m->may_differ || same_value(is, want, m))
      continue;
    fprintf(to, "%s%s is ", any ? "; " : "", m->name);
    print_value(is, m, to);
    fputs(", not ", to);
    print_value(want, m, to);
    any = true;
  }
  if (to != NULL)
    fclose(to);
  text[n - 1] = '\0';
}

rt_err rt_logits_info_put(rt_h5 *h5, const rt_logits_info *info)
{
  for (int i = 0; i < N_MEMBERS; i++) {
    const struct member *const m = &members[i];
    if (m->kind == TEXT)
      RT_TRY(rt_h5_put_text(h5, m->name, place(info, m)));
    else if (m->kind == REAL)
      RT_TRY(rt_h5_put_real(h5, m->name, *(const double *)place(info, m)));
    else
      RT_TRY(rt_h5_put_int(h5, m->name,
                           m->kind == BOOL ? *(const bool *)place(info, m)
                                           : get_int(info, m)));
  }
  return RT_OK;
}

void rt_logits_info_print(const rt_logits_info *info, FILE *to)
{
  for (int i = 0; i < N_MEMBERS; i++) {
    fprintf(to, "| %s | ", members[i].name);
    print_value(info, &members[i], to);
    fputs(" |\n", to);
  }
}

rt_err rt_logits_info_check(const char *name, const rt_logits_info *info)
{
  // 2^40 rows of 2^20 tokens: no product below overflows
  RT_CHECK(info->seq > 0 && info->seq <= 1 << 20 && info->vocab > 0 &&
               info->vocab <= UINT32_MAX && info->n_rows > 0 &&
               info->n_rows <= INT64_C(1) << 40 && info->shard_rows > 0,
           RT_ERR_DATA,
           "%s: seq %lld, vocab %lld, n_rows %lld or shard_rows %lld is "
           "senseless",
           name, (long long)info->seq, (long long)info->vocab,
           (long long)info->n_rows, (long long)info->shard_rows);
  return RT_OK;
}

/** --- shards --- */

int64_t rt_logits_n_shards(const rt_logits_info *info)
{
  return (info->n_rows - 1) / info->shard_rows + 1;
}

int64_t rt_logits_shard_rows(const rt_logits_info *info, int64_t i_shard)
{
  const int64_t left = info->n_rows - i_shard * info->shard_rows;
  return left < info->shard_rows ? left : info->shard_rows;
}

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

/** --- the file --- */

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
  fprintf(to, "{\"format\": \"%s\", \"version\": %d,\n", RT_LOGITS_FORMAT,
          RT_LOGITS_VERSION);
  for (int i = 0; i < N_MEMBERS; i++) {
    fprintf(to, "\"%s\": ", members[i].name);
    print_value(&m->info, &members[i], to);
    fputs(",\n", to);
  }
  fputs("\"deck\": ", to);
  rt_json_put_text(to, m->deck);
  fprintf(to, ",\n\"complete\": %s,\n\"shards\": [",
          m->complete ? "true" : "false");
  for (int64_t i = 0; i < m->n_shards && m->complete; i++) {
    const rt_logits_shard *const s = &m->shards[i];
    char name[32];
    rt_logits_shard_name(name, i);
    fprintf(to,
            "%s\n{\"file\": \"%s\", \"row0\": %lld, \"n_rows\": %lld, "
            "\"bytes\": %lld, \"seal\": \"%016" PRIx64 "\"}",
            i > 0 ? "," : "", name, (long long)s->row0, (long long)s->n_rows,
            (long long)s->bytes, s->seal);
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
  if (ferror(to) != 0 || fclose(to) != 0)
    err = RT_FAIL(RT_ERR_MEM, "the text of %s", path);
  if (err == RT_OK) // a text that is not UTF-8 is found now, not when read
    err = rt_json_parse(path, text, n, &j);
  if (err == RT_OK)
    err = rt_seal_text_put(path, text, body);
  rt_json_free(&j);
  free(text);
  RT_TRY(err);
  return RT_OK;
}

static rt_err parse_shard(const char *name, const rt_json *j,
                          const rt_logits_info *info, int64_t i,
                          rt_logits_shard *s)
{
  char expected[32];
  rt_logits_shard_name(expected, i);
  const char *const file = rt_json_text(rt_json_get(j, "file"));
  const char *const seal = rt_json_text(rt_json_get(j, "seal"));
  RT_CHECK(file != NULL && strcmp(file, expected) == 0 &&
               rt_json_int(rt_json_get(j, "row0"), &s->row0) &&
               s->row0 == i * info->shard_rows &&
               rt_json_int(rt_json_get(j, "n_rows"), &s->n_rows) &&
               s->n_rows == rt_logits_shard_rows(info, i) &&
               rt_json_int(rt_json_get(j, "bytes"), &s->bytes) &&
               s->bytes > 0 && seal != NULL && strlen(seal) == 16 &&
               strspn(seal, "0123456789abcdef") == 16,
           RT_ERR_DATA,
           "%s: entry %lld of shards is not {file: %s, row0: %lld, n_rows: "
           "%lld, bytes, seal}",
           name, (long long)i, expected, (long long)(i * info->shard_rows),
           (long long)rt_logits_shard_rows(info, i));
  s->seal = strtoull(seal, NULL, 16);
  return RT_OK;
}

static rt_err parse_shards(const char *name, const rt_json *list,
                           rt_logits_manifest *m)
{
  const int64_t n = (int64_t)rt_json_n(list);
  RT_CHECK(n == (m->complete ? m->n_shards : 0), RT_ERR_DATA,
           "%s: %lld shards are listed, expected %lld for %lld rows", name,
           (long long)n, (long long)(m->complete ? m->n_shards : 0),
           (long long)m->info.n_rows);
  m->shards = calloc((size_t)n + 1, sizeof *m->shards);
  RT_CHECK(m->shards != NULL, RT_ERR_MEM, "a list of %lld shards",
           (long long)n);
  for (int64_t i = 0; i < n; i++)
    RT_TRY(parse_shard(name, rt_json_at(list, (size_t)i), &m->info, i,
                       &m->shards[i]));
  return RT_OK;
}

static rt_err parse(const char *name, const rt_json *j, rt_logits_manifest *m)
{
  const char *const format = rt_json_text(rt_json_get(j, "format"));
  int64_t version = 0;
  RT_CHECK(format != NULL && strcmp(format, RT_LOGITS_FORMAT) == 0 &&
               rt_json_int(rt_json_get(j, "version"), &version) &&
               version == RT_LOGITS_VERSION,
           RT_ERR_DATA, "%s is no %s of version %d", name, RT_LOGITS_FORMAT,
           RT_LOGITS_VERSION);
  for (int i = 0; i < N_MEMBERS; i++)
    RT_CHECK(
        parse_value(rt_json_get(j, members[i].name), &members[i], &m->info),
        RT_ERR_DATA, "%s: %s is absent, of another type or too long", name,
        members[i].name);
  RT_TRY(rt_logits_info_check(name, &m->info));
  m->n_shards = rt_logits_n_shards(&m->info);
  const char *const deck = rt_json_text(rt_json_get(j, "deck"));
  RT_CHECK(deck != NULL &&
               rt_json_bool(rt_json_get(j, "complete"), &m->complete),
           RT_ERR_DATA, "%s: deck or complete is absent", name);
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
  RT_TRY(rt_seal_text_get(path, max_bytes, &text, &n, NULL));
  const rt_err err = rt_logits_manifest_parse(path, text, n, out);
  free(text);
  RT_TRY(err);
  return RT_OK;
}
