/** \file test_feed.c
 *  Rows in order of consumption, whoever asks; reads shared by a tp group;
 *  damage where it is needed, and not before.
 *  ranks: 1 2 4 */
#include "distill/data/feed.h"
#include "support/corpus_dataset.h"
#include "support/damage_record.h"
#include "support/scratch.h"

#include <pthread.h>
#include <string.h>

enum { SEQ = 8, N_ROWS = 24, MICRO = 2, PER_RANK = 4, N_IDS = 400 };

/** A dataset for each rank, in a folder of its own. */
typedef struct scene {
  char folder[RT_PATH_MAX], mine[RT_PATH_MAX];
  rt_comm *world, *self;
  int rank, size;
  rt_corpus *corpus;
  rt_logits *ds;
} scene;

static void begin(scene *s)
{
  char name[32], path[RT_PATH_MAX];
  scratch_create(s->folder);
  RT_OKAY(rt_comm_create(MPI_COMM_WORLD, &s->world));
  RT_OKAY(rt_comm_create(MPI_COMM_SELF, &s->self));
  s->rank = rt_comm_rank(s->world);
  s->size = rt_comm_size(s->world);
  snprintf(name, sizeof name, "ds%d", s->rank);
  rt_in(s->folder, name, s->mine);
  snprintf(name, sizeof name, "a%d.u16", s->rank);
  put_ids(rt_in(s->folder, name, path), N_IDS, 100);
  const char *const files[] = {path};
  const rt_corpus_spec spec = plain_spec(files, SEQ);
  RT_OKAY(rt_corpus_open(&spec, &s->corpus));
  const rt_logits_info info = info_of_corpus(s->corpus, 0, N_ROWS);
  put_dataset(s->mine, &info, s->corpus);
  RT_OKAY(rt_logits_open(MPI_COMM_SELF, s->mine, RT_LOGITS_FINISHED, &s->ds));
}

static void end(scene *s)
{
  rt_logits_close(&s->ds);
  rt_corpus_close(&s->corpus);
  rt_comm_destroy(&s->self);
  rt_comm_destroy(&s->world);
  scratch_remove(s->folder);
}

/** All ranks read different rows (dp). */
static rt_feed_spec split_of(const scene *s)
{
  return (rt_feed_spec){.rows = {.seq = SEQ,
                                 .corpus = s->corpus,
                                 .dataset = s->ds,
                                 .folder = "the_dataset"},
                        .group = s->self,
                        .seed = 5,
                        .n_rows = N_ROWS,
                        .batch_rows = (int64_t)PER_RANK * s->size,
                        .rows_per_rank = PER_RANK,
                        .micro_rows = MICRO,
                        .i_dp = s->rank,
                        .n_steps = 9}; // more than an epoch
}

/** All read the same (tp). */
static rt_feed_spec group_of(const scene *s)
{
  rt_feed_spec spec = split_of(s);
  spec.group = s->world;
  spec.batch_rows = PER_RANK;
  spec.i_dp = 0;
  return spec;
}

/** Row \a r of micro-step \a m as the header writes it. */
static int64_t row_of(const rt_feed_spec *f, int64_t m, int64_t r)
{
  const int64_t per_step = f->rows_per_rank / f->micro_rows;
  return rt_corpus_order(f->seed, f->n_rows,
                         m / per_step * f->batch_rows +
                             f->i_dp * f->rows_per_rank +
                             m % per_step * f->micro_rows + r);
}

/** Micro-step \a m of \a f: its rows, text and entries. */
static void check_batch(const rt_feed_spec *f, const rt_batch *b, int64_t m)
{
  CU_ASSERT_EQUAL(b->n_rows, f->micro_rows);
  for (int64_t r = 0; r < f->micro_rows; r++) {
    const int64_t row = row_of(f, m, r);
    CU_ASSERT_EQUAL(b->row[r], row);
    for (int64_t t = 0; t < SEQ; t++) {
      const int64_t i = row * SEQ + t;
      CU_ASSERT_EQUAL(b->tok[r * SEQ + t],
                      i % 29 == 28 ? EOT : 100 + (int32_t)(i % 97));
    }
    if (f->rows.dataset == NULL)
      continue;
    rt_logits_row want = make_row(rt_logits_about(f->rows.dataset), row);
    CU_ASSERT_EQUAL(b->logits[r].n_entries, want.n_entries);
    CU_ASSERT_EQUAL(memcmp(b->logits[r].ids, want.ids,
                           (size_t)want.n_entries * sizeof *want.ids),
                    0);
    rt_logits_row_clear(&want);
  }
}

/** All micro-steps from spec->first_step to the end of the run. */
static void check_run(const rt_feed_spec *spec)
{
  const int64_t per_step = spec->rows_per_rank / spec->micro_rows;
  const rt_batch *b;
  rt_feed *feed = NULL;
  RT_OKAY(rt_feed_create(spec, &feed));
  for (int64_t m = spec->first_step * per_step; m < spec->n_steps * per_step;
       m++) {
    RT_OKAY(rt_feed_next(feed, &b));
    check_batch(spec, b, m);
  }
  rt_feed_destroy(&feed);
  CU_ASSERT_PTR_NULL(feed);
  rt_feed_destroy(&feed);
}

static void test_order(void)
{
  scene s;
  begin(&s);
  for (int64_t first = 0; first < 9; first += 4) {
    rt_feed_spec spec = split_of(&s), shared = group_of(&s);
    spec.first_step = shared.first_step = first;
    check_run(&spec);
    check_run(&shared);
    spec.rows.dataset = shared.rows.dataset = NULL;
    check_run(&spec);
    check_run(&shared);
  }
  end(&s);
}

/** The rows of a step over all ranks are the next of the stream, whatever dp
 *  is; an epoch has each row once. */
static void test_epoch(void)
{
  scene s;
  int seen[N_ROWS] = {0}, all[N_ROWS];
  const rt_batch *b;
  rt_feed *feed = NULL;
  begin(&s);
  const rt_feed_spec spec = split_of(&s);
  const int64_t n = N_ROWS / spec.batch_rows * (PER_RANK / MICRO);
  RT_OKAY(rt_feed_create(&spec, &feed));
  for (int64_t m = 0; m < n; m++) {
    RT_OKAY(rt_feed_next(feed, &b));
    for (int64_t r = 0; r < MICRO; r++)
      seen[b->row[r]]++;
  }
  rt_feed_destroy(&feed);
  MPI_Allreduce(seen, all, N_ROWS, MPI_INT, MPI_SUM, MPI_COMM_WORLD);
  int64_t once = 0;
  for (int i = 0; i < N_ROWS; i++) {
    CU_ASSERT(all[i] <= 1);
    once += all[i];
  }
  CU_ASSERT_EQUAL(once, N_ROWS / spec.batch_rows * spec.batch_rows);
  end(&s);
}

/** In each rank's own copy all records are broken but those whose turn it has:
 *  who reads for himself cannot go on. */
static void test_shared_reads(void)
{
  scene s;
  const rt_batch *b;
  rt_feed *feed = NULL;
  begin(&s);
  rt_feed_spec spec = group_of(&s);
  spec.n_steps = N_ROWS / PER_RANK; // each row once
  const int64_t n = N_ROWS / MICRO;
  for (int64_t m = 0; m < n; m++)
    for (int64_t r = 0; r < MICRO && m % s.size != s.rank; r++)
      damage_record(s.ds, s.mine, row_of(&spec, m, r));
  RT_OKAY(rt_feed_create(&spec, &feed));
  for (int64_t m = 0; m < n; m++) {
    RT_OKAY(rt_feed_next(feed, &b));
    check_batch(&spec, b, m);
  }
  rt_feed_destroy(&feed);
  end(&s);
}

/** A damaged record of micro-step 5: all ranks have the five before it, and all
 *  are told; a run of two steps never needs it. */
static void test_damage(void)
{
  scene s;
  const rt_batch *b;
  rt_feed *feed = NULL;
  char said[64];
  begin(&s);
  rt_feed_spec spec = group_of(&s);
  const int64_t bad = row_of(&spec, 5, 1);
  damage_record(s.ds, s.mine, bad);
  snprintf(said, sizeof said, "row %lld", (long long)bad);
  RT_OKAY(rt_feed_create(&spec, &feed));
  for (int64_t m = 0; m < 5; m++) {
    RT_OKAY(rt_feed_next(feed, &b));
    check_batch(&spec, b, m);
  }
  RT_FAILS(rt_feed_next(feed, &b), RT_ERR_DATA, said);
  RT_FAILS(rt_feed_next(feed, &b), RT_ERR_DATA, said); // it stays
  rt_feed_destroy(&feed);
  spec.n_steps = 2;
  check_run(&spec);
  end(&s);
}

/** The dataset's file is cut on one rank of the group alone, where its turn
 *  comes (by then at the latest: a shard has other rows, too): the others do
 *  not wait. */
static void test_cut_file(void)
{
  scene s;
  const rt_batch *b;
  rt_feed *feed = NULL;
  char path[RT_PATH_MAX];
  begin(&s);
  rt_feed_spec spec = group_of(&s);
  const int64_t m_bad = s.size; // the first rank's second turn
  const int64_t shard =
      row_of(&spec, m_bad, 0) / rt_logits_about(s.ds)->shard_rows;
  if (s.rank == 0) {
    RT_OKAY(rt_logits_shard_path(path, s.mine, shard));
    CU_ASSERT_EQUAL(truncate(path, 100), 0);
  }
  RT_OKAY(rt_feed_create(&spec, &feed));
  rt_err err = RT_OK;
  int64_t m = 0;
  for (; m <= m_bad && err == RT_OK; m++)
    err = rt_feed_next(feed, &b);
  CU_ASSERT_NOT_EQUAL(err, RT_OK);
  int64_t at = m, most;
  MPI_Allreduce(&at, &most, 1, MPI_INT64_T, MPI_MAX, MPI_COMM_WORLD);
  CU_ASSERT_EQUAL(m, most); // all at the same micro-step
  rt_feed_destroy(&feed);
  end(&s);
}

/** A feed may go while its thread reads ahead. */
static void test_leave(void)
{
  scene s;
  begin(&s);
  for (int i = 0; i < 20; i++) {
    rt_feed *feed = NULL;
    const rt_batch *b;
    const rt_feed_spec spec = group_of(&s);
    RT_OKAY(rt_feed_create(&spec, &feed));
    if (i % 2 == 0)
      RT_OKAY(rt_feed_next(feed, &b));
    rt_feed_destroy(&feed);
  }
  end(&s);
}

/** What on_row has seen. */
typedef struct seen {
  pthread_t step; // the thread that takes the batches
  int64_t n, n_right, n_by_step;
  bool had[RT_FEED_SLOTS];
} seen;

static rt_err see(void *self, const rt_batch *b, int64_t r)
{
  seen *const x = self;
  const rt_logits_row *const row = &b->logits[r];
  rt_logits_row want = make_row(rt_logits_about(b->from.dataset), b->row[r]);
  const size_t n = (size_t)want.n_entries;
  x->n++;
  x->n_right += row->n_entries == want.n_entries &&
                memcmp(row->ids, want.ids, n * sizeof *want.ids) == 0 &&
                memcmp(row->logp, want.logp, n * sizeof *want.logp) == 0;
  x->n_by_step += pthread_equal(pthread_self(), x->step) != 0;
  x->had[b->slot] = true;
  rt_logits_row_clear(&want);
  return RT_OK;
}

/** Every row is shown once, by the feed's thread, and its entries are not kept.
 */
static void test_on_row(void)
{
  scene s;
  begin(&s);
  seen x = {.step = pthread_self()};
  rt_feed_spec spec = split_of(&s);
  spec.on_row = see;
  spec.on_row_self = &x;
  const int64_t per_step = spec.rows_per_rank / spec.micro_rows;
  const int64_t n = (spec.n_steps - spec.first_step) * per_step;
  const rt_batch *b;
  rt_feed *feed = NULL;
  RT_OKAY(rt_feed_create(&spec, &feed));
  for (int64_t m = 0; m < n; m++) {
    RT_OKAY(rt_feed_next(feed, &b));
    int n_with_memory = 0;
    for (int64_t r = 0; r < spec.micro_rows; r++)
      n_with_memory += b->logits[r].ids != NULL;
    CU_ASSERT(n_with_memory <= 1);
  }
  rt_feed_destroy(&feed);
  CU_ASSERT_EQUAL(x.n, n * spec.micro_rows);
  CU_ASSERT_EQUAL(x.n_right, x.n);
  CU_ASSERT_EQUAL(x.n_by_step, 0);
  CU_ASSERT(x.had[0] && x.had[1] && x.had[2]);
  end(&s);
}

static void test_memory(void)
{
  scene s;
  begin(&s);
  rt_feed_spec spec = split_of(&s);
  const double with = rt_feed_memory(&spec);
  spec.on_row = see;
  CU_ASSERT(rt_feed_memory(&spec) < with); // entries of one row a batch
  spec.on_row = NULL;
  spec.rows.dataset = NULL;
  const double without = rt_feed_memory(&spec);
  CU_ASSERT_EQUAL(without, 3.0 * (double)rt_batch_bytes(&spec.rows, MICRO));
  CU_ASSERT(with > without);
  spec.micro_rows = PER_RANK;
  CU_ASSERT(rt_feed_memory(&spec) > without);
  end(&s);
}

RT_TEST_MAIN("feed", {"rows in order", test_order},
             {"an epoch has each row once", test_epoch},
             {"a group reads each record once", test_shared_reads},
             {"a damaged record", test_damage},
             {"a file cut on one rank", test_cut_file},
             {"left while it reads", test_leave},
             {"a function for each row", test_on_row}, {"memory", test_memory})
