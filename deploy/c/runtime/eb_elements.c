/* SPDX-License-Identifier: Apache-2.0 */
/* Operations element by element, see eb_kernels.h. */
#include "eb_arith.h"

#include <math.h>

void eb_add_s8(const eb_add_s8_layer *layer, const int8_t *first,
               const int8_t *second, int8_t *out, int32_t size)
{
    const float first_ratio = layer->first_ratio;
    const float second_ratio = layer->second_ratio;
    const float fixed = layer->fixed;
#if defined(EB_USE_MVE)
    for (int32_t i = 0; i < size; i += 4) {
        const mve_pred16_t p = vctp32q((uint32_t)(size - i));
        const float32x4_t a = vcvtq_f32_s32(vldrbq_z_s32(&first[i], p));
        const float32x4_t b = vcvtq_f32_s32(vldrbq_z_s32(&second[i], p));
        const float32x4_t part =
            vfmaq_n_f32(vdupq_n_f32(fixed), b, second_ratio);
        vstrbq_p_s32(&out[i],
                     eb_round_4(vfmaq_n_f32(part, a, first_ratio), 0), p);
    }
#else
#if defined(EB_USE_FIXED)
    /* With 20 bits after the point; each float is good to 2^-13, and each
     * constant to 2^-14 of the sum. What ends nearer to a half is left to
     * floats, as is a layer of larger numbers. */
    const float one = 1048576.0f;
    const float most = fabsf(first_ratio) + fabsf(second_ratio);
    const int32_t small = 128.0f * most + fabsf(fixed) < 1024.0f;
    const int32_t by_first = small != 0 ? (int32_t)(first_ratio * one) : 0;
    const int32_t by_second = small != 0 ? (int32_t)(second_ratio * one) : 0;
    const int32_t start = small != 0 ? (int32_t)(fixed * one) + 524288 : 0;
#endif
    for (int32_t i = 0; i < size; i++) {
#if defined(EB_USE_FIXED)
        const int32_t near = start + first[i] * by_first +
                             second[i] * by_second;
        if (((near + 512) & 0xFFFFF) >= 1024 && small != 0) {
            out[i] = eb_saturate_s8(near >> 20);
            continue;
        }
#endif
        /* Fused as onnxruntime's AVX2 kernel has it: the second one first. */
        const float part = eb_fused((float)second[i], second_ratio, fixed);
        const float sum = eb_fused((float)first[i], first_ratio, part);
        out[i] = eb_saturate_s8(eb_round(sum));
    }
#endif
}

void eb_add_s16(const eb_add_s16_layer *layer, const int16_t *first,
                const int16_t *second, int16_t *out, int32_t size)
{
    const int32_t first_factor = layer->first_factor;
    const int32_t second_factor = layer->second_factor;
    const int32_t shift = layer->shift;
    if (eb_high_s16(shift)) {
#if defined(EB_USE_MVE)
        const int32x4_t by_first = vdupq_n_s32(first_factor);
        const int32x4_t by_second = vdupq_n_s32(second_factor);
        const int32x4_t down = vdupq_n_s32(16 - shift);
        for (int32_t i = 0; i < size; i += 4) {
            const mve_pred16_t p = vctp32q((uint32_t)(size - i));
            const int32x4_t a = vldrhq_z_s32(&first[i], p);
            const int32x4_t b = vldrhq_z_s32(&second[i], p);
            /* Both products less their 16 low bits, and these apart. */
            const int32x4_t high =
                vaddq_s32(vmulhq_s32(vshlq_n_s32(a, 16), by_first),
                          vmulhq_s32(vshlq_n_s32(b, 16), by_second));
            const uint32x4_t low =
                vaddq_u32(eb_low_half_4(vmulq_s32(a, by_first)),
                          eb_low_half_4(vmulq_s32(b, by_second)));
            const int32x4_t carry =
                vreinterpretq_s32_u32(vshrq_n_u32(low, 16));
            const int32x4_t sum = vrshlq_s32(vaddq_s32(high, carry), down);
            vstrhq_p_s32(&out[i], eb_saturate_4(sum), p);
        }
#else
        /* As eb_scale_s16 of a sum: inputs in the high halves. */
        const int32_t half = (int32_t)1 << (shift - 17);
        for (int32_t i = 0; i < size; i++) {
            const int32_t a = (int32_t)first[i] * 65536;
            const int32_t b = (int32_t)second[i] * 65536;
            const int64_t sum =
                (int64_t)a * first_factor + (int64_t)b * second_factor;
            const int32_t high = (int32_t)(sum >> 32);
            out[i] = eb_saturate_s16((high + half) >> (shift - 16));
        }
#endif
        return;
    }
    const int64_t half = (int64_t)1 << (shift - 1);
    for (int32_t i = 0; i < size; i++) {
        const int64_t sum = (int64_t)first[i] * first_factor +
                            (int64_t)second[i] * second_factor;
        out[i] = eb_saturate((sum + half) >> shift);
    }
}

void eb_mul_s8(const eb_mul_s8_layer *layer, const int8_t *first,
               const int8_t *second, int8_t *out, int32_t size)
{
    const int32_t first_zero = layer->first_zero;
    const int32_t second_zero = layer->second_zero;
    const float ratio = layer->ratio;
    const float zero = (float)layer->zero;
#if defined(EB_USE_MVE)
    for (int32_t i = 0; i < size; i += 4) {
        const mve_pred16_t p = vctp32q((uint32_t)(size - i));
        const int32x4_t a = vldrbq_z_s32(&first[i], p);
        const int32x4_t b = vldrbq_z_s32(&second[i], p);
        const int32x4_t product = vmulq_s32(vsubq_n_s32(a, first_zero),
                                            vsubq_n_s32(b, second_zero));
        const float32x4_t value =
            vaddq_n_f32(vmulq_n_f32(vcvtq_f32_s32(product), ratio), zero);
        vstrbq_p_s32(&out[i], eb_round_4(value, 0), p);
    }
#else
    for (int32_t i = 0; i < size; i++) {
        const int32_t product = ((int32_t)first[i] - first_zero) *
                                ((int32_t)second[i] - second_zero);
        /* The zero point is added before rounding, as onnxruntime does. */
        const float value = (float)product * ratio;
        out[i] = eb_saturate_s8(eb_round(value + zero));
    }
#endif
}

void eb_mul_s16(const eb_scale_s16_layer *layer, const int16_t *first,
                const int16_t *second, int16_t *out, int32_t size)
{
    const int32_t factor = layer->factor;
    const int32_t shift = layer->shift;
    if (shift < 33) {
        for (int32_t i = 0; i < size; i++) {
            const int32_t product = (int32_t)first[i] * (int32_t)second[i];
            out[i] = eb_saturate(eb_scale(product, factor, shift));
        }
        return;
    }
#if defined(EB_USE_MVE)
    const int32x4_t by = vdupq_n_s32(factor);
    const int32x4_t less = vdupq_n_s32(shift - 32);
    for (int32_t i = 0; i < size; i += 4) {
        const mve_pred16_t p = vctp32q((uint32_t)(size - i));
        const int32x4_t product =
            vmulq_s32(vldrhq_z_s32(&first[i], p), vldrhq_z_s32(&second[i], p));
        vstrhq_p_s32(&out[i], eb_scale_high_4(product, by, less), p);
    }
#else
    for (int32_t i = 0; i < size; i++) {
        const int32_t product = (int32_t)first[i] * (int32_t)second[i];
        out[i] = eb_saturate_s16(eb_scale_high(product, factor, shift));
    }
#endif
}

#if defined(EB_USE_MVE)

/* Four elements of forget * state + input * gate. */
static inline float32x4_t eb_cell_4(const eb_cell_layer *layer,
                                    int32x4_t forget, int32x4_t input,
                                    int32x4_t gate, float32x4_t state)
{
    const int32x4_t fi = vsubq_n_s32(forget, layer->forget_zero);
    const int32x4_t xi = vsubq_n_s32(input, layer->input_zero);
    const int32x4_t gi = vsubq_n_s32(gate, layer->gate_zero);
    const float32x4_t f = vmulq_n_f32(vcvtq_f32_s32(fi), layer->forget_scale);
    const float32x4_t x = vmulq_n_f32(vcvtq_f32_s32(xi), layer->input_scale);
    const float32x4_t g = vmulq_n_f32(vcvtq_f32_s32(gi), layer->gate_scale);
    return vaddq_f32(vmulq_f32(f, state), vmulq_f32(x, g));
}

#else

static inline float eb_cell_1(const eb_cell_layer *layer, int32_t forget,
                              int32_t input, int32_t gate, float state)
{
    const float f = (float)(forget - layer->forget_zero) * layer->forget_scale;
    const float x = (float)(input - layer->input_zero) * layer->input_scale;
    const float g = (float)(gate - layer->gate_zero) * layer->gate_scale;
    const float kept = f * state;
    return kept + x * g;
}

#endif

#if defined(EB_USE_MVE)
#define EB_CELLS(load)                                                     \
    for (int32_t i = 0; i < size; i += 4) {                                \
        const mve_pred16_t p = vctp32q((uint32_t)(size - i));              \
        const float32x4_t next =                                           \
            eb_cell_4(&l, load(&forget[i], p), load(&input[i], p),         \
                      load(&gate[i], p), vldrwq_z_f32(&state[i], p));      \
        vstrwq_p_f32(&state[i], next, p);                                  \
    }
#else
#define EB_CELLS(load)                                                     \
    for (int32_t i = 0; i < size; i++) {                                   \
        state[i] = eb_cell_1(&l, forget[i], input[i], gate[i], state[i]);  \
    }
#endif

void eb_cell_s8(const eb_cell_layer *layer, const int8_t *forget,
                const int8_t *input, const int8_t *gate, float *state,
                int32_t size)
{
    const eb_cell_layer l = *layer;
    EB_CELLS(vldrbq_z_s32)
}

void eb_cell_s16(const eb_cell_layer *layer, const int16_t *forget,
                 const int16_t *input, const int16_t *gate, float *state,
                 int32_t size)
{
    const eb_cell_layer l = *layer;
    EB_CELLS(vldrhq_z_s32)
}
