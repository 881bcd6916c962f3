/** \file transpose.h
 *  Vectors across their diagonal.  Layer: kernels.  Contains code, which stays
 *  in registers only if it is inlined. */
#ifndef K_TRANSPOSE_H
#define K_TRANSPOSE_H

#include <immintrin.h>

// whole loops, so that arrays of vectors are registers
#ifdef __clang__
#define K_UNROLL _Pragma("unroll")
#else
#define K_UNROLL _Pragma("GCC unroll 16")
#endif

/** 16 x 16 numbers of 32 bits. */
__attribute__((target("avx512f"), always_inline)) static inline void
k_transpose(__m512i r[16])
{
  __m512i t[16];
  K_UNROLL
  for (int i = 0; i < 16; i += 4) { // blocks of 4 x 4
    const __m512i a = _mm512_unpacklo_epi32(r[i], r[i + 1]);
    const __m512i b = _mm512_unpackhi_epi32(r[i], r[i + 1]);
    const __m512i c = _mm512_unpacklo_epi32(r[i + 2], r[i + 3]);
    const __m512i d = _mm512_unpackhi_epi32(r[i + 2], r[i + 3]);
    t[i] = _mm512_unpacklo_epi64(a, c);
    t[i + 1] = _mm512_unpackhi_epi64(a, c);
    t[i + 2] = _mm512_unpacklo_epi64(b, d);
    t[i + 3] = _mm512_unpackhi_epi64(b, d);
  }
  K_UNROLL
  for (int i = 0; i < 4; i++) { // their places
    const __m512i a = _mm512_shuffle_i32x4(t[i], t[i + 4], 0x88);
    const __m512i b = _mm512_shuffle_i32x4(t[i], t[i + 4], 0xdd);
    const __m512i c = _mm512_shuffle_i32x4(t[i + 8], t[i + 12], 0x88);
    const __m512i d = _mm512_shuffle_i32x4(t[i + 8], t[i + 12], 0xdd);
    r[i] = _mm512_shuffle_i32x4(a, c, 0x88);
    r[i + 4] = _mm512_shuffle_i32x4(b, d, 0x88);
    r[i + 8] = _mm512_shuffle_i32x4(a, c, 0xdd);
    r[i + 12] = _mm512_shuffle_i32x4(b, d, 0xdd);
  }
}

#endif
