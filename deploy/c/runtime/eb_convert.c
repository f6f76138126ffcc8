/* SPDX-License-Identifier: Apache-2.0 */
/* Floats to integers and back, and places in a ring, see eb_kernels.h. */
#include "eb_arith.h"

#if defined(EB_USE_MVE)
/* Helium does not divide. */
static inline float32x4_t eb_quotient_4(const float *in, float scale)
{
    float part[4];
    part[0] = in[0] / scale;
    part[1] = in[1] / scale;
    part[2] = in[2] / scale;
    part[3] = in[3] / scale;
    return eb_stored_f32(part);
}
#endif

void eb_quantize_s8(const float *in, int8_t *out, int32_t size, float scale,
                    int32_t zero)
{
    int32_t i = 0;
#if defined(EB_USE_MVE)
    for (; i + 4 <= size; i += 4) {
        vstrbq_s32(&out[i], eb_round_4(eb_quotient_4(&in[i], scale), zero));
    }
#endif
    for (; i < size; i++) {
        out[i] = eb_saturate_s8(eb_round_s16(in[i] / scale) + zero);
    }
}

void eb_quantize_s16(const float *in, int16_t *out, int32_t size, float scale)
{
    int32_t i = 0;
#if defined(EB_USE_MVE)
    for (; i + 4 <= size; i += 4) {
        const int32x4_t whole =
            vcvtnq_s32_f32(eb_quotient_4(&in[i], scale));
        vstrhq_s32(&out[i], eb_saturate_4(whole));
    }
#endif
    for (; i < size; i++) {
        out[i] = eb_round_s16(in[i] / scale);
    }
}

#if defined(EB_USE_MVE)

#define EB_HALVE_4(step)                                                   \
    count = vaddq_m_n_s32(                                                 \
        count, count, (step),                                              \
        vcmpleq_s32(vldrwq_gather_shifted_offset_s32(                      \
                        edges + (step) - 1, vreinterpretq_u32_s32(count)), \
                    key))

#else

/* An integer in the order of the floats; -0 becomes 0. */
static int32_t eb_key(float value)
{
    const float sum = value + 0.0f;
    int32_t bits;
    memcpy(&bits, &sum, sizeof bits);
    return bits ^ ((bits >> 31) & INT32_MAX);
}

#if defined(EB_USE_VECTORS)
/* Without a branch, half of which a processor would guess wrong. */
#define EB_HALVE(step) at += (step) & -(int32_t)(at[(step) - 1] <= key)
#else
#define EB_HALVE(step) at = at[(step) - 1] <= key ? at + (step) : at
#endif

#endif

void eb_count_edges_s8(const int32_t *edges, const float *in, int8_t *out,
                       int32_t size, int32_t first)
{
#if defined(EB_USE_MVE)
    const int32x4_t most = vdupq_n_s32(INT32_MAX);
    for (int32_t i = 0; i < size; i += 4) {
        const mve_pred16_t p = vctp32q((uint32_t)(size - i));
        /* An integer in the order of the floats; -0 becomes 0. */
        const int32x4_t bits = vreinterpretq_s32_f32(
            vaddq_n_f32(vldrwq_z_f32(&in[i], p), 0.0f));
        const int32x4_t key =
            veorq_s32(bits, vandq_s32(vshrq_n_s32(bits, 31), most));
        int32x4_t count = vdupq_n_s32(0);
        EB_HALVE_4(128);
        EB_HALVE_4(64);
        EB_HALVE_4(32);
        EB_HALVE_4(16);
        EB_HALVE_4(8);
        EB_HALVE_4(4);
        EB_HALVE_4(2);
        EB_HALVE_4(1);
        vstrbq_p_s32(&out[i], vaddq_n_s32(count, first), p);
    }
#else
    for (int32_t i = 0; i < size; i++) {
        const int32_t key = eb_key(in[i]);
        const int32_t *at = edges;
        EB_HALVE(128);
        EB_HALVE(64);
        EB_HALVE(32);
        EB_HALVE(16);
        EB_HALVE(8);
        EB_HALVE(4);
        EB_HALVE(2);
        EB_HALVE(1);
        out[i] = (int8_t)(first + (int32_t)(at - edges));
    }
#endif
}

void eb_dequantize_s8(const int8_t *in, float *out, int32_t size, float scale,
                      int32_t zero)
{
#if defined(EB_USE_MVE)
    for (int32_t i = 0; i < size; i += 4) {
        const mve_pred16_t p = vctp32q((uint32_t)(size - i));
        const int32x4_t level = vsubq_n_s32(vldrbq_z_s32(&in[i], p), zero);
        vstrwq_p_f32(&out[i], vmulq_n_f32(vcvtq_f32_s32(level), scale), p);
    }
#else
    for (int32_t i = 0; i < size; i++) {
        out[i] = (float)((int32_t)in[i] - zero) * scale;
    }
#endif
}

void eb_dequantize_s16(const int16_t *in, float *out, int32_t size,
                       float scale)
{
#if defined(EB_USE_MVE)
    for (int32_t i = 0; i < size; i += 4) {
        const mve_pred16_t p = vctp32q((uint32_t)(size - i));
        const int32x4_t level = vldrhq_z_s32(&in[i], p);
        vstrwq_p_f32(&out[i], vmulq_n_f32(vcvtq_f32_s32(level), scale), p);
    }
#else
    for (int32_t i = 0; i < size; i++) {
        out[i] = (float)in[i] * scale;
    }
#endif
}

int32_t eb_ring_place(int32_t head, int32_t age, int32_t columns)
{
    const int32_t place = head + age;
    return place < columns ? place : place - columns;
}
