/* SPDX-License-Identifier: Apache-2.0
 *
 * Stages of the Fourier transform four floats at a time, see eb_fft.c. */
#include "eb_fft_x4.h"

#if defined(EB_USE_X4)

static void eb_unit_4_x4(const float *x, float *y, int32_t m, int32_t l)
{
    const int32_t between = 2 * m * l;
    for (int32_t q = 0; q < 2 * m; q += 4) {
        const float *const at = &x[q];
        float *const to = &y[q];
        eb_butterfly_x4(eb_load_f32x4(at), eb_load_f32x4(at + 2 * m),
                        eb_load_f32x4(at + 4 * m), eb_load_f32x4(at + 6 * m),
                        to, to + between, to + 2 * between, to + 3 * between);
    }
}

void eb_stage_4_x4(const float *x, float *y, int32_t m, int32_t l,
                   const float *tw)
{
    const int32_t between = 2 * m * l;
    eb_unit_4_x4(x, y, m, l);
    const float *a = &x[8 * m];
    float *y0 = &y[2 * m];
    for (int32_t k = 1; k < l; k++) {
        const float *const w = &tw[2 * k];
        const eb_f32x4 w1 = eb_twice(w);
        const eb_f32x4 w2 = eb_twice(w + 2 * l);
        const eb_f32x4 w3 = eb_twice(w + 4 * l);
        for (int32_t left = m; left > 0; left -= 2) {
            const eb_f32x4 c = eb_times_x4(eb_load_f32x4(a + 4 * m), w2);
            const eb_f32x4 b = eb_times_x4(eb_load_f32x4(a + 2 * m), w1);
            const eb_f32x4 d = eb_times_x4(eb_load_f32x4(a + 6 * m), w3);
            eb_butterfly_x4(eb_load_f32x4(a), b, c, d, y0, y0 + between,
                            y0 + 2 * between, y0 + 3 * between);
            a += 4;
            y0 += 4;
        }
        a += 6 * m;
    }
}

void eb_last_4_x4(const float *x, float *y, int32_t l, const float *tw)
{
    const int32_t l2 = 2 * l;
    /* The numbers of k and of k + 1 are 8 floats apart. */
    eb_apart a = eb_apart_from(x, 8);
    for (int32_t k = 0; k < l2; k += 4) {
        const float *const w = &tw[k];
        float *const to = &y[k];
        const eb_f32x4 c =
            eb_times_x4(EB_LOAD_APART(a, 4), eb_load_f32x4(w + l2));
        const eb_f32x4 b = eb_times_x4(EB_LOAD_APART(a, 2), eb_load_f32x4(w));
        const eb_f32x4 d =
            eb_times_x4(EB_LOAD_APART(a, 6), eb_load_f32x4(w + 2 * l2));
        eb_butterfly_x4(EB_LOAD_APART(a, 0), b, c, d, to, to + l2,
                        to + 2 * l2, to + 3 * l2);
        a = eb_apart_next(a, 16);
    }
}

#else

/* A source without a declaration is no C. */
typedef int eb_no_x4;

#endif
