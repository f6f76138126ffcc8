/* SPDX-License-Identifier: Apache-2.0
 *
 * detect_wav SOUND.wav: a line for each time of scores: milliseconds from the
 * start, the class with the highest score, the scores of all classes. Where a
 * threshold was chosen in training, `unknown` stands for a class below it.
 *
 * On a board (EB_BOARD) it reads sound.wav by semihosting, and prints
 * instructions a frame when qemu counts them (-icount shift=0). */
#include <math.h>

#include "names.h"
#include "wav.h"

#if defined(EB_BOARD)
#include "ticks.h"

#define PATCHES 8

static float features[EB_BANDS];
#endif

static int16_t in[EB_HOP];
static float scores[EB_CLASSES];
static EB_CALL(memory) memory;

static void print_scores(uint32_t hops)
{
    int best = 0;
    for (int i = 1; i < EB_CLASSES; i++) {
        best = scores[i] > scores[best] ? i : best;
    }
    float sum = 0.0f;
    for (int i = 0; i < EB_CLASSES; i++) {
        sum += expf(scores[i] - scores[best]);
    }
    printf("%lu %s", (unsigned long)((uint64_t)hops * EB_HOP * 1000u / EB_RATE),
           1.0f / sum < EB_UNKNOWN_BELOW ? "unknown" : EB_CALL(classes)[best]);
    for (int i = 0; i < EB_CLASSES; i++) {
        printf(" %.6g", (double)scores[i]);
    }
    printf("\n");
}

int main(int argc, char **argv)
{
    const char *name = "sound.wav";
#if !defined(EB_BOARD)
    if (argc != 2) {
        fprintf(stderr, "usage: detect_wav SOUND.wav\n");
        return 2;
    }
    name = argv[1];
#else
    (void)argc;
    (void)argv;
    uint64_t ticks = 0;
    uint32_t most = 0;
    ticks_start();
#endif
    FILE *const file = fopen(name, "rb");
    if (file == NULL) {
        fprintf(stderr, "%s: cannot be opened\n", name);
        return 2;
    }
    const int64_t total = wav_open(file, EB_RATE);
    EB_CALL(state) *const state = EB_CALL(init)(&memory, sizeof memory);
    if (total < 0 || state == NULL) {
        return 1;
    }
    uint32_t hops = 0;
    for (int64_t left = total; left >= EB_HOP; left -= EB_HOP) {
        if (wav_read(file, in, EB_HOP) < EB_HOP) {
            break;
        }
#if defined(EB_BOARD)
        const uint32_t before = SYST_CVR;
#endif
        const int ready = EB_CALL(process)(state, in, scores);
#if defined(EB_BOARD)
        const uint32_t taken = ticks_since(before);
        ticks += taken;
        most = taken > most ? taken : most;
#endif
        hops++;
        if (ready != 0) {
            print_scores(hops);
        }
    }
    (void)fclose(file);
#if defined(EB_BOARD)
    /* The network alone, over patches of features that are not 0. */
    uint64_t network = 0;
    for (int i = 0; i < EB_BANDS; i++) {
        features[i] = -8.0f + 0.1f * (float)i;
    }
    for (int i = 0; i < PATCHES * EB_STEP; i++) {
        const uint32_t before = SYST_CVR;
        (void)EB_CALL(step)(state, features, scores);
        network += ticks_since(before);
    }
    network = network * TICK / 100u / (PATCHES * EB_STEP);
    fprintf(stderr,
            "frames %lu instructions %lu network %lu most %lu bytes %lu\n",
            (unsigned long)hops,
            (unsigned long)(hops != 0 ? ticks * TICK / 100u / hops : 0),
            (unsigned long)network,
            (unsigned long)((uint64_t)most * TICK / 100u),
            (unsigned long)sizeof memory);
#endif
    return 0;
}
