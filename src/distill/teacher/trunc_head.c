/** \file trunc_head.c
 *  The truncating head: computes the most probable entries of each token,
 *  exactly over all vocabulary shards.
 *
 *  Ranks exchange K candidates per token and the statistics of their shards,
 *  never all logits.  All of it happens on the device; only a capture fetches
 *  the entries. */
#include "distill/teacher/trunc_head.h"

#include "base/bundle.h"
#include "base/split.h"

#include <stdlib.h>

struct rt_trunc_head {
  rt_model *model;     // borrowed
  const rt_grid *grid; // borrowed
  rt_dev *dev;         // borrowed
  rt_dtype type;       // of logits
  rt_truncation rule;
  rt_draws draws;
  rt_trunc_use use;
  rt_arena *arena;             // owned
  int64_t seq;                 // T
  int64_t n_chunk;             // tokens per chunk
  int64_t k;                   // candidates per token
  rt_view tok, pos, doc_start; // i32 [T, 1]
  rt_view tile;                // [n_chunk, V_pad / tp]
  rt_view label;               // i32 [n_chunk, 1]
  rt_view candidates;          // f64 [tp, words]: a message of each shard
  rt_view u, drawn;     // for draws: f64 [n_chunk, N], i32 [tp, n_chunk * N]
  rt_entry_views chunk; // [n_chunk, ...]: of a chunk, on the way to the host
  rt_view about;        // f64 [n_chunk, K_N_ABOUT], likewise
  void *host;           // owned: memory of the array below
  k_about *h_about;     // [n_chunk]
};

static int64_t smaller(int64_t a, int64_t b)
{
  return a < b ? a : b;
}

/** Entries per token. */
static int64_t n_entries(const rt_trunc_head *th)
{
  return th->draws.n > 0 ? th->draws.n : th->k;
}

/** Sizes in bytes of the parts of one shard's message about n tokens: f64
 *  statistics, logits and ids. */
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

/** Doubles of a message, which the next one follows. */
static int64_t message_words(const rt_trunc_head *th, int64_t n)
{
  const size_t bytes = stats_bytes(n) + top_bytes(th, n) + ids_bytes(th, n);
  return (int64_t)((bytes + sizeof(double) - 1) / sizeof(double));
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
  const int64_t n = th->n_chunk, N = th->draws.n;
  if (N == 0)
    return RT_OK;
  RT_TRY(rt_arena_reserve(th->arena, "uniform numbers", RT_F64, n, N, &th->u));
  RT_TRY(rt_arena_reserve(th->arena, "drawn ids", RT_I32, th->grid->tp, n * N,
                          &th->drawn));
  RT_PLAN(th->dev, merge_draws, .best = rt_view_of(NULL, RT_I32, n, N));
  return RT_OK;
}

/** Entries of a chunk, where they do not stay on the device. */
static rt_err plan_chunk(rt_trunc_head *th)
{
  const int64_t n = th->n_chunk, k = n_entries(th);
  if (th->use == RT_TRUNC_QUEUE)
    return RT_OK;
  RT_TRY(rt_arena_reserve(th->arena, "counts", RT_I32, n, 1, &th->chunk.count));
  RT_TRY(
      rt_arena_reserve(th->arena, "entry ids", RT_I32, n, k, &th->chunk.ids));
  RT_TRY(
      rt_arena_reserve(th->arena, "log-probs", RT_F32, n, k, &th->chunk.logp));
  return rt_arena_reserve(th->arena, "about tokens", RT_F64, n, K_N_ABOUT,
                          &th->about);
}

static rt_err plan_candidates(rt_trunc_head *th, int64_t width)
{
  const int64_t n = th->n_chunk;
  RT_TRY(rt_arena_reserve(th->arena, "label", RT_I32, n, 1, &th->label));
  RT_TRY(rt_arena_reserve(th->arena, "candidates", RT_F64, th->grid->tp,
                          message_words(th, n), &th->candidates));
  RT_PLAN(th->dev, topk, .z = rt_view_of(NULL, th->type, n, width),
          .label = th->label);
  RT_TRY(plan_draws(th));
  return plan_chunk(th);
}

rt_err rt_trunc_head_create(const rt_trunc_spec *spec, rt_trunc_head **out)
{
  rt_trunc_head *th = calloc(1, sizeof *th);
  *out = th;
  RT_CHECK(th != NULL, RT_ERR_MEM, "a truncating head");
  const rt_head head = rt_model_head(spec->model);
  const rt_dtype type = rt_model_types(spec->model)->tile;
  const double row_bytes =
      (double)rt_arena_tile_ld(head.w.rows) * (double)rt_dtype_size(type);
  th->type = type;
  th->model = spec->model;
  th->grid = spec->grid;
  th->dev = spec->dev;
  th->rule = spec->rule;
  th->draws = spec->draws;
  th->use = spec->use;
  // draws need only the statistics, not the largest logits
  th->k = spec->draws.n > 0 ? 1 : smaller(spec->rule.top_k, head.vocab);
  th->seq = spec->seq;
  th->n_chunk = rt_chunk_rows(spec->seq, spec->chunk_bytes / row_bytes);
  RT_TRY(rt_arena_create("truncating head", &th->arena));
  if (spec->use != RT_TRUNC_TAKE) {
    RT_TRY(plan_row(th));
    RT_TRY(rt_arena_reserve_tile(th->arena, "teacher logit tile", type,
                                 th->n_chunk, head.w.rows, &th->tile));
  }
  return plan_candidates(th, head.w.rows);
}

const rt_arena *rt_trunc_head_arena(const rt_trunc_head *th)
{
  return th->arena;
}

static void lay_out(rt_trunc_head *th, rt_bundle *s)
{
  th->h_about = rt_bundle_take(s, (size_t)th->about.rows, sizeof *th->h_about);
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
  RT_TRY(rt_bundle_alloc(&s, "tokens; reduce loss.chunk_mib"));
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

/** Messages about n tokens: a row of each view is that of a shard. */
typedef struct messages {
  rt_view all;             // f64 [tp, words]
  rt_view stats, top, ids; // f64 [tp, n * K_N_STAT], [tp, n * k], i32 likewise
} messages;

static messages messages_of(const rt_trunc_head *th, int64_t n)
{
  const int64_t tp = th->grid->tp, words = message_words(th, n);
  char *const at = th->candidates.data;
  char *const top = at + stats_bytes(n), *const ids = top + top_bytes(th, n);
  const int64_t bytes = words * (int64_t)sizeof(double);
  return (messages){
      .all = rt_view_of(at, RT_F64, tp, words),
      .stats = {at, RT_F64, tp, n * K_N_STAT, words},
      .top = {top, th->type, tp, n * th->k,
              bytes / (int64_t)rt_dtype_size(th->type)},
      .ids = {ids, RT_I32, tp, n * th->k, bytes / (int64_t)sizeof(int32_t)}};
}

/** The row of a shard in \a all as a matrix [n, ...]. */
static rt_view matrix_of(rt_view all, int shard, int64_t n)
{
  const rt_view row = rt_view_rows(all, shard, 1);
  return rt_view_of(row.data, row.dtype, n, row.cols / n);
}

/** A range of tokens [t, t + n) of row \a row of the stream, stored at entries
 *  from \a tok0 on. */
typedef struct stretch {
  const int32_t *label; // borrowed [n]
  int64_t row, t, tok0;
} stretch;

/** Where the entries of a tile go on the device: as many rows as it has. */
typedef struct place {
  rt_entry_views entries;
  rt_view about; // absent: nowhere
  bool spread;
} place;

static k_logits logits_of(const rt_trunc_head *th, const stretch *s,
                          const place *to)
{
  return (k_logits){.row = s->row,
                    .tok0 = s->t,
                    .spread = to->spread,
                    .finite = th->use != RT_TRUNC_TAKE};
}

/** The candidates of all shards. */
static rt_err find_candidates(rt_trunc_head *th, rt_view tile, const stretch *s,
                              bool spread)
{
  const rt_head head = rt_model_head(th->model);
  const int64_t n = tile.rows;
  const int mine = th->grid->i_tp;
  const rt_view label = rt_view_rows(th->label, 0, n);
  const messages m = messages_of(th, n);
  RT_TRY(rt_dev_put(th->dev, label, s->label));
  RT_RUN(th->dev, topk, .z = tile, .label = label,
         .ids = matrix_of(m.ids, mine, n), .top = matrix_of(m.top, mine, n),
         .stats = matrix_of(m.stats, mine, n), .v0 = head.v0,
         .v_true = head.vocab, .spread = spread);
  return rt_comm_gather(th->grid->comm_tp, th->dev, m.all);
}

static void merge_candidates(rt_trunc_head *th, int64_t n, const stretch *s,
                             const place *to)
{
  const messages m = messages_of(th, n);
  RT_RUN(th->dev, merge_topk, .stats = m.stats, .top = m.top, .ids = m.ids,
         .count = to->entries.count, .best = to->entries.ids,
         .logp = to->entries.logp, .about = to->about,
         .of = logits_of(th, s, to), .rule = th->rule);
}

/** Draw the ids of a tile whose statistics were gathered. */
static rt_err draw_tile(rt_trunc_head *th, rt_view tile, const stretch *s,
                        const place *to)
{
  const rt_head head = rt_model_head(th->model);
  const int64_t n = tile.rows;
  const int mine = th->grid->i_tp;
  const messages m = messages_of(th, n);
  const rt_view u = rt_view_rows(th->u, 0, n);
  const rt_view drawn =
      rt_view_of(th->drawn.data, RT_I32, th->grid->tp, n * th->draws.n);
  RT_RUN(th->dev, draw_numbers, .stats = m.stats, .u = u,
         .seed = th->draws.seed, .row = s->row, .tok0 = s->t, .shard = mine);
  RT_RUN(th->dev, draw, .z = tile, .stats = matrix_of(m.stats, mine, n), .u = u,
         .ids = matrix_of(drawn, mine, n), .v0 = head.v0, .v_true = head.vocab);
  RT_TRY(rt_comm_gather(th->grid->comm_tp, th->dev, drawn));
  RT_RUN(th->dev, merge_draws, .stats = m.stats, .ids = drawn,
         .count = to->entries.count, .best = to->entries.ids,
         .logp = to->entries.logp, .about = to->about,
         .of = logits_of(th, s, to));
  return RT_OK;
}

/** Compute the entries of a tile of logits. */
static rt_err compute(rt_trunc_head *th, rt_view tile, const stretch *s,
                      const place *to)
{
  RT_TRY(find_candidates(th, tile, s, to->spread));
  if (th->draws.n > 0)
    return draw_tile(th, tile, s, to);
  merge_candidates(th, tile.rows, s, to);
  return RT_OK;
}

static rt_entry_views rows_of(const rt_entry_views *e, int64_t at, int64_t n)
{
  return (rt_entry_views){.count = rt_view_rows(e->count, at, n),
                          .ids = rt_view_rows(e->ids, at, n),
                          .logp = rt_view_rows(e->logp, at, n)};
}

/** Fetch the entries of a tile, from entry \a at on. */
static rt_err fetch(rt_trunc_head *th, const place *from, int64_t at,
                    rt_entries *out)
{
  const rt_entry_views *const e = &from->entries;
  RT_TRY(rt_dev_get(th->dev, th->h_about, from->about));
  RT_TRY(rt_dev_get(th->dev, out->count + at, e->count));
  RT_TRY(rt_dev_get(th->dev, out->ids + at * out->k, e->ids));
  RT_TRY(rt_dev_get(th->dev, out->logp + at * out->k, e->logp));
  for (int64_t i = 0; i < from->about.rows; i++) {
    const k_about *const about = &th->h_about[i];
    out->lse[at + i] = (float)about->lse;
    out->label_logp[at + i] = (float)about->label_logp;
    if (!from->spread)
      continue;
    out->entropy[at + i] = (float)about->entropy;
    out->deviation[at + i] = (float)about->deviation;
  }
  return RT_OK;
}

/** Compute the entries of a tile, and fetch them. */
static rt_err take_tile(rt_trunc_head *th, rt_view tile, const stretch *s,
                        rt_entries *out)
{
  const place to = {.entries = rows_of(&th->chunk, 0, tile.rows),
                    .about = rt_view_rows(th->about, 0, tile.rows),
                    .spread = out->entropy != NULL};
  RT_TRY(compute(th, tile, s, &to));
  return fetch(th, &to, s->tok0, out);
}

/** Tokens of \a rows from \a tok0 on, as far as the row goes. */
static stretch stretch_of(const rt_trunc_head *th, const rt_host_rows *rows,
                          int64_t tok0)
{
  return (stretch){rows->label + tok0, rows->row[tok0 / th->seq],
                   tok0 % th->seq, tok0};
}

rt_err rt_trunc_head_take(rt_trunc_head *th, rt_view tile,
                          const rt_host_rows *rows, int64_t tok0,
                          rt_entries *out)
{
  RT_ASSERT(th->use != RT_TRUNC_QUEUE && out->k == n_entries(th));
  for (int64_t done = 0; done < tile.rows;) {
    const stretch s = stretch_of(th, rows, tok0 + done);
    const int64_t in_row = smaller(th->seq - s.t, tile.rows - done);
    const int64_t n = smaller(in_row, th->n_chunk);
    RT_TRY(take_tile(th, rt_view_rows(tile, done, n), &s, out));
    done += n;
  }
  return RT_OK;
}

/** Where the entries of all rows go: to the host or not. */
typedef struct way_out {
  rt_entries *host; // or NULL
  const rt_entry_views *dev;
} way_out;

/** Process tokens of \a rows from \a tok0 on, given their hidden states. */
static rt_err run_chunk(rt_trunc_head *th, rt_view hidden,
                        const rt_host_rows *rows, int64_t tok0, way_out out)
{
  const rt_head head = rt_model_head(th->model);
  const rt_view tile = rt_view_rows(th->tile, 0, hidden.rows);
  const stretch s = stretch_of(th, rows, tok0);
  rt_head_logits(th->dev, &head, hidden, tile);
  if (out.host != NULL)
    return take_tile(th, tile, &s, out.host);
  const place to = {.entries = rows_of(out.dev, tok0, tile.rows)};
  return compute(th, tile, &s, &to);
}

/** Process row \a r: one forward, then its logits in chunks. */
static rt_err run_row(rt_trunc_head *th, const rt_host_rows *rows, int64_t r,
                      way_out out)
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
  RT_ASSERT(th->use == RT_TRUNC_RUN && out->k == n_entries(th) &&
            out->n >= rows->n_rows * th->seq);
  for (int64_t r = 0; r < rows->n_rows; r++)
    RT_TRY(run_row(th, rows, r, (way_out){.host = out}));
  return RT_OK;
}

rt_err rt_trunc_head_queue(rt_trunc_head *th, const rt_host_rows *rows,
                           const rt_entry_views *out)
{
  RT_ASSERT(th->use == RT_TRUNC_QUEUE && out->ids.cols == n_entries(th) &&
            out->ids.rows >= rows->n_rows * th->seq);
  for (int64_t r = 0; r < rows->n_rows; r++)
    RT_TRY(run_row(th, rows, r, (way_out){.dev = out}));
  return RT_OK;
}
