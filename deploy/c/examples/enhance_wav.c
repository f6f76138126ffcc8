/* SPDX-License-Identifier: Apache-2.0 */
/* enhance_wav NOISY.wav ENHANCED.wav: as many samples out as in, in step. */
#include "names.h"
#include "wav.h"

#include <stdlib.h>

#define HOP ((uint32_t)EB_HOP)

static int16_t in[EB_HOP];
static int16_t out[EB_HOP];
static EB_CALL(memory) memory;

static EB_CALL(state) *state;

static void hop(const int16_t *from, int16_t *to)
{
    EB_CALL(process)(state, from, to);
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: enhance_wav NOISY.wav ENHANCED.wav\n");
        return 2;
    }
    FILE *const noisy = fopen(argv[1], "rb");
    if (noisy == NULL) {
        fprintf(stderr, "%s: cannot be opened\n", argv[1]);
        return 2;
    }
    const int64_t total = wav_open(noisy, EB_RATE);
    if (total < 0) {
        (void)fclose(noisy);
        return 1;
    }
    /* Written aside and renamed at the end: nothing half-done stays, and input
     * and output may be the same file. */
    const size_t length = strlen(argv[2]);
    char *const aside = malloc(length + 6u);
    if (aside == NULL) {
        (void)fclose(noisy);
        return 1;
    }
    memcpy(aside, argv[2], length);
    memcpy(&aside[length], ".part", 6);
    int failed = 1;
    FILE *const enhanced = fopen(aside, "wb");
    state = EB_CALL(init)(&memory, sizeof memory);
    if (enhanced != NULL && state != NULL) {
        int64_t there = -1;
        if (wav_header(enhanced, 0, EB_RATE) == 0) {
            there = wav_stream(noisy, enhanced, total, EB_DELAY, in, out, HOP,
                               hop);
        }
        failed = wav_close(enhanced, there, EB_RATE);
        if (failed == 0 && there < total) {
            fprintf(stderr, "%s: ends after %ld of %ld samples\n", argv[1],
                    (long)there, (long)total);
        }
        failed = failed != 0 || rename(aside, argv[2]) != 0;
    }
    if (failed != 0) {
        (void)remove(aside);
    }
    if (failed != 0) {
        fprintf(stderr, "%s: cannot be written\n", argv[2]);
    }
    free(aside);
    (void)fclose(noisy);
    return failed;
}
