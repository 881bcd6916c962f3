/** \file capture_size.c
 *  Bytes of a token: exact by definition, packed by measurement. */
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

/** Measured on SmolLM2 (V 49152): 63.7 bytes for 37.99 entries, 109.2
 * for 69.18, 2707 for 2457 are 2.42 entries^0.9 within 1 %.  Ids of a larger
 * vocabulary lie farther apart: one more bit for each doubling. */
static double measured(const rt_logits_info *info, double entries)
{
  const double apart = log2((double)info->vocab / 49152.0) / 8.0;
  return 2.42 * pow(entries, 0.9) + fmax(0.0, apart) * entries +
         (info->entropy ? 1.0 : 0.0) + (info->deviation ? 1.0 : 0.0);
}

/** doc/formats.md 3.2: a symbol takes at most 17 bits (one that was not in the
 *  sample), then the raw bits.  An entry is a GAP and a VALUE. */
static double longest(const rt_logits_info *info, double entries)
{
  const double id_bits = log2((double)info->vocab) + 1.0, level_bits = 11.0;
  const double entry = 2.0 * 17.0 + id_bits + level_bits;
  const double token = 9.0 * 17.0 + 20.0 + 3.0 * level_bits + 2.0 * id_bits +
                       3.0 * 32.0; // nine numbers besides
  return (token + entry * entries) / 8.0;
}

rt_capture_size rt_capture_size_of(const rt_logits_info *info, double entries)
{
  if (strcmp(info->encoding, "exact") == 0)
    return size_of_exact(info, entries);
  // least: a byte for the token's id and log-sum-exp, about half of what both
  // cost on text
  return (rt_capture_size){1.0, measured(info, entries),
                           longest(info, entries)};
}
