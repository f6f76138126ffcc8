/* SPDX-License-Identifier: Apache-2.0
 *
 * Fast Fourier transform of complex numbers, real and imaginary part in turn.
 *
 * Stockham's form: stage after stage from one buffer into another, sorted by
 * itself. After a stage the transforms of length l of every m-th number lie
 * as y[m * k + q], k < l, q < m. */
#ifndef EB_FFT_H
#define EB_FFT_H

#include "eb_kernels.h"

#define EB_MAX_STAGES 16
#define EB_MAX_RADIX 13

#if defined(__GNUC__)
#define EB_INLINE static inline __attribute__((always_inline))
/* Loops of their own, each with all registers. */
#define EB_NOINLINE static __attribute__((noinline))
#else
#define EB_INLINE static inline
#define EB_NOINLINE static
#endif

#if defined(EB_USE_FIXED)
typedef int16_t eb_factor; /* times 2^-15 */
#else
typedef float eb_factor;
#endif

typedef struct {
    int32_t size; /* complex numbers */
    int32_t stages;
    uint8_t radix[EB_MAX_STAGES];
    /* For each stage exp(-2 pi i j k / (l radix)), where l is the product of
     * the radices before: j from 1 to radix - 1, for each j all k < l. After
     * them, where the radix is neither 4 nor 2, its roots of unity. */
    const eb_factor *twiddle;
} eb_fft_plan;

/* The transform of the numbers in x, from stage `first` on; y is of the same
 * size. Returns which of the two holds the result: x after an even number of
 * stages. The other is overwritten. */
float *eb_fft(const eb_fft_plan *plan, float *x, float *y, int32_t first);

/* Four numbers to their transform. */
EB_INLINE void eb_butterfly_4(const float a[2], const float b[2],
                              const float c[2], const float d[2], float *y0,
                              float *y1, float *y2, float *y3)
{
    const float acr = a[0] + c[0];
    const float aci = a[1] + c[1];
    const float amr = a[0] - c[0];
    const float ami = a[1] - c[1];
    const float bdr = b[0] + d[0];
    const float bdi = b[1] + d[1];
    const float bmr = b[0] - d[0];
    const float bmi = b[1] - d[1];
    y0[0] = acr + bdr;
    y0[1] = aci + bdi;
    y1[0] = amr + bmi;
    y1[1] = ami - bmr;
    y2[0] = acr - bdr;
    y2[1] = aci - bdi;
    y3[0] = amr - bmi;
    y3[1] = ami + bmr;
}

#endif
