/** \file arch.c
 *  Checks and counts derived from the shape of a model. */
#include "model/arch.h"

#include "model/tensors.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

/** Can the model be divided over \a tp ranks? */
static bool can_split(const rt_arch *a, int64_t tp)
{
  const int64_t g = a->n_kv_heads;
  return a->n_heads % tp == 0 && a->ffn % tp == 0 &&
         (g % tp == 0 || tp % g == 0);
}

/** Number of parameters, in double because the sizes have not been checked yet.
 */
static double count(const rt_arch *a)
{
  rt_tensor t[RT_N_TENSORS];
  rt_tensors_of(a, t);
  double n = 0.0; // exact below 2^53
  for (int i = 0; i < RT_N_TENSORS; i++) {
    const double times = t[i].place == RT_AT_BLOCK ? (double)a->n_blocks : 1.0;
    if (t[i].present)
      n += times * (double)t[i].rows * (double)t[i].cols;
  }
  return n;
}

/** Check that sizes are small enough for all later products to fit into 64
 *  bits. */
static rt_err check_sizes(const rt_arch *a, const char *where)
{
  const struct {
    const char *name;
    int64_t value, max;
  } size[] = {
      {"vocab_size", a->vocab, INT32_MAX}, // ids are 32 bits
      {"hidden_size", a->width, 1 << 24},
      {"num_hidden_layers", a->n_blocks, 100000},
      {"num_attention_heads", a->n_heads, 1 << 16},
      {"num_key_value_heads", a->n_kv_heads, 1 << 16},
      {"head_dim", a->head_dim, 1 << 16},
      {"intermediate_size", a->ffn, 1 << 24},
      {"max_position_embeddings", a->max_positions, INT32_MAX},
  };
  for (size_t i = 0; i < sizeof size / sizeof size[0]; i++)
    RT_CHECK(size[i].value >= 1 && size[i].value <= size[i].max, RT_ERR_CONFIG,
             "%s: %s is %lld, expected 1 .. %lld", where, size[i].name,
             (long long)size[i].value, (long long)size[i].max);
  RT_CHECK(count(a) <= 1e15, RT_ERR_CONFIG,
           "%s: the sizes give %.3g parameters, more than 1e15; is one of "
           "them a typing error?",
           where, count(a));
  return RT_OK;
}

static rt_err check_rope(const rt_arch *a, const char *where)
{
  RT_CHECK(a->head_dim % 2 == 0, RT_ERR_CONFIG,
           "%s: head_dim is %lld, but rotary positions need an even number",
           where, (long long)a->head_dim);
  RT_CHECK(isfinite(a->rope_theta) && a->rope_theta > 0.0, RT_ERR_CONFIG,
           "%s: rope_theta is %g, expected a positive number", where,
           a->rope_theta);
  const rt_rope_scaling *s = &a->rope_scaling;
  if (s->kind == RT_ROPE_PLAIN)
    return RT_OK;
  RT_CHECK(isfinite(s->factor) && s->factor >= 1.0, RT_ERR_CONFIG,
           "%s: rope scaling factor is %g, expected at least 1", where,
           s->factor);
  RT_CHECK(s->kind != RT_ROPE_DYNAMIC || a->head_dim > 2, RT_ERR_CONFIG,
           "%s: dynamic rope scaling needs a head_dim above 2", where);
  if (s->kind != RT_ROPE_LLAMA3)
    return RT_OK;
  RT_CHECK(isfinite(s->high_freq_factor) && s->low_freq_factor > 0.0 &&
               s->low_freq_factor < s->high_freq_factor,
           RT_ERR_CONFIG,
           "%s: rope scaling has low_freq_factor %g and high_freq_factor %g, "
           "expected 0 < low < high",
           where, s->low_freq_factor, s->high_freq_factor);
  RT_CHECK(s->original_positions >= 1 && s->original_positions <= INT32_MAX,
           RT_ERR_CONFIG,
           "%s: rope scaling original_max_position_embeddings is %lld, "
           "expected 1 .. %d",
           where, (long long)s->original_positions, INT32_MAX);
  return RT_OK;
}

rt_err rt_arch_check(const rt_arch *arch, const char *where)
{
  RT_CHECK(strcmp(arch->family, "llama") == 0, RT_ERR_CONFIG,
           "%s: model family \"%.31s\" is unknown; this version knows: llama",
           where, arch->family);
  RT_TRY(check_sizes(arch, where));
  RT_CHECK(arch->n_heads % arch->n_kv_heads == 0, RT_ERR_CONFIG,
           "%s: %lld attention heads cannot share %lld key/value heads evenly; "
           "num_key_value_heads must divide num_attention_heads",
           where, (long long)arch->n_heads, (long long)arch->n_kv_heads);
  RT_TRY(check_rope(arch, where));
  RT_CHECK(arch->norm_eps >= 0.0 && arch->norm_eps < 1.0, RT_ERR_CONFIG,
           "%s: rms_norm_eps is %g, expected 0 <= eps < 1", where,
           arch->norm_eps);
  RT_CHECK(isfinite(arch->init_std) && arch->init_std >= 0.0, RT_ERR_CONFIG,
           "%s: initializer_range is %g, expected a number >= 0", where,
           arch->init_std);
  return RT_OK;
}

rt_err rt_arch_check_tp(const rt_arch *arch, int tp, const char *what)
{
  if (tp >= 1 && can_split(arch, tp))
    return RT_OK;
  char valid[256] = "";
  size_t at = 0;
  for (int64_t t = 1; t <= arch->n_heads && at + 16 < sizeof valid; t++)
    if (can_split(arch, t))
      at += (size_t)snprintf(valid + at, sizeof valid - at, " %lld",
                             (long long)t);
  return RT_FAIL(
      RT_ERR_CONFIG,
      "%s is %d, which does not suit %lld heads, %lld key/value heads and "
      "inner width %lld: tp must divide the heads and the inner width, and "
      "divide the key/value heads or be a multiple of them; valid values:%s",
      what, tp, (long long)arch->n_heads, (long long)arch->n_kv_heads,
      (long long)arch->ffn, valid);
}

int64_t rt_arch_true_vocab(const rt_arch *arch)
{
  return arch->vocab_true > 0 ? arch->vocab_true : arch->vocab;
}

int64_t rt_arch_n_params(const rt_arch *arch)
{
  return (int64_t)count(arch);
}

double rt_arch_flops_fwd(const rt_arch *arch, int64_t seq)
{
  rt_tensor t[RT_N_TENSORS];
  rt_tensors_of(arch, t);
  const double L = (double)arch->n_blocks;
  double per_block = 0.0;
  for (int i = 0; i < RT_N_TENSORS; i++)
    if (t[i].present && t[i].place == RT_AT_BLOCK && !t[i].vector)
      per_block += 2.0 * (double)t[i].rows * (double)t[i].cols;
  // scores and weighted sum: 2 x 2 head_dim FLOPs per pair, (T + 1) / 2 keys
  // per query
  per_block +=
      2.0 * (double)arch->n_heads * (double)arch->head_dim * (double)(seq + 1);
  return L * per_block + 2.0 * (double)arch->vocab * (double)arch->width;
}
