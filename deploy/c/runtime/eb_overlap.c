/* SPDX-License-Identifier: Apache-2.0 */
/* Overlap-add, see eb_overlap.h. */
#include "eb_overlap.h"

#include "eb_fft_x4.h"

#if !defined(EB_USE_FIXED)

/* Finished samples: out = (overlap + z * window) * gain. */
EB_NOINLINE void eb_finish(int16_t *restrict out,
                           const float *restrict overlap,
                           const float *restrict z,
                           const float *restrict window,
                           const float *restrict gain, int32_t count)
{
    int32_t rest = count;
#if defined(EB_USE_MVE)
    for (; rest >= 4; rest -= 4) {
        const float32x4_t sum = vaddq_f32(
            vld1q_f32(overlap), vmulq_f32(vld1q_f32(z), vld1q_f32(window)));
        const int32x4_t whole =
            vcvtnq_s32_f32(vmulq_f32(sum, vld1q_f32(gain)));
        const int16x8_t narrow =
            vqmovnbq_s32(vreinterpretq_s16_s32(whole), whole);
        vstrhq_s32(out, vreinterpretq_s32_s16(narrow));
        out += 4;
        overlap += 4;
        z += 4;
        window += 4;
        gain += 4;
    }
#endif
    /* Two at a time: fewer steps of the pointers. */
    for (int32_t left = rest >> 1; left > 0; left--) {
        out[0] = eb_round_s16((overlap[0] + z[0] * window[0]) * gain[0]);
        out[1] = eb_round_s16((overlap[1] + z[1] * window[1]) * gain[1]);
        out += 2;
        overlap += 2;
        z += 2;
        window += 2;
        gain += 2;
    }
    if ((rest & 1) != 0) {
        out[0] = eb_round_s16((overlap[0] + z[0] * window[0]) * gain[0]);
    }
}

/* Those after them, a hop nearer: to = from + z * window; to < from. */
EB_NOINLINE void eb_add(float *to, const float *from, const float *z,
                        const float *window, int32_t count)
{
    int32_t rest = count;
#if defined(EB_USE_X4)
    for (; rest >= 4; rest -= 4) {
        const eb_f32x4 more =
            eb_product(eb_load_f32x4(z), eb_load_f32x4(window));
        eb_store_f32x4(to, eb_plus(eb_load_f32x4(from), more));
        to += 4;
        from += 4;
        z += 4;
        window += 4;
    }
#endif
    for (int32_t left = rest >> 1; left > 0; left--) {
        const float first = from[0] + z[0] * window[0];
        const float second = from[1] + z[1] * window[1];
        to[0] = first;
        to[1] = second;
        to += 2;
        from += 2;
        z += 2;
        window += 2;
    }
    if ((rest & 1) != 0) {
        to[0] = from[0] + z[0] * window[0];
    }
}

/* The newest, which have nothing to be added to: to = z * window. */
EB_NOINLINE void eb_multiply(float *restrict to, const float *restrict z,
                             const float *restrict window, int32_t count)
{
    int32_t rest = count;
#if defined(EB_USE_X4)
    for (; rest >= 4; rest -= 4) {
        eb_store_f32x4(to,
                       eb_product(eb_load_f32x4(z), eb_load_f32x4(window)));
        to += 4;
        z += 4;
        window += 4;
    }
#endif
    for (int32_t left = rest >> 1; left > 0; left--) {
        to[0] = z[0] * window[0];
        to[1] = z[1] * window[1];
        to += 2;
        z += 2;
        window += 2;
    }
    if ((rest & 1) != 0) {
        to[0] = z[0] * window[0];
    }
}

void eb_overlap(const eb_stft *stft, const float *z, float *overlap,
                int16_t *out)
{
    const int32_t hop = stft->hop_length;
    const int32_t kept = stft->win_length - hop;
    const float *const window = stft->window;
    const int32_t both = hop < kept ? hop : kept;
    eb_finish(out, overlap, z, window, stft->gain, both);
    for (int32_t i = both; i < hop; i++) {
        out[i] = eb_round_s16(z[i] * window[i] * stft->gain[i]);
    }
    if (kept > hop) {
        eb_add(overlap, &overlap[hop], &z[hop], &window[hop], kept - hop);
    }
    const int32_t newest = kept > hop ? kept : hop;
    eb_multiply(&overlap[newest - hop], &z[newest], &window[newest],
                stft->win_length - newest);
}

#endif
