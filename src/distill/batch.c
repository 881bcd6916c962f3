/** \file batch.c
 *  Micro-batches, and the thread that reads them ahead of need.
 *
 *  The thread touches mapped corpora and pread only: no MPI, no HDF5, no
 *  OpenMP, no BLAS (architecture: seam 8). */
#include "distill/batch.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

enum { N_SLOTS = 3 }; // one in use, two ahead

rt_err rt_batch_create(const rt_job *job, int64_t n_rows, rt_batch **out)
{
  rt_batch *b = calloc(1, sizeof *b);
  *out = b;
  RT_CHECK(b != NULL, RT_ERR_MEM, "a batch");
  const size_t n = (size_t)n_rows * (size_t)job->seq;
  b->n_rows = n_rows;
  b->seq = job->seq;
  b->row = calloc((size_t)n_rows, sizeof *b->row);
  b->tok = calloc(n, sizeof *b->tok);
  b->label = calloc(n, sizeof *b->label);
  b->pos = calloc(n, sizeof *b->pos);
  b->doc_start = calloc(n, sizeof *b->doc_start);
  b->weight = calloc(n, sizeof *b->weight);
  b->logits = calloc((size_t)n_rows, sizeof *b->logits);
  RT_CHECK(b->row && b->tok && b->label && b->pos && b->doc_start &&
               b->weight && b->logits,
           RT_ERR_MEM, "a batch of %lld rows of %lld tokens", (long long)n_rows,
           (long long)job->seq);
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
  free(b->row);
  free(b->tok);
  free(b->label);
  free(b->pos);
  free(b->doc_start);
  free(b->weight);
  free(b->logits);
  free(b);
}

/** Row of T + 1 ids into the arrays of place \a r. */
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

int64_t rt_batch_stream_row(const rt_batch *b, const rt_job *job, int64_t r)
{
  if (job->dataset != NULL && rt_logits_about(job->dataset)->step)
    return b->logits[r].stream_row;
  return b->row[r] + job->first_row;
}

static int64_t stream_row(const rt_batch *b, const rt_job *job, rt_part part,
                          int64_t r)
{
  return part == RT_TRAIN ? rt_batch_stream_row(b, job, r) : b->row[r];
}

/** Positions and starts by document, for a row that the corpus gives. */
static rt_err mask_documents(rt_batch *b, const rt_job *job, rt_part part,
                             int64_t r, uint32_t *tok)
{
  return rt_corpus_row(job->corpus, part, stream_row(b, job, part, r), tok,
                       b->pos + r * b->seq, b->doc_start + r * b->seq);
}

static rt_err compare_tokens(const rt_job *job, const rt_batch *b, int64_t r,
                             const uint32_t *corpus_tok)
{
  const uint32_t *captured = b->logits[r].tok;
  for (int64_t t = 0; t <= b->seq; t++)
    RT_CHECK(captured[t] == corpus_tok[t], RT_ERR_DATA,
             "%s: row %lld token %lld is %u, the corpus has %u: the dataset "
             "belongs to another corpus or other data.* keys",
             rt_deck_text(job->deck, RT_KEY_TEA_DATASET), (long long)b->row[r],
             (long long)t, captured[t], corpus_tok[t]);
  return RT_OK;
}

/** The whole row, or the piece of it that the deck asks for. */
static rt_err read_logits(rt_batch *b, const rt_job *job, int64_t r)
{
  rt_logits_row *const row = &b->logits[r];
  const int64_t pieces = job->pieces > 0 ? job->pieces : 1;
  const int64_t i = b->row[r] / pieces, first = b->row[r] % pieces * b->seq;
  RT_TRY(rt_logits_read(job->dataset, i, row));
  RT_CHECK(job->pieces > 0 ? row->n_tokens >= first + b->seq
                           : row->n_tokens == b->seq,
           RT_ERR_DATA, "%s: row %lld has %lld tokens, data.seq is %lld%s",
           rt_deck_text(job->deck, RT_KEY_TEA_DATASET), (long long)i,
           (long long)row->n_tokens, (long long)b->seq,
           job->pieces > 0 ? ", which this piece needs from where it starts"
                           : "");
  if (job->pieces > 0)
    rt_logits_row_cut(row, first, b->seq);
  return RT_OK;
}

static rt_err fill_row(rt_batch *b, const rt_job *job, rt_part part, int64_t r,
                       uint32_t *scratch)
{
  const bool from_dataset = part == RT_TRAIN && job->dataset != NULL;
  const bool masked = rt_deck_bool(job->deck, RT_KEY_DATA_MASK_DOCS);
  if (from_dataset)
    RT_TRY(read_logits(b, job, r));
  // of pieces the corpus, cut otherwise, knows nothing but its hash
  const bool in_corpus =
      job->corpus != NULL && !(from_dataset && job->pieces > 0);
  if (in_corpus) {
    RT_TRY(rt_corpus_row(job->corpus, part, stream_row(b, job, part, r),
                         scratch, NULL, NULL));
    if (from_dataset)
      RT_TRY(compare_tokens(job, b, r, scratch));
  }
  place_row(b, r, in_corpus ? scratch : b->logits[r].tok);
  RT_CHECK(!masked || job->corpus != NULL, RT_ERR_CONFIG,
           "data.mask_documents needs data.files: a dataset alone does not "
           "tell where documents start");
  return masked ? mask_documents(b, job, part, r, scratch) : RT_OK;
}

rt_err rt_batch_fill(rt_batch *b, const rt_job *job, rt_part part,
                     const int64_t *rows, int64_t n_rows)
{
  uint32_t *scratch = malloc((size_t)(job->seq + 1) * sizeof *scratch);
  RT_CHECK(scratch != NULL, RT_ERR_MEM, "a row of %lld ids",
           (long long)job->seq);
  rt_err err = RT_OK;
  for (int64_t r = 0; err == RT_OK && r < n_rows; r++) {
    b->row[r] = rows[r];
    err = fill_row(b, job, part, r, scratch);
  }
  free(scratch);
  return err;
}

struct rt_feed {
  const rt_job *job;       // borrowed
  rt_batch *slot[N_SLOTS]; // owned; micro-step m lies in slot m % N_SLOTS
  int64_t *rows;           // [micro_rows], the reader's
  int64_t taken;           // micro-steps handed out (the last one still in use)
  int64_t filled;          // micro-steps read
  bool stop;
  rt_err err; // the reader's, with its text
  char text[1024];
  bool running;
  pthread_t reader;
  pthread_mutex_t lock;
  pthread_cond_t changed;
};

/** Rows of micro-step \a m, in order of consumption. */
static void rows_of(const rt_job *job, int64_t m, int64_t *rows)
{
  const int64_t n_micro = job->rows_per_rank / job->micro_rows;
  const int64_t first = m / n_micro * job->batch_rows +
                        job->grid_s.i_dp * job->rows_per_rank +
                        m % n_micro * job->micro_rows;
  const uint64_t seed = (uint64_t)rt_deck_int(job->deck, RT_KEY_RUN_SEED);
  for (int64_t r = 0; r < job->micro_rows; r++)
    rows[r] = rt_corpus_order(seed, job->n_rows, first + r);
}

/** Reading ahead must not push aside the step that wakes it: where threads
 * share cores it works when a core is free, or in its fair turn.  Best effort.
 */
static void stand_back(void)
{
  const struct sched_param none = {0};
  (void)pthread_setschedparam(pthread_self(), SCHED_BATCH, &none);
}

/** May the reader fill one more slot?  Waits; false: stop. */
static bool wait_for_room(rt_feed *feed)
{
  pthread_mutex_lock(&feed->lock);
  // the batch handed out last is still read by the step: keep its slot
  while (!feed->stop && feed->filled - feed->taken >= N_SLOTS - 1)
    pthread_cond_wait(&feed->changed, &feed->lock);
  const bool go_on = !feed->stop;
  pthread_mutex_unlock(&feed->lock);
  return go_on;
}

static void *read_ahead(void *self)
{
  rt_feed *feed = self;
  stand_back();
  while (feed->err == RT_OK && wait_for_room(feed)) {
    rows_of(feed->job, feed->filled, feed->rows);
    const rt_err err =
        rt_batch_fill(feed->slot[feed->filled % N_SLOTS], feed->job, RT_TRAIN,
                      feed->rows, feed->job->micro_rows);
    pthread_mutex_lock(&feed->lock);
    feed->err = err;
    if (err != RT_OK) // the record is this thread's: carry the text over
      snprintf(feed->text, sizeof feed->text, "%s", rt_err_text());
    else
      feed->filled++;
    pthread_cond_broadcast(&feed->changed);
    pthread_mutex_unlock(&feed->lock);
  }
  return NULL;
}

rt_err rt_feed_create(const rt_job *job, int64_t step, rt_feed **out)
{
  rt_feed *feed = calloc(1, sizeof *feed);
  *out = feed;
  RT_CHECK(feed != NULL, RT_ERR_MEM, "a feed");
  feed->job = job;
  feed->taken = feed->filled = step * (job->rows_per_rank / job->micro_rows);
  pthread_mutex_init(&feed->lock, NULL);
  pthread_cond_init(&feed->changed, NULL);
  feed->rows = malloc((size_t)job->micro_rows * sizeof *feed->rows);
  RT_CHECK(feed->rows != NULL, RT_ERR_MEM, "a list of rows");
  for (int i = 0; i < N_SLOTS; i++)
    RT_TRY(rt_batch_create(job, job->micro_rows, &feed->slot[i]));
  RT_CHECK(pthread_create(&feed->reader, NULL, read_ahead, feed) == 0,
           RT_ERR_MEM, "cannot start the reader thread");
  feed->running = true;
  return RT_OK;
}

void rt_feed_destroy(rt_feed **out)
{
  rt_feed *feed = *out;
  *out = NULL;
  if (feed == NULL)
    return;
  if (feed->running) {
    pthread_mutex_lock(&feed->lock);
    feed->stop = true;
    pthread_cond_broadcast(&feed->changed);
    pthread_mutex_unlock(&feed->lock);
    pthread_join(feed->reader, NULL);
  }
  for (int i = 0; i < N_SLOTS; i++)
    rt_batch_destroy(&feed->slot[i]);
  pthread_cond_destroy(&feed->changed);
  pthread_mutex_destroy(&feed->lock);
  free(feed->rows);
  free(feed);
}

rt_err rt_feed_next(rt_feed *feed, const rt_batch **out)
{
  pthread_mutex_lock(&feed->lock);
  while (feed->err == RT_OK && feed->filled == feed->taken)
    pthread_cond_wait(&feed->changed, &feed->lock);
  const bool ready = feed->filled > feed->taken;
  *out = feed->slot[feed->taken % N_SLOTS];
  feed->taken += ready;
  pthread_cond_broadcast(&feed->changed);
  pthread_mutex_unlock(&feed->lock);
  RT_CHECK(ready, feed->err, "%s", feed->text);
  return RT_OK;
}
