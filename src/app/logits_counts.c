/** \file logits_counts.c
 *  How many entries tokens have, and would have under narrower rules: what a
 *  capture of a few rows tells before one of all. */
#include "app/logits_tools.h"
#include "base/log.h"
#include "distill/truncate.h"
#include <math.h>

static const double ps[] = {0.5, 0.8, 0.9, 0.95, 0.99, 1.0};
static const int64_t ks[] = {10, 20, 50, 100, 200, 500, 1000, 2500};
enum {
  N_P = sizeof ps / sizeof ps[0],
  N_K = sizeof ks / sizeof ks[0],
  N_BINS = 22 // tokens with 0, 1, 2, 3-4, 5-8, ... entries
};

/** Sums over tokens, which ranks add up. */
typedef struct counts {
  double bins[N_BINS];
  double entries[N_P][N_K], mass[N_P][N_K];
} counts;

static int bin_of(uint32_t count)
{
  int bin = 0;
  for (uint32_t most = 1; count > 0 && bin < N_BINS - 1; most *= 2) {
    bin++;
    if (count <= most)
      break;
  }
  return bin;
}

static void add_token(const rt_logits_info *info, const float *logp, int64_t n,
                      counts *c)
{
  for (int p = 0; p < N_P; p++)
    for (int k = 0; k < N_K; k++) {
      // not by the p of the capture again: it has rounded log-probs
      const rt_truncation rule = {ps[p] < info->top_p ? ps[p] : 1.0, ks[k]};
      const int64_t kept = rt_truncate_count(logp, n, rule);
      c->entries[p][k] += (double)kept;
      for (int64_t i = 0; i < kept; i++)
        c->mass[p][k] += exp((double)logp[i]);
    }
}

static void add_row(const rt_logits_info *info, const rt_logits_row *row,
                    counts *c)
{
  int64_t at = 0;
  for (int64_t t = 0; t < row->n_tokens; t++) {
    c->bins[bin_of(row->count[t])]++;
    if (info->draws == 0)
      add_token(info, row->logp + at, row->count[t], c);
    at += row->count[t];
  }
}

/** This rank's share of the rows. */
static rt_err count_share(const rt_logits *ds, const rt_comm *world, counts *c)
{
  const rt_logits_info *info = rt_logits_about(ds);
  rt_logits_row row = {0};
  rt_err err = RT_OK;
  for (int64_t r = rt_comm_rank(world); err == RT_OK && r < info->n_rows;
       r += rt_comm_size(world)) {
    if (!rt_logits_has(ds, r))
      continue;
    err = rt_logits_read(ds, r, &row);
    if (err == RT_OK)
      add_row(info, &row, c);
  }
  rt_logits_row_clear(&row);
  return err;
}

static void print_histogram(const counts *c, double tokens)
{
  for (int i = 0; i < N_BINS; i++) {
    if (c->bins[i] == 0.0)
      continue;
    const long most = i == 0 ? 0 : 1L << (i - 1);
    const long least = i < 2 ? most : most / 2 + 1;
    rt_info("%10ld to %ld entries: %5.1f%% of the tokens", least, most,
            100.0 * c->bins[i] / tokens);
  }
}

/** One line for each p that was kept, one column for each k. */
static void print_rules(const rt_logits_info *info, const counts *c,
                        double tokens)
{
  char line[256];
  int n = snprintf(line, sizeof line, "entries (mass) k");
  for (int k = 0; k < N_K && ks[k] <= info->top_k; k++)
    n += snprintf(line + n, sizeof line - (size_t)n, " %14lld",
                  (long long)ks[k]);
  rt_info("%s", line);
  for (int p = 0; p < N_P && ps[p] <= info->top_p; p++) {
    n = snprintf(line, sizeof line, "        p %5.2f ", ps[p]);
    for (int k = 0; k < N_K && ks[k] <= info->top_k; k++)
      n += snprintf(line + n, sizeof line - (size_t)n, " %7.2f (%.2f)",
                    c->entries[p][k] / tokens, c->mass[p][k] / tokens);
    rt_info("%s", line);
  }
}

rt_err rt_logits_print_counts(const rt_logits *ds, const rt_comm *world)
{
  const rt_logits_info *info = rt_logits_about(ds);
  const double tokens = (double)rt_logits_count(ds).tokens;
  counts c = {0};
  RT_TRY(rt_agree(world, count_share(ds, world, &c)));
  RT_TRY(rt_comm_allreduce_host(world, &c, sizeof c / sizeof(double), RT_F64,
                                RT_SUM));
  if (tokens == 0.0)
    return RT_OK;
  print_histogram(&c, tokens);
  if (info->draws == 0)
    print_rules(info, &c, tokens);
  return RT_OK;
}
