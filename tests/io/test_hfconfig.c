/** \file test_hfconfig.c
 *  JSON, config.json of transformers 4 and 5, tokenizer files.
 *  ranks: 1 */
#include "support/rt_test_files.h"

#include "base/log.h"
#include "io/hf/hfconfig.h"
#include "io/common/json.h"

#include <math.h>

/* ---- JSON -------------------------------------------------------------- */

static void test_json_values(void)
{
  static const char text[] = "{\"b\": true, \"i\": -9223372036854775808, "
                             "\"r\": 1.5, \"t\": \"\\u00e9\","
                             " \"n\": null, \"a\": [1, [2], {\"z\": 3}],"
                             " \"long\": [8, \"0123456789abcdef\"]}";
  rt_json *root;
  bool b = false;
  int64_t i = 0;
  double r = 0.0;
  char shown[24];
  RT_OKAY(rt_json_parse("x", text, strlen(text), &root));
  CU_ASSERT(rt_json_bool(rt_json_get(root, "b"), &b) && b);
  CU_ASSERT(rt_json_int(rt_json_get(root, "i"), &i) && i == INT64_MIN);
  CU_ASSERT(rt_json_real(rt_json_get(root, "r"), &r) && r == 1.5);
  CU_ASSERT_FALSE(rt_json_int(rt_json_get(root, "r"), &i));
  CU_ASSERT_FALSE(rt_json_bool(rt_json_get(root, "i"), &b));
  CU_ASSERT_STRING_EQUAL(rt_json_text(rt_json_get(root, "t")), "\xc3\xa9");
  CU_ASSERT_PTR_NULL(rt_json_text(rt_json_get(root, "r")));
  CU_ASSERT_EQUAL(rt_json_kind_of(rt_json_get(root, "n")), RT_JSON_NULL);
  CU_ASSERT_EQUAL(rt_json_kind_of(rt_json_get(root, "q")), RT_JSON_ABSENT);
  const rt_json *a = rt_json_get(root, "a");
  CU_ASSERT_EQUAL(rt_json_n(a), 3);
  CU_ASSERT_EQUAL(rt_json_n(root), 7);
  CU_ASSERT_PTR_NULL(rt_json_at(a, 3));
  CU_ASSERT(rt_json_int(rt_json_get(rt_json_at(a, 2), "z"), &i) && i == 3);
  rt_json_show(a, shown, sizeof shown);
  CU_ASSERT_STRING_EQUAL(shown, "[1,[2],{\"z\":3}]");
  rt_json_show(a, shown, 6); // what does not fit is cut
  CU_ASSERT_STRING_EQUAL(shown, "[1...");
  memset(shown, 'x', sizeof shown); // a piece that does not fit: no rubbish
  rt_json_show(rt_json_get(root, "long"), shown, 12);
  CU_ASSERT_STRING_EQUAL(shown, "[8,\"...");
  rt_json_show(NULL, shown, sizeof shown);
  CU_ASSERT_STRING_EQUAL(shown, "absent");
  rt_json_member m = {0};
  char keys[12] = "";
  while (rt_json_next(root, &m))
    strcat(keys, m.key);
  CU_ASSERT_STRING_EQUAL(keys, "birtnalong");
  rt_json_free(&root);
  CU_ASSERT_PTR_NULL(root);
  rt_json_free(&root);
}

static void test_json_refusals(void)
{
  static const struct {
    const char *text, *part;
  } cases[] = {
      {"", "x:1:0"},
      {"{\n \"a\": 1,\n \"a\": 2}", "x:3:4: duplicate"},
      {"{\"a\": 1} 2", "x:1:10"},
      {"[1, 2", "x:1:5"},
      {"[9223372036854775808]", "too big integer"},
      {"[1e999]", "overflow"},
      {"[NaN]", "x:1:"},
      {"[\"\\u0000\"]", "x:1:"},
      {"[\"\x80\"]", "x:1:"},
      {"['a']", "x:1:"},
  };
  rt_json *root;
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    RT_FAILS(rt_json_parse("x", cases[i].text, strlen(cases[i].text), &root),
             RT_ERR_DATA, cases[i].part);
    CU_ASSERT_PTR_NULL(root);
  }
  char deep[2 * RT_JSON_MAX_DEPTH + 3] = "";
  memset(deep, '[', RT_JSON_MAX_DEPTH);
  memset(deep + RT_JSON_MAX_DEPTH, ']', RT_JSON_MAX_DEPTH);
  RT_OKAY(rt_json_parse("x", deep, strlen(deep), &root));
  rt_json_free(&root);
  deep[RT_JSON_MAX_DEPTH] = '[';
  RT_FAILS(rt_json_parse("x", deep, strlen(deep), &root), RT_ERR_DATA,
           "x:1:65: more than 64 levels");
  char brackets[100] = "[\"\\\""; // a text of a quote and brackets
  memset(brackets + 4, '[', 80);
  strcpy(brackets + 84, "\"]");
  RT_OKAY(rt_json_parse("x", brackets, strlen(brackets), &root));
  rt_json_free(&root);
}

static void test_json_written(void)
{
  static const double reals[] = {0.0,  1.0,   -2.5,   1e-5,    0.1,
                                 1e22, 1e300, 5e-324, 1.0 / 3, 500000.0};
  static const char text[] = "a\"b\\c\n\x01 \xc3\xa9";
  char *written;
  size_t n;
  FILE *to = open_memstream(&written, &n);
  CU_ASSERT_PTR_NOT_NULL_FATAL(to);
  fputc('[', to);
  for (int i = 0; i < 10; i++) {
    rt_json_put_real(to, reals[i]);
    fputc(',', to);
  }
  rt_json_put_text(to, text);
  fputc(']', to);
  fclose(to);
  rt_json *root;
  RT_OKAY(rt_json_parse("x", written, n, &root));
  for (size_t i = 0; i < 10; i++) {
    double x = -1.0;
    CU_ASSERT_EQUAL(rt_json_kind_of(rt_json_at(root, i)), RT_JSON_REAL);
    CU_ASSERT(rt_json_real(rt_json_at(root, i), &x) && x == reals[i]);
  }
  CU_ASSERT_STRING_EQUAL(rt_json_text(rt_json_at(root, 10)), text);
  CU_ASSERT_PTR_NOT_NULL(strstr(written, ",0.1,"));
  rt_json_free(&root);
  free(written);
}

/* ---- config.json as found ---------------------------------------------- */

#define SIZES                                                                  \
  "\"vocab_size\":49152,\"hidden_size\":576,\"intermediate_size\":1536,"       \
  "\"num_hidden_layers\":30,\"num_attention_heads\":9"
#define LLAMA "\"model_type\":\"llama\"," SIZES

/** SmolLM2-135M, as published (transformers 4). */
static const char smollm2[] =
    "{\"architectures\":[\"LlamaForCausalLM\"],\"attention_bias\":false,"
    "\"attention_dropout\":0.0,\"bos_token_id\":0,\"eos_token_id\":0,"
    "\"hidden_act\":\"silu\",\"hidden_size\":576,\"initializer_range\":"
    "0.041666666666666664,\"intermediate_size\":1536,\"is_llama_config\":true,"
    "\"max_position_embeddings\":8192,\"model_type\":\"llama\","
    "\"num_attention_heads\":9,\"num_hidden_layers\":30,"
    "\"num_key_value_heads\":3,\"pretraining_tp\":1,\"rms_norm_eps\":1e-05,"
    "\"rope_interleaved\":false,\"rope_scaling\":null,\"rope_theta\":100000,"
    "\"tie_word_embeddings\":true,\"torch_dtype\":\"bfloat16\","
    "\"transformers_version\":\"4.40.1\",\"use_cache\":true,"
    "\"vocab_size\":49152}";

static void read_text(const char *folder, const char *text, rt_arch *a)
{
  char path[RT_PATH_MAX];
  rt_put_text(rt_in(folder, "config.json", path), text);
  RT_OKAY(rt_hfconfig_read(folder, a));
}

static void test_smollm2(void)
{
  char folder[RT_PATH_MAX], path[RT_PATH_MAX];
  rt_arch a, b;
  rt_scratch(folder);
  read_text(folder, smollm2, &a);
  CU_ASSERT_STRING_EQUAL(a.family, "llama");
  CU_ASSERT(a.vocab == 49152 && a.width == 576 && a.ffn == 1536);
  CU_ASSERT(a.n_blocks == 30 && a.n_heads == 9 && a.n_kv_heads == 3);
  CU_ASSERT(a.head_dim == 64 && a.max_positions == 8192);
  CU_ASSERT(a.norm_eps == 1e-5 && a.rope_theta == 1e5 && a.tied);
  CU_ASSERT(a.init_std == 0.041666666666666664 &&
            a.rope_scaling.kind == RT_ROPE_PLAIN);
  CU_ASSERT(!a.qkv_bias && !a.o_bias && !a.mlp_bias);
  CU_ASSERT(a.bos_id == 0 && a.eos_id == 0);
  RT_OKAY(rt_hfconfig_read(rt_in(folder, "config.json", path), &b));
  CU_ASSERT_EQUAL(a.head_dim, b.head_dim);
  RT_OKAY(rt_path_remove(folder));
  RT_FAILS(rt_hfconfig_read(folder, &a), RT_ERR_NOINPUT, folder);
}

static void test_defaults(void)
{
  char folder[RT_PATH_MAX];
  rt_arch a;
  rt_scratch(folder);
  read_text(folder, "{" LLAMA "}", &a); // those of LlamaConfig
  CU_ASSERT(a.n_kv_heads == 9 && a.head_dim == 64 && a.max_positions == 2048);
  CU_ASSERT(a.norm_eps == 1e-6 && a.rope_theta == 1e4 && a.init_std == 0.02);
  CU_ASSERT(!a.tied && a.bos_id == -1 && a.eos_id == -1 && a.pad_id == -1);
  read_text(folder,
            "{\"architectures\":[\"LlamaForCausalLM\"]," SIZES
            ",\"head_dim\":32,\"attention_bias\":true,\"mlp_bias\":true,"
            "\"bos_token_id\":1,\"eos_token_id\":[49151,3],\"hidden_act\":null,"
            "\"pad_token_id\":7,"
            "\"num_key_value_heads\":null,\"some_new_field\":{\"x\":[1]}}",
            &a);
  CU_ASSERT(a.head_dim == 32 && a.qkv_bias && a.o_bias && a.mlp_bias);
  CU_ASSERT(a.pad_id == 7 && a.bos_id == 1 && a.eos_id == 49151 &&
            a.n_kv_heads == 9);
  RT_OKAY(rt_path_remove(folder));
}

static bool same_arch(const rt_arch *a, const rt_arch *b)
{
  const rt_rope_scaling *r = &a->rope_scaling, *s = &b->rope_scaling;
  return strcmp(a->family, b->family) == 0 && a->vocab == b->vocab &&
         a->width == b->width && a->n_blocks == b->n_blocks &&
         a->n_heads == b->n_heads && a->n_kv_heads == b->n_kv_heads &&
         a->head_dim == b->head_dim && a->ffn == b->ffn &&
         a->max_positions == b->max_positions && a->norm_eps == b->norm_eps &&
         a->rope_theta == b->rope_theta && r->kind == s->kind &&
         r->factor == s->factor && r->low_freq_factor == s->low_freq_factor &&
         r->high_freq_factor == s->high_freq_factor &&
         r->original_positions == s->original_positions && a->tied == b->tied &&
         a->qkv_bias == b->qkv_bias && a->o_bias == b->o_bias &&
         a->mlp_bias == b->mlp_bias && a->init_std == b->init_std &&
         a->bos_id == b->bos_id && a->eos_id == b->eos_id &&
         a->pad_id == b->pad_id &&
         a->attention_dropout == b->attention_dropout &&
         a->n_more_eos == b->n_more_eos &&
         memcmp(a->more_eos, b->more_eos, sizeof a->more_eos) == 0;
}

/** What changes no number is read, whatever its words. */
static void test_plain_llamas(void)
{
  static const char *const same[] = {
      "{" LLAMA ",\"pretraining_tp\":8}",
      "{" LLAMA ",\"layer_types\":[\"full_attention\",\"full_attention\"]}",
      "{" LLAMA ",\"layer_types\":null,\"head_dim\":null,\"sliding_window\":"
      "null,\"num_key_value_heads\":9}",
      "{" LLAMA ",\"attention_dropout\":0.1,\"hidden_dropout\":0.2}",
      "{\"architectures\":[\"LLaMAForCausalLM\"]," LLAMA "}",
      "{" LLAMA ",\"eos_token_id\":49152,\"bos_token_id\":-3}",
      "{" LLAMA ",\"hidden_act\":\"swish\",\"dtype\":\"bfloat16\"}",
      "{" LLAMA ",\"torch_dtype\":\"float16\",\"quantization_config\":null}",
  };
  char folder[RT_PATH_MAX];
  rt_arch plain, a;
  rt_scratch(folder);
  read_text(folder, "{" LLAMA "}", &plain);
  rt_log_setup(RT_LOG_INFO, RT_LOG_SILENT);
  for (size_t i = 0; i < sizeof same / sizeof same[0]; i++) {
    read_text(folder, same[i], &a);
    CU_ASSERT_EQUAL(a.dropout, i == 3 ? 0.2 : 0.0);
    CU_ASSERT_EQUAL(a.attention_dropout, i == 3 ? 0.1 : 0.0);
    CU_ASSERT_EQUAL(a.eos_id, i == 5 ? 49152 : -1); // kept for the export
    a.attention_dropout = 0.0, a.eos_id = -1;
    CU_ASSERT(same_arch(&plain, &a));
  }
  rt_log_setup(RT_LOG_INFO, RT_LOG_SPEAKS);
  read_text(folder, "{" LLAMA ",\"eos_token_id\":[7,3,9]}", &a);
  CU_ASSERT(a.eos_id == 7 && a.n_more_eos == 2);
  CU_ASSERT(a.more_eos[0] == 3 && a.more_eos[1] == 9);
  RT_OKAY(rt_path_remove(folder));
}

static void test_rope(void)
{
#define LLAMA3                                                                 \
  "\"factor\":32.0,\"low_freq_factor\":1.0,\"high_freq_factor\":4.0"
  static const struct {
    const char *text;
    double theta;
    rt_rope_kind kind;
    int64_t original;
  } cases[] = {
      {"\"rope_theta\":5e5", 5e5, RT_ROPE_PLAIN, 0},
      {"\"rope_scaling\":{}", 1e4, RT_ROPE_PLAIN, 0},
      {"\"rope_scaling\":{\"type\":\"default\"}", 1e4, RT_ROPE_PLAIN, 0},
      {"\"rope_theta\":5e5,\"rope_scaling\":{\"rope_type\":\"llama3\"," LLAMA3
       ",\"original_max_position_embeddings\":8192}",
       5e5, RT_ROPE_LLAMA3, 8192},
      {"\"rope_scaling\":{\"type\":\"llama3\",\"rope_type\":\"llama3\"," LLAMA3
       "}",
       1e4, RT_ROPE_LLAMA3, 2048},
      {"\"rope_parameters\":{\"rope_theta\":7e4,\"rope_type\":\"default\"}",
       7e4, RT_ROPE_PLAIN, 0},
      {"\"rope_parameters\":{\"rope_theta\":7e4,\"rope_type\":"
       "\"llama3\"," LLAMA3 ",\"original_max_position_embeddings\":64,"
       "\"partial_rotary_factor\":1.0}",
       7e4, RT_ROPE_LLAMA3, 64},
      {"\"rope_theta\":7e4,\"rope_scaling\":null,\"rope_parameters\":{"
       "\"rope_theta\":70000,\"rope_type\":\"default\"}",
       7e4, RT_ROPE_PLAIN, 0},
      {"\"rope_scaling\":{\"type\":\"linear\",\"factor\":32}", 1e4,
       RT_ROPE_LINEAR, 0},
      {"\"rope_scaling\":{\"rope_type\":\"dynamic\",\"factor\":32.0}", 1e4,
       RT_ROPE_DYNAMIC, 0},
      {"\"rope_parameters\":{\"rope_theta\":7e4,\"rope_type\":\"dynamic\","
       "\"factor\":32.0,\"original_max_position_embeddings\":2048}",
       7e4, RT_ROPE_DYNAMIC, 0},
      {"\"rope_parameters\":{\"rope_type\":\"linear\",\"factor\":32.0,"
       "\"rope_theta\":7e4}",
       7e4, RT_ROPE_LINEAR, 0},
  };
  char folder[RT_PATH_MAX], text[1000];
  rt_arch a;
  rt_scratch(folder);
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    snprintf(text, sizeof text, "{" LLAMA ",%s}", cases[i].text);
    read_text(folder, text, &a);
    CU_ASSERT_EQUAL(a.rope_theta, cases[i].theta);
    CU_ASSERT_EQUAL(a.rope_scaling.kind, cases[i].kind);
    CU_ASSERT_EQUAL(a.rope_scaling.original_positions, cases[i].original);
    CU_ASSERT_EQUAL(a.rope_scaling.factor,
                    cases[i].kind != RT_ROPE_PLAIN ? 32.0 : 0.0);
    CU_ASSERT_EQUAL(a.rope_scaling.high_freq_factor,
                    cases[i].kind == RT_ROPE_LLAMA3 ? 4.0 : 0.0);
  }
  RT_OKAY(rt_path_remove(folder));
}

/** What config.json may not say, and a part of the message. */
static const struct {
  const char *text, *part;
} refused[] = {
    {"{" LLAMA ",\"sliding_window\":4096}", "sliding_window is 4096"},
    {"{" LLAMA ",\"attention_dropout\":2}", "attention_dropout is 2"},
    {"{" LLAMA ",\"layer_types\":[\"full_attention\",\"sliding_attention\"]}",
     "for every layer"},
    {"{" LLAMA ",\"layer_types\":\"full_attention\"}", "layer_types is"},
    {"{" LLAMA ",\"partial_rotary_factor\":0.5}", "partial_rotary_factor"},
    {"{" LLAMA ",\"logits_scaling\":8}", "logits_scaling is 8"},
    {"{" LLAMA ",\"final_logit_softcapping\":30.0}", "softcapping is 30.0"},
    {"{" LLAMA ",\"rope_interleaved\":true}", "rope_interleaved is true"},
    {"{" LLAMA ",\"quantization_config\":{\"bits\":4}}",
     "quantised weights are not supported"},
    {"{" LLAMA ",\"hidden_act\":\"gelu\"}", "hidden_act is \"gelu\""},
    {"{" LLAMA ",\"tie_word_embeddings\":1}", "expected true or false"},
    {"{" LLAMA ",\"num_key_value_heads\":10}", "in 1..9"},
    {"{" LLAMA ",\"num_key_value_heads\":3.0}", "an integer"},
    {"{" LLAMA ",\"head_dim\":63}", "head_dim is 63, expected an even"},
    {"{" LLAMA ",\"head_dim\":0}", "head_dim is 0"},
    {"{" LLAMA ",\"rms_norm_eps\":-1e-5}", "rms_norm_eps is -1"},
    {"{" LLAMA ",\"rms_norm_eps\":\"1e-5\"}", "expected a number"},
    {"{" LLAMA ",\"eos_token_id\":[1,2,3,4,5,6,7,8,9]}", "at most 8"},
    {"{" LLAMA ",\"eos_token_id\":\"</s>\"}", "eos_token_id is \"</s>\""},
    {"{" LLAMA ",\"rope_theta\":0}", "rope_theta is 0"},
    {"{" LLAMA ",\"rope_scaling\":{\"type\":\"yarn\",\"factor\":2.0}}",
     "rope_scaling.type is \"yarn\""},
    {"{" LLAMA ",\"rope_scaling\":{\"type\":\"linear\"}}",
     "rope_scaling.factor is absent"},
    {"{" LLAMA ",\"rope_scaling\":{\"type\":\"linear\",\"factor\":0.5}}",
     "rope_scaling.factor is 0.5"},
    {"{" LLAMA ",\"rope_scaling\":{\"type\":\"dynamic\",\"factor\":2,"
     "\"original_max_position_embeddings\":4096}}",
     "is 4096, expected max_position_embeddings"},
    {"{" LLAMA ",\"rope_scaling\":{\"type\":\"linear\",\"factor\":2,"
     "\"low_freq_factor\":1}}",
     "low_freq_factor is 1, expected to be absent"},
    {"{" LLAMA ",\"rope_scaling\":{\"rope_type\":\"llama3\"}}",
     "factor is absent"},
    {"{" LLAMA ",\"rope_scaling\":{\"rope_type\":\"llama3\"," LLAMA3
     ",\"attention_factor\":2}}",
     "attention_factor is 2"},
    {"{" LLAMA ",\"rope_scaling\":{\"rope_type\":\"llama3\",\"factor\":2,"
     "\"low_freq_factor\":4,\"high_freq_factor\":4}}",
     "above low_freq_factor"},
    {"{" LLAMA ",\"rope_scaling\":{\"factor\":2.0}}", "factor is 2.0"},
    {"{" LLAMA ",\"rope_scaling\":{\"type\":\"default\",\"rope_type\":"
     "\"llama3\"," LLAMA3 "}}",
     "same as type"},
    {"{" LLAMA ",\"rope_scaling\":2}", "an object or null"},
    {"{" LLAMA ",\"rope_parameters\":{\"full_attention\":{}}}",
     "rope_parameters.full_attention"},
    {"{" LLAMA ",\"rope_theta\":1e5,\"rope_parameters\":{\"rope_theta\":1e4}}",
     "other rope_theta"},
    {"{" LLAMA ",\"rope_scaling\":{\"rope_type\":\"llama3\"," LLAMA3
     "},\"rope_parameters\":{\"rope_type\":\"default\"}}",
     "same as rope_scaling"},
    {"{\"model_type\":\"qwen2\"," SIZES "}", "model_type is \"qwen2\""},
    {"{\"architectures\":[\"Qwen2ForCausalLM\"],\"model_type\":"
     "\"qwen2\"," SIZES "}",
     "other families are not supported yet"},
    {"{\"architectures\":[\"LLaMAForCausalLM\"],\"model_type\":"
     "\"mistral\"," SIZES "}",
     "model_type is \"mistral\""},
    {"{" SIZES "}", "model_type is absent"},
    {"{\"architectures\":[\"LlamaForSequenceClassification\"]," LLAMA "}",
     "architectures is"},
    {"{\"architectures\":[]," LLAMA "}", "architectures is []"},
    {"{\"model_type\":\"llama\"}", "vocab_size is absent"},
    {"{\"model_type\":\"llama\",\"vocab_size\":4294967296}",
     "in 1..4294967295"},
    {"{\"model_type\":\"llama\",\"vocab_size\":10,\"hidden_size\":100,"
     "\"intermediate_size\":8,\"num_hidden_layers\":1,"
     "\"num_attention_heads\":3}",
     "a divisor of hidden_size"},
};
#undef LLAMA3

static void test_refusals(void)
{
  char folder[RT_PATH_MAX], path[RT_PATH_MAX];
  rt_arch a;
  rt_scratch(folder);
  rt_in(folder, "config.json", path);
  for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
    rt_put_text(path, refused[i].text);
    RT_FAILS(rt_hfconfig_read(folder, &a), RT_ERR_CONFIG, refused[i].part);
    CU_ASSERT_PTR_NOT_NULL(strstr(rt_err_text(), path));
  }
  rt_put_text(path, "[1]");
  RT_FAILS(rt_hfconfig_read(folder, &a), RT_ERR_DATA, "not a JSON object");
  rt_put_text(path, "{" LLAMA ",\n\"vocab_size\":3}");
  RT_FAILS(rt_hfconfig_read(folder, &a), RT_ERR_DATA, "json:2:12: duplicate");
  RT_OKAY(rt_path_remove(folder));
}

static rt_err read_config(const void *path, bool cut)
{
  rt_arch a;
  (void)cut;
  RT_TRY(rt_hfconfig_read(path, &a));
  CU_ASSERT(a.vocab > 0 && a.width > 0 && a.head_dim > 0 && a.n_blocks > 0);
  CU_ASSERT(a.n_kv_heads <= a.n_heads && isfinite(a.rope_theta));
  return RT_OK;
}

static void test_damage(void)
{
  static const unsigned char masks[] = {0x01, 0x02, 0x04, 0x08, 0x10,
                                        0x20, 0x40, 0x80, 0xff};
  char folder[RT_PATH_MAX], path[RT_PATH_MAX];
  rt_scratch(folder);
  rt_in(folder, "config.json", path);
  rt_damage(path, (const unsigned char *)smollm2, strlen(smollm2), masks,
            sizeof masks, read_config, path);
  RT_OKAY(read_config(path, false));
  RT_OKAY(rt_path_remove(folder));
}

/* ---- writing ----------------------------------------------------------- */

static void test_round_trip(void)
{
  char folder[RT_PATH_MAX], path[RT_PATH_MAX], *text;
  rt_arch a, b;
  size_t n;
  rt_scratch(folder);
  for (int i = 0; i < 32; i++) {
    a = (rt_arch){.family = "llama",
                  .vocab = 97 + i,
                  .width = 48,
                  .n_blocks = 3,
                  .n_heads = 4,
                  .n_kv_heads = 2,
                  .head_dim = i % 3 == 0 ? 12 : 20,
                  .ffn = 77,
                  .max_positions = 512,
                  .norm_eps = 1e-5 / (1 + i),
                  .rope_theta = i % 2 ? 10000.0 : 1e6 / 3,
                  .tied = i & 1,
                  .qkv_bias = i & 2,
                  .o_bias = i & 2,
                  .mlp_bias = i & 4,
                  .init_std = 0.02 * i,
                  .bos_id = i % 5 - 1,
                  .eos_id = i % 7 - 1,
                  .pad_id = i % 3 - 1};
    if (i & 8)
      a.rope_scaling =
          (rt_rope_scaling){RT_ROPE_LLAMA3, 8.0 + i, 1.0, 4.0, 128};
    else if (i & 1)
      a.rope_scaling.kind = i & 4 ? RT_ROPE_LINEAR : RT_ROPE_DYNAMIC;
    if (a.rope_scaling.kind != RT_ROPE_PLAIN)
      a.rope_scaling.factor = 8.0 + i;
    a.attention_dropout = i & 2 ? 0.25 : 0.0;
    for (a.n_more_eos = 0; a.eos_id >= 0 && a.n_more_eos < i % 4;)
      a.more_eos[a.n_more_eos++] = 90 + i;
    RT_OKAY(rt_hfconfig_text(&a, "written", &text));
    rt_put_text(rt_in(folder, "config.json", path), text);
    free(text);
    RT_OKAY(rt_hfconfig_read(folder, &b));
    CU_ASSERT(same_arch(&a, &b));
  }
  RT_OKAY(rt_file_slurp(rt_in(folder, "config.json", path), 4000, &text, &n));
  CU_ASSERT_PTR_NOT_NULL(strstr(text, "rope_theta"));
  CU_ASSERT_PTR_NOT_NULL(strstr(text, "rope_scaling"));
  CU_ASSERT_PTR_NOT_NULL(strstr(text, "rope_parameters"));
  free(text);
  a.o_bias = false, a.qkv_bias = true;
  RT_FAILS(rt_hfconfig_text(&a, "here", &text), RT_ERR_CONFIG, "q, k, v only");
  a.qkv_bias = false, a.width = 50;
  RT_FAILS(rt_hfconfig_text(&a, "here", &text), RT_ERR_CONFIG, "width (50)");
  a.width = 48, strcpy(a.family, "mpt");
  RT_FAILS(rt_hfconfig_text(&a, "here", &text), RT_ERR_CONFIG, "\"mpt\"");
  RT_OKAY(rt_path_remove(folder));
}

/* ---- tokenizer --------------------------------------------------------- */

static void test_tokenizer(void)
{
  char from[RT_PATH_MAX], to[RT_PATH_MAX], path[RT_PATH_MAX];
  char hex[RT_SHA256_HEX], want[RT_SHA256_HEX], old[RT_SHA256_HEX];
  int n = -1;
  rt_scratch(from);
  rt_scratch(to);
  RT_FAILS(rt_tokenizer_hash(from, hex), RT_ERR_NOINPUT, "tokenizer.json");
  RT_OKAY(rt_tokenizer_copy(from, to, &n));
  CU_ASSERT_EQUAL(n, 0);
  rt_put_text(rt_in(from, "vocab.json", path), "{\"a\":0}");
  RT_OKAY(rt_tokenizer_hash(from, old));
  rt_put_text(rt_in(from, "merges.txt", path), "a b");
  RT_OKAY(rt_tokenizer_hash(from, hex));
  CU_ASSERT_STRING_NOT_EQUAL(hex, old);
  rt_put_text(rt_in(from, "tokenizer.json", path), "{}");
  RT_OKAY(rt_tokenizer_hash(from, hex));
  RT_OKAY(rt_hash_file(path, want));
  CU_ASSERT_STRING_EQUAL(hex, want); // that file alone: sha256sum shows it
  rt_put_text(rt_in(from, "generation_config.json", path), "{\"x\":1}");
  rt_put_text(rt_in(from, "model.safetensors", path), "weights");
  RT_OKAY(rt_tokenizer_copy(from, to, &n));
  CU_ASSERT_EQUAL(n, 4);
  RT_OKAY(rt_tokenizer_hash(to, hex));
  CU_ASSERT_STRING_EQUAL(hex, want);
  CU_ASSERT(rt_file_exists(rt_in(to, "generation_config.json", path)));
  CU_ASSERT_FALSE(rt_file_exists(rt_in(to, "model.safetensors", path)));
  RT_OKAY(rt_path_remove(from));
  RT_OKAY(rt_path_remove(to));
}

static void test_tokenizer_size(void)
{
  static const struct {
    const char *text;
    int64_t n;
  } cases[] = {{"{}", 0},
               {"{\"model\":{\"vocab\":{\"a\":0,\"b\":6}}}", 7},
               {"{\"model\":{\"vocab\":[[\"a\",0.5],[\"b\",1]]}}", 2},
               {"{\"model\":{\"vocab\":{\"a\":0}},"
                "\"added_tokens\":[{\"id\":9},{\"id\":4}]}",
                10},
               {"{\"model\":{\"vocab\":{\"a\":-3,\"b\":\"x\"}}}", 0},
               {"not JSON", 0}};
  char folder[RT_PATH_MAX], path[RT_PATH_MAX];
  int64_t n = -1;
  rt_scratch(folder);
  RT_OKAY(rt_tokenizer_size(folder, &n));
  CU_ASSERT_EQUAL(n, 0);
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    rt_put_text(rt_in(folder, "tokenizer.json", path), cases[i].text);
    RT_OKAY(rt_tokenizer_size(folder, &n));
    CU_ASSERT_EQUAL(n, cases[i].n);
  }
  RT_OKAY(rt_path_remove(folder));
}

RT_TEST_MAIN("hfconfig", {"JSON values", test_json_values},
             {"JSON refusals", test_json_refusals},
             {"JSON written", test_json_written},
             {"config of SmolLM2", test_smollm2}, {"defaults", test_defaults},
             {"rope of transformers 4 and 5", test_rope},
             {"plain Llama under other words", test_plain_llamas},
             {"refusals", test_refusals},
             {"every cut, flips of every byte", test_damage},
             {"round trip", test_round_trip},
             {"tokenizer files", test_tokenizer},
             {"tokenizer ids", test_tokenizer_size})
