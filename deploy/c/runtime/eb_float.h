/* SPDX-License-Identifier: Apache-2.0
 *
 * Float features in front of a network, with the same bits on every machine:
 * only sums, products, quotients and square roots of float32, each rounded
 * as IEEE 754 says. Compile with -ffp-contract=off. */
#ifndef EB_FLOAT_H
#define EB_FLOAT_H

#include <stdint.h>

/* All in place, element by element. x >= 0, finite.
 *
 * Powers and natural logarithms are good to about 4 units in the last place;
 * below the smallest normal number, where a power is 0, the logarithm stays
 * that of 2^-126.
 *
 * x = 2^e (1 + i / 32 + d / 2^23) to a power is a parabola in d times 2^e to
 * that power: `table` has 32 coefficients of 1, as many of d and d^2, and 256
 * powers of 2^(k - 127), with 0 where that is no normal number. */
void eb_pow_all(float *x, int32_t size, const float *table);
void eb_log_all(float *x, int32_t size);
void eb_sqrt_all(float *x, int32_t size);
void eb_square_all(float *x, int32_t size);
void eb_add_all(float *x, int32_t size, float value);
void eb_mul_all(float *x, int32_t size, float value);
void eb_div_all(float *x, int32_t size, float value);
void eb_add_each(float *x, int32_t size, const float *values);
void eb_mul_each(float *x, int32_t size, const float *values);
void eb_div_each(float *x, int32_t size, const float *values);
void eb_clip_all(float *x, int32_t size, float low, float high);

/* Bands: out[m] = sum of weights over in[first[m]] .. in[first[m] +
 * count[m] - 1]; the weights of all bands lie one after the other. */
void eb_bands(const float *in, float *out, int32_t bands,
              const int16_t *first, const int16_t *count,
              const float *weights);

#endif
