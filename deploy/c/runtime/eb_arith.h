/* SPDX-License-Identifier: Apache-2.0
 *
 * Rounding and saturation that the kernels share; for runtime/ alone. */
#ifndef EB_ARITH_H
#define EB_ARITH_H

#include "eb_kernels.h"

#include <string.h>

#if defined(EB_USE_MVE)
#include <arm_mve.h>
#elif defined(EB_USE_DSP)
#include <arm_acle.h>
#endif

/* A floating-point unit of a Cortex-M, which rounds half to even. */
#if !defined(EB_SCALAR) && defined(__ARM_FP) && defined(__ARM_ARCH_PROFILE)
#if (__ARM_FP & 4) != 0 && __ARM_ARCH_PROFILE == 'M'
#define EB_USE_FPU 1
#endif
#endif

/* Right shifts of negative numbers must keep the sign. */
typedef char eb_arithmetic_shift[((-1) >> 1) == -1 ? 1 : -1];

/* Adding 1.5 * 2^23 leaves no bits for a fraction: the sum is rounded half to
 * even, and its low bits are the integer. For values within +-2^22. */
#define EB_MAGIC 12582912.0f
#define EB_MAGIC_BITS 0x4B400000

#include "eb_vectors.h"

static inline int32_t eb_round(float value)
{
    int32_t bits;
#if defined(EB_USE_FPU)
    float whole;
    __asm__("vcvtr.s32.f32 %0, %1" : "=t"(whole) : "t"(value));
    memcpy(&bits, &whole, sizeof bits);
    return bits;
#else
    const float sum = value + EB_MAGIC;
    memcpy(&bits, &sum, sizeof bits);
    return bits - EB_MAGIC_BITS;
#endif
}

/* factor x + term, rounded once. Neither every C library nor every compiler
 * does that with fmaf. */
static inline float eb_fused(float x, float factor, float term)
{
#if defined(EB_USE_FPU) && defined(__ARM_FEATURE_FMA)
    float sum = term;
    __asm__("vfma.f32 %0, %1, %2" : "+t"(sum) : "t"(x), "t"(factor));
    return sum;
#elif defined(__FP_FAST_FMAF) || defined(__FMA__)
    return __builtin_fmaf(x, factor, term);
#else
    /* The product is exact. The sum is rounded to 53 bits and then to 24: that
     * is wrong only if the first step ends half-way between two floats. */
    const double product = (double)x * (double)factor;
    double sum = product + (double)term;
    uint64_t bits;
    memcpy(&bits, &sum, sizeof bits);
    if ((bits & 0x1FFFFFFFu) == 0x10000000u) {
        const double added = sum - product;
        const double lost =
            (product - (sum - added)) + ((double)term - added);
        if (lost != 0.0) {
            bits += (lost > 0.0) == (sum > 0.0) ? 1u : UINT64_MAX;
            memcpy(&sum, &bits, sizeof sum);
        }
    }
    return (float)sum;
#endif
}

static inline float eb_limit(float value, float low, float high)
{
    float limited = value;
    /* So written, NaN becomes the lower end, as Helium has it. */
    if (!(limited >= low)) {
        limited = low;
    }
    if (limited > high) {
        limited = high;
    }
    return limited;
}

static inline int8_t eb_saturate_s8(int32_t value)
{
#if defined(EB_USE_DSP) || defined(EB_USE_MVE)
    int32_t limited;
    __asm__("ssat %0, #8, %1" : "=r"(limited) : "r"(value));
    return (int8_t)limited;
#else
    int32_t limited = value > -128 ? value : -128;
    limited = limited < 127 ? limited : 127;
    return (int8_t)limited;
#endif
}

static inline int16_t eb_saturate_s16(int32_t value)
{
#if defined(EB_USE_DSP) || defined(EB_USE_MVE)
    int32_t limited;
    __asm__("ssat %0, #16, %1" : "=r"(limited) : "r"(value));
    return (int16_t)limited;
#else
    int32_t limited = value > -32768 ? value : -32768;
    limited = limited < 32767 ? limited : 32767;
    return (int16_t)limited;
#endif
}

/* The generator refuses layers whose products could leave +-2^22, so that
 * rounding comes first and saturation is one instruction. */
static inline int32_t eb_float_product(int32_t sum, float ratio)
{
    return eb_round((float)sum * ratio);
}

#if defined(EB_USE_FIXED)

/* The same without floats, but for one sum in thousands. Below 256 a float has
 * at least 16 bits after the point: where the exact product ends further from
 * a half than the last of them, it is rounded to the same integer. From 256
 * on all are alike, for they saturate. */
static inline int32_t eb_rounded_product(int32_t sum, float ratio)
{
    uint32_t bits;
    memcpy(&bits, &ratio, sizeof bits);
    const int32_t shift = 150 - (int32_t)(bits >> 23);
    const uint32_t size = sum < 0 ? 0u - (uint32_t)sum : (uint32_t)sum;
    if (shift < 24 || shift > 63 || size >= 0x1000000u) {
        return eb_float_product(sum, ratio);
    }
    const uint64_t product =
        (uint64_t)size * ((bits & 0x7FFFFFu) | 0x800000u);
    uint32_t whole = (uint32_t)(product >> shift);
    /* 32 bits after the point. */
    const uint32_t part = shift < 32 ? (uint32_t)product << (32 - shift)
                                     : (uint32_t)(product >> (shift - 32));
    if (whole > 255u) {
        whole = 256u;
    } else if (part - 0x7FFF0000u < 0x20000u) {
        return eb_float_product(sum, ratio);
    } else {
        whole += part >> 31;
    }
    return sum < 0 ? -(int32_t)whole : (int32_t)whole;
}

#else
#define eb_rounded_product eb_float_product
#endif

static inline int8_t eb_requantize(int32_t sum, float ratio, int32_t zero)
{
    return eb_saturate_s8(eb_rounded_product(sum, ratio) + zero);
}

/* Rounded, then saturated: a floating-point unit saturates at 32 bits, other
 * arithmetic rounds small numbers alone. */
static inline int16_t eb_round_s16(float value)
{
#if defined(EB_USE_FPU)
    return eb_saturate_s16(eb_round(value));
#else
    return (int16_t)eb_round(eb_limit(value, -32768.0f, 32767.0f));
#endif
}

static inline int16_t eb_saturate(int64_t value)
{
    int64_t limited = value;
    if (limited < -32768) {
        limited = -32768;
    }
    if (limited > 32767) {
        limited = 32767;
    }
    return (int16_t)limited;
}

static inline int64_t eb_scale(int64_t value, int32_t factor, int32_t shift)
{
    const int64_t half = (int64_t)1 << (shift - 1);
    return (value * factor + half) >> shift;
}

/* The same for a value of 32 bits and a shift from 33 up: then half of the
 * last place does not reach the low word of the product. */
static inline int32_t eb_scale_high(int32_t value, int32_t factor,
                                    int32_t shift)
{
    const int32_t half = (int32_t)1 << (shift - 33);
#if defined(EB_USE_DSP)
    int32_t sum;
    __asm__("smmla %0, %1, %2, %3"
            : "=r"(sum)
            : "r"(value), "r"(factor), "r"(half));
    return sum >> (shift - 32);
#else
    const int32_t high = (int32_t)(((int64_t)value * factor) >> 32);
    return (high + half) >> (shift - 32);
#endif
}

/* And for one of 16 bits, which goes into a high half. Beyond 47 half of the
 * last place has more than 32 bits. */
static inline int32_t eb_high_s16(int32_t shift)
{
    return shift >= 17 && shift <= 47;
}

static inline int32_t eb_scale_s16(int16_t value, int32_t factor,
                                   int32_t shift)
{
#if defined(EB_USE_DSP)
    const int32_t half = (int32_t)1 << (shift - 17);
    return __smlawb(factor, value, half) >> (shift - 16);
#else
    return eb_scale_high((int32_t)value * 65536, factor, shift + 16);
#endif
}

#if defined(EB_USE_DSP)

typedef struct {
    int8_t bytes[4];
} eb_word;

/* One instruction, also where a compiler without orders from its user does
 * not trust the processor to read words at any address. */
static inline int32_t eb_load(const void *from)
{
    int32_t word;
    __asm__("ldr %0, %1" : "=r"(word) : "m"(*(const eb_word *)from));
    return word;
}

/* Bytes 1 and 3 as int16; bytes 0 and 2 by __sxtb16. */
static inline int32_t eb_odd(int32_t word)
{
    int32_t pair;
    __asm__("sxtb16 %0, %1, ror #8" : "=r"(pair) : "r"(word));
    return pair;
}

#endif

#if defined(EB_USE_MVE)

/* Four numbers that were just stored one by one. gcc 12 thinks that a vector
 * load reads the first of them alone, and may move it before the other
 * stores; the empty statement keeps it behind them. */
static inline float32x4_t eb_stored_f32(const float *stored)
{
    __asm__ volatile("" ::: "memory");
    return vldrwq_f32(stored);
}

/* The limits are those of int8 less the zero point, so that adding it cannot
 * leave the range. */
static inline int32x4_t eb_round_4(float32x4_t value, int32_t zero)
{
    const float32x4_t low = vdupq_n_f32((float)(-128 - zero));
    const float32x4_t high = vdupq_n_f32((float)(127 - zero));
    const float32x4_t limited = vminnmq_f32(vmaxnmq_f32(value, low), high);
    return vaddq_n_s32(vcvtnq_s32_f32(limited), zero);
}

static inline int32x4_t eb_saturate_4(int32x4_t value)
{
    return vminq_s32(vmaxq_s32(value, vdupq_n_s32(-32768)),
                     vdupq_n_s32(32767));
}

static inline uint32x4_t eb_low_half_4(int32x4_t value)
{
    return vmovlbq_u16(vreinterpretq_u16_s32(value));
}

/* eb_scale_high of four, saturated; the shifts are given less 32. */
static inline int32x4_t eb_scale_high_4(int32x4_t value, int32x4_t factor,
                                        int32x4_t shift)
{
    const int32x4_t high = vmulhq_s32(value, factor);
    return eb_saturate_4(vrshlq_s32(high, vnegq_s32(shift)));
}

#endif

#endif
