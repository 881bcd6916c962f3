/** \file source.c
 *  Splitting documents into parts, packing them into rows. */
#include "io/corpus/source.h"

#include "base/rng.h"

#include <stdlib.h>

static void add_span(rt_stream *s, int64_t begin, int64_t n, bool add_eot)
{
  s->span[s->n_spans++] = (rt_span){s->n, 2 * begin + add_eot};
  s->n += n + add_eot;
  s->span[s->n_spans].place = s->n;
}

/** A single document: the tail is held out.  The cut is not the document's end
 *  and gets no eot. */
static void split_tokens(rt_source *s, double valid_fraction, bool add_eot)
{
  const int64_t n = s->file.n_tokens;
  const int64_t n_valid = (int64_t)((double)n * valid_fraction);
  add_span(&s->stream[RT_TRAIN], 0, n - n_valid, add_eot && n_valid == 0);
  if (n_valid > 0)
    add_span(&s->stream[RT_VALID], n - n_valid, n_valid, add_eot);
}

/** Looks at the last token of every document: one page of the file for each. */
static void split_documents(rt_source *s, const rt_corpus_spec *spec,
                            int i_file)
{
  const rt_tokfile *f = &s->file;
  for (int64_t d = 0; d < f->n_docs; d++) {
    const int64_t begin = f->begin[d], end = f->begin[d + 1];
    const bool add_eot =
        spec->eot >= 0 && rt_tokfile_at(f, end - 1) != spec->eot;
    if (f->n_docs == 1) {
      split_tokens(s, spec->valid_fraction, add_eot);
      return;
    }
    const double x = rt_rng_uniform(spec->split_seed, RT_RNG_SPLIT,
                                    (uint64_t)i_file, (uint64_t)d);
    add_span(&s->stream[x < spec->valid_fraction ? RT_VALID : RT_TRAIN], begin,
             end - begin, add_eot);
  }
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
    st->n_rows = st->n > 0 ? (st->n - 1) / spec->seq : 0;
    rt_span *less = realloc(st->span, ((size_t)st->n_spans + 1) * sizeof *less);
    st->span = less != NULL ? less : st->span; // shrinking may fail: no harm
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

/** The span that holds place \a at < n. */
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

/** Put \a n tokens of span \a k, from its \a skip-th, at to->tok[t]. */
static rt_err copy_span(const rt_source *s, const rt_span *k, int64_t skip,
                        int64_t n, const rt_row *to, int64_t t)
{
  const bool add_eot = k->begin_eot & 1;
  const int64_t begin = k->begin_eot / 2;
  const int64_t n_real = k[1].place - k->place - add_eot - skip;
  const int64_t n_copy = n < n_real ? n : n_real;
  RT_TRY(
      rt_tokfile_copy(&s->file, begin + skip, n_copy, to->vocab, to->tok + t));
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
  const int64_t first = i * to->seq;
  const rt_span *k = &st->span[find_span(st, first)];
  for (int64_t t = 0; t <= to->seq; k++) {
    const int64_t at = first + t;
    const int64_t rest = k[1].place - at, room = to->seq + 1 - t;
    const int64_t n = rest < room ? rest : room;
    RT_TRY(copy_span(s, k, at - k->place, n, to, t));
    mark_span(to, t, n);
    t += n;
  }
  return RT_OK;
}
