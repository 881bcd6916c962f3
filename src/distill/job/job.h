/** \file job.h
 *  What every verb that computes needs, made from the deck.  Layer: distill. */
#ifndef RT_JOB_H
#define RT_JOB_H

#include "deck/deck.h"
#include "base/hash.h"
#include "distill/job/phases.h"
#include "io/run/checkpoint.h"
#include "io/logits/logits.h"
#include "io/corpus/corpus.h"
#include "model/model.h"
#include "par/threads.h"

typedef void rt_fatal_fn(rt_err err);

/** What app lends to the layers below: they never end the process. */
typedef struct rt_hooks {
  rt_fatal_fn *fatal; /**< print and abort the whole job */
  void (*beat)(int64_t step, const char *phase); /**< watchdog: alive */
  void (*waits)(const char *phase); /**< nothing to do until others come: call
                                         every few seconds, up to the next beat;
                                         that may take as long as they beat */
  bool (*stop_asked)(void); /**< SIGUSR1, SIGTERM: checkpoint and stop */
} rt_hooks;

/** A write, or set-up, may take so many run.watchdog_s without a beat. */
enum { RT_PATIENCE = 10 };
/** How long a rank that is well may give no sign: a day without a watchdog. */
double rt_job_silence_s(const rt_deck *deck);

enum { /**< parts of a job, or'ed */
       RT_NEED_STUDENT = 1,
       RT_NEED_TEACHER = 2, /**< live: teacher.weights must be given */
       RT_NEED_CORPUS = 4,
       RT_NEED_DATASET = 8
};

/** Bytes of this process that are in no arena. */
typedef struct rt_memory {
  double base;      /**< when the job began: program, MPI, HDF5, BLAS */
  double of_others; /**< in the parts below, but counted by other ranks, too */
  int n;
  struct {
    const char *what; // borrowed, a literal
    double bytes;
  } part[24];
} rt_memory;

typedef struct rt_job {
  const rt_deck *deck;   // borrowed
  const rt_comm *world;  // borrowed
  const rt_hooks *hooks; // borrowed
  int needs;
  rt_threads threads; /**< of this rank */
  rt_dev *dev;        // owned
  rt_grid grid_s, grid_t;
  rt_arch arch_s, arch_t;
  char *config;       // owned: of rt_job_make_config
  rt_corpus *corpus;  // owned, NULL when not needed or no data.files
  rt_logits *dataset; // owned, NULL
  char tokenizer_hash[RT_SHA256_HEX]; /**< "" without data.tokenizer */
  rt_memory memory;                   /**< what is in no arena (job_memory.h) */
  rt_phases phases;
  int64_t seq, batch_rows; /**< T; rows of one step over all ranks */
  int64_t rows_per_rank;   /**< batch_rows / dp */
  int64_t micro_rows;      /**< divides rows_per_rank */
  int64_t n_steps;         /**< of the run */
  int64_t first_row;       /**< of the training stream, where rows count from */
  int64_t n_rows;          /**< rows of the training stream that are used */
  int64_t pieces; /**< rows made of one of the dataset (teacher.row_cut); 0: it
                       is taken whole */
  int64_t vocab_cut; /**< ids from here on are padding of the dataset (it was
                          captured without data.vocab); 0: none are */
} rt_job;

/** Read shapes, make grids and device, open corpus and dataset, check that all
 *  fits together (vocabularies, hashes, tp, batch).  Allocates no model memory.
 *  Errors are agreed upon by all ranks.  Collective. */
RT_MUST rt_err rt_job_init(rt_job *job, const rt_deck *deck,
                           const rt_comm *world, const rt_hooks *hooks,
                           int needs);
void rt_job_clear(rt_job *job);
/** Fill in job->config; RT_ERR_CONFIG for a student that could not be written
 *  at the end: such a run shall not begin.  Collective. */
RT_MUST rt_err rt_job_make_config(rt_job *job);

/** \a hash, of \a what this rank reads, must be rank 0's: ranks of nodes with
 *  files of their own would learn from several texts, or models, as one.
 *  RT_ERR_DATA names what and where.  Collective. */
RT_MUST rt_err rt_job_same(const rt_comm *comm, uint64_t hash,
                           const char *what);

/** Warn of keys that were set and that this job makes nothing of. */
void rt_job_tell_unused(const rt_deck *d, const rt_key *keys, int n,
                        const char *why);
/** Load weights from a Hugging Face folder into a committed model; each rank
 *  reads its slices.  Collective. */
RT_MUST rt_err rt_job_load_weights(const rt_job *job, rt_model *model,
                                   const char *folder);
/** Rows [v0, v0 + w.rows) of the head of the folder's model, of shape \a arch,
 *  into the device's \a w [n, D]; beyond the model's V they are zero.
 *  Collective. */
RT_MUST rt_err rt_job_load_head(const rt_job *job, const rt_arch *arch,
                                const char *folder, int64_t v0, rt_view w);

#endif
