/* enhance_wav NOISY.wav ENHANCED.wav: as many samples out as in, in step. */
#include "names.h"
#include "wav.h"

#define HOP ((uint32_t)EB_HOP)

static int16_t in[EB_HOP];
static int16_t out[EB_HOP];
static EB_CALL(memory) memory;

int main(int argc, char **argv)
{
    FILE *const noisy = argc == 3 ? fopen(argv[1], "rb") : NULL;
    FILE *const enhanced = noisy != NULL ? fopen(argv[2], "wb") : NULL;
    int failed = 0;
    if (noisy == NULL || enhanced == NULL) {
        fprintf(stderr, "usage: enhance_wav NOISY.wav ENHANCED.wav\n");
        return 2;
    }
    const int64_t total = wav_open(noisy, EB_RATE);
    EB_CALL(state) *const state = EB_CALL(init)(&memory, sizeof memory);
    if (total < 0 || state == NULL ||
        wav_header(enhanced, (uint32_t)total, EB_RATE) != 0) {
        return 1;
    }
    int64_t left = total;
    int64_t early = EB_DELAY;
    while (left > 0 && failed == 0) {
        (void)wav_read(noisy, in, HOP);
        EB_CALL(process)(state, in, out);
        const int64_t skipped = early < (int64_t)HOP ? early : (int64_t)HOP;
        int64_t count = (int64_t)HOP - skipped;
        early -= skipped;
        count = count < left ? count : left;
        left -= count;
        failed = fwrite(&out[skipped], 2, (size_t)count, enhanced) !=
                 (size_t)count;
    }
    failed |= fclose(enhanced) != 0;
    (void)fclose(noisy);
    if (failed != 0) {
        fprintf(stderr, "%s: cannot be written\n", argv[2]);
    }
    return failed;
}
