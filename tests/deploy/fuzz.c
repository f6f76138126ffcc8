/* SPDX-License-Identifier: Apache-2.0
 *
 * Streams of extreme and random samples, two at once, to run under the
 * sanitizers; then both again, which must give the same bits. */
#include "names.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Guards on both sides show what is written outside the memory. */
static struct {
    uint32_t before;
    EB_CALL(memory) memory;
    uint32_t after;
} streams[2];

static uint32_t seed;

static uint32_t draw(void)
{
    seed = seed * 1664525u + 1013904223u;
    return seed >> 8;
}

static int16_t sample(uint32_t kind, uint32_t place)
{
    switch (kind % 7u) {
    case 0u:
        return 0;
    case 1u:
        return INT16_MAX;
    case 2u:
        return INT16_MIN;
    case 3u:
        return (place & 1u) != 0u ? INT16_MAX : INT16_MIN;
    case 4u:
        return (int16_t)((draw() & 1u) != 0u ? INT16_MAX : INT16_MIN);
    case 5u:
        return (int16_t)((int32_t)(draw() % 3u) - 1);
    default:
        return (int16_t)((int32_t)(draw() % 65536u) - 32768);
    }
}

static uint32_t run(uint32_t frames)
{
    static int16_t hop[EB_HOP];
    static int16_t out[EB_HOP];
    uint32_t sum = 0;
    EB_CALL(state) * state[2];
    for (int s = 0; s < 2; s++) {
        streams[s].before = streams[s].after = 0xA5A5A5A5u;
        state[s] = EB_CALL(init)(&streams[s].memory, sizeof streams[s].memory);
        if (state[s] == NULL) {
            return 0;
        }
    }
    for (uint32_t f = 0; f < frames; f++) {
        const uint32_t kind = draw();
        const int s = (int)(draw() & 1u);
        for (uint32_t i = 0; i < EB_HOP; i++) {
            hop[i] = sample(kind, i);
        }
        EB_CALL(process)(state[s], hop, out);
        for (uint32_t i = 0; i < EB_HOP; i++) {
            sum = sum * 31u + (uint16_t)out[i];
        }
        if (draw() % 64u == 0u) {
            EB_CALL(reset)(state[s]);
        }
    }
    for (int s = 0; s < 2; s++) {
        if (streams[s].before != 0xA5A5A5A5u ||
            streams[s].after != 0xA5A5A5A5u) {
            return 0;
        }
    }
    return sum | 1u;
}

int main(int argc, char **argv)
{
    const uint32_t frames = argc > 1 ? (uint32_t)atoi(argv[1]) : 500u;
    const uint32_t first = argc > 2 ? (uint32_t)atoi(argv[2]) : 1u;
    seed = first;
    const uint32_t a = run(frames);
    seed = first;
    const uint32_t b = run(frames);
    printf("%lu frames, checksum %08lx\n", (unsigned long)frames,
           (unsigned long)a);
    return a != 0u && a == b ? 0 : 1;
}
