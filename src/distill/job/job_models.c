/** \file job_models.c
 *  Shapes of student and teacher, from config.json or from keys. */
#include "distill/job/job_models.h"

#include "base/file.h"
#include "base/log.h"
#include "base/split.h"
#include "io/hf/hfconfig.h"
#include "io/hf/hffolder.h"
#include "model/rope.h"
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
                .bos_id = rt_deck_int(d, RT_KEY_DATA_BOS),
                .pad_id = -1,
                .eos_id = rt_deck_int(d, RT_KEY_DATA_EOT)};
}

/** Report keys that config.json overrides, since the run's deck.yaml shows
 *  them. */
static void report_overridden(const rt_deck *d, const char *from,
                              const rt_arch *a)
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

/** Find the config.json that \a path, a folder or file, refers to. */
static bool find_config(const char *path, struct stat *what)
{
  char folder[RT_PATH_MAX], file[RT_PATH_MAX];
  return rt_hffolder_find(path, folder) == RT_OK &&
         (rt_folder_exists(folder)
              ? rt_path_join(file, folder, "config.json") == RT_OK &&
                    stat(file, what) == 0
              : stat(folder, what) == 0);
}

/** Reject a student.config of another model: weights come with their own shape.
 */
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
           "student.weights is %s and student.config is %s, which belongs to "
           "another model: weights have the shape of their own config.json; "
           "remove one of the two keys",
           weights, config);
  return RT_OK;
}

/** Check that the model supports rows of data.seq, before a folder is created.
 */
static rt_err check_positions(const rt_job *job, const rt_arch *arch,
                              const char *where)
{
  const int64_t max = rt_rope_max_seq(arch);
  RT_CHECK(job->seq <= max, RT_ERR_CONFIG,
           "%s: rows of %lld tokens (data.seq), but the model has %lld "
           "positions; choose shorter rows",
           where, (long long)job->seq, (long long)max);
  RT_CHECK(job->seq <= arch->max_positions ||
               arch->rope_scaling.kind != RT_ROPE_DYNAMIC ||
               !rt_deck_bool(job->deck, RT_KEY_DATA_MASK_DOCS),
           RT_ERR_CONFIG,
           "%s: beyond %lld tokens dynamic rope scaling depends on the length "
           "of the text, which data.mask_documents changes: reduce data.seq to "
           "that, or disable data.mask_documents",
           where, (long long)arch->max_positions);
  return RT_OK;
}

/** Set the padding of the model's vocabulary, if the deck gives it. */
static rt_err read_true_vocab(const rt_deck *d, rt_arch *arch,
                              const char *where)
{
  const int64_t vocab = rt_deck_int(d, RT_KEY_DATA_VOCAB);
  RT_CHECK(vocab <= arch->vocab, RT_ERR_CONFIG,
           "%s: the model has %lld ids, but data.vocab is %lld: it lacks some "
           "of the tokenizer's ids",
           where, (long long)arch->vocab, (long long)vocab);
  arch->vocab_true = vocab;
  return RT_OK;
}

/** Check that a teacher's tokenizer, if present, is that of the corpus. */
static rt_err check_teacher_tokenizer(const rt_job *job, const char *folder)
{
  char theirs[RT_SHA256_HEX];
  if (job->tokenizer_hash[0] == '\0')
    return RT_OK;
  const rt_err err = rt_tokenizer_hash(folder, theirs);
  if (err == RT_ERR_NOINPUT)
    return RT_OK; // it contains none
  RT_TRY(err);
  RT_CHECK(strcmp(theirs, job->tokenizer_hash) == 0, RT_ERR_CONFIG,
           "%s holds another tokenizer, %s, than data.tokenizer, %s: the "
           "teacher would misread the corpus; tokenise it with the teacher's "
           "tokenizer, or, if both are the same in different files, set "
           "data.tokenizer to the teacher's folder",
           folder, theirs, job->tokenizer_hash);
  return RT_OK;
}

/** Read the model named by a key of the deck. */
static rt_err read_config(const rt_deck *d, rt_key key, rt_arch *arch)
{
  const rt_err err = rt_hfconfig_read(rt_deck_text(d, key), arch);
  return err == RT_OK ? RT_OK
                      : RT_FAIL(err, "%s: %s", rt_key_path(key), rt_err_text());
}

rt_err rt_job_read_teacher(rt_job *job)
{
  const char *folder = rt_deck_text(job->deck, RT_KEY_TEA_WEIGHTS);
  RT_CHECK(folder[0] != '\0', RT_ERR_CONFIG,
           "teacher.weights is not set: set it to the Hugging Face folder of "
           "the teacher");
  RT_TRY(read_config(job->deck, RT_KEY_TEA_WEIGHTS, &job->arch_t));
  RT_TRY(check_teacher_tokenizer(job, folder));
  RT_TRY(rt_arch_check(&job->arch_t, folder));
  RT_TRY(check_positions(job, &job->arch_t, folder));
  RT_TRY(read_true_vocab(job->deck, &job->arch_t, folder));
  return rt_arch_check_tp(&job->arch_t, job->grid_t.tp, "teacher.tp");
}

/** The vocabulary of the targets, which the student uses if the deck gives
 *  none. */
static int64_t vocab_of_targets(const rt_job *job)
{
  if (job->dataset != NULL)
    return job->vocab_cut > 0 ? job->vocab_cut
                              : rt_logits_about(job->dataset)->vocab;
  return (job->needs & RT_NEED_TEACHER) != 0 ? rt_arch_true_vocab(&job->arch_t)
                                             : 0;
}

rt_err rt_job_read_student(rt_job *job)
{
  const rt_deck *d = job->deck;
  const rt_key key = rt_deck_text(d, RT_KEY_STU_WEIGHTS)[0] != '\0'
                         ? RT_KEY_STU_WEIGHTS
                         : RT_KEY_STU_CONFIG;
  const char *from = rt_deck_text(d, key);
  RT_TRY(check_one_config(d));
  if (from[0] != '\0') {
    RT_TRY(read_config(d, key, &job->arch_s));
    report_overridden(d, from, &job->arch_s);
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
           "distillation needs one tokenizer for both; if they differ only in "
           "padding, set data.vocab to the tokenizer's size",
           (long long)mine, (long long)targets);
  RT_TRY(rt_arch_check(&job->arch_s, where));
  RT_TRY(check_positions(job, &job->arch_s, where));
  return rt_arch_check_tp(&job->arch_s, job->grid_s.tp, "student.tp");
}

rt_model_spec rt_job_student(const rt_job *job)
{
  return (rt_model_spec){
      .arch = &job->arch_s,
      .grid = &job->grid_s,
      .dev = job->dev,
      .types = job->types_s,
      .max_rows = job->micro_rows,
      .seq = job->seq,
      .recompute = rt_deck_is(job->deck, RT_KEY_TRAIN_RECOMPUTE, "block")};
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
