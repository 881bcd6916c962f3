/** \file job.h
 *  What every verb that computes needs, set up from the deck.  Layer: distill.
 */
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

/** Callbacks that app provides to the layers below, which never end the
 *  process. */
typedef struct rt_hooks {
  rt_fatal_fn *fatal; /**< print and abort the whole job */
  void (*beat)(int64_t step, const char *phase); /**< tell the watchdog that
                                                    this rank makes progress */
  void (*waits)(const char *phase); /**< waiting for other ranks: call every few
                                       seconds until the next beat; may last as
                                       long as the others beat */
  bool (*stop_asked)(void); /**< true after SIGUSR1, SIGTERM, ...: write a
                               checkpoint and stop */
} rt_hooks;

/** A write, or set-up, may take this many times run.watchdog_s without a beat.
 */
enum { RT_PATIENCE = 10 };
/** How long a healthy rank may give no sign of life; a day without a watchdog.
 */
double rt_job_silence_s(const rt_deck *deck);
/** Reject a folder to create of which another meaning exists: written relative
 *  in the deck, it is in the deck's folder, and has no \a mark yet, but the
 *  folder of that name in the working directory has.  Before 0.1.0 was out, and
 *  in other programs, the latter was meant; a run must not begin anew in
 *  silence.
 *  \param mark  file or folder that any run or dataset has
 *  \return RT_ERR_CONFIG that names both */
RT_MUST rt_err rt_job_check_place(const rt_deck *deck, rt_key key,
                                  const char *mark);

enum { /**< parts of a job, or'ed */
       RT_NEED_STUDENT = 1,
       RT_NEED_TEACHER = 2, /**< live: teacher.weights must be given */
       RT_NEED_CORPUS = 4,
       RT_NEED_DATASET = 8
};

/** Memory in bytes of this process, in addition to arenas. */
typedef struct rt_memory {
  double base;      /**< at the start of the job: program, MPI, HDF5, BLAS */
  double of_others; /**< included below, but also counted by other ranks */
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
  rt_types types_s, types_t; /**< of student and teacher */
  rt_arch arch_s, arch_t;
  char *config;       // from rt_job_make_config
  rt_corpus *corpus;  // owned; NULL if not needed or without data.files
  rt_logits *dataset; // owned, NULL
  char tokenizer_hash[RT_SHA256_HEX]; /**< "" without data.tokenizer */
  rt_memory memory;                   /**< memory in addition to the arenas */
  rt_phases phases;
  int64_t seq, batch_rows; /**< T; rows per step over all ranks */
  int64_t rows_per_rank;   /**< batch_rows / dp */
  int64_t micro_rows;      /**< divides rows_per_rank */
  int64_t n_steps;         /**< number of steps of the run */
  int64_t first_row;       /**< first row in the training stream */
  int64_t n_rows;          /**< rows of the training stream that are used */
  int64_t pieces;          /**< rows obtained from each row of the dataset
                              (teacher.row_cut); 0: rows are used whole */
  int64_t vocab_cut; /**< ids from here on are padding of the dataset, which was
                        captured without data.vocab; 0: none */
} rt_job;

/** Read shapes, create grids and device, open corpus and dataset, and check
 *  that everything fits together (vocabularies, hashes, tp, batch).  Allocates
 *  no model memory.  Errors are agreed upon by all ranks.  Collective. */
RT_MUST rt_err rt_job_init(rt_job *job, const rt_deck *deck,
                           const rt_comm *world, const rt_hooks *hooks,
                           int needs);
void rt_job_clear(rt_job *job);
/** Set job->config; RT_ERR_CONFIG for a student that could not be exported at
 *  the end, so that such a run does not start.  Collective. */
RT_MUST rt_err rt_job_make_config(rt_job *job);

/** Check that \a hash, of \a what this rank reads, equals that of rank 0: ranks
 *  on nodes with different files would otherwise train on different texts or
 *  models.  RT_ERR_DATA names what and where.  Collective. */
RT_MUST rt_err rt_job_same(const rt_comm *comm, uint64_t hash,
                           const char *what);

/** Memory for the logit tiles of a model (loss.chunk_mib). */
double rt_job_chunk_bytes(const rt_job *job, const rt_arch *arch,
                          const rt_grid *grid);

/** Warn about keys that were set but that this job does not use. */
void rt_job_tell_unused(const rt_deck *d, const rt_key *keys, int n,
                        const char *why);

#endif
