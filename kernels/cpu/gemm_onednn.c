/** \file gemm_onednn.c
 *  Products of bf16 by oneDNN, 2.x or 3.x.  A primitive belongs to one shape;
 *  its creation compiles code and takes milliseconds, so all are kept. */
#include "kernels/cpu/gemm.h"

#include <dnnl.h>
#include <stdio.h>
#include <stdlib.h>

#define TEXT_OF(x) #x
#define TEXT(x) TEXT_OF(x)
#define VERSION                                                                \
  TEXT(DNNL_VERSION_MAJOR)                                                     \
  "." TEXT(DNNL_VERSION_MINOR) "." TEXT(DNNL_VERSION_PATCH)

/** Everything that a primitive depends on. */
typedef struct shape {
  int64_t m, n, k, lda, ldb, ldc;
  bool trans_a, trans_b;
  rt_dtype c_type;
  int n_threads;
  double alpha, beta;
} shape;

typedef struct product {
  shape of;
  dnnl_primitive_t primitive; // owned, like the operands below
  dnnl_memory_t a, b, c;      // their data are set at each call
} product;

/** More than a run has; beyond it all are made anew. */
enum { MAX_PRODUCTS = 1024 };

typedef struct kept {
  dnnl_engine_t engine;
  dnnl_stream_t stream;
  product *products; // owned [room]; the first n are used
  int n, room;
} kept;

static void destroy_product(product *p)
{
  dnnl_primitive_destroy(p->primitive);
  dnnl_memory_destroy(p->a);
  dnnl_memory_destroy(p->b);
  dnnl_memory_destroy(p->c);
}

void k_onednn_close(void *at)
{
  kept *const k = at;
  if (k == NULL)
    return;
  for (int i = 0; i < k->n; i++)
    destroy_product(&k->products[i]);
  free(k->products);
  dnnl_stream_destroy(k->stream);
  dnnl_engine_destroy(k->engine);
  free(k);
}

static bool has_isa(dnnl_cpu_isa_t isa)
{
  return (dnnl_get_effective_cpu_isa() & isa) == isa;
}

/** Is VDPBF16PS faster than FMA in f32?  Without AMX, Intel's cores execute one
 *  of the former for two of the latter, and it counts as two: measured 80
 *  against 96 GFLOP/s a core of Sapphire Rapids.  AMD's gain a factor of two. A
 *  measurement at the start could differ from run to run, and the bits of a
 *  restart with it. */
static bool gains_without_amx(void)
{
#ifdef __x86_64__
  __builtin_cpu_init();
  return !__builtin_cpu_is("intel");
#else
  return true;
#endif
}

/** Ways to multiply bf16, and what the banner says of them. */
typedef enum way { FOR_LACK, FOR_SPEED, BY_AVX512 } way;
static const char *const names[] = {
    [FOR_LACK] = "bf16 by CBLAS in f32 (this processor has no bf16)",
    [FOR_SPEED] = "bf16 by CBLAS in f32 (faster than this processor's "
                  "avx512_bf16)",
    [BY_AVX512] = "bf16 by oneDNN " VERSION " (avx512_bf16)"};

static way choose_way(void)
{
  if (!has_isa(dnnl_cpu_isa_avx512_core_bf16))
    return FOR_LACK;
  return gains_without_amx() ? BY_AVX512 : FOR_SPEED;
}

rt_err k_onednn_open(void **out)
{
  *out = NULL;
  if (choose_way() < BY_AVX512)
    return RT_OK;
  *out = calloc(1, sizeof(kept));
  RT_CHECK(*out != NULL, RT_ERR_MEM, "products of bf16");
  return RT_OK;
}

const char *k_onednn_library(void)
{
  return names[choose_way()];
}

/** Measured: 5.4 MiB on one thread (its own code, and that compiled for each
 *  shape), 17.8 on four (panels and stacks). */
size_t k_onednn_bytes(int n_threads)
{
  const size_t fixed = 4608 << 10, each = 4608 << 10;
  return fixed + each * (size_t)n_threads;
}

/** Made by the first product, as most runs have none. */
static bool start_engine(kept *k)
{
  return k->stream != NULL ||
         (dnnl_engine_create(&k->engine, dnnl_cpu, 0) == dnnl_success &&
          dnnl_stream_create(&k->stream, k->engine,
                             dnnl_stream_default_flags) == dnnl_success);
}

typedef dnnl_memory_desc_t desc; // a struct in 2.x, a pointer in 3.x

#if DNNL_VERSION_MAJOR < 3

static dnnl_status_t describe(desc *d, const dnnl_dims_t dims,
                              dnnl_data_type_t type, const dnnl_dims_t strides)
{
  return dnnl_memory_desc_init_by_strides(d, 2, dims, type, strides);
}

static void forget(desc *d)
{
  (void)d;
}

static dnnl_status_t make_memory(dnnl_memory_t *out, const desc *d,
                                 dnnl_engine_t engine)
{
  return dnnl_memory_create(out, d, engine, DNNL_MEMORY_NONE);
}

static dnnl_status_t append(dnnl_post_ops_t ops, double alpha, double beta)
{
  dnnl_status_t bad = dnnl_success;
  if (alpha != 1.0)
    bad = dnnl_post_ops_append_eltwise(ops, 1.0F, dnnl_eltwise_linear,
                                       (float)alpha, 0.0F);
  if (bad == dnnl_success && beta != 0.0)
    bad = dnnl_post_ops_append_sum(ops, (float)beta);
  return bad;
}

static dnnl_status_t choose(dnnl_primitive_desc_t *out, dnnl_engine_t engine,
                            const desc d[3], dnnl_primitive_attr_t attr)
{
  dnnl_matmul_desc_t op;
  const dnnl_status_t bad =
      dnnl_matmul_desc_init(&op, &d[0], &d[1], NULL, &d[2]);
  return bad != dnnl_success
             ? bad
             : dnnl_primitive_desc_create(out, &op, attr, engine, NULL);
}
#else
static dnnl_status_t describe(desc *d, const dnnl_dims_t dims,
                              dnnl_data_type_t type, const dnnl_dims_t strides)
{
  return dnnl_memory_desc_create_with_strides(d, 2, dims, type, strides);
}

static void forget(desc *d)
{
  if (*d != NULL)
    dnnl_memory_desc_destroy(*d);
}

static dnnl_status_t make_memory(dnnl_memory_t *out, const desc *d,
                                 dnnl_engine_t engine)
{
  return dnnl_memory_create(out, *d, engine, DNNL_MEMORY_NONE);
}

static dnnl_status_t append(dnnl_post_ops_t ops, double alpha, double beta)
{
  dnnl_status_t bad = dnnl_success;
  if (alpha != 1.0)
    bad = dnnl_post_ops_append_eltwise(ops, dnnl_eltwise_linear, (float)alpha,
                                       0.0F);
  if (bad == dnnl_success && beta != 0.0)
    bad = dnnl_post_ops_append_sum(ops, (float)beta, 0, dnnl_data_type_undef);
  return bad;
}

static dnnl_status_t choose(dnnl_primitive_desc_t *out, dnnl_engine_t engine,
                            const desc d[3], dnnl_primitive_attr_t attr)
{
  return dnnl_matmul_primitive_desc_create(out, engine, d[0], d[1], NULL, d[2],
                                           attr);
}
#endif

/** Describe op(x), [rows, cols], of a view with a leading dimension. */
static dnnl_status_t describe_operand(desc *d, int64_t rows, int64_t cols,
                                      int64_t ld, bool trans, bool is_bf16)
{
  const dnnl_dims_t dims = {rows, cols};
  const dnnl_dims_t strides = {trans ? 1 : ld, trans ? ld : 1};
  return describe(d, dims, is_bf16 ? dnnl_bf16 : dnnl_f32, strides);
}

static dnnl_status_t make_operands(const kept *k, product *p, desc d[3])
{
  const shape *const s = &p->of;
  dnnl_status_t bad =
      describe_operand(&d[0], s->m, s->k, s->lda, s->trans_a, true);
  if (bad == dnnl_success)
    bad = describe_operand(&d[1], s->k, s->n, s->ldb, s->trans_b, true);
  if (bad == dnnl_success)
    bad = describe_operand(&d[2], s->m, s->n, s->ldc, false,
                           s->c_type == RT_BF16);
  if (bad == dnnl_success)
    bad = make_memory(&p->a, &d[0], k->engine);
  if (bad == dnnl_success)
    bad = make_memory(&p->b, &d[1], k->engine);
  if (bad == dnnl_success)
    bad = make_memory(&p->c, &d[2], k->engine);
  return bad;
}

/** alpha and beta are operations after the product. */
static dnnl_status_t make_primitive(const kept *k, product *p, const desc d[3])
{
  dnnl_post_ops_t ops = NULL;
  dnnl_primitive_attr_t attr = NULL;
  dnnl_primitive_desc_t chosen = NULL;
  dnnl_status_t bad = dnnl_primitive_attr_create(&attr);
  if (bad == dnnl_success)
    bad = dnnl_post_ops_create(&ops);
  if (bad == dnnl_success)
    bad = append(ops, p->of.alpha, p->of.beta);
  if (bad == dnnl_success)
    bad = dnnl_primitive_attr_set_post_ops(attr, ops);
  if (bad == dnnl_success)
    bad = choose(&chosen, k->engine, d, attr);
  if (bad == dnnl_success)
    bad = dnnl_primitive_create(&p->primitive, chosen);
  if (chosen != NULL)
    dnnl_primitive_desc_destroy(chosen);
  if (ops != NULL)
    dnnl_post_ops_destroy(ops);
  if (attr != NULL)
    dnnl_primitive_attr_destroy(attr);
  return bad;
}

static dnnl_status_t make_product(const kept *k, product *p)
{
  desc d[3] = {0};
  dnnl_status_t bad = make_operands(k, p, d);
  if (bad == dnnl_success)
    bad = make_primitive(k, p, d);
  for (int i = 0; i < 3; i++)
    forget(&d[i]);
  return bad;
}

/** Room for one more product. */
static bool grow(kept *k)
{
  if (k->n == MAX_PRODUCTS) {
    for (int i = 0; i < k->n; i++)
      destroy_product(&k->products[i]);
    k->n = 0;
  }
  if (k->n < k->room)
    return true;
  const int room = k->room == 0 ? 32 : 2 * k->room;
  product *const more = realloc(k->products, (size_t)room * sizeof *more);
  if (more == NULL)
    return false;
  k->products = more;
  k->room = room;
  return true;
}

static bool same(const shape *a, const shape *b)
{
  return a->m == b->m && a->n == b->n && a->k == b->k && a->lda == b->lda &&
         a->ldb == b->ldb && a->ldc == b->ldc && a->trans_a == b->trans_a &&
         a->trans_b == b->trans_b && a->c_type == b->c_type &&
         a->n_threads == b->n_threads && a->alpha == b->alpha &&
         a->beta == b->beta;
}

/** The product of this shape; NULL if it cannot be made. */
static product *find(kept *k, const shape *s)
{
  for (int i = 0; i < k->n; i++)
    if (same(&k->products[i].of, s))
      return &k->products[i];
  if (!start_engine(k) || !grow(k))
    return NULL;
  product *const p = &k->products[k->n];
  *p = (product){.of = *s};
  if (make_product(k, p) != dnnl_success) {
    destroy_product(p);
    return NULL;
  }
  k->n++;
  return p;
}

static dnnl_status_t execute(const kept *k, product *p, const k_gemm_args *g)
{
  const dnnl_exec_arg_t operands[3] = {
      {DNNL_ARG_SRC, p->a}, {DNNL_ARG_WEIGHTS, p->b}, {DNNL_ARG_DST, p->c}};
  dnnl_status_t bad = dnnl_memory_set_data_handle(p->a, g->a.data);
  if (bad == dnnl_success)
    bad = dnnl_memory_set_data_handle(p->b, g->b.data);
  if (bad == dnnl_success)
    bad = dnnl_memory_set_data_handle(p->c, g->c.data);
  if (bad == dnnl_success)
    bad = dnnl_primitive_execute(p->primitive, k->stream, 3, operands);
  return bad == dnnl_success ? dnnl_stream_wait(k->stream) : bad;
}

void k_gemm_onednn(k_ctx *ctx, const k_gemm_args *g)
{
  kept *const k = ctx->backend;
  const shape s = {.m = g->c.rows,
                   .n = g->c.cols,
                   .k = g->trans_a ? g->a.rows : g->a.cols,
                   .lda = g->a.ld,
                   .ldb = g->b.ld,
                   .ldc = g->c.ld,
                   .trans_a = g->trans_a,
                   .trans_b = g->trans_b,
                   .c_type = g->c.dtype,
                   .n_threads = ctx->n_threads,
                   .alpha = g->alpha,
                   .beta = g->beta};
  product *const p = find(k, &s);
  if (p == NULL || execute(k, p, g) != dnnl_success)
    ctx->err =
        RT_FAIL(RT_ERR_INTERNAL,
                "gemm: oneDNN cannot multiply [%lld, %lld] by [%lld, "
                "%lld] in bf16",
                (long long)s.m, (long long)s.k, (long long)s.k, (long long)s.n);
}
