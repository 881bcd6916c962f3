/** \file damage_record.h
 *  A flipped bit in one record of a dataset that is open already. */
#ifndef RT_DAMAGE_RECORD_H
#define RT_DAMAGE_RECORD_H

#include "io/logits/logits_manifest.h"
#include "support/rt_test_files.h"

/** In the middle of the record of row \a row of \a ds, which lies in
 *  \a folder. */
void damage_record(const rt_logits *ds, const char *folder, int64_t row);

#endif
