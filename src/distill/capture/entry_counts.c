/** \file entry_counts.c
 *  Number of entries per token as a function of p and k, from one pass over
 *  their probabilities.
 *
 *  As top-k is applied after top-p, a token has min(entries by p, k) entries,
 *  so one histogram per p gives means and percentiles for every k. */
#include "distill/capture/entry_counts.h"
#include "base/log.h"

#include <math.h>
#include <stdlib.h>

static const double narrower_p[] = {0.5, 0.8, 0.9, 0.95, 0.99};
static const int64_t narrower_k[] = {10, 20, 50, 100, 200, 500, 1000, 2457};
enum {
  MAX_P = sizeof narrower_p / sizeof narrower_p[0] + 1,
  MAX_K = sizeof narrower_k / sizeof narrower_k[0] + 1
};

struct rt_entry_counts {
  int n_p, n_k;
  double p[MAX_P];  // ascending; the last keeps all entries given
  int64_t k[MAX_K]; // ascending; the last is \a max
  int64_t max;
  double *tokens; // owned [n_p, max + 1]: tokens per number of entries
  double *mass;   // owned [n_p, n_k]: mass kept, summed over tokens
};

rt_err rt_entry_counts_create(double top_p, int64_t max, rt_entry_counts **out)
{
  *out = NULL;
  rt_entry_counts *const c = calloc(1, sizeof *c);
  RT_CHECK(c != NULL, RT_ERR_MEM, "counters of %zu bytes", sizeof *c);
  *out = c;
  c->max = max;
  for (int i = 0; i < MAX_P - 1 && narrower_p[i] < top_p; i++)
    c->p[c->n_p++] = narrower_p[i];
  c->p[c->n_p++] = top_p;
  for (int i = 0; i < MAX_K - 1 && narrower_k[i] < max && top_p > 0.0; i++)
    c->k[c->n_k++] = narrower_k[i];
  c->k[c->n_k++] = max;
  c->tokens = calloc((size_t)c->n_p * ((size_t)max + 1), sizeof *c->tokens);
  c->mass = calloc((size_t)c->n_p * (size_t)c->n_k, sizeof *c->mass);
  RT_CHECK(c->tokens != NULL && c->mass != NULL, RT_ERR_MEM,
           "counters of up to %lld entries", (long long)max);
  return RT_OK;
}

void rt_entry_counts_destroy(rt_entry_counts **c)
{
  if (*c != NULL) {
    free((*c)->tokens);
    free((*c)->mass);
  }
  free(*c);
  *c = NULL;
}

/** After \a n entries with total mass \a mass: add it to the columns from \a
 *  i_k on whose k is reached, for the rows from \a i_p on that are still open.
 *  Returns the next open column. */
static int close_columns(rt_entry_counts *c, int i_p, int i_k, int64_t n,
                         double mass)
{
  for (; i_k < c->n_k && c->k[i_k] <= n; i_k++)
    for (int p = i_p; p < c->n_p; p++)
      c->mass[p * c->n_k + i_k] += mass;
  return i_k;
}

/** Close row \a i_p, which keeps \a n entries: its wider columns keep the same.
 */
static void close_row(rt_entry_counts *c, int i_p, int i_k, int64_t n,
                      double mass)
{
  c->tokens[i_p * (c->max + 1) + n]++;
  for (; i_k < c->n_k; i_k++)
    c->mass[i_p * c->n_k + i_k] += mass;
}

void rt_entry_counts_add(rt_entry_counts *c, const float *logp, int64_t n)
{
  int i_p = 0, i_k = 0; // first open row and column
  double mass = 0.0;
  for (int64_t i = 0; i < n; i++) {
    mass += exp((double)logp[i]);
    i_k = close_columns(c, i_p, i_k, i + 1, mass);
    // the last p keeps all entries: their sum, of rounded numbers, might reach
    // p too early
    for (; i_p < c->n_p - 1 && mass >= c->p[i_p]; i_p++)
      close_row(c, i_p, i_k, i + 1, mass);
  }
  for (; i_p < c->n_p; i_p++)
    close_row(c, i_p, i_k, n, mass);
}

rt_err rt_entry_counts_sum(rt_entry_counts *c, const rt_comm *comm)
{
  RT_TRY(rt_comm_allreduce_host(
      comm, c->tokens, (size_t)c->n_p * ((size_t)c->max + 1), RT_F64, RT_SUM));
  return rt_comm_allreduce_host(comm, c->mass, (size_t)c->n_p * (size_t)c->n_k,
                                RT_F64, RT_SUM);
}

int64_t rt_entry_counts_tokens(const rt_entry_counts *c)
{
  double n = 0.0;
  for (int64_t i = 0; i <= c->max; i++)
    n += c->tokens[i];
  return (int64_t)n;
}

void rt_entry_counts_shape(const rt_entry_counts *c, int *n_p, int *n_k)
{
  *n_p = c->n_p;
  *n_k = c->n_k;
}

rt_entry_cell rt_entry_counts_cell(const rt_entry_counts *c, int i_p, int i_k)
{
  const double *const with = c->tokens + i_p * (c->max + 1);
  const double all = (double)rt_entry_counts_tokens(c);
  const int64_t k = c->k[i_k];
  rt_entry_cell cell = {.top_p = c->p[i_p],
                        .top_k = k,
                        .mass = c->mass[i_p * c->n_k + i_k] / all,
                        .median = -1,
                        .most95 = -1,
                        .most99 = -1};
  double seen = 0.0;
  for (int64_t n = 0; n <= c->max; n++) {
    const int64_t kept = n < k ? n : k;
    seen += with[n];
    cell.entries += with[n] * (double)kept / all;
    if (cell.median < 0 && seen >= 0.5 * all)
      cell.median = kept;
    if (cell.most95 < 0 && seen >= 0.95 * all)
      cell.most95 = kept;
    if (cell.most99 < 0 && seen >= 0.99 * all)
      cell.most99 = kept;
  }
  return cell;
}

void rt_entry_counts_print_histogram(const rt_entry_counts *c)
{
  const double *const with = c->tokens + (c->n_p - 1) * (c->max + 1);
  const double all = (double)rt_entry_counts_tokens(c);
  int64_t least = 0; // 0, 1, 2, 3-4, 5-8, ... entries
  for (int64_t max = 0; least <= c->max; max = max == 0 ? 1 : 2 * max) {
    double n = 0.0;
    for (int64_t i = least; i <= max && i <= c->max; i++)
      n += with[i];
    if (n > 0.0)
      rt_info("%10lld to %lld entries: %5.1f%% of the tokens", (long long)least,
              (long long)max, 100.0 * n / all);
    least = max + 1;
  }
}

void rt_entry_counts_print_grid(const rt_entry_counts *c)
{
  char line[256];
  int n = snprintf(line, sizeof line, "entries (mass) k");
  for (int k = 0; k < c->n_k; k++)
    n += snprintf(line + n, sizeof line - (size_t)n, " %14lld",
                  (long long)c->k[k]);
  rt_info("%s   half  95%%  99%% of the tokens: at most", line);
  for (int p = 0; p < c->n_p; p++) {
    n = snprintf(line, sizeof line, "        p %5.2f ", c->p[p]);
    for (int k = 0; k < c->n_k; k++) {
      const rt_entry_cell cell = rt_entry_counts_cell(c, p, k);
      n += snprintf(line + n, sizeof line - (size_t)n, " %7.2f (%.2f)",
                    cell.entries, cell.mass);
    }
    const rt_entry_cell cell = rt_entry_counts_cell(c, p, c->n_k - 1);
    rt_info("%s %6lld %4lld %4lld", line, (long long)cell.median,
            (long long)cell.most95, (long long)cell.most99);
  }
}
