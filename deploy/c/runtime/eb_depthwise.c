/* SPDX-License-Identifier: Apache-2.0 */
/* Depthwise layers: a few products for each channel, see eb_kernels.h. */
#include "eb_arith.h"

void eb_depthwise_s8(const eb_depthwise_s8_layer *layer,
                     const int8_t *const *in, int8_t *out)
{
    const int32_t size = layer->size;
    const int32_t taps = layer->taps;
    const int32_t zero = layer->zero;
    const int32_t *const bias = layer->bias;
    const float *const ratio = layer->ratio;
    const int8_t *const weights = layer->weights;
    int32_t c = 0;
#if defined(EB_USE_MVE)
    for (; c + 4 <= size; c += 4) {
        const int8_t *weight = &weights[c];
        int32x4_t sum = vldrwq_s32(&bias[c]);
        for (int32_t k = 0; k < taps; k++) {
            const int32x4_t x = vldrbq_s32(&in[k][c]);
            sum = vaddq_s32(sum, vmulq_s32(vldrbq_s32(weight), x));
            weight += size;
        }
        const float32x4_t value =
            vmulq_f32(vcvtq_f32_s32(sum), vldrwq_f32(&ratio[c]));
        vstrbq_s32(&out[c], eb_round_4(value, zero));
    }
#elif defined(EB_USE_DSP)
    for (; c + 4 <= size; c += 4) {
        const int8_t *weight = &weights[c];
        int32_t s0 = bias[c];
        int32_t s1 = bias[c + 1];
        int32_t s2 = bias[c + 2];
        int32_t s3 = bias[c + 3];
        for (int32_t k = 0; k < taps; k++) {
            const int32_t w = eb_load(weight);
            const int32_t x = eb_load(&in[k][c]);
            const int32_t w_even = __sxtb16(w);
            const int32_t x_even = __sxtb16(x);
            const int32_t w_odd = eb_odd(w);
            const int32_t x_odd = eb_odd(x);
            s0 = __smlabb(w_even, x_even, s0);
            s1 = __smlabb(w_odd, x_odd, s1);
            s2 = __smlatt(w_even, x_even, s2);
            s3 = __smlatt(w_odd, x_odd, s3);
            weight += size;
        }
        out[c] = eb_requantize(s0, ratio[c], zero);
        out[c + 1] = eb_requantize(s1, ratio[c + 1], zero);
        out[c + 2] = eb_requantize(s2, ratio[c + 2], zero);
        out[c + 3] = eb_requantize(s3, ratio[c + 3], zero);
    }
#endif
    for (; c < size; c++) {
        const int8_t *weight = &weights[c];
        int32_t sum = bias[c];
        for (int32_t k = 0; k < taps; k++) {
            sum += (int32_t)*weight * (int32_t)in[k][c];
            weight += size;
        }
        out[c] = eb_requantize(sum, ratio[c], zero);
    }
}

static void eb_depthwise_s16_wide(const eb_depthwise_s16_layer *layer,
                                  const int16_t *const *in, int16_t *out)
{
    const int32_t size = layer->size;
    for (int32_t c = 0; c < size; c++) {
        int64_t sum = layer->bias[c];
        for (int32_t k = 0; k < layer->taps; k++) {
            sum += (int32_t)layer->weights[k * size + c] * (int32_t)in[k][c];
        }
        out[c] = eb_saturate(eb_scale(sum, layer->factor[c], layer->shift[c]));
    }
}

void eb_depthwise_s16(const eb_depthwise_s16_layer *layer,
                      const int16_t *const *in, int16_t *out)
{
    const int32_t size = layer->size;
    const int32_t taps = layer->taps;
    const int32_t *const bias = layer->bias;
    const int32_t *const factor = layer->factor;
    const uint8_t *const shift = layer->shift;
    const int8_t *const weights = layer->weights;
    int32_t c = 0;
    if (layer->wide != 0) {
        eb_depthwise_s16_wide(layer, in, out);
        return;
    }
#if defined(EB_USE_MVE)
    for (; c + 4 <= size; c += 4) {
        const int8_t *weight = &weights[c];
        int32x4_t sum = vldrwq_s32(&bias[c]);
        for (int32_t k = 0; k < taps; k++) {
            const int32x4_t x = vldrhq_s32(&in[k][c]);
            sum = vaddq_s32(sum, vmulq_s32(vldrbq_s32(weight), x));
            weight += size;
        }
        const int32x4_t shifts = vsubq_n_s32(
            vreinterpretq_s32_u32(vldrbq_u32(&shift[c])), 32);
        vstrhq_s32(&out[c],
                   eb_scale_high_4(sum, vldrwq_s32(&factor[c]), shifts));
    }
#endif
    for (; c < size; c++) {
        const int8_t *weight = &weights[c];
        int32_t sum = bias[c];
        for (int32_t k = 0; k < taps; k++) {
            sum += (int32_t)*weight * (int32_t)in[k][c];
            weight += size;
        }
        out[c] = eb_saturate_s16(eb_scale_high(sum, factor[c], shift[c]));
    }
}
