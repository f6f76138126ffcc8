/* What the runtime takes of the C library. sqrtf and fabsf are instructions of
 * WebAssembly; fmaf is none. */
#ifndef EB_WEB_MATH_H
#define EB_WEB_MATH_H

#include <stdint.h>

float sqrtf(float x);
float fabsf(float x);

/* x * y + z, rounded once. The product is exact in double, and the sum is
 * rounded to odd (Boldo and Melquiond, "Emulation of FMA and correctly rounded
 * sums", 2008): then rounding it again to float gives no other number than
 * rounding once. */
static inline float fmaf(float x, float y, float z)
{
    const double product = (double)x * (double)y;
    double sum = product + (double)z;
    const double part = sum - product;
    const double rest = (product - (sum - part)) + ((double)z - part);
    int64_t bits;
    __builtin_memcpy(&bits, &sum, sizeof bits);
    if ((rest > 0.0 || rest < 0.0) && (bits & 1) == 0) {
        bits += (rest > 0.0) == (sum > 0.0) ? 1 : -1;
        __builtin_memcpy(&sum, &bits, sizeof sum);
    }
    return (float)sum;
}

#endif
