/** \file banner.c
 *  What runs, where, on what. */
#include "app/app.h"

#include "base/build_info.h"
#include "base/clock.h"
#include "base/log.h"
#include "gemm.h"
#include "io/h5.h"
#include <string.h>
#include <unistd.h>

static void print_model(const char *what, const rt_arch *a, const rt_grid *grid)
{
  rt_info("%-8s %s, %.1f M parameters: D %lld, L %lld, H %lld, G %lld, F %lld, "
          "V %lld; dp %d x tp %d",
          what, a->family, (double)rt_arch_n_params(a) * 1e-6,
          (long long)a->width, (long long)a->n_blocks, (long long)a->n_heads,
          (long long)a->n_kv_heads, (long long)a->ffn, (long long)a->vocab,
          grid->dp, grid->tp);
}

static void print_threads(const rt_job *job)
{
  const rt_threads *t = &job->threads;
  rt_info("ranks    %d, threads %d each (%s; %d of the node's %d cores, shared "
          "by %d), device %s %s",
          job->grid_s.n_ranks, t->n, t->why, t->n_cores, t->n_node_cores,
          t->n_sharing, rt_dev_name(job->dev),
          rt_dtype_name(rt_dev_real(job->dev)));
  if (job->grid_s.n_ranks == 1 && t->n_cores < t->n_node_cores)
    rt_info("note     this rank is bound to %d of %d cores; mpirun --bind-to "
            "none lets it use all",
            t->n_cores, t->n_node_cores);
}

rt_err rt_app_banner(const rt_job *job, const char *verb)
{
  char mpi[MPI_MAX_LIBRARY_VERSION_STRING], host[256] = "", when[32];
  int n;
  MPI_Get_library_version(mpi, &n);
  mpi[strcspn(mpi, ",\n")] = '\0';
  gethostname(host, sizeof host - 1);
  rt_clock_iso(when, sizeof when);
  rt_info("retort %s, commit %s: %s, %s on %s", RT_VERSION, rt_build_commit(),
          verb, when, host);
  rt_info("built    %s; %s, HDF5 %s, %s", rt_build_compiler(), mpi,
          rt_h5_version(), k_gemm_library());
  print_threads(job);
  if ((job->needs & RT_NEED_STUDENT) != 0)
    print_model("student", &job->arch_s, &job->grid_s);
  if ((job->needs & RT_NEED_TEACHER) != 0)
    print_model("teacher", &job->arch_t, &job->grid_t);
  if (job->dataset != NULL)
    rt_info("targets  %s: %lld rows of %s, top-%g-%lld",
            rt_deck_text(job->deck, RT_KEY_TEA_DATASET),
            (long long)rt_logits_about(job->dataset)->n_rows,
            rt_logits_about(job->dataset)->teacher,
            rt_logits_about(job->dataset)->top_p,
            (long long)rt_logits_about(job->dataset)->top_k);
  if (job->n_rows > 0)
    rt_info("rows     %lld of %lld tokens to train on", (long long)job->n_rows,
            (long long)job->seq);
  return RT_OK;
}
