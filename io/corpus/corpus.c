/** \file corpus.c
 *  A corpus: opens, checks, blends and hashes its files. */
#include "io/corpus/source.h"

#include "base/rng.h"
#include "io/common/digest.h"
#include "io/common/ranks.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct rt_corpus {
  rt_corpus_spec spec; // without files
  double *weights;     // owned copy of the spec's weights
  int n_files;
  rt_source *source; // owned [n_files]
  rt_blend blend[RT_N_PARTS];
};

const char *rt_bos_at_name(rt_bos_at at)
{
  static const char *const names[RT_N_BOS_AT] = {"", "documents", "rows"};
  return names[at];
}

rt_bos_at rt_bos_at_parse(const char *name)
{
  int at = 0;
  while (at < RT_N_BOS_AT && strcmp(rt_bos_at_name((rt_bos_at)at), name) != 0)
    at++;
  return (rt_bos_at)at;
}

static rt_err check_weights(const rt_corpus_spec *spec)
{
  double sum = 0.0;
  for (int i = 0; spec->weights != NULL && i < spec->n_files; i++) {
    const double w = spec->weights[i];
    RT_CHECK(isfinite(w) && w >= 0.0, RT_ERR_CONFIG,
             "data.weights: %g of %s, expected a number that is not negative",
             w, spec->files[i]);
    sum += w;
  }
  RT_CHECK(spec->weights == NULL || (sum > 0.0 && isfinite(sum)), RT_ERR_CONFIG,
           "data.weights add up to %g, expected more than 0", sum);
  return RT_OK;
}

static rt_err check_spec(const rt_corpus_spec *spec)
{
  RT_CHECK(spec->n_files >= 1, RT_ERR_CONFIG,
           "data.files is empty, expected at least one corpus");
  RT_CHECK(spec->seq >= 1 && spec->seq <= INT32_MAX, RT_ERR_CONFIG,
           "data.seq is %lld, expected 1..%d", (long long)spec->seq, INT32_MAX);
  RT_CHECK(spec->vocab >= 1 && spec->vocab <= (int64_t)UINT32_MAX + 1,
           RT_ERR_CONFIG, "vocabulary of %lld ids, expected 1..%lld",
           (long long)spec->vocab, (long long)UINT32_MAX + 1);
  RT_CHECK(spec->eot >= -1 && spec->eot < spec->vocab, RT_ERR_CONFIG,
           "data.eot is %lld, expected -1 or an id below the vocabulary of "
           "%lld",
           (long long)spec->eot, (long long)spec->vocab);
  RT_CHECK(spec->bos_at == RT_BOS_NOWHERE ||
               (spec->bos >= 0 && spec->bos < spec->vocab),
           RT_ERR_CONFIG,
           "data.bos is %lld, expected -1 or an id below the vocabulary of "
           "%lld",
           (long long)spec->bos, (long long)spec->vocab);
  RT_CHECK(spec->bos_at != RT_BOS_ROWS || spec->seq >= 2, RT_ERR_CONFIG,
           "data.seq is 1, expected at least 2: with data.bos_at=rows the "
           "first token of each row is data.bos");
  RT_CHECK(spec->valid_fraction >= 0.0 && spec->valid_fraction < 1.0,
           RT_ERR_CONFIG, "data.valid_fraction is %g, expected 0 <= it < 1",
           spec->valid_fraction);
  return check_weights(spec);
}

/** Interleave the files' rows of one part.  \a rows [n_files] is scratch. */
static rt_err blend_part(rt_corpus *c, const rt_corpus_spec *spec, rt_part part,
                         int64_t *rows)
{
  for (int i = 0; i < c->n_files; i++) {
    const rt_source *s = &c->source[i];
    rows[i] = s->stream[part].n_rows;
    RT_CHECK(part != RT_TRAIN || spec->weights == NULL ||
                 spec->weights[i] <= 0.0 || rows[i] > 0,
             RT_ERR_DATA,
             "%s has a weight but only %lld tokens for training, fewer than "
             "one row of %lld; use a larger corpus, a shorter data.seq or a "
             "smaller data.valid_fraction",
             s->file.path, (long long)s->stream[part].n,
             (long long)c->spec.seq + 1);
  }
  RT_TRY(rt_blend_init(&c->blend[part], c->n_files, rows, spec->weights));
  RT_CHECK(part != RT_TRAIN || c->blend[part].n_rows > 0, RT_ERR_DATA,
           "%s%s: %lld tokens for training, fewer than one row of %lld; use "
           "a larger corpus, a shorter data.seq or a smaller "
           "data.valid_fraction",
           c->source[0].file.path, c->n_files > 1 ? " and the others" : "",
           (long long)c->source[0].stream[part].n, (long long)c->spec.seq + 1);
  return RT_OK;
}

static rt_err open_corpus(rt_corpus *c, const rt_corpus_spec *spec)
{
  c->source = calloc((size_t)spec->n_files, sizeof *c->source);
  RT_CHECK(c->source != NULL, RT_ERR_MEM, "%d corpus files", spec->n_files);
  c->n_files = spec->n_files;
  for (int i = 0; i < c->n_files; i++) {
    RT_TRY(rt_tokfile_open(spec->files[i], spec->eot, &c->source[i].file));
    RT_TRY(rt_source_split(&c->source[i], spec, i));
  }
  int64_t *rows = malloc((size_t)c->n_files * sizeof *rows);
  RT_CHECK(rows != NULL, RT_ERR_MEM, "%d corpus files", c->n_files);
  rt_err err = blend_part(c, spec, RT_TRAIN, rows);
  if (err == RT_OK)
    err = blend_part(c, spec, RT_VALID, rows);
  free(rows);
  RT_TRY(err);
  return RT_OK;
}

static rt_err keep_weights(rt_corpus *c, const rt_corpus_spec *spec)
{
  const size_t n = (size_t)spec->n_files;
  if (spec->weights == NULL)
    return RT_OK;
  c->weights = malloc(n * sizeof *c->weights);
  RT_CHECK(c->weights != NULL, RT_ERR_MEM, "weights of %zu corpora", n);
  memcpy(c->weights, spec->weights, n * sizeof *c->weights);
  c->spec.weights = c->weights;
  return RT_OK;
}

rt_err rt_corpus_open(const rt_corpus_spec *spec, rt_corpus **out)
{
  *out = NULL;
  RT_TRY(check_spec(spec));
  rt_corpus *c = calloc(1, sizeof *c);
  RT_CHECK(c != NULL, RT_ERR_MEM, "a corpus of %zu bytes", sizeof *c);
  c->spec = *spec;
  c->spec.files = NULL;
  rt_err err = keep_weights(c, spec);
  if (err == RT_OK)
    err = open_corpus(c, spec);
  if (err != RT_OK) {
    rt_corpus_close(&c);
    return rt_err_forward(err, __FILE__, __LINE__);
  }
  *out = c;
  return RT_OK;
}

void rt_corpus_close(rt_corpus **c)
{
  if (*c == NULL)
    return;
  for (int i = 0; i < (*c)->n_files; i++)
    rt_source_clear(&(*c)->source[i]);
  for (int p = 0; p < RT_N_PARTS; p++)
    rt_blend_clear(&(*c)->blend[p]);
  free((*c)->source);
  free((*c)->weights);
  free(*c);
  *c = NULL;
}

rt_corpus_spec rt_corpus_spec_of(const rt_corpus *c)
{
  return c->spec;
}

rt_err rt_corpus_reopen(const rt_corpus *c, int64_t seq, rt_corpus **out)
{
  rt_corpus_spec spec = c->spec;
  const char **const files = malloc((size_t)c->n_files * sizeof *files);
  *out = NULL;
  RT_CHECK(files != NULL, RT_ERR_MEM, "%d corpus files", c->n_files);
  for (int i = 0; i < c->n_files; i++)
    files[i] = c->source[i].file.path;
  spec.files = files;
  spec.seq = seq;
  const rt_err err = rt_corpus_open(&spec, out);
  free(files);
  return err;
}

int64_t rt_corpus_n_rows(const rt_corpus *c, rt_part part)
{
  return c->blend[part].n_rows;
}

rt_err rt_corpus_row(const rt_corpus *c, rt_part part, int64_t row,
                     uint32_t *tok, int32_t *pos, int32_t *doc_start)
{
  int i_file = 0;
  int64_t file_row = 0;
  RT_CHECK(row >= 0 && row < c->blend[part].n_rows, RT_ERR_INTERNAL,
           "row %lld of %lld", (long long)row,
           (long long)c->blend[part].n_rows);
  RT_TRY(rt_blend_find(&c->blend[part], row, &i_file, &file_row));
  const rt_row to = {.seq = c->spec.seq,
                     .vocab = c->spec.vocab,
                     .eot = c->spec.eot,
                     .bos = c->spec.bos,
                     .begins = c->spec.bos_at == RT_BOS_ROWS,
                     .tok = tok,
                     .pos = pos,
                     .doc_start = doc_start};
  return rt_source_row(&c->source[i_file], part, file_row, &to);
}

int64_t rt_corpus_order(uint64_t seed, int64_t n_rows, int64_t consumed)
{
  return (int64_t)rt_rng_permute(seed, (uint64_t)(consumed / n_rows),
                                 (uint64_t)n_rows,
                                 (uint64_t)(consumed % n_rows));
}

/** Are rows blended by data.weights? */
static bool is_by_weight(const rt_corpus *c)
{
  return c->spec.weights != NULL && c->n_files > 1;
}

static void hash_count(rt_sha256 *h, size_t n)
{
  const uint64_t count = n;
  rt_sha256_update(h, &count, sizeof count);
}

/** Hash a mapping, preceded by its length, so that different lists of files
 *  never give the same bytes. */
static void hash_map(rt_sha256 *h, const rt_map *map)
{
  const size_t piece = (size_t)4 << 20;
  hash_count(h, map->bytes);
  for (size_t at = 0; at < map->bytes; at += piece) {
    const size_t left = map->bytes - at;
    rt_sha256_update(h, map->data + at, left < piece ? left : piece);
    rt_ranks_alive();
  }
}

rt_err rt_corpus_hash(const rt_corpus *c, char hex[RT_SHA256_HEX])
{
  const rt_blend *const b = &c->blend[RT_TRAIN];
  rt_sha256 *h;
  RT_TRY(rt_sha256_create(&h));
  for (int i = 0; i < c->n_files; i++) {
    hash_map(h, &c->source[i].file.data);
    hash_map(h, &c->source[i].file.index);
  }
  for (int i = 0; is_by_weight(c) && i < c->n_files; i++)
    hash_count(h, (size_t)b->slots[i]);
  rt_sha256_finish(&h, hex);
  return RT_OK;
}

/** Print the text that rt_corpus_digest hashes. */
static void print_digests(const rt_corpus *c, const char (*each)[RT_SHA256_HEX],
                          FILE *to)
{
  int i_path = 0;
  for (int i = 0; i < c->n_files; i++) {
    const bool indexed = c->source[i].file.index_path[0] != '\0';
    fprintf(to, "%s\n", each[i_path++]);
    fprintf(to, "%s\n", indexed ? each[i_path++] : "-");
  }
  for (int i = 0; is_by_weight(c) && i < c->n_files; i++)
    fprintf(to, "%lld\n", (long long)c->blend[RT_TRAIN].slots[i]);
}

static rt_err hash_digests(const rt_corpus *c,
                           const char (*each)[RT_SHA256_HEX],
                           char hex[RT_SHA256_HEX])
{
  char *text = NULL;
  size_t n = 0;
  FILE *const to = open_memstream(&text, &n);
  RT_CHECK(to != NULL, RT_ERR_MEM, "the digests of %d files", c->n_files);
  print_digests(c, each, to);
  const bool good = fclose(to) == 0;
  const rt_err err = good ? rt_hash_text(text, n, hex)
                          : RT_FAIL(RT_ERR_MEM, "the digests of a corpus");
  free(text);
  return err;
}

rt_err rt_corpus_digest(MPI_Comm comm, const rt_corpus *c,
                        char hex[RT_SHA256_HEX])
{
  const size_t n = (size_t)rt_corpus_n_paths(c);
  const char **const paths = calloc(n, sizeof *paths);
  char(*const each)[RT_SHA256_HEX] = calloc(n, sizeof *each);
  const bool room = paths != NULL && each != NULL;
  int n_paths = 0;
  for (int i = 0; room && i < (int)n; i++)
    if (rt_corpus_path(c, i)[0] != '\0')
      paths[n_paths++] = rt_corpus_path(c, i);
  rt_err err = rt_group_agree(
      comm, room ? RT_OK : RT_FAIL(RT_ERR_MEM, "%zu files of a corpus", n));
  if (err == RT_OK)
    err = rt_files_digest(comm, "corpus", paths, n_paths, each);
  if (err == RT_OK)
    err = rt_group_agree(
        comm, hash_digests(c, (const char(*)[RT_SHA256_HEX])each, hex));
  free(paths);
  free(each);
  return err;
}

int rt_corpus_n_files(const rt_corpus *c)
{
  return c->n_files;
}

int rt_corpus_n_paths(const rt_corpus *c)
{
  return 2 * c->n_files;
}

const char *rt_corpus_path(const rt_corpus *c, int i)
{
  const rt_tokfile *const f = &c->source[i / 2].file;
  return i % 2 == 0 ? f->path : f->index_path;
}

/** Count how documents begin and end, to detect existing bos and eot tokens. */
static void count_ends(const rt_tokfile *f, rt_corpus_info *info)
{
  if (f->n_docs == 0)
    return;
  info->first_id = rt_tokfile_at(f, f->begin[0]);
  info->last_id = rt_tokfile_at(f, f->begin[1] - 1);
  for (int64_t d = 0; d < f->n_docs; d++) {
    info->n_first += rt_tokfile_at(f, f->begin[d]) == info->first_id;
    info->n_last += rt_tokfile_at(f, f->begin[d + 1] - 1) == info->last_id;
  }
}

rt_corpus_info rt_corpus_file_info(const rt_corpus *c, int i_file)
{
  const rt_source *s = &c->source[i_file];
  const rt_blend *b = &c->blend[RT_TRAIN];
  RT_ASSERT(i_file >= 0 && i_file < c->n_files);
  rt_corpus_info info = {
      .path = s->file.path,
      .format = s->file.format,
      .n_tokens = s->file.n_tokens,
      .n_docs = s->file.n_docs,
      .n_rows = {s->stream[RT_TRAIN].n_rows, s->stream[RT_VALID].n_rows},
      .weight = (double)b->slots[i_file] / (double)b->n_slots};
  count_ends(&s->file, &info);
  return info;
}

rt_err rt_corpus_check(const rt_corpus *c)
{
  enum { PIECE = 4096 };
  uint32_t ids[PIECE];
  for (int i = 0; i < c->n_files; i++) {
    const rt_tokfile *f = &c->source[i].file;
    for (int64_t at = 0; at < f->n_tokens; at += PIECE) {
      const int64_t left = f->n_tokens - at;
      RT_TRY(rt_tokfile_copy(f, at, left < PIECE ? left : PIECE, c->spec.vocab,
                             ids));
    }
  }
  return RT_OK;
}
