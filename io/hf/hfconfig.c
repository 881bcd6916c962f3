/** \file hfconfig.c
 *  config.json of Hugging Face folders, to and from rt_arch.
 *
 *  Defaults are those of transformers' LlamaConfig; the five sizes that make a
 *  model have none here: a file without them is damaged. */
#include "io/hf/hfconfig.h"

#include "base/file.h"
#include "io/common/json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define CONFIG "config.json"

enum {
  MAX_BYTES = 4 << 20,
  // the ranges of the deck's student.* keys; products of them stay in 63 bits
  MAX_WIDTH = 1 << 20,
  MAX_BLOCKS = 100000,
  MAX_HEADS = 65536,
  MAX_FFN = 10000000,
  MAX_POSITIONS = 1 << 24,
  MAX_ATTENTION = 1 << 22 /* heads times head_dim */
};
#define MAX_VOCAB INT64_C(4294967295)

/** One object of the file and its name in messages. */
typedef struct section {
  const char *path; // borrowed
  const char *name; // borrowed, "" for the root or "rope_scaling."
  const rt_json *object;
} section;

/** "path: key is GOT, expected ..." */
#define EXPECT(condition, in, key, ...)                                        \
  do {                                                                         \
    if (!(condition))                                                          \
      return refuse((in), (key), __FILE__, __LINE__, __VA_ARGS__);             \
  } while (0)

static rt_err refuse(const section *in, const char *key, const char *file,
                     int line, const char *expected)
{
  char got[120];
  rt_json_show(rt_json_get(in->object, key), got, sizeof got);
  return rt_err_set(RT_ERR_CONFIG, file, line, "%s: %s%s is %s, expected %s",
                    in->path, in->name, key, got, expected);
}

static bool is_given(const rt_json *value)
{
  return rt_json_kind_of(value) > RT_JSON_NULL;
}

/* An absent or null field leaves *to, which holds the default, as it is. */

static rt_err get_size(const section *in, const char *key, int64_t low,
                       int64_t high, int64_t *to)
{
  char range[80];
  const rt_json *value = rt_json_get(in->object, key);
  int64_t n;
  if (!is_given(value))
    return RT_OK;
  snprintf(range, sizeof range, "an integer in %lld..%lld", (long long)low,
           (long long)high);
  EXPECT(rt_json_int(value, &n) && n >= low && n <= high, in, key, range);
  *to = n;
  return RT_OK;
}

static rt_err need_size(const section *in, const char *key, int64_t high,
                        int64_t *to)
{
  EXPECT(is_given(rt_json_get(in->object, key)), in, key,
         "the size of the model; the file is damaged or of another kind");
  return get_size(in, key, 1, high, to);
}

static rt_err get_real(const section *in, const char *key, double low,
                       double high, double *to)
{
  char range[80];
  const rt_json *value = rt_json_get(in->object, key);
  double x;
  if (!is_given(value))
    return RT_OK;
  snprintf(range, sizeof range, "a number in %g..%g", low, high);
  EXPECT(rt_json_real(value, &x) && x >= low && x <= high, in, key, range);
  *to = x;
  return RT_OK;
}

static rt_err get_bool(const section *in, const char *key, bool *to)
{
  const rt_json *value = rt_json_get(in->object, key);
  if (is_given(value))
    EXPECT(rt_json_bool(value, to), in, key, "true or false");
  return RT_OK;
}

/** A token id, or a list of them whose first counts. */
static rt_err get_id(const section *in, const char *key, int64_t vocab,
                     int64_t *to)
{
  const rt_json *value = rt_json_get(in->object, key);
  *to = -1;
  if (rt_json_kind_of(value) == RT_JSON_ARRAY)
    value = rt_json_at(value, 0);
  if (is_given(value))
    EXPECT(rt_json_int(value, to) && *to >= -1 && *to < vocab, in, key,
           "a token id below vocab_size, or a list of them");
  return RT_OK;
}

/* ---- what would change the numbers ------------------------------------- */

/** The value that means "without". */
typedef enum neutral { NONE, ZERO, ONE } neutral;

/** Fields of relatives of Llama that retort does not compute.  Other unknown
 *  fields are ignored, as transformers' Llama ignores them. */
static const struct {
  const char *key;
  neutral value;
} foreign[] = {
    {"sliding_window", NONE},
    {"attention_chunk_size", NONE},
    {"layer_types", NONE},
    {"no_rope_layers", NONE},
    {"no_rope_layer_interval", NONE},
    {"use_qk_norm", NONE},
    {"qk_norm", NONE},
    {"qk_layernorm", NONE},
    {"clip_qkv", NONE},
    {"alibi", NONE},
    {"attention_multiplier", NONE},
    {"query_pre_attn_scalar", NONE},
    {"attn_logit_softcapping", NONE},
    {"final_logit_softcapping", NONE},
    {"rope_interleaved", NONE},
    {"original_max_position_embeddings", NONE},
    {"num_experts", NONE},
    {"num_local_experts", NONE},
    {"per_layer_config", NONE},
    {"is_encoder_decoder", NONE},
    {"add_cross_attention", NONE},
    {"quantization_config", NONE},
    {"compression_config", NONE},
    {"auto_map", NONE},
    {"pretraining_tp", ONE},
    {"partial_rotary_factor", ONE},
    {"rotary_pct", ONE},
    {"rope_ratio", ONE},
    {"logit_scale", ONE},
    {"logits_scaling", ONE},
    {"embedding_multiplier", ONE},
    {"residual_multiplier", ONE},
    {"lm_head_multiplier", ONE},
    {"attention_dropout", ZERO},
    {"hidden_dropout", ZERO},
    {"attn_pdrop", ZERO},
    {"embd_pdrop", ZERO},
    {"resid_pdrop", ZERO},
};

static rt_err check_foreign(const section *in)
{
  static const char *const expected[] = {
      [NONE] = "null or false: retort does not compute such models",
      [ZERO] = "0: retort trains without dropout",
      [ONE] = "1: retort does not compute such models"};
  for (size_t i = 0; i < sizeof foreign / sizeof foreign[0]; i++) {
    const rt_json *value = rt_json_get(in->object, foreign[i].key);
    const neutral wanted = foreign[i].value;
    bool flag = true;
    double number = -1.0;
    if (!is_given(value))
      continue;
    if (wanted == NONE)
      EXPECT(rt_json_bool(value, &flag) && !flag, in, foreign[i].key,
             expected[NONE]);
    else
      EXPECT(rt_json_real(value, &number) &&
                 number == (wanted == ONE ? 1.0 : 0.0),
             in, foreign[i].key, expected[wanted]);
  }
  return RT_OK;
}

static rt_err check_family(const section *in)
{
  const rt_json *list = rt_json_get(in->object, "architectures");
  const char *type = rt_json_text(rt_json_get(in->object, "model_type"));
  const char *class_name = rt_json_text(rt_json_at(list, 0));
  if (is_given(list))
    EXPECT(rt_json_n(list) == 1 && class_name != NULL &&
               strcmp(class_name, "LlamaForCausalLM") == 0,
           in, "architectures", "[\"LlamaForCausalLM\"]");
  if (class_name == NULL || is_given(rt_json_get(in->object, "model_type")))
    EXPECT(type != NULL && strcmp(type, "llama") == 0, in, "model_type",
           "\"llama\"; other families are not read yet");
  const rt_json *act = rt_json_get(in->object, "hidden_act");
  if (is_given(act))
    EXPECT(rt_json_text(act) != NULL && strcmp(rt_json_text(act), "silu") == 0,
           in, "hidden_act", "\"silu\"");
  return RT_OK;
}

/* ---- rope -------------------------------------------------------------- */

/** rope_scaling or rope_parameters. */
typedef struct rope {
  double theta; /**< 0: not given */
  rt_rope_scaling scaling;
} rope;

/** "default" or "llama3"; transformers once called the field "type". */
static rt_err read_rope_type(const section *in, bool *on)
{
  static const char *const keys[] = {"type", "rope_type"};
  bool seen = false;
  *on = false;
  for (int i = 0; i < 2; i++) {
    const rt_json *value = rt_json_get(in->object, keys[i]);
    const char *text = rt_json_text(value);
    if (!is_given(value))
      continue;
    const bool llama3 = text != NULL && strcmp(text, "llama3") == 0;
    EXPECT(text != NULL && (llama3 || strcmp(text, "default") == 0), in,
           keys[i], "\"default\" or \"llama3\"");
    EXPECT(!seen || *on == llama3, in, keys[i], "the same as type");
    seen = true;
    *on = llama3;
  }
  return RT_OK;
}

/** Nothing in the object that retort would pass over. */
static rt_err check_rope_keys(const section *in, bool llama3)
{
  static const char *const known[] = {"type",
                                      "rope_type",
                                      "rope_theta",
                                      "factor",
                                      "low_freq_factor",
                                      "high_freq_factor",
                                      "original_max_position_embeddings"};
  const size_t n_known = llama3 ? sizeof known / sizeof known[0] : 3;
  rt_json_member m = {0};
  double part = 1.0;
  while (rt_json_next(in->object, &m)) {
    size_t i = 0;
    while (i < n_known && strcmp(known[i], m.key) != 0)
      i++;
    if (i < n_known || !is_given(m.value))
      continue;
    EXPECT(strcmp(m.key, "partial_rotary_factor") == 0, in, m.key,
           "to be absent for this rope_type");
    EXPECT(rt_json_real(m.value, &part) && part == 1.0, in, m.key, "1");
  }
  return RT_OK;
}

static rt_err read_rope(const section *in, int64_t max_positions, rope *to)
{
  rt_rope_scaling *s = &to->scaling;
  RT_TRY(read_rope_type(in, &s->on));
  RT_TRY(check_rope_keys(in, s->on));
  RT_TRY(get_real(in, "rope_theta", 1.0, 1e12, &to->theta));
  if (!s->on)
    return RT_OK;
  s->original_positions = max_positions; // as transformers 5 does
  RT_TRY(get_real(in, "factor", 1.0, 1e6, &s->factor));
  RT_TRY(get_real(in, "low_freq_factor", 1e-6, 1e6, &s->low_freq_factor));
  RT_TRY(get_real(in, "high_freq_factor", 1e-6, 1e6, &s->high_freq_factor));
  RT_TRY(get_size(in, "original_max_position_embeddings", 1, MAX_POSITIONS,
                  &s->original_positions));
  EXPECT(s->factor > 0.0, in, "factor", "a number: llama3 needs it");
  EXPECT(s->low_freq_factor > 0.0, in, "low_freq_factor",
         "a number: llama3 needs it");
  EXPECT(s->high_freq_factor > s->low_freq_factor, in, "high_freq_factor",
         "a number above low_freq_factor");
  return RT_OK;
}

static bool same_scaling(const rt_rope_scaling *a, const rt_rope_scaling *b)
{
  return a->on == b->on && a->factor == b->factor &&
         a->low_freq_factor == b->low_freq_factor &&
         a->high_freq_factor == b->high_freq_factor &&
         a->original_positions == b->original_positions;
}

/** transformers 4: rope_theta and rope_scaling; 5: rope_parameters; a file for
 *  both has all three, and they must agree. */
static rt_err read_all_ropes(const section *root, rt_arch *arch)
{
  static const char *const keys[] = {"rope_scaling", "rope_parameters"};
  static const char *const names[] = {"rope_scaling.", "rope_parameters."};
  double theta = 0.0;
  bool seen = false;
  RT_TRY(get_real(root, "rope_theta", 1.0, 1e12, &theta));
  for (int i = 0; i < 2; i++) {
    const section in = {root->path, names[i],
                        rt_json_get(root->object, keys[i])};
    rope r = {0};
    if (!is_given(in.object))
      continue;
    EXPECT(rt_json_kind_of(in.object) == RT_JSON_OBJECT, root, keys[i],
           "an object or null");
    RT_TRY(read_rope(&in, arch->max_positions, &r));
    EXPECT(r.theta == 0.0 || theta == 0.0 || r.theta == theta, &in,
           "rope_theta", "the same as the file's other rope_theta");
    EXPECT(!seen || same_scaling(&r.scaling, &arch->rope_scaling), root,
           keys[i], "the same as rope_scaling");
    theta = r.theta == 0.0 ? theta : r.theta;
    arch->rope_scaling = r.scaling;
    seen = true;
  }
  arch->rope_theta = theta == 0.0 ? 10000.0 : theta;
  return RT_OK;
}

/* ---- reading ----------------------------------------------------------- */

static rt_err read_sizes(const section *in, rt_arch *a)
{
  RT_TRY(need_size(in, "vocab_size", MAX_VOCAB, &a->vocab));
  RT_TRY(need_size(in, "hidden_size", MAX_WIDTH, &a->width));
  RT_TRY(need_size(in, "intermediate_size", MAX_FFN, &a->ffn));
  RT_TRY(need_size(in, "num_hidden_layers", MAX_BLOCKS, &a->n_blocks));
  RT_TRY(need_size(in, "num_attention_heads", MAX_HEADS, &a->n_heads));
  a->n_kv_heads = a->n_heads;
  RT_TRY(get_size(in, "num_key_value_heads", 1, a->n_heads, &a->n_kv_heads));
  RT_TRY(get_size(in, "head_dim", 1, MAX_HEADS, &a->head_dim));
  if (a->head_dim == 0) {
    EXPECT(a->width % a->n_heads == 0, in, "num_attention_heads",
           "a divisor of hidden_size, as head_dim is not given");
    a->head_dim = a->width / a->n_heads;
  }
  EXPECT(a->head_dim % 2 == 0, in, "head_dim",
         "an even number (default hidden_size / num_attention_heads): rope "
         "turns pairs");
  EXPECT(a->n_heads * a->head_dim <= MAX_ATTENTION, in, "num_attention_heads",
         "at most 4194304 when multiplied by head_dim");
  return RT_OK;
}

static rt_err read_arch(const section *in, rt_arch *a)
{
  bool attention_bias = false;
  RT_CHECK(rt_json_kind_of(in->object) == RT_JSON_OBJECT, RT_ERR_DATA,
           "%s: not a JSON object", in->path);
  *a = (rt_arch){.family = "llama",
                 .max_positions = 2048,
                 .norm_eps = 1e-6,
                 .init_std = 0.02};
  RT_TRY(check_family(in));
  RT_TRY(check_foreign(in));
  RT_TRY(read_sizes(in, a));
  RT_TRY(get_size(in, "max_position_embeddings", 1, MAX_POSITIONS,
                  &a->max_positions));
  RT_TRY(get_real(in, "rms_norm_eps", 0.0, 1.0, &a->norm_eps));
  RT_TRY(get_real(in, "initializer_range", 0.0, 10.0, &a->init_std));
  RT_TRY(get_bool(in, "tie_word_embeddings", &a->tied));
  RT_TRY(get_bool(in, "attention_bias", &attention_bias));
  RT_TRY(get_bool(in, "mlp_bias", &a->mlp_bias));
  RT_TRY(get_id(in, "bos_token_id", a->vocab, &a->bos_id));
  RT_TRY(get_id(in, "eos_token_id", a->vocab, &a->eos_id));
  a->qkv_bias = a->o_bias = attention_bias; // Llama has all four or none
  return read_all_ropes(in, a);
}

rt_err rt_hfconfig_read(const char *path, rt_arch *arch)
{
  char file[RT_PATH_MAX];
  rt_json *root;
  if (rt_folder_exists(path))
    RT_TRY(rt_path_join(file, path, CONFIG));
  else
    RT_TRY(rt_path_join(file, "", path));
  RT_TRY(rt_json_read(file, MAX_BYTES, &root));
  const section in = {file, "", root};
  const rt_err err = read_arch(&in, arch);
  rt_json_free(&root);
  RT_TRY(err);
  return RT_OK;
}

rt_err rt_generation_eos(const char *folder, int64_t eos, int64_t *out)
{
  char path[RT_PATH_MAX];
  rt_json *root = NULL;
  *out = eos;
  RT_TRY(rt_path_join(path, folder, "generation_config.json"));
  if (!rt_file_exists(path))
    return RT_OK;
  RT_TRY(rt_json_read(path, MAX_BYTES, &root));
  const rt_json *const value = rt_json_get(root, "eos_token_id");
  const bool list = rt_json_kind_of(value) == RT_JSON_ARRAY;
  const size_t n = list ? rt_json_n(value) : 1;
  int64_t first = eos, id = -1;
  bool found = false;
  for (size_t i = 0; i < n; i++)
    if (rt_json_int(list ? rt_json_at(value, i) : value, &id)) {
      first = i == 0 ? id : first;
      found |= id == eos;
    }
  rt_json_free(&root);
  *out = found ? eos : first;
  return RT_OK;
}

/* ---- writing ----------------------------------------------------------- */

static void put_int(FILE *to, const char *key, int64_t value)
{
  fprintf(to, "  \"%s\": %lld,\n", key, (long long)value);
}

static void put_bool(FILE *to, const char *key, bool value)
{
  fprintf(to, "  \"%s\": %s,\n", key, value ? "true" : "false");
}

static void put_real(FILE *to, const char *key, double value)
{
  fprintf(to, "  \"%s\": ", key);
  rt_json_put_real(to, value);
  fputs(",\n", to);
}

static void put_id(FILE *to, const char *key, int64_t id)
{
  if (id < 0)
    fprintf(to, "  \"%s\": null,\n", key);
  else
    put_int(to, key, id);
}

/** The fields of a rope object, each but the last with a comma. */
static void put_scaling(FILE *to, const rt_rope_scaling *s)
{
  if (!s->on) {
    fputs("    \"rope_type\": \"default\"\n", to);
    return;
  }
  fputs("  ", to);
  put_real(to, "factor", s->factor);
  fputs("  ", to);
  put_real(to, "low_freq_factor", s->low_freq_factor);
  fputs("  ", to);
  put_real(to, "high_freq_factor", s->high_freq_factor);
  fputs("  ", to);
  put_int(to, "original_max_position_embeddings", s->original_positions);
  fputs("    \"rope_type\": \"llama3\"\n", to);
}

static void put_rope(FILE *to, const rt_arch *a)
{
  put_real(to, "rope_theta", a->rope_theta); // transformers 4 ...
  fputs("  \"rope_scaling\": ", to);
  if (a->rope_scaling.on) {
    fputs("{\n", to);
    put_scaling(to, &a->rope_scaling);
    fputs("  },\n", to);
  } else
    fputs("null,\n", to);
  fputs("  \"rope_parameters\": {\n  ", to); // ... and 5
  put_real(to, "rope_theta", a->rope_theta);
  put_scaling(to, &a->rope_scaling);
  fputs("  },\n", to);
}

static void put_arch(FILE *to, const rt_arch *a)
{
  fputs("{\n"
        "  \"architectures\": [\"LlamaForCausalLM\"],\n"
        "  \"model_type\": \"llama\",\n"
        "  \"hidden_act\": \"silu\",\n",
        to);
  put_int(to, "vocab_size", a->vocab);
  put_int(to, "hidden_size", a->width);
  put_int(to, "intermediate_size", a->ffn);
  put_int(to, "num_hidden_layers", a->n_blocks);
  put_int(to, "num_attention_heads", a->n_heads);
  put_int(to, "num_key_value_heads", a->n_kv_heads);
  put_int(to, "head_dim", a->head_dim);
  put_int(to, "max_position_embeddings", a->max_positions);
  put_real(to, "rms_norm_eps", a->norm_eps);
  put_real(to, "initializer_range", a->init_std);
  put_rope(to, a);
  put_bool(to, "attention_bias", a->qkv_bias);
  put_bool(to, "mlp_bias", a->mlp_bias);
  put_bool(to, "tie_word_embeddings", a->tied);
  put_id(to, "bos_token_id", a->bos_id);
  put_id(to, "eos_token_id", a->eos_id);
  put_bool(to, "use_cache", true);
  fputs("  \"torch_dtype\": \"float32\"\n}\n", to);
}

/** What no config.json of a Llama can say. */
static rt_err check_writable(const rt_arch *arch, const char *where)
{
  RT_CHECK(strcmp(arch->family, "llama") == 0, RT_ERR_CONFIG,
           "%s: a model of family \"%s\" cannot be written as a Llama", where,
           arch->family);
  RT_CHECK(arch->qkv_bias == arch->o_bias, RT_ERR_CONFIG,
           "%s: a Llama has biases on q, k, v and the attention output or on "
           "none of them, this model has them on %s only, and could not be "
           "exported; train without student.qkv_bias",
           where, arch->qkv_bias ? "q, k, v" : "the output");
  RT_CHECK(arch->width % arch->n_heads == 0, RT_ERR_CONFIG,
           "%s: transformers takes no width (%lld) that is not a multiple of "
           "the heads (%lld), so the model could not be exported",
           where, (long long)arch->width, (long long)arch->n_heads);
  return RT_OK;
}

/** What is written must be readable: export, and whoever loads it, read it. */
static rt_err read_back(const char *where, const char *text, size_t n)
{
  rt_json *root = NULL;
  rt_arch again;
  RT_TRY(rt_json_parse(where, text, n, &root));
  const section in = {where, "", root};
  const rt_err err = read_arch(&in, &again);
  rt_json_free(&root);
  RT_TRY(err);
  return RT_OK;
}

rt_err rt_hfconfig_text(const rt_arch *arch, const char *where, char **text)
{
  size_t n = 0;
  *text = NULL;
  RT_TRY(check_writable(arch, where));
  FILE *const to = open_memstream(text, &n);
  RT_CHECK(to != NULL, RT_ERR_MEM, "the configuration of %s", where);
  put_arch(to, arch);
  rt_err err = fclose(to) == 0
                   ? read_back(where, *text, n)
                   : RT_FAIL(RT_ERR_MEM, "the configuration of %s", where);
  if (err != RT_OK) {
    free(*text);
    *text = NULL;
  }
  return err;
}

rt_err rt_hfconfig_write(const char *folder, const rt_arch *arch)
{
  char path[RT_PATH_MAX], *text;
  RT_TRY(rt_path_join(path, folder, CONFIG));
  RT_TRY(rt_hfconfig_text(arch, folder, &text));
  const rt_err err = rt_file_put(path, text, strlen(text));
  free(text);
  RT_TRY(err);
  return RT_OK;
}
