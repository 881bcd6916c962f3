/** \file codec_exact.h
 *  Records of the encoding `exact`.  Layer: io, for io/codec only. */
#ifndef RT_CODEC_EXACT_H
#define RT_CODEC_EXACT_H

#include "io/codec/codec_spec.h"

/** Append the record of a valid \a row to \a out. */
RT_MUST rt_err rt_codec_encode_exact(const rt_codec_spec *spec,
                                     const rt_logits_row *row, rt_bytes *out);
/** Decode a record.  RT_ERR_DATA if it is invalid; otherwise \a out is a valid
 *  row. */
RT_MUST rt_err rt_codec_decode_exact(const rt_codec_spec *spec, rt_bytes_in *in,
                                     rt_logits_row *out);

#endif
