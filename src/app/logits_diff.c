/** \file logits_diff.c
 *  `retort logits diff`: two datasets, field by field. */
#include "app/logits_tools.h"
#include "base/log.h"
#include <math.h>
#include <string.h>

/** F(field, what it is called): numbers of a token besides its entries. */
#define FIELDS(F)                                                              \
  F(lse, "log-sum-exp")                                                        \
  F(label_logp, "text's log-prob")                                             \
  F(entropy, "entropy")                                                        \
  F(deviation, "standard deviation")
#define FIELD_NAME(field, name) name,
static const char *const field_names[] = {FIELDS(FIELD_NAME)};
#undef FIELD_NAME
enum { N_FIELDS = sizeof field_names / sizeof field_names[0] };

/** How two datasets differ: sums, then maxima (ranks add them up so). */
typedef struct difference {
  double rows;            // whose token ids differ: not the same text
  double steps;           // rows seen at another step, or another's
  double tokens;          // whose kept ids, their order or number differ
  double logp;            // largest, of entries at the same place
  double mass;            // largest, of the mass that a token keeps
  double field[N_FIELDS]; // largest
} difference;
enum { N_SUMS = 3, N_MAXIMA = 2 + N_FIELDS };

static void grow(double *most, double a, double b)
{
  const double d = fabs(a - b);
  if (a != b && !(d <= *most)) // NaN against a number is a difference, too
    *most = isnan(d) ? INFINITY : d;
}

/** Of all tokens; a field that only one of them has is left out. */
static void compare_fields(const rt_logits_row *a, const rt_logits_row *b,
                           difference *d)
{
#define OF_ROW(member, name) {a->member, b->member},
  const float *const field[N_FIELDS][2] = {FIELDS(OF_ROW)};
#undef OF_ROW
  for (int f = 0; f < N_FIELDS; f++)
    for (int64_t t = 0; t < a->n_tokens && field[f][0] && field[f][1]; t++)
      grow(&d->field[f], (double)field[f][0][t], (double)field[f][1][t]);
}

/** Entries of one token: n_a from \a at_a on, n_b from \a at_b on. */
static void compare_entries(const rt_logits_row *a, int64_t at_a, uint32_t n_a,
                            const rt_logits_row *b, int64_t at_b, uint32_t n_b,
                            difference *d)
{
  const uint32_t n = n_a < n_b ? n_a : n_b;
  double mass_a = 0.0, mass_b = 0.0;
  d->tokens += n_a != n_b ||
               memcmp(a->ids + at_a, b->ids + at_b, n * sizeof *a->ids) != 0;
  for (uint32_t i = 0; i < n; i++)
    grow(&d->logp, (double)a->logp[at_a + i], (double)b->logp[at_b + i]);
  for (uint32_t i = 0; i < n_a; i++)
    mass_a += exp((double)a->logp[at_a + i]);
  for (uint32_t i = 0; i < n_b; i++)
    mass_b += exp((double)b->logp[at_b + i]);
  grow(&d->mass, mass_a, mass_b);
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
    compare_entries(a, at_a, a->count[t], b, at_b, b->count[t], d);
    at_a += a->count[t];
    at_b += b->count[t];
  }
  compare_fields(a, b, d);
}

/** This rank's share of the rows. */
static rt_err compare_share(const rt_comm *world, const rt_logits *a,
                            const rt_logits *b, difference *d)
{
  const rt_logits_info *info = rt_logits_about(a);
  const bool with_step = info->step && rt_logits_about(b)->step;
  rt_logits_row row_a = {0}, row_b = {0};
  rt_err err = RT_OK;
  for (int64_t r = rt_comm_rank(world); err == RT_OK && r < info->n_rows;
       r += rt_comm_size(world)) {
    err = rt_logits_read(a, r, &row_a);
    if (err == RT_OK)
      err = rt_logits_read(b, r, &row_b);
    if (err == RT_OK) {
      compare_rows(&row_a, &row_b, d);
      d->steps += with_step && (row_a.step != row_b.step ||
                                row_a.stream_row != row_b.stream_row);
    }
  }
  rt_logits_row_clear(&row_a);
  rt_logits_row_clear(&row_b);
  return err;
}

/** Fields that only one dataset has cannot be compared: say so. */
static bool same_fields(const rt_logits_info *a, const rt_logits_info *b)
{
  const struct {
    const char *name;
    bool of_a, of_b;
  } fields[] = {{"entropy", a->entropy, b->entropy},
                {"standard deviation", a->deviation, b->deviation},
                {"step", a->step, b->step}};
  bool same = true;
  for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
    if (fields[i].of_a == fields[i].of_b)
      continue;
    rt_info("only the %s has the field %s: it is not compared",
            fields[i].of_a ? "first" : "second", fields[i].name);
    same = false;
  }
  return same;
}

static void print(const difference *d, double n_tokens, bool with_step)
{
  rt_info("%.0f tokens: %.0f with other entries; largest difference of a "
          "log-prob %.3g, of the kept mass %.3g",
          n_tokens, d->tokens, d->logp, d->mass);
  for (int f = 0; f < N_FIELDS; f++)
    rt_info("largest difference of the %-18s %.3g", field_names[f],
            d->field[f]);
  if (with_step)
    rt_info("rows of another step, or of another row of the stream: %.0f",
            d->steps);
}

static rt_err judge(const difference *d, bool all_fields, char *const *paths)
{
  double most = fmax(d->tokens + d->steps, d->logp);
  for (int f = 0; f < N_FIELDS; f++)
    most = fmax(most, d->field[f]);
  RT_CHECK(d->rows == 0.0, RT_ERR_DATA, "%.0f rows are of another text",
           d->rows);
  RT_CHECK(most == 0.0, RT_ERR_DATA, "%s and %s differ", paths[0], paths[1]);
  rt_info("the same, bit for bit%s",
          all_fields ? "" : ", in all that both of them have");
  return RT_OK;
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
  RT_TRY(rt_comm_allreduce_host(world, &d.rows, N_SUMS, RT_F64, RT_SUM));
  RT_TRY(rt_comm_allreduce_host(world, &d.logp, N_MAXIMA, RT_F64, RT_MAX));
  print(&d, (double)rt_logits_count(a).tokens, i->step && j->step);
  return judge(&d, same_fields(i, j), paths);
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
