/* SPDX-License-Identifier: Apache-2.0
 *
 * Frame transforms, see eb_stft.h. Real numbers go two by two as complex ones
 * through an FFT of half the size.
 *
 * The alternating signs of the window make z of the frame its conjugate. So
 * the inverse transform, which is the conjugate of the forward one of the
 * conjugate spectrum, has its signs put right by the same window. */
#include "eb_stft.h"

#include "eb_arith.h"
#include "eb_overlap.h"
#include "eb_stft_x4.h"

#include <math.h>
#include <string.h>

void eb_take_hop(const eb_stft *stft, int16_t *history, const int16_t *in)
{
    const uint32_t kept = (uint32_t)(stft->win_length - stft->hop_length);
    memmove(history, &history[stft->hop_length], kept * sizeof *history);
    memcpy(&history[kept], in, (uint32_t)stft->hop_length * sizeof *history);
}

#if !defined(EB_USE_FIXED)

static float eb_root(float value)
{
#if defined(EB_USE_FPU)
    /* sqrtf also sets errno, which takes a comparison and a branch. */
    float root;
    __asm__("vsqrt.f32 %0, %1" : "=t"(root) : "t"(value));
    return root;
#else
    return sqrtf(value);
#endif
}

/* Two samples times the window: a complex number. */
EB_INLINE void eb_windowed(float to[2], const int16_t *samples,
                           const float *window)
{
    to[0] = (float)samples[0] * window[0];
    to[1] = (float)samples[1] * window[1];
}

static void eb_load_frame(const eb_stft *stft, const int16_t *history, float *z)
{
    const int32_t used = stft->win_length + (stft->win_length & 1);
    for (int32_t i = 0; i < used; i += 2) {
        eb_windowed(&z[i], &history[i], &stft->window[i]);
    }
    for (int32_t i = used; i < stft->n_fft; i++) {
        z[i] = 0.0f;
    }
}

/* A butterfly of the first stage, of radix 4, whose fourth number is 0 where
 * `full` is. */
EB_INLINE void eb_first_4(const int16_t *x0, const int16_t *x1,
                          const int16_t *x2, const int16_t *x3,
                          const float *w0, const float *w1, const float *w2,
                          const float *w3, float *y0, float *y1, float *y2,
                          float *y3, int32_t full)
{
    float a[2];
    float b[2];
    float c[2];
    float d[2] = {0.0f, 0.0f};
    eb_windowed(a, x0, w0);
    eb_windowed(b, x1, w1);
    eb_windowed(c, x2, w2);
    if (full != 0) {
        eb_windowed(d, x3, w3);
    }
    eb_butterfly_4(a, b, c, d, y0, y1, y2, y3);
}

/* `count` of them from the q-th on. */
EB_INLINE void eb_first(const eb_stft *stft, const int16_t *restrict history,
                        float *restrict y, int32_t q, int32_t count,
                        int32_t full)
{
    const int32_t quarter = stft->n_fft / 4;
    const int16_t *x0 = &history[2 * q];
    const int16_t *x1 = x0 + quarter;
    const int16_t *x2 = x1 + quarter;
    const int16_t *x3 = full != 0 ? x2 + quarter : x2;
    const float *w0 = &stft->window[2 * q];
    const float *w1 = w0 + quarter;
    const float *w2 = w1 + quarter;
    const float *w3 = full != 0 ? w2 + quarter : w2;
    float *y0 = &y[2 * q];
    float *y1 = y0 + quarter;
    float *y2 = y1 + quarter;
    float *y3 = y2 + quarter;
    for (int32_t left = count >> 1; left > 0; left--) {
        eb_first_4(x0, x1, x2, x3, w0, w1, w2, w3, y0, y1, y2, y3, full);
        eb_first_4(x0 + 2, x1 + 2, x2 + 2, x3 + 2, w0 + 2, w1 + 2, w2 + 2,
                   w3 + 2, y0 + 2, y1 + 2, y2 + 2, y3 + 2, full);
        x0 += 4;
        x1 += 4;
        x2 += 4;
        x3 += 4;
        w0 += 4;
        w1 += 4;
        w2 += 4;
        w3 += 4;
        y0 += 4;
        y1 += 4;
        y2 += 4;
        y3 += 4;
    }
    if ((count & 1) != 0) {
        eb_first_4(x0, x1, x2, x3, w0, w1, w2, w3, y0, y1, y2, y3, full);
    }
}

/* The butterflies with four numbers, and those with three. */
EB_NOINLINE void eb_first_full(const eb_stft *stft, const int16_t *history,
                               float *y, int32_t full)
{
    eb_first(stft, history, y, 0, full, 1);
}

EB_NOINLINE void eb_first_rest(const eb_stft *stft, const int16_t *history,
                               float *y, int32_t full)
{
    eb_first(stft, history, y, full, stft->n_fft / 8 - full, 0);
}

static void eb_first_stage(const eb_stft *stft, const int16_t *history,
                           float *y, int32_t full)
{
#if defined(EB_USE_X4)
    if ((stft->n_fft & 15) == 0) {
        eb_first_x4(stft, history, y, full);
        return;
    }
#endif
    eb_first_full(stft, history, y, full);
    eb_first_rest(stft, history, y, full);
}

#if defined(EB_USE_X4)
EB_NOINLINE void eb_roots(const float *restrict x, float *restrict magnitude,
                          int32_t count)
{
    for (int32_t left = count >> 1; left > 0; left--) {
        magnitude[0] = eb_root(x[0] * x[0] + x[1] * x[1]);
        magnitude[1] = eb_root(x[2] * x[2] + x[3] * x[3]);
        x += 4;
        magnitude += 2;
    }
}
#endif

/* From the transform of pairs of samples to that of the samples, in place: the
 * numbers k and half - k together. */
static void eb_split(const eb_stft *stft, float *spectrum, float *magnitude)
{
    const int32_t half = stft->n_fft / 2;
    const float first = spectrum[0];
    const float second = spectrum[1];
    /* The window is half as large as all others need it. */
    spectrum[0] = 2.0f * (first - second);
    spectrum[1] = 0.0f;
    spectrum[2 * half] = 2.0f * (first + second);
    spectrum[2 * half + 1] = 0.0f;
    magnitude[0] = fabsf(spectrum[0]);
    magnitude[half] = fabsf(spectrum[2 * half]);
    int32_t k = 1;
#if defined(EB_USE_X4)
    k += eb_split_x4(stft, spectrum);
    /* One by one: a vector of Helium takes tiny squares for 0. */
    eb_roots(spectrum + 2, magnitude + 1, k - 1);
    eb_roots(&spectrum[2 * (half + 1 - k)], &magnitude[half + 1 - k], k - 1);
#endif
    const float *w = &stft->turns[2 * k];
    float *a = &spectrum[2 * k];
    float *b = &spectrum[2 * (half - k)];
    float *low = &magnitude[k];
    float *high = &magnitude[half - k];
    for (int32_t left = (half + 1) / 2 - k; left > 0; left--) {
        const float er = a[0] + b[0];
        const float ei = a[1] - b[1];
        const float dr = a[0] - b[0];
        const float di = a[1] + b[1];
        const float tr = dr * w[0] - di * w[1];
        const float ti = dr * w[1] + di * w[0];
        const float ar = er - ti;
        const float ai = ei + tr;
        const float br = er + ti;
        const float bi = tr - ei;
        a[0] = ar;
        a[1] = ai;
        b[0] = br;
        b[1] = bi;
        *low = eb_root(ar * ar + ai * ai);
        *high = eb_root(br * br + bi * bi);
        w += 2;
        a += 2;
        b -= 2;
        low++;
        high--;
    }
    if ((half & 1) == 0) {
        a[0] *= 2.0f;
        a[1] *= 2.0f;
        *low = eb_root(a[0] * a[0] + a[1] * a[1]);
    }
}

void eb_analyse(const eb_stft *stft, const int16_t *history, float *spectrum,
                float *magnitude)
{
    const int32_t half = stft->n_fft / 2;
    const int32_t stages = stft->fft.stages;
    /* From the third quarter on the first stage knows the zeros. */
    const int32_t pairs = (stft->win_length + 1) / 2;
    const int32_t full = pairs - 3 * (half / 4);
    if (stages > 0 && stft->fft.radix[0] == 4 && full >= 0) {
        /* An even number of stages is left from where the result shall be. */
        float *const from = (stages & 1) != 0 ? spectrum : magnitude;
        float *const to = (stages & 1) != 0 ? magnitude : spectrum;
        eb_first_stage(stft, history, from, full);
        (void)eb_fft(&stft->fft, from, to, 1);
    } else {
        float *const from = (stages & 1) != 0 ? magnitude : spectrum;
        float *const to = (stages & 1) != 0 ? spectrum : magnitude;
        eb_load_frame(stft, history, from);
        (void)eb_fft(&stft->fft, from, to, 0);
    }
    eb_split(stft, spectrum, magnitude);
}

/* From the spectrum to the conjugate of the numbers whose transform is that of
 * pairs of samples. */
static void eb_merge(const eb_stft *stft, float *spectrum, const float *mask)
{
    const int32_t half = stft->n_fft / 2;
    const float first = spectrum[0] * mask[0];
    const float last = spectrum[2 * half] * mask[half];
    spectrum[0] = first + last;
    spectrum[1] = last - first;
    int32_t k = 1;
#if defined(EB_USE_X4)
    k += eb_merge_x4(stft, spectrum, mask);
#endif
    const float *w = &stft->turns[2 * k];
    float *a = &spectrum[2 * k];
    float *b = &spectrum[2 * (half - k)];
    const float *low = &mask[k];
    const float *high = &mask[half - k];
    for (int32_t left = (half + 1) / 2 - k; left > 0; left--) {
        const float ar = a[0] * *low;
        const float ai = a[1] * *low;
        const float br = b[0] * *high;
        const float bi = b[1] * *high;
        const float er = ar + br;
        const float ei = bi - ai;
        const float dr = br - ar;
        const float di = ai + bi;
        const float tr = dr * w[0] - di * w[1];
        const float ti = dr * w[1] + di * w[0];
        a[0] = er - ti;
        a[1] = ei + tr;
        b[0] = er + ti;
        b[1] = tr - ei;
        w += 2;
        a += 2;
        b -= 2;
        low++;
        high--;
    }
    if ((half & 1) == 0) {
        a[0] *= 2.0f * *low;
        a[1] *= 2.0f * *low;
    }
}

void eb_synthesise(const eb_stft *stft, float *spectrum, const float *mask,
                   float *other, float *overlap, int16_t *out)
{
    eb_merge(stft, spectrum, mask);
    eb_overlap(stft, eb_fft(&stft->fft, spectrum, other, 0), overlap, out);
}

#endif
