/* Float features in front of a network, with the same bits on every machine:
 * only sums, products, quotients and square roots of float32, each rounded
 * as IEEE 754 says. Compile with -ffp-contract=off. */
#ifndef EB_FLOAT_H
#define EB_FLOAT_H

#include <stdint.h>

/* Logarithm and power to about 4 units in the last place. x >= 0; below the
 * smallest normal number log2 gives -126 and pow 0. */
float eb_log2(float x);
float eb_exp2(float x);
float eb_power(float x, float exponent);

/* In place, element by element. */
void eb_pow_all(float *x, int32_t size, float exponent);
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
