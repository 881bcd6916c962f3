/** \file dataset_select.c
 *  `retort logits select`: derives a dataset from another. */
#include "distill/dataset/dataset.h"
#include "base/build_info.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "distill/capture/capture.h"
#include "distill/job/job.h"
#include "kernels/truncate.h"
#include "io/common/lock.h"
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

rt_err rt_logits_range(const rt_logits *ds, const rt_deck *deck, int64_t *begin,
                       int64_t *end)
{
  const rt_logits_info *info = rt_logits_about(ds);
  const int64_t last = info->first_row + info->n_rows;
  const bool given = rt_deck_source(deck, RT_KEY_CAP_FIRST) != RT_FROM_DEFAULT;
  const int64_t first =
      given ? rt_deck_int(deck, RT_KEY_CAP_FIRST) : info->first_row;
  const int64_t asked = rt_deck_int(deck, RT_KEY_CAP_ROWS);
  const int64_t n = asked > 0 ? asked : last - first;
  RT_CHECK(first >= info->first_row && n > 0 && first + n <= last,
           RT_ERR_CONFIG,
           "rows [%lld, %lld) were requested, but the dataset holds [%lld, "
           "%lld): change capture.first_row or capture.rows",
           (long long)first, (long long)(first + n), (long long)info->first_row,
           (long long)last);
  *begin = first - info->first_row;
  *end = *begin + n;
  for (int64_t i = *begin; i < *end; i++)
    RT_CHECK(rt_logits_has(ds, i), RT_ERR_DATA,
             "row %lld is not available: %s; select available rows with "
             "capture.first_row and capture.rows, or run the same capture "
             "again to complete it",
             (long long)(info->first_row + i),
             rt_logits_n_left_out(ds) > 0
                 ? "its shard is missing or damaged"
                 : "the dataset is an unfinished capture");
  return RT_OK;
}

/** State of a selection. */
typedef struct selection {
  const rt_comm *world;  // borrowed
  const rt_deck *deck;   // borrowed
  const rt_logits *from; // borrowed
  const char *folder;    // borrowed
  rt_logits_info info;   // description of the new dataset
  int64_t begin;         // index of its first row in \a from
} selection;

static bool given(const rt_deck *deck, rt_key key)
{
  return rt_deck_source(deck, key) != RT_FROM_DEFAULT;
}

/** Apply the deck's truncation, which must not be wider than that of the
 *  source. */
static rt_err narrow(const rt_deck *deck, rt_logits_info *info)
{
  if (given(deck, RT_KEY_CAP_TOP_P)) {
    const double p = rt_deck_real(deck, RT_KEY_CAP_TOP_P);
    RT_CHECK(p <= info->top_p && info->draws == 0, RT_ERR_CONFIG,
             "capture.top_p is %g, the dataset was captured with %g%s", p,
             info->top_p, info->draws == 0 ? "" : " by draws");
    info->top_p = p;
  }
  if (given(deck, RT_KEY_CAP_TOP_K)) {
    const int64_t k = rt_deck_int(deck, RT_KEY_CAP_TOP_K);
    RT_CHECK(k <= info->top_k && info->draws == 0, RT_ERR_CONFIG,
             "capture.top_k is %lld, the dataset was captured with %lld%s",
             (long long)k, (long long)info->top_k,
             info->draws == 0 ? "" : " by draws");
    info->top_k = k;
  }
  return RT_OK;
}

/** Set the padding of a dataset that was captured without data.vocab. */
static rt_err cut_vocab(const rt_deck *deck, rt_logits_info *info)
{
  const int64_t vocab = rt_deck_int(deck, RT_KEY_DATA_VOCAB);
  if (vocab == 0 || vocab == info->vocab)
    return RT_OK;
  RT_CHECK(vocab < info->vocab, RT_ERR_CONFIG,
           "data.vocab is %lld, the dataset has the logits of %lld ids",
           (long long)vocab, (long long)info->vocab);
  RT_CHECK(info->draws == 0, RT_ERR_CONFIG,
           "data.vocab: draws of padding cannot be replaced; set "
           "data.vocab=%lld in training instead, which drops them",
           (long long)vocab);
  if (info->deviation)
    rt_warn(
        "the standard deviation of the logits includes padding and is omitted");
  info->deviation = false;
  if (info->vocab_padded == 0)
    info->vocab_padded = info->vocab;
  info->vocab = vocab;
  return RT_OK;
}

static rt_err encode_as(const rt_deck *deck, rt_logits_info *info)
{
  if (!given(deck, RT_KEY_CAP_ENCODING))
    return RT_OK;
  const char *encoding = rt_deck_text(deck, RT_KEY_CAP_ENCODING);
  RT_CHECK(info->draws == 0 || strcmp(encoding, info->encoding) == 0,
           RT_ERR_CONFIG, "draws are encoded as \"%s\", not \"%s\"",
           info->encoding, encoding);
  RT_CHECK(info->draws > 0 || strcmp(encoding, "sampled") != 0, RT_ERR_CONFIG,
           "draws need the teacher's whole softmax: capture again with "
           "capture.encoding=sampled");
  if (strcmp(info->encoding, "packed") == 0 && strcmp(encoding, "exact") == 0)
    rt_warn("packed log-probs are rounded: the new dataset has these, not the "
            "teacher's original ones");
  snprintf(info->encoding, sizeof info->encoding, "%s", encoding);
  return RT_OK;
}

static rt_err describe(selection *s)
{
  const rt_deck *deck = s->deck;
  int64_t end;
  RT_TRY(rt_logits_range(s->from, deck, &s->begin, &end));
  rt_logits_info *const info = &s->info;
  *info = *rt_logits_about(s->from);
  info->first_row += s->begin;
  if (info->lanes > 0) { // a selection need not consist of whole lanes; rows
    info->lanes = 1;     // identify themselves
    info->first_row = 0;
  }
  info->n_rows = end - s->begin;
  if (given(deck, RT_KEY_CAP_SHARD))
    info->shard_rows = rt_deck_int(deck, RT_KEY_CAP_SHARD);
  if (given(deck, RT_KEY_CAP_LICENSE))
    snprintf(info->license, sizeof info->license, "%s",
             rt_deck_text(deck, RT_KEY_CAP_LICENSE));
  rt_logits_proof(s->from, info->source);
  snprintf(info->creator, sizeof info->creator, "retort %s (%s)", RT_VERSION,
           rt_build_commit());
  rt_clock_iso(info->created, sizeof info->created);
  RT_TRY(cut_vocab(deck, info));
  RT_TRY(narrow(deck, info));
  RT_TRY(encode_as(deck, info));
  rt_capture_complete(info);
  return RT_OK;
}

/** Truncate the entries of each token in place.  The p of the capture is not
 *  applied again, because rounded log-probs would reach it earlier. */
static void truncate_row(const selection *s, rt_logits_row *row)
{
  const rt_logits_info *info = &s->info;
  const rt_truncation rule = {
      info->top_p < rt_logits_about(s->from)->top_p ? info->top_p : 1.0,
      info->top_k};
  int64_t from = 0, to = 0;
  for (int64_t t = 0; t < row->n_tokens; t++) {
    const uint32_t count = row->count[t];
    const size_t n = (size_t)rt_truncate_count(row->logp + from, count, rule);
    memmove(row->ids + to, row->ids + from, n * sizeof *row->ids);
    memmove(row->logp + to, row->logp + from, n * sizeof *row->logp);
    row->count[t] = (uint32_t)n;
    from += count;
    to += (int64_t)n;
  }
  row->n_entries = to;
}

static rt_err cut_row(const selection *s, rt_logits_row *row)
{
  RT_TRY(rt_logits_row_optional(
      row, (rt_logits_optional){.entropy = s->info.entropy,
                                .deviation = s->info.deviation}));
  return rt_logits_row_narrow(row, s->info.vocab);
}

static rt_err make_shard(const selection *s, rt_logits_writer *w, int64_t i,
                         rt_logits_row *row)
{
  const int64_t n = rt_logits_shard_rows(&s->info, i);
  const int64_t first = s->begin + i * s->info.shard_rows;
  RT_TRY(rt_logits_writer_begin(w, i));
  for (int64_t r = 0; r < n; r++) {
    RT_TRY(rt_logits_read(s->from, first + r, row));
    if (s->info.vocab < rt_logits_about(s->from)->vocab)
      RT_TRY(cut_row(s, row));
    if (s->info.draws == 0)
      truncate_row(s, row);
    RT_TRY(rt_logits_writer_add(w, row));
  }
  return rt_logits_writer_seal(w);
}

/** Write this rank's missing shards. */
static rt_err make_share(const selection *s, const bool *done, rt_lock *lock)
{
  const rt_comm *world = s->world;
  RT_ASSERT(done != NULL); // the ranks have agreed
  rt_logits_writer *w = NULL;
  rt_logits_row row = {0};
  rt_err err = rt_logits_writer_open(s->folder, &w);
  for (int64_t i = rt_comm_rank(world);
       err == RT_OK && i < rt_logits_n_shards(&s->info);
       i += rt_comm_size(world)) {
    if (!done[i])
      err = make_shard(s, w, i, &row);
    if (lock != NULL)
      rt_lock_refresh(lock);
  }
  rt_logits_row_clear(&row);
  rt_logits_writer_close(&w);
  return err;
}

static rt_err create(const selection *s, bool *done)
{
  const rt_err err =
      rt_logits_create(s->folder, &s->info, rt_logits_deck(s->from));
  return err != RT_OK ? err : rt_logits_done(s->folder, &s->info, done);
}

static void refresh(void *lock)
{
  if (lock != NULL)
    rt_lock_refresh(lock);
}

static rt_err make(const selection *s, bool *done, rt_lock *lock)
{
  const rt_comm *world = s->world;
  const bool first = rt_comm_rank(world) == 0;
  const size_t n = (size_t)rt_logits_n_shards(&s->info);
  RT_TRY(rt_agree(world, first ? create(s, done) : RT_OK));
  RT_TRY(rt_comm_bcast(world, done, n * sizeof *done, 0));
  const rt_err err = make_share(s, done, lock);
  RT_TRY(rt_comm_meet(world, refresh, lock)); // other ranks may take longer
  RT_TRY(rt_agree(world, err));
  return rt_agree(world, first ? rt_logits_finish(s->folder) : RT_OK);
}

static rt_err report(const selection *s)
{
  rt_logits *made;
  RT_TRY(rt_logits_open(rt_comm_mpi(s->world), s->folder, RT_LOGITS_FINISHED,
                        &made));
  const rt_logits_totals n = rt_logits_count(made);
  rt_info("%s: %lld rows, %lld tokens, %.2f entries and %.2f bytes per token, "
          "%s",
          s->folder, (long long)n.rows, (long long)n.tokens,
          (double)n.entries / (double)n.tokens,
          (double)n.bytes / (double)n.tokens, s->info.encoding);
  if (s->info.top_p < rt_logits_about(s->from)->top_p &&
      strcmp(rt_logits_about(s->from)->encoding, "packed") == 0)
    rt_info("top-p %g was cut by rounded log-probs: tokens may have a few "
            "entries more or fewer than in a capture with it (doc/formats.md, "
            "3.2, Narrower truncation)",
            s->info.top_p);
  rt_logits_close(&made);
  return RT_OK;
}

/** Lock the folder, on one rank for all; the outcome is agreed upon. */
static rt_err lock_folder(const selection *s, rt_lock **lock)
{
  rt_err err = RT_OK;
  if (rt_comm_rank(s->world) == 0)
    err = rt_lock_take(s->folder, rt_job_silence_s(s->deck), lock);
  return rt_agree(s->world, err);
}

/** Check, on rank 0, that source and destination differ. */
static rt_err check_other(const rt_comm *world, char *const *paths)
{
  struct stat a, b;
  const bool same = rt_comm_rank(world) == 0 && stat(paths[0], &a) == 0 &&
                    stat(paths[1], &b) == 0 && a.st_dev == b.st_dev &&
                    a.st_ino == b.st_ino;
  return rt_agree(
      world,
      same ? RT_FAIL(RT_ERR_LOCKED,
                     "%s is the source dataset: choose a new folder", paths[1])
           : RT_OK);
}

static rt_err run(selection *s)
{
  const rt_comm *world = s->world;
  RT_TRY(rt_agree(world, describe(s)));
  bool *const done = calloc((size_t)rt_logits_n_shards(&s->info), sizeof *done);
  rt_lock *lock = NULL;
  rt_err err = rt_agree(world, done != NULL ? RT_OK
                                            : RT_FAIL(RT_ERR_MEM, "a list of "
                                                                  "shards"));
  if (err == RT_OK)
    err = lock_folder(s, &lock);
  if (err == RT_OK)
    err = make(s, done, lock);
  if (err == RT_OK)
    err = report(s);
  rt_lock_release(&lock);
  free(done);
  return err;
}

rt_err rt_logits_select_run(const rt_comm *world, const rt_deck *deck,
                            char *const *paths)
{
  rt_logits *from = NULL;
  RT_TRY(rt_logits_open(rt_comm_mpi(world), paths[0], RT_LOGITS_SOUND, &from));
  selection s = {
      .world = world, .deck = deck, .from = from, .folder = paths[1]};
  rt_err err = check_other(world, paths);
  if (err == RT_OK)
    err = run(&s);
  rt_logits_close(&from);
  return err;
}
