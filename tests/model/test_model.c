/** \file test_model.c
 *  One rank's forward against plain loops, its backward against differences.
 *  ranks: 1 */
#include "model/rope.h"
#include "support/model_side.h"

/* A plain Llama in loops, for one row of T tokens. */

/** A weight of the reference: \a name of block \a b. */
static double *weight(const side *s, int b, const char *name)
{
  char full[128];
  snprintf(full, sizeof full, "model.layers.%d.%s", b, name);
  const rt_param *t = rt_params_find(rt_model_params(s->m), full);
  return t == NULL ? NULL : fetch(s, t->w);
}

/** y [n] = W x + b, in file terms \a name.weight and \a name.bias. */
static void ref_linear(const side *s, int b, const char *name, const double *x,
                       int64_t n_in, int64_t n_out, double *y)
{
  char text[64];
  snprintf(text, sizeof text, "%s.weight", name);
  double *w = weight(s, b, text);
  snprintf(text, sizeof text, "%s.bias", name);
  double *bias = weight(s, b, text);
  for (int t = 0; t < T; t++)
    for (int64_t i = 0; i < n_out; i++) {
      double sum = bias == NULL ? 0.0 : bias[i];
      for (int64_t j = 0; j < n_in; j++)
        sum += w[i * n_in + j] * x[t * n_in + j];
      y[t * n_out + i] = sum;
    }
  free(w);
  free(bias);
}

static void ref_norm(const rt_arch *a, const double *w, const double *x,
                     double *y)
{
  for (int t = 0; t < T; t++) {
    double sum = 0.0;
    for (int64_t j = 0; j < a->width; j++)
      sum += x[t * a->width + j] * x[t * a->width + j];
    const double rms = sqrt(sum / (double)a->width + a->norm_eps);
    for (int64_t j = 0; j < a->width; j++)
      y[t * a->width + j] = w[j] * x[t * a->width + j] / rms;
  }
}

static void ref_rope(const rt_arch *a, const int32_t *pos, int64_t heads,
                     double *x)
{
  const int64_t hd = a->head_dim, half = hd / 2;
  double angle[16];
  for (int t = 0; t < T; t++) {
    rt_rope_row(a, T, pos[t], angle);
    for (int64_t h = 0; h < heads; h++)
      for (int64_t i = 0; i < half; i++) {
        double *u = &x[(t * heads + h) * hd + i], *v = u + half;
        const double c = angle[i], sn = angle[half + i], u0 = *u;
        *u = u0 * c - *v * sn;
        *v = *v * c + u0 * sn;
      }
  }
}

/** o[t] of head h from keys doc[t] .. t of kv head h / (H / G). */
static void ref_attend(const rt_arch *a, const int32_t *doc, const double *q,
                       const double *k, const double *v, double *o)
{
  const int64_t hd = a->head_dim, H = a->n_heads, G = a->n_kv_heads;
  for (int t = 0; t < T; t++)
    for (int64_t h = 0; h < H; h++) {
      const int64_t g = h / (H / G);
      double p[T], total = 0.0;
      for (int j = doc[t]; j <= t; j++) {
        double dot = 0.0;
        for (int64_t i = 0; i < hd; i++)
          dot += q[(t * H + h) * hd + i] * k[(j * G + g) * hd + i];
        p[j] = exp(dot / sqrt((double)hd));
        total += p[j];
      }
      for (int64_t i = 0; i < hd; i++) {
        double sum = 0.0;
        for (int j = doc[t]; j <= t; j++)
          sum += p[j] / total * v[(j * G + g) * hd + i];
        o[(t * H + h) * hd + i] = sum;
      }
    }
}

enum { WIDE = 32 }; // at least any width below

static void ref_block(const side *s, int b, const int32_t *pos,
                      const int32_t *doc, double *x)
{
  const rt_arch *a = rt_model_arch(s->m);
  const int64_t D = a->width, F = a->ffn, Q = a->n_heads * a->head_dim,
                G = a->n_kv_heads * a->head_dim;
  double y[T * WIDE], q[T * WIDE], k[T * WIDE], v[T * WIDE], o[T * WIDE];
  double *w = weight(s, b, "input_layernorm.weight");
  ref_norm(a, w, x, y);
  free(w);
  ref_linear(s, b, "self_attn.q_proj", y, D, Q, q);
  ref_linear(s, b, "self_attn.k_proj", y, D, G, k);
  ref_linear(s, b, "self_attn.v_proj", y, D, G, v);
  ref_rope(a, pos, a->n_heads, q);
  ref_rope(a, pos, a->n_kv_heads, k);
  ref_attend(a, doc, q, k, v, o);
  ref_linear(s, b, "self_attn.o_proj", o, Q, D, y);
  for (int64_t i = 0; i < T * D; i++)
    x[i] += y[i];
  w = weight(s, b, "post_attention_layernorm.weight");
  ref_norm(a, w, x, y);
  free(w);
  ref_linear(s, b, "mlp.gate_proj", y, D, F, q);
  ref_linear(s, b, "mlp.up_proj", y, D, F, k);
  for (int64_t i = 0; i < T * F; i++)
    q[i] = q[i] / (1.0 + exp(-q[i])) * k[i];
  ref_linear(s, b, "mlp.down_proj", q, F, D, y);
  for (int64_t i = 0; i < T * D; i++)
    x[i] += y[i];
}

static void check_reference(rt_arch arch, bool docs)
{
  setup how = ALONE;
  how.docs = docs;
  side s;
  start(&s, &arch, how);
  rt_view hidden;
  RT_OKAY(rt_model_forward(s.m, &s.in, &hidden));
  double *ours = fetch(&s, hidden), x[T * WIDE], y[T * WIDE];
  int32_t tok[N], pos[N], doc[N];
  RT_OKAY(rt_dev_get(s.dev, tok, s.in.tok));
  RT_OKAY(rt_dev_get(s.dev, pos, s.in.pos));
  RT_OKAY(rt_dev_get(s.dev, doc, s.in.doc_start));
  const rt_params *p = rt_model_params(s.m);
  double *embed = fetch(&s, rt_params_find(p, "model.embed_tokens.weight")->w);
  double *last = fetch(&s, rt_params_find(p, "model.norm.weight")->w);
  const int64_t D = arch.width;
  for (int r = 0; r < N_ROWS; r++) {
    for (int64_t i = 0; i < T * D; i++)
      x[i] = embed[tok[r * T + i / D] * D + i % D];
    for (int b = 0; b < arch.n_blocks; b++)
      ref_block(&s, b, pos + r * T, doc + r * T, x);
    ref_norm(&arch, last, x, y);
    check_near("hidden", ours + r * T * D, y, T * D, 1e-10);
  }
  free(ours);
  free(embed);
  free(last);
  finish(&s);
}

static void test_reference(void)
{
  check_reference(plain(), false);
  check_reference(plain(), true);
  check_reference(one_kv_head(), false);
  check_reference(rich(), true);
}

/** Compare with the closed formula in double, where rounding allows it. */
static void test_rope(void)
{
  const rt_arch a = rich();
  const double f0[3] = {1.0, pow(100.0, -1.0 / 3.0), pow(100.0, -2.0 / 3.0)};
  // 32 / wave length = 1.1 lies between 1 and 4
  const double blend = (32.0 * f0[1] / (2.0 * M_PI) - 1.0) / 3.0;
  const double freq[3] = {f0[0], (1.0 - blend) * f0[1] / 8.0 + blend * f0[1],
                          f0[2] / 8.0};
  double row[6];
  for (int pos = 0; pos < 64; pos += 9) {
    rt_rope_row(&a, T, pos, row);
    for (int i = 0; i < 3; i++) {
      CU_ASSERT_DOUBLE_EQUAL(row[i], cos(pos * freq[i]), 1e-7 * (pos + 1));
      CU_ASSERT_DOUBLE_EQUAL(row[3 + i], sin(pos * freq[i]), 1e-7 * (pos + 1));
    }
  }
}

/** As transformers: linear divides, dynamic enlarges the base for rows beyond
 *  max_positions only. */
static void test_stretched_rope(void)
{
  rt_arch a = rich(), b = a;
  double row[6], want[6];
  a.rope_scaling = b.rope_scaling = (rt_rope_scaling){0};
  a.rope_scaling.factor = 4.0;
  for (int pos = 0; pos < 64; pos += 9) {
    a.rope_scaling.kind = RT_ROPE_LINEAR;
    rt_rope_row(&a, 64, 4 * pos, row);
    rt_rope_row(&b, 64, pos, want);
    for (int i = 0; i < 6; i++)
      CU_ASSERT_DOUBLE_EQUAL(row[i], want[i], 1e-6 * (pos + 1));
    a.rope_scaling.kind = RT_ROPE_DYNAMIC;
    b.rope_theta = a.rope_theta;
    rt_rope_row(&a, a.max_positions, pos, row);
    rt_rope_row(&b, a.max_positions, pos, want);
    for (int i = 0; i < 6; i++)
      CU_ASSERT_EQUAL(row[i], want[i]);
    // 3 x the length: the base grows by (4 x 3 - 3)^(6 / 4)
    b.rope_theta = a.rope_theta * pow(9.0, 1.5);
    rt_rope_row(&a, 3 * a.max_positions, pos, row);
    rt_rope_row(&b, 3 * a.max_positions, pos, want);
    for (int i = 0; i < 6; i++)
      CU_ASSERT_DOUBLE_EQUAL(row[i], want[i], 1e-6 * (pos + 1));
    b.rope_theta = a.rope_theta;
  }
  CU_ASSERT_EQUAL(rt_rope_max_seq(&a), 4 * a.max_positions);
  CU_ASSERT_EQUAL(rt_rope_max_seq(&b), b.max_positions);
}

/** sum(hidden * slope). */
static double loss_of(side *s)
{
  rt_view hidden;
  RT_OKAY(rt_model_forward(s->m, &s->in, &hidden));
  double *h = fetch(s, hidden), loss = 0.0;
  for (int64_t i = 0; i < (int64_t)rt_view_size(&hidden); i++)
    loss += h[i] * slope(i);
  free(h);
  return loss;
}

/** Central differences of every element of one tensor. */
static void check_tensor(side *s, const rt_param *t)
{
  const double step = 1e-5;
  const int64_t n = t->n_rows * t->n_cols;
  double *w = fetch(s, t->w), *g = fetch(s, t->g);
  double *diff = malloc((size_t)n * sizeof *diff);
  CU_ASSERT_FATAL(diff != NULL);
  for (int64_t i = 0; i < n; i++) {
    const rt_view one = rt_view_of((double *)t->w.data + i, RT_F64, 1,
                                   1); // the "cpu" device's memory
    const double up = w[i] + step, down = w[i] - step;
    RT_OKAY(rt_dev_put(s->dev, one, &up));
    const double above = loss_of(s);
    RT_OKAY(rt_dev_put(s->dev, one, &down));
    const double below = loss_of(s);
    RT_OKAY(rt_dev_put(s->dev, one, &w[i]));
    diff[i] = (above - below) / (up - down);
  }
  if (strcmp(t->name, "lm_head.weight") == 0) // the objective's to fill
    CU_ASSERT(norm_of(g, n) == 0.0 && norm_of(diff, n) == 0.0);
  if (strcmp(t->name, "lm_head.weight") != 0)
    check_near(t->name, g, diff, n, 1e-6);
  free(w);
  free(g);
  free(diff);
}

static void check_gradients(rt_arch arch, bool docs)
{
  setup how = ALONE;
  how.docs = docs;
  side s;
  start(&s, &arch, how);
  run(&s, NULL, NULL);
  const rt_params *p = rt_model_params(s.m);
  for (int i = 0; i < p->n; i++)
    check_tensor(&s, &p->item[i]);
  finish(&s);
}

static void test_gradients(void)
{
  check_gradients(plain(), false);
  check_gradients(one_kv_head(), true);
  check_gradients(rich(), true);
}

/** A micro-batch smaller than planned gives the same results for its rows. */
static void test_fewer_rows(void)
{
  const rt_arch arch = plain();
  side s;
  start(&s, &arch, ALONE);
  rt_view h;
  RT_OKAY(rt_model_forward(s.m, &s.in, &h));
  double *both = fetch(&s, h);
  rt_tokens_in first = s.in;
  first.n_rows = 1;
  first.tok.rows = first.pos.rows = first.doc_start.rows = T;
  RT_OKAY(rt_model_forward(s.m, &first, &h));
  CU_ASSERT_EQUAL(h.rows, T);
  double *one = fetch(&s, h);
  check_near("hidden", one, both, T * arch.width, 1e-14);
  free(both);
  free(one);
  first.n_rows = 3;
  RT_FAILS(rt_model_forward(s.m, &first, &h), RT_ERR_INTERNAL, "created for");
  first.n_rows = 2;
  RT_FAILS(rt_model_forward(s.m, &first, &h), RT_ERR_INTERNAL, "expected 14");
  finish(&s);
}

/** Weights that come bucket by bucket. */
typedef struct late {
  side *s;
  double *tile[64];    // owned: of each tensor
  int n_come;          // buckets so far
  int64_t launched_at; // before the last one came
} late;

/** The next bucket comes; between two of them there was work to do. */
static rt_err come(void *self, int bucket)
{
  late *l = self;
  const rt_params *p = rt_model_params(l->s->m);
  const int64_t at = rt_dev_launches(l->s->dev);
  CU_ASSERT_EQUAL(bucket, l->n_come);
  CU_ASSERT(at > l->launched_at);
  for (int i = 0; i < p->n; i++)
    if (p->item[i].bucket == bucket)
      store(l->s, p->item[i].w, l->tile[i]);
  l->launched_at = rt_dev_launches(l->s->dev);
  l->n_come++;
  return RT_OK;
}

/** The forward reads no weight before its bucket has come, and computes all
 *  blocks before it meanwhile. */
static void test_late_weights(void)
{
  const rt_arch archs[] = {plain(), rich()};
  for (int k = 0; k < 2; k++) {
    side s;
    late l = {.s = &s, .launched_at = -1};
    rt_view h;
    start(&s, &archs[k], ALONE);
    rt_params *p = rt_model_params(s.m);
    CU_ASSERT_FATAL(p->n <= 64);
    RT_OKAY(rt_model_forward(s.m, &s.in, &h));
    double *want = fetch(&s, h);
    for (int i = 0; i < p->n; i++) {
      l.tile[i] = fetch(&s, p->item[i].w);
      RT_RUN(s.dev, fill, .y = p->item[i].w, .value = NAN);
    }
    p->arrive = come;
    p->arrive_self = &l;
    RT_OKAY(rt_model_forward(s.m, &s.in, &h));
    CU_ASSERT_EQUAL(l.n_come, p->n_buckets);
    double *got = fetch(&s, h);
    CU_ASSERT_EQUAL(memcmp(got, want, rt_view_bytes(&h)), 0);
    p->arrive = NULL;
    for (int i = 0; i < p->n; i++)
      free(l.tile[i]);
    free(want);
    free(got);
    finish(&s);
  }
}

static void test_refused(void)
{
  side s;
  rt_arch arch = plain();
  start(&s, &arch, ALONE);
  rt_model *m;
  rt_model_spec spec = {.arch = &arch,
                        .grid = &s.grid,
                        .dev = s.dev,
                        .types = rt_types_of(RT_F64),
                        .max_rows = 1,
                        .seq = 65,
                        .train = true};
  RT_FAILS(rt_model_create("student", &spec, &m), RT_ERR_CONFIG,
           "student: rows of 65 tokens, but the model has 64");
  spec.seq = 0;
  RT_FAILS(rt_model_create("student", &spec, &m), RT_ERR_CONFIG, "at least");
  spec.seq = T;
  arch.n_heads = 3;
  RT_FAILS(rt_model_create("student", &spec, &m), RT_ERR_CONFIG,
           "num_key_value_heads");
  finish(&s);
}

RT_TEST_MAIN("model", {"rotary angles follow the formula", test_rope},
             {"stretched angles", test_stretched_rope},
             {"forward agrees with plain loops", test_reference},
             {"gradients agree with differences", test_gradients},
             {"fewer rows than planned", test_fewer_rows},
             {"weights that come late", test_late_weights},
             {"bad plans are refused", test_refused})
