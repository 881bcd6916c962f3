/** \file peak.c
 *  Measures the peak as the fastest of several square matrix products, on all
 *  ranks at the same time, so that ranks that share caches, memory and clock
 *  slow each other down as in a step. */
#include "distill/train/peak.h"

#include "base/clock.h"
#include "base/log.h"
#include "io/common/user_cache.h"
#include "par/hosts.h"
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

enum { KEY = 1024 };
static const double enough_s = 0.25;

/** The "model name" of /proc/cpuinfo, or what uname says. */
static void cpu_name(char *text, size_t n)
{
  char line[256];
  struct utsname u;
  FILE *f = fopen("/proc/cpuinfo", "r");
  text[0] = '\0';
  while (f != NULL && text[0] == '\0' && fgets(line, sizeof line, f) != NULL)
    if (strncmp(line, "model name", 10) == 0 && strchr(line, ':') != NULL)
      snprintf(text, n, "%.*s", (int)strcspn(strchr(line, ':') + 1, "\n"),
               strchr(line, ':') + 1);
  if (f != NULL)
    fclose(f);
  if (text[0] == '\0' && uname(&u) == 0)
    snprintf(text, n, " %s", u.machine);
}

/** Everything that the result depends on, in one line. */
static void key_of(const rt_peak_spec *x, const rt_hosts *hosts, char key[KEY])
{
  char cpu[256];
  cpu_name(cpu, sizeof cpu);
  snprintf(key, KEY,
           "GFLOP/s of a rank, GEMM in %s on %s:%s; %d ranks, %d a host, %d "
           "threads each; %s; %s; %s",
           rt_dtype_name(x->type), rt_dev_name(x->dev), cpu,
           rt_comm_size(x->world), hosts->n_ranks, x->threads, rt_dev_library(),
           rt_dev_library_f32(), rt_dev_library_bf16());
}

/** Size of the matrices: large enough to come near the peak, and small, as the
 *  memory is freed before the job's own is allocated. */
static int64_t side_of(int threads)
{
  return threads < 4 ? 512 : threads < 32 ? 1024 : 2048;
}

typedef struct square {
  rt_arena *arena; // owned: memory of the three views below
  rt_view a, b, c; // [side, side]
} square;

static rt_err make_square(const rt_peak_spec *x, int64_t side, square *s)
{
  const rt_dtype type = x->type;
  RT_TRY(rt_arena_create("peak", &s->arena));
  RT_TRY(rt_arena_reserve(s->arena, "a", type, side, side, &s->a));
  RT_TRY(rt_arena_reserve(s->arena, "b", type, side, side, &s->b));
  RT_TRY(rt_arena_reserve(s->arena, "c", type, side, side, &s->c));
  RT_TRY(rt_arena_commit(s->arena, rt_dev_memory(x->dev)));
  RT_PLAN(x->dev, gemm, .a = s->a, .b = s->b, .c = s->c);
  RT_RUN(x->dev, fill, .y = s->a, .value = 1.0);
  RT_RUN(x->dev, fill, .y = s->b, .value = 1.0);
  RT_RUN(x->dev, fill, .y = s->c, .value = 0.0);
  return rt_dev_sync(x->dev);
}

/** Seconds of the fastest product.  The first one, which starts threads and
 *  fills the library's buffers, does not count. */
static rt_err time_products(const rt_peak_spec *x, const square *s,
                            double *best_s)
{
  const double began = rt_now_s();
  *best_s = 0.0;
  for (int i = -1; i < 1 || rt_now_s() - began < enough_s; i++) {
    const double since = rt_now_s();
    RT_RUN(x->dev, gemm, .a = s->a, .b = s->b, .c = s->c, .trans_b = true,
           .alpha = 1.0);
    RT_TRY(rt_dev_sync(x->dev));
    const double one_s = rt_now_s() - since;
    if (i >= 0)
      *best_s = *best_s > 0.0 ? fmin(*best_s, one_s) : one_s;
  }
  return RT_OK;
}

/** The mean over ranks; 0 if a rank lacks memory for it, which must not end a
 *  run.  Collective. */
static rt_err measure(const rt_peak_spec *x, double *out_gflops)
{
  square s = {0};
  const int64_t side = side_of(x->threads);
  double best_s = 0.0;
  // no rank starts before all have allocated their memory
  rt_err err = rt_agree(x->world, make_square(x, side, &s));
  if (err == RT_OK)
    err = rt_agree(x->world, time_products(x, &s, &best_s));
  rt_arena_destroy(&s.arena);
  *out_gflops = 0.0;
  if (err == RT_ERR_MEM)
    return RT_OK;
  RT_TRY(err);
  *out_gflops = best_s > 0.0
                    ? 2e-9 * (double)side * (double)side * (double)side / best_s
                    : 0.0;
  RT_TRY(rt_comm_allreduce_host(x->world, out_gflops, 1, RT_F64, RT_SUM));
  *out_gflops /= rt_comm_size(x->world);
  return RT_OK;
}

/** The cached number, the same on all ranks; 0: none.  \a path: its file, for
 *  the user. */
static rt_err look_up(const rt_peak_spec *x, const char *key,
                      char path[RT_PATH_MAX], double *gflops)
{
  path[0] = '\0';
  *gflops = 0.0;
  if (rt_comm_rank(x->world) == 0 &&
      !(rt_user_cache_get(key, path, gflops) && *gflops > 0.0))
    *gflops = 0.0;
  return rt_comm_bcast(x->world, gflops, sizeof *gflops, 0);
}

static void say(double gflops, const char *how, const char *path)
{
  rt_info("peak       %.4g GFLOP/s per rank by GEMM, %s%s%s%s", gflops, how,
          path[0] != '\0' ? ", cached in " : "", path,
          path[0] != '\0' ? " (delete to measure again)" : "");
}

/** Measure, and cache the number if it is larger than \a known. */
static rt_err measure_anew(const rt_peak_spec *x, const char *key, double known,
                           double *gflops, bool *cached)
{
  RT_TRY(measure(x, gflops));
  *gflops = fmax(*gflops, known);
  *cached = *gflops > 0.0 && rt_comm_rank(x->world) == 0 &&
            rt_user_cache_put(key, *gflops);
  return RT_OK;
}

rt_err rt_peak_find(const rt_peak_spec *spec, rt_peak *peak)
{
  char key[KEY], path[RT_PATH_MAX];
  rt_hosts hosts;
  bool cached = true;
  *peak = (rt_peak){.gflops = spec->given_gflops};
  peak->given = peak->gflops > 0.0;
  if (peak->given) {
    rt_info("peak       %.1f GFLOP/s per rank (run.peak_gflops)", peak->gflops);
    return RT_OK;
  }
  RT_TRY(rt_hosts_find(spec->world, &hosts));
  key_of(spec, &hosts, key);
  RT_TRY(look_up(spec, key, path, &peak->gflops));
  const bool known = peak->gflops > 0.0;
  if (!known)
    RT_TRY(measure_anew(spec, key, 0.0, &peak->gflops, &cached));
  if (peak->gflops == 0.0) {
    rt_info("peak       not measured: no memory for three matrices; no MFU");
    return RT_OK;
  }
  say(peak->gflops, known ? "measured before" : "measured now",
      cached ? path : "");
  return RT_OK;
}

/** The machine was busy when the cached number was measured. */
static rt_err correct(const rt_peak_spec *x, double gflops, rt_peak *peak)
{
  char key[KEY], path[RT_PATH_MAX], how[128];
  rt_hosts hosts;
  bool cached = false;
  double known = 0.0;
  RT_TRY(rt_hosts_find(x->world, &hosts));
  key_of(x, &hosts, key);
  RT_TRY(look_up(x, key, path, &known));
  known = fmax(known, peak->gflops);
  RT_TRY(measure_anew(x, key, known, &peak->gflops, &cached));
  snprintf(how, sizeof how,
           "measured again, because this run reached %.4g, more than the %.4g "
           "known",
           gflops, known);
  say(peak->gflops, how, cached ? path : "");
  return RT_OK;
}

rt_err rt_peak_exceeded(const rt_peak_spec *spec, double gflops, rt_peak *peak)
{
  if (!peak->corrected && peak->given)
    rt_warn("run.peak_gflops is %.4g, but a rank of this run reached %.4g "
            "GFLOP/s: MFU is relative to the latter",
            peak->gflops, gflops);
  if (!peak->corrected && !peak->given)
    RT_TRY(correct(spec, gflops, peak));
  peak->corrected = true;
  peak->gflops = fmax(peak->gflops, gflops);
  return RT_OK;
}
