/** \file feed.c
 *  The thread that reads micro-batches ahead.
 *
 *  The thread only uses memory-mapped corpora and pread: no MPI, HDF5, OpenMP
 *  or BLAS.  Where ranks share their reads, the records of a micro-step thus
 *  take three stages: the feed thread of the rank whose turn it is reads them,
 *  the main threads exchange them in rt_feed_next(), and each rank's feed
 *  thread fills its batch from them. */
#include "distill/data/feed.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

struct rt_feed {
  rt_feed_spec spec;
  const rt_comm *sharers; // borrowed; NULL: this rank does not share reads
  rt_batch *batch[RT_FEED_SLOTS]; // owned; micro-step m uses m % RT_FEED_SLOTS
  rt_bytes
      *record[RT_FEED_SLOTS]; // owned [micro_rows] each; NULL without sharers
  int64_t *rows;              // [micro_rows], used by the feed thread
  int64_t end;                // number of micro-steps of the run
  // numbers of micro-steps: taken <= filled <= shared; fetched <= filled +
  // RT_FEED_SLOTS
  int64_t taken;   // returned to the caller (the last one is still in use)
  int64_t filled;  // batches filled
  int64_t shared;  // records have been exchanged
  int64_t fetched; // records read here, or to be read by another rank
  bool stop;
  rt_err err; // error of the feed thread, with its text; the thread has ended
  char text[1024];
  int64_t bad_m; // records could not be read from this micro-step on ...
  rt_err bad;    // ... for this reason, which is reported when they are needed
  char bad_text[1024];
  bool running;
  pthread_t reader;
  pthread_mutex_t lock;
  pthread_cond_t changed;
};

static int64_t n_micro(const rt_feed_spec *s)
{
  return s->rows_per_rank / s->micro_rows;
}

/** Row \a r of micro-step \a m, in the order of consumption. */
static int64_t row_of(const rt_feed_spec *s, int64_t m, int64_t r)
{
  return rt_corpus_order(s->seed, s->n_rows,
                         m / n_micro(s) * s->batch_rows +
                             s->i_dp * s->rows_per_rank +
                             m % n_micro(s) * s->micro_rows + r);
}

/** The rank that reads micro-step \a m. */
static int turn(const rt_feed *feed, int64_t m)
{
  return (int)(m % rt_comm_size(feed->sharers));
}

/** Reduce the thread's priority, so that reading ahead does not preempt the
 *  step that wakes it: where threads share cores, it runs when a core is idle,
 *  or in its fair turn.  Best effort. */
static void stand_back(void)
{
  const struct sched_param none = {0};
  (void)pthread_setschedparam(pthread_self(), SCHED_BATCH, &none);
}

typedef rt_err work_fn(rt_feed *feed, int64_t m);

/** Is micro-step \a m at or after a record that could not be read? */
static bool is_bad(const rt_feed *feed, int64_t m)
{
  return feed->bad != RT_OK && feed->bad_m <= m;
}

/** Store an error for the time when the record is needed, which may never be.
 */
static void keep_error(rt_feed *feed, int64_t m, rt_err err, const char *text)
{
  if (err == RT_OK || is_bad(feed, m))
    return;
  feed->bad = err;
  feed->bad_m = m;
  snprintf(feed->bad_text, sizeof feed->bad_text, "%s", text);
}

static rt_err fill(rt_feed *feed, int64_t m)
{
  const rt_feed_spec *const spec = &feed->spec;
  pthread_mutex_lock(&feed->lock);
  const rt_err bad = is_bad(feed, m) ? feed->bad : RT_OK;
  pthread_mutex_unlock(&feed->lock);
  RT_CHECK(bad == RT_OK, bad, "%s", feed->bad_text);
  for (int64_t r = 0; r < spec->micro_rows; r++)
    feed->rows[r] = row_of(spec, m, r);
  return rt_batch_fill(feed->batch[m % RT_FEED_SLOTS], RT_TRAIN, feed->rows,
                       spec->micro_rows, feed->record[m % RT_FEED_SLOTS]);
}

static rt_err fetch(rt_feed *feed, int64_t m)
{
  const rt_feed_spec *const spec = &feed->spec;
  rt_err err = RT_OK;
  if (turn(feed, m) != rt_comm_rank(feed->sharers))
    return RT_OK;
  for (int64_t r = 0; r < spec->micro_rows && err == RT_OK; r++)
    err = rt_logits_read_record(
        spec->rows.dataset, rt_rows_in_dataset(&spec->rows, row_of(spec, m, r)),
        &feed->record[m % RT_FEED_SLOTS][r]);
  pthread_mutex_lock(&feed->lock);
  keep_error(feed, m, err, rt_err_text());
  pthread_mutex_unlock(&feed->lock);
  return RT_OK;
}

/** Should micro-step \a m be read ahead?  Nothing is read beyond the run. */
static bool is_wanted(const rt_feed *feed, int64_t m)
{
  return m < feed->end || m <= feed->taken;
}

static bool can_fill(const rt_feed *feed)
{
  // the step still reads the batch returned last: keep its slot
  return feed->filled - feed->taken < RT_FEED_SLOTS - 1 &&
         is_wanted(feed, feed->filled) &&
         (feed->sharers == NULL || feed->filled < feed->shared);
}

static bool can_fetch(const rt_feed *feed)
{
  return feed->sharers != NULL &&
         feed->fetched - feed->filled < RT_FEED_SLOTS &&
         is_wanted(feed, feed->fetched);
}

/** Wait for the next piece of work; returns it and its counter.  NULL: stop. */
static work_fn *wait_for_work(rt_feed *feed, int64_t **count)
{
  pthread_mutex_lock(&feed->lock);
  while (!feed->stop && !can_fill(feed) && !can_fetch(feed))
    pthread_cond_wait(&feed->changed, &feed->lock);
  work_fn *const work = feed->stop ? NULL : can_fill(feed) ? fill : fetch;
  *count = work == fill ? &feed->filled : &feed->fetched;
  pthread_mutex_unlock(&feed->lock);
  return work;
}

static void *read_ahead(void *self)
{
  rt_feed *feed = self;
  int64_t *count;
  work_fn *work;
  stand_back();
  while (feed->err == RT_OK && (work = wait_for_work(feed, &count)) != NULL) {
    const rt_err err = work(feed, *count); // only this thread writes these two
    pthread_mutex_lock(&feed->lock);
    feed->err = err;
    // the error record is local to this thread: pass the text on
    if (err != RT_OK)
      snprintf(feed->text, sizeof feed->text, "%s", rt_err_text());
    else
      (*count)++;
    pthread_cond_broadcast(&feed->changed);
    pthread_mutex_unlock(&feed->lock);
  }
  return NULL;
}

static rt_err make_slots(rt_feed *feed)
{
  const rt_feed_spec *const spec = &feed->spec;
  const size_t n = (size_t)spec->micro_rows;
  feed->rows = malloc(n * sizeof *feed->rows);
  RT_CHECK(feed->rows != NULL, RT_ERR_MEM, "a list of rows");
  for (int i = 0; i < RT_FEED_SLOTS; i++) {
    RT_TRY(rt_batch_create(&spec->rows, spec->micro_rows, &feed->batch[i]));
    feed->batch[i]->slot = i;
    feed->batch[i]->on_row = spec->on_row;
    feed->batch[i]->on_row_self = spec->on_row_self;
    if (feed->sharers == NULL)
      continue;
    feed->record[i] = calloc(n, sizeof *feed->record[i]);
    RT_CHECK(feed->record[i] != NULL, RT_ERR_MEM, "records of %zu rows", n);
  }
  return RT_OK;
}

/** The ranks that need the same records; NULL: none. */
static const rt_comm *sharers_of(const rt_feed_spec *spec)
{
  return spec->rows.dataset != NULL && rt_comm_size(spec->group) > 1
             ? spec->group
             : NULL;
}

double rt_feed_memory(const rt_feed_spec *spec)
{
  int64_t record, tokens, entries;
  const double batches =
      RT_FEED_SLOTS * (double)rt_batch_bytes(&spec->rows, spec->micro_rows);
  if (spec->rows.dataset == NULL)
    return batches;
  rt_logits_row_memory(spec->rows.dataset, &record, &tokens, &entries);
  const double rows = RT_FEED_SLOTS * (double)spec->micro_rows;
  const double at_once =
      (double)rt_batch_at_once(&spec->rows, spec->micro_rows);
  // records held at the same time
  const double records = sharers_of(spec) != NULL ? rows : at_once;
  // rows that hold entries at the same time
  const double full = spec->on_row != NULL ? RT_FEED_SLOTS * at_once : rows;
  return batches + rows * (double)tokens + full * (double)entries +
         records * (double)record;
}

rt_err rt_feed_create(const rt_feed_spec *spec, rt_feed **out)
{
  rt_feed *feed = calloc(1, sizeof *feed);
  *out = feed;
  RT_CHECK(feed != NULL, RT_ERR_MEM, "a feed");
  feed->spec = *spec;
  feed->sharers = sharers_of(spec);
  feed->end = spec->n_steps * n_micro(spec);
  feed->taken = feed->filled = spec->first_step * n_micro(spec);
  feed->shared = feed->fetched = feed->taken;
  pthread_mutex_init(&feed->lock, NULL);
  pthread_cond_init(&feed->changed, NULL);
  RT_TRY(make_slots(feed));
  RT_CHECK(pthread_create(&feed->reader, NULL, read_ahead, feed) == 0,
           RT_ERR_MEM, "cannot start the reader thread");
  feed->running = true;
  return RT_OK;
}

static void clear_slot(rt_feed *feed, int i)
{
  rt_bytes *const record = feed->record[i];
  rt_batch_destroy(&feed->batch[i]);
  for (int64_t r = 0; record != NULL && r < feed->spec.micro_rows; r++)
    rt_bytes_clear(&record[r]);
  free(record);
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
  for (int i = 0; i < RT_FEED_SLOTS; i++)
    clear_slot(feed, i);
  pthread_cond_destroy(&feed->changed);
  pthread_mutex_destroy(&feed->lock);
  free(feed->rows);
  free(feed);
}

/** Wait until *count exceeds \a m, or for the feed thread's error. */
static rt_err wait_past(rt_feed *feed, const int64_t *count, int64_t m)
{
  pthread_mutex_lock(&feed->lock);
  while (feed->err == RT_OK && *count <= m)
    pthread_cond_wait(&feed->changed, &feed->lock);
  const bool ready = *count > m;
  pthread_mutex_unlock(&feed->lock);
  RT_CHECK(ready, feed->err, "%s", feed->text);
  return RT_OK;
}

/** Increment a counter that the feed thread reads. */
static void step_on(rt_feed *feed, int64_t *count)
{
  pthread_mutex_lock(&feed->lock);
  (*count)++;
  pthread_cond_broadcast(&feed->changed);
  pthread_mutex_unlock(&feed->lock);
}

/** Find out whether rank \a from has read micro-step \a m; all ranks learn the
 *  reason if not. */
static rt_err share_error(rt_feed *feed, int64_t m, int from, bool *bad)
{
  struct {
    int32_t err;
    char text[sizeof feed->bad_text];
  } word = {0};
  pthread_mutex_lock(&feed->lock);
  if (from == rt_comm_rank(feed->sharers) && is_bad(feed, m)) {
    word.err = (int32_t)feed->bad;
    snprintf(word.text, sizeof word.text, "%s", feed->bad_text);
  }
  pthread_mutex_unlock(&feed->lock);
  RT_TRY(rt_comm_bcast(feed->sharers, &word, sizeof word, from));
  pthread_mutex_lock(&feed->lock);
  keep_error(feed, m, (rt_err)word.err, word.text);
  *bad = is_bad(feed, m);
  pthread_mutex_unlock(&feed->lock);
  return RT_OK;
}

/** Receive the records of the next micro-step from the rank that read them.
 *  All ranks know the lengths from the dataset's index.  Collective. */
static rt_err share(rt_feed *feed)
{
  const rt_feed_spec *const spec = &feed->spec;
  const int64_t m = feed->shared;
  const int from = turn(feed, m);
  if (from == rt_comm_rank(feed->sharers))
    RT_TRY(wait_past(feed, &feed->fetched, m));
  bool bad;
  RT_TRY(share_error(feed, m, from, &bad));
  for (int64_t r = 0; r < spec->micro_rows && !bad; r++) {
    rt_bytes *const record = &feed->record[m % RT_FEED_SLOTS][r];
    size_t n;
    RT_TRY(rt_logits_record_bytes(
        spec->rows.dataset, rt_rows_in_dataset(&spec->rows, row_of(spec, m, r)),
        &n));
    if (from != rt_comm_rank(feed->sharers)) {
      RT_TRY(rt_bytes_fit(record, n));
      record->n = n;
    }
    RT_TRY(rt_comm_bcast(feed->sharers, record->data, n, from));
  }
  step_on(feed, &feed->shared);
  return RT_OK;
}

rt_err rt_feed_next(rt_feed *feed, const rt_batch **out)
{
  const int64_t m = feed->taken;
  // one micro-step ahead, to be decoded during this step
  const int64_t want = m + 1 < feed->end ? m + 2 : m + 1;
  while (feed->sharers != NULL && feed->shared < want)
    RT_TRY(share(feed));
  RT_TRY(wait_past(feed, &feed->filled, m));
  *out = feed->batch[m % RT_FEED_SLOTS];
  step_on(feed, &feed->taken);
  return RT_OK;
}
