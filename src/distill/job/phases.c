/** \file phases.c
 *  Exclusive time accounting.  A phase's seconds are without communication,
 *  which stands in a line of its own, so that all lines add up to the whole. */
#include "distill/job/phases.h"

#include "base/clock.h"
#include <math.h>

enum { N_LINES = RT_N_PHASES + 1 }; // the phases, then communication

#define PHASE_TEXT(name, text) [RT_PHASE_##name] = (text),
static const char *const texts[] = {RT_PHASE_LIST(PHASE_TEXT)};

const char *rt_phase_name(rt_phase phase)
{
  return texts[phase];
}

void rt_phases_start(rt_phases *p, rt_phase first)
{
  *p = (rt_phases){.now = first, .comm_since = rt_ranks_seconds()};
  p->began = p->since = rt_now_s();
}

/** Seconds of the open phase so far; *comm_s: those spent communicating. */
static double open_seconds(const rt_phases *p, double now_s, double *comm_s)
{
  const double whole = now_s - p->since;
  // two clocks are read one after the other: never more than the whole
  *comm_s = fmin(rt_ranks_seconds() - p->comm_since, whole);
  return whole - *comm_s;
}

rt_phase rt_phases_to(rt_phases *p, rt_phase next)
{
  const rt_phase was = p->now;
  const double now_s = rt_now_s();
  double comm_s;
  p->seconds[was] += open_seconds(p, now_s, &comm_s);
  p->comm_s += comm_s;
  p->comm_since += comm_s;
  p->since = now_s;
  p->now = next;
  return was;
}

double rt_phases_seconds(const rt_phases *p, rt_phase phase)
{
  double comm_s = 0.0;
  const double open =
      phase == p->now ? open_seconds(p, rt_now_s(), &comm_s) : 0.0;
  return p->seconds[phase] + open;
}

/** Tenths of per cent of each line, rounded so that they add up to 1000: the
 *  lines that lost most by rounding down get one more. */
static void shares(const double sum[N_LINES], int tenths[N_LINES])
{
  double total = 0.0, lost[N_LINES];
  for (int i = 0; i < N_LINES; i++)
    total += sum[i];
  int left = 1000;
  for (int i = 0; i < N_LINES; i++) {
    const double exact = total > 0.0 ? 1000.0 * sum[i] / total : 0.0;
    tenths[i] = (int)floor(exact);
    lost[i] = exact - tenths[i];
    left -= tenths[i];
  }
  for (; left > 0 && total > 0.0; left--) {
    int most = 0;
    for (int i = 1; i < N_LINES; i++)
      most = lost[i] > lost[most] ? i : most;
    tenths[most]++;
    lost[most] = -1.0;
  }
}

static void print_table(const double min[N_LINES], const double sum[N_LINES],
                        const double max[N_LINES], int n_ranks, FILE *to)
{
  int tenths[N_LINES], all = 0;
  double average = 0.0;
  shares(sum, tenths);
  fprintf(to, "%-20s %10s %10s %10s %7s\n", "phase", "min s", "avg s", "max s",
          "share");
  for (int i = 0; i < N_LINES; i++) {
    all += tenths[i];
    average += sum[i] / n_ranks;
    if (max[i] == 0.0)
      continue; // a phase that never was
    fprintf(to, "%-20s %10.3f %10.3f %10.3f %4d.%d %%\n",
            i < RT_N_PHASES ? rt_phase_name((rt_phase)i) : "communication",
            min[i], sum[i] / n_ranks, max[i], tenths[i] / 10, tenths[i] % 10);
  }
  fprintf(to, "%-20s %10s %10.3f %10s %4d.%d %%\n", "total", "", average, "",
          all / 10, all % 10);
  fflush(to);
}

rt_err rt_phases_print(rt_phases *p, const rt_comm *world, FILE *to)
{
  double min[N_LINES], sum[N_LINES], max[N_LINES];
  rt_phases_to(p, p->now); // close the books, stay where we are
  for (int i = 0; i < N_LINES; i++)
    min[i] = sum[i] = max[i] = i < RT_N_PHASES ? p->seconds[i] : p->comm_s;
  RT_TRY(rt_comm_allreduce_host(world, min, N_LINES, RT_F64, RT_MIN));
  RT_TRY(rt_comm_allreduce_host(world, sum, N_LINES, RT_F64, RT_SUM));
  RT_TRY(rt_comm_allreduce_host(world, max, N_LINES, RT_F64, RT_MAX));
  if (rt_comm_rank(world) == 0)
    print_table(min, sum, max, rt_comm_size(world), to);
  return RT_OK;
}
