/* noisy.wav to enhanced.wav on a board, by semihosting; prints instructions a
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

#define STEPS 20u

int main(void)
{
    FILE *const noisy = fopen("noisy.wav", "rb");
    FILE *const enhanced = fopen("enhanced.wav", "wb");
    if (noisy == NULL || enhanced == NULL) {
        fprintf(stderr, "noisy.wav or enhanced.wav cannot be opened\n");
        return 2;
    }
    const int64_t total = wav_open(noisy, EB_RATE);
    EB_CALL(state) *const state = EB_CALL(init)(&memory, sizeof memory);
    if (total < 0 || state == NULL ||
        wav_header(enhanced, (uint32_t)total, EB_RATE) != 0) {
        return 1;
    }
    ticks_start();
    uint64_t ticks = 0;
    uint32_t frames = 0;
    int64_t left = total;
    int64_t early = EB_DELAY;
    while (left > 0) {
        (void)wav_read(noisy, in, EB_HOP);
        const uint32_t before = SYST_CVR;
        EB_CALL(process)(state, in, out);
        ticks += ticks_since(before);
        frames++;
        const int64_t skipped = early < EB_HOP ? early : EB_HOP;
        int64_t count = EB_HOP - skipped;
        early -= skipped;
        count = count < left ? count : left;
        left -= count;
        if (fwrite(&out[skipped], 2, (size_t)count, enhanced) !=
            (size_t)count) {
            return 3;
        }
    }
    if (fclose(enhanced) != 0) {
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
           (unsigned long)(ticks * TICK / 100u / frames),
           (unsigned long)(network * TICK / 100u / STEPS),
           (unsigned long)sizeof memory);
    return 0;
}
