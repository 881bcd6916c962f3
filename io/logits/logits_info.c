/** \file logits_info.c
 *  The metadata of a logit dataset. */
#include "io/logits/logits_info.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

typedef enum kind { INT, REAL, TEXT, BOOL } kind;
enum { OLD = RT_LOGITS_OLDEST, NEW = RT_LOGITS_DIGESTS }; // since when

/** All members; the key of each is its name.  Those that describe when and by
 *  what it was made may differ between the parts of an interrupted capture. */
static const struct member {
  const char *name;
  kind kind;
  bool may_differ;
  int since; // version
  size_t offset, size;
} members[] = {
#define MEMBER(kind, name, may_differ, since)                                  \
  {                                                                            \
#name, kind, may_differ, since, offsetof(rt_logits_info, name),            \
        sizeof((rt_logits_info *)0)->name                                      \
  }
    MEMBER(INT, seq, false, OLD),
    MEMBER(INT, vocab, false, OLD),
    MEMBER(INT, vocab_padded, false, OLD),
    MEMBER(INT, first_row, false, OLD),
    MEMBER(INT, n_rows, false, OLD),
    MEMBER(INT, shard_rows, false, OLD),
    MEMBER(TEXT, encoding, false, OLD),
    MEMBER(REAL, top_p, false, OLD),
    MEMBER(INT, top_k, false, OLD),
    MEMBER(INT, draws, false, OLD),
    MEMBER(INT, draw_seed, false, OLD), // 64 bits, stored as signed
    MEMBER(REAL, temperature, false, OLD),
    MEMBER(BOOL, entropy, false, OLD),
    MEMBER(BOOL, deviation, false, OLD),
    MEMBER(BOOL, step, false, OLD),
    MEMBER(INT, lanes, false, OLD),
    MEMBER(TEXT, teacher_hash, false, OLD),
    MEMBER(TEXT, tokenizer_hash, false, OLD),
    MEMBER(TEXT, corpus_hash, false, OLD),
    MEMBER(TEXT, teacher, true, OLD),
    MEMBER(TEXT, license, false, OLD),
    MEMBER(TEXT, creator, true, OLD),
    MEMBER(TEXT, created, true, OLD),
    MEMBER(TEXT, source, false, OLD),
    MEMBER(INT, eot, false, OLD),
    MEMBER(INT, bos, false, NEW),
    MEMBER(TEXT, bos_at, false, NEW),
    MEMBER(REAL, valid_fraction, false, OLD),
    MEMBER(INT, split_seed, false, OLD), // 64 bits, stored as signed
    MEMBER(BOOL, mask_documents, false, OLD),
#undef MEMBER
};
enum { N_MEMBERS = sizeof members / sizeof members[0] };

/** Has a dataset like \a info this member? */
static bool has(const rt_logits_info *info, const struct member *m)
{
  return info->version >= m->since;
}

/** What members that its version lacks mean. */
static void fill_absent(rt_logits_info *info)
{
  if (info->version < NEW)
    info->bos = -1;
}

int64_t rt_logits_n_shards(const rt_logits_info *info)
{
  return (info->n_rows - 1) / info->shard_rows + 1;
}

int64_t rt_logits_shard_rows(const rt_logits_info *info, int64_t i_shard)
{
  const int64_t left = info->n_rows - i_shard * info->shard_rows;
  return left < info->shard_rows ? left : info->shard_rows;
}

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

/** Print as JSON, which people can read, too. */
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
  bool any = is->version != want->version;
  if (any && to != NULL)
    fprintf(to, "version is %lld, not %lld", (long long)is->version,
            (long long)want->version);
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
    if (!has(info, m))
      continue;
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

/** Read the metadata from a file. */
static rt_err info_get(const rt_h5_reader *h5, rt_logits_info *out)
{
  for (int i = 0; i < N_MEMBERS; i++) {
    const struct member *const m = &members[i];
    void *const to = (char *)out + m->offset;
    int64_t value = 0;
    char *text = NULL;
    if (!has(out, m))
      continue;
    if (m->kind == TEXT) {
      RT_TRY(rt_h5_reader_text(h5, m->name, m->size, &text));
      snprintf(to, m->size, "%s", text); // a truncated text differs anyway
      free(text);
    } else if (m->kind == REAL)
      RT_TRY(rt_h5_reader_real(h5, m->name, to));
    else
      RT_TRY(rt_h5_reader_int(h5, m->name, &value));
    if (m->kind == INT)
      memcpy(to, &value, sizeof value);
    if (m->kind == BOOL)
      *(bool *)to = value != 0;
  }
  fill_absent(out);
  return RT_OK;
}

rt_err rt_logits_header_check(const rt_h5_reader *h5, const char *path,
                              const rt_logits_info *want, int64_t i_shard)
{
  const int64_t row0 = i_shard * want->shard_rows;
  rt_logits_info is = {0};
  int64_t version, got_row0;
  char *format, diff[1024];
  RT_TRY(rt_h5_reader_text(h5, "format", 64, &format));
  const bool ours = strcmp(format, RT_LOGITS_FORMAT) == 0;
  free(format);
  RT_TRY(rt_h5_reader_int(h5, "version", &version));
  RT_CHECK(ours && version == want->version, RT_ERR_DATA,
           "%s: version %lld%s, expected %s of version %lld", path,
           (long long)version, ours ? "" : " of another format",
           RT_LOGITS_FORMAT, (long long)want->version);
  RT_TRY(rt_h5_reader_int(h5, "row0", &got_row0));
  RT_CHECK(got_row0 == row0, RT_ERR_DATA,
           "%s: its rows begin at %lld, those of shard %lld at %lld", path,
           (long long)got_row0, (long long)i_shard, (long long)row0);
  is.version = version;
  RT_TRY(info_get(h5, &is));
  rt_logits_info_diff(&is, want, diff, sizeof diff);
  RT_CHECK(diff[0] == '\0', RT_ERR_DATA, "%s is a shard of another dataset: %s",
           path, diff);
  return RT_OK;
}

void rt_logits_info_print(const rt_logits_info *info, FILE *to)
{
  for (int i = 0; i < N_MEMBERS; i++) {
    if (!has(info, &members[i]))
      continue;
    fprintf(to, "| %s | ", members[i].name);
    print_value(info, &members[i], to);
    fputs(" |\n", to);
  }
}

void rt_logits_info_json(const rt_logits_info *info, FILE *to)
{
  for (int i = 0; i < N_MEMBERS; i++) {
    if (!has(info, &members[i]))
      continue;
    fprintf(to, "\"%s\": ", members[i].name);
    print_value(info, &members[i], to);
    fputs(",\n", to);
  }
}

rt_err rt_logits_info_parse(const char *name, const rt_json *object,
                            rt_logits_info *out)
{
  for (int i = 0; i < N_MEMBERS; i++)
    RT_CHECK(
        !has(out, &members[i]) ||
            parse_value(rt_json_get(object, members[i].name), &members[i], out),
        RT_ERR_DATA, "%s: %s is absent, of another type or too long", name,
        members[i].name);
  fill_absent(out);
  return rt_logits_info_check(name, out);
}

rt_err rt_logits_spec(const char *name, const rt_logits_info *info,
                      rt_codec_spec *out)
{
  *out = (rt_codec_spec){.vocab = (uint64_t)info->vocab,
                         .max_tokens = info->seq,
                         .n_draws = info->draws,
                         .entropy = info->entropy,
                         .deviation = info->deviation,
                         .step = info->step};
  RT_CHECK(rt_codec_kind_parse(info->encoding, &out->kind) == RT_OK,
           RT_ERR_DATA,
           "%s: encoding \"%s\" is unknown; a newer version of retort may "
           "support it",
           name, info->encoding);
  const int64_t max = out->kind == RT_CODEC_SAMPLED ? info->draws : info->top_k;
  out->max_entries = max < info->vocab ? max : info->vocab;
  return rt_codec_spec_check(out, name);
}

/** File systems do not handle larger folders well. */
static const int64_t max_shards = 1 << 20;

rt_err rt_logits_info_check(const char *name, const rt_logits_info *info)
{
  RT_CHECK(info->version >= RT_LOGITS_OLDEST &&
               info->version <= RT_LOGITS_VERSION,
           RT_ERR_DATA, "%s: version %lld, expected %d to %d", name,
           (long long)info->version, RT_LOGITS_OLDEST, RT_LOGITS_VERSION);
  // 2^40 rows of 2^20 tokens: no product below overflows
  RT_CHECK(info->seq > 0 && info->seq <= 1 << 20 && info->vocab > 0 &&
               info->vocab <= INT64_C(1) << 32 && info->first_row >= 0 &&
               info->first_row <= INT64_C(1) << 40 && info->n_rows > 0 &&
               info->n_rows <= INT64_C(1) << 40 && info->shard_rows > 0,
           RT_ERR_DATA,
           "%s: seq %lld, vocab %lld, first_row %lld, n_rows %lld or "
           "shard_rows %lld is out of range",
           name, (long long)info->seq, (long long)info->vocab,
           (long long)info->first_row, (long long)info->n_rows,
           (long long)info->shard_rows);
  RT_CHECK(rt_logits_n_shards(info) <= max_shards, RT_ERR_DATA,
           "%s: %lld shards of %lld rows, expected at most %lld shards: "
           "increase capture.shard_rows",
           name, (long long)rt_logits_n_shards(info),
           (long long)info->shard_rows, (long long)max_shards);
  RT_CHECK(info->temperature == 1.0, RT_ERR_DATA,
           "%s: temperature %g, this version reads log-probs at 1 only", name,
           info->temperature);
  RT_CHECK(info->vocab_padded == 0 || info->vocab_padded >= info->vocab,
           RT_ERR_DATA, "%s: vocab %lld, padded %lld", name,
           (long long)info->vocab, (long long)info->vocab_padded);
  RT_CHECK(info->bos_at[0] == '\0' || strcmp(info->bos_at, "documents") == 0 ||
               strcmp(info->bos_at, "rows") == 0,
           RT_ERR_DATA, "%s: bos_at \"%s\" is not known: a newer retort may",
           name, info->bos_at);
  RT_CHECK(info->lanes >= 0 && info->lanes <= info->n_rows &&
               (info->lanes > 0) == info->step &&
               (info->lanes == 0 || info->n_rows % info->lanes == 0),
           RT_ERR_DATA, "%s: %lld lanes of %lld rows, %s steps", name,
           (long long)info->lanes, (long long)info->n_rows,
           info->step ? "with" : "without");
  rt_codec_spec spec;
  return rt_logits_spec(name, info, &spec);
}
