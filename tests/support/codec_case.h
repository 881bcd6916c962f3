/** \file codec_case.h
 *  How the bytes of a fuzzer become a spec, tables and a record. */
#ifndef RT_CODEC_CASE_H
#define RT_CODEC_CASE_H

#include "io/codec/codec.h"

/** Byte 0: the bits below; byte 1: which vocabulary; then u16 bytes of tables,
 *  the tables, and the rest is a record. */
enum {
  CASE_HEAD = 4,
  CASE_KIND = 3,
  CASE_ENTROPY = 4,
  CASE_DEVIATION = 8,
  CASE_STEP = 16,
  CASE_BLANK = 32, /**< the tables of no rows, instead of the given ones */
  CASE_VOCABS = 5
};

rt_codec_spec case_spec(unsigned flags, unsigned i_vocab);

#endif
