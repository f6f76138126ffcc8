/* SPDX-License-Identifier: Apache-2.0
 *
 * Instructions of each kernel call of a frame, under qemu -icount shift=0: the
 * linker's --wrap leads every call through here. A line a call, in order. */
#include "names.h"
#include "ticks.h"

#include "eb_float.h"
#include "eb_kernels.h"

#include <stdio.h>

#define FRAMES 256u
#define CALLS 512u

static struct {
    const char *kernel;
    int32_t rows;
    int32_t columns;
    uint64_t ticks;
} calls[CALLS];
static uint32_t call;

static float magnitude[EB_BINS];
static float mask[EB_BINS];
static EB_CALL(memory) memory;

static void note(const char *kernel, int32_t rows, int32_t columns,
                 uint32_t ticks)
{
    if (call < CALLS) {
        calls[call].kernel = kernel;
        calls[call].rows = rows;
        calls[call].columns = columns;
        calls[call].ticks += ticks;
    }
    call++;
}

/* columns is 0 where nothing is multiplied with weights. */
#define WRAP(kernel, parameters, arguments, rows, columns)   \
    void __real_##kernel parameters;                         \
    void __wrap_##kernel parameters;                         \
    void __wrap_##kernel parameters                          \
    {                                                        \
        const uint32_t before = SYST_CVR;                    \
        __real_##kernel arguments;                           \
        note(#kernel, rows, columns, ticks_since(before));   \
    }

#define BINARY(kernel, layer_type, type)                                  \
    WRAP(kernel,                                                          \
         (const layer_type *layer, const type *first, const type *second, \
          type *out, int32_t size),                                       \
         (layer, first, second, out, size), size, 0)

#define CURVE_S16(kernel)                                             \
    WRAP(kernel,                                                      \
         (const eb_scale_s16_layer *into,                           \
          const eb_scale_s16_layer *from, const int16_t *in,          \
          int16_t *out, int32_t size),                                \
         (into, from, in, out, size), size, 0)

WRAP(eb_dense_s8,
     (const eb_dense_s8_layer *layer, const int8_t *in, int8_t *out,
      int16_t *scratch),
     (layer, in, out, scratch), layer->rows, layer->columns)
WRAP(eb_dense_s16,
     (const eb_dense_s16_layer *layer, const int16_t *in, int16_t *out,
      int16_t *scratch),
     (layer, in, out, scratch), layer->rows, layer->columns)
WRAP(eb_depthwise_s8,
     (const eb_depthwise_s8_layer *layer, const int8_t *const *in,
      int8_t *out),
     (layer, in, out), layer->size, layer->taps)
WRAP(eb_depthwise_s16,
     (const eb_depthwise_s16_layer *layer, const int16_t *const *in,
      int16_t *out),
     (layer, in, out), layer->size, layer->taps)
BINARY(eb_add_s8, eb_add_s8_layer, int8_t)
BINARY(eb_add_s16, eb_add_s16_layer, int16_t)
BINARY(eb_mul_s8, eb_mul_s8_layer, int8_t)
BINARY(eb_mul_s16, eb_scale_s16_layer, int16_t)
WRAP(eb_cell_s8,
     (const eb_cell_layer *layer, const int8_t *forget,
      const int8_t *input, const int8_t *gate, float *state, int32_t size),
     (layer, forget, input, gate, state, size), size, 0)
WRAP(eb_cell_s16,
     (const eb_cell_layer *layer, const int16_t *forget,
      const int16_t *input, const int16_t *gate, float *state, int32_t size),
     (layer, forget, input, gate, state, size), size, 0)
WRAP(eb_cell_tanh_s8,
     (const float *state, int8_t *out, int32_t size, float scale,
      int32_t zero),
     (state, out, size, scale, zero), size, 0)
WRAP(eb_cell_tanh_s16,
     (const eb_scale_s16_layer *from, const float *state, int16_t *out,
      int32_t size),
     (from, state, out, size), size, 0)
WRAP(eb_table_s8,
     (const int8_t *table, const int8_t *in, int8_t *out, int32_t size),
     (table, in, out, size), size, 0)
WRAP(eb_bent_s16,
     (const eb_bent_s16_layer *layer, const int16_t *in, int16_t *out,
      int32_t size),
     (layer, in, out, size), size, 0)
CURVE_S16(eb_tanh_s16)
CURVE_S16(eb_sigmoid_s16)
WRAP(eb_quantize_s8,
     (const float *in, int8_t *out, int32_t size, float scale, int32_t zero),
     (in, out, size, scale, zero), size, 0)
WRAP(eb_quantize_s16,
     (const float *in, int16_t *out, int32_t size, float scale),
     (in, out, size, scale), size, 0)
WRAP(eb_count_edges_s8,
     (const int32_t *edges, const float *in, int8_t *out, int32_t size,
      int32_t first),
     (edges, in, out, size, first), size, 0)
WRAP(eb_dequantize_s8,
     (const int8_t *in, float *out, int32_t size, float scale, int32_t zero),
     (in, out, size, scale, zero), size, 0)
WRAP(eb_dequantize_s16,
     (const int16_t *in, float *out, int32_t size, float scale),
     (in, out, size, scale), size, 0)

#define FLOAT_ALL(kernel) \
    WRAP(kernel, (float *x, int32_t size), (x, size), size, 0)

#define FLOAT_ONE(kernel)                                   \
    WRAP(kernel, (float *x, int32_t size, float value),     \
         (x, size, value), size, 0)

#define FLOAT_EACH(kernel)                                      \
    WRAP(kernel, (float *x, int32_t size, const float *values), \
         (x, size, values), size, 0)

FLOAT_ALL(eb_log_all)
FLOAT_ALL(eb_sqrt_all)
FLOAT_ALL(eb_square_all)
FLOAT_ONE(eb_add_all)
FLOAT_ONE(eb_mul_all)
FLOAT_ONE(eb_div_all)
FLOAT_EACH(eb_pow_all)
FLOAT_EACH(eb_add_each)
FLOAT_EACH(eb_mul_each)
FLOAT_EACH(eb_div_each)
WRAP(eb_clip_all, (float *x, int32_t size, float low, float high),
     (x, size, low, high), size, 0)
WRAP(eb_bands,
     (const float *in, float *out, int32_t bands, const int16_t *first,
      const int16_t *count, const float *weights),
     (in, out, bands, first, count, weights), bands, 0)

int main(void)
{
    EB_CALL(state) *const state = EB_CALL(init)(&memory, sizeof memory);
    if (state == NULL) {
        return 1;
    }
    /* Not 0, a power of which costs less than others. */
    for (int32_t k = 0; k < EB_BINS; k++) {
        magnitude[k] = 0.001f * (float)(k + 1);
    }
    ticks_start();
    uint64_t ticks = 0;
    for (uint32_t i = 0; i < FRAMES; i++) {
        call = 0;
        const uint32_t before = SYST_CVR;
        EB_CALL(step)(state, magnitude, mask);
        ticks += ticks_since(before);
    }
    if (call > CALLS) {
        fprintf(stderr, "%lu calls a frame: more than %u\n",
                (unsigned long)call, CALLS);
        return 2;
    }
    for (uint32_t i = 0; i < call; i++) {
        printf("%s %ld %ld %lu\n", calls[i].kernel, (long)calls[i].rows,
               (long)calls[i].columns,
               (unsigned long)(calls[i].ticks * TICK / 100u / FRAMES));
    }
    printf("step %d 0 %lu\n", EB_BINS,
           (unsigned long)(ticks * TICK / 100u / FRAMES));
    return 0;
}
