/** \file capture_size.c
 *  Bytes per token: by definition for `exact`, by measurement for `packed`. */
#include "distill/capture/capture_size.h"

#include <math.h>
#include <string.h>

static rt_capture_size size_of_exact(const rt_logits_info *info, double entries)
{
  const double fields =
      16.0 + (info->entropy ? 4.0 : 0.0) + (info->deviation ? 4.0 : 0.0);
  const double bytes = fields + 8.0 * entries; // id and log-prob
  return (rt_capture_size){fields, bytes, bytes};
}

/** Measured on SmolLM2 (V 49152): 63.7 bytes for 37.99 entries, 109.2 for
 *  69.18, and 2707 for 2457 equal 2.42 entries^0.9 within 1 %.  In a larger
 *  vocabulary ids are farther apart: one more bit per doubling. */
static double measured(const rt_logits_info *info, double entries)
{
  const double apart = log2((double)info->vocab / 49152.0) / 8.0;
  return 2.42 * pow(entries, 0.9) + fmax(0.0, apart) * entries +
         (info->entropy ? 1.0 : 0.0) + (info->deviation ? 1.0 : 0.0);
}

/** Upper bound (doc/formats.md 3.2): a symbol takes at most 17 bits (one that
 *  did not occur in the sample), then the raw bits.  An entry is a GAP and a
 *  VALUE. */
static double longest(const rt_logits_info *info, double entries)
{
  const double id_bits = log2((double)info->vocab) + 1.0, level_bits = 11.0;
  const double entry = 2.0 * 17.0 + id_bits + level_bits;
  const double token = 9.0 * 17.0 + 20.0 + 3.0 * level_bits + 2.0 * id_bits +
                       3.0 * 32.0; // nine other numbers per token
  return (token + entry * entries) / 8.0;
}

rt_capture_size rt_capture_size_of(const rt_logits_info *info, double entries)
{
  if (strcmp(info->encoding, "exact") == 0)
    return size_of_exact(info, entries);
  // least: one byte for the token's id and log-sum-exp, about half of what both
  // take on text
  return (rt_capture_size){1.0, measured(info, entries),
                           longest(info, entries)};
}
