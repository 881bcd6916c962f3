/** \file packed_tables.c
 *  The encodings `packed` and `sampled`: the ids of a token as a set in the
 *  order of their frequency, log-probs in steps or draws as counts, everything
 *  through rANS.  Here: levels, contexts, tables. */
#include "io/codec/packed.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/** Models need fewer tokens than the order of ids. */
static const int64_t model_tokens = 16384;

/** --- levels: -log-prob in steps that grow where it matters less --- */

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

float rt_packed_bound(float logp)
{
  int s = N_STEPS - 1;
  while (s > 0 && -logp < steps[s].from)
    s--;
  return 0.5F / steps[s].per_nat;
}

/** --- contexts and fields --- */

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
  const float most = 0x1p28F;
  return lrintf(fmaxf(-most, fminf(most, x * per_unit)));
}

/** --- tables --- */

static void fill_constants(struct rt_packed *k)
{
  for (int m = 0; m <= RT_MAX_BITS; m++)
    rt_rans_numbers_init(m, &k->numbers[m]);
  for (unsigned left = 1; left < RT_N_LEFT; left++)
    k->lg_left[left] = (uint16_t)rt_lg16(left);
  for (int i = 0; i < RT_N_LEVELS; i++) {
    k->value[i] = value_of(i);
    k->prob[i] = expf(k->value[i]);
  }
}

/** Once the models are known. */
static void fill_slots(struct rt_packed *k)
{
  for (int s = 0; s < RT_RANS_SCALE; s++)
    for (int c = 0; c < RT_GAP_CONTEXTS; c++)
      k->gap_slot[s][c] = k->model[RT_M_GAP + c].slot[s];
  for (int r = 0; r < RT_N_RANGES; r++)
    for (int d = 0; d < RT_DENSITIES; d++)
      for (int s = 0; s < RT_RANS_SCALE; s++)
        k->value_slot[r][s] |=
            (uint32_t)k->model[RT_M_VALUE + r * RT_DENSITIES + d].slot[s]
            << 8 * d;
}

static rt_err new_tables(rt_codec *codec, struct rt_packed **out)
{
  const size_t n = (sizeof **out + RT_LINE - 1) / RT_LINE * RT_LINE;
  struct rt_packed *const k = aligned_alloc(RT_LINE, n);
  codec->packed = *out = k;
  RT_CHECK(k != NULL, RT_ERR_MEM, "tables of %zu bytes", n);
  memset(k, 0, n);
  fill_constants(k);
  return RT_OK;
}

void rt_packed_destroy(struct rt_packed *k)
{
  if (k == NULL)
    return;
  rt_id_order_clear(&k->order);
  free(k);
}

/** The middle of what log-sum-exps are: the mean will do. */
static int32_t find_base(const rt_logits_row *rows, int64_t n_rows)
{
  double sum = 0.0, n = 0.0;
  for (int64_t r = 0; r < n_rows; r++)
    for (int64_t t = 0; t < rows[r].n_tokens; t++) {
      sum += (double)rt_packed_steps(rows[r].lse[t], 32.0F);
      n += 1.0;
    }
  return n > 0.0 ? (int32_t)lrint(sum / n) : 0;
}

/** Ids of all entries, one after the other; the caller frees. */
static rt_err gather_ids(const rt_logits_row *rows, int64_t n_rows,
                         uint32_t **out, int64_t *n)
{
  *n = 0;
  for (int64_t r = 0; r < n_rows; r++)
    *n += rows[r].n_entries;
  *out = malloc(((size_t)*n + 1) * sizeof **out);
  RT_CHECK(*out != NULL, RT_ERR_MEM, "%lld ids of a sample", (long long)*n);
  int64_t at = 0;
  for (int64_t r = 0; r < n_rows; r++) {
    if (rows[r].n_entries > 0)
      memcpy(*out + at, rows[r].ids, (size_t)rows[r].n_entries * sizeof **out);
    at += rows[r].n_entries;
  }
  return RT_OK;
}

/** Count what the rows would put, then make the models. */
static rt_err learn_models(const rt_codec *codec, const rt_logits_row *rows,
                           int64_t n_rows)
{
  uint32_t(*const count)[RT_RANS_SYMBOLS] = calloc(RT_N_MODELS, sizeof *count);
  RT_CHECK(count != NULL, RT_ERR_MEM, "%d counts", RT_N_MODELS);
  rt_rans_out out = {.count = count};
  int64_t n = 0, n_tokens = 0;
  while (n < n_rows && n_tokens < model_tokens)
    n_tokens += rows[n++].n_tokens;
  const rt_err err = rt_packed_put_rows(codec, rows, n, &out);
  rt_rans_out_clear(&out);
  for (int i = 0; i < RT_N_MODELS; i++)
    rt_rans_learn(count[i], &codec->packed->model[i]);
  free(count);
  return err;
}

rt_err rt_packed_learn(rt_codec *codec, const rt_logits_row *rows,
                       int64_t n_rows)
{
  struct rt_packed *k;
  RT_TRY(new_tables(codec, &k));
  k->lse_base = find_base(rows, n_rows);
  uint32_t *ids = NULL;
  int64_t n;
  RT_TRY(gather_ids(rows, n_rows, &ids, &n));
  const rt_err err = rt_id_order_learn(codec->spec.vocab, ids, n, &k->order);
  free(ids);
  RT_TRY(err);
  RT_TRY(learn_models(codec, rows, n_rows));
  fill_slots(k);
  return RT_OK;
}

rt_err rt_packed_load(rt_codec *codec, rt_codec_in *in)
{
  struct rt_packed *k;
  RT_TRY(new_tables(codec, &k));
  uint32_t base;
  RT_TRY(rt_codec_take_u32(in, &base));
  k->lse_base = (int32_t)base;
  RT_CHECK(k->lse_base >= -(1 << 28) && k->lse_base <= 1 << 28, RT_ERR_DATA,
           "%s: a log-sum-exp of %d / 32 is the base", in->name, k->lse_base);
  RT_TRY(rt_id_order_load(codec->spec.vocab, in->data, in->n, &in->at, in->name,
                          &k->order));
  for (int i = 0; i < RT_N_MODELS; i++)
    RT_TRY(rt_rans_load(in->data, in->n, &in->at, in->name, &k->model[i]));
  RT_CHECK(in->at == in->n, RT_ERR_DATA,
           "%s: %zu bytes after the last of the tables", in->name,
           in->n - in->at);
  fill_slots(k);
  return RT_OK;
}

size_t rt_packed_bytes(const rt_codec_spec *spec, const unsigned char *tables,
                       size_t n)
{
  const size_t base = sizeof(uint32_t); // the order comes next
  return sizeof(struct rt_packed) +
         (n > base ? rt_id_order_bytes(spec->vocab, tables + base, n - base)
                   : 0);
}

rt_err rt_packed_store(const rt_codec *codec, rt_bytes *out)
{
  const struct rt_packed *const k = codec->packed;
  RT_TRY(rt_codec_put_u32(out, (uint32_t)k->lse_base));
  RT_TRY(rt_id_order_store(&k->order, out));
  for (int i = 0; i < RT_N_MODELS; i++)
    RT_TRY(rt_rans_store(&k->model[i], out));
  return RT_OK;
}
