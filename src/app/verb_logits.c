/** \file verb_logits.c
 *  retort logits info|verify|diff PATH [PATH]. */
#include "app/app.h"
#include "base/clock.h"
#include "base/log.h"
#include "io/logits.h"
#include <math.h>
#include <string.h>

typedef struct action {
  const char *name;
  int n_paths;
  rt_err (*run)(const rt_comm *world, char *const *paths);
} action;

static const char *known(const char *text)
{
  return text[0] != '\0' ? text : "unknown";
}

static void print_info(const rt_logits *ds, const char *path)
{
  const rt_logits_info *i = rt_logits_about(ds);
  const double tokens = (double)i->n_rows * (double)i->seq;
  const double entries = (double)rt_logits_total_entries(ds);
  const double bytes = (double)rt_logits_total_bytes(ds);
  const double per = tokens > 0.0 ? 1.0 / tokens : 0.0;
  rt_info("dataset     %s", path);
  rt_info("teacher     %s, weights %s", known(i->teacher),
          known(i->teacher_hash));
  rt_info("tokenizer   %s; vocabulary %lld", known(i->tokenizer_hash),
          (long long)i->vocab);
  rt_info(
      "corpus      %s; end-of-text %lld, held out %g (seed %llu), documents "
      "%s",
      known(i->corpus_hash), (long long)i->eot, i->valid_fraction,
      (unsigned long long)i->split_seed,
      i->mask_documents ? "masked" : "not masked");
  rt_info("made        %s by %s", known(i->created), known(i->creator));
  rt_info("license     %s", known(i->license));
  rt_info("kept        top-p %g, top-k %lld", i->top_p, (long long)i->top_k);
  rt_info("rows        %lld of %lld tokens (%.0f tokens), %lld a shard",
          (long long)i->n_rows, (long long)i->seq, tokens,
          (long long)i->shard_rows);
  rt_info("entries     %.0f, %.2f per token", entries, entries * per);
  rt_info("size        %.0f bytes, %.2f per token", bytes, bytes * per);
}

/** This rank's share of the rows. */
static rt_err read_share(const rt_logits *ds, const rt_comm *world)
{
  const int64_t n_rows = rt_logits_about(ds)->n_rows;
  rt_logits_row row = {0};
  rt_err err = RT_OK;
  for (int64_t r = rt_comm_rank(world); err == RT_OK && r < n_rows;
       r += rt_comm_size(world))
    err = rt_logits_read(ds, r, &row);
  rt_logits_row_clear(&row);
  return err;
}

static rt_err verify(const rt_logits *ds, const rt_comm *world)
{
  const double since = rt_now_s();
  RT_TRY(rt_agree(world, read_share(ds, world)));
  const double s = rt_now_s() - since;
  rt_info("verify      all %lld rows are as they were written; %.2f s, %.2f "
          "GB/s",
          (long long)rt_logits_about(ds)->n_rows, s,
          (double)rt_logits_total_bytes(ds) * 1e-9 / (s > 0.0 ? s : 1e-9));
  return RT_OK;
}

static rt_err run_info(const rt_comm *world, char *const *paths)
{
  rt_logits *ds = NULL;
  const rt_err err = rt_logits_open(rt_comm_mpi(world), paths[0], &ds);
  if (err == RT_OK)
    print_info(ds, paths[0]);
  rt_logits_close(&ds);
  return err;
}

static rt_err run_verify(const rt_comm *world, char *const *paths)
{
  rt_logits *ds = NULL;
  rt_err err = rt_logits_open(rt_comm_mpi(world), paths[0], &ds);
  if (err == RT_OK) {
    print_info(ds, paths[0]);
    err = verify(ds, world);
  }
  rt_logits_close(&ds);
  return err;
}

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
                         int64_t seq, difference *d)
{
  int64_t at_a = 0, at_b = 0;
  const size_t n_tok = (size_t)seq + 1;
  d->rows += memcmp(a->tok, b->tok, n_tok * sizeof *a->tok) != 0;
  for (int64_t t = 0; t < seq; t++) {
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
      compare_rows(&row_a, &row_b, info->seq, d);
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
  RT_CHECK(i->seq == j->seq && i->n_rows == j->n_rows, RT_ERR_DATA,
           "%s holds %lld rows of %lld tokens, %s %lld of %lld: they cannot be "
           "compared row by row",
           paths[0], (long long)i->n_rows, (long long)i->seq, paths[1],
           (long long)j->n_rows, (long long)j->seq);
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

static rt_err run_diff(const rt_comm *world, char *const *paths)
{
  rt_logits *a = NULL, *b = NULL;
  rt_err err = rt_logits_open(rt_comm_mpi(world), paths[0], &a);
  if (err == RT_OK)
    err = rt_logits_open(rt_comm_mpi(world), paths[1], &b);
  if (err == RT_OK)
    err = compare(world, a, b, paths);
  rt_logits_close(&a);
  rt_logits_close(&b);
  return err;
}

rt_err rt_verb_logits(const rt_app *app)
{
  static const action actions[] = {
      {"info", 1, run_info}, {"verify", 1, run_verify}, {"diff", 2, run_diff}};
  enum { N_ACTIONS = sizeof actions / sizeof actions[0] };
  const char *names[N_ACTIONS];
  const rt_cli *cli = app->cli;
  RT_CHECK(
      cli->n_paths >= 1, RT_ERR_USAGE,
      "`retort logits` needs info, verify or diff, and a dataset's folder");
  for (int i = 0; i < N_ACTIONS; i++) {
    names[i] = actions[i].name;
    if (strcmp(cli->paths[0], names[i]) != 0)
      continue;
    RT_CHECK(cli->n_paths == 1 + actions[i].n_paths && cli->n_overrides == 0,
             RT_ERR_USAGE, "`retort logits %s` takes %d folder%s of a dataset",
             names[i], actions[i].n_paths, actions[i].n_paths == 1 ? "" : "s");
    return actions[i].run(app->world, cli->paths + 1);
  }
  return rt_cli_unknown("action", cli->paths[0], names, N_ACTIONS);
}
