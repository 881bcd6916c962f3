/** \file job_memory.c
 *  The memory plan of a rank, summed over the ranks that share a limit. */
#include "distill/job/job_memory.h"

#include "base/log.h"
#include "par/node_limits.h"
#include <math.h>
#include <string.h>

/** Memory of libraries that a process touches after its start: code, buffers of
 *  MPI.  Measured: 1.8 to 4.2 MiB on 1 and 2 ranks. */
static const double touched_later = 0x1p20 * 5.0;

void rt_job_note_base(rt_job *job)
{
  job->memory.base = rt_limits_resident("/") + touched_later;
}

/** The longest side of a model's matrices on this rank. */
static int64_t longest_side(const rt_arch *a, int tp, int64_t tokens)
{
  const int64_t sides[] = {tokens, (a->vocab + tp - 1) / tp, a->width, a->ffn};
  int64_t most = 1;
  for (size_t i = 0; i < sizeof sides / sizeof sides[0]; i++)
    most = sides[i] > most ? sides[i] : most;
  return most;
}

rt_err rt_job_note_products(rt_job *job)
{
  const int64_t tokens = job->micro_rows * job->seq;
  const int64_t s = longest_side(&job->arch_s, job->grid_s.tp, tokens);
  const int64_t t = longest_side(&job->arch_t, job->grid_t.tp, tokens);
  const double before = rt_limits_resident("/");
  RT_TRY(rt_dev_touch_library(job->dev, job->types_s.act, s));
  RT_TRY(rt_dev_touch_library(job->dev, job->types_t.act, t));
  job->memory.base += fmax(rt_limits_resident("/") - before, 0.0);
  return RT_OK;
}

void rt_job_beside(rt_job *job, const char *what, double bytes)
{
  rt_memory *const m = &job->memory;
  int i = 0;
  while (i < m->n && strcmp(m->part[i].what, what) != 0)
    i++;
  RT_ASSERT(i < (int)(sizeof m->part / sizeof m->part[0]));
  m->n = i == m->n ? i + 1 : m->n;
  m->part[i].what = what;
  m->part[i].bytes += bytes;
}

void rt_job_beside_shared(rt_job *job, const rt_comm *comm)
{
  const double each = (double)rt_comm_shared_bytes(comm);
  rt_job_beside(job, "shared with the ranks of a node",
                each * rt_comm_size(comm));
  job->memory.of_others += each * (rt_comm_size(comm) - 1);
}

/** Limits of the machine, overridden by the user's. */
static void read_limits(const rt_deck *deck, rt_limits *limits)
{
  const double gib = rt_deck_real(deck, RT_KEY_RUN_MEMORY_GIB);
  if (gib > 0.0)
    *limits = (rt_limits){.n = 1,
                          .limit = {{.amount = gib * 0x1p30,
                                     .group = RT_GROUP_NODE,
                                     .name = "run.memory_gib of a node"}}};
  else
    rt_limits_memory("/", limits);
}

rt_err rt_job_memory_bound(const rt_job *job, double need, rt_bound *hard,
                           rt_bound *soft)
{
  rt_limits limits;
  double total[RT_LIMITS_MAX];
  *hard = *soft = (rt_bound){0};
  read_limits(job->deck, &limits);
  RT_TRY(rt_limits_total(job->world, &limits, need, total));
  for (int i = 0; i < limits.n; i++) {
    rt_bound *const b = limits.limit[i].soft ? soft : hard;
    // compares total / amount without dividing by a limit of 0
    if (b->need == 0.0 ||
        total[i] * b->limit.amount > b->need * limits.limit[i].amount)
      *b = (rt_bound){limits.limit[i], total[i]};
  }
  return RT_OK;
}

/** Bytes of this rank's plan. */
static double planned(const rt_job *job, const rt_arena *const *plans,
                      int n_plans)
{
  double bytes = job->memory.base + (double)rt_dev_workspace(job->dev);
  for (int i = 0; i < n_plans; i++)
    bytes += (double)rt_arena_bytes(plans[i]);
  for (int i = 0; i < job->memory.n; i++)
    bytes += job->memory.part[i].bytes;
  return bytes;
}

rt_err rt_job_fits(const rt_job *job, const rt_arena *const *plans, int n_plans,
                   double more, bool *fits)
{
  const double need = planned(job, plans, n_plans) + more;
  rt_bound hard, soft;
  RT_TRY(rt_job_memory_bound(job, need - job->memory.of_others, &hard, &soft));
  int32_t fails =
      hard.need > hard.limit.amount || soft.need > soft.limit.amount;
  RT_TRY(rt_comm_allreduce_host(job->world, &fails, 1, RT_I32, RT_MAX));
  *fits = fails == 0;
  return RT_OK;
}

static void print_plan(const rt_job *job, const rt_arena *const *plans,
                       int n_plans, FILE *to)
{
  const rt_memory *const m = &job->memory;
  for (int i = 0; i < n_plans; i++)
    rt_arena_print(plans[i], to);
  for (int i = 0; i < m->n; i++)
    if (m->part[i].bytes > 0.0)
      fprintf(to, "%-31s %25.1f MiB\n", m->part[i].what,
              m->part[i].bytes * 0x1p-20);
  fprintf(to, "%-31s %25.1f MiB\n", "workspace of kernels",
          (double)rt_dev_workspace(job->dev) * 0x1p-20);
  fprintf(to, "%-31s %25.1f MiB\n", "program, MPI, HDF5, BLAS",
          m->base * 0x1p-20);
}

/** Print the parts of a plan that fits, if requested. */
static void show_parts(const rt_job *job, const rt_arena *const *plans,
                       int n_plans, rt_plan_show show)
{
  rt_log_page page;
  const rt_plan_show wanted =
      rt_log_shows(RT_LOG_DEBUG) ? RT_PLAN_SUM : RT_PLAN_PARTS;
  if (show < wanted || !rt_log_page_open(&page))
    return;
  print_plan(job, plans, n_plans, page.to);
  rt_log_page_close(&page);
}

rt_err rt_job_check_memory(const rt_job *job, const rt_arena *const *plans,
                           int n_plans, rt_plan_show show)
{
  const double mine = planned(job, plans, n_plans);
  rt_bound hard, soft;
  // also agrees with ranks that failed before
  RT_TRY(rt_job_memory_bound(job, mine - job->memory.of_others, &hard, &soft));
  double max = mine;
  RT_TRY(rt_comm_allreduce_host(job->world, &max, 1, RT_F64, RT_MAX));
  rt_err err = RT_OK;
  if (hard.need > hard.limit.amount)
    err = RT_FAIL(RT_ERR_MEM,
                  "the plan needs %.2f GiB (%.2f GiB on this rank), but %s "
                  "allows %.2f GiB: reduce train.micro_rows or loss.chunk_mib, "
                  "set train.recompute=block, or use more tp or more nodes; "
                  "`retort plan` shows the "
                  "parts, run.memory_gib overrides the limit",
                  hard.need * 0x1p-30, mine * 0x1p-30, hard.limit.name,
                  hard.limit.amount * 0x1p-30);
  if (err == RT_OK)
    show_parts(job, plans, n_plans, show);
  else if (rt_comm_rank(job->world) == 0)
    print_plan(job, plans, n_plans, stderr);
  if (show != RT_PLAN_NOTHING)
    rt_info("memory plan: %.1f MiB on this rank, %.1f MiB on the rank that "
            "needs most; %.2f of %.2f GiB (%s)",
            mine * 0x1p-20, max * 0x1p-20, hard.need * 0x1p-30,
            hard.limit.amount * 0x1p-30, hard.limit.name);
  if (err == RT_OK && soft.need > soft.limit.amount)
    rt_warn("the plan needs %.2f GiB; above %.2f GiB (%s) the system slows "
            "this run down",
            soft.need * 0x1p-30, soft.limit.amount * 0x1p-30, soft.limit.name);
  return rt_agree(job->world, err);
}
