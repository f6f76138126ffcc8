/* SPDX-License-Identifier: Apache-2.0
 *
 * Frame transforms four floats at a time, see eb_stft.c. */
#include "eb_stft_x4.h"

#if defined(EB_USE_X4)

/* Four samples times the window; the second of those up to `count`, behind
 * which there are zeros. */
#if defined(EB_USE_MVE)

static inline eb_f32x4 eb_windowed_x4(const int16_t *x, const float *w)
{
    return vmulq_f32(vcvtq_f32_s32(vldrhq_s32(x)), vld1q_f32(w));
}

static inline eb_f32x4 eb_windowed_some(const int16_t *x, const float *w,
                                        int32_t count)
{
    const mve_pred16_t used = vctp32q((uint32_t)count);
    return vmulq_f32(vcvtq_f32_s32(vldrhq_z_s32(x, used)),
                     vldrwq_z_f32(w, used));
}

/* Two numbers of a mask, each for both parts of a complex number. */
static inline eb_f32x4 eb_both_parts(const float *mask)
{
    static const uint32_t each[4] = {0, 0, 1, 1};
    return vldrwq_gather_shifted_offset_f32(mask, vld1q_u32(each));
}

static inline eb_f32x4 eb_both_parts_back(const float *mask)
{
    static const uint32_t each[4] = {1, 1, 0, 0};
    return vldrwq_gather_shifted_offset_f32(mask, vld1q_u32(each));
}

#else

static inline eb_f32x4 eb_windowed_x4(const int16_t *x, const float *w)
{
    const eb_f32x4 samples = {(float)x[0], (float)x[1], (float)x[2],
                              (float)x[3]};
    return samples * eb_load_f32x4(w);
}

static inline eb_f32x4 eb_windowed_some(const int16_t *x, const float *w,
                                        int32_t count)
{
    eb_f32x4 product = {0.0f, 0.0f, 0.0f, 0.0f};
    for (int32_t i = 0; i < 4 && i < count; i++) {
        product[i] = (float)x[i] * w[i];
    }
    return product;
}

static inline eb_f32x4 eb_both_parts(const float *mask)
{
    return (eb_f32x4){mask[0], mask[0], mask[1], mask[1]};
}

static inline eb_f32x4 eb_both_parts_back(const float *mask)
{
    return (eb_f32x4){mask[1], mask[1], mask[0], mask[0]};
}

#endif

void eb_first_x4(const eb_stft *stft, const int16_t *history, float *y,
                 int32_t full)
{
    const int32_t quarter = stft->n_fft / 4;
    const float *const window = stft->window;
    for (int32_t i = 0; i < quarter; i += 4) {
        const int16_t *const x = &history[i];
        const float *const w = &window[i];
        float *const to = &y[i];
        const eb_f32x4 a = eb_windowed_x4(x, w);
        const eb_f32x4 b = eb_windowed_x4(x + quarter, w + quarter);
        const eb_f32x4 c = eb_windowed_x4(x + 2 * quarter, w + 2 * quarter);
        if (i < 2 * full) {
            const eb_f32x4 d = eb_windowed_some(
                x + 3 * quarter, w + 3 * quarter, 2 * full - i);
            eb_butterfly_x4(a, b, c, d, to, to + quarter, to + 2 * quarter,
                            to + 3 * quarter);
        } else {
            const eb_f32x4 acp = eb_plus(a, c);
            const eb_f32x4 acm = eb_minus(a, c);
            eb_store_f32x4(to, eb_plus(acp, b));
            eb_store_f32x4(to + quarter, eb_minus_i(acm, b));
            eb_store_f32x4(to + 2 * quarter, eb_minus(acp, b));
            eb_store_f32x4(to + 3 * quarter, eb_plus_i(acm, b));
        }
    }
}

/* With e = x + conj y and t = w (x - conj y): store e + i t, return the
 * conjugate of e - i t. */
static inline eb_f32x4 eb_pair_x4(eb_f32x4 x, eb_f32x4 y, eb_f32x4 w,
                                  float *to)
{
    const eb_f32x4 other = eb_conjugate(y);
    const eb_f32x4 e = eb_plus(x, other);
    const eb_f32x4 t = eb_times_x4(eb_minus(x, other), w);
    eb_store_f32x4(to, eb_plus_i(e, t));
    return eb_conjugate(eb_minus_i(e, t));
}

int32_t eb_split_x4(const eb_stft *stft, float *spectrum)
{
    const int32_t half = stft->n_fft / 2;
    const int32_t pairs = ((half - 1) / 2) & ~1;
    /* The numbers at half - 1 and half - 2, in this order. */
    eb_apart back = eb_apart_from(&spectrum[2 * (half - 1)], -2);
    float *a = spectrum + 2;
    const float *w = stft->turns + 2;
    for (int32_t left = pairs; left > 0; left -= 2) {
        const eb_f32x4 other = EB_LOAD_APART(back, 0);
        EB_STORE_APART(back, eb_pair_x4(eb_load_f32x4(a), other,
                                        eb_load_f32x4(w), a));
        back = eb_apart_next(back, -4);
        a += 4;
        w += 4;
    }
    return pairs;
}

int32_t eb_merge_x4(const eb_stft *stft, float *spectrum, const float *mask)
{
    const int32_t half = stft->n_fft / 2;
    const int32_t pairs = ((half - 1) / 2) & ~1;
    eb_apart back = eb_apart_from(&spectrum[2 * (half - 1)], -2);
    float *a = spectrum + 2;
    const float *w = stft->turns + 2;
    const float *low = mask + 1;
    const float *high = &mask[half - 2];
    for (int32_t left = pairs; left > 0; left -= 2) {
        const eb_f32x4 x = eb_product(eb_load_f32x4(a), eb_both_parts(low));
        const eb_f32x4 other =
            eb_product(EB_LOAD_APART(back, 0), eb_both_parts_back(high));
        EB_STORE_APART(back, eb_pair_x4(other, x, eb_load_f32x4(w), a));
        back = eb_apart_next(back, -4);
        a += 4;
        w += 4;
        low += 2;
        high -= 2;
    }
    return pairs;
}

#else

/* A source without a declaration is no C. */
typedef int eb_no_x4;

#endif
