/** \file trunc_head.c
 *  The truncating head: computes the most probable entries of each token,
 *  exactly over all vocabulary shards.
 *
 *  The K largest logits of the whole vocabulary are among the K largest of each
 *  shard.  So ranks exchange K candidates per token and three statistics, never
 *  all logits, and each rank merges the same lists in the same order. */
#include "distill/teacher/trunc_head.h"

#include "distill/teacher/draws.h"

#include "base/bundle.h"
#include "base/split.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct rt_trunc_head {
  rt_model *model;     // borrowed
  const rt_grid *grid; // borrowed
  rt_dev *dev;         // borrowed
  rt_dtype type;       // of logits
  rt_truncation rule;
  rt_draws draws;
  rt_arena *arena;             // owned
  int64_t seq;                 // T
  int64_t n_chunk;             // tokens per chunk
  int64_t k;                   // candidates per token
  rt_view tok, pos, doc_start; // i32 [T, 1]
  rt_view tile;                // [n_chunk, V_pad / tp]
  rt_view label;               // i32 [n_chunk, 1]
  rt_view ids, top;            // [n_chunk, k]
  rt_view stats;               // f64 [n_chunk, K_N_STAT]
  void *host;                  // owned: memory of the arrays below
  unsigned char *mine, *all;   // candidates of this rank; of all ranks
  float *merged;               // [k]
  rt_view u, drawn;            // for draws: f64 [n_chunk, N], i32 [n_chunk, N]
  double *h_u;                 // [n_chunk, N]
  int32_t *h_drawn;            // [n_chunk, N]
  rt_drawn_id *found;          // [N]
};

static int64_t smaller(int64_t a, int64_t b)
{
  return a < b ? a : b;
}

/** Sizes in bytes of the parts of one rank's message about n tokens.  The total
 *  is a multiple of the size of a double, because the next message starts with
 *  doubles. */
static size_t stats_bytes(int64_t n)
{
  return (size_t)n * K_N_STAT * sizeof(double);
}

static size_t top_bytes(const rt_trunc_head *th, int64_t n)
{
  return (size_t)(n * th->k) * rt_dtype_size(th->type);
}

static size_t ids_bytes(const rt_trunc_head *th, int64_t n)
{
  return (size_t)(n * th->k) * sizeof(int32_t);
}

static size_t message_bytes(const rt_trunc_head *th, int64_t n)
{
  const size_t bytes = stats_bytes(n) + top_bytes(th, n) + ids_bytes(th, n);
  return (bytes + sizeof(double) - 1) / sizeof(double) * sizeof(double);
}

static rt_err plan_row(rt_trunc_head *th)
{
  RT_TRY(rt_arena_reserve(th->arena, "tok", RT_I32, th->seq, 1, &th->tok));
  RT_TRY(rt_arena_reserve(th->arena, "pos", RT_I32, th->seq, 1, &th->pos));
  return rt_arena_reserve(th->arena, "doc_start", RT_I32, th->seq, 1,
                          &th->doc_start);
}

/** Reserve buffers for draws: random numbers and drawn ids. */
static rt_err plan_draws(rt_trunc_head *th)
{
  if (th->draws.n == 0)
    return RT_OK;
  RT_TRY(rt_arena_reserve(th->arena, "uniform numbers", RT_F64, th->n_chunk,
                          th->draws.n, &th->u));
  return rt_arena_reserve(th->arena, "drawn ids", RT_I32, th->n_chunk,
                          th->draws.n, &th->drawn);
}

static rt_err plan_candidates(rt_trunc_head *th)
{
  const int64_t n = th->n_chunk;
  RT_TRY(rt_arena_reserve(th->arena, "label", RT_I32, n, 1, &th->label));
  RT_TRY(
      rt_arena_reserve(th->arena, "candidate ids", RT_I32, n, th->k, &th->ids));
  RT_TRY(rt_arena_reserve(th->arena, "candidate logits", th->type, n, th->k,
                          &th->top));
  RT_TRY(rt_arena_reserve(th->arena, "row statistics", RT_F64, n, K_N_STAT,
                          &th->stats));
  return plan_draws(th);
}

rt_err rt_trunc_head_create(const rt_trunc_spec *spec, rt_trunc_head **out)
{
  rt_trunc_head *th = calloc(1, sizeof *th);
  *out = th;
  RT_CHECK(th != NULL, RT_ERR_MEM, "a truncating head");
  const rt_head head = rt_model_head(spec->model);
  const rt_dtype type = rt_model_types(spec->model)->tile;
  const double row_bytes = (double)head.w.rows * (double)rt_dtype_size(type);
  th->type = type;
  th->model = spec->model;
  th->grid = spec->grid;
  th->dev = spec->dev;
  th->rule = spec->rule;
  th->draws = spec->draws;
  // draws need only the statistics, not the largest logits
  th->k = spec->draws.n > 0 ? 1 : smaller(spec->rule.top_k, head.vocab);
  th->seq = spec->seq;
  th->n_chunk = rt_chunk_rows(spec->seq, spec->chunk_bytes / row_bytes);
  RT_TRY(rt_arena_create("truncating head", &th->arena));
  if (!spec->takes_tiles) {
    RT_TRY(plan_row(th));
    RT_TRY(rt_arena_reserve(th->arena, "teacher logit tile", type, th->n_chunk,
                            head.w.rows, &th->tile));
  }
  RT_TRY(plan_candidates(th));
  RT_PLAN(th->dev, topk, .z = rt_view_of(NULL, type, th->n_chunk, head.w.rows),
          .label = th->label, .ids = th->ids, .top = th->top,
          .stats = th->stats);
  return RT_OK;
}

const rt_arena *rt_trunc_head_arena(const rt_trunc_head *th)
{
  return th->arena;
}

/** The host arrays.  With one rank there is no message to send. */
static void lay_out(rt_trunc_head *th, rt_bundle *s)
{
  const size_t bytes = message_bytes(th, th->n_chunk);
  const size_t n_draws = (size_t)(th->n_chunk * th->draws.n);
  th->mine = rt_bundle_take(s, th->grid->tp > 1 ? bytes : 0, 1);
  th->all = rt_bundle_take(s, bytes * (size_t)th->grid->tp, 1);
  th->merged = rt_bundle_take(s, (size_t)th->k, sizeof *th->merged);
  th->h_u = rt_bundle_take(s, n_draws, sizeof *th->h_u);
  th->h_drawn = rt_bundle_take(s, n_draws, sizeof *th->h_drawn);
  th->found = rt_bundle_take(s, (size_t)th->draws.n, sizeof *th->found);
}

size_t rt_trunc_head_host_bytes(const rt_trunc_head *th)
{
  rt_trunc_head counted = *th;
  rt_bundle s = {0};
  lay_out(&counted, &s);
  return s.bytes;
}

rt_err rt_trunc_head_commit(rt_trunc_head *th)
{
  rt_bundle s = {.bytes = rt_trunc_head_host_bytes(th)};
  RT_TRY(rt_bundle_alloc(&s, "candidates; reduce loss.chunk_mib"));
  th->host = s.block;
  lay_out(th, &s);
  return rt_arena_commit(th->arena, rt_dev_memory(th->dev));
}

void rt_trunc_head_destroy(rt_trunc_head **out)
{
  rt_trunc_head *th = *out;
  *out = NULL;
  if (th == NULL)
    return;
  rt_arena_destroy(&th->arena);
  free(th->host);
  free(th);
}

/** A message of one rank about n tokens: how it is written and read. */
typedef struct message {
  double *stats; // [n, K_N_STAT]
  void *top;     // real [n, k]
  int32_t *ids;  // [n, k]
} message;

/** The message that begins at \a at. */
static message message_at(const rt_trunc_head *th, unsigned char *at, int64_t n)
{
  return (message){(double *)at, at + stats_bytes(n),
                   (int32_t *)(at + stats_bytes(n) + top_bytes(th, n))};
}

/** That of a rank, once it was gathered. */
static message message_of(const rt_trunc_head *th, int i_tp, int64_t n)
{
  return message_at(th, th->all + (size_t)i_tp * message_bytes(th, n), n);
}

static double logit_at(const rt_trunc_head *th, const void *top, int64_t i)
{
  return th->type == RT_F64 ? ((const double *)top)[i]
                            : (double)((const float *)top)[i];
}

/** Statistics of token \a i of \a n from all shards. */
static rt_shards shards_of(const rt_trunc_head *th, int64_t n, int64_t i)
{
  return (rt_shards){message_of(th, 0, n).stats + i * K_N_STAT,
                     (int64_t)(message_bytes(th, n) / sizeof(double)),
                     th->grid->tp};
}

static double lse_of(const rt_shards *s)
{
  return rt_exp_sum_log(rt_shards_exp_sum(s, K_STAT_MAX, K_STAT_SUM));
}

/** Merge the shards' sorted lists of token \a i in descending order; ties by
 *  lower id, which is in the lower shard.  Returns the number of entries. */
static int64_t merge(const rt_trunc_head *th, int64_t n, int64_t i, double lse,
                     int32_t *ids, float *logp)
{
  const int tp = th->grid->tp;
  RT_ASSERT(tp > 0);
  int64_t next[tp]; // position in each shard's list
  memset(next, 0, sizeof next);
  int64_t count = 0;
  while (count < th->k) {
    int best = -1;
    double best_logit = -INFINITY;
    for (int r = 0; r < tp; r++) {
      const message m = message_of(th, r, n);
      const int64_t at = i * th->k + next[r];
      if (next[r] == th->k || m.ids[at] < 0)
        continue;
      const double logit = logit_at(th, m.top, at);
      if (best < 0 || logit > best_logit) {
        best = r;
        best_logit = logit;
      }
    }
    if (best < 0)
      break;
    ids[count] = message_of(th, best, n).ids[i * th->k + next[best]++];
    logp[count++] = (float)(best_logit - lse);
  }
  return count;
}

/** Gather the candidates of one chunk from every shard in th->all. */
static rt_err gather(rt_trunc_head *th, int64_t n)
{
  const message m = message_at(th, th->grid->tp > 1 ? th->mine : th->all, n);
  RT_TRY(rt_dev_get(th->dev, m.stats, rt_view_rows(th->stats, 0, n)));
  RT_TRY(rt_dev_get(th->dev, m.top, rt_view_rows(th->top, 0, n)));
  RT_TRY(rt_dev_get(th->dev, m.ids, rt_view_rows(th->ids, 0, n)));
  if (th->grid->tp == 1)
    return RT_OK;
  return rt_comm_allgather(th->grid->comm_tp, th->mine, message_bytes(th, n),
                           th->all);
}

/** Random numbers of token \a i, which is token \a t of row \a row, ascending,
 *  in units of this shard's sum; negative if the draw belongs to another shard.
 */
static void make_numbers(rt_trunc_head *th, int64_t n, int64_t i, int64_t row,
                         int64_t t)
{
  const int64_t N = th->draws.n;
  const int tp = th->grid->tp, mine = th->grid->i_tp;
  double *const u = th->h_u + i * N;
  const rt_shards s = shards_of(th, n, i);
  const double lse = lse_of(&s), sum = rt_shards_get(&s, mine, K_STAT_SUM);
  double begin = 0.0, mass = 0.0; // mass of the lower shards; of this shard
  for (int r = 0; r <= mine; r++) {
    begin += mass;
    mass = rt_shards_get(&s, r, K_STAT_SUM) *
           exp(rt_shards_get(&s, r, K_STAT_MAX) - lse);
  }
  rt_draws_numbers(&th->draws, row, t, u);
  for (int64_t d = 0; d < N; d++) {
    const bool here = u[d] >= begin && (u[d] < begin + mass || mine == tp - 1);
    u[d] = here ? (u[d] - begin) / mass * sum : -1.0;
  }
}

/** Draw the ids of a chunk whose statistics were gathered.  Each draw falls
 *  into one shard; the others return -1, so the maximum is the answer. */
static rt_err draw_chunk(rt_trunc_head *th, rt_view tile, int64_t row,
                         int64_t t, int64_t at, rt_entries *out)
{
  const rt_head head = rt_model_head(th->model);
  const int64_t n = tile.rows, N = th->draws.n;
  const rt_view u = rt_view_rows(th->u, 0, n);
  const rt_view drawn = rt_view_rows(th->drawn, 0, n);
  for (int64_t i = 0; i < n; i++)
    make_numbers(th, n, i, row, t + i);
  RT_TRY(rt_dev_put(th->dev, u, th->h_u));
  RT_RUN(th->dev, draw, .z = tile, .stats = rt_view_rows(th->stats, 0, n),
         .u = u, .ids = drawn, .v0 = head.v0, .v_true = head.vocab);
  RT_TRY(rt_dev_get(th->dev, th->h_drawn, drawn));
  RT_TRY(rt_comm_allreduce_host(th->grid->comm_tp, th->h_drawn, (size_t)(n * N),
                                RT_I32, RT_MAX));
  for (int64_t i = 0; i < n; i++)
    out->count[at + i] =
        rt_draws_count(th->h_drawn + i * N, N, th->found,
                       out->ids + (at + i) * N, out->logp + (at + i) * N);
  return RT_OK;
}

/** Different logits may give the same log-prob; then order by id, as in every
 *  dataset. */
static void order_ties(int64_t n, int32_t *ids, const float *logp)
{
  for (int64_t i = 1; i < n; i++) {
    const int32_t id = ids[i];
    int64_t at = i;
    for (; at > 0 && logp[at - 1] == logp[i] && ids[at - 1] > id; at--)
      ids[at] = ids[at - 1];
    ids[at] = id;
  }
}

/** Store the most probable entries of token \a i of a chunk, truncated, at
 *  entry \a at. */
static void take_best(rt_trunc_head *th, int64_t n, int64_t i, double lse,
                      int64_t at, rt_entries *out)
{
  int32_t *ids = out->ids + at * out->k;
  const int64_t found = merge(th, n, i, lse, ids, th->merged);
  order_ties(found, ids, th->merged);
  memcpy(out->logp + at * out->k, th->merged,
         (size_t)found * sizeof *th->merged);
  out->count[at] = (int32_t)rt_truncate_count(th->merged, found, th->rule);
}

/** A range of tokens [t, t + n) of row \a row of the stream, stored at entries
 *  from \a tok0 on. */
typedef struct stretch {
  const int32_t *label; // borrowed [n]
  int64_t row, t, tok0;
} stretch;

/** Compute the entries of a tile of logits. */
static rt_err take_tile(rt_trunc_head *th, rt_view tile, const stretch *s,
                        rt_entries *out)
{
  const rt_head head = rt_model_head(th->model);
  const int64_t n = tile.rows;
  const rt_view label = rt_view_rows(th->label, 0, n);
  RT_TRY(rt_dev_put(th->dev, label, s->label));
  RT_RUN(th->dev, topk, .z = tile, .label = label,
         .ids = rt_view_rows(th->ids, 0, n), .top = rt_view_rows(th->top, 0, n),
         .stats = rt_view_rows(th->stats, 0, n), .v0 = head.v0,
         .v_true = head.vocab, .spread = out->entropy != NULL);
  RT_TRY(gather(th, n));
  for (int64_t i = 0; i < n; i++) {
    const int64_t at = s->tok0 + i;
    const rt_shards shards = shards_of(th, n, i);
    const double lse = lse_of(&shards);
    out->lse[at] = (float)lse;
    out->label_logp[at] = (float)(rt_shards_sum(&shards, K_STAT_LABEL) - lse);
    if (out->entropy != NULL) {
      double entropy, deviation;
      rt_shards_spread(&shards, &head, &entropy, &deviation);
      out->entropy[at] = (float)entropy;
      out->deviation[at] = (float)deviation;
    }
    if (th->draws.n == 0)
      take_best(th, n, i, lse, at, out);
  }
  return th->draws.n > 0 ? draw_chunk(th, tile, s->row, s->t, s->tok0, out)
                         : RT_OK;
}

rt_err rt_trunc_head_take(rt_trunc_head *th, rt_view tile,
                          const rt_host_rows *rows, int64_t tok0,
                          rt_entries *out)
{
  for (int64_t done = 0; done < tile.rows;) {
    const int64_t at = tok0 + done, t = at % th->seq;
    const int64_t in_row = smaller(th->seq - t, tile.rows - done);
    const int64_t n = smaller(in_row, th->n_chunk);
    const stretch s = {rows->label + at, rows->row[at / th->seq], t, at};
    RT_TRY(take_tile(th, rt_view_rows(tile, done, n), &s, out));
    done += n;
  }
  return RT_OK;
}

/** Process tokens of \a rows from \a tok0 on, given their hidden states. */
static rt_err run_chunk(rt_trunc_head *th, rt_view hidden,
                        const rt_host_rows *rows, int64_t tok0, rt_entries *out)
{
  const rt_head head = rt_model_head(th->model);
  const rt_view tile = rt_view_rows(th->tile, 0, hidden.rows);
  rt_head_logits(th->dev, &head, hidden, tile);
  RT_TRY(rt_trunc_head_take(th, tile, rows, tok0, out));
  for (int64_t at = tok0; at < tok0 + hidden.rows; at++)
    RT_CHECK(isfinite(out->lse[at]), RT_ERR_DATA,
             "the teacher's logits of row %lld, token %lld are not finite: its "
             "weights are damaged, or its activations overflow %s",
             (long long)rows->row[at / th->seq], (long long)(at % th->seq),
             rt_dtype_name(rt_model_types(th->model)->act));
  return RT_OK;
}

/** Process row \a r: one forward, then its logits in chunks. */
static rt_err run_row(rt_trunc_head *th, const rt_host_rows *rows, int64_t r,
                      rt_entries *out)
{
  const int64_t first = r * th->seq;
  const rt_tokens_in in = {th->tok, th->pos, th->doc_start, 1, th->seq};
  rt_view hidden; // [T, D]
  RT_TRY(rt_dev_put(th->dev, in.tok, rows->tok + first));
  RT_TRY(rt_dev_put(th->dev, in.pos, rows->pos + first));
  RT_TRY(rt_dev_put(th->dev, in.doc_start, rows->doc_start + first));
  RT_TRY(rt_model_forward(th->model, &in, &hidden));
  for (int64_t t = 0; t < th->seq; t += th->n_chunk) {
    const int64_t n = smaller(th->n_chunk, th->seq - t);
    RT_TRY(run_chunk(th, rt_view_rows(hidden, t, n), rows, first + t, out));
    rt_comm_progress();
  }
  return RT_OK;
}

rt_err rt_trunc_head_run(rt_trunc_head *th, const rt_host_rows *rows,
                         rt_entries *out)
{
  RT_ASSERT(out->k == (th->draws.n > 0 ? th->draws.n : th->k) &&
            out->n >= rows->n_rows * th->seq);
  for (int64_t r = 0; r < rows->n_rows; r++)
    RT_TRY(run_row(th, rows, r, out));
  return RT_OK;
}
