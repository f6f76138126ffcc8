/* Frame transforms, see eb_stft.h. Real numbers go two by two as complex ones
 * through an FFT of half the size (Stockham's, which sorts by itself). */
#include "eb_stft.h"

#include <math.h>
#include <string.h>

/* 2^-15: full scale of int16 is 1. */
#define EB_FULL_SCALE 3.0517578125e-5f
#define EB_MAGIC 12582912.0f
#define EB_MAGIC_BITS 0x4B400000

static void eb_stage_2(const float *x, float *y, int32_t m, int32_t s,
                       const float *tw)
{
    for (int32_t p = 0; p < m; p++) {
        const float wr = tw[4 * p * s];
        const float wi = tw[4 * p * s + 1];
        const float *const a = &x[2 * s * p];
        const float *const b = &x[2 * s * (p + m)];
        float *const c = &y[2 * s * 2 * p];
        float *const d = c + 2 * s;
        for (int32_t q = 0; q < 2 * s; q += 2) {
            const float dr = a[q] - b[q];
            const float di = a[q + 1] - b[q + 1];
            c[q] = a[q] + b[q];
            c[q + 1] = a[q + 1] + b[q + 1];
            d[q] = dr * wr - di * wi;
            d[q + 1] = dr * wi + di * wr;
        }
    }
}

static void eb_stage_4(const float *x, float *y, int32_t m, int32_t s,
                       const float *tw)
{
    for (int32_t p = 0; p < m; p++) {
        const float *const w1 = &tw[4 * p * s];
        const float *const w2 = &tw[8 * p * s];
        const float *const w3 = &tw[12 * p * s];
        const float *const a = &x[2 * s * p];
        const float *const b = a + 2 * s * m;
        const float *const c = b + 2 * s * m;
        const float *const d = c + 2 * s * m;
        float *const y0 = &y[2 * s * 4 * p];
        float *const y1 = y0 + 2 * s;
        float *const y2 = y1 + 2 * s;
        float *const y3 = y2 + 2 * s;
        for (int32_t q = 0; q < 2 * s; q += 2) {
            const float acr = a[q] + c[q];
            const float aci = a[q + 1] + c[q + 1];
            const float amr = a[q] - c[q];
            const float ami = a[q + 1] - c[q + 1];
            const float bdr = b[q] + d[q];
            const float bdi = b[q + 1] + d[q + 1];
            /* -i (b - d) */
            const float bmr = b[q + 1] - d[q + 1];
            const float bmi = d[q] - b[q];
            const float r1 = amr + bmr;
            const float i1 = ami + bmi;
            const float r2 = acr - bdr;
            const float i2 = aci - bdi;
            const float r3 = amr - bmr;
            const float i3 = ami - bmi;
            y0[q] = acr + bdr;
            y0[q + 1] = aci + bdi;
            y1[q] = r1 * w1[0] - i1 * w1[1];
            y1[q + 1] = r1 * w1[1] + i1 * w1[0];
            y2[q] = r2 * w2[0] - i2 * w2[1];
            y2[q + 1] = r2 * w2[1] + i2 * w2[0];
            y3[q] = r3 * w3[0] - i3 * w3[1];
            y3[q + 1] = r3 * w3[1] + i3 * w3[0];
        }
    }
}

static void eb_stage_any(const float *x, float *y, int32_t m, int32_t s,
                         int32_t r, int32_t size, const float *tw)
{
    for (int32_t p = 0; p < m; p++) {
        for (int32_t q = 0; q < s; q++) {
            for (int32_t k = 0; k < r; k++) {
                float sr = 0.0f;
                float si = 0.0f;
                for (int32_t j = 0; j < r; j++) {
                    const float *const a = &x[2 * (q + s * (p + m * j))];
                    const float *const w = &tw[4 * ((j * k) % r) * (size / r)];
                    sr += a[0] * w[0] - a[1] * w[1];
                    si += a[0] * w[1] + a[1] * w[0];
                }
                const float *const w = &tw[4 * p * k * s];
                float *const to = &y[2 * (q + s * (r * p + k))];
                to[0] = sr * w[0] - si * w[1];
                to[1] = sr * w[1] + si * w[0];
            }
        }
    }
}

/* FFT of n_fft / 2 complex numbers in x; returns where the result is. */
static float *eb_fft(const eb_stft *stft, float *x, float *y)
{
    const int32_t size = stft->n_fft / 2;
    float *from = x;
    float *to = y;
    int32_t n = size;
    int32_t s = 1;
    for (int32_t stage = 0; stage < stft->stages; stage++) {
        const int32_t r = stft->radix[stage];
        const int32_t m = n / r;
        if (r == 4) {
            eb_stage_4(from, to, m, s, stft->twiddle);
        } else if (r == 2) {
            eb_stage_2(from, to, m, s, stft->twiddle);
        } else {
            eb_stage_any(from, to, m, s, r, size, stft->twiddle);
        }
        float *const swapped = from;
        from = to;
        to = swapped;
        n = m;
        s *= r;
    }
    return from;
}

void eb_take_hop(const eb_stft *stft, int16_t *history, const int16_t *in)
{
    const uint32_t kept = (uint32_t)(stft->win_length - stft->hop_length);
    memmove(history, &history[stft->hop_length], kept * sizeof *history);
    memcpy(&history[kept], in, (uint32_t)stft->hop_length * sizeof *history);
}

void eb_analyse(const eb_stft *stft, const int16_t *history, float *spectrum,
                float *other)
{
    const int32_t half = stft->n_fft / 2;
    const float *const tw = stft->twiddle;
    float *from = spectrum;
    float *to = other;
    /* The FFT ends in the other buffer after an odd number of stages; the
     * result has to end in spectrum. */
    if ((stft->stages & 1) == 0) {
        from = other;
        to = spectrum;
    }
    for (int32_t i = 0; i < stft->win_length; i++) {
        from[i] = (float)history[i] * stft->window[i] * EB_FULL_SCALE;
    }
    for (int32_t i = stft->win_length; i < stft->n_fft; i++) {
        from[i] = 0.0f;
    }
    const float *const z = eb_fft(stft, from, to);
    spectrum[0] = z[0] + z[1];
    spectrum[1] = 0.0f;
    spectrum[2 * half] = z[0] - z[1];
    spectrum[2 * half + 1] = 0.0f;
    for (int32_t k = 1; k < half; k++) {
        const float *const a = &z[2 * k];
        const float *const b = &z[2 * (half - k)];
        const float er = 0.5f * (a[0] + b[0]);
        const float ei = 0.5f * (a[1] - b[1]);
        /* -i (a - conj b) / 2 */
        const float dr = 0.5f * (a[1] + b[1]);
        const float di = 0.5f * (b[0] - a[0]);
        const float *const w = &tw[2 * k];
        spectrum[2 * k] = er + (dr * w[0] - di * w[1]);
        spectrum[2 * k + 1] = ei + (dr * w[1] + di * w[0]);
    }
}

void eb_magnitude(const float *spectrum, float *magnitude, int32_t bins)
{
    for (int32_t k = 0; k < bins; k++) {
        const float re = spectrum[2 * k];
        const float im = spectrum[2 * k + 1];
        magnitude[k] = sqrtf(re * re + im * im);
    }
}

void eb_apply_mask(float *spectrum, const float *mask, int32_t bins)
{
    for (int32_t k = 0; k < bins; k++) {
        spectrum[2 * k] *= mask[k];
        spectrum[2 * k + 1] *= mask[k];
    }
}

static int16_t eb_to_int16(float value)
{
    float limited = value;
    if (limited < -32768.0f) {
        limited = -32768.0f;
    }
    if (limited > 32767.0f) {
        limited = 32767.0f;
    }
    const float sum = limited + EB_MAGIC;
    int32_t bits;
    memcpy(&bits, &sum, sizeof bits);
    return (int16_t)(bits - EB_MAGIC_BITS);
}

void eb_synthesise(const eb_stft *stft, float *spectrum, float *other,
                   float *overlap, int16_t *out)
{
    const int32_t half = stft->n_fft / 2;
    const int32_t hop = stft->hop_length;
    const float *const tw = stft->twiddle;
    /* z = (x + conj x') + i conj(w) (x - conj x'), conjugated: so the forward
     * FFT gives the conjugate of the inverse one. */
    for (int32_t k = 0; k < half; k++) {
        const float *const a = &spectrum[2 * k];
        const float *const b = &spectrum[2 * (half - k)];
        const float er = a[0] + b[0];
        const float ei = a[1] - b[1];
        const float dr = a[0] - b[0];
        const float di = a[1] + b[1];
        const float *const w = &tw[2 * k];
        const float tr = dr * w[0] + di * w[1];
        const float ti = di * w[0] - dr * w[1];
        other[2 * k] = er - ti;
        other[2 * k + 1] = -(ei + tr);
    }
    const float *const z = eb_fft(stft, other, spectrum);
    for (int32_t i = 0; i + 1 < stft->win_length; i += 2) {
        overlap[i] += z[i] * stft->window[i];
        overlap[i + 1] -= z[i + 1] * stft->window[i + 1];
    }
    if ((stft->win_length & 1) != 0) {
        const int32_t last = stft->win_length - 1;
        overlap[last] += z[last] * stft->window[last];
    }
    for (int32_t i = 0; i < hop; i++) {
        out[i] = eb_to_int16(overlap[i] * stft->gain[i]);
    }
    const uint32_t kept = (uint32_t)(stft->win_length - hop);
    memmove(overlap, &overlap[hop], kept * sizeof *overlap);
    memset(&overlap[kept], 0, (uint32_t)hop * sizeof *overlap);
}
