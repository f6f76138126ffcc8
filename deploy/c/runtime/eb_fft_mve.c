/* SPDX-License-Identifier: Apache-2.0 */
/* Stages of the Fourier transform in Helium, see eb_fft.c. */
#include "eb_fft_mve.h"

#if defined(EB_USE_MVE)

static void eb_unit_4_mve(const float *x, float *y, int32_t m, int32_t l)
{
    const int32_t between = 2 * m * l;
    for (int32_t q = 0; q < 2 * m; q += 4) {
        const float *const at = &x[q];
        float *const to = &y[q];
        eb_butterfly_4_mve(vld1q_f32(at), vld1q_f32(at + 2 * m),
                           vld1q_f32(at + 4 * m), vld1q_f32(at + 6 * m), to,
                           to + between, to + 2 * between, to + 3 * between);
    }
}

void eb_stage_4_mve(const float *x, float *y, int32_t m, int32_t l,
                    const float *tw)
{
    static const uint32_t twice[4] = {0, 1, 0, 1};
    const uint32x4_t pair = vld1q_u32(twice);
    const int32_t between = 2 * m * l;
    eb_unit_4_mve(x, y, m, l);
    const float *a = &x[8 * m];
    float *y0 = &y[2 * m];
    for (int32_t k = 1; k < l; k++) {
        const float *const w = &tw[2 * k];
        const float32x4_t w1 = vldrwq_gather_shifted_offset_f32(w, pair);
        const float32x4_t w2 =
            vldrwq_gather_shifted_offset_f32(w + 2 * l, pair);
        const float32x4_t w3 =
            vldrwq_gather_shifted_offset_f32(w + 4 * l, pair);
        for (int32_t left = m; left > 0; left -= 2) {
            const float32x4_t c = eb_times_mve(vld1q_f32(a + 4 * m), w2);
            const float32x4_t b = eb_times_mve(vld1q_f32(a + 2 * m), w1);
            const float32x4_t d = eb_times_mve(vld1q_f32(a + 6 * m), w3);
            eb_butterfly_4_mve(vld1q_f32(a), b, c, d, y0, y0 + between,
                               y0 + 2 * between, y0 + 3 * between);
            a += 4;
            y0 += 4;
        }
        a += 6 * m;
    }
}

void eb_last_4_mve(const float *x, float *y, int32_t l, const float *tw)
{
    /* The numbers of k and of k + 1 are 32 bytes apart. */
    static const uint32_t apart[4] = {0, 4, 32, 36};
    uint32x4_t at = vaddq_n_u32(vld1q_u32(apart), (uint32_t)(uintptr_t)x);
    const int32_t l2 = 2 * l;
    for (int32_t k = 0; k < l2; k += 4) {
        const float *const w = &tw[k];
        float *const to = &y[k];
        const float32x4_t c =
            eb_times_mve(vldrwq_gather_base_f32(at, 16), vld1q_f32(w + l2));
        const float32x4_t b =
            eb_times_mve(vldrwq_gather_base_f32(at, 8), vld1q_f32(w));
        const float32x4_t d = eb_times_mve(vldrwq_gather_base_f32(at, 24),
                                           vld1q_f32(w + 2 * l2));
        eb_butterfly_4_mve(vldrwq_gather_base_f32(at, 0), b, c, d, to,
                           to + l2, to + 2 * l2, to + 3 * l2);
        at = vaddq_n_u32(at, 64);
    }
}

#else

/* A source without a declaration is no C. */
typedef int eb_no_mve;

#endif
