/* Integer layers, see eb_kernels.h. */
#include "eb_kernels.h"

#include <math.h>
#include <string.h>

#if defined(EB_USE_MVE)
#include <arm_mve.h>
#elif defined(EB_USE_DSP)
#include <arm_acle.h>
#endif

/* Right shifts of negative numbers must keep the sign. */
typedef char eb_arithmetic_shift[((-1) >> 1) == -1 ? 1 : -1];

/* Adding 1.5 * 2^23 leaves no bits for a fraction: the sum is rounded half to
 * even, and its low bits are the integer. For values within +-2^22. */
#define EB_MAGIC 12582912.0f
#define EB_MAGIC_BITS 0x4B400000

static int32_t eb_round(float value)
{
    const float sum = value + EB_MAGIC;
    int32_t bits;
    memcpy(&bits, &sum, sizeof bits);
    return bits - EB_MAGIC_BITS;
}

static float eb_limit(float value, float low, float high)
{
    float limited = value;
    if (limited < low) {
        limited = low;
    }
    if (limited > high) {
        limited = high;
    }
    return limited;
}

static int8_t eb_saturate_s8(int32_t value)
{
#if defined(EB_USE_DSP)
    int32_t limited;
    __asm__("ssat %0, #8, %1" : "=r"(limited) : "r"(value));
    return (int8_t)limited;
#else
    int32_t limited = value > -128 ? value : -128;
    limited = limited < 127 ? limited : 127;
    return (int8_t)limited;
#endif
}

#if !defined(EB_USE_MVE)

/* The generator refuses layers whose products could leave +-2^22, so that
 * rounding comes first and saturation is one instruction. */
static int8_t eb_requantize(int32_t sum, float ratio, int32_t zero)
{
    return eb_saturate_s8(eb_round((float)sum * ratio) + zero);
}

#endif

static int16_t eb_saturate(int64_t value)
{
    int64_t limited = value;
    if (limited < -32768) {
        limited = -32768;
    }
    if (limited > 32767) {
        limited = 32767;
    }
    return (int16_t)limited;
}

static int64_t eb_scale(int64_t value, int32_t factor, int32_t shift)
{
    const int64_t half = (int64_t)1 << (shift - 1);
    return (value * factor + half) >> shift;
}

#if defined(EB_USE_DSP)

static int32_t eb_load(const void *from)
{
    int32_t word;
    memcpy(&word, from, sizeof word);
    return word;
}

/* Bytes 1 and 3 as int16; bytes 0 and 2 by __sxtb16. */
static int32_t eb_odd(int32_t word)
{
    int32_t pair;
    __asm__("sxtb16 %0, %1, ror #8" : "=r"(pair) : "r"(word));
    return pair;
}

/* Put x0 x2 x1 x3 where SXTB16 will put the weights. */
static void eb_pairs_s8(const int8_t *in, int16_t *out, int32_t size,
                        int32_t stride)
{
    int32_t k = 0;
    for (; k + 4 <= size; k += 4) {
        const int32_t word = eb_load(&in[k]);
        const int32_t even = __sxtb16(word);
        const int32_t odd = eb_odd(word);
        memcpy(&out[k], &even, sizeof even);
        memcpy(&out[k + 2], &odd, sizeof odd);
    }
    if (k < stride) {
        int8_t rest[4] = {0, 0, 0, 0};
        for (int32_t i = 0; k + i < size; i++) {
            rest[i] = in[k + i];
        }
        out[k] = rest[0];
        out[k + 1] = rest[2];
        out[k + 2] = rest[1];
        out[k + 3] = rest[3];
    }
}

static void eb_pairs_s16(const int16_t *in, int16_t *out, int32_t size,
                         int32_t stride)
{
    int32_t k = 0;
    for (; k + 4 <= size; k += 4) {
        out[k] = in[k];
        out[k + 1] = in[k + 2];
        out[k + 2] = in[k + 1];
        out[k + 3] = in[k + 3];
    }
    if (k < stride) {
        int16_t rest[4] = {0, 0, 0, 0};
        for (int32_t i = 0; k + i < size; i++) {
            rest[i] = in[k + i];
        }
        out[k] = rest[0];
        out[k + 1] = rest[2];
        out[k + 2] = rest[1];
        out[k + 3] = rest[3];
    }
}

#define EB_ROW(sum, from)                                \
    do {                                                 \
        const int32_t word = eb_load(from);              \
        (sum) = __smlad(__sxtb16(word), even, (sum));    \
        (sum) = __smlad(eb_odd(word), odd, (sum));       \
    } while (0)

/* Four rows at once; a layer's last rows one by one. */
static void eb_dot_4(const int8_t *weights, const int32_t *bias,
                     int32_t stride, const int16_t *in, int32_t *sums)
{
    const int16_t *const end = in + stride;
    const int32_t third = 3 * stride;
    int32_t s0 = bias[0];
    int32_t s1 = bias[1];
    int32_t s2 = bias[2];
    int32_t s3 = bias[3];
    while (in != end) {
        const int32_t even = eb_load(in);
        const int32_t odd = eb_load(in + 2);
        in += 4;
        /* One moving pointer and two offsets: four pointers would be more
         * than there are registers. The empty statement keeps it so. */
        __asm__("" : "+r"(stride) : "r"(third));
        EB_ROW(s3, weights + third);
        EB_ROW(s2, weights + 2 * stride);
        EB_ROW(s1, weights + stride);
        EB_ROW(s0, weights);
        weights += 4;
    }
    sums[0] = s0;
    sums[1] = s1;
    sums[2] = s2;
    sums[3] = s3;
}

static int32_t eb_dot_1(const int8_t *weights, int32_t stride,
                        const int16_t *in, int32_t sum)
{
    const int16_t *const end = in + stride;
    while (in != end) {
        const int32_t even = eb_load(in);
        const int32_t odd = eb_load(in + 2);
        in += 4;
        EB_ROW(sum, weights);
        weights += 4;
    }
    return sum;
}

static void eb_dots(const int8_t *weights, const int32_t *bias, int32_t stride,
                    const int16_t *in, int32_t *sums, int32_t count)
{
    if (count == 4) {
        eb_dot_4(weights, bias, stride, in, sums);
    } else {
        for (int32_t r = 0; r < count; r++) {
            sums[r] = eb_dot_1(weights + r * stride, stride, in, bias[r]);
        }
    }
}

#endif

#if defined(EB_USE_MVE)

static void eb_dots_s8(const int8_t *weights, const int32_t *bias,
                       int32_t stride, const int8_t *in, int32_t columns,
                       int32_t *sums, int32_t count)
{
    if (count == 4) {
        const int8_t *w0 = weights;
        const int8_t *w1 = w0 + stride;
        const int8_t *w2 = w1 + stride;
        const int8_t *w3 = w2 + stride;
        int32_t s0 = bias[0];
        int32_t s1 = bias[1];
        int32_t s2 = bias[2];
        int32_t s3 = bias[3];
        int32_t k = 0;
        for (; k + 16 <= columns; k += 16) {
            const int8x16_t x = vldrbq_s8(&in[k]);
            s0 = vmladavaq_s8(s0, vldrbq_s8(w0 + k), x);
            s1 = vmladavaq_s8(s1, vldrbq_s8(w1 + k), x);
            s2 = vmladavaq_s8(s2, vldrbq_s8(w2 + k), x);
            s3 = vmladavaq_s8(s3, vldrbq_s8(w3 + k), x);
        }
        if (k < columns) {
            const mve_pred16_t p = vctp8q((uint32_t)(columns - k));
            const int8x16_t x = vldrbq_z_s8(&in[k], p);
            s0 = vmladavaq_s8(s0, vldrbq_z_s8(w0 + k, p), x);
            s1 = vmladavaq_s8(s1, vldrbq_z_s8(w1 + k, p), x);
            s2 = vmladavaq_s8(s2, vldrbq_z_s8(w2 + k, p), x);
            s3 = vmladavaq_s8(s3, vldrbq_z_s8(w3 + k, p), x);
        }
        sums[0] = s0;
        sums[1] = s1;
        sums[2] = s2;
        sums[3] = s3;
        return;
    }
    for (int32_t r = 0; r < count; r++) {
        const int8_t *const row = weights + r * stride;
        int32_t sum = bias[r];
        for (int32_t k = 0; k < columns; k += 16) {
            const mve_pred16_t p = vctp8q((uint32_t)(columns - k));
            sum = vmladavaq_s8(sum, vldrbq_z_s8(row + k, p),
                               vldrbq_z_s8(&in[k], p));
        }
        sums[r] = sum;
    }
}

static void eb_dots_s16(const int8_t *weights, const int32_t *bias,
                        int32_t stride, const int16_t *in, int32_t columns,
                        int32_t *sums, int32_t count)
{
    if (count == 4) {
        const int8_t *w0 = weights;
        const int8_t *w1 = w0 + stride;
        const int8_t *w2 = w1 + stride;
        const int8_t *w3 = w2 + stride;
        int32_t s0 = bias[0];
        int32_t s1 = bias[1];
        int32_t s2 = bias[2];
        int32_t s3 = bias[3];
        int32_t k = 0;
        for (; k + 8 <= columns; k += 8) {
            const int16x8_t x = vldrhq_s16(&in[k]);
            s0 = vmladavaq_s16(s0, vldrbq_s16(w0 + k), x);
            s1 = vmladavaq_s16(s1, vldrbq_s16(w1 + k), x);
            s2 = vmladavaq_s16(s2, vldrbq_s16(w2 + k), x);
            s3 = vmladavaq_s16(s3, vldrbq_s16(w3 + k), x);
        }
        if (k < columns) {
            const mve_pred16_t p = vctp16q((uint32_t)(columns - k));
            const int16x8_t x = vldrhq_z_s16(&in[k], p);
            s0 = vmladavaq_s16(s0, vldrbq_z_s16(w0 + k, p), x);
            s1 = vmladavaq_s16(s1, vldrbq_z_s16(w1 + k, p), x);
            s2 = vmladavaq_s16(s2, vldrbq_z_s16(w2 + k, p), x);
            s3 = vmladavaq_s16(s3, vldrbq_z_s16(w3 + k, p), x);
        }
        sums[0] = s0;
        sums[1] = s1;
        sums[2] = s2;
        sums[3] = s3;
        return;
    }
    for (int32_t r = 0; r < count; r++) {
        const int8_t *const row = weights + r * stride;
        int32_t sum = bias[r];
        for (int32_t k = 0; k < columns; k += 8) {
            const mve_pred16_t p = vctp16q((uint32_t)(columns - k));
            sum = vmladavaq_s16(sum, vldrbq_z_s16(row + k, p),
                                vldrhq_z_s16(&in[k], p));
        }
        sums[r] = sum;
    }
}

static int32x4_t eb_requantize_4(int32x4_t sum, float32x4_t ratio, int32_t zero)
{
    const float32x4_t low = vdupq_n_f32((float)(-128 - zero));
    const float32x4_t high = vdupq_n_f32((float)(127 - zero));
    float32x4_t value = vmulq_f32(vcvtq_f32_s32(sum), ratio);
    value = vminnmq_f32(vmaxnmq_f32(value, low), high);
    return vaddq_n_s32(vcvtnq_s32_f32(value), zero);
}

#endif

void eb_dense_s8(const eb_dense_s8_layer *layer, const int8_t *in, int8_t *out,
                 int16_t *scratch)
{
    /* Copies, for the compiler must think that out overlaps the layer. */
    const int32_t stride = layer->stride;
    const int32_t rows = layer->rows;
    const int32_t columns = layer->columns;
    const int32_t zero = layer->zero;
    const int32_t *const bias = layer->bias;
    const float *const ratio = layer->ratio;
    const int8_t *weights = layer->weights;
#if defined(EB_USE_MVE)
    (void)scratch;
    for (int32_t row = 0; row < rows; row += 4) {
        const int32_t left = rows - row;
        const int32_t count = left < 4 ? left : 4;
        const mve_pred16_t p = vctp32q((uint32_t)count);
        int32_t sums[4] = {0, 0, 0, 0};
        eb_dots_s8(weights, &bias[row], stride, in, columns, sums, count);
        vstrbq_p_s32(&out[row],
                     eb_requantize_4(vldrwq_s32(sums),
                                     vldrwq_z_f32(&ratio[row], p), zero),
                     p);
        weights += 4 * stride;
    }
#elif defined(EB_USE_DSP)
    eb_pairs_s8(in, scratch, columns, stride);
    for (int32_t row = 0; row < rows; row += 4) {
        const int32_t left = rows - row;
        const int32_t count = left < 4 ? left : 4;
        int32_t sums[4];
        eb_dots(weights, &bias[row], stride, scratch, sums, count);
        for (int32_t r = 0; r < count; r++) {
            out[row + r] = eb_requantize(sums[r], ratio[row + r], zero);
        }
        weights += 4 * stride;
    }
#else
    (void)scratch;
    for (int32_t row = 0; row < rows; row++) {
        int32_t sum = bias[row];
        for (int32_t k = 0; k < columns; k++) {
            sum += (int32_t)weights[k] * (int32_t)in[k];
        }
        out[row] = eb_requantize(sum, ratio[row], zero);
        weights += stride;
    }
#endif
}

void eb_dense_s16(const eb_dense_s16_layer *layer, const int16_t *in,
                  int16_t *out, int16_t *scratch)
{
    const int32_t stride = layer->stride;
    int32_t row = 0;
#if defined(EB_USE_DSP)
    if (layer->wide == 0) {
        eb_pairs_s16(in, scratch, layer->columns, stride);
    }
#else
    (void)scratch;
#endif
#if defined(EB_USE_MVE) || defined(EB_USE_DSP)
    while (layer->wide == 0 && row < layer->rows) {
        const int32_t left = layer->rows - row;
        const int32_t count = left < 4 ? left : 4;
        int32_t sums[4];
        const int8_t *const weights = layer->weights + row * stride;
#if defined(EB_USE_MVE)
        eb_dots_s16(weights, &layer->bias[row], stride, in, layer->columns,
                    sums, count);
#else
        eb_dots(weights, &layer->bias[row], stride, scratch, sums, count);
#endif
        for (int32_t r = 0; r < count; r++) {
            out[row + r] = eb_saturate(eb_scale(
                sums[r], layer->factor[row + r], layer->shift[row + r]));
        }
        row += count;
    }
#endif
    for (; row < layer->rows; row++) {
        const int8_t *const weights = layer->weights + row * stride;
        int64_t sum = layer->bias[row];
        for (int32_t k = 0; k < layer->columns; k++) {
            sum += (int32_t)weights[k] * (int32_t)in[k];
        }
        out[row] = eb_saturate(
            eb_scale(sum, layer->factor[row], layer->shift[row]));
    }
}

void eb_depthwise_s8(const eb_depthwise_s8_layer *layer,
                     const int8_t *const *in, int8_t *out)
{
    const int32_t size = layer->size;
#if defined(EB_USE_MVE)
    for (int32_t c = 0; c < size; c += 4) {
        const mve_pred16_t p = vctp32q((uint32_t)(size - c));
        int32x4_t sum = vldrwq_z_s32(&layer->bias[c], p);
        for (int32_t k = 0; k < layer->taps; k++) {
            const int32x4_t w =
                vldrbq_z_s32(&layer->weights[k * size + c], p);
            const int32x4_t x = vldrbq_z_s32(&in[k][c], p);
            sum = vaddq_s32(sum, vmulq_s32(w, x));
        }
        vstrbq_p_s32(&out[c],
                     eb_requantize_4(sum, vldrwq_z_f32(&layer->ratio[c], p),
                                     layer->zero),
                     p);
    }
#else
    const int32_t taps = layer->taps;
    const int32_t zero = layer->zero;
    const int32_t *const bias = layer->bias;
    const float *const ratio = layer->ratio;
    const int8_t *const weights = layer->weights;
    for (int32_t c = 0; c < size; c++) {
        const int8_t *weight = &weights[c];
        int32_t sum = bias[c];
        for (int32_t k = 0; k < taps; k++) {
            sum += (int32_t)*weight * (int32_t)in[k][c];
            weight += size;
        }
        out[c] = eb_requantize(sum, ratio[c], zero);
    }
#endif
}

void eb_depthwise_s16(const eb_depthwise_s16_layer *layer,
                      const int16_t *const *in, int16_t *out)
{
    const int32_t size = layer->size;
    for (int32_t c = 0; c < size; c++) {
        int64_t sum = layer->bias[c];
        for (int32_t k = 0; k < layer->taps; k++) {
            sum += (int32_t)layer->weights[k * size + c] * (int32_t)in[k][c];
        }
        out[c] = eb_saturate(eb_scale(sum, layer->factor[c], layer->shift[c]));
    }
}

void eb_add_s8(const eb_add_s8_layer *layer, const int8_t *first,
               const int8_t *second, int8_t *out, int32_t size)
{
    const float first_ratio = layer->first_ratio;
    const float second_ratio = layer->second_ratio;
    const float fixed = layer->fixed;
    for (int32_t i = 0; i < size; i++) {
        /* Fused as onnxruntime's AVX2 kernel has it: the second one first. */
        const float part =
            fmaf((float)second[i], second_ratio, fixed);
        const float sum = fmaf((float)first[i], first_ratio, part);
        out[i] = eb_saturate_s8(eb_round(sum));
    }
}

void eb_add_s16(const eb_add_s16_layer *layer, const int16_t *first,
                const int16_t *second, int16_t *out, int32_t size)
{
    const int64_t half = (int64_t)1 << (layer->shift - 1);
    for (int32_t i = 0; i < size; i++) {
        const int64_t sum = (int64_t)first[i] * layer->first_factor +
                            (int64_t)second[i] * layer->second_factor;
        out[i] = eb_saturate((sum + half) >> layer->shift);
    }
}

void eb_mul_s8(const eb_mul_s8_layer *layer, const int8_t *first,
               const int8_t *second, int8_t *out, int32_t size)
{
    const float zero = (float)layer->zero;
    for (int32_t i = 0; i < size; i++) {
        const int32_t product = ((int32_t)first[i] - layer->first_zero) *
                                ((int32_t)second[i] - layer->second_zero);
        /* The zero point is added before rounding, as onnxruntime does. */
        const float value = (float)product * layer->ratio;
        out[i] = eb_saturate_s8(eb_round(value + zero));
    }
}

void eb_mul_s16(const eb_scale_s16_layer *layer, const int16_t *first,
                const int16_t *second, int16_t *out, int32_t size)
{
    for (int32_t i = 0; i < size; i++) {
        const int32_t product = (int32_t)first[i] * (int32_t)second[i];
        out[i] = eb_saturate(eb_scale(product, layer->factor, layer->shift));
    }
}

void eb_cell_s8(const eb_cell_s8_layer *layer, const int8_t *forget,
                const int8_t *input, const int8_t *gate, float *state,
                int32_t size)
{
    for (int32_t i = 0; i < size; i++) {
        const float f = (float)((int32_t)forget[i] - layer->forget_zero) *
                        layer->forget_scale;
        const float x = (float)((int32_t)input[i] - layer->input_zero) *
                        layer->input_scale;
        const float g = (float)((int32_t)gate[i] - layer->gate_zero) *
                        layer->gate_scale;
        const float kept = f * state[i];
        state[i] = kept + x * g;
    }
}

void eb_table_s8(const int8_t *table, const int8_t *in, int8_t *out,
                 int32_t size)
{
    for (int32_t i = 0; i < size; i++) {
        out[i] = table[(int32_t)in[i] + 128];
    }
}

void eb_bent_s16(const eb_bent_s16_layer *layer, const int16_t *in,
                 int16_t *out, int32_t size)
{
    for (int32_t i = 0; i < size; i++) {
        const int32_t factor = in[i] < 0 ? layer->negative : layer->positive;
        int64_t value = eb_scale(in[i], factor, layer->shift);
        if (value < layer->low) {
            value = layer->low;
        }
        if (value > layer->high) {
            value = layer->high;
        }
        out[i] = (int16_t)value;
    }
}

/* 2^15 tanh of a Q16 number, by a straight line between entries. */
static int32_t eb_tanh_q15(int64_t value)
{
    const int64_t size = value < 0 ? -value : value;
    const int64_t end = (int64_t)8 << 16;
    const int32_t at = (int32_t)(size < end ? size : end);
    const int32_t place = at >> 10;
    const int32_t rest = at & 1023;
    const int32_t low = eb_tanh_table[place];
    const int32_t rise = eb_tanh_table[place + 1] - low;
    const int32_t result = low + ((rise * rest + 512) >> 10);
    return value < 0 ? -result : result;
}

void eb_tanh_s16(const eb_scale_s16_layer *to_q16,
                 const eb_scale_s16_layer *from, const int16_t *in,
                 int16_t *out, int32_t size)
{
    for (int32_t i = 0; i < size; i++) {
        const int64_t x = eb_scale(in[i], to_q16->factor, to_q16->shift);
        out[i] = eb_saturate(
            eb_scale(eb_tanh_q15(x), from->factor, from->shift));
    }
}

void eb_sigmoid_s16(const eb_scale_s16_layer *to_q16,
                    const eb_scale_s16_layer *from, const int16_t *in,
                    int16_t *out, int32_t size)
{
    for (int32_t i = 0; i < size; i++) {
        /* sigmoid(x) = (1 + tanh(x / 2)) / 2, so 2^16 sigmoid is */
        const int64_t half = eb_scale(in[i], to_q16->factor, to_q16->shift);
        const int32_t y = 32768 + eb_tanh_q15(half);
        out[i] = eb_saturate(eb_scale(y, from->factor, from->shift));
    }
}

void eb_quantize_s8(const float *in, int8_t *out, int32_t size, float scale,
                    int32_t zero)
{
    const float low = (float)(-128 - zero);
    const float high = (float)(127 - zero);
    for (int32_t i = 0; i < size; i++) {
        const float value = eb_limit(in[i] / scale, low, high);
        out[i] = (int8_t)(eb_round(value) + zero);
    }
}

void eb_quantize_s16(const float *in, int16_t *out, int32_t size, float scale)
{
    for (int32_t i = 0; i < size; i++) {
        const float value = eb_limit(in[i] / scale, -32768.0f, 32767.0f);
        out[i] = (int16_t)eb_round(value);
    }
}

void eb_count_edges_s8(const float *edges, const float *in, int8_t *out,
                       int32_t size, int32_t first)
{
    for (int32_t i = 0; i < size; i++) {
        const float x = in[i];
        int32_t count = 0;
        for (int32_t step = 128; step > 0; step >>= 1) {
            if (edges[count + step - 1] <= x) {
                count += step;
            }
        }
        out[i] = (int8_t)(first + count);
    }
}

void eb_dequantize_s8(const int8_t *in, float *out, int32_t size, float scale,
                      int32_t zero)
{
    for (int32_t i = 0; i < size; i++) {
        out[i] = (float)((int32_t)in[i] - zero) * scale;
    }
}

void eb_dequantize_s16(const int16_t *in, float *out, int32_t size,
                       float scale)
{
    for (int32_t i = 0; i < size; i++) {
        out[i] = (float)in[i] * scale;
    }
}

int32_t eb_ring_place(int32_t head, int32_t age, int32_t columns)
{
    const int32_t place = head + age;
    return place < columns ? place : place - columns;
}
