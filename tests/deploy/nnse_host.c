/* Unpacks the tables of net_se and runs frames through them, written from
 * the description of the layout and of the arithmetic alone.
 *
 * `weights` prints every weight and bias, a line a row; `run N` takes frames
 * of N features from standard input and prints what the last layer gives. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "def_nn3_se.h"

#define MOST 480

static int64_t clip(int64_t x, int64_t low, int64_t high)
{
    return x < low ? low : x > high ? high : x;
}

static int32_t tanh_q15(int64_t x)
{
    int64_t a = x < 0 ? -x : x, k, d, y;
    double centre;
    if (a >= 5 * 32768) {
        return x < 0 ? -0x7FFF : 0x7FFF;
    }
    k = (a - 512) >> 10;
    if (k < 0) {
        k = 0;
    }
    d = a - 512 - k * 1024;
    centre = 1.0 / 64 + (double)k / 32;
    y = (int64_t)floor(32768 * tanh(centre));
    y += (d * (int64_t)floor(32768 * (1 - tanh(centre) * tanh(centre)))) >> 15;
    return (int32_t)(x < 0 ? -y : y);
}

static int32_t sigmoid_q15(int64_t x)
{
    return (tanh_q15(x >> 1) >> 1) + 16384;
}

static int32_t activate(ACTIVATION_TYPE kind, int64_t x)
{
    switch (kind) {
    case ftanh:
        return tanh_q15(x);
    case sigmoid:
        return sigmoid_q15(x);
    case relu6:
        return (int32_t)clip(x >> 3, 0, 24576);
    default:
        return (int32_t)x;
    }
}

/* The runtime's kernels are named by the tables; here they only stand for
 * themselves, so that the addresses can be compared. */
void *tanh_fix(void *y, int32_t *x, int n) { (void)x; (void)n; return y; }
void *sigmoid_fix(void *y, int32_t *x, int n) { (void)x; (void)n; return y; }
void *relu6_fix(void *y, int32_t *x, int n) { (void)x; (void)n; return y; }
void *linear_fix(void *y, int32_t *x, int n) { (void)x; (void)n; return y; }
int *fc_8x16() { return 0; }
int *lstm_8x16() { return 0; }

/* Row r of a block of k rows, column c of `columns`. */
static int in_block(int k, int columns, int r, int c)
{
    int paired = columns / 2 * 2;
    if (c >= paired) {
        return paired * k + r;
    }
    if (r / 2 * 2 + 1 < k) {
        return c / 2 * 2 * k + r / 2 * 4 + c % 2 * 2 + r % 2;
    }
    return c / 2 * 2 * k + r / 2 * 4 + c % 2;
}

static int rows_of_block(int rows, int r)
{
    return rows - r / 4 * 4 < 4 ? rows - r / 4 * 4 : 4;
}

static int dense(const int8_t *p, int rows, int columns, int r, int c)
{
    int k = rows_of_block(rows, r);
    return p[r / 4 * 4 * columns + in_block(k, columns, r % 4, c)];
}

static int gated(const int8_t *p, int gate, int rows, int columns, int r, int c)
{
    int k = rows_of_block(rows, r);
    int start = r / 4 * 16 * columns + gate * k * columns;
    return p[start + in_block(k, columns, r % 4, c)];
}

static int gate_bias(const int16_t *p, int gate, int rows, int r)
{
    int k = rows_of_block(rows, r);
    return p[r / 4 * 16 + gate * k + r % 4];
}

static void print_weights(void)
{
    for (int n = 0; n < net_se.numlayers; n++) {
        int in = net_se.size_layer[n], out = net_se.size_layer[n + 1];
        int is_lstm = net_se.net_layer_type[n] == lstm;
        for (int gate = 0; gate < (is_lstm ? 4 : 1); gate++) {
            for (int r = 0; r < out; r++) {
                for (int c = 0; c < in; c++) {
                    const int8_t *p = net_se.pt_kernel[n];
                    printf("%d ", is_lstm ? gated(p, gate, out, in, r, c)
                                          : dense(p, out, in, r, c));
                }
                for (int c = 0; is_lstm && c < out; c++) {
                    printf("%d ", gated(net_se.pt_kernel_rec[n], gate, out,
                                        out, r, c));
                }
                printf("%d\n", is_lstm
                                   ? gate_bias(net_se.pt_bias[n], gate, out, r)
                                   : net_se.pt_bias[n][r]);
            }
        }
    }
}

static void fully(int n, const int32_t *x, int32_t *y)
{
    int in = net_se.size_layer[n], out = net_se.size_layer[n + 1];
    int q = net_se.qbit_kernel[n] + net_se.qbit_input[n];
    int common = q > 15 ? q : 15;
    for (int r = 0; r < out; r++) {
        int64_t sum = 0;
        for (int c = 0; c < in; c++) {
            sum += (int64_t)dense(net_se.pt_kernel[n], out, in, r, c) * x[c];
        }
        sum *= (int64_t)1 << (common - q);
        sum += net_se.pt_bias[n][r]
               * ((int64_t)1 << (common - net_se.qbit_bias[n]));
        sum = clip(sum >> (common - 15), INT32_MIN, INT32_MAX);
        y[r] = activate(net_se.activation_type[n], sum);
    }
}

static void recurrent(int n, const int32_t *x, int32_t *y)
{
    int in = net_se.size_layer[n], out = net_se.size_layer[n + 1];
    int q = net_se.qbit_kernel[n] + 15;
    int16_t *h = net_se.pt_hstate[n], next[MOST];
    for (int r = 0; r < out; r++) {
        int64_t g[4], c;
        for (int gate = 0; gate < 4; gate++) {
            int64_t sum = 0;
            for (int k = 0; k < in; k++) {
                sum += (int64_t)gated(net_se.pt_kernel[n], gate, out, in, r, k)
                       * x[k];
            }
            sum *= (int64_t)1 << (15 - net_se.qbit_input[n]);
            for (int k = 0; k < out; k++) {
                sum += (int64_t)gated(net_se.pt_kernel_rec[n], gate, out, out,
                                      r, k)
                       * h[k];
            }
            sum += gate_bias(net_se.pt_bias[n], gate, out, r)
                   * ((int64_t)1 << (q - net_se.qbit_bias[n]));
            sum = clip(sum >> (q - 15), INT32_MIN, INT32_MAX);
            g[gate] = gate == 1 ? tanh_q15(sum) : sigmoid_q15(sum);
        }
        c = (g[0] * g[1] + g[2] * net_se.pt_cstate[n][r]) >> 15;
        c = clip(c, INT32_MIN, INT32_MAX);
        net_se.pt_cstate[n][r] = (int32_t)c;
        next[r] = (int16_t)clip((tanh_q15(c) * g[3]) >> 15, -32768, 32767);
    }
    for (int r = 0; r < out; r++) {
        h[r] = next[r];
        y[r] = next[r];
    }
}

static void run(int features)
{
    int32_t x[MOST] = {0}, a[MOST], b[MOST], in = net_se.size_layer[0];
    int value;
    for (;;) {
        memmove(x, x + features, sizeof x[0] * (size_t)(in - features));
        for (int f = 0; f < features; f++) {
            if (scanf("%d", &value) != 1) {
                return;
            }
            x[in - features + f] = value;
        }
        memcpy(a, x, sizeof a);
        for (int n = 0; n < net_se.numlayers; n++) {
            if (net_se.layer_func[n] == &lstm_8x16) {
                recurrent(n, a, b);
            } else {
                fully(n, a, b);
            }
            memcpy(a, b, sizeof a);
        }
        for (int r = 0; r < net_se.size_layer[net_se.numlayers]; r++) {
            printf("%d ", a[r]);
        }
        printf("\n");
    }
}

int main(int count, char **words)
{
    if (count > 2) {
        run(atoi(words[2]));
    } else {
        print_weights();
    }
    return params_nn3_se.pre_gain_q1 == 2 ? 0 : 1;
}
