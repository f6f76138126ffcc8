/* SPDX-License-Identifier: Apache-2.0 */
/* The same names for every model, for callers of the shared library. */
#include "names.h"

uint32_t eb_size(void);
void *eb_init(void *memory, uint32_t bytes);
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

void eb_reset(void *state)
{
    EB_CALL(reset)((EB_CALL(state) *)state);
}

const char *eb_describe(void)
{
    return EB_CALL(describe)();
}

#if defined(EB_CLASSES)
uint32_t eb_detect_hops(void *state, const int16_t *in, float *scores,
                        uint32_t *times, uint32_t hops);
int eb_step(void *state, const float *features, float *scores);

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
#else
void eb_process(void *state, const int16_t *in, int16_t *out);
void eb_process_hops(void *state, const int16_t *in, int16_t *out,
                     uint32_t hops, uint32_t hop);
void eb_limit_attenuation(void *state, float floor);
void eb_step(void *state, const float *magnitude, float *mask);

void eb_process(void *state, const int16_t *in, int16_t *out)
{
    EB_CALL(process)((EB_CALL(state) *)state, in, out);
}

void eb_process_hops(void *state, const int16_t *in, int16_t *out,
                     uint32_t hops, uint32_t hop)
{
    for (uint32_t i = 0; i < hops; i++) {
        eb_process(state, in + i * hop, out + i * hop);
    }
}

void eb_limit_attenuation(void *state, float floor)
{
    EB_CALL(limit_attenuation)((EB_CALL(state) *)state, floor);
}

void eb_step(void *state, const float *magnitude, float *mask)
{
    EB_CALL(step)((EB_CALL(state) *)state, magnitude, mask);
}
#endif
