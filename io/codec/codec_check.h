/** \file codec_check.h
 *  Checks the invariants of a row of logits.  Layer: io. */
#ifndef RT_CODEC_CHECK_H
#define RT_CODEC_CHECK_H

#include "io/codec/codec_spec.h"

/** A token's mass is a sum of rounded numbers, so it may exceed 1 by 1 % (real
 *  teachers reach 1.0001).  Stored rows may have been `packed`: a level lies up
 *  to 1/8 above its log-prob, and 1.01 e^(1/8) = 1.1445. */
#define RT_CODEC_MAX_MASS 1.01
#define RT_CODEC_MAX_STORED 1.145

/** RT_ERR_DATA, prefixed with \a name, for the first token of \a row that
 *  violates an invariant of rt_logits_row or of \a spec. */
RT_MUST rt_err rt_codec_check_row(const rt_codec_spec *spec, const char *name,
                                  const rt_logits_row *row);

#endif
