/** \file dataset_diff.c
 *  `retort logits diff`: two datasets, field by field. */
#include "distill/dataset/dataset.h"
#include "base/log.h"
#include <math.h>
#include <string.h>

/** F(field, name): numbers of a token other than its entries. */
#define FIELDS(F)                                                              \
  F(lse, "log-sum-exp")                                                        \
  F(label_logp, "text's log-prob")                                             \
  F(entropy, "entropy")                                                        \
  F(deviation, "standard deviation")
#define FIELD_NAME(field, name) name,
static const char *const field_names[] = {FIELDS(FIELD_NAME)};
#undef FIELD_NAME
enum { N_FIELDS = sizeof field_names / sizeof field_names[0] };

/** The difference of two datasets: sums, then maxima (reduced over ranks
 *  accordingly). */
typedef struct difference {
  double rows;            // rows whose token ids differ, i.e. of different text
  double steps;           // rows with a different step or stream row
  double tokens;          // tokens whose kept ids, order or number differ
  double logp;            // maximum over entries at the same position
  double mass;            // maximum, of the mass that a token keeps
  double field[N_FIELDS]; // largest
  double before_end; // number of tokens from the first difference to the end;
                     // 0: none
} difference;
enum { N_SUMS = 3, N_MAXIMA = 3 + N_FIELDS };

/** Rows of the stream that both contain: first_row + [begin, end). */
typedef struct overlap {
  int64_t a, b; // index of the first such row in each dataset
  int64_t n;
} overlap;

/** Are the numbers equal?  Otherwise update the maximum difference. */
static bool grow(double *max, double a, double b)
{
  const double d = fabs(a - b);
  if (a != b && !(d <= *max)) // NaN and a number also differ
    *max = isnan(d) ? INFINITY : d;
  return a == b;
}

/** Compare the fields of one token; a field that only one dataset has is
 *  skipped. */
static bool compare_fields(const rt_logits_row *a, const rt_logits_row *b,
                           int64_t t, difference *d)
{
#define OF_ROW(member, name) {a->member, b->member},
  const float *const field[N_FIELDS][2] = {FIELDS(OF_ROW)};
#undef OF_ROW
  bool same = true;
  for (int f = 0; f < N_FIELDS; f++)
    if (field[f][0] != NULL && field[f][1] != NULL)
      same &=
          grow(&d->field[f], (double)field[f][0][t], (double)field[f][1][t]);
  return same;
}

/** Entries of one token. */
typedef struct token_entries {
  const uint32_t *ids; // [n]
  const float *logp;   // [n]
  uint32_t n;
} token_entries;

static token_entries entries_at(const rt_logits_row *row, int64_t t,
                                int64_t first)
{
  return (token_entries){row->ids + first, row->logp + first, row->count[t]};
}

static double mass_of(token_entries e)
{
  double mass = 0.0;
  for (uint32_t i = 0; i < e.n; i++)
    mass += exp((double)e.logp[i]);
  return mass;
}

static bool compare_entries(token_entries a, token_entries b, difference *d)
{
  const uint32_t n = a.n < b.n ? a.n : b.n;
  bool same = a.n == b.n && memcmp(a.ids, b.ids, n * sizeof *a.ids) == 0;
  d->tokens += !same;
  for (uint32_t i = 0; i < n; i++)
    same &= grow(&d->logp, (double)a.logp[i], (double)b.logp[i]);
  grow(&d->mass, mass_of(a), mass_of(b));
  return same;
}

/** Index of the first token that differs, or the number of tokens. */
static int64_t compare_rows(const rt_logits_row *a, const rt_logits_row *b,
                            difference *d)
{
  int64_t first = a->n_tokens;
  int64_t at_a = 0, at_b = 0;
  const size_t n_tok = (size_t)a->n_tokens + 1;
  if (a->n_tokens != b->n_tokens ||
      memcmp(a->tok, b->tok, n_tok * sizeof *a->tok) != 0) {
    d->rows++;
    return 0;
  }
  for (int64_t t = 0; t < a->n_tokens; t++) {
    bool same =
        compare_entries(entries_at(a, t, at_a), entries_at(b, t, at_b), d);
    same &= compare_fields(a, b, t, d);
    if (!same && first == a->n_tokens)
      first = t;
    at_a += a->count[t];
    at_b += b->count[t];
  }
  return first;
}

/** Compare this rank's share of the rows. */
static rt_err compare_share(const rt_comm *world, const rt_logits *a,
                            const rt_logits *b, overlap both, difference *d)
{
  const rt_logits_info *info = rt_logits_about(a);
  const bool with_step = info->step && rt_logits_about(b)->step;
  rt_logits_row row_a = {0}, row_b = {0};
  rt_err err = RT_OK;
  for (int64_t r = rt_comm_rank(world); err == RT_OK && r < both.n;
       r += rt_comm_size(world)) {
    err = rt_logits_read(a, both.a + r, &row_a);
    if (err == RT_OK)
      err = rt_logits_read(b, both.b + r, &row_b);
    if (err == RT_OK) {
      const int64_t t = compare_rows(&row_a, &row_b, d);
      if (t < row_a.n_tokens)
        d->before_end =
            fmax(d->before_end, (double)((both.n - r) * info->seq - t));
      d->steps += with_step && (row_a.step != row_b.step ||
                                row_a.stream_row != row_b.stream_row);
    }
  }
  rt_logits_row_clear(&row_a);
  rt_logits_row_clear(&row_b);
  return err;
}

/** Report fields that only one dataset has, which cannot be compared. */
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

static void print(const difference *d, const rt_logits_info *a,
                  const rt_logits_info *b, overlap both)
{
  const bool in_both[N_FIELDS] = {true, true, a->entropy && b->entropy,
                                  a->deviation && b->deviation};
  const int64_t n_tokens = both.n * a->seq;
  rt_info("%lld rows of up to %lld tokens: %.0f tokens with other entries; "
          "largest difference of a log-prob %.3g, of the kept mass %.3g",
          (long long)both.n, (long long)a->seq, d->tokens, d->logp, d->mass);
  for (int f = 0; f < N_FIELDS; f++)
    if (in_both[f])
      rt_info("largest difference of the %-18s %.3g", field_names[f],
              d->field[f]);
  if (d->before_end > 0.0) {
    const int64_t at = n_tokens - (int64_t)d->before_end;
    rt_info("first at row %lld, token %lld",
            (long long)(a->first_row + both.a + at / a->seq),
            (long long)(at % a->seq));
  }
  if (a->step && b->step)
    rt_info("rows of another step, or of another row of the stream: %.0f",
            d->steps);
}

static rt_err judge(const difference *d, bool all, char *const *paths)
{
  double max = fmax(d->tokens + d->steps, d->logp);
  for (int f = 0; f < N_FIELDS; f++)
    max = fmax(max, d->field[f]);
  RT_CHECK(d->rows == 0.0, RT_ERR_DATA, "%.0f rows are of another text",
           d->rows);
  RT_CHECK(max == 0.0, RT_ERR_DATA, "%s and %s differ", paths[0], paths[1]);
  rt_info("the same, bit for bit%s",
          all ? "" : ", in all that both of them have");
  return RT_OK;
}

/** Find the rows to compare: the same rows of both, or of a common stream. */
static rt_err overlap_of(const rt_logits_info *a, const rt_logits_info *b,
                         char *const *paths, overlap *both)
{
  const int64_t first =
      a->first_row > b->first_row ? a->first_row : b->first_row;
  const int64_t end_a = a->first_row + a->n_rows;
  const int64_t end_b = b->first_row + b->n_rows;
  const int64_t end = end_a < end_b ? end_a : end_b;
  *both = (overlap){first - a->first_row, first - b->first_row, end - first};
  const bool same = a->first_row == b->first_row && a->n_rows == b->n_rows;
  RT_CHECK(a->seq == b->seq && both->n > 0 &&
               (same || (a->lanes == 0 && b->lanes == 0)),
           RT_ERR_DATA,
           "%s holds %lld rows of %lld tokens from row %lld on%s, %s %lld rows "
           "of %lld from %lld on%s: they cannot be compared row by row",
           paths[0], (long long)a->n_rows, (long long)a->seq,
           (long long)a->first_row, a->lanes > 0 ? " (in order of steps)" : "",
           paths[1], (long long)b->n_rows, (long long)b->seq,
           (long long)b->first_row, b->lanes > 0 ? " (in order of steps)" : "");
  if (!same)
    rt_info("compared are the %lld rows from %lld on, which both have",
            (long long)both->n, (long long)first);
  return RT_OK;
}

/** Hashes of datasets before version RT_LOGITS_DIGESTS are of another kind. */
static void compare_teachers(const rt_logits_info *a, const rt_logits_info *b)
{
  if ((a->version >= RT_LOGITS_DIGESTS) != (b->version >= RT_LOGITS_DIGESTS))
    rt_info("the datasets are of versions %lld and %lld, which hash the "
            "teacher's weights differently: the hashes are not compared",
            (long long)a->version, (long long)b->version);
  else if (strcmp(a->teacher_hash, b->teacher_hash) != 0)
    rt_warn("the teachers' weights differ");
}

static rt_err compare(const rt_comm *world, const rt_logits *a,
                      const rt_logits *b, char *const *paths)
{
  const rt_logits_info *i = rt_logits_about(a), *j = rt_logits_about(b);
  difference d = {0};
  overlap both;
  RT_TRY(overlap_of(i, j, paths, &both));
  compare_teachers(i, j);
  RT_TRY(rt_agree(world, compare_share(world, a, b, both, &d)));
  RT_TRY(rt_comm_allreduce_host(world, &d.rows, N_SUMS, RT_F64, RT_SUM));
  RT_TRY(rt_comm_allreduce_host(world, &d.logp, N_MAXIMA, RT_F64, RT_MAX));
  print(&d, i, j, both);
  const bool all = same_fields(i, j) && i->n_rows == j->n_rows;
  return judge(&d, all, paths);
}

rt_err rt_logits_diff_run(const rt_comm *world, char *const *paths)
{
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
