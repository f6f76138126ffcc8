/* A checksum of what each kernel computes of many layers: sizes that end
 * within a vector, ties, saturation. Alike on every machine. */
#include "eb_float.h"
#include "eb_kernels.h"

#include <stdio.h>
#include <string.h>

#define MOST 64
#define GUARD 16
#define ROUNDS 3

static uint32_t seed = 1;
static uint32_t sum;

static uint32_t next(void)
{
    seed = seed * 1664525u + 1013904223u;
    return seed >> 8;
}

static int32_t within(int32_t low, int32_t high)
{
    return low + (int32_t)(next() % (uint32_t)(high - low + 1));
}

static void hash(const void *from, size_t size)
{
    const uint8_t *const bytes = from;
    for (size_t i = 0; i < size; i++) {
        sum = (sum ^ bytes[i]) * 16777619u;
    }
}

static int8_t weights[MOST * MOST];
static int32_t bias[MOST];
static int32_t bias16[MOST];
static int32_t factor[MOST];
static uint8_t shift[MOST];
static float ratio[MOST];
static int8_t in8[5][MOST];
static int16_t in16[5][MOST];
static float floats[MOST];
static int32_t scratch[MOST];

/* What a kernel writes, and what must stay as it was. */
static int8_t out8[MOST + GUARD];
static int16_t out16[MOST + GUARD];
static float outf[MOST + GUARD];

static void draw(int32_t kind)
{
    for (int32_t i = 0; i < MOST * MOST; i++) {
        weights[i] = (int8_t)(kind == 0 ? within(-1, 1) : within(-127, 127));
    }
    for (int32_t i = 0; i < MOST; i++) {
        /* Ratios of 1/2 and small sums: half of all are ties. */
        ratio[i] = kind == 0 ? 0.5f : (float)within(1, 4000) * 1e-6f;
        bias[i] = kind == 0 ? within(-60, 60) : within(-3000, 3000);
        bias16[i] = kind == 0 ? within(-60, 60)
                              : within(-(1 << 14), 1 << 14) * (1 << 14);
        factor[i] = kind == 0 ? 1 << 30 : within(1 << 22, (1 << 23) - 1);
        shift[i] = (uint8_t)(kind == 0 ? 33 : within(33, 40));
        floats[i] = (float)within(-100000, 100000) * 1e-3f;
        for (int32_t k = 0; k < 5; k++) {
            in8[k][i] = (int8_t)(kind == 0 ? within(-9, 9)
                                           : within(-128, 127));
            in16[k][i] = (int16_t)(kind == 0 ? within(-90, 90)
                                             : within(-32768, 32767));
        }
    }
    floats[0] = -0.0f;
    floats[1] = 0.0f;
    floats[2] = 3.4e38f;
    floats[3] = -3.4e38f;
    in8[0][0] = -128;
    in16[0][0] = -32768;
    in16[1][0] = 32767;
    memset(out8, 0x5a, sizeof out8);
    memset(out16, 0x5a, sizeof out16);
    memset(outf, 0x5a, sizeof outf);
}

static void take(void)
{
    hash(out8, sizeof out8);
    hash(out16, sizeof out16);
    hash(outf, sizeof outf);
}

static void say(const char *kernel)
{
    printf("%s %08lx\n", kernel, (unsigned long)sum);
    sum = 2166136261u;
}

/* Zeros where columns are filled up, see eb_dense_s8_layer. */
static void pad_columns(int32_t rows, int32_t columns)
{
    int8_t *row = weights;
    for (int32_t group = 0; group < rows; group += 4) {
        for (int32_t from = 0; from < columns; from += 16) {
            const int32_t width = columns - from > 8 ? 16 : 8;
            for (int32_t r = 0; r < 4; r++) {
                for (int32_t k = columns - from; k < width; k++) {
                    row[k] = 0;
                }
                row += width;
            }
        }
    }
}

static const int32_t sizes[] = {1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 57};
#define SIZES (sizeof sizes / sizeof sizes[0])

static void dense(void)
{
    for (int32_t bits = 8; bits <= 16; bits += 8) {
        for (int32_t wide = 0; wide < (bits == 8 ? 1 : 2); wide++) {
            for (uint32_t i = 0; i < SIZES * SIZES * 2; i++) {
                const int32_t rows = sizes[i % SIZES];
                const int32_t columns = sizes[i / SIZES % SIZES];
                draw((int32_t)(i & 1));
                pad_columns(rows, columns);
                if (bits == 8) {
                    const eb_dense_s8_layer layer = {
                        weights, bias,    ratio,
                        rows,    columns, within(-128, 127)};
                    eb_dense_s8(&layer, in8[0], out8, (int16_t *)scratch);
                } else {
                    const eb_dense_s16_layer layer = {
                        weights, bias16,  factor, shift,
                        rows,    columns, wide};
                    eb_dense_s16(&layer, in16[0], out16, (int16_t *)scratch);
                }
                take();
            }
        }
        say(bits == 8 ? "dense_s8" : "dense_s16");
    }
}

static void depthwise(void)
{
    const int8_t *const columns8[5] = {in8[0], in8[1], in8[2], in8[3], in8[4]};
    const int16_t *const columns16[5] = {in16[0], in16[1], in16[2], in16[3],
                                         in16[4]};
    for (int32_t bits = 8; bits <= 16; bits += 8) {
        for (int32_t wide = 0; wide < (bits == 8 ? 1 : 2); wide++) {
            for (uint32_t i = 0; i < SIZES * 5 * 2; i++) {
                const int32_t size = sizes[i % SIZES];
                const int32_t taps = 1 + (int32_t)(i / SIZES % 5);
                draw((int32_t)(i & 1));
                if (bits == 8) {
                    const eb_depthwise_s8_layer layer = {
                        weights, bias, ratio, size, taps, within(-128, 127)};
                    eb_depthwise_s8(&layer, columns8, out8);
                } else {
                    const eb_depthwise_s16_layer layer = {
                        weights, bias16, factor, shift, size, taps, wide};
                    eb_depthwise_s16(&layer, columns16, out16);
                }
                take();
            }
        }
        say(bits == 8 ? "depthwise_s8" : "depthwise_s16");
    }
}

static void pairs(void)
{
    for (uint32_t i = 0; i < SIZES * ROUNDS; i++) {
        const int32_t size = sizes[i % SIZES];
        draw(1);
        const eb_add_s8_layer add = {ratio[0] * 300.0f, 0.5f,
                                     i % 2 == 0 ? 0.5f : 3.25f};
        eb_add_s8(&add, in8[0], in8[1], out8, size);
        take();
        const eb_mul_s8_layer mul = {i % 2 == 0 ? 0.5f : ratio[1], 3, -7,
                                     within(-128, 127)};
        eb_mul_s8(&mul, in8[0], in8[1], out8, size);
        take();
        const int32_t low = i % 2 == 0 ? 16 : 22;
        const eb_add_s16_layer add_16 = {factor[0] >> (24 - low),
                                         factor[1] >> (24 - low), low};
        eb_add_s16(&add_16, in16[0], in16[1], out16, size);
        take();
        const eb_scale_s16_layer mul_16 = {factor[2], i % 2 == 0 ? 37 : 32};
        eb_mul_s16(&mul_16, in16[0], in16[1], out16, size);
        take();
    }
    /* Scales at which a sum that is not fused rounds 111 pairs elsewhere. */
    const eb_add_s8_layer equal = {2.7699707f, 2.7699707f, -24.199707f};
    for (int32_t a = -128; a < 128; a++) {
        memset(in8[0], a, sizeof in8[0]);
        for (int32_t b = -128; b < 128; b += MOST) {
            for (int32_t i = 0; i < MOST; i++) {
                in8[1][i] = (int8_t)(b + i);
            }
            eb_add_s8(&equal, in8[0], in8[1], out8, MOST);
            take();
        }
    }
    say("pairs");
}

static void cells(void)
{
    for (uint32_t i = 0; i < SIZES * ROUNDS; i++) {
        draw(1);
        const eb_cell_layer cell = {0.0039f, -128, 0.0041f, -127,
                                       0.0078f, 3};
        memcpy(outf, floats, sizeof floats);
        outf[2] = 5.0f;
        outf[3] = -5.0f;
        eb_cell_s8(&cell, in8[0], in8[1], in8[2], outf, sizes[i % SIZES]);
        take();
        const eb_cell_layer wide = {3.05e-5f, 0, 3.1e-5f, 0, 3.05e-5f, 0};
        eb_cell_s16(&wide, in16[0], in16[1], in16[2], outf,
                    sizes[i % SIZES]);
        /* Both, by 64 bits and by the high word: states within the table,
         * then most beyond it. */
        eb_cell_tanh_s8(floats, out8, sizes[i % SIZES], 1.0f / 128.0f, 0);
        take();
        const eb_scale_s16_layer from = {factor[0], 30};
        const eb_scale_s16_layer same = {factor[0] << 3, 33};
        eb_cell_tanh_s16(&same, floats, out16, sizes[i % SIZES]);
        take();
        for (int32_t k = 4; k < MOST; k++) {
            floats[k] *= 0.05f;
        }
        eb_cell_tanh_s8(floats, out8, sizes[i % SIZES], 2.0f / 255.0f, -1);
        take();
        eb_cell_tanh_s16(&from, floats, out16, sizes[i % SIZES]);
        take();
        eb_cell_tanh_s16(&same, floats, out16, sizes[i % SIZES]);
        take();
    }
    say("cells");
}

static void curves(void)
{
    for (uint32_t i = 0; i < SIZES * ROUNDS; i++) {
        const int32_t size = sizes[i % SIZES];
        draw(1);
        eb_table_s8(weights, in8[0], out8, size);
        take();
        const eb_bent_s16_layer bent = {
            1 << 22, factor[0] >> 2, i % 2 == 0 ? 22 : 16, -9000, 20000};
        const eb_bent_s16_layer steep = {100000, 30000, 16, -9000, 20000};
        eb_bent_s16(i % 2 == 0 ? &bent : &steep, in16[0], out16, size);
        take();
        const eb_bent_s16_layer relu = {factor[0], 0, 22, 0, 32767};
        eb_bent_s16(&relu, in16[0], out16, size);
        take();
        const eb_bent_s16_layer prelu = {factor[0], factor[1] >> 3, 22, -32768,
                                         32767};
        eb_bent_s16(&prelu, in16[0], out16, size);
        take();
        const eb_bent_s16_layer tiny = {factor[0], -factor[1], 49, -32768,
                                        32767};
        eb_bent_s16(&tiny, in16[0], out16, size);
        take();
        /* Within the table and beyond it; by 64 bits and by high words. */
        for (int32_t k = 0; k < 4; k++) {
            const eb_scale_s16_layer into = {factor[1] << (k / 2 * 4), 17};
            const eb_scale_s16_layer from = {factor[2] << (k % 2 * 3),
                                             30 + k % 2 * 3};
            eb_tanh_s16(&into, &from, in16[0], out16, size);
            take();
            eb_sigmoid_s16(&into, &from, in16[1], out16, size);
            take();
        }
    }
    say("curves");
}

static void conversions(void)
{
    static int32_t edges[256];
    for (int32_t i = 0; i < 256; i++) {
        /* Some below 0, and 0 itself, with all bits but the sign inverted. */
        const float edge = (float)(i - 100) * 0.75f;
        int32_t bits;
        memcpy(&bits, &edge, sizeof bits);
        edges[i] = i < 200 ? bits ^ ((bits >> 31) & INT32_MAX) : INT32_MAX;
    }
    for (uint32_t i = 0; i < SIZES * ROUNDS; i++) {
        const int32_t size = sizes[i % SIZES];
        draw(1);
        floats[4] = 7.5f;
        eb_count_edges_s8(edges, floats, out8, size, -128);
        take();
        eb_dequantize_s8(in8[0], outf, size, 0.013f, -11);
        take();
        eb_dequantize_s16(in16[0], outf, size, 0.0013f);
        take();
        eb_quantize_s8(floats, out8, size, 0.5f, 10);
        take();
        eb_quantize_s16(floats, out16, size, 0.001f);
        take();
        for (int32_t k = 0; k < MOST; k++) {
            /* Every second one a tie. */
            floats[k] = (float)within(-500, 500) * 0.25f;
        }
        eb_quantize_s8(floats, out8, size, 0.5f, -30);
        take();
        eb_quantize_s16(floats, out16, size, 0.5f);
        take();
    }
    say("conversions");
}

/* From 2^-149 to 2^20, many of them near 1, with 0, -0 and numbers next to the
 * smallest normal one. */
static void draw_float(float *to, int32_t size)
{
    static const uint32_t ends[] = {0u, 0x80000000u, 1u, 0x7FFFFFu, 0x800000u,
                                    0x800001u, 0x3F800000u, 0x3F3504F3u};
    for (int32_t i = 0; i < size; i++) {
        uint32_t bits = (next() << 20) ^ next();
        bits = (bits & 0x7FFFFFu) | ((uint32_t)within(0, 147) << 23);
        if (within(0, 2) == 0) {
            bits = 0x3F000000u + (bits & 0xFFFFFFu);
        }
        if (within(0, 3) == 0) {
            bits = ends[next() % (sizeof ends / sizeof ends[0])];
        }
        memcpy(&to[i], &bits, sizeof bits);
    }
}

static void floats_alone(void)
{
    static float table[96 + 256];
    static const int16_t first[] = {0, 2, 3, 5, 5};
    static const int16_t count[] = {1, 3, 0, 2, 9};
    static float x[MOST];
    static float y[MOST];
    for (uint32_t i = 0; i < SIZES * ROUNDS * 4; i++) {
        const int32_t size = sizes[i % SIZES];
        draw_float(x, MOST);
        draw(1);
        for (int32_t k = 0; k < 352; k++) {
            table[k] = (float)within(1, 4000) * 1e-3f;
        }
        table[96] = 0.0f;
        for (int32_t k = 0; k < MOST; k++) {
            y[k] = ratio[k] - 0.002f;
        }
        for (int32_t kind = 0; kind < 12; kind++) {
            memcpy(outf, x, sizeof x);
            switch (kind) {
            case 0: eb_pow_all(outf, size, table); break;
            case 1: eb_log_all(outf, size); break;
            case 2: outf[1] = 0.0f; eb_sqrt_all(outf, size); break;
            case 3: eb_square_all(outf, size); break;
            case 4: eb_add_all(outf, size, y[0]); break;
            case 5: eb_mul_all(outf, size, y[0]); break;
            case 6: eb_div_all(outf, size, 0.37f); break;
            case 7: eb_add_each(outf, size, y); break;
            case 8: eb_mul_each(outf, size, y); break;
            case 9: eb_div_each(outf, size, ratio); break;
            case 10: eb_clip_all(outf, size, 0.001f, 7.5f); break;
            default: eb_bands(x, outf, 5, first, count, y); break;
            }
            take();
        }
    }
    say("floats");
}

int main(void)
{
    sum = 2166136261u;
    dense();
    depthwise();
    pairs();
    cells();
    curves();
    conversions();
    floats_alone();
    return 0;
}
