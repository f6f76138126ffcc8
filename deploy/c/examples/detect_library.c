/* SPDX-License-Identifier: Apache-2.0
 *
 * The same names for every detector, for callers of the shared library. */
#include "names.h"

uint32_t eb_size(void);
void *eb_init(void *memory, uint32_t bytes);
uint32_t eb_detect_hops(void *state, const int16_t *in, float *scores,
                        uint32_t *times, uint32_t hops);
int eb_step(void *state, const float *features, float *scores);
void eb_reset(void *state);
const char *eb_describe(void);

uint32_t eb_size(void)
{
    return EB_CALL(size)();
}

void *eb_init(void *memory, uint32_t bytes)
{
    return EB_CALL(init)(memory, bytes);
}

/* Returns how often there were scores; they follow each other in `scores`, and
 * the number of the hop that gave them, from 0, in `times`. */
uint32_t eb_detect_hops(void *state, const int16_t *in, float *scores,
                        uint32_t *times, uint32_t hops)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < hops; i++) {
        if (EB_CALL(process)((EB_CALL(state) *)state, &in[i * EB_HOP],
                             &scores[count * EB_CLASSES]) != 0) {
            times[count] = i;
            count++;
        }
    }
    return count;
}

int eb_step(void *state, const float *features, float *scores)
{
    return EB_CALL(step)((EB_CALL(state) *)state, features, scores);
}

void eb_reset(void *state)
{
    EB_CALL(reset)((EB_CALL(state) *)state);
}

const char *eb_describe(void)
{
    return EB_CALL(describe)();
}
