/** \file source.c
 *  Splits documents into parts and packs them into rows. */
#include "io/corpus/source.h"

#include "base/rng.h"

#include <stdlib.h>

/** Add tokens [begin, begin + n) of the file, and what is inserted around them.
 */
static void add_span(rt_stream *s, int64_t begin, int64_t n, int add)
{
  s->span[s->n_spans++] = (rt_span){s->n, RT_ADD_STEP * begin + add};
  s->n += n + ((add & RT_ADD_EOT) != 0) + ((add & RT_ADD_BOS) != 0);
  s->span[s->n_spans].place = s->n;
}

/** Split a single document: its tail is held out.  Nothing is inserted at the
 *  cut, which is neither the end nor the beginning of a document. */
static void split_tokens(rt_source *s, double valid_fraction, int add)
{
  const int64_t n = s->file.n_tokens;
  const int64_t n_valid = (int64_t)((double)n * valid_fraction);
  const bool whole = n_valid == 0;
  add_span(&s->stream[RT_TRAIN], 0, n - n_valid,
           whole ? add : add & RT_ADD_BOS);
  if (!whole)
    add_span(&s->stream[RT_VALID], n - n_valid, n_valid, add & RT_ADD_EOT);
}

/** Determine whether document \a d lacks bos or eot, from its first and last
 *  token; touches one page of the file per document. */
static int lacks(const rt_tokfile *f, const rt_corpus_spec *spec, int64_t d)
{
  const bool eot =
      spec->eot >= 0 && rt_tokfile_at(f, f->begin[d + 1] - 1) != spec->eot;
  const bool bos = spec->bos_at == RT_BOS_DOCUMENTS &&
                   rt_tokfile_at(f, f->begin[d]) != spec->bos;
  return (eot ? RT_ADD_EOT : 0) + (bos ? RT_ADD_BOS : 0);
}

static void split_documents(rt_source *s, const rt_corpus_spec *spec,
                            int i_file)
{
  const rt_tokfile *f = &s->file;
  for (int64_t d = 0; d < f->n_docs; d++) {
    const int64_t begin = f->begin[d], end = f->begin[d + 1];
    if (f->n_docs == 1) {
      split_tokens(s, spec->valid_fraction, lacks(f, spec, d));
      return;
    }
    const double x = rt_rng_uniform(spec->split_seed, RT_RNG_SPLIT,
                                    (uint64_t)i_file, (uint64_t)d);
    add_span(&s->stream[x < spec->valid_fraction ? RT_VALID : RT_TRAIN], begin,
             end - begin, lacks(f, spec, d));
  }
}

/** Number of stream tokens from the start of one row to that of the next. */
static int64_t stride_of(const rt_corpus_spec *spec)
{
  return spec->bos_at == RT_BOS_ROWS ? spec->seq - 1 : spec->seq;
}

rt_err rt_source_split(rt_source *s, const rt_corpus_spec *spec, int i_file)
{
  const size_t room = (size_t)s->file.n_docs + 1;
  for (int p = 0; p < RT_N_PARTS; p++) {
    s->stream[p].span = malloc(room * sizeof(rt_span));
    RT_CHECK(s->stream[p].span != NULL, RT_ERR_MEM,
             "%zu bytes for the documents of %s", room * sizeof(rt_span),
             s->file.path);
    s->stream[p].span[0] = (rt_span){0};
  }
  split_documents(s, spec, i_file);
  for (int p = 0; p < RT_N_PARTS; p++) {
    rt_stream *st = &s->stream[p];
    st->n_rows = st->n > 0 ? (st->n - 1) / stride_of(spec) : 0;
    rt_span *less = realloc(st->span, ((size_t)st->n_spans + 1) * sizeof *less);
    st->span = less != NULL ? less : st->span; // a failed shrink is harmless
  }
  return RT_OK;
}

void rt_source_clear(rt_source *s)
{
  rt_tokfile_close(&s->file);
  for (int p = 0; p < RT_N_PARTS; p++)
    free(s->stream[p].span);
  *s = (rt_source){0};
}

/** The span that contains stream position \a at < n. */
static int64_t find_span(const rt_stream *s, int64_t at)
{
  int64_t low = 0, high = s->n_spans;
  while (high - low > 1) {
    const int64_t middle = low + (high - low) / 2;
    if (s->span[middle].place <= at)
      low = middle;
    else
      high = middle;
  }
  return low;
}

/** Copy \a n tokens of span \a k, starting at its \a skip-th, to to->tok[t]. */
static rt_err copy_span(const rt_source *s, const rt_span *k, int64_t skip,
                        int64_t n, const rt_row *to, int64_t t)
{
  const int add = (int)(k->begin_add & RT_ADD_ALL);
  const int64_t begin = k->begin_add / RT_ADD_STEP;
  const int64_t n_bos = (add & RT_ADD_BOS) != 0,
                n_eot = (add & RT_ADD_EOT) != 0;
  if (n_bos > skip) {
    to->tok[t] = (uint32_t)to->bos;
    return n > 1 ? copy_span(s, k, skip + 1, n - 1, to, t + 1) : RT_OK;
  }
  const int64_t from = skip - n_bos; // offset in the file's tokens
  const int64_t n_real = k[1].place - k->place - n_eot - n_bos - from;
  const int64_t n_copy = n < n_real ? n : n_real;
  RT_TRY(
      rt_tokfile_copy(&s->file, begin + from, n_copy, to->vocab, to->tok + t));
  if (n_copy < n)
    to->tok[t + n_copy] = (uint32_t)to->eot;
  return RT_OK;
}

static void mark_span(const rt_row *to, int64_t t, int64_t n)
{
  const int64_t end = t + n < to->seq ? t + n : to->seq;
  for (int64_t i = t; i < end; i++) {
    if (to->pos != NULL)
      to->pos[i] = (int32_t)(i - t);
    if (to->doc_start != NULL)
      to->doc_start[i] = (int32_t)t;
  }
}

rt_err rt_source_row(const rt_source *s, rt_part part, int64_t i,
                     const rt_row *to)
{
  const rt_stream *st = &s->stream[part];
  // number of tokens that do not belong to the stream
  const int64_t own = to->begins ? 1 : 0;
  const int64_t first = i * (to->seq - own);
  const rt_span *k = &st->span[find_span(st, first)];
  if (to->begins)
    to->tok[0] = (uint32_t)to->bos;
  for (int64_t t = own; t <= to->seq; k++) {
    const int64_t at = first + t - own;
    const int64_t rest = k[1].place - at, room = to->seq + 1 - t;
    const int64_t n = rest < room ? rest : room;
    RT_TRY(copy_span(s, k, at - k->place, n, to, t));
    if (t == own)
      // the row's bos belongs to the document that follows it
      mark_span(to, 0, n + own);
    else
      mark_span(to, t, n);
    t += n;
  }
  return RT_OK;
}
