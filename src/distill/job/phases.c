/** \file phases.c
 *  Exclusive time accounting.  The seconds of a phase exclude communication,
 *  which has two lines of its own, so that all lines add up to the total. */
#include "distill/job/phases.h"

#include "base/clock.h"
#include "base/log.h"
#include <math.h>
#include <string.h>

#define PHASE_TEXT(name, text) [RT_PHASE_##name] = (text),
static const char *const texts[] = {RT_PHASE_LIST(PHASE_TEXT)};

const char *rt_phase_name(rt_phase phase)
{
  return texts[phase];
}

const char *rt_phase_line_name(int line)
{
  return line == RT_PHASE_TRANSFER ? "transfer"
         : line == RT_PHASE_RANKS  ? "wait for ranks"
                                   : rt_phase_name((rt_phase)line);
}

void rt_phases_start(rt_phases *p, rt_phase first)
{
  *p = (rt_phases){.now = first,
                   .comm_since = rt_ranks_seconds(),
                   .moved_before = rt_ranks_moved_seconds()};
  p->began = p->since = rt_now_s();
}

/** Seconds of the current phase so far; *comm_s: those spent communicating. */
static double open_seconds(const rt_phases *p, double now_s, double *comm_s)
{
  const double whole = now_s - p->since;
  // the two clocks are not read simultaneously: limit to the total
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

/** Shares of each line in tenths of a percent, rounded so that they add up to
 *  1000: the lines that lost most by rounding down get one more. */
static void shares(const double sum[RT_PHASE_LINES], int tenths[RT_PHASE_LINES])
{
  double total = 0.0, lost[RT_PHASE_LINES];
  for (int i = 0; i < RT_PHASE_LINES; i++)
    total += sum[i];
  int left = 1000;
  for (int i = 0; i < RT_PHASE_LINES; i++) {
    const double exact = total > 0.0 ? 1000.0 * sum[i] / total : 0.0;
    tenths[i] = (int)floor(exact);
    lost[i] = exact - tenths[i];
    left -= tenths[i];
  }
  for (; left > 0 && total > 0.0; left--) {
    int most = 0;
    for (int i = 1; i < RT_PHASE_LINES; i++)
      most = lost[i] > lost[most] ? i : most;
    tenths[most]++;
    lost[most] = -1.0;
  }
}

rt_err rt_phases_gather(rt_phases *p, const rt_comm *world, rt_phase_table *out)
{
  const size_t n = RT_PHASE_LINES;
  // account for the time so far, without changing the phase
  rt_phases_to(p, p->now);
  const double moved_s = rt_ranks_moved_seconds() - p->moved_before;
  memcpy(out->avg, p->seconds, sizeof p->seconds);
  out->avg[RT_PHASE_TRANSFER] = fmin(moved_s, p->comm_s);
  out->avg[RT_PHASE_RANKS] = p->comm_s - out->avg[RT_PHASE_TRANSFER];
  memcpy(out->min, out->avg, sizeof out->min);
  memcpy(out->max, out->avg, sizeof out->max);
  RT_TRY(rt_comm_allreduce_host(world, out->min, n, RT_F64, RT_MIN));
  RT_TRY(rt_comm_allreduce_host(world, out->avg, n, RT_F64, RT_SUM));
  RT_TRY(rt_comm_allreduce_host(world, out->max, n, RT_F64, RT_MAX));
  for (int i = 0; i < RT_PHASE_LINES; i++)
    out->avg[i] /= rt_comm_size(world);
  return RT_OK;
}

void rt_phases_print(const rt_phase_table *t, FILE *to)
{
  int tenths[RT_PHASE_LINES], all = 0;
  double total = 0.0;
  shares(t->avg, tenths);
  fprintf(to, "%-20s %10s %10s %10s %7s\n", "phase", "min s", "avg s", "max s",
          "share");
  for (int i = 0; i < RT_PHASE_LINES; i++) {
    all += tenths[i];
    total += t->avg[i];
    if (t->max[i] == 0.0)
      continue; // a phase that did not occur
    fprintf(to, "%-20s %10.3f %10.3f %10.3f %4d.%d %%\n", rt_phase_line_name(i),
            t->min[i], t->avg[i], t->max[i], tenths[i] / 10, tenths[i] % 10);
  }
  fprintf(to, "%-20s %10s %10.3f %10s %4d.%d %%\n", "total", "", total, "",
          all / 10, all % 10);
}

void rt_phases_say(const rt_phase_table *table)
{
  rt_log_page page;
  if (!rt_log_page_open(&page))
    return;
  rt_phases_print(table, page.to);
  rt_log_page_close(&page);
}
