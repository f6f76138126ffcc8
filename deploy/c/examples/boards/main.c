/* SPDX-License-Identifier: Apache-2.0
 *
 * noisy.wav to enhanced.wav on a board, by semihosting; prints instructions a
 * frame when qemu counts them (-icount shift=0). */
#include "names.h"
#include "ticks.h"
#include "wav.h"

#include <stdlib.h>

static int16_t in[EB_HOP];
static int16_t out[EB_HOP];
static float magnitude[EB_BINS];
static float mask[EB_BINS];
static EB_CALL(memory) memory;
static EB_CALL(state) *state;
static uint64_t ticks;
static uint32_t frames;

#define STEPS 20u

static void hop(const int16_t *from, int16_t *to)
{
    const uint32_t before = SYST_CVR;
    EB_CALL(process)(state, from, to);
    ticks += ticks_since(before);
    frames++;
}

int main(void)
{
    FILE *const noisy = fopen("noisy.wav", "rb");
    if (noisy == NULL) {
        fprintf(stderr, "noisy.wav cannot be opened\n");
        return 2;
    }
    const int64_t total = wav_open(noisy, EB_RATE);
    state = EB_CALL(init)(&memory, sizeof memory);
    if (total < 0 || state == NULL) {
        return 1;
    }
    FILE *const enhanced = fopen("enhanced.wav", "wb");
    if (enhanced == NULL || wav_header(enhanced, 0, EB_RATE) != 0) {
        fprintf(stderr, "enhanced.wav cannot be written\n");
        return 2;
    }
    ticks_start();
    const int64_t there =
        wav_stream(noisy, enhanced, total, EB_DELAY, in, out, EB_HOP, hop);
    if (wav_close(enhanced, there, EB_RATE) != 0) {
        return 3;
    }
    /* The network alone, on a spectrum that is not 0: a power of 0 costs
     * less than others. */
    for (int32_t k = 0; k < EB_BINS; k++) {
        magnitude[k] = 0.001f * (float)(k + 1);
    }
    uint64_t network = 0;
    for (uint32_t i = 0; i < STEPS; i++) {
        const uint32_t before = SYST_CVR;
        EB_CALL(step)(state, magnitude, mask);
        network += ticks_since(before);
    }
    printf("frames %lu instructions %lu network %lu bytes %lu\n",
           (unsigned long)frames,
           (unsigned long)(frames != 0 ? ticks * TICK / 100u / frames : 0),
           (unsigned long)(network * TICK / 100u / STEPS),
           (unsigned long)sizeof memory);
    return 0;
}
