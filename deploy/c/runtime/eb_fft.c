/* SPDX-License-Identifier: Apache-2.0
 *
 * Stages of the Fourier transform, see eb_fft.h. The first factor of a stage
 * (k = 0) is 1 and not multiplied by. */
#include "eb_fft.h"

#include "eb_fft_x4.h"

#if !defined(EB_USE_FIXED)

EB_INLINE void eb_times(float to[2], const float *x, const float *w)
{
    to[0] = x[0] * w[0] - x[1] * w[1];
    to[1] = x[0] * w[1] + x[1] * w[0];
}

EB_INLINE void eb_turned_4(const float *a, const float *b, const float *c,
                           const float *d, const float *w1, const float *w2,
                           const float *w3, float *y0, float *y1, float *y2,
                           float *y3)
{
    float tb[2];
    float tc[2];
    float td[2];
    eb_times(tb, b, w1);
    eb_times(tc, c, w2);
    eb_times(td, d, w3);
    eb_butterfly_4(a, tb, tc, td, y0, y1, y2, y3);
}

/* k = 0: y[q], y[l m + q], ... of x[q], x[m + q], ... */
EB_NOINLINE void eb_unit_4(const float *restrict x, float *restrict y,
                           int32_t m, int32_t l)
{
    const float *a = x;
    const float *b = a + 2 * m;
    const float *c = b + 2 * m;
    const float *d = c + 2 * m;
    float *y0 = y;
    float *y1 = y0 + 2 * m * l;
    float *y2 = y1 + 2 * m * l;
    float *y3 = y2 + 2 * m * l;
    /* Two at a time: fewer steps of the pointers. */
    for (int32_t left = m >> 1; left > 0; left--) {
        eb_butterfly_4(a, b, c, d, y0, y1, y2, y3);
        eb_butterfly_4(a + 2, b + 2, c + 2, d + 2, y0 + 2, y1 + 2, y2 + 2,
                       y3 + 2);
        a += 4;
        b += 4;
        c += 4;
        d += 4;
        y0 += 4;
        y1 += 4;
        y2 += 4;
        y3 += 4;
    }
    if ((m & 1) != 0) {
        eb_butterfly_4(a, b, c, d, y0, y1, y2, y3);
    }
}

/* k from 1 on: all four outputs go on from k to k, and the inputs of the next
 * one follow the last of this one. */
EB_NOINLINE void eb_turned_columns_4(const float *restrict x,
                                     float *restrict y, int32_t m, int32_t l,
                                     const float *tw)
{
    const float *next = &x[8 * m];
    const float *w = tw + 2;
    const float *const end = &tw[2 * l];
    float *y0 = &y[2 * m];
    float *y1 = y0 + 2 * m * l;
    float *y2 = y1 + 2 * m * l;
    float *y3 = y2 + 2 * m * l;
    while (w != end) {
        const float w1[2] = {w[0], w[1]};
        const float w2[2] = {w[2 * l], w[2 * l + 1]};
        const float w3[2] = {w[4 * l], w[4 * l + 1]};
        const float *a = next;
        const float *b = a + 2 * m;
        const float *c = b + 2 * m;
        const float *d = c + 2 * m;
        for (int32_t left = m >> 1; left > 0; left--) {
            eb_turned_4(a, b, c, d, w1, w2, w3, y0, y1, y2, y3);
            eb_turned_4(a + 2, b + 2, c + 2, d + 2, w1, w2, w3, y0 + 2,
                        y1 + 2, y2 + 2, y3 + 2);
            a += 4;
            b += 4;
            c += 4;
            d += 4;
            y0 += 4;
            y1 += 4;
            y2 += 4;
            y3 += 4;
        }
        if ((m & 1) != 0) {
            eb_turned_4(a, b, c, d, w1, w2, w3, y0, y1, y2, y3);
            d += 2;
            y0 += 2;
            y1 += 2;
            y2 += 2;
            y3 += 2;
        }
        next = d;
        w += 2;
    }
}

/* The last stage (m = 1), where k is the inner loop. */
EB_NOINLINE void eb_last_4(const float *restrict x, float *restrict y,
                           int32_t l, const float *tw)
{
    eb_butterfly_4(x, x + 2, x + 4, x + 6, y, &y[2 * l], &y[4 * l],
                   &y[6 * l]);
    const float *w1 = tw + 2;
    const float *w2 = w1 + 2 * l;
    const float *w3 = w2 + 2 * l;
    float *y0 = y + 2;
    float *y1 = y0 + 2 * l;
    float *y2 = y1 + 2 * l;
    float *y3 = y2 + 2 * l;
    for (int32_t left = (l - 1) >> 1; left > 0; left--) {
        eb_turned_4(x + 8, x + 10, x + 12, x + 14, w1, w2, w3, y0, y1, y2, y3);
        eb_turned_4(x + 16, x + 18, x + 20, x + 22, w1 + 2, w2 + 2, w3 + 2,
                    y0 + 2, y1 + 2, y2 + 2, y3 + 2);
        x += 16;
        w1 += 4;
        w2 += 4;
        w3 += 4;
        y0 += 4;
        y1 += 4;
        y2 += 4;
        y3 += 4;
    }
    if ((l & 1) == 0) {
        eb_turned_4(x + 8, x + 10, x + 12, x + 14, w1, w2, w3, y0, y1, y2, y3);
    }
}

EB_NOINLINE void eb_stage_2(const float *restrict x, float *restrict y,
                            int32_t m, int32_t l, const float *tw)
{
    for (int32_t k = 0; k < l; k++) {
        const float w[2] = {tw[2 * k], tw[2 * k + 1]};
        const float *const a = &x[4 * k * m];
        const float *const b = a + 2 * m;
        float *const y0 = &y[2 * k * m];
        float *const y1 = y0 + 2 * m * l;
        for (int32_t q = 0; q < 2 * m; q += 2) {
            float t[2];
            eb_times(t, &b[q], w);
            y0[q] = a[q] + t[0];
            y0[q + 1] = a[q + 1] + t[1];
            y1[q] = a[q] - t[0];
            y1[q + 1] = a[q + 1] - t[1];
        }
    }
}

EB_NOINLINE void eb_stage_any(const float *restrict x, float *restrict y,
                              int32_t m, int32_t l, int32_t r,
                              const float *tw)
{
    const float *const roots = &tw[2 * (r - 1) * l];
    for (int32_t k = 0; k < l; k++) {
        EB_PLAIN_LOOP
        for (int32_t q = 0; q < m; q++) {
            const float *const a = &x[2 * (k * r * m + q)];
            float *const to = &y[2 * (k * m + q)];
            float turned[2 * EB_MAX_RADIX];
            turned[0] = a[0];
            turned[1] = a[1];
            EB_PLAIN_LOOP
            for (int32_t j = 1; j < r; j++) {
                eb_times(&turned[2 * j], &a[2 * j * m],
                         &tw[2 * ((j - 1) * l + k)]);
            }
            EB_PLAIN_LOOP
            for (int32_t i = 0; i < r; i++) {
                float sr = turned[0];
                float si = turned[1];
                for (int32_t j = 1; j < r; j++) {
                    float t[2];
                    eb_times(t, &turned[2 * j], &roots[2 * ((i * j) % r)]);
                    sr += t[0];
                    si += t[1];
                }
                to[2 * i * l * m] = sr;
                to[2 * i * l * m + 1] = si;
            }
        }
    }
}

static void eb_stage(const float *x, float *y, int32_t m, int32_t l,
                     int32_t r, const float *tw)
{
    if (r == 2) {
        eb_stage_2(x, y, m, l, tw);
    } else if (r != 4) {
        eb_stage_any(x, y, m, l, r, tw);
#if defined(EB_USE_X4)
    } else if ((m & 1) == 0) {
        eb_stage_4_x4(x, y, m, l, tw);
    } else if (m == 1 && (l & 1) == 0) {
        eb_last_4_x4(x, y, l, tw);
#endif
    } else if (m == 1) {
        eb_last_4(x, y, l, tw);
    } else {
        eb_unit_4(x, y, m, l);
        eb_turned_columns_4(x, y, m, l, tw);
    }
}

float *eb_fft(const eb_fft_plan *plan, float *x, float *y, int32_t first)
{
    const float *tw = plan->twiddle;
    float *from = x;
    float *to = y;
    int32_t l = 1;
    for (int32_t stage = 0; stage < plan->stages; stage++) {
        const int32_t r = plan->radix[stage];
        if (stage >= first) {
            eb_stage(from, to, plan->size / (l * r), l, r, tw);
            float *const swapped = from;
            from = to;
            to = swapped;
        }
        tw += 2 * (r - 1) * l;
        if (r != 2 && r != 4) {
            tw += 2 * r;
        }
        l *= r;
    }
    return from;
}

#endif
