/** \file logits_rows.c */
#include "support/logits_rows.h"

/** Entries of the next token of \a row from random \a x [4]. */
static void make_entries(const rt_logits_info *info, const uint32_t *x,
                         uint32_t count, rt_logits_row *row)
{
  const uint64_t vocab = (uint64_t)info->vocab, n = (uint64_t)info->draws;
  for (uint32_t k = 0; k < count; k++) // of draws each id was met once
    if (n > 0) {
      row->ids[row->n_entries] =
          (uint32_t)(k * (vocab / n) + (x[2] * (2 * k + 1) >> 7) % (vocab / n));
      row->logp[row->n_entries++] = (float)log(1.0 / (double)n);
    } else {
      row->ids[row->n_entries] = (uint32_t)((x[2] + k) % vocab);
      row->logp[row->n_entries++] =
          -2.0F - 0.5F * (float)(k - k % 2) - (float)x[3] * 1e-10F;
    }
  for (uint32_t k = 1; n == 0 && k < count; k += 2) { // as likely as the last
    uint32_t *const pair = row->ids + row->n_entries - count + k - 1;
    const uint32_t id = pair[0];
    if (pair[1] < id) {
      pair[0] = pair[1];
      pair[1] = id;
    }
  }
}

rt_logits_row make_row(const rt_logits_info *info, int64_t i)
{
  const int64_t T = info->seq;
  const int64_t most = info->top_k < info->vocab ? info->top_k : info->vocab;
  rt_logits_row row = {.tok = malloc((size_t)(T + 1) * 4),
                       .count = malloc((size_t)T * 4),
                       .lse = malloc((size_t)T * 4),
                       .label_logp = malloc((size_t)T * 4),
                       .ids = malloc((size_t)(T * most + 1) * 4),
                       .logp = malloc((size_t)(T * most + 1) * 4),
                       .n_tokens = T,
                       .step = 100 + i / 4,
                       .stream_row = 7 * i % 23};
  for (int64_t t = 0; t <= T; t++) {
    uint32_t x[4];
    rt_rng_bits(3, RT_RNG_TEST, (uint64_t)i, (uint64_t)t, x);
    row.tok[t] = (uint32_t)(x[0] % (uint64_t)info->vocab);
    if (t == T)
      break;
    row.count[t] = info->draws > 0 ? (uint32_t)info->draws
                   : i % 7 == 3    ? 0
                                   : (uint32_t)(x[1] % (uint64_t)(most + 1));
    row.lse[t] = (float)x[2] * 1e-8F;
    row.label_logp[t] = -(float)x[3] * 1e-9F;
    make_entries(info, x, row.count[t], &row);
  }
  return row;
}

rt_err write_shard(const char *to, const rt_logits_info *info, int64_t i)
{
  rt_logits_writer *w = NULL;
  rt_err err = rt_logits_writer_open(to, &w);
  if (err == RT_OK)
    err = rt_logits_writer_begin(w, i);
  for (int64_t r = 0; err == RT_OK && r < rt_logits_shard_rows(info, i); r++) {
    rt_logits_row row = make_row(info, i * info->shard_rows + r);
    err = rt_logits_writer_add(w, &row);
    rt_logits_row_clear(&row);
  }
  if (err == RT_OK)
    err = rt_logits_writer_seal(w);
  rt_logits_writer_close(&w);
  return err;
}

rt_logits_row *make_rows(const rt_logits_info *info)
{
  rt_logits_row *const rows = calloc((size_t)info->n_rows, sizeof *rows);
  for (int64_t i = 0; i < info->n_rows; i++)
    rows[i] = make_row(info, i);
  return rows;
}

void free_rows(rt_logits_row *rows, int64_t n)
{
  for (int64_t i = 0; i < n; i++)
    rt_logits_row_clear(&rows[i]);
  free(rows);
}

static int by_id(const void *a, const void *b)
{
  const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
  return (x > y) - (x < y);
}

void sort_ties(rt_logits_row *row)
{
  int64_t begin = 0;
  for (int64_t t = 0; t < row->n_tokens; begin += row->count[t++])
    for (int64_t i = begin, j; i < begin + row->count[t]; i = j) {
      for (j = i + 1;
           j < begin + row->count[t] && row->logp[j] == row->logp[i];)
        j++;
      qsort(row->ids + i, (size_t)(j - i), 4, by_id);
    }
}
