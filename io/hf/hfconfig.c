/** \file hfconfig.c
 *  Reads config.json of Hugging Face folders into rt_arch.
 *
 *  Defaults are those of transformers' LlamaConfig, except that the five sizes
 *  that define a model are required: a file without them is damaged. */
#include "io/hf/hfconfig.h"

#include "base/file.h"
#include "base/log.h"
#include "io/hf/hffolder.h"
#include "io/common/json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define CONFIG "config.json"

enum {
  MAX_BYTES = 4 << 20,
  // the ranges of the deck's student.* keys; their products fit into 63 bits
  MAX_WIDTH = 1 << 20,
  MAX_BLOCKS = 100000,
  MAX_HEADS = 65536,
  MAX_FFN = 10000000,
  MAX_POSITIONS = 1 << 24,
  MAX_ATTENTION = 1 << 22 /* heads times head_dim */
};
#define MAX_VOCAB INT64_C(4294967295)

/** An object of the file, and its name in messages. */
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

/* An absent or null field leaves *to, which holds the default, unchanged. */

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

static rt_err get_id(const section *in, const char *key, const rt_json *value,
                     int64_t *to)
{
  EXPECT(rt_json_int(value, to), in, key, "a token id, or a list of them");
  if (*to < -1)
    *to = -1;
  return RT_OK;
}

/** -1 if it is absent. */
static rt_err get_one_id(const section *in, const char *key, int64_t *to)
{
  const rt_json *value = rt_json_get(in->object, key);
  *to = -1;
  return is_given(value) ? get_id(in, key, value, to) : RT_OK;
}

/** Read one id, or a list of ids. */
static rt_err get_eos(const section *in, rt_arch *a)
{
  static const char key[] = "eos_token_id";
  const rt_json *value = rt_json_get(in->object, key);
  a->eos_id = -1;
  if (!is_given(value))
    return RT_OK;
  if (rt_json_kind_of(value) != RT_JSON_ARRAY)
    return get_id(in, key, value, &a->eos_id);
  const size_t n = rt_json_n(value);
  EXPECT(n <= RT_MAX_EOS, in, key, "a list of at most 8 ids");
  for (size_t i = 0; i < n; i++) {
    int64_t *const to = i == 0 ? &a->eos_id : &a->more_eos[a->n_more_eos++];
    RT_TRY(get_id(in, key, rt_json_at(value, i), to));
  }
  return RT_OK;
}

/** Fields of models related to Llama that Retort does not implement, with the
 *  value that disables them: null or false, or 1.  Other unknown fields are
 *  ignored, as transformers' Llama ignores them. */
static const struct {
  const char *key;
  bool one;
} foreign[] = {
    {"sliding_window", false},
    {"attention_chunk_size", false},
    {"no_rope_layers", false},
    {"no_rope_layer_interval", false},
    {"use_qk_norm", false},
    {"qk_norm", false},
    {"qk_layernorm", false},
    {"clip_qkv", false},
    {"alibi", false},
    {"attention_multiplier", false},
    {"query_pre_attn_scalar", false},
    {"attn_logit_softcapping", false},
    {"final_logit_softcapping", false},
    {"rope_interleaved", false},
    {"original_max_position_embeddings", false},
    {"num_experts", false},
    {"num_local_experts", false},
    {"per_layer_config", false},
    {"is_encoder_decoder", false},
    {"add_cross_attention", false},
    {"auto_map", false},
    {"partial_rotary_factor", true},
    {"rotary_pct", true},
    {"rope_ratio", true},
    {"logit_scale", true},
    {"logits_scaling", true},
    {"embedding_multiplier", true},
    {"residual_multiplier", true},
    {"lm_head_multiplier", true},
};

static bool is_off(const rt_json *value)
{
  bool flag = true;
  return !is_given(value) || (rt_json_bool(value, &flag) && !flag);
}

static rt_err check_foreign(const section *in)
{
  static const char *const quantised[] = {"quantization_config",
                                          "compression_config"};
  for (size_t i = 0; i < sizeof foreign / sizeof foreign[0]; i++) {
    const char *const key = foreign[i].key;
    const rt_json *value = rt_json_get(in->object, key);
    double number = 0.0;
    if (!foreign[i].one)
      EXPECT(is_off(value), in, key,
             "null or false: retort does not support such models");
    else if (is_given(value))
      EXPECT(rt_json_real(value, &number) && number == 1.0, in, key,
             "1: retort does not support such models");
  }
  for (int i = 0; i < 2; i++)
    EXPECT(is_off(rt_json_get(in->object, quantised[i])), in, quantised[i],
           "none: quantised weights are not supported; use the original model "
           "(BF16, F16 or F32), or save it as one of these with transformers");
  return RT_OK;
}

/** Layer types may be listed if all are those of Llama. */
static rt_err check_layer_types(const section *in)
{
  const rt_json *list = rt_json_get(in->object, "layer_types");
  bool full = rt_json_kind_of(list) == RT_JSON_ARRAY;
  for (size_t i = 0; full && i < rt_json_n(list); i++) {
    const char *type = rt_json_text(rt_json_at(list, i));
    full = type != NULL && strcmp(type, "full_attention") == 0;
  }
  if (!is_off(list))
    EXPECT(
        full, in, "layer_types",
        "\"full_attention\" for every layer: retort does not support others");
  return RT_OK;
}

/** Read dropout rates.  They only affect training, where they are not applied,
 *  with a warning.  transformers' Llama knows only the first. */
static rt_err read_dropout(const section *in, rt_arch *a)
{
  static const char *const others[] = {"hidden_dropout", "attn_pdrop",
                                       "embd_pdrop", "resid_pdrop"};
  RT_TRY(get_real(in, "attention_dropout", 0.0, 1.0, &a->attention_dropout));
  a->dropout = a->attention_dropout;
  for (int i = 0; i < 4; i++) {
    double p = 0.0;
    RT_TRY(get_real(in, others[i], 0.0, 1.0, &p));
    a->dropout = fmax(a->dropout, p);
  }
  return RT_OK;
}

/** The first converted Llamas used the spelling "LLaMA". */
static bool is_causal_llama(const rt_json *architectures)
{
  const char *name = rt_json_text(rt_json_at(architectures, 0));
  return rt_json_n(architectures) == 1 && name != NULL &&
         (strcmp(name, "LlamaForCausalLM") == 0 ||
          strcmp(name, "LLaMAForCausalLM") == 0);
}

static rt_err check_family(const section *in)
{
  const rt_json *list = rt_json_get(in->object, "architectures");
  const rt_json *type = rt_json_get(in->object, "model_type");
  const rt_json *act = rt_json_get(in->object, "hidden_act");
  const char *const name = rt_json_text(act);
  if (is_given(type) || !is_given(list))
    EXPECT(rt_json_text(type) != NULL &&
               strcmp(rt_json_text(type), "llama") == 0,
           in, "model_type",
           "\"llama\": other families are not supported yet, even where only "
           "the name differs (doc/inputs.md lists what is supported)");
  if (is_given(list))
    EXPECT(is_causal_llama(list), in, "architectures",
           "[\"LlamaForCausalLM\"]: a causal language model of the Llama "
           "family; others are not supported yet");
  if (is_given(act))
    EXPECT(name != NULL &&
               (strcmp(name, "silu") == 0 || strcmp(name, "swish") == 0),
           in, "hidden_act", "\"silu\"");
  return RT_OK;
}

/** Contents of rope_scaling or rope_parameters. */
typedef struct rope {
  double theta; /**< 0: not given */
  rt_rope_scaling scaling;
} rope;

static const char *const kind_names[] = {[RT_ROPE_PLAIN] = "default",
                                         [RT_ROPE_LINEAR] = "linear",
                                         [RT_ROPE_DYNAMIC] = "dynamic",
                                         [RT_ROPE_LLAMA3] = "llama3"};
enum { N_KINDS = sizeof kind_names / sizeof kind_names[0] };

const char *rt_rope_kind_name(rt_rope_kind kind)
{
  return kind_names[kind];
}

/** Read the scaling type; transformers formerly called the field "type". */
static rt_err read_rope_kind(const section *in, rt_rope_kind *kind)
{
  static const char *const keys[] = {"type", "rope_type"};
  bool seen = false;
  *kind = RT_ROPE_PLAIN;
  for (int i = 0; i < 2; i++) {
    const rt_json *value = rt_json_get(in->object, keys[i]);
    const char *text = rt_json_text(value);
    int k = 0;
    if (!is_given(value))
      continue;
    while (k < N_KINDS && (text == NULL || strcmp(kind_names[k], text) != 0))
      k++;
    EXPECT(k < N_KINDS, in, keys[i],
           "\"default\", \"linear\", \"dynamic\" or \"llama3\": others are not "
           "supported yet");
    EXPECT(!seen || (int)*kind == k, in, keys[i], "the same as type");
    seen = true;
    *kind = (rt_rope_kind)k;
  }
  return RT_OK;
}

/** Check that the object has no field that Retort would ignore. */
static rt_err check_rope_keys(const section *in, rt_rope_kind kind)
{
  static const char *const known[] = {"type",
                                      "rope_type",
                                      "rope_theta",
                                      "factor",
                                      "original_max_position_embeddings",
                                      "low_freq_factor",
                                      "high_freq_factor"};
  static const size_t n_known[] = {[RT_ROPE_PLAIN] = 3,
                                   [RT_ROPE_LINEAR] = 5,
                                   [RT_ROPE_DYNAMIC] = 5,
                                   [RT_ROPE_LLAMA3] = 7};
  rt_json_member m = {0};
  double part = 1.0;
  while (rt_json_next(in->object, &m)) {
    size_t i = 0;
    while (i < n_known[kind] && strcmp(known[i], m.key) != 0)
      i++;
    if (i < n_known[kind] || !is_given(m.value))
      continue;
    EXPECT(strcmp(m.key, "partial_rotary_factor") == 0, in, m.key,
           "to be absent for this rope_type");
    EXPECT(rt_json_real(m.value, &part) && part == 1.0, in, m.key, "1");
  }
  return RT_OK;
}

static rt_err read_llama3(const section *in, rt_rope_scaling *s)
{
  RT_TRY(get_real(in, "low_freq_factor", 1e-6, 1e6, &s->low_freq_factor));
  RT_TRY(get_real(in, "high_freq_factor", 1e-6, 1e6, &s->high_freq_factor));
  RT_TRY(get_size(in, "original_max_position_embeddings", 1, MAX_POSITIONS,
                  &s->original_positions));
  EXPECT(s->low_freq_factor > 0.0, in, "low_freq_factor",
         "a number, which llama3 requires");
  EXPECT(s->high_freq_factor > s->low_freq_factor, in, "high_freq_factor",
         "a number above low_freq_factor");
  return RT_OK;
}

static rt_err read_rope(const section *in, int64_t max_positions, rope *to)
{
  rt_rope_scaling *s = &to->scaling;
  int64_t original = max_positions; // default of transformers 5
  RT_TRY(read_rope_kind(in, &s->kind));
  RT_TRY(check_rope_keys(in, s->kind));
  RT_TRY(get_real(in, "rope_theta", 1.0, 1e12, &to->theta));
  if (s->kind == RT_ROPE_PLAIN)
    return RT_OK;
  RT_TRY(get_real(in, "factor", 1.0, 1e6, &s->factor));
  EXPECT(s->factor > 0.0, in, "factor",
         "a number, which this rope_type requires");
  if (s->kind == RT_ROPE_LLAMA3) {
    s->original_positions = original;
    return read_llama3(in, s);
  }
  RT_TRY(get_size(in, "original_max_position_embeddings", 1, MAX_POSITIONS,
                  &original));
  EXPECT(s->kind != RT_ROPE_DYNAMIC || original == max_positions, in,
         "original_max_position_embeddings",
         "max_position_embeddings, which transformers uses");
  return RT_OK;
}

static bool same_scaling(const rt_rope_scaling *a, const rt_rope_scaling *b)
{
  return a->kind == b->kind && a->factor == b->factor &&
         a->low_freq_factor == b->low_freq_factor &&
         a->high_freq_factor == b->high_freq_factor &&
         a->original_positions == b->original_positions;
}

/** transformers 4 writes rope_theta and rope_scaling, 5 writes rope_parameters;
 *  a file for both has all three, which must agree. */
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
         "an even number (default hidden_size / num_attention_heads), as rope "
         "rotates pairs");
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
  RT_TRY(check_layer_types(in));
  RT_TRY(read_sizes(in, a));
  RT_TRY(read_dropout(in, a));
  RT_TRY(get_size(in, "max_position_embeddings", 1, MAX_POSITIONS,
                  &a->max_positions));
  RT_TRY(get_real(in, "rms_norm_eps", 0.0, 1.0, &a->norm_eps));
  RT_TRY(get_real(in, "initializer_range", 0.0, 10.0, &a->init_std));
  RT_TRY(get_bool(in, "tie_word_embeddings", &a->tied));
  RT_TRY(get_bool(in, "attention_bias", &attention_bias));
  RT_TRY(get_bool(in, "mlp_bias", &a->mlp_bias));
  RT_TRY(get_one_id(in, "bos_token_id", &a->bos_id));
  RT_TRY(get_one_id(in, "pad_token_id", &a->pad_id));
  RT_TRY(get_eos(in, a));
  // Llama has biases on all four or none
  a->qkv_bias = a->o_bias = attention_bias;
  return read_all_ropes(in, a);
}

rt_err rt_hfconfig_parse(const char *where, const char *text, size_t n,
                         rt_arch *arch)
{
  rt_json *root = NULL;
  RT_TRY(rt_json_parse(where, text, n, &root));
  const section in = {where, "", root};
  const rt_err err = read_arch(&in, arch);
  rt_json_free(&root);
  RT_TRY(err);
  return RT_OK;
}

/** Warn about an id beyond the vocabulary.  It is kept for exports; chat tokens
 *  that were never added to the embedding have such ids. */
static void warn_id(const char *file, const char *key, int64_t id,
                    const rt_arch *a)
{
  if (id >= a->vocab)
    rt_warn("%s: %s has the id %lld, but vocab_size is %lld: it cannot occur "
            "in text, and is kept only for exports",
            file, key, (long long)id, (long long)a->vocab);
}

rt_err rt_hfconfig_read(const char *path, rt_arch *arch)
{
  char folder[RT_PATH_MAX], file[RT_PATH_MAX];
  rt_json *root;
  RT_TRY(rt_hffolder_find(path, folder));
  if (rt_folder_exists(folder))
    RT_TRY(rt_path_join(file, folder, CONFIG));
  else
    RT_TRY(rt_path_join(file, "", folder));
  if (!rt_path_exists(file))
    return rt_hffolder_refuse(folder, CONFIG);
  RT_TRY(rt_json_read(file, MAX_BYTES, &root));
  const section in = {file, "", root};
  const rt_err err = read_arch(&in, arch);
  rt_json_free(&root);
  RT_TRY(err);
  warn_id(file, "bos_token_id", arch->bos_id, arch);
  warn_id(file, "eos_token_id", arch->eos_id, arch);
  warn_id(file, "pad_token_id", arch->pad_id, arch);
  for (int i = 0; i < arch->n_more_eos; i++)
    warn_id(file, "eos_token_id", arch->more_eos[i], arch);
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
