/* SPDX-License-Identifier: Apache-2.0
 *
 * Integer layers of a network: int8 weights, int8 or int16 activations.
 *
 * The 8-bit kernels give the bits of onnxruntime's integer kernels: sums in
 * int32, then one float32 product, rounded half to even. The 16-bit ones
 * round with integer factors of 23 bits, half up. No kernel allocates memory
 * or keeps any.
 *
 * EB_SCALAR takes the plain loops even where there are faster ones, for DSP
 * or Helium instructions of Cortex-M or 128-bit vectors of hosts: the bits
 * are the same. The faster ones want gcc or clang.
 */
#ifndef EB_KERNELS_H
#define EB_KERNELS_H

#include <stdint.h>

#if !defined(EB_SCALAR) && defined(__GNUC__)
#if defined(__ARM_FEATURE_MVE)
#if (__ARM_FEATURE_MVE & 2) != 0
#define EB_USE_MVE 1
#endif
#endif
#if defined(__SSE2_MATH__) || defined(__wasm_simd128__) || \
    (defined(__aarch64__) && !defined(__AARCH64EB__))
#if defined(__clang__) || __GNUC__ >= 12
#define EB_USE_VECTORS 1
#endif
#elif !defined(EB_USE_MVE) && defined(__ARM_FEATURE_DSP) && \
    !defined(__ARM_BIG_ENDIAN)
#define EB_USE_DSP 1
#endif
#endif

/* Integers where a core without a floating-point unit would call functions: in
 * the transforms, which then differ from those in float in what is below the
 * samples' own rounding, and where they give the bits of float. -DEB_USE_FIXED
 * takes them anywhere, -DEB_FLOAT nowhere. */
#if !defined(EB_USE_FIXED) && !defined(EB_FLOAT)
#if defined(__SOFTFP__) || (defined(__riscv) && !defined(__riscv_flen))
#define EB_USE_FIXED 1
#endif
#endif

/* Before a loop that no compiler shall turn into vectors by itself: those of
 * Helium take tiny numbers for 0, and clang 14 breaks at some gathers. */
#if defined(__clang__) && defined(__ARM_FEATURE_MVE)
#define EB_PLAIN_LOOP _Pragma("clang loop vectorize(disable)")
#else
#define EB_PLAIN_LOOP
#endif

/* Entries of eb_tanh_table: 2^22 tanh(k / 128). */
#define EB_TANH_ENTRIES 1026

extern const int32_t eb_tanh_table[EB_TANH_ENTRIES];

/* out[n] = ratio[n] * (bias[n] + sum_k weights(n, k) * in[k]).
 *
 * Four rows lie together, the last of a layer filled up with zeros, like bias
 * and ratio (factor, shift). Of the four first 16 columns row by row, then the
 * next 16, and so on; columns are filled up with zeros to a multiple of 8, and
 * where that leaves a block of 8, its rows are 8 long. */
typedef struct {
    const int8_t *weights;
    const int32_t *bias;
    const float *ratio;
    int32_t rows;
    int32_t columns;
    int32_t zero;
} eb_dense_s8_layer;

typedef struct {
    const int8_t *weights;
    const int32_t *bias;
    const int32_t *factor;
    const uint8_t *shift;
    int32_t rows;
    int32_t columns;
    int32_t wide; /* sums need 64 bits, or a shift is below 33 */
} eb_dense_s16_layer;

/* out[c] = ratio[c] * (bias[c] + sum_k weights[k * size + c] * in[k][c]). */
typedef struct {
    const int8_t *weights;
    const int32_t *bias;
    const float *ratio;
    int32_t size;
    int32_t taps;
    int32_t zero;
} eb_depthwise_s8_layer;

typedef struct {
    const int8_t *weights;
    const int32_t *bias;
    const int32_t *factor;
    const uint8_t *shift;
    int32_t size;
    int32_t taps;
    int32_t wide;
} eb_depthwise_s16_layer;

/* out = zero + first_ratio * a + second_ratio * b; fixed holds all that does
 * not depend on a and b. */
typedef struct {
    float first_ratio;
    float second_ratio;
    float fixed;
} eb_add_s8_layer;

/* out = zero + ratio * (a - first_zero) * (b - second_zero). */
typedef struct {
    float ratio;
    int32_t first_zero;
    int32_t second_zero;
    int32_t zero;
} eb_mul_s8_layer;

typedef struct {
    int32_t first_factor;
    int32_t second_factor;
    int32_t shift;
} eb_add_s16_layer;

typedef struct {
    int32_t factor;
    int32_t shift;
} eb_scale_s16_layer;

/* out = positive * a where a >= 0, else negative * a, within low..high. */
typedef struct {
    int32_t positive;
    int32_t negative;
    int32_t shift;
    int32_t low;
    int32_t high;
} eb_bent_s16_layer;

/* The gates of an LSTM whose cell state is float. */
typedef struct {
    float forget_scale;
    int32_t forget_zero;
    float input_scale;
    int32_t input_zero;
    float gate_scale;
    int32_t gate_zero;
} eb_cell_layer;

/* `in` may be read up to the next multiple of 8 columns, whatever lies there;
 * `out` is written up to the next multiple of 4 rows. scratch: columns filled
 * up to a multiple of 8, aligned to 4 bytes. */
void eb_dense_s8(const eb_dense_s8_layer *layer, const int8_t *in, int8_t *out,
                 int16_t *scratch);
void eb_dense_s16(const eb_dense_s16_layer *layer, const int16_t *in,
                  int16_t *out, int16_t *scratch);
void eb_depthwise_s8(const eb_depthwise_s8_layer *layer,
                     const int8_t *const *in, int8_t *out);
void eb_depthwise_s16(const eb_depthwise_s16_layer *layer,
                      const int16_t *const *in, int16_t *out);
void eb_add_s8(const eb_add_s8_layer *layer, const int8_t *first,
               const int8_t *second, int8_t *out, int32_t size);
void eb_add_s16(const eb_add_s16_layer *layer, const int16_t *first,
                const int16_t *second, int16_t *out, int32_t size);
void eb_mul_s8(const eb_mul_s8_layer *layer, const int8_t *first,
               const int8_t *second, int8_t *out, int32_t size);
void eb_mul_s16(const eb_scale_s16_layer *layer, const int16_t *first,
                const int16_t *second, int16_t *out, int32_t size);

/* state = forget * state + input * gate, in float. */
void eb_cell_s8(const eb_cell_layer *layer, const int8_t *forget,
                const int8_t *input, const int8_t *gate, float *state,
                int32_t size);
void eb_cell_s16(const eb_cell_layer *layer, const int16_t *forget,
                 const int16_t *input, const int16_t *gate, float *state,
                 int32_t size);

/* Quantized tanh of a cell state: the float32 tanh of onnxruntime, which in
 * places does not rise, so no search among thresholds gives its bits. */
void eb_cell_tanh_s8(const float *state, int8_t *out, int32_t size,
                     float scale, int32_t zero);

/* tanh of a cell state; `from` as below. */
void eb_cell_tanh_s16(const eb_scale_s16_layer *from, const float *state,
                      int16_t *out, int32_t size);

/* out = table[in + 128]: any function of one int8. */
void eb_table_s8(const int8_t *table, const int8_t *in, int8_t *out,
                 int32_t size);
void eb_bent_s16(const eb_bent_s16_layer *layer, const int16_t *in,
                 int16_t *out, int32_t size);

/* `into` turns the input (of sigmoid: half of it) into a Q18 number, `from`
 * the result, in Q22 (tanh) or Q23 (sigmoid), into the output. */
void eb_tanh_s16(const eb_scale_s16_layer *into,
                 const eb_scale_s16_layer *from, const int16_t *in,
                 int16_t *out, int32_t size);
void eb_sigmoid_s16(const eb_scale_s16_layer *into,
                    const eb_scale_s16_layer *from, const int16_t *in,
                    int16_t *out, int32_t size);

/* Float features to integers: half to even, saturated. */
void eb_quantize_s8(const float *in, int8_t *out, int32_t size, float scale,
                    int32_t zero);
void eb_quantize_s16(const float *in, int16_t *out, int32_t size, float scale);

/* out = first + number of edges up to in, which must be finite. `edges` are 256
 * rising floats as integers of the same order, those below 0 with all bits but
 * the sign inverted; filled up with INT32_MAX. */
void eb_count_edges_s8(const int32_t *edges, const float *in, int8_t *out,
                       int32_t size, int32_t first);

void eb_dequantize_s8(const int8_t *in, float *out, int32_t size, float scale,
                      int32_t zero);
void eb_dequantize_s16(const int16_t *in, float *out, int32_t size,
                       float scale);

/* Column `age` (0: the oldest) of a ring of columns, and its next column. */
int32_t eb_ring_place(int32_t head, int32_t age, int32_t columns);

#endif
