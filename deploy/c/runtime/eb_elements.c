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
    for (int32_t i = 0; i < size; i++) {
        /* Fused as onnxruntime's AVX2 kernel has it: the second one first. */
        const float part =
            fmaf((float)second[i], second_ratio, fixed);
        const float sum = fmaf((float)first[i], first_ratio, part);
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
    if (shift >= 17) {
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
    for (int32_t i = 0; i < size; i++) {
        const int32_t product = (int32_t)first[i] * (int32_t)second[i];
        if (shift >= 33) {
            out[i] = eb_saturate_s16(eb_scale_high(product, factor, shift));
        } else {
            out[i] = eb_saturate(eb_scale(product, factor, shift));
        }
    }
}

void eb_cell_s8(const eb_cell_layer *layer, const int8_t *forget,
                const int8_t *input, const int8_t *gate, float *state,
                int32_t size)
{
    const eb_cell_layer l = *layer;
#if defined(EB_USE_MVE)
    for (int32_t i = 0; i < size; i += 4) {
        const mve_pred16_t p = vctp32q((uint32_t)(size - i));
        const int32x4_t fi =
            vsubq_n_s32(vldrbq_z_s32(&forget[i], p), l.forget_zero);
        const int32x4_t xi =
            vsubq_n_s32(vldrbq_z_s32(&input[i], p), l.input_zero);
        const int32x4_t gi =
            vsubq_n_s32(vldrbq_z_s32(&gate[i], p), l.gate_zero);
        const float32x4_t f = vmulq_n_f32(vcvtq_f32_s32(fi), l.forget_scale);
        const float32x4_t x = vmulq_n_f32(vcvtq_f32_s32(xi), l.input_scale);
        const float32x4_t g = vmulq_n_f32(vcvtq_f32_s32(gi), l.gate_scale);
        const float32x4_t kept = vmulq_f32(f, vldrwq_z_f32(&state[i], p));
        vstrwq_p_f32(&state[i], vaddq_f32(kept, vmulq_f32(x, g)), p);
    }
#else
    for (int32_t i = 0; i < size; i++) {
        const float f =
            (float)((int32_t)forget[i] - l.forget_zero) * l.forget_scale;
        const float x =
            (float)((int32_t)input[i] - l.input_zero) * l.input_scale;
        const float g = (float)((int32_t)gate[i] - l.gate_zero) * l.gate_scale;
        const float kept = f * state[i];
        state[i] = kept + x * g;
    }
#endif
}

void eb_cell_s16(const eb_cell_layer *layer, const int16_t *forget,
                 const int16_t *input, const int16_t *gate, float *state,
                 int32_t size)
{
    const eb_cell_layer l = *layer;
#if defined(EB_USE_MVE)
    for (int32_t i = 0; i < size; i += 4) {
        const mve_pred16_t p = vctp32q((uint32_t)(size - i));
        const int32x4_t fi =
            vsubq_n_s32(vldrhq_z_s32(&forget[i], p), l.forget_zero);
        const int32x4_t xi =
            vsubq_n_s32(vldrhq_z_s32(&input[i], p), l.input_zero);
        const int32x4_t gi =
            vsubq_n_s32(vldrhq_z_s32(&gate[i], p), l.gate_zero);
        const float32x4_t f = vmulq_n_f32(vcvtq_f32_s32(fi), l.forget_scale);
        const float32x4_t x = vmulq_n_f32(vcvtq_f32_s32(xi), l.input_scale);
        const float32x4_t g = vmulq_n_f32(vcvtq_f32_s32(gi), l.gate_scale);
        const float32x4_t kept = vmulq_f32(f, vldrwq_z_f32(&state[i], p));
        vstrwq_p_f32(&state[i], vaddq_f32(kept, vmulq_f32(x, g)), p);
    }
#else
    for (int32_t i = 0; i < size; i++) {
        const float f =
            (float)((int32_t)forget[i] - l.forget_zero) * l.forget_scale;
        const float x =
            (float)((int32_t)input[i] - l.input_zero) * l.input_scale;
        const float g = (float)((int32_t)gate[i] - l.gate_zero) * l.gate_scale;
        const float kept = f * state[i];
        state[i] = kept + x * g;
    }
#endif
}

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

void eb_bent_s16(const eb_bent_s16_layer *layer, const int16_t *in,
                 int16_t *out, int32_t size)
{
    const eb_bent_s16_layer l = *layer;
    if (l.shift < 17) {
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
    for (int32_t i = 0; i < size; i++) {
        const int32_t factor = in[i] < 0 ? l.negative : l.positive;
        int32_t value = eb_scale_s16(in[i], factor, l.shift);
        value = value > l.low ? value : l.low;
        value = value < l.high ? value : l.high;
        out[i] = (int16_t)value;
    }
#endif
}

/* 2^22 tanh of a Q18 number, by a straight line between entries. */
static int32_t eb_tanh_q22(int64_t value)
{
    const int64_t size = value < 0 ? -value : value;
    const int64_t end = (int64_t)8 << 18;
    const int32_t at = (int32_t)(size < end ? size : end);
    const int32_t place = at >> 11;
    const int32_t rest = at & 2047;
    const int32_t low = eb_tanh_table[place];
    const int32_t rise = eb_tanh_table[place + 1] - low;
    const int32_t result = low + ((rise * rest + 1024) >> 11);
    return value < 0 ? -result : result;
}

void eb_tanh_s16(const eb_scale_s16_layer *into,
                 const eb_scale_s16_layer *from, const int16_t *in,
                 int16_t *out, int32_t size)
{
    for (int32_t i = 0; i < size; i++) {
        const int64_t x = eb_scale(in[i], into->factor, into->shift);
        out[i] = eb_saturate(
            eb_scale(eb_tanh_q22(x), from->factor, from->shift));
    }
}

void eb_cell_tanh_s16(const eb_scale_s16_layer *from, const float *state,
                      int16_t *out, int32_t size)
{
    for (int32_t i = 0; i < size; i++) {
        /* Rising from -8 to 8, where tanh has its last table entry. */
        const float inside = eb_limit(state[i], -8.0f, 8.0f) * 262144.0f;
        out[i] = eb_saturate(
            eb_scale(eb_tanh_q22(eb_round(inside)), from->factor,
                     from->shift));
    }
}

void eb_sigmoid_s16(const eb_scale_s16_layer *into,
                    const eb_scale_s16_layer *from, const int16_t *in,
                    int16_t *out, int32_t size)
{
    for (int32_t i = 0; i < size; i++) {
        /* sigmoid(x) = (1 + tanh(x / 2)) / 2, so 2^23 sigmoid is */
        const int64_t half = eb_scale(in[i], into->factor, into->shift);
        const int32_t y = 4194304 + eb_tanh_q22(half);
        out[i] = eb_saturate(eb_scale(y, from->factor, from->shift));
    }
}
