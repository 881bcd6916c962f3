/** \file amx.c
 *  Products in bf16 by AMX, for kernels that multiply small blocks inside a
 *  parallel region, and what attention does with rows of scores. */
#include "kernels/cpu/amx.h"

/** Rows of a tile register, and its columns in 32 bits: an f32, or two terms of
 *  a sum in bf16. */
enum { TILE = 16, TILE_SIZE = TILE * TILE, PAIR = 2 };
/** Vectors of a row of scores. */
enum { ROW = K_AMX_BLOCK / TILE };

static uint32_t *tile_at(const k_amx_factor *f, int64_t l, int64_t j)
{
  return f->at +
         (l / K_AMX_STEP * f->k_step + j / TILE * f->n_step) * TILE_SIZE;
}

static uint32_t *head_in(const k_amx_area *s, int64_t head)
{
  return s->at + head * s->t * s->cols / PAIR;
}

k_amx_factor k_amx_across(const k_amx_area *s, int64_t head, int64_t row)
{
  const int64_t n = s->cols / K_AMX_STEP;
  return (k_amx_factor){head_in(s, head) + row / TILE * n * TILE_SIZE, 1, n};
}

k_amx_factor k_amx_along(const k_amx_area *s, int64_t head, int64_t row)
{
  const int64_t n = s->cols / TILE;
  return (k_amx_factor){head_in(s, head) + row / K_AMX_STEP * n * TILE_SIZE, n,
                        1};
}

#ifdef __x86_64__

#include "kernels/cpu/transpose.h"
#include <cpuid.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/** Does the system save vector registers of 512 bits and tile registers? */
static bool saves_registers(void)
{
  const uint32_t vectors = 0xe6, tiles = 0x60000; // bits of XCR0
  uint32_t low, high;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  (void)high;
  return (low & (vectors | tiles)) == (vectors | tiles);
}

/** The instructions that K_AMX names, by CPUID. */
static bool has_instructions(void)
{
  const uint32_t fma = 1U << 12, xgetbv = 1U << 27;          // 1: ecx
  const uint32_t f = 1U << 16, dq = 1U << 17, bw = 1U << 30, // 7: ebx
      vl = 1U << 31;                                         //
  const uint32_t amx_bf16 = 1U << 22, amx_tile = 1U << 24;   // 7: edx
  const uint32_t avx512_bf16 = 1U << 5;                      // 7, 1: eax
  const uint32_t all_7 = f | dq | bw | vl, amx = amx_bf16 | amx_tile;
  uint32_t a, b, c, d;
  if (__get_cpuid(1, &a, &b, &c, &d) == 0 ||
      (c & (fma | xgetbv)) != (fma | xgetbv))
    return false;
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0 || a == 0 ||
      (b & all_7) != all_7 || (d & amx) != amx)
    return false;
  return __get_cpuid_count(7, 1, &a, &b, &c, &d) != 0 && (a & avx512_bf16) != 0;
}

bool k_amx_usable(void)
{
  enum { ASK = 0x1023, TILE_DATA = 18 }; // ARCH_REQ_XCOMP_PERM
  return has_instructions() && saves_registers() &&
         syscall(SYS_arch_prctl, ASK, TILE_DATA) == 0;
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
  const uint32_t *b = tile_at(&p->b, 0, j);
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

/** \a n low bits. */
static uint32_t bits(int64_t n)
{
  return n <= 0 ? 0 : n >= 32 ? ~0U : (1U << n) - 1;
}

/** 32 columns of row \a r from column \a c on; zeros beyond the view. */
K_AMX static inline __m512i load_row(const rt_view *x, int64_t r, int64_t c)
{
  if (r >= x->rows)
    return _mm512_setzero_si512();
  return _mm512_maskz_loadu_epi16(bits(x->cols - c),
                                  (const rt_bf16 *)x->data + r * x->ld + c);
}

/** Rows r and r + 1, 16 columns from \a c on, as pairs. */
K_AMX static inline __m512i load_pairs(const rt_view *x, int64_t r, int64_t c)
{
  const __mmask16 m = (__mmask16)bits(x->cols - c);
  const rt_bf16 *at = (const rt_bf16 *)x->data + r * x->ld + c;
  const __m256i low = _mm256_maskz_loadu_epi16(r < x->rows ? m : 0, at);
  const __m256i high =
      _mm256_maskz_loadu_epi16(r + 1 < x->rows ? m : 0, at + x->ld);
  return _mm512_or_si512(_mm512_cvtepu16_epi32(low),
                         _mm512_slli_epi32(_mm512_cvtepu16_epi32(high), 16));
}

K_AMX void k_amx_pack_across(rt_view x, const k_amx_factor *to, int64_t k,
                             int64_t n)
{
  for (int64_t j = 0; j < n; j += TILE)
    for (int64_t l = 0; l < k; l += K_AMX_STEP) {
      __m512i r[TILE];
      K_UNROLL
      for (int i = 0; i < TILE; i++)
        r[i] = load_row(&x, j + i, l);
      k_transpose(r);
      uint32_t *const tile = tile_at(to, l, j);
      K_UNROLL
      for (int i = 0; i < TILE; i++)
        _mm512_storeu_si512(tile + i * TILE, r[i]);
    }
}

/** Two tiles side by side that lie in the view, which begins at \a x. */
K_AMX static void pack_both_along(const rt_bf16 *x, int64_t ld, uint32_t *left,
                                  uint32_t *right)
{
  const __m512i first = _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11);
  const __m512i last = _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15);
  for (int i = 0; i < TILE; i++, x += PAIR * ld) {
    const __m512i a = _mm512_loadu_si512(x), b = _mm512_loadu_si512(x + ld);
    // pairs, but four columns of each in turn
    const __m512i low = _mm512_unpacklo_epi16(a, b);
    const __m512i high = _mm512_unpackhi_epi16(a, b);
    _mm512_storeu_si512(left + i * TILE,
                        _mm512_permutex2var_epi64(low, first, high));
    _mm512_storeu_si512(right + i * TILE,
                        _mm512_permutex2var_epi64(low, last, high));
  }
}

K_AMX void k_amx_pack_along(rt_view x, const k_amx_factor *to, int64_t k,
                            int64_t n)
{
  for (int64_t l = 0; l < k; l += K_AMX_STEP)
    for (int64_t j = 0; j < n; j += TILE) {
      uint32_t *const tile = tile_at(to, l, j);
      if (l + K_AMX_STEP <= x.rows && j + K_AMX_STEP <= x.cols) {
        pack_both_along((const rt_bf16 *)x.data + l * x.ld + j, x.ld, tile,
                        tile_at(to, l, j + TILE));
        j += TILE;
        continue;
      }
      for (int i = 0; i < TILE; i++)
        _mm512_storeu_si512(tile + i * TILE, load_pairs(&x, l + PAIR * i, j));
    }
}

K_AMX void k_amx_transpose(rt_view x, rt_bf16 *to, int64_t ld, int64_t m)
{
  for (int64_t i = 0; i < m; i += TILE)
    for (int64_t l = 0; l < ld; l += K_AMX_STEP) {
      __m512i r[TILE];
      K_UNROLL
      for (int p = 0; p < TILE; p++)
        r[p] = load_pairs(&x, l + PAIR * p, i);
      k_transpose(r);
      K_UNROLL
      for (int p = 0; p < TILE; p++)
        _mm512_storeu_si512(to + (i + p) * ld + l, r[p]);
    }
}

/** e^x as in k_exp(): 0 for x far below, NaN for NaN. */
K_AMX static inline __m512 exponential(__m512 x)
{
  x = _mm512_max_ps(_mm512_set1_ps(-104.0F), x); // the second one if NaN
  const __m512 n = _mm512_roundscale_ps(
      _mm512_mul_ps(x, _mm512_set1_ps(1.44269504F)), _MM_FROUND_TO_NEAREST_INT);
  __m512 r = _mm512_fnmadd_ps(n, _mm512_set1_ps(0.693359375F), x);
  r = _mm512_fmadd_ps(n, _mm512_set1_ps(2.12194440e-4F), r);
  __m512 p = _mm512_set1_ps(1.0F / 5040.0F);
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0F / 720.0F));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0F / 120.0F));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0F / 24.0F));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0F / 6.0F));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0.5F));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0F));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0F));
  return _mm512_scalef_ps(p, n);
}

K_AMX static inline void store_low(rt_bf16 *to, __m512 x)
{
  const __m256bh low = _mm512_cvtneps_pbh(x);
  memcpy(to, &low, sizeof low);
}

K_AMX void k_amx_put_f32(const float *sums, int64_t n, float alpha, float beta,
                         float *c)
{
  for (int64_t i = 0; i < n; i++)
    c[i] = alpha * sums[i] + (beta != 0.0F ? beta * c[i] : 0.0F);
}

K_AMX void k_amx_put_bf16(const float *sums, int64_t n, float alpha, float beta,
                          rt_bf16 *c)
{
  const __m512 a = _mm512_set1_ps(alpha), b = _mm512_set1_ps(beta);
  for (int64_t i = 0; i < n; i += TILE) {
    const __mmask16 m = (__mmask16)bits(n - i);
    __m512 x = _mm512_mul_ps(a, _mm512_maskz_loadu_ps(m, sums + i));
    if (beta != 0.0F) {
      const __m512i old =
          _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(m, c + i));
      x = _mm512_fmadd_ps(b, _mm512_castsi512_ps(_mm512_slli_epi32(old, 16)),
                          x);
    }
    const __m256bh low = _mm512_cvtneps_pbh(x);
    __m256i stored;
    memcpy(&stored, &low, sizeof stored);
    _mm256_mask_storeu_epi16(c + i, m, stored);
  }
}

/** Those of 16 numbers from \a at on that lie in the range. */
static inline __mmask16 in_range(k_amx_range see, int64_t at)
{
  return (__mmask16)(bits(see.to - at) & ~bits(see.from - at));
}

K_AMX float k_amx_softmax(const float *s, k_amx_range see, float scale,
                          float *top, rt_bf16 *p)
{
  const __m512 by = _mm512_set1_ps(scale);
  __m512 x[ROW], most = _mm512_set1_ps(*top), sum = _mm512_setzero_ps();
  K_UNROLL
  for (int i = 0; i < ROW; i++) {
    x[i] = _mm512_mul_ps(_mm512_loadu_ps(s + i * TILE), by);
    // the second operand if one is NaN, which stays where it is
    most = _mm512_mask_max_ps(most, in_range(see, i * TILE), x[i], most);
  }
  *top = _mm512_reduce_max_ps(most);
  K_UNROLL
  for (int i = 0; i < ROW; i++) {
    const __m512 e = _mm512_maskz_mov_ps(
        in_range(see, i * TILE),
        exponential(_mm512_sub_ps(x[i], _mm512_set1_ps(*top))));
    sum = _mm512_add_ps(sum, e);
    store_low(p + i * TILE, e);
  }
  return _mm512_reduce_add_ps(sum);
}

K_AMX void k_amx_softmax_grad(const float *s, const float *dp, k_amx_range see,
                              const k_amx_row *r, rt_bf16 *ds)
{
  const __m512 scale = _mm512_set1_ps(r->scale), z = _mm512_set1_ps(r->z);
  const __m512 delta = _mm512_set1_ps(r->delta);
  K_UNROLL
  for (int i = 0; i < ROW; i++) {
    const __m512 e =
        exponential(_mm512_fmsub_ps(_mm512_loadu_ps(s + i * TILE), scale, z));
    const __m512 d = _mm512_sub_ps(_mm512_loadu_ps(dp + i * TILE), delta);
    store_low(ds + i * TILE, _mm512_maskz_mul_ps(in_range(see, i * TILE),
                                                 _mm512_mul_ps(e, d), scale));
  }
}

K_AMX void k_amx_softmax_grad_across(const float *s, const float *dp,
                                     int32_t key, const k_amx_queries *q,
                                     rt_bf16 *to[2])
{
  const __m512 scale = _mm512_set1_ps(q->scale);
  const __m512i k = _mm512_set1_epi32(key);
  K_UNROLL
  for (int i = 0; i < ROW; i++) {
    const int64_t at = i * TILE;
    const __mmask16 sees =
        _mm512_cmple_epi32_mask(_mm512_loadu_si512(q->from + at), k) &
        _mm512_cmple_epi32_mask(k, _mm512_loadu_si512(q->last + at));
    const __m512 e = _mm512_maskz_mov_ps(
        sees, exponential(_mm512_fmsub_ps(_mm512_loadu_ps(s + at), scale,
                                          _mm512_loadu_ps(q->z + at))));
    const __m512 d =
        _mm512_sub_ps(_mm512_loadu_ps(dp + at), _mm512_loadu_ps(q->delta + at));
    store_low(to[0] + at, e);
    store_low(to[1] + at,
              _mm512_maskz_mul_ps(sees, _mm512_mul_ps(e, d), scale));
  }
}

#else

bool k_amx_usable(void)
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

void k_amx_pack_across(rt_view x, const k_amx_factor *to, int64_t k, int64_t n)
{
  (void)x;
  (void)to;
  (void)k;
  (void)n;
}

void k_amx_pack_along(rt_view x, const k_amx_factor *to, int64_t k, int64_t n)
{
  (void)x;
  (void)to;
  (void)k;
  (void)n;
}

void k_amx_transpose(rt_view x, rt_bf16 *to, int64_t ld, int64_t m)
{
  (void)x;
  (void)to;
  (void)ld;
  (void)m;
}

void k_amx_put_f32(const float *sums, int64_t n, float alpha, float beta,
                   float *c)
{
  (void)sums;
  (void)n;
  (void)alpha;
  (void)beta;
  (void)c;
}

void k_amx_put_bf16(const float *sums, int64_t n, float alpha, float beta,
                    rt_bf16 *c)
{
  (void)sums;
  (void)n;
  (void)alpha;
  (void)beta;
  (void)c;
}

float k_amx_softmax(const float *s, k_amx_range see, float scale, float *top,
                    rt_bf16 *p)
{
  (void)s;
  (void)see;
  (void)scale;
  (void)top;
  (void)p;
  return 0.0F;
}

void k_amx_softmax_grad(const float *s, const float *dp, k_amx_range see,
                        const k_amx_row *r, rt_bf16 *ds)
{
  (void)s;
  (void)dp;
  (void)see;
  (void)r;
  (void)ds;
}

void k_amx_softmax_grad_across(const float *s, const float *dp, int32_t key,
                               const k_amx_queries *q, rt_bf16 *to[2])
{
  (void)s;
  (void)dp;
  (void)key;
  (void)q;
  (void)to;
}

#endif
