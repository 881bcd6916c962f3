/** \file test_objective.c
 *  The fused loss against a plain double reference, on every tp.
 *  ranks: 1 2 4 */
#include "base/rng.h"
#include "base/split.h"
#include "distill/loss/objective.h"
#include "support/rt_test.h"

#include <math.h>
#include <string.h>

enum { ROWS = 2, SEQ = 7, N = ROWS * SEQ, V = 37, D = 6, K = 5 };
static const double alpha = 0.7, tau = 2.0;

/** Random data and the reference results, the same on every rank. */
typedef struct problem {
  double h[N][D], w[V][D];
  int32_t tok[N], label[N];
  uint32_t count[N], ids[N * K];
  float logp[N * K], label_logp[N];
  double lm, kd, dh[N][D], dw[V][D];
} problem;

static double normal(uint64_t row, uint64_t i)
{
  return rt_rng_normal(7, RT_RNG_TEST, row, i);
}

static void fill_entries(problem *p, int n, int at)
{
  double mass = 0.9; // decreasing log-probs whose mass stays below 1
  for (uint32_t i = 0; i < p->count[n]; i++) {
    const uint64_t place = (uint64_t)n * K + i;
    p->ids[at + (int)i] = (uint32_t)((n * 5 + (int)i * 8) % V);
    mass *= 0.3 + 0.3 * rt_rng_uniform(7, RT_RNG_TEST, 5, place);
    p->logp[at + (int)i] = (float)log(mass);
  }
}

/** Let x[0..n) be numbers that a type can store. */
static void round_to(rt_dtype type, double *x, size_t n)
{
  double stored[V * D];
  rt_dtype_convert(stored, type, x, RT_F64, n);
  rt_dtype_convert(x, RT_F64, stored, type, n);
}

static void make_problem(problem *p, rt_dtype type)
{
  memset(p, 0, sizeof *p);
  for (int n = 0; n < N; n++)
    for (int d = 0; d < D; d++)
      p->h[n][d] = normal(1, (uint64_t)(n * D + d));
  for (int v = 0; v < V; v++)
    for (int d = 0; d < D; d++)
      p->w[v][d] = normal(2, (uint64_t)(v * D + d));
  if (type == RT_BF16) { // the loss of these weights, not of those before
    round_to(type, &p->h[0][0], N * D);
    round_to(type, &p->w[0][0], V * D);
  }
  int at = 0;
  for (int n = 0; n < N; n++) {
    p->label[n] = (n * 11 + 3) % V;
    p->count[n] = (uint32_t)(n % (K + 1)); // one in six has no entries
    fill_entries(p, n, at);
    p->label_logp[n] = -1.0f;
    at += (int)p->count[n];
  }
}

/** Loss and gradients of one token, directly from the formulas. */
static void reference_token(problem *p, int n, int at)
{
  double z[V], q[V], t[K], sum = 0.0, t_sum = 0.0;
  for (int v = 0; v < V; v++) {
    z[v] = 0.0;
    for (int d = 0; d < D; d++)
      z[v] += p->h[n][d] * p->w[v][d];
    sum += exp(z[v]);
  }
  const int count = (int)p->count[n];
  for (int i = 0; i < count; i++)
    t_sum += t[i] = exp((double)p->logp[at + i] / tau);
  for (int v = 0; v < V; v++)
    q[v] = exp(z[v]) / sum;
  const double c_kd = count > 0 ? alpha / N : 0.0, c_lm = (1 - alpha) / N;
  double dz[V];
  for (int v = 0; v < V; v++)
    dz[v] = (c_kd + c_lm) * q[v];
  dz[p->label[n]] -= c_lm;
  p->lm += -log(q[p->label[n]]) / N;
  for (int i = 0; i < count; i++) {
    t[i] /= t_sum;
    dz[p->ids[at + i]] -= c_kd * t[i];
    p->kd += t[i] * (log(t[i]) - log(q[p->ids[at + i]])) / N;
  }
  for (int v = 0; v < V; v++)
    for (int d = 0; d < D; d++) {
      p->dh[n][d] += dz[v] * p->w[v][d];
      p->dw[v][d] += dz[v] * p->h[n][d];
    }
}

static void reference(problem *p)
{
  for (int n = 0, at = 0; n < N; at += (int)p->count[n], n++)
    reference_token(p, n, at);
}

static rt_batch batch_of(problem *p, rt_logits_row rows[ROWS], float *weight)
{
  int at = 0;
  for (int r = 0; r < ROWS; r++) {
    rows[r] = (rt_logits_row){.count = p->count + r * SEQ,
                              .ids = p->ids + at,
                              .logp = p->logp + at,
                              .label_logp = p->label_logp + r * SEQ};
    for (int t = 0; t < SEQ; t++)
      at += (int)p->count[r * SEQ + t];
  }
  for (int n = 0; n < N; n++)
    weight[n] = 1.0f;
  return (rt_batch){.n_rows = ROWS,
                    .seq = SEQ,
                    .tok = p->tok,
                    .label = p->label,
                    .weight = weight,
                    .logits = rows};
}

/** Difference relative to the reference: of the largest values, but in bf16,
 *  where each number is rounded on its own, of the Frobenius norms. */
static double error_of(const void *got, rt_dtype type, bool norms,
                       const double *want, size_t n)
{
  double x[V * D], worst = 0.0, scale = 0.0, sum = 0.0, sum_want = 0.0;
  rt_dtype_convert(x, RT_F64, got, type, n);
  for (size_t i = 0; i < n; i++) {
    const double error = fabs(x[i] - want[i]);
    worst = fmax(worst, error);
    scale = fmax(scale, fabs(want[i]));
    sum += error * error;
    sum_want += want[i] * want[i];
  }
  return norms ? sqrt(sum / sum_want) : worst / scale;
}

/** Hidden states [N, D], this rank's rows [local, D] of the output matrix, and
 *  their gradients. */
typedef struct operands {
  rt_arena *arena; // owned
  rt_view h, w, g, dh;
  int64_t v0, true_rows; // of the output matrix on this rank
} operands;

static operands make_operands(rt_dev *dev, rt_dtype real, const problem *p,
                              int64_t v0, int64_t local)
{
  double host_h[N * D], host_w[V * D] = {0};
  operands x = {.v0 = v0, .true_rows = v0 + local <= V ? local : V - v0};
  RT_OKAY(rt_arena_create("test", &x.arena));
  RT_OKAY(rt_arena_reserve(x.arena, "h", real, N, D, &x.h));
  RT_OKAY(rt_arena_reserve(x.arena, "w", real, local, D, &x.w));
  RT_OKAY(
      rt_arena_reserve(x.arena, "g", rt_types_of(real).grad, local, D, &x.g));
  RT_OKAY(rt_arena_reserve(x.arena, "dh", real, N, D, &x.dh));
  RT_OKAY(rt_arena_commit(x.arena, rt_dev_memory(dev)));
  rt_dtype_convert(host_h, real, p->h, RT_F64, N * D);
  rt_dtype_convert(host_w, real, p->w[v0], RT_F64, (size_t)(x.true_rows * D));
  RT_OKAY(rt_dev_put(dev, x.h, host_h));
  RT_OKAY(rt_dev_put(dev, x.w, host_w));
  RT_RUN(dev, fill, .y = x.g, .value = 0.0);
  return x;
}

/** Gradients and losses are those of the reference. */
static void check(rt_dev *dev, const problem *p, const operands *x,
                  const k_loss *loss, double bar)
{
  const bool low = x->h.dtype == RT_BF16;
  const size_t n_w = (size_t)(x->true_rows * D);
  double got[V * D];
  RT_OKAY(rt_dev_get(dev, got, x->dh));
  CU_ASSERT(error_of(got, x->dh.dtype, low, &p->dh[0][0], N * D) < bar);
  RT_OKAY(rt_dev_get(dev, got, x->g));
  CU_ASSERT(error_of(got, x->g.dtype, low, p->dw[x->v0], n_w) < bar);
  CU_ASSERT_DOUBLE_EQUAL(loss->lm, p->lm, bar * p->lm);
  CU_ASSERT_DOUBLE_EQUAL(loss->kd, p->kd, bar * p->kd);
}

/** The objective once; it waits for nothing. */
static k_loss run_once(rt_objective *o, rt_teacher *teacher,
                       const rt_objective_in *in, rt_dev *dev)
{
  k_loss loss = {0};
  const int64_t waits = rt_dev_host_waits(dev);
  rt_objective_clear(o);
  RT_OKAY(rt_objective_run(o, teacher, in));
  CU_ASSERT_EQUAL(rt_dev_host_waits(dev), waits);
  RT_OKAY(rt_objective_loss(o, &loss));
  return loss;
}

/** All checks on one type of device; chunk: bytes for the tile. */
static void run(const char *kind, rt_dtype real, double chunk, double bar)
{
  static problem p;
  make_problem(&p, real);
  reference(&p);
  rt_comm *world = NULL;
  rt_grid grid;
  const rt_types types = rt_types_of(real);
  rt_dev *dev = NULL;
  rt_phases phases = {0};
  rt_teacher *teacher = NULL;
  RT_OKAY(rt_comm_create(MPI_COMM_WORLD, &world));
  RT_OKAY(rt_grid_init(&grid, world, rt_comm_size(world), "test"));
  RT_OKAY(rt_dev_create(kind, 1, &dev));
  rt_phases_start(&phases, RT_PHASE_LOSS);
  const rt_teacher_spec entries = {
      .source = RT_TEACHER_DATASET,
      .model = {.dev = dev, .micro_rows = ROWS, .seq = SEQ},
      .phases = &phases,
      .rule = {.top_p = 1.0, .top_k = K},
      .target_type = types.stat,
      .tau = tau};
  RT_OKAY(rt_teacher_create(&entries, &teacher));
  RT_OKAY(rt_teacher_commit(teacher));

  const int64_t local = rt_round_up(V, grid.tp) / grid.tp;
  const int64_t v0 = local * grid.i_tp;
  operands x = make_operands(dev, real, &p, v0, local);

  rt_objective *o = NULL;
  const rt_objective_spec spec = {.dev = dev,
                                  .grid = &grid,
                                  .types = types,
                                  .chunk_bytes = chunk,
                                  .max_tokens = N,
                                  .vocab_local = local,
                                  .kld = true,
                                  .tau = tau};
  RT_OKAY(rt_objective_create(&spec, &o));
  RT_OKAY(rt_objective_commit(o));
  rt_logits_row rows[ROWS];
  float weight[N];
  const rt_batch b = batch_of(&p, rows, weight);
  const rt_head head = {.w = x.w, .g = x.g, .v0 = v0, .vocab = V};
  for (int r = 0; r < ROWS; r++)
    RT_OKAY(rt_teacher_on_row(teacher, &b, r));
  // the step itself reads no stored entry
  for (int i = 0; i < N * K; i++)
    p.logp[i] = NAN;
  RT_OKAY(rt_teacher_begin(teacher, &b));
  const rt_objective_in in = {&head, x.h, x.dh, &b, alpha, N};
  const k_loss loss = run_once(o, teacher, &in, dev);
  RT_OKAY(rt_comm_allreduce(grid.comm_tp, dev, x.dh, RT_SUM));
  check(dev, &p, &x, &loss, bar);

  rt_objective_destroy(&o);
  rt_teacher_destroy(&teacher);
  rt_arena_destroy(&x.arena);
  rt_dev_destroy(&dev);
  rt_grid_clear(&grid);
  rt_comm_destroy(&world);
}

static void test_f64(void)
{
  run("cpu", RT_F64, 1e9, 1e-12);
}

static void test_chunks(void)
{
  run("cpu", RT_F64, 3.0 * V * sizeof(double), 1e-12);
}

static void test_f32(void)
{
  run("cpu", RT_F32, 4.0 * V * sizeof(float), 1e-5);
}

/** Logits in f32, their gradients in bf16: within 0.5 %, sums over tp
 *  included. */
static void test_bf16(void)
{
  run("cpu", RT_BF16, 4.0 * V * sizeof(float), 0.005);
}

static void test_lazy(void)
{
  run("check", RT_BF16, 5.0 * V * sizeof(float), 0.005);
  run("check", RT_F64, 5.0 * V * sizeof(double), 1e-12);
}

RT_TEST_MAIN("objective", {"f64 equals the formulas", test_f64},
             {"chunks of three tokens give the same", test_chunks},
             {"f32 within 1e-5", test_f32}, {"bf16 within 0.5 %", test_bf16},
             {"the lazy device finds no missing wait", test_lazy})
