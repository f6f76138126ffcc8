/* SPDX-License-Identifier: Apache-2.0
 *
 * A two-dimensional network over patches of frames, computed row by row.
 *
 * A row is all columns (bands) of one frame, each with all its channels. Of
 * every tensor just the rows that somebody still needs are kept, in a ring,
 * so that memory does not grow with the length of a patch. The bits are
 * those of the whole patch computed at once.
 */
#ifndef EB_ROWS_H
#define EB_ROWS_H

#include "eb_kernels.h"

typedef enum {
    EB_ROWS_DENSE,     /* eb_dense_s8_layer over a window of all channels */
    EB_ROWS_DEPTHWISE, /* eb_depthwise_s8_layer over a window */
    EB_ROWS_MAX,       /* the greatest of a window */
    EB_ROWS_ADD,       /* eb_add_s8_layer of two tensors */
    EB_ROWS_TABLE      /* int8_t[256], a function of each element */
} eb_rows_kind;

typedef struct {
    int32_t place;    /* of its ring in `memory` */
    int32_t height;   /* rows of a patch; INT32_MAX: without end */
    int16_t capacity; /* rows that the ring holds */
    int16_t width;    /* columns of a row */
    int16_t channels;
    int16_t zero;     /* what stands beyond the borders */
    int32_t row;      /* elements from one row to the next */
} eb_rows_tensor;

typedef struct {
    eb_rows_kind kind;
    int16_t in;
    int16_t second; /* of EB_ROWS_ADD */
    int16_t out;
    int16_t rows;   /* of the window */
    int16_t columns;
    int16_t row_stride;
    int16_t column_stride;
    int16_t row_pad; /* in front of the first row */
    int16_t column_pad;
    const void *layer;
} eb_rows_node;

typedef struct {
    const eb_rows_tensor *tensors; /* the first is the patch itself */
    const eb_rows_node *nodes;     /* in an order in which they can be run */
    int32_t tensor_count;
    int32_t node_count;
} eb_rows_network;

/* What a caller keeps: rings; `made` counts the rows of each tensor so far;
 * gathered: `window` elements; scratch as of eb_dense_s8. */
typedef struct {
    int8_t *memory;
    int32_t *made;
    int8_t *gathered;
    int16_t *scratch;
} eb_rows_state;

/* Where the next row of the patch goes, width * channels elements. */
int8_t *eb_rows_next(const eb_rows_network *network, eb_rows_state state);

/* The row is there: compute all that it makes possible. A sum over its columns
 * of each row of the last tensor goes into `sums`, a ring of `count` rows of
 * as many int16 as it has channels, times `parts` of its columns that are summed
 * apart, unless that is 0. Returns how many rows it has so far. */
int32_t eb_rows_run(const eb_rows_network *network, eb_rows_state state,
                    int16_t *sums, int32_t count, int32_t parts);

/* Forget the patch. */
void eb_rows_restart(const eb_rows_network *network, eb_rows_state state);

/* out = zero + ratio * (sum - offset), the sums of `count` rows together. */
void eb_mean_s8(const int16_t *sums, int32_t count, int32_t channels,
                int8_t *out, int32_t offset, float ratio, int32_t zero);

#endif
