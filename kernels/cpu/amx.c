/** \file amx.c
 *  Products in bf16 by AMX, for kernels that multiply small blocks inside a
 *  parallel region. */
#include "kernels/cpu/amx.h"

/** Rows of a tile register, and its columns in 32 bits: an f32, or two terms of
 *  a sum in bf16. */
enum { TILE = 16, TILE_SIZE = TILE * TILE, PAIR = 2, BLOCK = K_AMX_BLOCK };

static uint32_t *head_in(const k_amx_area *s, int64_t head)
{
  return s->at + head * s->t * s->cols / PAIR;
}

k_amx_factor k_amx_across(const k_amx_area *s, int64_t head, int64_t row)
{
  const int64_t n = s->cols / (PAIR * TILE);
  return (k_amx_factor){head_in(s, head) + row / TILE * n * TILE_SIZE, 1, n};
}

k_amx_factor k_amx_along(const k_amx_area *s, int64_t head, int64_t row)
{
  const int64_t n = s->cols / TILE;
  return (k_amx_factor){head_in(s, head) + row / (PAIR * TILE) * n * TILE_SIZE,
                        n, 1};
}

#ifdef __x86_64__

#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

bool k_amx_permitted(void)
{
  enum { ASK = 0x1023, TILE_DATA = 18 }; // ARCH_REQ_XCOMP_PERM
  return syscall(SYS_arch_prctl, ASK, TILE_DATA) == 0;
}

/** Tile registers of 16 rows of 64 bytes. */
K_AMX void k_amx_start(void)
{
  struct {
    uint8_t palette, start_row, reserved[14];
    uint16_t bytes[16];
    uint8_t rows[16];
  } config = {.palette = 1};
  for (int i = 0; i < 8; i++) {
    config.bytes[i] = TILE * sizeof(uint32_t);
    config.rows[i] = TILE;
  }
  __asm__ volatile("" : : "r"(&config) : "memory"); // gcc sees 8 bytes read
  _tile_loadconfig(&config);
}

K_AMX void k_amx_end(void)
{
  _tile_release();
}

/** 32 x 32 elements of c, from (i, j) on. */
K_AMX static void multiply_tiles(const k_amx_product *p, int64_t i, int64_t j)
{
  const size_t c_step = (size_t)p->ldc * sizeof(float);
  const size_t a_step = (size_t)p->lda * sizeof(rt_bf16);
  const size_t b_step = TILE * sizeof(uint32_t);
  float *const c0 = p->c + i * p->ldc + j, *const c1 = c0 + TILE * p->ldc;
  __asm__ volatile("" ::: "memory"); // what was stored is loaded below
  if (p->add) {
    _tile_loadd(0, c0, c_step);
    _tile_loadd(1, c0 + TILE, c_step);
    _tile_loadd(2, c1, c_step);
    _tile_loadd(3, c1 + TILE, c_step);
  } else {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
  }
  const rt_bf16 *a = p->a + i * p->lda;
  const uint32_t *b = p->b.at + j / TILE * p->b.n_step * TILE_SIZE;
  for (int64_t l = 0; l < p->k; l += PAIR * TILE) {
    _tile_loadd(4, a + l, a_step);
    _tile_loadd(5, a + l + TILE * p->lda, a_step);
    _tile_loadd(6, b, b_step);
    _tile_loadd(7, b + p->b.n_step * TILE_SIZE, b_step);
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
    b += p->b.k_step * TILE_SIZE;
  }
  _tile_stored(0, c0, c_step);
  _tile_stored(1, c0 + TILE, c_step);
  _tile_stored(2, c1, c_step);
  _tile_stored(3, c1 + TILE, c_step);
}

void k_amx_multiply(k_amx_product p)
{
  for (int64_t j = 0; j < p.n; j += PAIR * TILE)
    for (int64_t i = 0; i < p.m; i += PAIR * TILE)
      multiply_tiles(&p, i, j);
}

/** Lanes for \a n of 16 numbers. */
static __mmask16 lanes(int64_t n)
{
  return (__mmask16)(n <= 0 ? 0 : n >= TILE ? 0xffff : (1 << n) - 1);
}

K_AMX void k_amx_pack_across(rt_view x, const k_amx_area *s, int64_t head,
                             int64_t row)
{
  uint32_t *to = (uint32_t *)k_amx_across(s, head, row).at;
  const __m512i each = _mm512_mullo_epi32(
      _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),
      _mm512_set1_epi32((int)x.ld));
  for (int64_t r = 0; r < BLOCK; r += TILE)
    for (int64_t c = 0; c < s->cols; c += PAIR, to += TILE) {
      const __mmask16 m = c < x.cols ? lanes(x.rows - r) : 0;
      const __m512i pairs = _mm512_mask_i32gather_epi32(
          _mm512_setzero_si512(), m, each,
          (const rt_bf16 *)x.data + (m != 0 ? r * x.ld + c : 0), 2);
      _mm512_storeu_si512(to, pairs);
    }
}

K_AMX void k_amx_pack_along(rt_view x, const k_amx_area *s, int64_t head,
                            int64_t row)
{
  uint32_t *const to = (uint32_t *)k_amx_along(s, head, row).at;
  for (int64_t r = 0; r < BLOCK; r += PAIR)
    for (int64_t c = 0; c < s->cols; c += TILE) {
      const __mmask16 m = lanes(x.cols - c);
      const rt_bf16 *from = (const rt_bf16 *)x.data + r * x.ld + c;
      const __m256i low = _mm256_maskz_loadu_epi16(r < x.rows ? m : 0, from);
      const __m256i high =
          _mm256_maskz_loadu_epi16(r + 1 < x.rows ? m : 0, from + x.ld);
      const int64_t tile = r / (PAIR * TILE) * (s->cols / TILE) + c / TILE;
      _mm512_storeu_si512(
          to + tile * TILE_SIZE + r % (PAIR * TILE) / PAIR * TILE,
          _mm512_or_si512(_mm512_cvtepu16_epi32(low),
                          _mm512_slli_epi32(_mm512_cvtepu16_epi32(high), 16)));
    }
}

#else

bool k_amx_permitted(void)
{
  return false;
}

void k_amx_start(void)
{
}

void k_amx_end(void)
{
}

void k_amx_multiply(k_amx_product p)
{
  (void)p;
}

void k_amx_pack_across(rt_view x, const k_amx_area *s, int64_t head,
                       int64_t row)
{
  (void)x;
  (void)s;
  (void)head;
  (void)row;
}

void k_amx_pack_along(rt_view x, const k_amx_area *s, int64_t head, int64_t row)
{
  (void)x;
  (void)s;
  (void)head;
  (void)row;
}

#endif
