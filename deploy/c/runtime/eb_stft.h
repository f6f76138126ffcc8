/* SPDX-License-Identifier: Apache-2.0
 *
 * Short-time Fourier transform of one frame, and back by overlap-add.
 *
 * A frame is the window over the last samples, then zeros up to n_fft. With
 * EB_USE_FIXED the numbers of spectrum and overlap are int32, and n_fft is a
 * power of two; magnitudes and masks are floats, masks between -1 and 1. */
#ifndef EB_STFT_H
#define EB_STFT_H

#include "eb_fft.h"

#include <stdint.h>

typedef struct {
    int32_t n_fft;
    int32_t win_length;
    int32_t hop_length;
    eb_fft_plan fft;     /* of n_fft / 2 complex numbers */
    const eb_factor *window; /* win_length, and a 0 where that is odd: every
                                second one negative; in float times 2^-16 */
    const eb_factor *gain;   /* hop_length: to int16, overlap undone */
    const eb_factor *turns;  /* exp(-2 pi i k / n_fft), 0 <= k <= n_fft / 4 */
#if defined(EB_USE_FIXED)
    int32_t up;   /* bits that a spectrum has below those of the samples */
    int32_t down; /* bits that sums times gain have below them */
#endif
} eb_stft;

/* Shift the samples of a hop into the last win_length ones. */
void eb_take_hop(const eb_stft *stft, int16_t *history, const int16_t *in);

/* The spectrum of the last samples, n_fft / 2 + 1 complex numbers, and their
 * magnitudes. Both hold n_fft + 2 floats. history has an even number of
 * values: a 0 after the last sample where win_length is odd. */
void eb_analyse(const eb_stft *stft, const int16_t *history, float *spectrum,
                float *magnitude);

/* Add the frame spectrum * mask to overlap (win_length - hop_length floats)
 * and give the hop that is done. spectrum is overwritten, and so is other
 * (n_fft floats), in which mask may lie. */
void eb_synthesise(const eb_stft *stft, float *spectrum, const float *mask,
                   float *other, float *overlap, int16_t *out);

#endif
