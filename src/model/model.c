/** \file model.c
 *  Embedding, blocks, final norm: forward and backward. */
#include "model/model.h"

#include "model/block.h"
#include "model/rope.h"
#include "model/tp.h"
#include <stdio.h>
#include <stdlib.h>

struct rt_model {
  rt_arch arch;
  const rt_grid *grid; // borrowed
  rt_dev *dev;         // borrowed
  rt_types types;
  int64_t max_rows, seq;
  bool train;
  rt_keep keep;
  rt_arena *arena[2]; // owned: parameters and gradients, activations
  rt_params params;
  rt_block *block; // owned [L]
  const rt_param *embed, *norm, *head;
  rt_acts *save;  // owned [L]; NULL when not training
  rt_acts shared; // see rt_acts_reserve
  rt_view last;   // [N, D] input of the final norm; training only
  rt_view rstd;   // [N, 1] of the final norm
  rt_view hidden; // [N, D]
  rt_view rope;   // [seq, head_dim]
};

static rt_err check_spec(const char *name, const rt_model_spec *spec)
{
  RT_TRY(rt_arch_check(spec->arch, name));
  RT_TRY(rt_arch_check_tp(spec->arch, spec->grid->tp, name));
  RT_CHECK(spec->max_rows >= 1 && spec->seq >= 1 &&
               spec->max_rows <= INT32_MAX / spec->seq,
           RT_ERR_CONFIG,
           "%s: %lld rows of %lld tokens in one micro-batch, expected at least "
           "one of each and below 2^31 tokens",
           name, (long long)spec->max_rows, (long long)spec->seq);
  RT_CHECK(spec->seq <= rt_rope_max_seq(spec->arch), RT_ERR_CONFIG,
           "%s: rows of %lld tokens, but the model has %lld positions; choose "
           "shorter rows",
           name, (long long)spec->seq, (long long)rt_rope_max_seq(spec->arch));
  return RT_OK;
}

/** Set the pointers of blocks, embedding, norm and head to their tensors. */
static rt_err link_tensors(rt_model *m)
{
  const int n_blocks = (int)m->arch.n_blocks;
  m->block = calloc((size_t)n_blocks, sizeof *m->block);
  RT_CHECK(m->block, RT_ERR_MEM, "no memory for %d blocks", n_blocks);
  const rt_param *once[RT_N_TENSORS] = {NULL};
  for (int i = 0; i < m->params.n; i++) {
    const rt_param *p = &m->params.item[i];
    if (p->bucket >= 1 && p->bucket <= n_blocks)
      m->block[p->bucket - 1].t[p->kind] = p;
    else
      once[p->kind] = p;
  }
  m->embed = once[RT_TENSOR_EMBED];
  m->norm = once[RT_TENSOR_NORM];
  m->head = m->arch.tied ? m->embed : once[RT_TENSOR_HEAD];
  return RT_OK;
}

static int64_t local_kv_heads(const rt_model *m)
{
  const int64_t n = m->arch.n_kv_heads, tp = m->grid->tp;
  return n < tp ? 1 : n / tp;
}

static rt_acts_size acts_size(const rt_model *m)
{
  const rt_arch *a = &m->arch;
  return (rt_acts_size){.n_tokens = m->max_rows * m->seq,
                        .width = a->width,
                        .n_heads = a->n_heads / m->grid->tp,
                        .n_kv_heads = local_kv_heads(m),
                        .head_dim = a->head_dim,
                        .ffn = a->ffn / m->grid->tp,
                        .types = m->types};
}

/** Bytes of the blocks' activations. */
static rt_err acts_bytes(const rt_model *m, rt_keep keep, size_t *bytes)
{
  const int n_blocks = (int)m->arch.n_blocks;
  const rt_acts_size size = acts_size(m);
  rt_arena *arena = NULL;
  rt_acts shared, *save = calloc((size_t)n_blocks, sizeof *save);
  RT_CHECK(save, RT_ERR_MEM, "no memory for %d blocks", n_blocks);
  rt_err err = rt_arena_create("activations", &arena);
  if (err == RT_OK)
    err = rt_acts_reserve(arena, &size, keep, n_blocks, save, &shared);
  *bytes = err == RT_OK ? rt_arena_bytes(arena) : 0;
  rt_arena_destroy(&arena);
  free(save);
  return err;
}

rt_err rt_model_recompute_saves(const rt_model *m, size_t *bytes)
{
  size_t all, inputs;
  RT_TRY(acts_bytes(m, RT_KEEP_SAVED, &all));
  RT_TRY(acts_bytes(m, RT_KEEP_INPUTS, &inputs));
  *bytes = all > inputs ? all - inputs : 0; // with few blocks nothing
  return RT_OK;
}

static rt_err plan_activations(rt_model *m, const char *name)
{
  char text[96];
  snprintf(text, sizeof text, "%.60s activations", name);
  RT_TRY(rt_arena_create(text, &m->arena[1]));
  const rt_arch *a = &m->arch;
  const rt_acts_size size = acts_size(m);
  const int64_t n = size.n_tokens;
  const rt_dtype act = m->types.act, stat = m->types.stat;
  rt_arena *arena = m->arena[1];
  RT_TRY(rt_arena_reserve(arena, "rope", stat, m->seq, a->head_dim, &m->rope));
  RT_TRY(rt_arena_reserve(arena, "hidden", act, n, a->width, &m->hidden));
  RT_TRY(rt_arena_reserve(arena, "rstd", stat, n, 1, &m->rstd));
  if (m->train) {
    RT_TRY(rt_arena_reserve(arena, "last", act, n, a->width, &m->last));
    m->save = calloc((size_t)a->n_blocks, sizeof *m->save);
    RT_CHECK(m->save, RT_ERR_MEM, "no memory for %lld blocks",
             (long long)a->n_blocks);
  }
  return rt_acts_reserve(arena, &size, m->keep, (int)a->n_blocks, m->save,
                         &m->shared);
}

/** Plan the workspace of the kernels that need some. */
static void plan_workspace(const rt_model *m)
{
  const rt_acts_size s = acts_size(m);
  const rt_dtype act = m->types.act;
  const rt_view x = rt_view_of(NULL, act, s.n_tokens, s.width);
  const rt_view q = rt_view_of(NULL, act, s.n_tokens, s.n_heads * s.head_dim);
  const rt_view k =
      rt_view_of(NULL, act, s.n_tokens, s.n_kv_heads * s.head_dim);
  // that of a product depends on types only
  RT_PLAN(m->dev, gemm, .a = x, .b = m->params.item[0].w, .c = x);
  RT_PLAN(m->dev, attn_fwd, .q = q, .k = k, .v = k, .o = q,
          .batch = m->max_rows, .t_q = m->seq, .t_k = m->seq,
          .n_heads = s.n_heads, .n_kv_heads = s.n_kv_heads,
          .head_dim = s.head_dim);
  if (m->train)
    RT_PLAN(m->dev, attn_bwd, .q = q, .k = k, .v = k, .o = q, .d_o = q, .dq = q,
            .dk = k, .dv = k, .batch = m->max_rows, .t_q = m->seq,
            .t_k = m->seq, .n_heads = s.n_heads, .n_kv_heads = s.n_kv_heads,
            .head_dim = s.head_dim);
}

rt_err rt_model_create(const char *name, const rt_model_spec *spec,
                       rt_model **out)
{
  *out = NULL;
  RT_TRY(check_spec(name, spec)); // fails on all ranks alike
  rt_model *m = calloc(1, sizeof *m);
  // from here on the caller's destroy frees it, e.g. if another rank fails
  *out = m;
  RT_TRY(rt_agree(spec->grid->world,
                  m ? RT_OK : RT_FAIL(RT_ERR_MEM, "no memory for a model")));
  RT_ASSERT(m != NULL);
  m->arch = *spec->arch;
  m->grid = spec->grid;
  m->dev = spec->dev;
  m->types = spec->types;
  m->max_rows = spec->max_rows;
  m->seq = spec->seq;
  m->train = spec->train;
  m->keep = !spec->train      ? RT_KEEP_NOTHING
            : spec->recompute ? RT_KEEP_INPUTS
                              : RT_KEEP_SAVED;
  char text[96];
  snprintf(text, sizeof text, "%.60s parameters", name);
  RT_TRY(rt_agree(m->grid->world, rt_arena_create(text, &m->arena[0])));
  RT_TRY(rt_params_init(&m->params, &m->arch, m->grid, m->arena[0], m->types,
                        m->train ? RT_PARAMS_TRAINED : RT_PARAMS_FIXED));
  RT_TRY(rt_agree(m->grid->world, link_tensors(m)));
  RT_TRY(rt_agree(m->grid->world, plan_activations(m, name)));
  plan_workspace(m);
  return RT_OK;
}

const rt_arena *rt_model_arena(const rt_model *m, int which)
{
  RT_ASSERT(which == 0 || which == 1);
  return m->arena[which];
}

/** Fill the table of rotary angles. */
static rt_err put_rope(rt_model *m)
{
  const int64_t hd = m->arch.head_dim;
  double *row = malloc((size_t)hd * sizeof *row);
  // room for elements of up to 8 bytes
  double *real = malloc((size_t)hd * sizeof *real);
  rt_err err = RT_OK;
  if (row == NULL || real == NULL)
    err = RT_FAIL(RT_ERR_MEM, "no memory for a row of rotary angles");
  for (int64_t pos = 0; err == RT_OK && pos < m->seq; pos++) {
    rt_rope_row(&m->arch, m->seq, pos, row);
    rt_dtype_convert(real, m->rope.dtype, row, RT_F64, (size_t)hd);
    err = rt_dev_put(m->dev, rt_view_rows(m->rope, pos, 1), real);
  }
  free(row);
  free(real);
  return err;
}

static rt_err commit(rt_model *m)
{
  RT_TRY(rt_arena_commit(m->arena[0], rt_dev_memory(m->dev)));
  RT_TRY(rt_arena_commit(m->arena[1], rt_dev_memory(m->dev)));
  rt_params_zero(&m->params, m->dev);
  RT_TRY(put_rope(m));
  return rt_dev_sync(m->dev);
}

rt_err rt_model_commit(rt_model *m)
{
  return rt_agree(m->grid->world, commit(m));
}

void rt_model_destroy(rt_model **m)
{
  if (*m == NULL)
    return;
  rt_params_clear(&(*m)->params);
  rt_arena_destroy(&(*m)->arena[0]);
  rt_arena_destroy(&(*m)->arena[1]);
  free((*m)->block);
  free((*m)->save);
  free(*m);
  *m = NULL;
}

const rt_arch *rt_model_arch(const rt_model *m)
{
  return &m->arch;
}

const rt_types *rt_model_types(const rt_model *m)
{
  return &m->types;
}

rt_params *rt_model_params(rt_model *m)
{
  return &m->params;
}

rt_head rt_model_head(const rt_model *m)
{
  return (rt_head){.w = m->head->w,
                   .g = m->head->g,
                   .v0 = m->grid->i_tp * m->head->w.rows,
                   .vocab = rt_arch_true_vocab(&m->arch)};
}

rt_view rt_model_d_hidden(rt_model *m)
{
  // unused between the last block's forward and the final norm's backward
  return m->shared.v[RT_ACT_Y];
}

static rt_err check_tokens(const rt_model *m, const rt_tokens_in *in)
{
  const int64_t n = in->n_rows * in->seq;
  RT_CHECK(
      in->n_rows >= 1 && in->n_rows <= m->max_rows && in->seq >= 1 &&
          in->seq <= m->seq,
      RT_ERR_INTERNAL,
      "%lld rows of %lld tokens, but the model was created for %lld of %lld",
      (long long)in->n_rows, (long long)in->seq, (long long)m->max_rows,
      (long long)m->seq);
  RT_CHECK(in->tok.rows == n && in->pos.rows == n && in->doc_start.rows == n,
           RT_ERR_INTERNAL,
           "%lld ids, %lld positions, %lld document starts, expected %lld each",
           (long long)in->tok.rows, (long long)in->pos.rows,
           (long long)in->doc_start.rows, (long long)n);
  return RT_OK;
}

static rt_block_env env_of(const rt_model *m, const rt_tokens_in *in)
{
  return (rt_block_env){.arch = &m->arch,
                        .grid = m->grid,
                        .dev = m->dev,
                        .in = in,
                        .n_heads = m->arch.n_heads / m->grid->tp,
                        .n_kv_heads = local_kv_heads(m),
                        .rope = m->rope};
}

/** Activations of block \a b for \a n tokens; for b = L only X, the last
 *  block's output. */
static rt_acts acts_of(const rt_model *m, int64_t b, int64_t n)
{
  const bool own = m->train && b < m->arch.n_blocks;
  rt_acts a = rt_acts_of(own ? &m->save[b] : NULL, &m->shared, n);
  if (m->train && !own)
    a.v[RT_ACT_X] = rt_view_rows(m->last, 0, n);
  return a;
}

rt_err rt_model_forward(rt_model *m, const rt_tokens_in *in, rt_view *hidden)
{
  RT_TRY(check_tokens(m, in));
  const int64_t n = in->n_rows * in->seq;
  const rt_block_env env = env_of(m, in);
  rt_acts acts = acts_of(m, 0, n);
  RT_TRY(rt_params_arrive(&m->params, 0));
  RT_RUN(m->dev, embed_fwd, .tok = in->tok, .w = m->embed->w,
         .y = acts.v[RT_ACT_X], .v0 = m->grid->i_tp * m->embed->w.rows);
  RT_TRY(rt_tp_exit(m->grid, m->dev, acts.v[RT_ACT_X], RT_PASS_FORWARD));
  for (int64_t b = 0; b < m->arch.n_blocks; b++) {
    const rt_acts next = acts_of(m, b + 1, n);
    RT_TRY(rt_params_arrive(&m->params, (int)b + 1));
    RT_TRY(rt_block_forward(&m->block[b], &env, &acts, next.v[RT_ACT_X]));
    acts = next;
  }
  RT_TRY(rt_params_arrive(&m->params, (int)m->arch.n_blocks + 1));
  *hidden = rt_view_rows(m->hidden, 0, n);
  RT_RUN(m->dev, rmsnorm_fwd, .x = acts.v[RT_ACT_X], .w = m->norm->w,
         .y = *hidden, .rstd = rt_view_rows(m->rstd, 0, n),
         .eps = m->arch.norm_eps);
  return rt_tp_enter(m->grid, m->dev, *hidden, RT_PASS_FORWARD);
}

/** Report a complete bucket to the callback, if there is one. */
static rt_err report_bucket(rt_bucket_fn *done, void *self, int64_t bucket)
{
  rt_comm_progress();
  return done == NULL ? RT_OK : done(self, (int)bucket);
}

rt_err rt_model_backward(rt_model *m, const rt_tokens_in *in, rt_view d_hidden,
                         rt_bucket_fn *done, void *self)
{
  RT_CHECK(m->train, RT_ERR_INTERNAL,
           "backward of a model that was not created for training");
  RT_TRY(check_tokens(m, in));
  const int64_t n = in->n_rows * in->seq, n_blocks = m->arch.n_blocks;
  RT_CHECK(d_hidden.rows == n && d_hidden.cols == m->arch.width,
           RT_ERR_INTERNAL, "d_hidden is [%lld, %lld], expected [%lld, %lld]",
           (long long)d_hidden.rows, (long long)d_hidden.cols, (long long)n,
           (long long)m->arch.width);
  const rt_block_env env = env_of(m, in);
  const rt_acts last = acts_of(m, n_blocks, n);
  const rt_view dx = last.v[RT_ACT_DX];
  RT_TRY(rt_tp_enter(m->grid, m->dev, d_hidden, RT_PASS_BACKWARD));
  RT_RUN(m->dev, fill, .y = dx);
  RT_RUN(m->dev, rmsnorm_bwd, .x = last.v[RT_ACT_X], .w = m->norm->w,
         .rstd = rt_view_rows(m->rstd, 0, n), .dy = d_hidden, .dx = dx,
         .dw = m->norm->g);
  RT_TRY(report_bucket(done, self, n_blocks + 1));
  for (int64_t b = n_blocks - 1; b >= 0; b--) {
    const rt_acts acts = acts_of(m, b, n);
    // those of the last block are still there from forward
    if (m->keep == RT_KEEP_INPUTS && b < n_blocks - 1)
      RT_TRY(rt_block_recompute(&m->block[b], &env, &acts));
    RT_TRY(rt_block_backward(&m->block[b], &env, &acts));
    RT_TRY(report_bucket(done, self, b + 1));
  }
  RT_TRY(rt_tp_exit(m->grid, m->dev, dx, RT_PASS_BACKWARD));
  RT_RUN(m->dev, embed_bwd, .tok = in->tok, .dy = dx, .dw = m->embed->g,
         .v0 = m->grid->i_tp * m->embed->w.rows);
  return report_bucket(done, self, 0);
}
