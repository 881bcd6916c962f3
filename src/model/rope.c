/** \file rope.c
 *  Rotary angles as computed by transformers.
 *
 *  transformers keeps frequencies and angles in float32 regardless of the
 *  model's type, and published models were trained with those angles: at
 *  position 2000 they differ by up to 1e-4 from the exact ones.  This file
 *  therefore rounds at the same places, with one operation per statement.  Only
 *  cos and sin are computed in double. */
#include "model/rope.h"

#include <math.h>

/** Llama 3.1: keep high frequencies, divide low ones, and blend in between. */
static float scaled(const rt_rope_scaling *s, float freq)
{
  const double original = (double)s->original_positions;
  const float factor = (float)s->factor;
  const float low_wavelen = (float)(original / s->low_freq_factor);
  const float high_wavelen = (float)(original / s->high_freq_factor);
  const float wavelen = (float)(2.0 * M_PI) / freq;
  const float divided = freq / factor;
  if (wavelen > low_wavelen)
    return divided;
  if (wavelen < high_wavelen)
    return freq;
  const float turns = (float)original / wavelen;
  const float above = turns - (float)s->low_freq_factor;
  const float range = (float)(s->high_freq_factor - s->low_freq_factor);
  const float smooth = above / range;
  const float rest = 1.0F - smooth;
  const float part = rest * freq;
  const float low = part / factor;
  const float high = smooth * freq;
  return low + high;
}

/** The base of the frequencies.  Dynamic NTK scaling increases it for rows
 *  longer than max_positions; transformers computes this in float32, too. */
static float base_of(const rt_arch *arch, int64_t seq)
{
  const rt_rope_scaling *s = &arch->rope_scaling;
  if (s->kind != RT_ROPE_DYNAMIC || seq <= arch->max_positions)
    return (float)arch->rope_theta;
  const float factor = (float)s->factor;
  const float stretched = factor * (float)seq;
  const float ratio = stretched / (float)arch->max_positions;
  const float above = ratio - (float)(s->factor - 1.0);
  const double exponent = (double)arch->head_dim / (double)(arch->head_dim - 2);
  const float grown = (float)pow((double)above, (double)(float)exponent);
  return (float)arch->rope_theta * grown;
}

void rt_rope_row(const rt_arch *arch, int64_t seq, int64_t pos, double *out)
{
  const int64_t half = arch->head_dim / 2;
  const rt_rope_scaling *s = &arch->rope_scaling;
  const float base = base_of(arch, seq);
  for (int64_t i = 0; i < half; i++) {
    const float exponent = (float)(2 * i) / (float)arch->head_dim;
    const float power = (float)pow((double)base, (double)exponent);
    float freq = 1.0F / power;
    if (s->kind == RT_ROPE_LLAMA3)
      freq = scaled(s, freq);
    if (s->kind == RT_ROPE_LINEAR)
      freq = freq / (float)s->factor;
    const float angle = (float)pos * freq;
    out[i] = cos((double)angle);
    out[half + i] = sin((double)angle);
  }
}

int64_t rt_rope_max_seq(const rt_arch *arch)
{
  const rt_rope_scaling *s = &arch->rope_scaling;
  const bool stretches =
      s->kind == RT_ROPE_LINEAR || s->kind == RT_ROPE_DYNAMIC;
  return stretches ? (int64_t)((double)arch->max_positions * s->factor)
                   : arch->max_positions;
}
