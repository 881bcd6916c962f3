/** \file hfconfig_write.c
 *  The text of a config.json of a model, for transformers 4 and 5. */
#include "io/hf/hfconfig.h"

#include "io/common/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

/** Write one id, or the list that was read. */
static void put_eos(FILE *to, const rt_arch *a)
{
  if (a->n_more_eos == 0) {
    put_id(to, "eos_token_id", a->eos_id);
    return;
  }
  fprintf(to, "  \"eos_token_id\": [%lld", (long long)a->eos_id);
  for (int i = 0; i < a->n_more_eos; i++)
    fprintf(to, ", %lld", (long long)a->more_eos[i]);
  fputs("],\n", to);
}

/** Write the fields of a rope object, each but the last followed by a comma. */
static void put_scaling(FILE *to, const rt_rope_scaling *s)
{
  if (s->kind != RT_ROPE_PLAIN) {
    fputs("  ", to);
    put_real(to, "factor", s->factor);
  }
  if (s->kind == RT_ROPE_LLAMA3) {
    fputs("  ", to);
    put_real(to, "low_freq_factor", s->low_freq_factor);
    fputs("  ", to);
    put_real(to, "high_freq_factor", s->high_freq_factor);
    fputs("  ", to);
    put_int(to, "original_max_position_embeddings", s->original_positions);
  }
  fprintf(to, "    \"rope_type\": \"%s\"\n", rt_rope_kind_name(s->kind));
}

static void put_rope(FILE *to, const rt_arch *a)
{
  const rt_rope_scaling *s = &a->rope_scaling;
  put_real(to, "rope_theta", a->rope_theta); // transformers 4 ...
  fputs("  \"rope_scaling\": ", to);
  if (s->kind != RT_ROPE_PLAIN) {
    fputs("{\n", to);
    if (s->kind != RT_ROPE_LLAMA3) // the only name known before version 4.43
      fprintf(to, "    \"type\": \"%s\",\n", rt_rope_kind_name(s->kind));
    put_scaling(to, s);
    fputs("  },\n", to);
  } else
    fputs("null,\n", to);
  fputs("  \"rope_parameters\": {\n  ", to); // ... and 5
  put_real(to, "rope_theta", a->rope_theta);
  put_scaling(to, s);
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
  if (a->attention_dropout > 0.0)
    put_real(to, "attention_dropout", a->attention_dropout);
  put_bool(to, "attention_bias", a->qkv_bias);
  put_bool(to, "mlp_bias", a->mlp_bias);
  put_bool(to, "tie_word_embeddings", a->tied);
  put_id(to, "bos_token_id", a->bos_id);
  put_eos(to, a);
  if (a->pad_id >= 0)
    put_int(to, "pad_token_id", a->pad_id);
  put_bool(to, "use_cache", true);
  fputs("  \"torch_dtype\": \"float32\"\n}\n", to);
}

/** Reject what a config.json of a Llama cannot express. */
static rt_err check_writable(const rt_arch *arch, const char *where)
{
  RT_CHECK(strcmp(arch->family, "llama") == 0, RT_ERR_CONFIG,
           "%s: a model of family \"%s\" cannot be written as a Llama", where,
           arch->family);
  RT_CHECK(arch->qkv_bias == arch->o_bias, RT_ERR_CONFIG,
           "%s: a Llama has biases on q, k, v and the attention output or on "
           "none of them; this model has them on %s only and could not be "
           "exported; train without student.qkv_bias",
           where, arch->qkv_bias ? "q, k, v" : "the output");
  RT_CHECK(arch->width % arch->n_heads == 0, RT_ERR_CONFIG,
           "%s: transformers requires the width (%lld) to be a multiple of the "
           "heads (%lld), so the model could not be exported",
           where, (long long)arch->width, (long long)arch->n_heads);
  return RT_OK;
}

/** Check that the text can be read back, as export and other readers will. */
static rt_err read_back(const char *where, const char *text, size_t n)
{
  rt_arch again;
  return rt_hfconfig_parse(where, text, n, &again);
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
