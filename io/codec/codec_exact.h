/** \file codec_exact.h
 *  The record of `exact`.  Layer: io, for io/codec alone. */
#ifndef RT_CODEC_EXACT_H
#define RT_CODEC_EXACT_H

#include "io/codec/codec_spec.h"

/** Append the record of \a row, which keeps its rules, to \a out. */
RT_MUST rt_err rt_codec_encode_exact(const rt_codec_spec *spec,
                                     const rt_logits_row *row, rt_bytes *out);
/** RT_ERR_DATA whatever a record is not; \a out keeps every rule. */
RT_MUST rt_err rt_codec_decode_exact(const rt_codec_spec *spec, rt_bytes_in *in,
                                     rt_logits_row *out);

#endif
