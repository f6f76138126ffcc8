/* SPDX-License-Identifier: Apache-2.0
 *
 * Vectors of 128 bits on processors of hosts (SSE2, 64-bit Arm, WebAssembly)
 * by the extensions that gcc 12 and clang share; for runtime/ alone. What they
 * compute has the bits of the plain loops. */
#ifndef EB_VECTORS_H
#define EB_VECTORS_H

/* Says EB_USE_VECTORS. */
#include "eb_kernels.h"

#if defined(EB_USE_VECTORS)

#include <string.h>

#if defined(__SSE2__)
#include <emmintrin.h>
#elif defined(__wasm_simd128__)
#include <wasm_simd128.h>
#endif

typedef int8_t eb_i8x4 __attribute__((vector_size(4)));
typedef int8_t eb_i8x8 __attribute__((vector_size(8)));
typedef int16_t eb_i16x4 __attribute__((vector_size(8)));
typedef int16_t eb_i16x8 __attribute__((vector_size(16)));
typedef int32_t eb_i32x4 __attribute__((vector_size(16)));
typedef float eb_f32x4 __attribute__((vector_size(16)));

#define EB_LOAD_AND_STORE(name, type)                                  \
    static inline eb_##name eb_load_##name(const type *from)           \
    {                                                                  \
        eb_##name vector;                                              \
        memcpy(&vector, from, sizeof vector);                          \
        return vector;                                                 \
    }                                                                  \
    static inline void eb_store_##name(type *to, eb_##name vector)     \
    {                                                                  \
        memcpy(to, &vector, sizeof vector);                            \
    }

EB_LOAD_AND_STORE(i8x4, int8_t)
EB_LOAD_AND_STORE(i8x8, int8_t)
EB_LOAD_AND_STORE(i16x8, int16_t)
EB_LOAD_AND_STORE(i32x4, int32_t)
EB_LOAD_AND_STORE(f32x4, float)

static inline eb_i16x8 eb_widen_i8x8(const int8_t *from)
{
    return __builtin_convertvector(eb_load_i8x8(from), eb_i16x8);
}

/* Products of int16, added up two by two: which two may differ, for all are
 * added up in the end. */
static inline eb_i32x4 eb_dot_pairs(eb_i16x8 a, eb_i16x8 b)
{
#if defined(__SSE2__)
    return (eb_i32x4)_mm_madd_epi16((__m128i)a, (__m128i)b);
#elif defined(__wasm_simd128__)
    return (eb_i32x4)wasm_i32x4_dot_i16x8((v128_t)a, (v128_t)b);
#else
    const eb_i16x4 al = __builtin_shufflevector(a, a, 0, 1, 2, 3);
    const eb_i16x4 ah = __builtin_shufflevector(a, a, 4, 5, 6, 7);
    const eb_i16x4 bl = __builtin_shufflevector(b, b, 0, 1, 2, 3);
    const eb_i16x4 bh = __builtin_shufflevector(b, b, 4, 5, 6, 7);
    return __builtin_convertvector(al, eb_i32x4) *
               __builtin_convertvector(bl, eb_i32x4) +
           __builtin_convertvector(ah, eb_i32x4) *
               __builtin_convertvector(bh, eb_i32x4);
#endif
}

/* The sum of each of four vectors. */
static inline eb_i32x4 eb_sum_each(eb_i32x4 a, eb_i32x4 b, eb_i32x4 c,
                                   eb_i32x4 d)
{
    const eb_i32x4 ab = __builtin_shufflevector(a, b, 0, 4, 1, 5) +
                        __builtin_shufflevector(a, b, 2, 6, 3, 7);
    const eb_i32x4 cd = __builtin_shufflevector(c, d, 0, 4, 1, 5) +
                        __builtin_shufflevector(c, d, 2, 6, 3, 7);
    return __builtin_shufflevector(ab, cd, 0, 1, 4, 5) +
           __builtin_shufflevector(ab, cd, 2, 3, 6, 7);
}

static inline eb_i32x4 eb_limit_x4(eb_i32x4 x, int32_t low, int32_t high)
{
    const eb_i32x4 above = x > low;
    const eb_i32x4 raised = (x & above) | (~above & low);
    const eb_i32x4 below = raised < high;
    return (raised & below) | (~below & high);
}

/* Half to even, for values within +-2^22. */
static inline eb_i32x4 eb_round_x4(eb_f32x4 value)
{
    return (eb_i32x4)(value + EB_MAGIC) - EB_MAGIC_BITS;
}

/* Four numbers to int8. */
static inline eb_i8x4 eb_saturate_x4(eb_i32x4 value)
{
    return __builtin_convertvector(eb_limit_x4(value, -128, 127), eb_i8x4);
}

static inline eb_i8x4 eb_requantize_x4(eb_i32x4 sum, eb_f32x4 ratio,
                                       int32_t zero)
{
    const eb_f32x4 value = __builtin_convertvector(sum, eb_f32x4) * ratio;
    return eb_saturate_x4(eb_round_x4(value) + zero);
}

#endif
#endif
