/* SPDX-License-Identifier: Apache-2.0
 *
 * Loops of eb_stft.c four floats at a time, see eb_fft_x4.h. */
#ifndef EB_STFT_X4_H
#define EB_STFT_X4_H

#include "eb_fft_x4.h"
#include "eb_stft.h"

#if defined(EB_USE_X4)

/* The first stage; n_fft is a multiple of 16. `full` butterflies have four
 * numbers, the others three. */
void eb_first_x4(const eb_stft *stft, const int16_t *history, float *y,
                 int32_t full);

/* The loops of eb_split and eb_merge, k from 1 on. Return how many pairs are
 * done, which is all or all but one. */
int32_t eb_split_x4(const eb_stft *stft, float *spectrum);
int32_t eb_merge_x4(const eb_stft *stft, float *spectrum, const float *mask);

#endif
#endif
