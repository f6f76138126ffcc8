/* SPDX-License-Identifier: Apache-2.0 */
/* Overlap-add of frames, for eb_stft.c. */
#ifndef EB_OVERLAP_H
#define EB_OVERLAP_H

#include "eb_stft.h"

/* Add z * window (win_length of the n_fft floats in z) to overlap, give the
 * first hop times gain, and shift by it. */
void eb_overlap(const eb_stft *stft, const float *z, float *overlap,
                int16_t *out);

#endif
