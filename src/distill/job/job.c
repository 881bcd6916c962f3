/** \file job.c
 *  From a deck to shapes, grids, device, corpus and dataset that fit together.
 */
#include "distill/job/job.h"

#include "base/file.h"
#include "base/log.h"
#include "base/split.h"
#include "distill/job/job_memory.h"
#include "distill/job/match.h"
#include "distill/job/open_corpus.h"
#include "distill/job/same_inputs.h"
#include "io/hf/hfconfig.h"
#include "io/hf/hffolder.h"
#include "model/rope.h"
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/** The student's shape from the deck's student.* keys. */
static void arch_from_keys(const rt_deck *d, rt_arch *a)
{
  const int64_t width = rt_deck_int(d, RT_KEY_STU_WIDTH);
  const int64_t heads = rt_deck_int(d, RT_KEY_STU_HEADS);
  const int64_t kv = rt_deck_int(d, RT_KEY_STU_KV_HEADS);
  const int64_t head_dim = rt_deck_int(d, RT_KEY_STU_HEAD_DIM);
  const int64_t ffn = rt_deck_int(d, RT_KEY_STU_FFN);
  const int64_t positions = rt_deck_int(d, RT_KEY_STU_POSITIONS);
  *a =
      (rt_arch){.family = "llama",
                .vocab = rt_deck_int(d, RT_KEY_STU_VOCAB),
                .width = width,
                .n_blocks = rt_deck_int(d, RT_KEY_STU_BLOCKS),
                .n_heads = heads,
                .n_kv_heads = kv > 0 ? kv : heads,
                .head_dim = head_dim > 0 ? head_dim : width / heads,
                .ffn = ffn > 0 ? ffn : rt_round_up((8 * width + 2) / 3, 32),
                .max_positions =
                    positions > 0 ? positions : rt_deck_int(d, RT_KEY_DATA_SEQ),
                .norm_eps = rt_deck_real(d, RT_KEY_STU_NORM_EPS),
                .rope_theta = rt_deck_real(d, RT_KEY_STU_ROPE_THETA),
                .tied = rt_deck_bool(d, RT_KEY_STU_TIED),
                .qkv_bias = rt_deck_bool(d, RT_KEY_STU_QKV_BIAS),
                .init_std = rt_deck_real(d, RT_KEY_STU_INIT_STD),
                .bos_id = -1,
                .eos_id = rt_deck_int(d, RT_KEY_DATA_EOT)};
}

/** Keys that were given but that config.json overrules are told: the run's
 *  deck.yaml shows them as if they held. */
static void tell_overruled(const rt_deck *d, const char *from, const rt_arch *a)
{
  rt_arch asked;
  arch_from_keys(d, &asked);
  const struct {
    rt_key key;
    int64_t asked, is;
  } part[] = {{RT_KEY_STU_VOCAB, asked.vocab, a->vocab},
              {RT_KEY_STU_WIDTH, asked.width, a->width},
              {RT_KEY_STU_BLOCKS, asked.n_blocks, a->n_blocks},
              {RT_KEY_STU_HEADS, asked.n_heads, a->n_heads},
              {RT_KEY_STU_KV_HEADS, asked.n_kv_heads, a->n_kv_heads},
              {RT_KEY_STU_HEAD_DIM, asked.head_dim, a->head_dim},
              {RT_KEY_STU_FFN, asked.ffn, a->ffn},
              {RT_KEY_STU_TIED, asked.tied, a->tied},
              {RT_KEY_STU_QKV_BIAS, asked.qkv_bias, a->qkv_bias}};
  char text[512] = "";
  for (size_t i = 0; i < sizeof part / sizeof part[0]; i++) {
    const size_t used = strlen(text);
    if (rt_deck_source(d, part[i].key) != RT_FROM_DEFAULT &&
        part[i].asked != part[i].is)
      snprintf(text + used, sizeof text - used, "%s%s %lld (it has %lld)",
               used > 0 ? ", " : "", rt_key_path(part[i].key),
               (long long)part[i].asked, (long long)part[i].is);
  }
  const struct {
    rt_key key;
    double asked, is;
  } real[] = {{RT_KEY_STU_NORM_EPS, asked.norm_eps, a->norm_eps},
              {RT_KEY_STU_ROPE_THETA, asked.rope_theta, a->rope_theta},
              {RT_KEY_STU_INIT_STD, asked.init_std, a->init_std},
              {RT_KEY_STU_POSITIONS, (double)asked.max_positions,
               (double)a->max_positions}};
  for (size_t i = 0; i < sizeof real / sizeof real[0]; i++) {
    const size_t used = strlen(text);
    if (rt_deck_source(d, real[i].key) != RT_FROM_DEFAULT &&
        real[i].asked != real[i].is)
      snprintf(text + used, sizeof text - used, "%s%s %g (it has %g)",
               used > 0 ? ", " : "", rt_key_path(real[i].key), real[i].asked,
               real[i].is);
  }
  if (text[0] != '\0')
    rt_warn("the student's shape is that of %s, not %s", from, text);
}

/** The config.json that \a path, a folder or the file, means. */
static bool find_config(const char *path, struct stat *what)
{
  char folder[RT_PATH_MAX], file[RT_PATH_MAX];
  return rt_hffolder_find(path, folder) == RT_OK &&
         (rt_folder_exists(folder)
              ? rt_path_join(file, folder, "config.json") == RT_OK &&
                    stat(file, what) == 0
              : stat(folder, what) == 0);
}

/** Weights bring their shape: another one beside it would be passed over. */
static rt_err check_one_config(const rt_deck *d)
{
  const char *const weights = rt_deck_text(d, RT_KEY_STU_WEIGHTS);
  const char *const config = rt_deck_text(d, RT_KEY_STU_CONFIG);
  struct stat a, b;
  if (weights[0] == '\0' || config[0] == '\0')
    return RT_OK;
  RT_CHECK(find_config(weights, &a) && find_config(config, &b) &&
               a.st_dev == b.st_dev && a.st_ino == b.st_ino,
           RT_ERR_CONFIG,
           "student.weights is %s and student.config is %s, another model's: "
           "weights have the shape of their own config.json; leave one of the "
           "two keys out",
           weights, config);
  return RT_OK;
}

/** Both grids' models run rows of data.seq: said before a folder is made. */
static rt_err check_positions(const rt_job *job, const rt_arch *arch,
                              const char *where)
{
  const int64_t most = rt_rope_max_seq(arch);
  RT_CHECK(job->seq <= most, RT_ERR_CONFIG,
           "%s: rows of %lld tokens (data.seq), but the model has %lld "
           "positions; choose shorter rows",
           where, (long long)job->seq, (long long)most);
  RT_CHECK(job->seq <= arch->max_positions ||
               arch->rope_scaling.kind != RT_ROPE_DYNAMIC ||
               !rt_deck_bool(job->deck, RT_KEY_DATA_MASK_DOCS),
           RT_ERR_CONFIG,
           "%s: beyond %lld tokens dynamic rope scaling depends on the length "
           "of what is read, which data.mask_documents cuts: choose data.seq "
           "up to that, or do without data.mask_documents",
           where, (long long)arch->max_positions);
  return RT_OK;
}

/** What is padding of the model's vocabulary, if the deck says. */
static rt_err read_true_vocab(const rt_deck *d, rt_arch *arch,
                              const char *where)
{
  const int64_t vocab = rt_deck_int(d, RT_KEY_DATA_VOCAB);
  RT_CHECK(vocab <= arch->vocab, RT_ERR_CONFIG,
           "%s: the model has %lld ids, data.vocab is %lld: it cannot tell all "
           "of the tokenizer's apart",
           where, (long long)arch->vocab, (long long)vocab);
  arch->vocab_true = vocab;
  return RT_OK;
}

/** A teacher that brings its tokenizer must have the corpus's. */
static rt_err check_teacher_tokenizer(const rt_job *job, const char *folder)
{
  char theirs[RT_SHA256_HEX];
  if (job->tokenizer_hash[0] == '\0')
    return RT_OK;
  const rt_err err = rt_tokenizer_hash(folder, theirs);
  if (err == RT_ERR_NOINPUT)
    return RT_OK; // it holds none
  RT_TRY(err);
  RT_CHECK(strcmp(theirs, job->tokenizer_hash) == 0, RT_ERR_CONFIG,
           "%s holds another tokenizer, %s, than data.tokenizer, %s: the "
           "teacher would read other words than the corpus says; tokenise it "
           "with the teacher's, or, where both are one in two spellings, name "
           "the teacher's folder in data.tokenizer",
           folder, theirs, job->tokenizer_hash);
  return RT_OK;
}

/** The model that a key of the deck names. */
static rt_err read_config(const rt_deck *d, rt_key key, rt_arch *arch)
{
  const rt_err err = rt_hfconfig_read(rt_deck_text(d, key), arch);
  return err == RT_OK ? RT_OK
                      : RT_FAIL(err, "%s: %s", rt_key_path(key), rt_err_text());
}

static rt_err read_teacher_shape(rt_job *job)
{
  const char *folder = rt_deck_text(job->deck, RT_KEY_TEA_WEIGHTS);
  RT_CHECK(folder[0] != '\0', RT_ERR_CONFIG,
           "teacher.weights is not given: name the Hugging Face folder of the "
           "teacher");
  RT_TRY(read_config(job->deck, RT_KEY_TEA_WEIGHTS, &job->arch_t));
  RT_TRY(check_teacher_tokenizer(job, folder));
  RT_TRY(rt_arch_check(&job->arch_t, folder));
  RT_TRY(check_positions(job, &job->arch_t, folder));
  RT_TRY(read_true_vocab(job->deck, &job->arch_t, folder));
  return rt_arch_check_tp(&job->arch_t, job->grid_t.tp, "teacher.tp");
}

/** What the student takes its vocabulary from when the deck does not say. */
static int64_t vocab_of_targets(const rt_job *job)
{
  if (job->dataset != NULL)
    return job->vocab_cut > 0 ? job->vocab_cut
                              : rt_logits_about(job->dataset)->vocab;
  return (job->needs & RT_NEED_TEACHER) != 0 ? rt_arch_true_vocab(&job->arch_t)
                                             : 0;
}

static rt_err read_student_shape(rt_job *job)
{
  const rt_deck *d = job->deck;
  const rt_key key = rt_deck_text(d, RT_KEY_STU_WEIGHTS)[0] != '\0'
                         ? RT_KEY_STU_WEIGHTS
                         : RT_KEY_STU_CONFIG;
  const char *from = rt_deck_text(d, key);
  RT_TRY(check_one_config(d));
  if (from[0] != '\0') {
    RT_TRY(read_config(d, key, &job->arch_s));
    tell_overruled(d, from, &job->arch_s);
  } else
    arch_from_keys(d, &job->arch_s);
  const int64_t targets = vocab_of_targets(job);
  if (job->arch_s.vocab == 0)
    job->arch_s.vocab =
        (job->needs & RT_NEED_TEACHER) != 0 ? job->arch_t.vocab : targets;
  RT_CHECK(job->arch_s.vocab > 0, RT_ERR_CONFIG,
           "student.vocab is 0 and no teacher gives it: set student.vocab to "
           "the tokenizer's size");
  const char *const where = from[0] != '\0' ? from : "student.*";
  RT_TRY(read_true_vocab(d, &job->arch_s, where));
  const int64_t mine = rt_arch_true_vocab(&job->arch_s);
  RT_CHECK(targets == 0 || targets == mine || job->dataset == NULL ||
               rt_deck_int(d, RT_KEY_DATA_VOCAB) == 0,
           RT_ERR_CONFIG,
           "%s has the logits of %lld ids, data.vocab is %lld: set data.vocab "
           "to the tokenizer's size; if that is right, the teacher has another "
           "tokenizer",
           rt_deck_text(d, RT_KEY_TEA_DATASET), (long long)targets,
           (long long)mine);
  RT_CHECK(targets == 0 || targets == mine, RT_ERR_CONFIG,
           "the student's vocabulary has %lld ids, the teacher's %lld: "
           "distillation needs one tokenizer for both; if they differ by "
           "padding only, set data.vocab to the tokenizer's size",
           (long long)mine, (long long)targets);
  RT_TRY(rt_arch_check(&job->arch_s, where));
  RT_TRY(check_positions(job, &job->arch_s, where));
  return rt_arch_check_tp(&job->arch_s, job->grid_s.tp, "student.tp");
}

rt_err rt_job_make_config(rt_job *job)
{
  const char *const weights = rt_deck_text(job->deck, RT_KEY_STU_WEIGHTS);
  const char *const config = rt_deck_text(job->deck, RT_KEY_STU_CONFIG);
  const char *const where = weights[0] != '\0'  ? weights
                            : config[0] != '\0' ? config
                                                : "student.*";
  return rt_agree(job->world,
                  rt_hfconfig_text(&job->arch_s, where, &job->config));
}

rt_corpus_spec rt_job_corpus_spec(const rt_job *job)
{
  const rt_deck *const d = job->deck;
  const bool student = (job->needs & RT_NEED_STUDENT) != 0;
  return (rt_corpus_spec){
      .seq = job->seq,
      .vocab = rt_arch_true_vocab(student ? &job->arch_s : &job->arch_t),
      .eot = rt_deck_int(d, RT_KEY_DATA_EOT),
      .valid_fraction = rt_deck_real(d, RT_KEY_DATA_VALID),
      .split_seed = (uint64_t)rt_deck_int(d, RT_KEY_DATA_SPLIT_SEED)};
}

/** Only less than was captured can be chosen. */
static rt_err check_rule(const rt_deck *d, const rt_logits_info *info,
                         const char *folder)
{
  RT_CHECK(rt_deck_real(d, RT_KEY_TEA_TOP_P) <= info->top_p, RT_ERR_CONFIG,
           "teacher.top_p is %g, %s was captured with %g: choose a smaller p "
           "or capture again",
           rt_deck_real(d, RT_KEY_TEA_TOP_P), folder, info->top_p);
  RT_CHECK(rt_deck_int(d, RT_KEY_TEA_TOP_K) <= info->top_k, RT_ERR_CONFIG,
           "teacher.top_k is %lld, %s was captured with %lld: choose a smaller "
           "k or capture again",
           (long long)rt_deck_int(d, RT_KEY_TEA_TOP_K), folder,
           (long long)info->top_k);
  return RT_OK;
}

double rt_job_silence_s(const rt_deck *deck)
{
  const double limit_s = rt_deck_real(deck, RT_KEY_RUN_WATCHDOG_S);
  return limit_s > 0.0 ? RT_PATIENCE * limit_s : 86400.0;
}

rt_err rt_job_check_draws(const rt_deck *d, const char *where)
{
  RT_CHECK(rt_deck_real(d, RT_KEY_LOSS_TAU) == 1.0, RT_ERR_CONFIG,
           "%s: draws are at temperature 1, loss.tau is %g: set loss.tau=1, or "
           "take truncated entries",
           where, rt_deck_real(d, RT_KEY_LOSS_TAU));
  RT_CHECK(!rt_deck_is_set(d, RT_KEY_TEA_TOP_P) &&
               !rt_deck_is_set(d, RT_KEY_TEA_TOP_K),
           RT_ERR_CONFIG,
           "%s: of draws all are taken: leave teacher.top_p and teacher.top_k "
           "out",
           where);
  return RT_OK;
}

void rt_job_tell_unused(const rt_deck *d, const rt_key *keys, int n,
                        const char *why)
{
  for (int i = 0; i < n; i++)
    if (rt_deck_is_set(d, keys[i]))
      rt_warn("%s is given, but not used: %s", rt_key_path(keys[i]), why);
}

const char *rt_job_cut_means(const rt_job *job)
{
  if (job->pieces == 0)
    return "";
  return rt_deck_is(job->deck, RT_KEY_TEA_ROW_CUT, "pieces")
             ? "of all but the first the teacher saw what came before, the "
               "student does not"
             : "the rest is left out";
}

/** A student's row starts where the captured row starts, unless the deck cuts
 *  it. */
static rt_err check_length(rt_job *job, const char *folder)
{
  const rt_deck *d = job->deck;
  const int64_t seq = rt_logits_about(job->dataset)->seq;
  const bool pieces = rt_deck_is(d, RT_KEY_TEA_ROW_CUT, "pieces");
  if (seq == job->seq)
    return RT_OK;
  RT_CHECK(job->seq < seq && !rt_deck_is(d, RT_KEY_TEA_ROW_CUT, "none"),
           RT_ERR_CONFIG,
           "%s holds rows of %lld tokens, data.seq is %lld: a student's row "
           "must start where the captured row starts; set data.seq=%lld%s",
           folder, (long long)seq, (long long)job->seq, (long long)seq,
           job->seq > seq ? ", rows are not joined"
                          : ", or let teacher.row_cut say how shorter rows are "
                            "made");
  RT_CHECK(!rt_deck_bool(d, RT_KEY_DATA_MASK_DOCS), RT_ERR_CONFIG,
           "data.mask_documents needs whole rows, %s has %lld tokens in each "
           "and data.seq is %lld: set data.seq=%lld",
           folder, (long long)seq, (long long)job->seq, (long long)seq);
  job->pieces = pieces ? seq / job->seq : 1;
  rt_info("%s: %lld rows of %lld tokens are made of each of %lld; %s", folder,
          (long long)job->pieces, (long long)job->seq, (long long)seq,
          rt_job_cut_means(job));
  return RT_OK;
}

/** A dataset captured without data.vocab has the teacher's padding, too. */
static void cut_vocab(rt_job *job, const char *folder)
{
  const int64_t stored = rt_logits_about(job->dataset)->vocab;
  const int64_t vocab = rt_deck_int(job->deck, RT_KEY_DATA_VOCAB);
  if (vocab == 0 || vocab >= stored)
    return;
  job->vocab_cut = vocab;
  rt_info(
      "%s has logits of %lld ids: those from data.vocab=%lld on are dropped "
      "as padding, the others have their probability",
      folder, (long long)stored, (long long)vocab);
}

/** What the deck asks of the dataset, it must be able to give. */
static rt_err check_dataset(rt_job *job)
{
  const rt_deck *d = job->deck;
  const rt_logits_info *info = rt_logits_about(job->dataset);
  const char *folder = rt_deck_text(d, RT_KEY_TEA_DATASET);
  cut_vocab(job, folder);
  RT_TRY(check_length(job, folder));
  RT_TRY(info->draws > 0 ? rt_job_check_draws(d, folder)
                         : check_rule(d, info, folder));
  RT_CHECK(rt_deck_bool(d, RT_KEY_DATA_MASK_DOCS) == info->mask_documents,
           RT_ERR_CONFIG,
           "%s was captured with data.mask_documents %s: the student must see "
           "what the teacher saw",
           folder, info->mask_documents ? "true" : "false");
  return RT_OK;
}

/** Rows of the training stream in use: what is there, cut by data.rows. */
static rt_err count_rows(rt_job *job)
{
  const int64_t asked = rt_deck_int(job->deck, RT_KEY_DATA_ROWS);
  if (job->dataset != NULL) {
    job->n_rows = rt_logits_about(job->dataset)->n_rows *
                  (job->pieces > 0 ? job->pieces : 1);
    job->first_row = rt_logits_about(job->dataset)->first_row;
  } else
    job->n_rows = rt_corpus_n_rows(job->corpus, RT_TRAIN);
  RT_CHECK(asked <= job->n_rows, RT_ERR_CONFIG,
           "data.rows is %lld, but only %lld rows are there", (long long)asked,
           (long long)job->n_rows);
  if (asked > 0)
    job->n_rows = asked;
  return RT_OK;
}

static rt_err plan_batches(rt_job *job)
{
  const rt_deck *d = job->deck;
  const int dp = job->grid_s.dp;
  job->batch_rows = rt_deck_int(d, RT_KEY_TRAIN_BATCH);
  RT_CHECK(job->batch_rows % dp == 0, RT_ERR_CONFIG,
           "train.batch_rows is %lld, not a multiple of the student's dp %d "
           "(%d ranks / student.tp %d): take %lld",
           (long long)job->batch_rows, dp, job->grid_s.n_ranks, job->grid_s.tp,
           (long long)rt_round_up(job->batch_rows, dp));
  job->rows_per_rank = job->batch_rows / dp;
  job->micro_rows = rt_deck_int(d, RT_KEY_TRAIN_MICRO);
  if (job->micro_rows == 0 || job->micro_rows > job->rows_per_rank)
    job->micro_rows = job->rows_per_rank;
  RT_CHECK(job->rows_per_rank % job->micro_rows == 0, RT_ERR_CONFIG,
           "train.micro_rows is %lld, does not divide the %lld rows of a rank "
           "(train.batch_rows %lld / dp %d)",
           (long long)job->micro_rows, (long long)job->rows_per_rank,
           (long long)job->batch_rows, dp);
  job->n_steps =
      rt_deck_steps(d, RT_KEY_TRAIN_LENGTH, job->batch_rows * job->seq, 0);
  RT_CHECK(job->n_steps > 0, RT_ERR_CONFIG, "train.length gives no step");
  return RT_OK;
}

/** The tokenizer's ids against what the deck and the model say of them. */
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
    rt_warn("%s has ids up to %lld, data.vocab is %lld: ids of the tokenizer "
            "from data.vocab on would have no probability, ids beyond the "
            "tokenizer's have some",
            folder, (long long)n_words - 1, (long long)said);
  else if (vocab < n_words)
    rt_warn("%s has ids up to %lld, the model has %lld ids: text with the "
            "others cannot be learned, and is refused where it comes",
            folder, (long long)n_words - 1, (long long)vocab);
}

/** All that one rank can find wrong by itself. */
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
    RT_TRY(read_teacher_shape(job));
  static const rt_key drawn[] = {RT_KEY_TEA_DRAWS, RT_KEY_TEA_SEED};
  if (job->dataset != NULL) {
    RT_TRY(check_dataset(job));
    rt_job_tell_unused(d, drawn, 2,
                       "the dataset holds what was drawn, or truncated");
  }
  if ((job->needs & RT_NEED_STUDENT) != 0)
    RT_TRY(read_student_shape(job));
  tell_vocab(job, n_words);
  // A dataset carries its rows: the corpus is then only for validation.
  const bool has_files = rt_deck_n(d, RT_KEY_DATA_FILES) > 0;
  if ((job->needs & RT_NEED_CORPUS) != 0 && (has_files || job->dataset == NULL))
    RT_TRY(rt_open_corpus(d, rt_job_corpus_spec(job), &job->corpus));
  if (job->dataset != NULL && job->grid_s.rank == 0)
    RT_TRY(rt_match_dataset(job)); // one reader is enough
  if (job->corpus != NULL || job->dataset != NULL)
    RT_TRY(count_rows(job));
  return (job->needs & RT_NEED_STUDENT) != 0 ? plan_batches(job) : RT_OK;
}

/** HDF5's own, to open shards: measured, 1 MiB. */
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
  const bool f64 = rt_deck_is(deck, RT_KEY_RUN_REAL, "f64");
  RT_TRY(rt_agree(world, rt_dev_create(rt_deck_text(deck, RT_KEY_RUN_DEVICE),
                                       f64 ? RT_F64 : RT_F32, job->threads.n,
                                       &job->dev)));
  RT_TRY(rt_grid_init(&job->grid_s, world,
                      (int)rt_deck_int(deck, RT_KEY_STU_TP), "student.tp"));
  RT_TRY(rt_grid_init(&job->grid_t, world,
                      (int)rt_deck_int(deck, RT_KEY_TEA_TP), "teacher.tp"));
  if ((needs & RT_NEED_DATASET) != 0) {
    const char *folder = rt_deck_text(deck, RT_KEY_TEA_DATASET);
    RT_CHECK(folder[0] != '\0', RT_ERR_CONFIG,
             "teacher.source is dataset, but teacher.dataset names no folder");
    RT_TRY(rt_logits_open(rt_comm_mpi(world), folder, RT_LOGITS_FINISHED,
                          &job->dataset));
    rt_job_beside(job, "dataset",
                  (double)rt_logits_memory(job->dataset) + reading_bytes);
  }
  RT_TRY(rt_agree(world, read_inputs(job)));
  return rt_job_same_inputs(job);
}

void rt_job_clear(rt_job *job)
{
  rt_logits_close(&job->dataset);
  rt_corpus_close(&job->corpus);
  free(job->config);
  job->config = NULL;
  rt_grid_clear(&job->grid_t);
  rt_grid_clear(&job->grid_s);
  rt_dev_destroy(&job->dev);
}
