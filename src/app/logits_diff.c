/** \file logits_diff.c
 *  `retort logits diff`: two datasets, entry by entry. */
#include "app/logits_tools.h"
#include "base/log.h"
#include <math.h>
#include <string.h>

/** How two datasets differ: two sums, then three maxima (that is how ranks add
 *  them up). */
typedef struct difference {
  double rows;   // whose token ids differ: not the same text
  double tokens; // whose kept ids, their order or number differ
  double logp;   // largest, of entries at the same place
  double lse;    // largest
  double label;  // largest, of the log-prob of the text's token
} difference;

static void grow(double *most, float a, float b)
{
  const double d = fabs((double)a - (double)b);
  if (a != b && !(d <= *most)) // NaN against a number is a difference, too
    *most = isnan(d) ? INFINITY : d;
}

static void compare_rows(const rt_logits_row *a, const rt_logits_row *b,
                         difference *d)
{
  int64_t at_a = 0, at_b = 0;
  const size_t n_tok = (size_t)a->n_tokens + 1;
  if (a->n_tokens != b->n_tokens ||
      memcmp(a->tok, b->tok, n_tok * sizeof *a->tok) != 0) {
    d->rows++;
    return;
  }
  for (int64_t t = 0; t < a->n_tokens; t++) {
    const uint32_t n_a = a->count[t], n_b = b->count[t];
    const uint32_t n = n_a < n_b ? n_a : n_b;
    d->tokens += n_a != n_b ||
                 memcmp(a->ids + at_a, b->ids + at_b, n * sizeof *a->ids) != 0;
    for (uint32_t i = 0; i < n; i++)
      grow(&d->logp, a->logp[at_a + i], b->logp[at_b + i]);
    grow(&d->lse, a->lse[t], b->lse[t]);
    grow(&d->label, a->label_logp[t], b->label_logp[t]);
    at_a += n_a;
    at_b += n_b;
  }
}

/** This rank's share of the rows. */
static rt_err compare_share(const rt_comm *world, const rt_logits *a,
                            const rt_logits *b, difference *d)
{
  const rt_logits_info *info = rt_logits_about(a);
  rt_logits_row row_a = {0}, row_b = {0};
  rt_err err = RT_OK;
  for (int64_t r = rt_comm_rank(world); err == RT_OK && r < info->n_rows;
       r += rt_comm_size(world)) {
    err = rt_logits_read(a, r, &row_a);
    if (err == RT_OK)
      err = rt_logits_read(b, r, &row_b);
    if (err == RT_OK)
      compare_rows(&row_a, &row_b, d);
  }
  rt_logits_row_clear(&row_a);
  rt_logits_row_clear(&row_b);
  return err;
}

static rt_err compare(const rt_comm *world, const rt_logits *a,
                      const rt_logits *b, char *const *paths)
{
  const rt_logits_info *i = rt_logits_about(a), *j = rt_logits_about(b);
  difference d = {0};
  RT_CHECK(i->seq == j->seq && i->n_rows == j->n_rows &&
               i->first_row == j->first_row,
           RT_ERR_DATA,
           "%s holds %lld rows of %lld tokens from row %lld on, %s %lld of "
           "%lld from %lld: they cannot be compared row by row",
           paths[0], (long long)i->n_rows, (long long)i->seq,
           (long long)i->first_row, paths[1], (long long)j->n_rows,
           (long long)j->seq, (long long)j->first_row);
  if (strcmp(i->teacher_hash, j->teacher_hash) != 0)
    rt_warn("the teachers' weights differ");
  RT_TRY(rt_agree(world, compare_share(world, a, b, &d)));
  RT_TRY(rt_comm_allreduce_host(world, &d.rows, 2, RT_F64, RT_SUM));
  RT_TRY(rt_comm_allreduce_host(world, &d.logp, 3, RT_F64, RT_MAX));
  const double n_tokens = (double)i->n_rows * (double)i->seq;
  rt_info("%.0f tokens: %.0f with other entries; largest difference of a "
          "log-prob %.3g, of a log-sum-exp %.3g, of the text's log-prob %.3g",
          n_tokens, d.tokens, d.logp, d.lse, d.label);
  RT_CHECK(d.rows == 0.0, RT_ERR_DATA, "%.0f of %lld rows are of another text",
           d.rows, (long long)i->n_rows);
  RT_CHECK(d.tokens == 0.0 && d.logp == 0.0 && d.lse == 0.0 && d.label == 0.0,
           RT_ERR_DATA, "%s and %s differ", paths[0], paths[1]);
  rt_info("the same, bit for bit");
  return RT_OK;
}

rt_err rt_logits_diff_run(const rt_app *app, char *const *paths)
{
  const rt_comm *world = app->world;
  rt_logits *a = NULL, *b = NULL;
  rt_err err =
      rt_logits_open(rt_comm_mpi(world), paths[0], RT_LOGITS_FINISHED, &a);
  if (err == RT_OK)
    err = rt_logits_open(rt_comm_mpi(world), paths[1], RT_LOGITS_FINISHED, &b);
  if (err == RT_OK)
    err = compare(world, a, b, paths);
  rt_logits_close(&a);
  rt_logits_close(&b);
  return err;
}
