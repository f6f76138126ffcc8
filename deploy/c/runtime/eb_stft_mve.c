/* SPDX-License-Identifier: Apache-2.0 */
/* Frame transforms in Helium, see eb_stft.c. */
#include "eb_stft_mve.h"

#if defined(EB_USE_MVE)

static inline float32x4_t eb_windowed_mve(const int16_t *x, const float *w)
{
    return vmulq_f32(vcvtq_f32_s32(vldrhq_s32(x)), vld1q_f32(w));
}

void eb_first_mve(const eb_stft *stft, const int16_t *history, float *y,
                  int32_t full)
{
    const int32_t quarter = stft->n_fft / 4;
    const float *const window = stft->window;
    int32_t i = 0;
    for (; i < 2 * full; i += 4) {
        const int16_t *const x = &history[i];
        const float *const w = &window[i];
        float *const to = &y[i];
        /* Zeros behind the last sample. */
        const mve_pred16_t used = vctp32q((uint32_t)(2 * full - i));
        const float32x4_t d = vmulq_f32(
            vcvtq_f32_s32(vldrhq_z_s32(x + 3 * quarter, used)),
            vldrwq_z_f32(w + 3 * quarter, used));
        eb_butterfly_4_mve(eb_windowed_mve(x, w),
                           eb_windowed_mve(x + quarter, w + quarter),
                           eb_windowed_mve(x + 2 * quarter, w + 2 * quarter),
                           d, to, to + quarter, to + 2 * quarter,
                           to + 3 * quarter);
    }
    for (; i < quarter; i += 4) {
        const int16_t *const x = &history[i];
        const float *const w = &window[i];
        float *const to = &y[i];
        const float32x4_t a = eb_windowed_mve(x, w);
        const float32x4_t b = eb_windowed_mve(x + quarter, w + quarter);
        const float32x4_t c =
            eb_windowed_mve(x + 2 * quarter, w + 2 * quarter);
        const float32x4_t acp = vaddq_f32(a, c);
        const float32x4_t acm = vsubq_f32(a, c);
        vst1q_f32(to, vaddq_f32(acp, b));
        vst1q_f32(to + quarter, vcaddq_rot270_f32(acm, b));
        vst1q_f32(to + 2 * quarter, vsubq_f32(acp, b));
        vst1q_f32(to + 3 * quarter, vcaddq_rot90_f32(acm, b));
    }
}

static inline float32x4_t eb_conjugate_mve(float32x4_t x)
{
    static const float signs[4] = {0.0f, -0.0f, 0.0f, -0.0f};
    return veorq_f32(x, vld1q_f32(signs));
}

/* With e = x + conj y and t = w (x - conj y): store e + i t, return the
 * conjugate of e - i t. */
static inline float32x4_t eb_pair_mve(float32x4_t x, float32x4_t y,
                                      float32x4_t w, float *to)
{
    const float32x4_t other = eb_conjugate_mve(y);
    const float32x4_t e = vaddq_f32(x, other);
    const float32x4_t t = eb_times_mve(vsubq_f32(x, other), w);
    vst1q_f32(to, vcaddq_rot90_f32(e, t));
    return eb_conjugate_mve(vcaddq_rot270_f32(e, t));
}

/* The numbers at half - 1 and half - 2, in this order. */
static inline uint32x4_t eb_backwards_mve(const float *last)
{
    static const uint32_t order[4] = {8, 12, 0, 4};
    return vaddq_n_u32(vld1q_u32(order), (uint32_t)(uintptr_t)(last - 2));
}

int32_t eb_split_mve(const eb_stft *stft, float *spectrum)
{
    const int32_t half = stft->n_fft / 2;
    const int32_t pairs = ((half - 1) / 2) & ~1;
    uint32x4_t back = eb_backwards_mve(&spectrum[2 * (half - 1)]);
    float *a = spectrum + 2;
    const float *w = stft->turns + 2;
    for (int32_t left = pairs; left > 0; left -= 2) {
        const float32x4_t va = vld1q_f32(a);
        const float32x4_t vb = vldrwq_gather_base_f32(back, 0);
        vstrwq_scatter_base_f32(back, 0,
                                eb_pair_mve(va, vb, vld1q_f32(w), a));
        back = vsubq_n_u32(back, 16);
        a += 4;
        w += 4;
    }
    return pairs;
}

int32_t eb_merge_mve(const eb_stft *stft, float *spectrum, const float *mask)
{
    static const uint32_t each[4] = {0, 0, 1, 1};
    static const uint32_t each_back[4] = {1, 1, 0, 0};
    const uint32x4_t up = vld1q_u32(each);
    const uint32x4_t down = vld1q_u32(each_back);
    const int32_t half = stft->n_fft / 2;
    const int32_t pairs = ((half - 1) / 2) & ~1;
    uint32x4_t back = eb_backwards_mve(&spectrum[2 * (half - 1)]);
    float *a = spectrum + 2;
    const float *w = stft->turns + 2;
    const float *low = mask + 1;
    const float *high = &mask[half - 2];
    for (int32_t left = pairs; left > 0; left -= 2) {
        const float32x4_t va = vmulq_f32(
            vld1q_f32(a), vldrwq_gather_shifted_offset_f32(low, up));
        const float32x4_t vb =
            vmulq_f32(vldrwq_gather_base_f32(back, 0),
                      vldrwq_gather_shifted_offset_f32(high, down));
        vstrwq_scatter_base_f32(back, 0,
                                eb_pair_mve(vb, va, vld1q_f32(w), a));
        back = vsubq_n_u32(back, 16);
        a += 4;
        w += 4;
        low += 2;
        high -= 2;
    }
    return pairs;
}

#endif
