/** \file dataset_verify.c
 *  `retort logits verify`: checks every hash and rule, and, if requested, every
 *  id against the corpus. */
#include "distill/dataset/dataset.h"
#include "base/clock.h"
#include "base/log.h"
#include "distill/job/match.h"
#include "distill/job/job_inputs.h"
#include <stdlib.h>
#include <string.h>

// maximum number of damaged rows that a rank lists individually
enum { MAX_REPORTED = 20 };

/** State of a verification. */
typedef struct check {
  const rt_logits *ds;     // borrowed
  int64_t n_files, n_rows; // damaged ones found by this rank
  rt_err first;            // first of these errors
  rt_corpus *corpus;       // owned; NULL: data.files is not set
  uint32_t *tok;           // owned [T + 1]
  rt_logits_row row;       // owned
} check;

/** Open data.files of the command line, with rows as in the dataset. */
static rt_err open_check(const rt_deck *deck, const rt_logits *ds, check *c)
{
  const rt_logits_info *const info = rt_logits_about(ds);
  *c = (check){.ds = ds};
  c->tok = malloc((size_t)(info->seq + 1) * sizeof *c->tok);
  RT_CHECK(c->tok != NULL, RT_ERR_MEM, "a row of %lld ids",
           (long long)info->seq);
  if (rt_deck_n(deck, RT_KEY_DATA_FILES) == 0)
    return RT_OK;
  const rt_corpus_spec spec = {.seq = info->seq,
                               .vocab = info->vocab,
                               .eot = info->eot,
                               .bos_at = rt_bos_at_parse(info->bos_at),
                               .bos = info->bos,
                               .valid_fraction = info->valid_fraction,
                               .split_seed = info->split_seed};
  return rt_open_corpus(deck, spec, &c->corpus);
}

static void close_check(check *c)
{
  rt_corpus_close(&c->corpus);
  rt_logits_row_clear(&c->row);
  free(c->tok);
}

/** Count an error caused by the dataset in \a n; forward any other error. */
static rt_err note(check *c, rt_err err, int64_t *n)
{
  if (err == RT_OK || err == RT_ERR_MEM)
    return err;
  if (++*n <= MAX_REPORTED)
    rt_found("%s", rt_err_text());
  c->first = c->first == RT_OK ? err : c->first;
  return RT_OK;
}

static rt_err read_row(check *c, int64_t i)
{
  RT_TRY(rt_logits_read(c->ds, i, &c->row));
  return rt_logits_verify_row(c->ds, i, &c->row);
}

static rt_err verify_row(check *c, int64_t i)
{
  const int64_t bad = c->n_rows;
  RT_TRY(note(c, read_row(c, i), &c->n_rows));
  if (c->corpus == NULL || c->n_rows > bad)
    return RT_OK;
  char where[RT_MATCH_TEXT];
  RT_TRY(rt_match_row(c->ds, i, &c->row, c->corpus, c->tok, where));
  RT_CHECK(where[0] == '\0', RT_ERR_DATA,
           "the dataset does not belong to data.files: %s; give the files of "
           "the capture, in its order, with its data.weights",
           where);
  return RT_OK;
}

/** Verify this rank's share of files and rows. */
static rt_err verify_share(check *c, const rt_comm *world)
{
  const rt_logits_info *const info = rt_logits_about(c->ds);
  const int rank = rt_comm_rank(world), step = rt_comm_size(world);
  if (rank == 0)
    RT_TRY(note(c, rt_logits_verify_folder(c->ds), &c->n_files));
  for (int64_t i = rank; i < rt_logits_n_shards(info); i += step)
    RT_TRY(note(c, rt_logits_verify_shard(c->ds, i), &c->n_files));
  for (int64_t r = rank; r < info->n_rows; r += step)
    if (rt_logits_has(c->ds, r))
      RT_TRY(verify_row(c, r));
  return RT_OK;
}

/** Combine the findings of all ranks. */
static rt_err judge(const check *c, const rt_comm *world)
{
  const rt_logits_info *const info = rt_logits_about(c->ds);
  const int64_t left_out = rt_logits_n_left_out(c->ds);
  double n[3] = {(double)c->n_files, (double)c->n_rows, (double)c->first};
  RT_TRY(rt_comm_allreduce_host(world, n, 2, RT_F64, RT_SUM));
  RT_TRY(rt_comm_allreduce_host(world, &n[2], 1, RT_F64, RT_MAX));
  const double files = n[0] + (double)left_out;
  const rt_err worst = n[2] > 0.0 ? (rt_err)n[2] : RT_ERR_DATA;
  const bool again = !info->step && info->source[0] == '\0';
  RT_CHECK(files + n[1] == 0.0, worst,
           "%.0f files are missing or damaged, and %.0f rows in files that "
           "open (lines above, up to %d rows a rank); restore the files from a "
           "copy%s",
           files, n[1], MAX_REPORTED,
           again ? ", or remove the shards listed above and run the same "
                   "capture again to recreate them"
                 : "");
  return RT_OK;
}

rt_err rt_logits_verify(const rt_comm *world, const rt_deck *deck,
                        const rt_logits *ds)
{
  const double since = rt_now_s();
  const rt_logits_totals n = rt_logits_count(ds);
  check c;
  rt_err err = open_check(deck, ds, &c);
  if (err == RT_OK)
    err = verify_share(&c, world);
  const bool compared = c.corpus != NULL;
  err = rt_agree(world, err);
  if (err == RT_OK)
    err = judge(&c, world);
  close_check(&c);
  RT_TRY(err);
  const double s = rt_now_s() - since;
  rt_info("verify      all %lld rows are as they were written%s; %.2f s, %.2f "
          "GB/s%s",
          (long long)n.rows, compared ? ", with the ids of data.files" : "", s,
          (double)n.bytes * 1e-9 / (s > 0.0 ? s : 1e-9),
          rt_logits_is_finished(ds)
              ? ""
              : "; the capture is unfinished: run it again to resume");
  return RT_OK;
}
