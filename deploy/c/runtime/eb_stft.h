/* Short-time Fourier transform of one frame, and back by overlap-add.
 *
 * A frame is the window over the last samples, then zeros up to n_fft. */
#ifndef EB_STFT_H
#define EB_STFT_H

#include <stdint.h>

#define EB_MAX_STAGES 16
#define EB_MAX_RADIX 13

typedef struct {
    int32_t n_fft;
    int32_t win_length;
    int32_t hop_length;
    int32_t stages;
    uint8_t radix[EB_MAX_STAGES]; /* of an FFT of n_fft / 2 complex numbers */
    const float *window;          /* win_length */
    const float *gain;            /* hop_length: to int16, overlap undone */
    const float *twiddle;         /* n_fft complex numbers: k from 0,
                                     exp(-2 pi i k / n_fft) */
} eb_stft;

/* Shift the samples of a hop into the last win_length ones. */
void eb_take_hop(const eb_stft *stft, int16_t *history, const int16_t *in);

/* The spectrum of the last samples. spectrum and other hold n_fft + 2 floats;
 * the result, n_fft / 2 + 1 complex numbers, is in spectrum. */
void eb_analyse(const eb_stft *stft, const int16_t *history, float *spectrum,
                float *other);

/* magnitude[k] = |spectrum[k]|. */
void eb_magnitude(const float *spectrum, float *magnitude, int32_t bins);

/* spectrum[k] *= mask[k]. */
void eb_apply_mask(float *spectrum, const float *mask, int32_t bins);

/* Add a frame to overlap (win_length floats) and give the hop that is done.
 * spectrum and other are overwritten. */
void eb_synthesise(const eb_stft *stft, float *spectrum, float *other,
                   float *overlap, int16_t *out);

#endif
