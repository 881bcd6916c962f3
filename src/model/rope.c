/** \file rope.c
 *  Rotary angles as transformers computes them.
 *
 *  It keeps frequencies and angles in float32 whatever the model's type, and
 *  published models were trained with those angles: at position 2000 they are
 *  up to 1e-4 from the exact ones.  So this file rounds where it rounds, one
 *  operation a statement; only cos and sin are taken in double. */
#include "model/rope.h"

#include <math.h>

/** Llama 3.1: keep high frequencies, divide low ones, blend between. */
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

void rt_rope_row(const rt_arch *arch, int64_t pos, double *out)
{
  const int64_t half = arch->head_dim / 2;
  for (int64_t i = 0; i < half; i++) {
    const float exponent = (float)(2 * i) / (float)arch->head_dim;
    const float power =
        (float)pow((double)(float)arch->rope_theta, (double)exponent);
    float freq = 1.0F / power;
    if (arch->rope_scaling.on)
      freq = scaled(&arch->rope_scaling, freq);
    const float angle = (float)pos * freq;
    out[i] = cos((double)angle);
    out[half + i] = sin((double)angle);
  }
}
