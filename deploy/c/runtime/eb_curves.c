/* SPDX-License-Identifier: Apache-2.0 */
/* Functions of one number, see eb_kernels.h. */
#include "eb_arith.h"

void eb_table_s8(const int8_t *table, const int8_t *in, int8_t *out,
                 int32_t size)
{
    int32_t i = 0;
#if defined(EB_USE_MVE)
    for (; i + 16 <= size; i += 16) {
        /* int8 and 128 more, as uint8: the place in the table. */
        const uint8x16_t place =
            veorq_u8(vreinterpretq_u8_s8(vldrbq_s8(&in[i])), vdupq_n_u8(128));
        vstrbq_s8(&out[i], vldrbq_gather_offset_s8(table, place));
    }
#endif
    for (; i < size; i++) {
        out[i] = table[(int32_t)in[i] + 128];
    }
}

#if defined(EB_USE_DSP)
/* Two by two, without limits of their own; return how many. */
static int32_t eb_bent_pairs(const eb_bent_s16_layer *layer, const int16_t *in,
                             int16_t *out, int32_t size)
{
    const int32_t positive = layer->positive;
    const int32_t negative = layer->negative;
    const int32_t half = (int32_t)1 << (layer->shift - 17);
    const int32_t down = layer->shift - 16;
    int32_t i = 0;
    for (; i + 2 <= size; i += 2) {
        const int32_t pair = eb_load(&in[i]);
        int32_t above;
        int32_t below;
        /* max(pair, 0) and min(pair, 0): one of both products is 0. */
        __asm__("ssub16 %0, %2, %3\n\t"
                "sel %0, %2, %3\n\t"
                "sel %1, %3, %2"
                : "=&r"(above), "=&r"(below)
                : "r"(pair), "r"(0)
                : "cc");
        const int32_t first =
            __smlawb(negative, below, __smlawb(positive, above, half));
        const int32_t second =
            __smlawt(negative, below, __smlawt(positive, above, half));
        out[i] = eb_saturate_s16(first >> down);
        out[i + 1] = eb_saturate_s16(second >> down);
    }
    return i;
}
#endif

void eb_bent_s16(const eb_bent_s16_layer *layer, const int16_t *in,
                 int16_t *out, int32_t size)
{
    const eb_bent_s16_layer l = *layer;
    if (!eb_high_s16(l.shift)) {
        for (int32_t i = 0; i < size; i++) {
            const int32_t factor = in[i] < 0 ? l.negative : l.positive;
            int64_t value = eb_scale(in[i], factor, l.shift);
            value = value > l.low ? value : l.low;
            value = value < l.high ? value : l.high;
            out[i] = (int16_t)value;
        }
        return;
    }
#if defined(EB_USE_MVE)
    const int32x4_t low = vdupq_n_s32(l.low);
    const int32x4_t high = vdupq_n_s32(l.high);
    const int32x4_t down = vdupq_n_s32(16 - l.shift);
    const int32x4_t positive = vdupq_n_s32(l.positive);
    const int32x4_t negative = vdupq_n_s32(l.negative);
    for (int32_t i = 0; i < size; i += 4) {
        const mve_pred16_t p = vctp32q((uint32_t)(size - i));
        const int32x4_t x = vldrhq_z_s32(&in[i], p);
        const int32x4_t factor =
            vpselq_s32(negative, positive, vcmpltq_n_s32(x, 0));
        const int32x4_t product = vmulhq_s32(vshlq_n_s32(x, 16), factor);
        const int32x4_t value = vrshlq_s32(product, down);
        vstrhq_p_s32(&out[i], vminq_s32(vmaxq_s32(value, low), high), p);
    }
#else
    int32_t i = 0;
#if defined(EB_USE_DSP)
    /* Only the ends of int16, or those of a ReLU. */
    if (l.high == 32767 && (l.low == -32768 || (l.low | l.negative) == 0)) {
        i = eb_bent_pairs(&l, in, out, size);
    }
#endif
    for (; i < size; i++) {
        const int32_t factor = in[i] < 0 ? l.negative : l.positive;
        int32_t value = eb_scale_s16(in[i], factor, l.shift);
        value = value > l.low ? value : l.low;
        value = value < l.high ? value : l.high;
        out[i] = (int16_t)value;
    }
#endif
}

/* Where the table of tanh ends: at 8 as a Q18 number. */
#define EB_TANH_END ((int32_t)8 << 18)

#if !defined(EB_USE_MVE)
/* A number beyond the table becomes its end. The last but one entry of the
 * table is that of 8, too: one step of the Q18 number less is as good. */
static inline int32_t eb_tanh_limit(int32_t value)
{
#if defined(EB_USE_DSP)
    int32_t limited;
    __asm__("ssat %0, #22, %1" : "=r"(limited) : "r"(value));
    return limited;
#else
    const int32_t limited = value > -EB_TANH_END ? value : -EB_TANH_END;
    return limited < EB_TANH_END ? limited : EB_TANH_END;
#endif
}
#endif

/* 2^22 tanh of a Q18 number within the table, by a straight line between
 * entries. */
static inline int32_t eb_tanh_q22(int32_t value)
{
    const int32_t sign = value >> 31;
    const int32_t magnitude = (value ^ sign) - sign;
    const int32_t rest = magnitude & 2047;
    const int32_t *const entry = &eb_tanh_table[magnitude >> 11];
    const int32_t low = entry[0];
    const int32_t rise = entry[1] - low;
    const int32_t result = low + ((rise * rest + 1024) >> 11);
    return (result ^ sign) - sign;
}

#if defined(EB_USE_MVE)
/* The same of four numbers, also beyond the table. */
static inline int32x4_t eb_tanh_q22_4(int32x4_t value)
{
    const int32x4_t magnitude =
        vminq_s32(vabsq_s32(value), vdupq_n_s32(EB_TANH_END));
    const uint32x4_t place = vreinterpretq_u32_s32(vshrq_n_s32(magnitude, 11));
    const int32x4_t rest = vandq_s32(magnitude, vdupq_n_s32(2047));
    const int32x4_t low =
        vldrwq_gather_shifted_offset_s32(eb_tanh_table, place);
    const int32x4_t next =
        vldrwq_gather_shifted_offset_s32(eb_tanh_table + 1, place);
    const int32x4_t product = vmulq_s32(vsubq_s32(next, low), rest);
    const int32x4_t result = vaddq_s32(low, vrshrq_n_s32(product, 11));
    return vnegq_m_s32(result, result, vcmpltq_n_s32(value, 0));
}
#endif

/* For any shifts: a product may need all of 64 bits. */
static int16_t eb_tanh_wide(const eb_scale_s16_layer *from, int64_t value,
                            int32_t middle)
{
    int64_t limited = value;
    limited = limited > -EB_TANH_END ? limited : -EB_TANH_END;
    limited = limited < EB_TANH_END ? limited : EB_TANH_END;
    const int32_t y = middle + eb_tanh_q22((int32_t)limited);
    return eb_saturate(eb_scale(y, from->factor, from->shift));
}

/* middle + tanh, in Q22. */
static void eb_tanh_around(const eb_scale_s16_layer *into,
                           const eb_scale_s16_layer *from, const int16_t *in,
                           int16_t *out, int32_t size, int32_t middle)
{
    const eb_scale_s16_layer i16 = *into;
    const eb_scale_s16_layer o16 = *from;
    if (!eb_high_s16(i16.shift) || o16.shift < 33) {
        for (int32_t i = 0; i < size; i++) {
            const int64_t x = eb_scale(in[i], i16.factor, i16.shift);
            out[i] = eb_tanh_wide(&o16, x, middle);
        }
        return;
    }
#if defined(EB_USE_MVE)
    const int32x4_t in_factor = vdupq_n_s32(i16.factor);
    const int32x4_t in_down = vdupq_n_s32(16 - i16.shift);
    const int32x4_t out_factor = vdupq_n_s32(o16.factor);
    const int32x4_t out_shift = vdupq_n_s32(o16.shift - 32);
    for (int32_t i = 0; i < size; i += 4) {
        const mve_pred16_t p = vctp32q((uint32_t)(size - i));
        const int32x4_t x = vldrhq_z_s32(&in[i], p);
        const int32x4_t high = vmulhq_s32(vshlq_n_s32(x, 16), in_factor);
        const int32x4_t y = eb_tanh_q22_4(vrshlq_s32(high, in_down));
        vstrhq_p_s32(&out[i],
                     eb_scale_high_4(vaddq_n_s32(y, middle), out_factor,
                                     out_shift),
                     p);
    }
#else
    for (int32_t i = 0; i < size; i++) {
        const int32_t x = eb_scale_s16(in[i], i16.factor, i16.shift);
        const int32_t y = middle + eb_tanh_q22(eb_tanh_limit(x));
        out[i] = eb_saturate_s16(eb_scale_high(y, o16.factor, o16.shift));
    }
#endif
}

void eb_tanh_s16(const eb_scale_s16_layer *into,
                 const eb_scale_s16_layer *from, const int16_t *in,
                 int16_t *out, int32_t size)
{
    eb_tanh_around(into, from, in, out, size, 0);
}

void eb_sigmoid_s16(const eb_scale_s16_layer *into,
                    const eb_scale_s16_layer *from, const int16_t *in,
                    int16_t *out, int32_t size)
{
    /* sigmoid(x) = (1 + tanh(x / 2)) / 2, and `into` halves. */
    eb_tanh_around(into, from, in, out, size, 4194304);
}

#if !defined(EB_USE_MVE)
/* A cell state as a Q18 number, within the table. */
static inline int32_t eb_state_q18(float state)
{
#if defined(EB_USE_FPU)
    /* The conversion saturates, whatever the state. */
    return eb_tanh_limit(eb_round(state * 262144.0f));
#else
    return eb_round(eb_limit(state, -8.0f, 8.0f) * 262144.0f);
#endif
}
#endif

void eb_cell_tanh_s16(const eb_scale_s16_layer *from, const float *state,
                      int16_t *out, int32_t size)
{
    const eb_scale_s16_layer o16 = *from;
    if (o16.shift < 33) {
        for (int32_t i = 0; i < size; i++) {
            const float inside = eb_limit(state[i], -8.0f, 8.0f);
            out[i] = eb_tanh_wide(&o16, eb_round(inside * 262144.0f), 0);
        }
        return;
    }
#if defined(EB_USE_MVE)
    const int32x4_t factor = vdupq_n_s32(o16.factor);
    const int32x4_t shift = vdupq_n_s32(o16.shift - 32);
    const float32x4_t low = vdupq_n_f32(-8.0f);
    const float32x4_t high = vdupq_n_f32(8.0f);
    for (int32_t i = 0; i < size; i += 4) {
        const mve_pred16_t p = vctp32q((uint32_t)(size - i));
        const float32x4_t inside = vminnmq_f32(
            vmaxnmq_f32(vldrwq_z_f32(&state[i], p), low), high);
        const int32x4_t y = eb_tanh_q22_4(
            vcvtnq_s32_f32(vmulq_n_f32(inside, 262144.0f)));
        vstrhq_p_s32(&out[i], eb_scale_high_4(y, factor, shift), p);
    }
#else
    for (int32_t i = 0; i < size; i++) {
        const int32_t y = eb_tanh_q22(eb_state_q18(state[i]));
        out[i] = eb_saturate_s16(eb_scale_high(y, o16.factor, o16.shift));
    }
#endif
}

/* tanh x = x p(x^2) / q(x^2) up to 9, with the constants of onnxruntime. */
static const float eb_tanh_over[7] = {
    -2.76076847742355e-16f, 2.00018790482477e-13f, -8.60467152213735e-11f,
    5.12229709037114e-08f,  1.48572235717979e-05f, 6.37261928875436e-04f,
    4.89352455891786e-03f};
static const float eb_tanh_under[4] = {
    1.19825839466702e-06f, 1.18534705686654e-04f, 2.26843463243900e-03f,
    4.89352518554385e-03f};

#if defined(EB_USE_MVE)
static inline float32x4_t eb_polynomial_4(float32x4_t x, const float *terms,
                                          int32_t degree)
{
    float32x4_t sum = vdupq_n_f32(terms[0]);
    for (int32_t k = 1; k <= degree; k++) {
        sum = vfmaq_f32(vdupq_n_f32(terms[k]), sum, x);
    }
    return sum;
}
#else
static inline float eb_polynomial(float x, const float *terms, int32_t degree)
{
    float sum = terms[0];
    for (int32_t k = 1; k <= degree; k++) {
        sum = eb_fused(sum, x, terms[k]);
    }
    return sum;
}
#endif

void eb_cell_tanh_s8(const float *state, int8_t *out, int32_t size,
                     float scale, int32_t zero)
{
#if defined(EB_USE_MVE)
    const float32x4_t low = vdupq_n_f32(-9.0f);
    const float32x4_t high = vdupq_n_f32(9.0f);
    for (int32_t i = 0; i < size; i += 4) {
        const mve_pred16_t p = vctp32q((uint32_t)(size - i));
        const float32x4_t x = vminnmq_f32(
            vmaxnmq_f32(vldrwq_z_f32(&state[i], p), low), high);
        const float32x4_t square = vmulq_f32(x, x);
        float over[4];
        float under[4];
        vst1q_f32(over,
                  vmulq_f32(eb_polynomial_4(square, eb_tanh_over, 6), x));
        vst1q_f32(under, eb_polynomial_4(square, eb_tanh_under, 3));
        /* Helium does not divide. */
        over[0] = over[0] / under[0] / scale;
        over[1] = over[1] / under[1] / scale;
        over[2] = over[2] / under[2] / scale;
        over[3] = over[3] / under[3] / scale;
        vstrbq_p_s32(&out[i], eb_round_4(eb_stored_f32(over), zero), p);
    }
#else
    for (int32_t i = 0; i < size; i++) {
        const float x = eb_limit(state[i], -9.0f, 9.0f);
        const float square = x * x;
        const float over = eb_polynomial(square, eb_tanh_over, 6) * x;
        const float y = over / eb_polynomial(square, eb_tanh_under, 3);
        out[i] = eb_saturate_s8(eb_round_s16(y / scale) + zero);
    }
#endif
}
