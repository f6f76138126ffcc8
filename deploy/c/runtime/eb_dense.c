/* Dense layers, which take nearly all products, see eb_kernels.h. */
#include "eb_arith.h"

#if defined(EB_USE_DSP)

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
        for (int32_t i = 0; i < 4; i++) {
            const int32_t place = ((i & 1) << 1) | (i >> 1);
            out[k + place] = k + i < size ? in[k + i] : 0;
        }
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
        for (int32_t i = 0; i < 4; i++) {
            const int32_t place = ((i & 1) << 1) | (i >> 1);
            out[k + place] = k + i < size ? in[k + i] : 0;
        }
    }
}

/* A word of weights times two of the input: p is the word. */
#define EB_ROW(sum, load)            \
    load "\n\t"                      \
    "sxtb16 %[q], %[p]\n\t"          \
    "sxtb16 %[p], %[p], ror #8\n\t"  \
    "smlad " sum ", %[q], %[e], " sum "\n\t" \
    "smlad " sum ", %[p], %[o], " sum "\n\t"

static int32_t eb_dot_1(const int8_t *weights, int32_t stride,
                        const int16_t *in, int32_t bias)
{
    int32_t sum = bias;
    for (int32_t k = 0; k < stride; k += 4) {
        const int32_t word = eb_load(&weights[k]);
        sum = __smlad(__sxtb16(word), eb_load(&in[k]), sum);
        sum = __smlad(eb_odd(word), eb_load(&in[k + 2]), sum);
    }
    return sum;
}

/* Four rows at once: 23 instructions for 16 products. By hand, for the loop
 * needs thirteen registers and a compiler spills one of them. */
#if defined(__OPTIMIZE__)
static void eb_dot_4(const int8_t *weights, const int32_t *bias,
                     int32_t stride, const int16_t *in, int32_t *sums)
{
    const int16_t *const end = in + stride;
    int32_t s0 = bias[0];
    int32_t s1 = bias[1];
    int32_t s2 = bias[2];
    int32_t s3 = bias[3];
    int32_t even;
    int32_t odd;
    int32_t word;
    int32_t part;
    __asm__ volatile(
        "1:\n\t"
        "ldrd %[e], %[o], [%[x]], #8\n\t"
        EB_ROW("%[s3]", "ldr %[p], [%[w], %[third]]")
        EB_ROW("%[s2]", "ldr %[p], [%[w], %[stride], lsl #1]")
        EB_ROW("%[s1]", "ldr %[p], [%[w], %[stride]]")
        EB_ROW("%[s0]", "ldr %[p], [%[w]], #4")
        "cmp %[x], %[end]\n\t"
        "bne 1b"
        : [x] "+r"(in), [w] "+r"(weights), [s0] "+r"(s0), [s1] "+r"(s1),
          [s2] "+r"(s2), [s3] "+r"(s3), [e] "=&r"(even), [o] "=&r"(odd),
          [p] "=&r"(word), [q] "=&r"(part)
        : [stride] "r"(stride), [third] "r"(3 * stride), [end] "r"(end)
        : "cc", "memory");
    sums[0] = s0;
    sums[1] = s1;
    sums[2] = s2;
    sums[3] = s3;
}
#else
/* Without optimisation gcc keeps a register for frames, and the loop above
 * has one too few. */
static void eb_dot_4(const int8_t *weights, const int32_t *bias,
                     int32_t stride, const int16_t *in, int32_t *sums)
{
    for (int32_t r = 0; r < 4; r++) {
        sums[r] = eb_dot_1(&weights[r * stride], stride, in, bias[r]);
    }
}
#endif

#endif

#if defined(EB_USE_MVE)

/* Sums of four rows. */
static inline void eb_dots_s8(const int8_t *weights, const int32_t *bias,
                              int32_t stride, const int8_t *in,
                              int32_t columns, int32_t *sums)
{
    const int8_t *w0 = weights;
    const int8_t *w1 = w0 + stride;
    const int8_t *w2 = w1 + stride;
    const int8_t *w3 = w2 + stride;
    int32_t s0 = bias[0];
    int32_t s1 = bias[1];
    int32_t s2 = bias[2];
    int32_t s3 = bias[3];
    for (int32_t blocks = columns >> 4; blocks > 0; blocks--) {
        const int8x16_t x = vldrbq_s8(in);
        s0 = vmladavaq_s8(s0, vldrbq_s8(w0), x);
        s1 = vmladavaq_s8(s1, vldrbq_s8(w1), x);
        s2 = vmladavaq_s8(s2, vldrbq_s8(w2), x);
        s3 = vmladavaq_s8(s3, vldrbq_s8(w3), x);
        in += 16;
        w0 += 16;
        w1 += 16;
        w2 += 16;
        w3 += 16;
    }
    if ((columns & 15) != 0) {
        /* Lanes beyond the input are 0, so the weights there do not count;
         * only of the last row they could lie beyond the table. */
        const mve_pred16_t p = vctp8q((uint32_t)(columns & 15));
        const int8x16_t x = vldrbq_z_s8(in, p);
        s0 = vmladavaq_s8(s0, vldrbq_z_s8(w0, p), x);
        s1 = vmladavaq_s8(s1, vldrbq_z_s8(w1, p), x);
        s2 = vmladavaq_s8(s2, vldrbq_z_s8(w2, p), x);
        s3 = vmladavaq_s8(s3, vldrbq_z_s8(w3, p), x);
    }
    sums[0] = s0;
    sums[1] = s1;
    sums[2] = s2;
    sums[3] = s3;
}

static inline int32_t eb_dot_s8(const int8_t *row, const int8_t *in,
                                int32_t columns, int32_t bias)
{
    int32_t sum = bias;
    for (int32_t k = 0; k < columns; k += 16) {
        const mve_pred16_t p = vctp8q((uint32_t)(columns - k));
        sum = vmladavaq_s8(sum, vldrbq_z_s8(row + k, p),
                           vldrbq_z_s8(in + k, p));
    }
    return sum;
}

static inline void eb_dots_s16(const int8_t *weights, const int32_t *bias,
                               int32_t stride, const int16_t *in,
                               int32_t columns, int32_t *sums)
{
    const int8_t *w0 = weights;
    const int8_t *w1 = w0 + stride;
    const int8_t *w2 = w1 + stride;
    const int8_t *w3 = w2 + stride;
    int32_t s0 = bias[0];
    int32_t s1 = bias[1];
    int32_t s2 = bias[2];
    int32_t s3 = bias[3];
    const int32_t blocks = columns >> 3;
    if (blocks > 0) {
        /* By hand: widening loads take low registers alone, and a compiler
         * puts sums there and moves the pointers about in the loop. */
        __asm__ volatile(
            "dls lr, %[blocks]\n\t"
            "1:\n\t"
            "vldrh.s16 q0, [%[x]], #16\n\t"
            "vldrb.s16 q1, [%[w0]], #8\n\t"
            "vmladava.s16 %[s0], q0, q1\n\t"
            "vldrb.s16 q2, [%[w1]], #8\n\t"
            "vmladava.s16 %[s1], q0, q2\n\t"
            "vldrb.s16 q1, [%[w2]], #8\n\t"
            "vmladava.s16 %[s2], q0, q1\n\t"
            "vldrb.s16 q2, [%[w3]], #8\n\t"
            "vmladava.s16 %[s3], q0, q2\n\t"
            "le lr, 1b"
            : [x] "+r"(in), [w0] "+l"(w0), [w1] "+l"(w1), [w2] "+l"(w2),
              [w3] "+l"(w3), [s0] "+Te"(s0), [s1] "+Te"(s1),
              [s2] "+Te"(s2), [s3] "+Te"(s3)
            : [blocks] "r"(blocks)
            : "q0", "q1", "q2", "lr", "cc", "memory");
    }
    if ((columns & 7) != 0) {
        const mve_pred16_t p = vctp16q((uint32_t)(columns & 7));
        const int16x8_t x = vldrhq_z_s16(in, p);
        s0 = vmladavaq_s16(s0, vldrbq_z_s16(w0, p), x);
        s1 = vmladavaq_s16(s1, vldrbq_z_s16(w1, p), x);
        s2 = vmladavaq_s16(s2, vldrbq_z_s16(w2, p), x);
        s3 = vmladavaq_s16(s3, vldrbq_z_s16(w3, p), x);
    }
    sums[0] = s0;
    sums[1] = s1;
    sums[2] = s2;
    sums[3] = s3;
}

static inline int32_t eb_dot_s16(const int8_t *row, const int16_t *in,
                                 int32_t columns, int32_t bias)
{
    int32_t sum = bias;
    for (int32_t k = 0; k < columns; k += 8) {
        const mve_pred16_t p = vctp16q((uint32_t)(columns - k));
        sum = vmladavaq_s16(sum, vldrbq_z_s16(row + k, p),
                            vldrhq_z_s16(in + k, p));
    }
    return sum;
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
    const int32_t *bias = layer->bias;
    const float *ratio = layer->ratio;
    const int8_t *weights = layer->weights;
    int32_t row = 0;
#if defined(EB_USE_MVE)
    (void)scratch;
    for (; row + 4 <= rows; row += 4) {
        int32_t sums[4];
        eb_dots_s8(weights, bias, stride, in, columns, sums);
        const float32x4_t value =
            vmulq_f32(vcvtq_f32_s32(eb_stored_s32(sums)), vldrwq_f32(ratio));
        vstrbq_s32(&out[row], eb_round_4(value, zero));
        weights += 4 * stride;
        bias += 4;
        ratio += 4;
    }
#elif defined(EB_USE_DSP)
    eb_pairs_s8(in, scratch, columns, stride);
    for (; row + 4 <= rows; row += 4) {
        int32_t sums[4];
        eb_dot_4(weights, bias, stride, scratch, sums);
        out[row] = eb_requantize(sums[0], ratio[0], zero);
        out[row + 1] = eb_requantize(sums[1], ratio[1], zero);
        out[row + 2] = eb_requantize(sums[2], ratio[2], zero);
        out[row + 3] = eb_requantize(sums[3], ratio[3], zero);
        weights += 4 * stride;
        bias += 4;
        ratio += 4;
    }
#else
    (void)scratch;
#endif
    for (; row < rows; row++) {
#if defined(EB_USE_MVE)
        const int32_t sum = eb_dot_s8(weights, in, columns, *bias);
#elif defined(EB_USE_DSP)
        const int32_t sum = eb_dot_1(weights, stride, scratch, *bias);
#else
        int32_t sum = *bias;
        for (int32_t k = 0; k < columns; k++) {
            sum += (int32_t)weights[k] * (int32_t)in[k];
        }
#endif
        out[row] = eb_requantize(sum, *ratio, zero);
        weights += stride;
        bias++;
        ratio++;
    }
}

static void eb_dense_s16_wide(const eb_dense_s16_layer *layer,
                              const int16_t *in, int16_t *out)
{
    for (int32_t row = 0; row < layer->rows; row++) {
        const int8_t *const weights = layer->weights + row * layer->stride;
        int64_t sum = layer->bias[row];
        for (int32_t k = 0; k < layer->columns; k++) {
            sum += (int32_t)weights[k] * (int32_t)in[k];
        }
        out[row] = eb_saturate(
            eb_scale(sum, layer->factor[row], layer->shift[row]));
    }
}

void eb_dense_s16(const eb_dense_s16_layer *layer, const int16_t *in,
                  int16_t *out, int16_t *scratch)
{
    const int32_t stride = layer->stride;
    const int32_t rows = layer->rows;
    const int32_t columns = layer->columns;
    const int32_t *const bias = layer->bias;
    const int32_t *const factor = layer->factor;
    const uint8_t *const shift = layer->shift;
    const int8_t *weights = layer->weights;
    int32_t row = 0;
    if (layer->wide != 0) {
        eb_dense_s16_wide(layer, in, out);
        return;
    }
#if defined(EB_USE_MVE)
    (void)scratch;
    for (; row + 4 <= rows; row += 4) {
        int32_t sums[4];
        eb_dots_s16(weights, &bias[row], stride, in, columns, sums);
        const int32x4_t shifts = vsubq_n_s32(
            vreinterpretq_s32_u32(vldrbq_u32(&shift[row])), 32);
        vstrhq_s32(&out[row],
                   eb_scale_high_4(eb_stored_s32(sums),
                                   vldrwq_s32(&factor[row]), shifts));
        weights += 4 * stride;
    }
#elif defined(EB_USE_DSP)
    eb_pairs_s16(in, scratch, columns, stride);
    for (; row + 4 <= rows; row += 4) {
        int32_t sums[4];
        eb_dot_4(weights, &bias[row], stride, scratch, sums);
        for (int32_t r = 0; r < 4; r++) {
            out[row + r] = eb_saturate_s16(
                eb_scale_high(sums[r], factor[row + r], shift[row + r]));
        }
        weights += 4 * stride;
    }
#else
    (void)scratch;
#endif
    for (; row < rows; row++) {
#if defined(EB_USE_MVE)
        const int32_t sum = eb_dot_s16(weights, in, columns, bias[row]);
#elif defined(EB_USE_DSP)
        const int32_t sum = eb_dot_1(weights, stride, scratch, bias[row]);
#else
        int32_t sum = bias[row];
        for (int32_t k = 0; k < columns; k++) {
            sum += (int32_t)weights[k] * (int32_t)in[k];
        }
#endif
        out[row] =
            eb_saturate_s16(eb_scale_high(sum, factor[row], shift[row]));
        weights += stride;
    }
}
