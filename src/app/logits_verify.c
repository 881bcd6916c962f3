/** \file logits_verify.c
 *  `retort logits verify`: every hash, every rule, and if asked, every id
 *  against the corpus. */
#include "app/logits_tools.h"
#include "base/clock.h"
#include "base/log.h"
#include "distill/match.h"
#include "distill/open_corpus.h"
#include <stdlib.h>
#include <string.h>

/** What a dataset is compared with. */
typedef struct check {
  const rt_logits *ds; // borrowed
  rt_corpus *corpus;   // owned; NULL: data.files is not given
  uint32_t *tok;       // owned [T + 1]
  rt_logits_row row;   // owned
} check;

/** data.files of the command line, cut into rows as the dataset says. */
static rt_err open_check(const rt_app *app, const rt_logits *ds, check *c)
{
  const rt_logits_info *const info = rt_logits_about(ds);
  *c = (check){.ds = ds};
  c->tok = malloc((size_t)(info->seq + 1) * sizeof *c->tok);
  RT_CHECK(c->tok != NULL, RT_ERR_MEM, "a row of %lld ids",
           (long long)info->seq);
  if (rt_deck_n(app->deck, RT_KEY_DATA_FILES) == 0)
    return RT_OK;
  const rt_corpus_spec spec = {.seq = info->seq,
                               .vocab = info->vocab,
                               .eot = info->eot,
                               .valid_fraction = info->valid_fraction,
                               .split_seed = info->split_seed};
  return rt_open_corpus(app->deck, spec, &c->corpus);
}

static void close_check(check *c)
{
  rt_corpus_close(&c->corpus);
  rt_logits_row_clear(&c->row);
  free(c->tok);
}

static rt_err verify_row(check *c, int64_t i)
{
  RT_TRY(rt_logits_read(c->ds, i, &c->row));
  RT_TRY(rt_logits_verify_row(c->ds, i, &c->row));
  if (c->corpus == NULL)
    return RT_OK;
  char where[RT_MATCH_TEXT];
  RT_TRY(rt_match_row(c->ds, i, &c->row, c->corpus, c->tok, where));
  RT_CHECK(where[0] == '\0', RT_ERR_DATA,
           "the dataset is not of data.files: %s; name the files of the "
           "capture, in its order, with its data.weights",
           where);
  return RT_OK;
}

/** This rank's share of the files and rows. */
static rt_err verify_share(check *c, const rt_comm *world)
{
  const rt_logits_info *const info = rt_logits_about(c->ds);
  const int rank = rt_comm_rank(world), step = rt_comm_size(world);
  if (rank == 0)
    RT_TRY(rt_logits_verify_card(c->ds));
  for (int64_t i = rank; i < rt_logits_n_shards(info); i += step)
    RT_TRY(rt_logits_verify_shard(c->ds, i));
  for (int64_t r = rank; r < info->n_rows; r += step)
    if (rt_logits_has(c->ds, r))
      RT_TRY(verify_row(c, r));
  return RT_OK;
}

rt_err rt_logits_verify(const rt_app *app, const rt_logits *ds)
{
  const double since = rt_now_s();
  const rt_logits_totals n = rt_logits_count(ds);
  check c;
  rt_err err = open_check(app, ds, &c);
  if (err == RT_OK)
    err = verify_share(&c, app->world);
  const bool compared = c.corpus != NULL;
  close_check(&c);
  RT_TRY(rt_agree(app->world, err));
  const double s = rt_now_s() - since;
  rt_info("verify      all %lld rows are as they were written%s; %.2f s, %.2f "
          "GB/s%s",
          (long long)n.rows, compared ? ", with the ids of data.files" : "", s,
          (double)n.bytes * 1e-9 / (s > 0.0 ? s : 1e-9),
          rt_logits_is_finished(ds)
              ? ""
              : "; the capture is unfinished: run it again to go on");
  return RT_OK;
}
