/** \file packed_tables.c
 *  Levels, contexts and tables of the encodings `packed` and `sampled`.  They
 *  store the ids of a token as a set, in an order by frequency, and log-probs
 *  as levels or draws as counts, all coded by rANS. */
#include "io/codec/packed.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/** Quantisation of -log-prob, in steps that grow where errors matter less. */

static const struct {
  float from, per_nat;
  int level;
} steps[] = {{0.0F, 64.0F, 0},
             {1.0F, 32.0F, 64},
             {3.0F, 16.0F, 128},
             {9.0F, 8.0F, 224},
             {13.0F, 4.0F, 256}};
enum { N_STEPS = sizeof steps / sizeof steps[0] };

int rt_packed_level(float logp)
{
  const float x = -logp > 0.0F ? -logp : 0.0F;
  int s = N_STEPS - 1;
  while (x < steps[s].from)
    s--;
  const float at = (x - steps[s].from) * steps[s].per_nat + 0.5F;
  return at < RT_N_LEVELS ? (steps[s].level + (int)at < RT_N_LEVELS
                                 ? steps[s].level + (int)at
                                 : RT_N_LEVELS - 1)
                          : RT_N_LEVELS - 1;
}

static float value_of(int level)
{
  int s = N_STEPS - 1;
  while (level < steps[s].level)
    s--;
  return -(steps[s].from + (float)(level - steps[s].level) / steps[s].per_nat);
}

int rt_packed_range_context(int range)
{
  static const int below[RT_N_RANGES - 1] = {4,  12,  24,  40,  56, 72,
                                             88, 104, 120, 140, 170};
  int i = 0;
  while (i < RT_N_RANGES - 1 && range >= below[i])
    i++;
  return i;
}

int64_t rt_packed_steps(float x, float per_unit)
{
  const float max = 0x1p28F;
  return lrintf(fmaxf(-max, fminf(max, x * per_unit)));
}

int rt_packed_bits(int model)
{
#define BITS(name, n, m)                                                       \
  if (model <= RT_M_##name##_LAST)                                             \
    return (m);
  RT_PACKED_MODELS(BITS)
#undef BITS
  return 0;
}

static void fill_constants(rt_packed *k)
{
  for (unsigned left = 1; left < RT_N_LEFT; left++)
    k->lg_left[left] = (uint16_t)rt_lg16(left);
  for (int i = 0; i < RT_N_LEVELS; i++) {
    k->value[i] = value_of(i);
    k->prob[i] = expf(k->value[i]);
  }
}

void rt_packed_complete(rt_packed *k)
{
  for (int r = 0; r < RT_N_RANGES; r++)
    for (int d = 0; d < RT_DENSITIES; d++)
      for (int s = 0; s < RT_RANS_SCALE; s++)
        k->value_slot[r][s][d] =
            k->model[RT_M_VALUE + r * RT_DENSITIES + d].slot[s];
}

rt_err rt_packed_create(const rt_codec_spec *spec, rt_packed **out)
{
  rt_packed *const k = calloc(1, sizeof *k);
  *out = k;
  RT_CHECK(k != NULL, RT_ERR_MEM, "tables of %zu bytes", sizeof *k);
  k->spec = *spec;
  fill_constants(k);
  return RT_OK;
}

void rt_packed_destroy(rt_packed **packed)
{
  if (*packed != NULL)
    rt_id_order_clear(&(*packed)->order);
  free(*packed);
  *packed = NULL;
}

rt_err rt_packed_load(const rt_codec_spec *spec, rt_bytes_in *in,
                      rt_packed **out)
{
  RT_TRY(rt_packed_create(spec, out));
  rt_packed *const k = *out;
  uint32_t base;
  RT_TRY(rt_bytes_take_u32(in, &base));
  k->lse_base = (int32_t)base;
  RT_CHECK(k->lse_base >= -(1 << 28) && k->lse_base <= 1 << 28, RT_ERR_DATA,
           "%s: a log-sum-exp of %d / 32 is the base", in->name, k->lse_base);
  RT_TRY(rt_id_order_load(spec->vocab, in->data, in->n, &in->at, in->name,
                          &k->order));
  for (int i = 0; i < RT_N_MODELS; i++)
    RT_TRY(rt_rans_load(in->data, in->n, &in->at, in->name, rt_packed_bits(i),
                        &k->model[i]));
  RT_CHECK(in->at == in->n, RT_ERR_DATA,
           "%s: %zu excess bytes after the tables", in->name, in->n - in->at);
  rt_packed_complete(k);
  return RT_OK;
}

size_t rt_packed_bytes(const rt_codec_spec *spec, const unsigned char *tables,
                       size_t n)
{
  const size_t base = sizeof(uint32_t); // the order of ids follows
  return sizeof(rt_packed) +
         (n > base ? rt_id_order_bytes(spec->vocab, tables + base, n - base)
                   : 0);
}

rt_err rt_packed_store(const rt_packed *k, rt_bytes *out)
{
  RT_TRY(rt_bytes_put_u32(out, (uint32_t)k->lse_base));
  RT_TRY(rt_id_order_store(&k->order, out));
  for (int i = 0; i < RT_N_MODELS; i++)
    RT_TRY(rt_rans_store(&k->model[i], out));
  return RT_OK;
}
