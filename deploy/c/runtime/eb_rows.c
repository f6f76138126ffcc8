/* SPDX-License-Identifier: Apache-2.0
 *
 * Networks over patches, row by row, see eb_rows.h. */
#include "eb_rows.h"

#include "eb_arith.h"

/* A window is 9 x 9 at most. */
#define EB_ROWS_MOST 9

static int8_t *eb_rows_at(const eb_rows_tensor *tensor, int8_t *memory,
                          int32_t row)
{
    return &memory[tensor->place + (row % tensor->capacity) * tensor->row];
}

int8_t *eb_rows_next(const eb_rows_network *network, eb_rows_state state)
{
    return eb_rows_at(&network->tensors[0], state.memory, state.made[0]);
}

void eb_rows_restart(const eb_rows_network *network, eb_rows_state state)
{
    memset(state.made, 0,
           (uint32_t)network->tensor_count * sizeof state.made[0]);
}

/* Whether the rows that the next row of a node needs are there. */
static int eb_rows_ready(const eb_rows_network *network,
                         const eb_rows_node *node, const int32_t *made)
{
    const eb_rows_tensor *const in = &network->tensors[node->in];
    const int32_t row = made[node->out];
    int32_t last = row * node->row_stride - node->row_pad + node->rows - 1;
    if (last >= in->height) {
        last = in->height - 1;
    }
    return row < network->tensors[node->out].height && made[node->in] > last &&
           (node->kind != EB_ROWS_ADD || made[node->second] > row);
}

/* Copy the window of an output column; what lies beyond is `zero`. */
static void eb_rows_gather(const eb_rows_node *node, const eb_rows_tensor *in,
                           const int8_t *const *rows, int32_t first,
                           int8_t *window)
{
    const uint32_t channels = (uint32_t)in->channels;
    for (int32_t r = 0; r < node->rows; r++) {
        for (int32_t k = 0; k < node->columns; k++) {
            const int32_t column = first + k;
            if (rows[r] == 0 || column < 0 || column >= in->width) {
                memset(window, in->zero, channels);
            } else {
                memcpy(window, &rows[r][column * in->channels], channels);
            }
            window += channels;
        }
    }
}

static void eb_rows_dense(const eb_rows_node *node, const eb_rows_tensor *in,
                          const eb_rows_tensor *out, const int8_t *const *rows,
                          eb_rows_state state, int8_t *to)
{
    const eb_dense_s8_layer *const layer = node->layer;
    int32_t first = -node->column_pad;
    for (int32_t column = 0; column < out->width; column++) {
        const int8_t *window = state.gathered;
        if (node->rows == 1 && node->columns == 1 && rows[0] != 0) {
            window = &rows[0][first * in->channels];
        } else {
            eb_rows_gather(node, in, rows, first, state.gathered);
        }
        eb_dense_s8(layer, window, to, state.scratch);
        to += out->channels;
        first += node->column_stride;
    }
}

static void eb_rows_depthwise(const eb_rows_node *node,
                              const eb_rows_tensor *in,
                              const eb_rows_tensor *out,
                              const int8_t *const *rows, eb_rows_state state,
                              int8_t *to)
{
    const int8_t *window[EB_ROWS_MOST * EB_ROWS_MOST];
    const uint32_t channels = (uint32_t)in->channels;
    int32_t first = -node->column_pad;
    memset(state.gathered, in->zero, channels);
    for (int32_t column = 0; column < out->width; column++) {
        int32_t tap = 0;
        for (int32_t r = 0; r < node->rows; r++) {
            for (int32_t k = 0; k < node->columns; k++) {
                const int32_t at = first + k;
                const int inside = rows[r] != 0 && at >= 0 && at < in->width;
                window[tap] =
                    inside ? &rows[r][at * in->channels] : state.gathered;
                tap++;
            }
        }
        eb_depthwise_s8(node->layer, window, to);
        to += out->channels;
        first += node->column_stride;
    }
}

static void eb_rows_max(const eb_rows_node *node, const eb_rows_tensor *in,
                        const eb_rows_tensor *out, const int8_t *const *rows,
                        int8_t *to)
{
    const int32_t channels = in->channels;
    int32_t first = -node->column_pad;
    for (int32_t column = 0; column < out->width; column++) {
        for (int32_t c = 0; c < channels; c++) {
            to[c] = -128;
        }
        for (int32_t r = 0; r < node->rows; r++) {
            for (int32_t k = 0; k < node->columns; k++) {
                const int32_t at = first + k;
                if (rows[r] == 0 || at < 0 || at >= in->width) {
                    continue;
                }
                const int8_t *const from = &rows[r][at * channels];
                for (int32_t c = 0; c < channels; c++) {
                    to[c] = from[c] > to[c] ? from[c] : to[c];
                }
            }
        }
        to += channels;
        first += node->column_stride;
    }
}

static void eb_rows_make(const eb_rows_network *network,
                         const eb_rows_node *node, eb_rows_state state)
{
    const eb_rows_tensor *const in = &network->tensors[node->in];
    const eb_rows_tensor *const out = &network->tensors[node->out];
    const int32_t row = state.made[node->out];
    const int32_t start = row * node->row_stride - node->row_pad;
    int8_t *const to = eb_rows_at(out, state.memory, row);
    const int8_t *rows[EB_ROWS_MOST];
    for (int32_t r = 0; r < node->rows; r++) {
        const int32_t at = start + r;
        const int inside = at >= 0 && at < in->height;
        rows[r] = inside ? eb_rows_at(in, state.memory, at) : 0;
    }
    switch (node->kind) {
    case EB_ROWS_DENSE:
        eb_rows_dense(node, in, out, rows, state, to);
        break;
    case EB_ROWS_DEPTHWISE:
        eb_rows_depthwise(node, in, out, rows, state, to);
        break;
    case EB_ROWS_MAX:
        eb_rows_max(node, in, out, rows, to);
        break;
    case EB_ROWS_ADD:
        eb_add_s8(node->layer, rows[0],
                  eb_rows_at(&network->tensors[node->second], state.memory,
                             row),
                  to,
                  out->width * out->channels);
        break;
    default:
        eb_table_s8(node->layer, rows[0], to, out->width * out->channels);
        break;
    }
    state.made[node->out]++;
}

static void eb_rows_sum(const int8_t *row, const eb_rows_tensor *tensor,
                        int16_t *sums, int32_t parts)
{
    const int32_t channels = tensor->channels;
    const int32_t columns = tensor->width / parts;
    memset(sums, 0, (uint32_t)(channels * parts) * sizeof sums[0]);
    for (int32_t column = 0; column < tensor->width; column++) {
        int16_t *const to = &sums[column / columns];
        for (int32_t c = 0; c < channels; c++) {
            to[c * parts] = (int16_t)(to[c * parts] + row[c]);
        }
        row += channels;
    }
}

int32_t eb_rows_run(const eb_rows_network *network, eb_rows_state state,
                    int16_t *sums, int32_t count, int32_t parts)
{
    const int32_t end = network->tensor_count - 1;
    const eb_rows_tensor *const last = &network->tensors[end];
    int32_t n = network->node_count - 1;
    state.made[0]++;
    /* The last node that can is always first: so rows are used up soonest, and
     * rings are smallest. */
    while (n >= 0) {
        const eb_rows_node *const node = &network->nodes[n];
        const int32_t row = state.made[node->out];
        if (!eb_rows_ready(network, node, state.made)) {
            n--;
            continue;
        }
        eb_rows_make(network, node, state);
        if (node->out == end && sums != 0) {
            eb_rows_sum(eb_rows_at(last, state.memory, row), last,
                        &sums[(row % count) * last->channels * parts], parts);
        }
        n = network->node_count - 1;
    }
    return state.made[end];
}

void eb_mean_s8(const int16_t *sums, int32_t count, int32_t channels,
                int8_t *out, int32_t offset, float ratio, int32_t zero)
{
    for (int32_t c = 0; c < channels; c++) {
        int32_t sum = -offset;
        for (int32_t row = 0; row < count; row++) {
            sum += sums[row * channels + c];
        }
        out[c] = eb_requantize(sum, ratio, zero);
    }
}
