/* SPDX-License-Identifier: Apache-2.0
 *
 * enhance_wav NOISY.wav ENHANCED.wav: as many samples out as in, in step.
 *
 * On a board (EB_BOARD) noisy.wav to enhanced.wav by semihosting; prints
 * instructions a frame when qemu counts them (-icount shift=0). */
#include "names.h"
#include "wav.h"

#include <stdlib.h>

static int16_t in[EB_HOP];
static int16_t out[EB_HOP];
static EB_CALL(memory) memory;
static EB_CALL(state) *state;

#if defined(EB_BOARD)
#include "ticks.h"

#define STEPS 20u

static float magnitude[EB_BINS];
static float mask[EB_BINS];
static uint64_t ticks;
static uint32_t frames;
#endif

static void hop(const int16_t *from, int16_t *to)
{
#if defined(EB_BOARD)
    const uint32_t before = SYST_CVR;
#endif
    EB_CALL(process)(state, from, to);
#if defined(EB_BOARD)
    ticks += ticks_since(before);
    frames++;
#endif
}

/* Returns 0 when all that was read was written, too. */
static int enhance(const char *noisy, const char *enhanced)
{
    FILE *const from = fopen(noisy, "rb");
    if (from == NULL) {
        fprintf(stderr, "%s: cannot be opened\n", noisy);
        return 1;
    }
    const int64_t total = wav_open(from, EB_RATE);
    state = EB_CALL(init)(&memory, sizeof memory);
    int failed = 1;
    if (total >= 0 && state != NULL) {
        int64_t there = -1;
        FILE *const to = fopen(enhanced, "wb");
        if (to != NULL) {
            if (wav_header(to, 0, EB_RATE) == 0) {
                there = wav_stream(from, to, total, EB_DELAY, in, out, EB_HOP,
                                   hop);
            }
            failed = wav_close(to, there, EB_RATE);
        }
        if (failed != 0) {
            fprintf(stderr, "%s: cannot be written\n", enhanced);
        } else if (there < total) {
            fprintf(stderr, "%s: ends after %ld of %ld samples\n", noisy,
                    (long)there, (long)total);
        }
    }
    (void)fclose(from);
    return failed;
}

#if defined(EB_BOARD)
int main(void)
{
    ticks_start();
    const int failed = enhance("noisy.wav", "enhanced.wav");
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
    return failed;
}
#else
int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: enhance_wav NOISY.wav ENHANCED.wav\n");
        return 2;
    }
    /* Written aside and renamed at the end: nothing half-done stays, and input
     * and output may be the same file. */
    const size_t length = strlen(argv[2]);
    char *const aside = malloc(length + 6u);
    if (aside == NULL) {
        return 1;
    }
    memcpy(aside, argv[2], length);
    memcpy(&aside[length], ".part", 6);
    const int failed =
        enhance(argv[1], aside) != 0 || rename(aside, argv[2]) != 0;
    if (failed != 0) {
        (void)remove(aside);
    }
    free(aside);
    return failed;
}
#endif
