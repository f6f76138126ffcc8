/* Float features, see eb_float.h. */
#include "eb_float.h"

#include <math.h>
#include <string.h>

#define EB_SMALLEST 1.17549435e-38f

float eb_log2(float x)
{
    if (!(x >= EB_SMALLEST)) {
        return -126.0f;
    }
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    /* x = 2^e m with m from sqrt(1/2) to sqrt(2). */
    const uint32_t moved = bits - 0x3F3504F3u;
    const int32_t exponent = (int32_t)moved >> 23;
    bits -= (uint32_t)exponent << 23;
    float m;
    memcpy(&m, &bits, sizeof m);
    /* log2 m = 2 / ln 2 * (z + z^3 / 3 + ...), z = (m - 1) / (m + 1). */
    const float z = (m - 1.0f) / (m + 1.0f);
    const float w = z * z;
    float sum = 0.32059899f;
    sum = sum * w + 0.41219858f;
    sum = sum * w + 0.57707802f;
    sum = sum * w + 0.96179669f;
    sum = sum * w + 2.88539008f;
    return (float)exponent + sum * z;
}

float eb_exp2(float x)
{
    float y = x;
    if (y < -126.0f) {
        return 0.0f;
    }
    if (y > 127.0f) {
        y = 127.0f;
    }
    /* Rounded half to even by a number that leaves no bits for a fraction. */
    const float moved = y + 12582912.0f;
    const float whole = moved - 12582912.0f;
    const float f = y - whole;
    float sum = 1.52527338e-5f;
    sum = sum * f + 1.54035304e-4f;
    sum = sum * f + 1.33335581e-3f;
    sum = sum * f + 9.61812911e-3f;
    sum = sum * f + 5.55041087e-2f;
    sum = sum * f + 2.40226507e-1f;
    sum = sum * f + 6.93147181e-1f;
    sum = sum * f + 1.0f;
    const uint32_t bits = (uint32_t)((int32_t)whole + 127) << 23;
    float power;
    memcpy(&power, &bits, sizeof power);
    return sum * power;
}

float eb_power(float x, float exponent)
{
    if (!(x >= EB_SMALLEST)) {
        return 0.0f;
    }
    return eb_exp2(exponent * eb_log2(x));
}

void eb_pow_all(float *x, int32_t size, float exponent)
{
    for (int32_t i = 0; i < size; i++) {
        x[i] = eb_power(x[i], exponent);
    }
}

void eb_log_all(float *x, int32_t size)
{
    for (int32_t i = 0; i < size; i++) {
        x[i] = eb_log2(x[i]) * 0.693147181f;
    }
}

void eb_sqrt_all(float *x, int32_t size)
{
    for (int32_t i = 0; i < size; i++) {
        x[i] = sqrtf(x[i]);
    }
}

void eb_square_all(float *x, int32_t size)
{
    for (int32_t i = 0; i < size; i++) {
        x[i] = x[i] * x[i];
    }
}

void eb_add_all(float *x, int32_t size, float value)
{
    for (int32_t i = 0; i < size; i++) {
        x[i] += value;
    }
}

void eb_mul_all(float *x, int32_t size, float value)
{
    for (int32_t i = 0; i < size; i++) {
        x[i] *= value;
    }
}

void eb_div_all(float *x, int32_t size, float value)
{
    for (int32_t i = 0; i < size; i++) {
        x[i] /= value;
    }
}

void eb_add_each(float *x, int32_t size, const float *values)
{
    for (int32_t i = 0; i < size; i++) {
        x[i] += values[i];
    }
}

void eb_mul_each(float *x, int32_t size, const float *values)
{
    for (int32_t i = 0; i < size; i++) {
        x[i] *= values[i];
    }
}

void eb_div_each(float *x, int32_t size, const float *values)
{
    for (int32_t i = 0; i < size; i++) {
        x[i] /= values[i];
    }
}

void eb_clip_all(float *x, int32_t size, float low, float high)
{
    for (int32_t i = 0; i < size; i++) {
        if (x[i] < low) {
            x[i] = low;
        }
        if (x[i] > high) {
            x[i] = high;
        }
    }
}

void eb_bands(const float *in, float *out, int32_t bands,
              const int16_t *first, const int16_t *count,
              const float *weights)
{
    const float *weight = weights;
    for (int32_t m = 0; m < bands; m++) {
        const float *const from = &in[first[m]];
        float sum = 0.0f;
        for (int32_t k = 0; k < count[m]; k++) {
            sum += from[k] * weight[k];
        }
        weight += count[m];
        out[m] = sum;
    }
}
