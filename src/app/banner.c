/** \file banner.c
 *  The first lines of a run. */
#include "app/banner.h"

#include "base/build_info.h"
#include "base/clock.h"
#include "base/log.h"
#include "distill/job/job_memory.h"
#include "io/common/h5.h"
#include "par/hosts.h"
#include <stdlib.h>
#include <string.h>

/** "Open MPI v4.1.4": the library's text up to its first comma or line. */
static void mpi_version(char *text, size_t n)
{
  char all[MPI_MAX_LIBRARY_VERSION_STRING] = "";
  int length = 0;
  MPI_Get_library_version(all, &length);
  snprintf(text, n, "%.*s", (int)strcspn(all, ",\n"), all);
}

void rt_banner_version(FILE *to)
{
  char mpi[128];
  mpi_version(mpi, sizeof mpi);
  fprintf(to,
          "retort %s (%s)\n"
          "compiler   %s\n"
          "MPI        %s\n"
          "HDF5       %s\n"
          "BLAS       %s; %s; %s\n"
          "Apache License 2.0. There is NO WARRANTY, to the extent permitted "
          "by law.\n",
          RT_VERSION, rt_build_commit(), rt_build_compiler(), mpi,
          rt_h5_version(), rt_dev_library(), rt_dev_library_f32(),
          rt_dev_library_bf16());
}

static void print_threads(const rt_threads *t)
{
  char number[32];
  if (t->n_least == t->n_most)
    snprintf(number, sizeof number, "%d", t->n_most);
  else
    snprintf(number, sizeof number, "%d to %d", t->n_least, t->n_most);
  rt_info("threads    %s per rank (%s); rank 0 %s core%s %s", number, t->why,
          t->bound ? "bound to" : "on", t->n_cores == 1 ? "" : "s", t->cores);
  if (t->crowd[0] != '\0')
    rt_warn("more threads than cores: %s; expect a slow run", t->crowd);
  else if (t->n_given_node < t->n_node_cores && getenv("SLURM_JOB_ID") == NULL)
    rt_warn("the ranks on this node may use %d of its %d cores: `mpirun "
            "--bind-to none` or `--map-by slot:PE=CORES` gives them more",
            t->n_given_node, t->n_node_cores);
}

/** Print the memory limit of the job that is tightest per rank.  Collective. */
static rt_err print_limits(const rt_job *job)
{
  const rt_threads *const t = &job->threads;
  rt_bound hard, soft;
  char quota[320] = "";
  RT_TRY(rt_job_memory_bound(job, 1.0, &hard, &soft));
  if (t->quota > 0.0)
    snprintf(quota, sizeof quota, "; %.1f cores' worth of time a rank, %s",
             t->quota, t->quota_of);
  rt_info("limits     %.2f GiB for %.0f rank%s, %s%s",
          hard.limit.amount * 0x1p-30, hard.need, hard.need == 1.0 ? "" : "s",
          hard.limit.name, quota);
  return RT_OK;
}

static void print_model(const char *who, const rt_arch *a, const rt_grid *grid)
{
  rt_info("%-10s dp %d x tp %d; %s, %.2f M parameters: D %lld, L %lld, H %lld, "
          "G %lld, F %lld, V %lld",
          who, grid->dp, grid->tp, a->family,
          (double)rt_arch_n_params(a) * 1e-6, (long long)a->width,
          (long long)a->n_blocks, (long long)a->n_heads,
          (long long)a->n_kv_heads, (long long)a->ffn, (long long)a->vocab);
}

static void print_data(const rt_job *job)
{
  if (job->dataset != NULL) {
    const rt_logits_info *i = rt_logits_about(job->dataset);
    rt_info("targets    %s: %lld rows of %s, top-%g-%lld, %s",
            rt_deck_text(job->deck, RT_KEY_TEA_DATASET), (long long)i->n_rows,
            i->teacher, i->top_p, (long long)i->top_k, i->encoding);
  }
  if (job->n_rows > 0)
    rt_info("rows       %lld of %lld tokens in the training stream",
            (long long)job->n_rows, (long long)job->seq);
}

rt_err rt_banner_print(const rt_job *job, const char *verb)
{
  char mpi[128], when[32];
  rt_hosts hosts;
  RT_TRY(rt_hosts_find(job->world, &hosts));
  mpi_version(mpi, sizeof mpi);
  rt_clock_iso(when, sizeof when);
  rt_info("retort %s (%s): %s, %s", RT_VERSION, rt_build_commit(), verb, when);
  rt_info("compiler   %s", rt_build_compiler());
  rt_info("libraries  %s, HDF5 %s, %s; %s; %s", mpi, rt_h5_version(),
          rt_dev_library(), rt_dev_library_f32(), rt_dev_library_bf16());
  rt_info("ranks      %d on %d host%s (%s)", rt_comm_size(job->world), hosts.n,
          hosts.n == 1 ? "" : "s", hosts.names);
  print_threads(&job->threads);
  RT_TRY(print_limits(job));
  const char *const of_teacher = rt_deck_text(job->deck, RT_KEY_TEA_DTYPE);
  const bool differs =
      (job->needs & RT_NEED_TEACHER) != 0 && strcmp(of_teacher, "same") != 0;
  rt_info("device     %s, %s%s%s", rt_dev_name(job->dev),
          rt_deck_text(job->deck, RT_KEY_RUN_DTYPE),
          differs ? "; the teacher in " : "", differs ? of_teacher : "");
  if ((job->needs & RT_NEED_STUDENT) != 0)
    print_model("student", &job->arch_s, &job->grid_s);
  if ((job->needs & RT_NEED_TEACHER) != 0)
    print_model("teacher", &job->arch_t, &job->grid_t);
  print_data(job);
  return RT_OK;
}
