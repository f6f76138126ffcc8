/* SPDX-License-Identifier: Apache-2.0
 *
 * The transforms of eb_stft.h in fixed point, for cores without a
 * floating-point unit: int32 numbers lie where those have floats, a spectrum
 * is that of int16 samples times 2^up, and factors have 15 bits of fraction.
 * Magnitudes and masks stay floats, taken apart and put together as bits.
 *
 * Every sum fits: the generator chooses `up` by the greatest spectrum there
 * can be, and the way back halves. */
#include "eb_stft.h"

#if defined(EB_USE_FIXED)

#include <string.h>

#if defined(__GNUC__)
typedef int32_t __attribute__((may_alias)) eb_fixed;
#else
typedef int32_t eb_fixed;
#endif

/* x w / 2^15, rounded down, |w| <= 2^15. */
EB_INLINE int32_t eb_part(int32_t x, int32_t w)
{
#if defined(__ARM_ARCH) && defined(__ARM_ARCH_ISA_THUMB) && \
    __ARM_ARCH_ISA_THUMB == 1
    /* These cores have no product of 64 bits. */
    return (x >> 16) * w * 2 + (((x & 0xFFFF) * w) >> 15);
#else
    return (int32_t)(((int64_t)x * w) >> 15);
#endif
}

EB_INLINE void eb_turned(int32_t to[2], const eb_fixed *x, const int16_t *w)
{
    to[0] = eb_part(x[0], w[0]) - eb_part(x[1], w[1]);
    to[1] = eb_part(x[0], w[1]) + eb_part(x[1], w[0]);
}

/* A stage of radix 4, see eb_fft.h; `down` bits less, before the sums. */
static void eb_fixed_4(const eb_fixed *x, eb_fixed *y, int32_t m, int32_t l,
                       const int16_t *tw, int32_t down)
{
    const int32_t step = 2 * m;
    const int32_t far = step * l;
    for (int32_t k = 0; k < l; k++) {
        for (int32_t q = 0; q < m; q++) {
            int32_t b[2] = {x[step], x[step + 1]};
            int32_t c[2] = {x[2 * step], x[2 * step + 1]};
            int32_t d[2] = {x[3 * step], x[3 * step + 1]};
            /* The first factors are 1, which has no 15 bits. */
            if (k != 0) {
                eb_turned(b, &x[step], tw);
                eb_turned(c, &x[2 * step], tw + 2 * l);
                eb_turned(d, &x[3 * step], tw + 4 * l);
            }
            const int32_t ar = x[0] >> down;
            const int32_t ai = x[1] >> down;
            const int32_t cr = c[0] >> down;
            const int32_t ci = c[1] >> down;
            const int32_t pr = (b[0] >> down) + (d[0] >> down);
            const int32_t pi = (b[1] >> down) + (d[1] >> down);
            const int32_t nr = (b[0] >> down) - (d[0] >> down);
            const int32_t ni = (b[1] >> down) - (d[1] >> down);
            y[0] = ar + cr + pr;
            y[1] = ai + ci + pi;
            y[far] = ar - cr + ni;
            y[far + 1] = ai - ci - nr;
            y[2 * far] = ar + cr - pr;
            y[2 * far + 1] = ai + ci - pi;
            y[3 * far] = ar - cr - ni;
            y[3 * far + 1] = ai - ci + nr;
            x += 2;
            y += 2;
        }
        x += 3 * step;
        tw += 2;
    }
}

/* The last stage, of radix 2 (m = 1), where there is one. */
static void eb_fixed_2(const eb_fixed *x, eb_fixed *y, int32_t l,
                       const int16_t *tw, int32_t down)
{
    for (int32_t k = 0; k < l; k++) {
        int32_t b[2] = {x[2], x[3]};
        if (k != 0) {
            eb_turned(b, &x[2], tw);
        }
        y[0] = (x[0] >> down) + (b[0] >> down);
        y[1] = (x[1] >> down) + (b[1] >> down);
        y[2 * l] = (x[0] >> down) - (b[0] >> down);
        y[2 * l + 1] = (x[1] >> down) - (b[1] >> down);
        x += 4;
        y += 2;
        tw += 2;
    }
}

/* As eb_fft; `mean` divides by the size. */
static eb_fixed *eb_fixed_fft(const eb_fft_plan *plan, eb_fixed *x,
                              eb_fixed *y, int32_t mean)
{
    const int16_t *tw = plan->twiddle;
    eb_fixed *from = x;
    eb_fixed *to = y;
    int32_t l = 1;
    for (int32_t stage = 0; stage < plan->stages; stage++) {
        const int32_t r = plan->radix[stage];
        if (r == 4) {
            eb_fixed_4(from, to, plan->size / (4 * l), l, tw, 2 * mean);
        } else {
            eb_fixed_2(from, to, l, tw, mean);
        }
        eb_fixed *const swapped = from;
        from = to;
        to = swapped;
        tw += 2 * (r - 1) * l;
        l *= r;
    }
    return from;
}

EB_INLINE int32_t eb_leading_zeros(uint32_t value)
{
#if defined(__GNUC__)
    return __builtin_clz(value);
#else
    int32_t count = 0;
    for (uint32_t bit = 0x80000000u; (value & bit) == 0; bit >>= 1) {
        count++;
    }
    return count;
#endif
}

EB_INLINE uint32_t eb_size(int32_t value)
{
    return value < 0 ? 0u - (uint32_t)value : (uint32_t)value;
}

/* The length of (r, i), which are multiples of 2^-unit, with 15 or 16 bits. */
static float eb_length(int32_t r, int32_t i, int32_t unit)
{
    uint32_t a = eb_size(r);
    uint32_t b = eb_size(i);
    uint32_t bits = 0;
    if ((a | b) != 0) {
        /* The first bit to place 15. */
        const int32_t up = eb_leading_zeros(a | b) - 16;
        a = up < 0 ? a >> -up : a << up;
        b = up < 0 ? b >> -up : b << up;
        const uint32_t square = ((a * a) >> 2) + ((b * b) >> 2);
        uint32_t root = 0;
        for (uint32_t bit = 0x8000u; bit != 0; bit >>= 1) {
            const uint32_t more = root | bit;
            root = more * more <= square ? more : root;
        }
        root += square - root * root > root ? 1u : 0u;
        /* root 2^(1 - up) of them, from 2^14 on. */
        const uint32_t wide = root >> 15;
        const int32_t exponent = 127 + 14 + 1 - up - unit + (int32_t)wide;
        bits = ((uint32_t)exponent << 23) |
               ((root << (9 - wide)) & 0x7FFFFFu);
    }
    float length;
    memcpy(&length, &bits, sizeof length);
    return length;
}

void eb_analyse(const eb_stft *stft, const int16_t *history, float *spectrum,
                float *magnitude)
{
    const int32_t half = stft->n_fft / 2;
    const int32_t used = stft->win_length + (stft->win_length & 1);
    const int32_t odd = stft->fft.stages & 1;
    const int32_t unit = 15 + stft->up;
    eb_fixed *const x = (eb_fixed *)spectrum;
    eb_fixed *const other = (eb_fixed *)magnitude;
    eb_fixed *const from = odd != 0 ? other : x;
    const int32_t rounded = (1 << (15 - stft->up)) >> 1;
    for (int32_t i = 0; i < used; i++) {
        const int32_t product = (int32_t)history[i] * stft->window[i];
        from[i] = (product + rounded) >> (15 - stft->up);
    }
    memset(&from[used], 0, (uint32_t)(stft->n_fft - used) * sizeof *from);
    (void)eb_fixed_fft(&stft->fft, from, odd != 0 ? x : other, 0);

    /* As eb_split, but that half of the numbers, not of the window, is
     * taken. */
    const int32_t first = x[0];
    const int32_t second = x[1];
    x[0] = first - second;
    x[1] = 0;
    x[2 * half] = first + second;
    x[2 * half + 1] = 0;
    for (int32_t k = 1; k < half - k; k++) {
        eb_fixed *const a = &x[2 * k];
        eb_fixed *const b = &x[2 * (half - k)];
        const int32_t er = (a[0] >> 1) + (b[0] >> 1);
        const int32_t ei = (a[1] >> 1) - (b[1] >> 1);
        const eb_fixed d[2] = {(a[0] >> 1) - (b[0] >> 1),
                               (a[1] >> 1) + (b[1] >> 1)};
        int32_t t[2];
        eb_turned(t, d, &stft->turns[2 * k]);
        a[0] = er - t[1];
        a[1] = ei + t[0];
        b[0] = er + t[1];
        b[1] = t[0] - ei;
    }
    for (int32_t k = 0; k <= half; k++) {
        magnitude[k] = eb_length(x[2 * k], x[2 * k + 1], unit);
    }
}

/* A mask with 15 bits of fraction; beyond +-1, that. */
static int32_t eb_mask(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    const int32_t down = 135 - (int32_t)((bits >> 23) & 255u);
    uint32_t size = 32768u;
    if (down > 24) {
        size = 0u;
    } else if (down > 8) {
        size = ((bits & 0x7FFFFFu) | 0x800000u) >> (down - 1);
        size = (size + 1u) >> 1;
    }
    return (bits >> 31) != 0 ? -(int32_t)size : (int32_t)size;
}

/* A quarter of what eb_merge gives, which is half of the numbers. */
static void eb_fixed_merge(const eb_stft *stft, eb_fixed *x, const float *mask)
{
    const int32_t half = stft->n_fft / 2;
    const int32_t first = eb_part(x[0], eb_mask(mask[0]));
    const int32_t last = eb_part(x[2 * half], eb_mask(mask[half]));
    x[0] = (first >> 2) + (last >> 2);
    x[1] = (last >> 2) - (first >> 2);
    for (int32_t k = 1; k < half - k; k++) {
        eb_fixed *const a = &x[2 * k];
        eb_fixed *const b = &x[2 * (half - k)];
        const int32_t low = eb_mask(mask[k]);
        const int32_t high = eb_mask(mask[half - k]);
        const int32_t ar = eb_part(a[0], low) >> 2;
        const int32_t ai = eb_part(a[1], low) >> 2;
        const int32_t br = eb_part(b[0], high) >> 2;
        const int32_t bi = eb_part(b[1], high) >> 2;
        const eb_fixed d[2] = {br - ar, ai + bi};
        int32_t t[2];
        eb_turned(t, d, &stft->turns[2 * k]);
        a[0] = ar + br - t[1];
        a[1] = bi - ai + t[0];
        b[0] = ar + br + t[1];
        b[1] = t[0] - (bi - ai);
    }
    if ((half & 1) == 0) {
        const int32_t middle = eb_mask(mask[half / 2]);
        x[half] = eb_part(x[half], middle) >> 1;
        x[half + 1] = eb_part(x[half + 1], middle) >> 1;
    }
}

void eb_synthesise(const eb_stft *stft, float *spectrum, const float *mask,
                   float *other, float *overlap, int16_t *out)
{
    const int32_t hop = stft->hop_length;
    const int32_t kept = stft->win_length - hop;
    const int32_t rounded = (1 << stft->down) >> 1;
    eb_fixed *const x = (eb_fixed *)spectrum;
    eb_fixed *const before = (eb_fixed *)overlap;
    eb_fixed_merge(stft, x, mask);
    const eb_fixed *const z =
        eb_fixed_fft(&stft->fft, x, (eb_fixed *)other, 1);
    for (int32_t i = 0; i < stft->win_length; i++) {
        int32_t sum = eb_part(z[i], stft->window[i]);
        sum += i < kept ? before[i] : 0;
        if (i >= hop) {
            before[i - hop] = sum;
            continue;
        }
        const int32_t value =
            (eb_part(sum, stft->gain[i]) + rounded) >> stft->down;
        int32_t limited = value > -32768 ? value : -32768;
        limited = limited < 32767 ? limited : 32767;
        out[i] = (int16_t)limited;
    }
}

#endif
