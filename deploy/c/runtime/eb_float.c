/* SPDX-License-Identifier: Apache-2.0 */
/* Float features, see eb_float.h. */
#include "eb_float.h"

#include "eb_arith.h"

#include <math.h>
#include <string.h>

#define EB_SMALLEST 1.17549435e-38f

#if !defined(EB_USE_MVE)
static inline float eb_log2(float x)
{
    if (!(x >= EB_SMALLEST)) {
        return -126.0f;
    }
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    /* x = 2^e m with m from sqrt(1/2) to sqrt(2). */
    const uint32_t moved = bits - 0x3F3504F3u;
    const int32_t exponent = (int32_t)moved >> 23;
    bits -= (uint32_t)exponent << 23;
    float m;
    memcpy(&m, &bits, sizeof m);
    /* log2 m = 2 / ln 2 * (z + z^3 / 3 + ...), z = (m - 1) / (m + 1). */
    const float z = (m - 1.0f) / (m + 1.0f);
    const float w = z * z;
    float sum = 0.32059899f;
    sum = sum * w + 0.41219858f;
    sum = sum * w + 0.57707802f;
    sum = sum * w + 0.96179669f;
    sum = sum * w + 2.88539008f;
    return (float)exponent + sum * z;
}
#endif

#if defined(EB_USE_MVE)
/* eb_log2 of four numbers: no step but the division has another form, and no
 * result is so small that a vector takes it for 0. */
static inline float32x4_t eb_log2_4(float32x4_t x)
{
    const int32x4_t bits = vreinterpretq_s32_f32(x);
    const int32x4_t exponent =
        vshrq_n_s32(vsubq_n_s32(bits, 0x3F3504F3), 23);
    const float32x4_t m = vreinterpretq_f32_s32(
        vsubq_s32(bits, vshlq_n_s32(exponent, 23)));
    /* Helium does not divide. */
    float over[4];
    float under[4];
    vst1q_f32(over, vsubq_n_f32(m, 1.0f));
    vst1q_f32(under, vaddq_n_f32(m, 1.0f));
    over[0] /= under[0];
    over[1] /= under[1];
    over[2] /= under[2];
    over[3] /= under[3];
    const float32x4_t z = eb_stored_f32(over);
    const float32x4_t w = vmulq_f32(z, z);
    float32x4_t sum = vdupq_n_f32(0.32059899f);
    sum = vaddq_n_f32(vmulq_f32(sum, w), 0.41219858f);
    sum = vaddq_n_f32(vmulq_f32(sum, w), 0.57707802f);
    sum = vaddq_n_f32(vmulq_f32(sum, w), 0.96179669f);
    sum = vaddq_n_f32(vmulq_f32(sum, w), 2.88539008f);
    const float32x4_t found =
        vaddq_f32(vcvtq_f32_s32(exponent), vmulq_f32(sum, z));
    return vpselq_f32(found, vdupq_n_f32(-126.0f),
                      vcmpgeq_n_f32(x, EB_SMALLEST));
}
#endif

void eb_pow_all(float *x, int32_t size, const float *table)
{
    const float *const scale = table + 96;
#if defined(EB_USE_MVE)
    for (int32_t i = 0; i < size; i += 4) {
        const mve_pred16_t p = vctp32q((uint32_t)(size - i));
        const int32x4_t bits = vmaxq_s32(
            vreinterpretq_s32_f32(vldrwq_z_f32(&x[i], p)), vdupq_n_s32(0));
        const uint32x4_t piece = vreinterpretq_u32_s32(
            vandq_s32(vshrq_n_s32(bits, 18), vdupq_n_s32(31)));
        const float32x4_t d =
            vcvtq_f32_s32(vandq_s32(bits, vdupq_n_s32(0x3FFFF)));
        float32x4_t sum =
            vldrwq_gather_shifted_offset_f32(table + 64, piece);
        sum = vaddq_f32(vmulq_f32(sum, d),
                        vldrwq_gather_shifted_offset_f32(table + 32, piece));
        sum = vaddq_f32(vmulq_f32(sum, d),
                        vldrwq_gather_shifted_offset_f32(table, piece));
        const float32x4_t two = vldrwq_gather_shifted_offset_f32(
            scale, vreinterpretq_u32_s32(vshrq_n_s32(bits, 23)));
        vstrwq_p_f32(&x[i], vmulq_f32(sum, two), p);
    }
#else
    EB_PLAIN_LOOP
    for (int32_t i = 0; i < size; i++) {
        int32_t bits;
        memcpy(&bits, &x[i], sizeof bits);
        bits &= ~(bits >> 31);
        const float *const part = &table[(bits >> 18) & 31];
        const float d = (float)(bits & 0x3FFFF);
        float sum = part[64] * d + part[32];
        sum = sum * d + part[0];
        x[i] = sum * scale[bits >> 23];
    }
#endif
}

void eb_log_all(float *x, int32_t size)
{
#if defined(EB_USE_MVE)
    for (int32_t i = 0; i < size; i += 4) {
        const mve_pred16_t p = vctp32q((uint32_t)(size - i));
        const float32x4_t found = eb_log2_4(vldrwq_z_f32(&x[i], p));
        vstrwq_p_f32(&x[i], vmulq_n_f32(found, 0.693147181f), p);
    }
#else
    EB_PLAIN_LOOP
    for (int32_t i = 0; i < size; i++) {
        x[i] = eb_log2(x[i]) * 0.693147181f;
    }
#endif
}

void eb_sqrt_all(float *x, int32_t size)
{
    EB_PLAIN_LOOP
    for (int32_t i = 0; i < size; i++) {
        x[i] = sqrtf(x[i]);
    }
}

void eb_square_all(float *x, int32_t size)
{
    EB_PLAIN_LOOP
    for (int32_t i = 0; i < size; i++) {
        x[i] = x[i] * x[i];
    }
}

/* With one number, and with one for each element. */
#define EB_CHANGE(name, operator)                                      \
    void eb_##name##_all(float *x, int32_t size, float value)          \
    {                                                                  \
        EB_PLAIN_LOOP                                                  \
        for (int32_t i = 0; i < size; i++) {                           \
            x[i] operator value;                                       \
        }                                                              \
    }                                                                  \
                                                                       \
    void eb_##name##_each(float *x, int32_t size, const float *values) \
    {                                                                  \
        EB_PLAIN_LOOP                                                  \
        for (int32_t i = 0; i < size; i++) {                           \
            x[i] operator values[i];                                   \
        }                                                              \
    }

EB_CHANGE(add, +=)
EB_CHANGE(mul, *=)
EB_CHANGE(div, /=)

void eb_clip_all(float *x, int32_t size, float low, float high)
{
    EB_PLAIN_LOOP
    for (int32_t i = 0; i < size; i++) {
        if (x[i] < low) {
            x[i] = low;
        }
        if (x[i] > high) {
            x[i] = high;
        }
    }
}

void eb_bands(const float *in, float *out, int32_t bands,
              const int16_t *first, const int16_t *count,
              const float *weights)
{
    const float *weight = weights;
    for (int32_t m = 0; m < bands; m++) {
        const float *const from = &in[first[m]];
        float sum = 0.0f;
        for (int32_t k = 0; k < count[m]; k++) {
            sum += from[k] * weight[k];
        }
        weight += count[m];
        out[m] = sum;
    }
}
