/** \file dataset_counts.c
 *  `retort logits info`: numbers of entries of a dataset. */
#include "distill/dataset/dataset.h"
#include "base/log.h"
#include "distill/capture/entry_counts.h"

static void add_row(const rt_logits_row *row, rt_entry_counts *c)
{
  int64_t at = 0;
  for (int64_t t = 0; t < row->n_tokens; t++) {
    rt_entry_counts_add(c, row->logp + at, row->count[t]);
    at += row->count[t];
  }
}

/** Count this rank's share of \a n_sample rows, evenly spaced over those
 *  available. */
static rt_err count_share(const rt_logits *ds, int64_t n_sample,
                          const rt_comm *world, rt_entry_counts *c)
{
  const int64_t n_there = rt_logits_count(ds).rows;
  const int rank = rt_comm_rank(world), n_ranks = rt_comm_size(world);
  rt_logits_row row = {0};
  rt_err err = RT_OK;
  // number of rows available, and in the sample, so far
  int64_t i = 0, taken = 0;
  for (int64_t r = 0; err == RT_OK && i < n_there; r++) {
    if (!rt_logits_has(ds, r))
      continue;
    i++;
    if (n_sample < n_there && i * n_sample / n_there == taken)
      continue;
    if (taken++ % n_ranks != rank)
      continue;
    err = rt_logits_read(ds, r, &row);
    if (err == RT_OK)
      add_row(&row, c);
  }
  rt_logits_row_clear(&row);
  return err;
}

rt_err rt_logits_print_counts(const rt_logits *ds, int64_t max_rows,
                              const rt_comm *world)
{
  const rt_logits_info *info = rt_logits_about(ds);
  const int64_t n_rows = rt_logits_count(ds).rows;
  const int64_t n_sample = n_rows < max_rows ? n_rows : max_rows;
  const int64_t k = info->draws > 0 ? info->draws : info->top_k;
  rt_entry_counts *c = NULL;
  rt_err err = rt_entry_counts_create(info->draws > 0 ? 0.0 : info->top_p,
                                      k < info->vocab ? k : info->vocab, &c);
  if (err == RT_OK)
    err = count_share(ds, n_sample, world, c);
  err = rt_agree(world, err);
  if (err == RT_OK)
    err = rt_entry_counts_sum(c, world);
  if (err == RT_OK && n_sample > 0) {
    rt_info("counted     %lld of %lld rows%s", (long long)n_sample,
            (long long)n_rows,
            n_sample < n_rows ? ", spread evenly; --all counts every row" : "");
    rt_entry_counts_print_histogram(c);
    if (info->draws == 0)
      rt_entry_counts_print_grid(c);
  }
  rt_entry_counts_destroy(&c);
  return err;
}
