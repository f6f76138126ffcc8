/* SPDX-License-Identifier: Apache-2.0
 *
 * Loops of the transforms in Helium instructions, for runtime/ alone: the same
 * products, sums and differences as in the plain loops, so the same bits (but
 * for the sign of zeros, which no result shows). A vector is two complex
 * numbers. */
#ifndef EB_FFT_MVE_H
#define EB_FFT_MVE_H

/* Says EB_USE_MVE. */
#include "eb_kernels.h"

#if defined(EB_USE_MVE)

#include <arm_mve.h>

/* x w, by products that are not fused with the sum. */
static inline float32x4_t eb_times_mve(float32x4_t x, float32x4_t w)
{
    return vaddq_f32(vcmulq_f32(w, x), vcmulq_rot90_f32(w, x));
}

static inline void eb_butterfly_4_mve(float32x4_t a, float32x4_t b,
                                      float32x4_t c, float32x4_t d, float *y0,
                                      float *y1, float *y2, float *y3)
{
    const float32x4_t acp = vaddq_f32(a, c);
    const float32x4_t acm = vsubq_f32(a, c);
    const float32x4_t bdp = vaddq_f32(b, d);
    const float32x4_t bdm = vsubq_f32(b, d);
    vst1q_f32(y0, vaddq_f32(acp, bdp));
    vst1q_f32(y1, vcaddq_rot270_f32(acm, bdm));
    vst1q_f32(y2, vsubq_f32(acp, bdp));
    vst1q_f32(y3, vcaddq_rot90_f32(acm, bdm));
}

/* A stage of radix 4; m is even. */
void eb_stage_4_mve(const float *x, float *y, int32_t m, int32_t l,
                    const float *tw);

/* The last stage of radix 4, m = 1; l is even. */
void eb_last_4_mve(const float *x, float *y, int32_t l, const float *tw);

#endif
#endif
