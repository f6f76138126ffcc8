/* SPDX-License-Identifier: Apache-2.0
 *
 * Loops of the transforms four floats at a time, for runtime/ alone: the same
 * products, sums and differences as in the plain loops, so the same bits (but
 * for tiny numbers with Helium, which no result shows, and the sign of zeros).
 * A vector is two complex numbers. */
#ifndef EB_FFT_X4_H
#define EB_FFT_X4_H

#include "eb_arith.h"

#if defined(EB_USE_FIXED)
/* Nothing in float. */
#elif defined(EB_USE_MVE)

#define EB_USE_X4 1

typedef float32x4_t eb_f32x4;

static inline eb_f32x4 eb_load_f32x4(const float *from)
{
    return vld1q_f32(from);
}

static inline void eb_store_f32x4(float *to, eb_f32x4 x)
{
    vst1q_f32(to, x);
}

static inline eb_f32x4 eb_plus(eb_f32x4 a, eb_f32x4 b)
{
    return vaddq_f32(a, b);
}

static inline eb_f32x4 eb_minus(eb_f32x4 a, eb_f32x4 b)
{
    return vsubq_f32(a, b);
}

static inline eb_f32x4 eb_product(eb_f32x4 a, eb_f32x4 b)
{
    return vmulq_f32(a, b);
}

/* a + i b and a - i b. */
static inline eb_f32x4 eb_plus_i(eb_f32x4 a, eb_f32x4 b)
{
    return vcaddq_rot90_f32(a, b);
}

static inline eb_f32x4 eb_minus_i(eb_f32x4 a, eb_f32x4 b)
{
    return vcaddq_rot270_f32(a, b);
}

/* x w, by products that are not fused with the sum. */
static inline eb_f32x4 eb_times_x4(eb_f32x4 x, eb_f32x4 w)
{
    return vaddq_f32(vcmulq_f32(w, x), vcmulq_rot90_f32(w, x));
}

static inline eb_f32x4 eb_conjugate(eb_f32x4 x)
{
    static const float signs[4] = {0.0f, -0.0f, 0.0f, -0.0f};
    return veorq_f32(x, vld1q_f32(signs));
}

/* A complex number twice. */
static inline eb_f32x4 eb_twice(const float *from)
{
    static const uint32_t order[4] = {0, 1, 0, 1};
    return vldrwq_gather_shifted_offset_f32(from, vld1q_u32(order));
}

/* Places of two complex numbers, so many floats apart. */
typedef uint32x4_t eb_apart;

static inline eb_apart eb_apart_from(const float *from, int32_t floats)
{
    const uint32_t step = (uint32_t)floats * 4u;
    const uint32_t offsets[4] = {0u, 4u, step, step + 4u};
    __asm__ volatile("" ::: "memory");
    return vaddq_n_u32(vld1q_u32(offsets), (uint32_t)(uintptr_t)from);
}

static inline eb_apart eb_apart_next(eb_apart place, int32_t floats)
{
    return vaddq_n_u32(place, (uint32_t)floats * 4u);
}

#define EB_LOAD_APART(place, at) vldrwq_gather_base_f32(place, 4 * (at))
#define EB_STORE_APART(place, x) vstrwq_scatter_base_f32(place, 0, x)

#elif defined(EB_USE_VECTORS)

#define EB_USE_X4 1

static inline eb_f32x4 eb_plus(eb_f32x4 a, eb_f32x4 b)
{
    return a + b;
}

static inline eb_f32x4 eb_minus(eb_f32x4 a, eb_f32x4 b)
{
    return a - b;
}

static inline eb_f32x4 eb_product(eb_f32x4 a, eb_f32x4 b)
{
    return a * b;
}

/* The real and the imaginary parts with their signs turned. */
static inline eb_f32x4 eb_turn_real(eb_f32x4 x)
{
    const eb_i32x4 signs = {INT32_MIN, 0, INT32_MIN, 0};
    return (eb_f32x4)((eb_i32x4)x ^ signs);
}

static inline eb_f32x4 eb_conjugate(eb_f32x4 x)
{
    const eb_i32x4 signs = {0, INT32_MIN, 0, INT32_MIN};
    return (eb_f32x4)((eb_i32x4)x ^ signs);
}

static inline eb_f32x4 eb_swap_parts(eb_f32x4 x)
{
    return __builtin_shufflevector(x, x, 1, 0, 3, 2);
}

/* a + i b and a - i b. */
static inline eb_f32x4 eb_plus_i(eb_f32x4 a, eb_f32x4 b)
{
    return a + eb_turn_real(eb_swap_parts(b));
}

static inline eb_f32x4 eb_minus_i(eb_f32x4 a, eb_f32x4 b)
{
    return a + eb_conjugate(eb_swap_parts(b));
}

/* x w, by products that are not fused with the sum. */
static inline eb_f32x4 eb_times_x4(eb_f32x4 x, eb_f32x4 w)
{
    const eb_f32x4 real = __builtin_shufflevector(x, x, 0, 0, 2, 2);
    const eb_f32x4 other = __builtin_shufflevector(x, x, 1, 1, 3, 3);
    return real * w + eb_turn_real(other * eb_swap_parts(w));
}

/* A complex number twice. */
static inline eb_f32x4 eb_twice(const float *from)
{
    return (eb_f32x4){from[0], from[1], from[0], from[1]};
}

/* Places of two complex numbers, so many floats apart. */
typedef struct {
    uintptr_t from;
    int32_t floats;
} eb_apart;

static inline eb_apart eb_apart_from(const float *from, int32_t floats)
{
    const eb_apart place = {(uintptr_t)from, floats};
    return place;
}

static inline eb_apart eb_apart_next(eb_apart place, int32_t floats)
{
    return eb_apart_from((const float *)place.from + floats, place.floats);
}

static inline eb_f32x4 eb_load_apart(eb_apart place, int32_t at)
{
    const float *const from = (const float *)place.from + at;
    const float *const next = from + place.floats;
    return (eb_f32x4){from[0], from[1], next[0], next[1]};
}

static inline void eb_store_apart(eb_apart place, eb_f32x4 x)
{
    float *const to = (float *)place.from;
    to[0] = x[0];
    to[1] = x[1];
    to[place.floats] = x[2];
    to[place.floats + 1] = x[3];
}

#define EB_LOAD_APART(place, at) eb_load_apart(place, at)
#define EB_STORE_APART(place, x) eb_store_apart(place, x)

#endif

#if defined(EB_USE_X4)

static inline void eb_butterfly_x4(eb_f32x4 a, eb_f32x4 b, eb_f32x4 c,
                                   eb_f32x4 d, float *y0, float *y1,
                                   float *y2, float *y3)
{
    const eb_f32x4 acp = eb_plus(a, c);
    const eb_f32x4 acm = eb_minus(a, c);
    const eb_f32x4 bdp = eb_plus(b, d);
    const eb_f32x4 bdm = eb_minus(b, d);
    eb_store_f32x4(y0, eb_plus(acp, bdp));
    eb_store_f32x4(y1, eb_minus_i(acm, bdm));
    eb_store_f32x4(y2, eb_minus(acp, bdp));
    eb_store_f32x4(y3, eb_plus_i(acm, bdm));
}

/* A stage of radix 4; m is even. */
void eb_stage_4_x4(const float *x, float *y, int32_t m, int32_t l,
                   const float *tw);

/* The last stage of radix 4, m = 1; l is even. */
void eb_last_4_x4(const float *x, float *y, int32_t l, const float *tw);

#endif
#endif
