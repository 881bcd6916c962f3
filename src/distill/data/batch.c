/** \file batch.c
 *  Micro-batches: rows of the corpus, the dataset, or both.  Uses only
 *  memory-mapped corpora and pread, so that the feed thread can call it. */
#include "distill/data/batch.h"

#include "base/bundle.h"

#include <stdlib.h>
#include <string.h>

static void lay_out(rt_batch *b, rt_bundle *s)
{
  const size_t rows = (size_t)b->n_rows, n = rows * (size_t)b->seq;
  b->row = rt_bundle_take(s, rows, sizeof *b->row);
  b->tok = rt_bundle_take(s, n, sizeof *b->tok);
  b->label = rt_bundle_take(s, n, sizeof *b->label);
  b->pos = rt_bundle_take(s, n, sizeof *b->pos);
  b->doc_start = rt_bundle_take(s, n, sizeof *b->doc_start);
  b->weight = rt_bundle_take(s, n, sizeof *b->weight);
  b->logits = rt_bundle_take(s, rows, sizeof *b->logits);
}

size_t rt_batch_bytes(const rt_rows *from, int64_t n_rows)
{
  rt_bundle s = {0};
  lay_out(&(rt_batch){.n_rows = n_rows, .seq = from->seq}, &s);
  return s.bytes;
}

int64_t rt_batch_at_once(const rt_rows *from, int64_t n_rows)
{
  const int64_t best =
      from->dataset != NULL ? rt_logits_at_once(from->dataset) : 1;
  return best < n_rows ? best : n_rows;
}

rt_err rt_batch_create(const rt_rows *from, int64_t n_rows, rt_batch **out)
{
  rt_bundle s = {.bytes = rt_batch_bytes(from, n_rows)};
  rt_batch *b = calloc(1, sizeof *b);
  *out = b;
  RT_CHECK(b != NULL, RT_ERR_MEM, "a batch");
  b->n_rows = n_rows;
  b->seq = from->seq;
  b->from = *from;
  b->at_once = rt_batch_at_once(from, n_rows);
  RT_TRY(rt_bundle_alloc(&s, "a batch of rows"));
  b->block = s.block;
  lay_out(b, &s);
  return RT_OK;
}

void rt_batch_destroy(rt_batch **batch)
{
  rt_batch *b = *batch;
  *batch = NULL;
  if (b == NULL)
    return;
  for (int64_t r = 0; b->logits != NULL && r < b->n_rows; r++)
    rt_logits_row_clear(&b->logits[r]);
  free(b->block);
  free(b);
}

/** Copy a row of T + 1 ids to the arrays of row \a r. */
static void place_row(rt_batch *b, int64_t r, const uint32_t *tok)
{
  const size_t at = (size_t)(r * b->seq);
  for (size_t t = 0; t < (size_t)b->seq; t++) {
    b->tok[at + t] = (int32_t)tok[t];
    b->label[at + t] = (int32_t)tok[t + 1];
    b->pos[at + t] = (int32_t)t;
    b->doc_start[at + t] = 0;
    b->weight[at + t] = 1.0f;
  }
}

int64_t rt_batch_stream_row(const rt_batch *b, int64_t r)
{
  if (b->from.dataset != NULL && rt_logits_about(b->from.dataset)->step)
    return b->logits[r].stream_row;
  return b->row[r] + b->from.first_row;
}

static int64_t stream_row(const rt_batch *b, rt_part part, int64_t r)
{
  return part == RT_TRAIN ? rt_batch_stream_row(b, r) : b->row[r];
}

/** Set positions and starts per document, for a row of the corpus. */
static rt_err mask_documents(rt_batch *b, rt_part part, int64_t r,
                             uint32_t *tok)
{
  return rt_corpus_row(b->from.corpus, part, stream_row(b, part, r), tok,
                       b->pos + r * b->seq, b->doc_start + r * b->seq);
}

static rt_err compare_tokens(const rt_batch *b, int64_t r,
                             const uint32_t *corpus_tok)
{
  const uint32_t *captured = b->logits[r].tok;
  for (int64_t t = 0; t <= b->seq; t++)
    RT_CHECK(captured[t] == corpus_tok[t], RT_ERR_DATA,
             "%s: row %lld token %lld is %u, the corpus has %u: the dataset "
             "belongs to another corpus or other data.* keys",
             b->from.folder, (long long)b->row[r], (long long)t, captured[t],
             corpus_tok[t]);
  return RT_OK;
}

/** Read the entries of rows [first, first + n).  \a records: already read;
 * NULL: read them here. */
static rt_err read_logits(rt_batch *b, int64_t first, int64_t n,
                          const rt_bytes *records)
{
  int64_t rows[RT_LOGITS_AT_ONCE];
  for (int64_t r = 0; r < n; r++)
    rows[r] = rt_rows_in_dataset(&b->from, b->row[first + r]);
  return rt_logits_read_all(b->from.dataset, rows, (int)n,
                            records != NULL ? records + first : NULL,
                            b->logits + first);
}

/** Keep the whole row, or the piece of it that the deck requests. */
static rt_err cut_logits(rt_batch *b, int64_t r)
{
  rt_logits_row *const row = &b->logits[r];
  const int64_t first =
      b->from.pieces > 0 ? b->row[r] % b->from.pieces * b->seq : 0;
  RT_CHECK(b->from.pieces > 0 ? row->n_tokens >= first + b->seq
                              : row->n_tokens == b->seq,
           RT_ERR_DATA, "%s: row %lld has %lld tokens, data.seq is %lld%s",
           b->from.folder, (long long)rt_rows_in_dataset(&b->from, b->row[r]),
           (long long)row->n_tokens, (long long)b->seq,
           b->from.pieces > 0 ? ", which this piece needs from where it starts"
                              : "");
  if (b->from.pieces > 0)
    rt_logits_row_cut(row, first, b->seq);
  return b->from.vocab_cut > 0 ? rt_logits_row_narrow(row, b->from.vocab_cut)
                               : RT_OK;
}

static rt_err fill_row(rt_batch *b, rt_part part, int64_t r, uint32_t *scratch)
{
  const bool from_dataset = part == RT_TRAIN && b->from.dataset != NULL;
  const bool masked = b->from.mask_documents;
  if (from_dataset)
    RT_TRY(cut_logits(b, r));
  // pieces: the rows of the corpus are divided differently and only its hash is
  // known
  const bool in_corpus =
      b->from.corpus != NULL && !(from_dataset && b->from.pieces > 0);
  if (in_corpus) {
    RT_TRY(rt_corpus_row(b->from.corpus, part, stream_row(b, part, r), scratch,
                         NULL, NULL));
    if (from_dataset)
      RT_TRY(compare_tokens(b, r, scratch));
  }
  place_row(b, r, in_corpus ? scratch : b->logits[r].tok);
  RT_CHECK(!masked || b->from.corpus != NULL, RT_ERR_CONFIG,
           "data.mask_documents needs data.files: a dataset alone does not "
           "contain document boundaries");
  return masked ? mask_documents(b, part, r, scratch) : RT_OK;
}

/** Row \a to gets the memory for entries of row \a from, which are done. */
static void pass_memory(rt_logits_row *from, rt_logits_row *to)
{
  if (from == to)
    return;
  to->ids = from->ids;
  to->logp = from->logp;
  to->cap_entries = from->cap_entries;
  from->ids = NULL;
  from->logp = NULL;
  from->cap_entries = from->n_entries = 0;
}

/** Fill row \a r of \a n, whose entries were read, and tell of it. */
static rt_err fill_and_tell(rt_batch *b, int64_t r, int64_t n,
                            uint32_t *scratch)
{
  RT_TRY(fill_row(b, RT_TRAIN, r, scratch));
  if (b->on_row == NULL)
    return RT_OK;
  RT_TRY(b->on_row(b->on_row_self, b, r));
  const int64_t next = r + b->at_once;
  pass_memory(&b->logits[r], &b->logits[next < n ? next : r % b->at_once]);
  return RT_OK;
}

/** Fill all rows. */
static rt_err fill(rt_batch *b, rt_part part, int64_t n_rows,
                   const rt_bytes *records, uint32_t *scratch)
{
  const bool from_dataset = part == RT_TRAIN && b->from.dataset != NULL;
  if (!from_dataset) {
    for (int64_t r = 0; r < n_rows; r++)
      RT_TRY(fill_row(b, part, r, scratch));
    return RT_OK;
  }
  for (int64_t r = 0; r < n_rows; r++) {
    const int64_t left = n_rows - r;
    if (r % b->at_once == 0)
      RT_TRY(read_logits(b, r, left < b->at_once ? left : b->at_once, records));
    RT_TRY(fill_and_tell(b, r, n_rows, scratch));
  }
  return RT_OK;
}

rt_err rt_batch_fill(rt_batch *b, rt_part part, const int64_t *rows,
                     int64_t n_rows, const rt_bytes *records)
{
  uint32_t *scratch = malloc((size_t)(b->from.seq + 1) * sizeof *scratch);
  RT_CHECK(scratch != NULL, RT_ERR_MEM, "a row of %lld ids",
           (long long)b->from.seq);
  for (int64_t r = 0; r < n_rows; r++)
    b->row[r] = rows[r];
  const rt_err err = fill(b, part, n_rows, records, scratch);
  free(scratch);
  return err;
}
