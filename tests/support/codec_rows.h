/** \file codec_rows.h
 *  Rows for tests of encodings, made from their number.  */
#ifndef RT_CODEC_ROWS_H
#define RT_CODEC_ROWS_H

#include "io/codec/codec.h"
#include "support/rt_test.h"

/** An encoding whose records have all optional fields. */
static const rt_codec_spec exact = {.kind = RT_CODEC_EXACT,
                                    .vocab = 70000,
                                    .max_tokens = 40,
                                    .max_entries = 30,
                                    .entropy = true,
                                    .deviation = true,
                                    .step = true};

/** Row \a i: T and the numbers of entries vary, some are none. */
rt_logits_row codec_row(const rt_codec_spec *spec, int64_t i);
/** A row of draws: counts that add up to N. */
rt_logits_row codec_draws(const rt_codec_spec *spec, int64_t i);
/** Equal in all but floats of a lossy encoding, which the callers compare. */
bool same_shape(const rt_logits_row *a, const rt_logits_row *b);

#endif
