/* SPDX-License-Identifier: Apache-2.0
 *
 * Dense layers, which take nearly all products, see eb_kernels.h.
 *
 * The loops by hand are functions without a frame of their own: no flag of a
 * compiler (frame pointers, stack protectors, -ffixed-r9, no optimisation) can
 * take a register from them. They leave r9 alone. */
#include "eb_arith.h"

#if defined(__clang__)
#define EB_NAKED static __attribute__((naked, noinline, no_stack_protector))
#elif defined(__GNUC__) && __GNUC__ > 10
#define EB_NAKED static __attribute__((naked, noipa, no_stack_protector))
#elif defined(__GNUC__)
#define EB_NAKED static __attribute__((naked, noipa))
#endif
#define EB_UNUSED __attribute__((unused))

#if defined(EB_USE_MVE)

#include <stddef.h>

/* Where the loops below find what they need. */
typedef char eb_fields_s8[offsetof(eb_dense_s8_layer, bias) == 4 &&
                          offsetof(eb_dense_s8_layer, ratio) == 8 &&
                          offsetof(eb_dense_s8_layer, rows) == 12 &&
                          offsetof(eb_dense_s8_layer, columns) == 16 &&
                          offsetof(eb_dense_s8_layer, zero) == 20 ? 1 : -1];
typedef char eb_fields_s16[offsetof(eb_dense_s16_layer, bias) == 4 &&
                           offsetof(eb_dense_s16_layer, factor) == 8 &&
                           offsetof(eb_dense_s16_layer, shift) == 12 &&
                           offsetof(eb_dense_s16_layer, rows) == 16 &&
                           offsetof(eb_dense_s16_layer, columns) == 20
                               ? 1 : -1];

/* r0 weights, r1 input, r2 bias, r4 r6 r8 r10 sums, r5 output, r11 blocks of
 * 16 columns, r12 rows left. */
#define EB_ENTER_ROWS            \
    ".syntax unified\n\t"        \
    "push {r4-r8, r10, r11, lr}\n\t" \
    "vpush {d8-d11}\n\t"         \
    "sub sp, #8\n\t"             \
    "str r1, [sp]\n\t"

#define EB_LEAVE_ROWS            \
    "subs r12, #4\n\t"           \
    "bgt 1b\n\t"                 \
    "add sp, #8\n\t"             \
    "vpop {d8-d11}\n\t"          \
    "pop {r4-r8, r10, r11, pc}"

#define EB_FIRST_OF_ROWS         \
    "1:\n\t"                     \
    "ldr r1, [sp]\n\t"           \
    "ldm r2!, {r4, r6, r8, r10}\n\t"

#define EB_SUMS_TO_Q0            \
    "vmov q0[2], q0[0], r4, r8\n\t" \
    "vmov q0[3], q0[1], r6, r10\n\t"

/* 16 columns of four rows, 8 bits; 8 columns, whose rows lie `step` apart and
 * whose products go by 16 bits. */
#define EB_ROW_16(sum)           \
    "vldrb.u8 q1, [r0], #16\n\t" \
    "vmladava.s8 " sum ", q0, q1\n\t"
#define EB_ROW_8(sum, at)        \
    "vldrb.s16 q1, [r0, #" at "]\n\t" \
    "vmladava.s16 " sum ", q0, q1\n\t"
#define EB_ROWS_8(r0, r1, r2, r3)                             \
    EB_ROW_8("r4", r0) EB_ROW_8("r6", r1) EB_ROW_8("r8", r2)  \
    EB_ROW_8("r10", r3)

EB_NAKED void eb_rows_s8(const eb_dense_s8_layer *layer EB_UNUSED,
                         const int8_t *in EB_UNUSED, int8_t *out EB_UNUSED)
{
    __asm__(
        EB_ENTER_ROWS
        "mov r5, r2\n\t"
        "ldr r12, [r0, #12]\n\t"
        "ldr r7, [r0, #20]\n\t"
        "vdup.32 q5, r7\n\t"
        /* Limits less the zero point: adding it cannot leave the range. */
        "rsb r6, r7, #127\n\t"
        "vdup.32 q4, r6\n\t"
        "vcvt.f32.s32 q4, q4\n\t"
        "sub r6, #255\n\t"
        "vdup.32 q3, r6\n\t"
        "vcvt.f32.s32 q3, q3\n\t"
        "ldr r7, [r0, #16]\n\t"
        "adds r7, #7\n\t"
        "asr r11, r7, #4\n\t"
        "ubfx r7, r7, #3, #1\n\t"
        "ldr r3, [r0, #8]\n\t"
        "ldrd r0, r2, [r0]\n\t"
        EB_FIRST_OF_ROWS
        "wls lr, r11, 3f\n\t"
        "2:\n\t"
        "vldrb.u8 q0, [r1], #16\n\t"
        EB_ROW_16("r4") EB_ROW_16("r6") EB_ROW_16("r8") EB_ROW_16("r10")
        "le lr, 2b\n\t"
        "3:\n\t"
        "cbz r7, 4f\n\t"
        "vldrb.s16 q0, [r1]\n\t"
        EB_ROWS_8("0", "8", "16", "24")
        "adds r0, #32\n\t"
        "4:\n\t"
        EB_SUMS_TO_Q0
        "vcvt.f32.s32 q0, q0\n\t"
        "vldrw.u32 q1, [r3], #16\n\t"
        "vmul.f32 q0, q0, q1\n\t"
        "vmaxnm.f32 q0, q0, q3\n\t"
        "vminnm.f32 q0, q0, q4\n\t"
        "vcvtn.s32.f32 q0, q0\n\t"
        "vadd.i32 q0, q0, q5\n\t"
        "vstrb.32 q0, [r5], #4\n\t"
        EB_LEAVE_ROWS);
}

EB_NAKED void eb_rows_s16(const eb_dense_s16_layer *layer EB_UNUSED,
                          const int16_t *in EB_UNUSED, int16_t *out EB_UNUSED)
{
    __asm__(
        EB_ENTER_ROWS
        "mov r5, r2\n\t"
        "movs r7, #32\n\t"
        "vdup.32 q5, r7\n\t"
        "ldrd r12, r7, [r0, #16]\n\t"
        "adds r7, #7\n\t"
        "asr r11, r7, #4\n\t"
        "and r7, r7, #8\n\t"
        "str r7, [sp, #4]\n\t"
        "ldrd r3, r7, [r0, #8]\n\t"
        "ldrd r0, r2, [r0]\n\t"
        EB_FIRST_OF_ROWS
        "wls lr, r11, 3f\n\t"
        "2:\n\t"
        "vldrh.u16 q0, [r1], #16\n\t"
        EB_ROWS_8("0", "16", "32", "48")
        "vldrh.u16 q0, [r1], #16\n\t"
        EB_ROWS_8("8", "24", "40", "56")
        "adds r0, #64\n\t"
        "le lr, 2b\n\t"
        "3:\n\t"
        "ldr lr, [sp, #4]\n\t"
        "cmp lr, #0\n\t"
        "beq 4f\n\t"
        "vldrh.u16 q0, [r1]\n\t"
        EB_ROWS_8("0", "8", "16", "24")
        "adds r0, #32\n\t"
        "4:\n\t"
        EB_SUMS_TO_Q0
        "vldrw.u32 q1, [r3], #16\n\t"
        "vmulh.s32 q0, q0, q1\n\t"
        "vldrb.u32 q1, [r7], #4\n\t"
        "vsub.i32 q1, q5, q1\n\t"
        "vrshl.s32 q0, q0, q1\n\t"
        "vqmovnb.s32 q0, q0\n\t"
        "vstrh.32 q0, [r5], #8\n\t"
        EB_LEAVE_ROWS);
}

#elif defined(EB_USE_DSP)

/* Four numbers in the order in which SXTB16 puts the weights: 0 2 1 3. */
#define EB_PAIRS(type)                                               \
    static void eb_pairs_##type(const type *in, int16_t *out,        \
                                int32_t columns)                     \
    {                                                                \
        for (int32_t k = 0; k < ((columns + 7) & ~7); k += 4) {      \
            out[k] = in[k];                                          \
            out[k + 1] = in[k + 2];                                  \
            out[k + 2] = in[k + 1];                                  \
            out[k + 3] = in[k + 3];                                  \
        }                                                            \
    }

EB_PAIRS(int8_t)
EB_PAIRS(int16_t)

/* Four columns of a row, whose weights lie at `at`: r0 weights, r2 input, r4
 * and r5 four of it. Then of four rows. */
#define EB_ROW(sum, at)              \
    "ldr r6, [r0, #" at "]\n\t"      \
    "sxtb16 r7, r6\n\t"              \
    "sxtb16 r6, r6, ror #8\n\t"      \
    "smlad " sum ", r7, r4, " sum "\n\t" \
    "smlad " sum ", r6, r5, " sum "\n\t"
#define EB_ROWS(at0, at1, at2, at3)                                    \
    "ldrd r4, r5, [r2], #8\n\t"                                        \
    EB_ROW("r1", at0) EB_ROW("r8", at1) EB_ROW("r10", at2)             \
    EB_ROW("r11", at3)

/* Sums of four rows: 87 instructions for 64 products. */
EB_NAKED void eb_dots(const int8_t *weights EB_UNUSED,
                      const int32_t *bias EB_UNUSED,
                      const int16_t *in EB_UNUSED, int32_t *sums EB_UNUSED,
                      int32_t columns EB_UNUSED)
{
    __asm__(
        ".syntax unified\n\t"
        "push {r4-r8, r10, r11, lr}\n\t"
        "ldr r12, [sp, #32]\n\t"
        "add r12, r12, #7\n\t"
        "ldm r1, {r1, r8, r10, r11}\n\t"
        "asrs r12, r12, #4\n\t"
        "beq 2f\n\t"
        "1:\n\t"
        EB_ROWS("0", "16", "32", "48")
        EB_ROWS("4", "20", "36", "52")
        EB_ROWS("8", "24", "40", "56")
        EB_ROWS("12", "28", "44", "60")
        "adds r0, r0, #64\n\t"
        "subs r12, r12, #1\n\t"
        "bne 1b\n\t"
        "2:\n\t"
        "ldr r12, [sp, #32]\n\t"
        "add r12, r12, #7\n\t"
        "tst r12, #8\n\t"
        "beq 3f\n\t"
        EB_ROWS("0", "8", "16", "24")
        EB_ROWS("4", "12", "20", "28")
        "3:\n\t"
        "stm r3, {r1, r8, r10, r11}\n\t"
        "pop {r4-r8, r10, r11, pc}");
}

#endif

#if defined(EB_USE_VECTORS)

/* Sums of four rows, in vectors of 128 bits. */
static inline eb_i32x4 eb_dots(const int8_t *weights, const int32_t *bias,
                               const int16_t *in, int32_t columns)
{
    const int8_t *w = weights;
    eb_i32x4 s0 = {0, 0, 0, 0};
    eb_i32x4 s1 = s0;
    eb_i32x4 s2 = s0;
    eb_i32x4 s3 = s0;
    int32_t k = 0;
    for (; k + 8 < columns; k += 16) {
        const eb_i16x8 x = eb_load_i16x8(&in[k]);
        const eb_i16x8 y = eb_load_i16x8(&in[k + 8]);
        s0 += eb_dot_pairs(eb_widen_i8x8(w), x);
        s1 += eb_dot_pairs(eb_widen_i8x8(w + 16), x);
        s2 += eb_dot_pairs(eb_widen_i8x8(w + 32), x);
        s3 += eb_dot_pairs(eb_widen_i8x8(w + 48), x);
        s0 += eb_dot_pairs(eb_widen_i8x8(w + 8), y);
        s1 += eb_dot_pairs(eb_widen_i8x8(w + 24), y);
        s2 += eb_dot_pairs(eb_widen_i8x8(w + 40), y);
        s3 += eb_dot_pairs(eb_widen_i8x8(w + 56), y);
        w += 64;
    }
    if (k < columns) {
        const eb_i16x8 x = eb_load_i16x8(&in[k]);
        s0 += eb_dot_pairs(eb_widen_i8x8(w), x);
        s1 += eb_dot_pairs(eb_widen_i8x8(w + 8), x);
        s2 += eb_dot_pairs(eb_widen_i8x8(w + 16), x);
        s3 += eb_dot_pairs(eb_widen_i8x8(w + 24), x);
    }
    return eb_load_i32x4(bias) + eb_sum_each(s0, s1, s2, s3);
}

#endif

/* The same in plain loops, by the widths of input and sums. */
#define EB_DOTS(name, type, sum_type)                                     \
    static inline void name(const int8_t *weights, const int32_t *bias,   \
                            const type *in, sum_type *sums,               \
                            int32_t columns)                              \
    {                                                                     \
        const int8_t *w = weights;                                        \
        for (int32_t r = 0; r < 4; r++) {                                 \
            sums[r] = bias[r];                                            \
        }                                                                 \
        for (int32_t from = 0; from < columns; from += 16) {              \
            const int32_t left = columns - from;                          \
            const int32_t width = left > 8 ? 16 : 8;                      \
            const int32_t used = left < width ? left : width;             \
            for (int32_t r = 0; r < 4; r++) {                             \
                sum_type sum = sums[r];                                   \
                for (int32_t k = 0; k < used; k++) {                      \
                    sum += (int32_t)w[k] * (int32_t)in[from + k];         \
                }                                                         \
                sums[r] = sum;                                            \
                w += width;                                               \
            }                                                             \
        }                                                                 \
    }

#if !defined(EB_USE_MVE) && !defined(EB_USE_DSP) && !defined(EB_USE_VECTORS)
EB_DOTS(eb_dots_s8, int8_t, int32_t)
EB_DOTS(eb_dots_s16, int16_t, int32_t)
#endif
EB_DOTS(eb_dots_wide, int16_t, int64_t)

void eb_dense_s8(const eb_dense_s8_layer *layer, const int8_t *in, int8_t *out,
                 int16_t *scratch)
{
#if defined(EB_USE_MVE)
    (void)scratch;
    eb_rows_s8(layer, in, out);
#else
    /* Copies, for the compiler must think that out overlaps the layer. */
    const int32_t columns = layer->columns;
    const int32_t rows = layer->rows;
    const int32_t zero = layer->zero;
    const int32_t *const bias = layer->bias;
    const float *const ratio = layer->ratio;
    const int8_t *weights = layer->weights;
#if defined(EB_USE_VECTORS)
    for (int32_t k = 0; k < columns; k += 8) {
        eb_store_i16x8(&scratch[k], eb_widen_i8x8(&in[k]));
    }
#elif defined(EB_USE_DSP)
    eb_pairs_int8_t(in, scratch, columns);
#else
    (void)scratch;
#endif
    for (int32_t row = 0; row < rows; row += 4) {
#if defined(EB_USE_VECTORS)
        const eb_i32x4 sums = eb_dots(weights, &bias[row], scratch, columns);
        eb_store_i8x4(&out[row],
                      eb_requantize_x4(sums, eb_load_f32x4(&ratio[row]), zero));
#else
        int32_t sums[4];
#if defined(EB_USE_DSP)
        eb_dots(weights, &bias[row], scratch, sums, columns);
#else
        eb_dots_s8(weights, &bias[row], in, sums, columns);
#endif
        for (int32_t r = 0; r < 4; r++) {
            out[row + r] = eb_requantize(sums[r], ratio[row + r], zero);
        }
#endif
        weights += 4 * ((columns + 7) & ~7);
    }
#endif
}

static void eb_dense_s16_wide(const eb_dense_s16_layer *layer,
                              const int16_t *in, int16_t *out)
{
    const int32_t columns = layer->columns;
    const int8_t *weights = layer->weights;
    for (int32_t row = 0; row < layer->rows; row += 4) {
        int64_t sums[4];
        eb_dots_wide(weights, &layer->bias[row], in, sums, columns);
        for (int32_t r = row; r < row + 4; r++) {
            out[r] = eb_saturate(
                eb_scale(sums[r - row], layer->factor[r], layer->shift[r]));
        }
        weights += 4 * ((columns + 7) & ~7);
    }
}

void eb_dense_s16(const eb_dense_s16_layer *layer, const int16_t *in,
                  int16_t *out, int16_t *scratch)
{
    if (layer->wide != 0) {
        eb_dense_s16_wide(layer, in, out);
        return;
    }
#if defined(EB_USE_MVE)
    (void)scratch;
    eb_rows_s16(layer, in, out);
#else
    const int32_t columns = layer->columns;
    const int32_t rows = layer->rows;
    const int32_t *const bias = layer->bias;
    const int32_t *const factor = layer->factor;
    const uint8_t *const shift = layer->shift;
    const int8_t *weights = layer->weights;
#if defined(EB_USE_DSP)
    eb_pairs_int16_t(in, scratch, columns);
#else
    (void)scratch;
#endif
    for (int32_t row = 0; row < rows; row += 4) {
        int32_t sums[4];
#if defined(EB_USE_VECTORS)
        eb_store_i32x4(sums, eb_dots(weights, &bias[row], in, columns));
#elif defined(EB_USE_DSP)
        eb_dots(weights, &bias[row], scratch, sums, columns);
#else
        eb_dots_s16(weights, &bias[row], in, sums, columns);
#endif
        for (int32_t r = 0; r < 4; r++) {
            out[row + r] = eb_saturate_s16(
                eb_scale_high(sums[r], factor[row + r], shift[row + r]));
        }
        weights += 4 * ((columns + 7) & ~7);
    }
#endif
}
