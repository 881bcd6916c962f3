/** \file job.c
 *  Sets up shapes, grids, device, corpus and dataset from a deck, and checks
 *  that they fit together. */
#include "distill/job/job.h"

#include "base/file.h"
#include "base/log.h"
#include "base/split.h"
#include "distill/job/job_inputs.h"
#include "distill/job/job_memory.h"
#include "distill/job/job_models.h"
#include "distill/job/known_by.h"
#include "distill/job/match.h"
#include "distill/job/same_inputs.h"
#include "io/hf/hfconfig.h"
#include <stdlib.h>
#include <string.h>

rt_err rt_job_check_place(const rt_deck *deck, rt_key key, const char *mark)
{
  char meant[RT_PATH_MAX], other[RT_PATH_MAX];
  const char *const folder = rt_deck_text(deck, key);
  const char *const written = rt_deck_written(deck, key);
  if (written == NULL || strcmp(written, folder) == 0)
    return RT_OK;
  RT_TRY(rt_path_join(meant, folder, mark));
  RT_TRY(rt_path_join(other, written, mark));
  RT_CHECK(rt_path_exists(meant) || !rt_path_exists(other), RT_ERR_CONFIG,
           "%s: %s is relative to the deck's folder, where it is %s, which "
           "has nothing to resume; but %s exists in the working directory.  "
           "To continue there, give %s=%s on the command line; otherwise "
           "start from another working directory",
           rt_key_path(key), written, folder, other, rt_key_path(key), written);
  return RT_OK;
}

double rt_job_silence_s(const rt_deck *deck)
{
  const double limit_s = rt_deck_real(deck, RT_KEY_RUN_WATCHDOG_S);
  return limit_s > 0.0 ? RT_PATIENCE * limit_s : 86400.0;
}

double rt_job_chunk_bytes(const rt_job *job, const rt_arch *arch,
                          const rt_grid *grid)
{
  // The head is read, and its gradient added to, once a chunk: with much fewer
  // tokens than 256 that takes longer than the products.  A token needs a few
  // numbers besides its logits, hence 2 % more.
  enum { LEAST_ROWS = 261, LEAST_MIB = 64 };
  const double asked = rt_deck_real(job->deck, RT_KEY_LOSS_CHUNK_MIB);
  const int64_t ids = rt_round_up(arch->vocab, grid->tp) / grid->tp;
  const double row = (double)ids * (double)rt_dtype_size(job->types_s.tile);
  const double rows_mib = LEAST_ROWS * row * 0x1p-20;
  return 0x1p20 * (asked > 0.0            ? asked
                   : rows_mib > LEAST_MIB ? rows_mib
                                          : LEAST_MIB);
}

void rt_job_tell_unused(const rt_deck *d, const rt_key *keys, int n,
                        const char *why)
{
  for (int i = 0; i < n; i++)
    if (rt_deck_is_set(d, keys[i]))
      rt_warn("%s is given, but not used: %s", rt_key_path(keys[i]), why);
}

static rt_err plan_batches(rt_job *job)
{
  const rt_deck *d = job->deck;
  const int dp = job->grid_s.dp;
  job->batch_rows = rt_deck_int(d, RT_KEY_TRAIN_BATCH);
  RT_CHECK(job->batch_rows % dp == 0, RT_ERR_CONFIG,
           "train.batch_rows is %lld, not a multiple of the student's dp %d "
           "(%d ranks / student.tp %d): use %lld",
           (long long)job->batch_rows, dp, job->grid_s.n_ranks, job->grid_s.tp,
           (long long)rt_round_up(job->batch_rows, dp));
  job->rows_per_rank = job->batch_rows / dp;
  job->micro_rows = rt_deck_int(d, RT_KEY_TRAIN_MICRO);
  if (job->micro_rows == 0 || job->micro_rows > job->rows_per_rank)
    job->micro_rows = job->rows_per_rank;
  RT_CHECK(job->rows_per_rank % job->micro_rows == 0, RT_ERR_CONFIG,
           "train.micro_rows is %lld, which does not divide the %lld rows per "
           "rank (train.batch_rows %lld / dp %d)",
           (long long)job->micro_rows, (long long)job->rows_per_rank,
           (long long)job->batch_rows, dp);
  job->n_steps =
      rt_deck_steps(d, RT_KEY_TRAIN_LENGTH, job->batch_rows * job->seq, 0);
  RT_CHECK(job->n_steps > 0, RT_ERR_CONFIG,
           "train.length is shorter than one step");
  return RT_OK;
}

/** Compare the tokenizer's ids with deck and model. */
static void tell_vocab(const rt_job *job, int64_t n_words)
{
  const int64_t said = rt_deck_int(job->deck, RT_KEY_DATA_VOCAB);
  const bool student = (job->needs & RT_NEED_STUDENT) != 0;
  const int64_t vocab =
      rt_arch_true_vocab(student ? &job->arch_s : &job->arch_t);
  const char *const folder = rt_deck_text(job->deck, RT_KEY_DATA_TOKENIZER);
  if (n_words == 0)
    return;
  if (said > 0 && said != n_words)
    rt_warn("%s has ids up to %lld, but data.vocab is %lld: %s", folder,
            (long long)n_words - 1, (long long)said,
            said < n_words ? "the ids from data.vocab on have no probability"
                           : "ids that the tokenizer lacks have some "
                             "probability");
  else if (vocab < n_words)
    rt_warn("%s has ids up to %lld, but the model has %lld ids: text that "
            "contains other ids is rejected",
            folder, (long long)n_words - 1, (long long)vocab);
}

/** The checks that can fail on a single rank. */
static rt_err read_inputs(rt_job *job)
{
  const rt_deck *const d = job->deck;
  const char *tokenizer = rt_deck_text(d, RT_KEY_DATA_TOKENIZER);
  int64_t n_words = 0;
  if (tokenizer[0] != '\0')
    RT_TRY(rt_tokenizer_hash(tokenizer, job->tokenizer_hash));
  if (tokenizer[0] != '\0' && job->grid_s.rank == 0)
    RT_TRY(rt_tokenizer_size(tokenizer, &n_words));
  if ((job->needs & RT_NEED_TEACHER) != 0)
    RT_TRY(rt_job_read_teacher(job));
  static const rt_key drawn[] = {RT_KEY_TEA_DRAWS, RT_KEY_TEA_SEED};
  if (job->dataset != NULL) {
    RT_TRY(rt_job_check_dataset(job));
    rt_job_tell_unused(d, drawn, 2,
                       "the dataset holds what was drawn, or truncated");
  }
  if ((job->needs & RT_NEED_STUDENT) != 0)
    RT_TRY(rt_job_read_student(job));
  tell_vocab(job, n_words);
  // A dataset contains its rows, so the corpus is then only needed for
  // validation.
  const bool has_files = rt_deck_n(d, RT_KEY_DATA_FILES) > 0;
  if ((job->needs & RT_NEED_CORPUS) != 0 && (has_files || job->dataset == NULL))
    RT_TRY(rt_open_corpus(d, rt_job_corpus_spec(job), &job->corpus));
  if (rt_deck_bos_at(d) == RT_BOS_NOWHERE)
    rt_job_tell_unused(d, &(rt_key){RT_KEY_DATA_BOS_AT}, 1, "data.bos is -1");
  if (job->corpus != NULL || job->dataset != NULL)
    RT_TRY(rt_job_count_rows(job));
  return (job->needs & RT_NEED_STUDENT) != 0 ? plan_batches(job) : RT_OK;
}

/** The teacher of eval.teacher must be the one that was captured. */
static rt_err match_weights(const rt_job *job)
{
  const rt_logits_info *const info = rt_logits_about(job->dataset);
  const char *const folder = rt_deck_text(job->deck, RT_KEY_TEA_WEIGHTS);
  char hex[RT_SHA256_HEX];
  if (info->step || info->teacher_hash[0] == '\0')
    return RT_OK; // of a teacher in training
  RT_TRY(rt_known_weights(job->world, info->version, folder, hex));
  RT_CHECK(strcmp(hex, info->teacher_hash) == 0, RT_ERR_CONFIG,
           "eval.teacher: the weights in %s have hash %s, but %s was captured "
           "from weights %s: set teacher.weights to that teacher, or "
           "eval.teacher=false",
           folder, hex, rt_deck_text(job->deck, RT_KEY_TEA_DATASET),
           info->teacher_hash);
  return RT_OK;
}

/** Check that the dataset belongs to the run's corpus and tokenizer. */
static rt_err match_dataset(const rt_job *job)
{
  const rt_logits_info *const info = rt_logits_about(job->dataset);
  char hex[RT_SHA256_HEX] = "";
  if (job->corpus != NULL && info->corpus_hash[0] != '\0')
    RT_TRY(rt_known_corpus(job->world, info->version, job->corpus, hex));
  const rt_match_spec spec = {.dataset = job->dataset,
                              .folder =
                                  rt_deck_text(job->deck, RT_KEY_TEA_DATASET),
                              .corpus = job->corpus,
                              .corpus_hash = hex,
                              .tokenizer_hash = job->tokenizer_hash};
  RT_TRY(rt_agree(job->world,
                  job->grid_s.rank == 0 ? rt_match_dataset(&spec) : RT_OK));
  return (job->needs & RT_NEED_TEACHER) != 0 ? match_weights(job) : RT_OK;
}

static rt_types types_of(const rt_deck *deck, rt_key key)
{
  return rt_types_of(rt_deck_is(deck, key, "fp64")   ? RT_F64
                     : rt_deck_is(deck, key, "bf16") ? RT_BF16
                                                     : RT_F32);
}

/** The types of student and teacher.  Their logits meet in the loss. */
static rt_err choose_types(rt_job *job)
{
  const bool same = rt_deck_is(job->deck, RT_KEY_TEA_DTYPE, "same");
  job->types_s = types_of(job->deck, RT_KEY_RUN_DTYPE);
  job->types_t =
      types_of(job->deck, same ? RT_KEY_RUN_DTYPE : RT_KEY_TEA_DTYPE);
  RT_CHECK(job->types_s.tile == job->types_t.tile, RT_ERR_CONFIG,
           "run.dtype is %s, teacher.dtype %s: a model in fp64 learns from one "
           "in fp64; remove teacher.dtype",
           rt_deck_text(job->deck, RT_KEY_RUN_DTYPE),
           rt_deck_text(job->deck, RT_KEY_TEA_DTYPE));
  return RT_OK;
}

/** Memory of HDF5 to open shards (measured: 1 MiB; twice that is planned). */
static const double reading_bytes = 0x1p20 * 2.0;

rt_err rt_job_init(rt_job *job, const rt_deck *deck, const rt_comm *world,
                   const rt_hooks *hooks, int needs)
{
  *job = (rt_job){.deck = deck, .world = world, .hooks = hooks, .needs = needs};
  rt_job_note_base(job);
  rt_phases_start(&job->phases, RT_PHASE_SETUP);
  job->seq = rt_deck_int(deck, RT_KEY_DATA_SEQ);
  RT_TRY(rt_threads_choose(world, (int)rt_deck_int(deck, RT_KEY_RUN_THREADS),
                           &job->threads));
  RT_TRY(rt_agree(world, rt_dev_create(rt_deck_text(deck, RT_KEY_RUN_DEVICE),
                                       job->threads.n, &job->dev)));
  RT_TRY(choose_types(job));
  if (job->types_s.act == RT_BF16 || job->types_t.act == RT_BF16)
    rt_job_beside(job, "products of bf16",
                  (double)rt_dev_library_bf16_bytes(job->dev));
  RT_TRY(rt_grid_init(&job->grid_s, world,
                      (int)rt_deck_int(deck, RT_KEY_STU_TP), "student.tp"));
  RT_TRY(rt_grid_init(&job->grid_t, world,
                      (int)rt_deck_int(deck, RT_KEY_TEA_TP), "teacher.tp"));
  if ((needs & RT_NEED_DATASET) != 0) {
    const char *folder = rt_deck_text(deck, RT_KEY_TEA_DATASET);
    RT_CHECK(folder[0] != '\0', RT_ERR_CONFIG,
             "teacher.source is dataset, but teacher.dataset is empty");
    RT_TRY(rt_logits_open(rt_comm_mpi(world), folder, RT_LOGITS_FINISHED,
                          &job->dataset));
    rt_job_beside(job, "dataset",
                  (double)rt_logits_memory(job->dataset) + reading_bytes);
  }
  RT_TRY(rt_agree(world, read_inputs(job)));
  RT_TRY(rt_agree(world, rt_job_note_products(job)));
  RT_TRY(rt_job_same_inputs(job));
  return job->dataset != NULL ? match_dataset(job) : RT_OK;
}

void rt_job_clear(rt_job *job)
{
  if (job->dev != NULL)
    rt_comm_forget(job->dev);
  rt_logits_close(&job->dataset);
  rt_corpus_close(&job->corpus);
  free(job->config);
  job->config = NULL;
  rt_grid_clear(&job->grid_t);
  rt_grid_clear(&job->grid_s);
  rt_dev_destroy(&job->dev);
}
