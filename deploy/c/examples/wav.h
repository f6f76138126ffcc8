/* SPDX-License-Identifier: Apache-2.0 */
/* Mono wav files of 16 bits, read and written a hop at a time. */
#ifndef EB_WAV_H
#define EB_WAV_H

#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* Chunks in front of the samples are not larger in a wav file. */
#define WAV_MOST 0x10000000u

static inline uint32_t wav_number(const uint8_t *bytes, int count)
{
    uint32_t value = 0;
    for (int i = count - 1; i >= 0; i--) {
        value = (value << 8) | bytes[i];
    }
    return value;
}

/* Go to the samples; returns their number as the header has it (a stream's may
 * say more than there are), or -1 with a message. */
static inline int64_t wav_open(FILE *file, uint32_t sample_rate)
{
    uint8_t head[16];
    int known = 0;
    if (fread(head, 1, 12, file) != 12 || memcmp(head, "RIFF", 4) != 0 ||
        memcmp(&head[8], "WAVE", 4) != 0) {
        fprintf(stderr, "not a wav file\n");
        return -1;
    }
    while (fread(head, 1, 8, file) == 8) {
        const uint32_t size = wav_number(&head[4], 4);
        if (memcmp(head, "data", 4) == 0 && known != 0) {
            return (int64_t)(size / 2u);
        }
        uint32_t skipped = size + (size & 1u);
        if (size > WAV_MOST) {
            break;
        }
        if (memcmp(head, "fmt ", 4) == 0 && size >= 16u) {
            uint8_t format[16];
            if (fread(format, 1, 16, file) != 16) {
                break;
            }
            skipped -= 16u;
            known = 1;
            if (wav_number(&format[2], 2) != 1u ||
                wav_number(&format[14], 2) != 16u ||
                wav_number(&format[4], 4) != sample_rate) {
                fprintf(stderr, "not mono, 16 bits, %lu Hz\n",
                        (unsigned long)sample_rate);
                return -1;
            }
        }
        if (fseek(file, (long)skipped, SEEK_CUR) != 0) {
            break;
        }
    }
    fprintf(stderr, "no samples in it\n");
    return -1;
}

static inline void wav_put(uint8_t *to, uint32_t value, int count)
{
    for (int i = 0; i < count; i++) {
        to[i] = (uint8_t)(value >> (8 * i));
    }
}

static inline int wav_header(FILE *file, uint32_t samples, uint32_t sample_rate)
{
    uint8_t head[44];
    memcpy(head, "RIFF....WAVEfmt ", 16);
    wav_put(&head[4], 36u + 2u * samples, 4);
    wav_put(&head[16], 16u, 4);
    wav_put(&head[20], 1u, 2);
    wav_put(&head[22], 1u, 2);
    wav_put(&head[24], sample_rate, 4);
    wav_put(&head[28], 2u * sample_rate, 4);
    wav_put(&head[32], 2u, 2);
    wav_put(&head[34], 16u, 2);
    memcpy(&head[36], "data", 4);
    wav_put(&head[40], 2u * samples, 4);
    return fwrite(head, 1, 44, file) == 44 ? 0 : -1;
}

/* Samples are little-endian, as all processors here are. Fills up with zeros
 * after the end; returns how many were there. */
static inline uint32_t wav_read(FILE *file, int16_t *samples, uint32_t count)
{
    const size_t got = fread(samples, 2, count, file);
    memset(&samples[got], 0, (count - got) * 2u);
    return (uint32_t)got;
}

/* Lead a file through `hop` into another, from sample to sample: the first
 * `delay` that come out are left out, and zeros follow the end. At most `total`
 * samples are read; returns how many there were, or -1 when they cannot be
 * written. */
static inline int64_t wav_stream(FILE *from, FILE *to, int64_t total, int64_t delay,
                          int16_t *in, int16_t *out, uint32_t size,
                          void (*hop)(const int16_t *in, int16_t *out))
{
    int64_t there = 0;
    int64_t written = 0;
    int64_t early = delay;
    int ended = total == 0;
    while (ended == 0 || written < there) {
        uint32_t got = 0;
        if (ended == 0) {
            const int64_t left = total - there;
            got = left < (int64_t)size ? (uint32_t)left : size;
            const uint32_t wanted = got;
            got = wav_read(from, in, wanted);
            there += got;
            ended = got < wanted || there == total;
        }
        memset(&in[got], 0, (size - got) * 2u);
        hop(in, out);
        const int64_t skipped = early < (int64_t)size ? early : (int64_t)size;
        early -= skipped;
        int64_t count = (int64_t)size - skipped;
        count = count < there - written ? count : there - written;
        if (fwrite(&out[skipped], 2, (size_t)count, to) != (size_t)count) {
            return -1;
        }
        written += count;
    }
    return there;
}

/* Write the header with the number of samples, once that is known. */
static inline int wav_close(FILE *file, int64_t samples, uint32_t sample_rate)
{
    int failed = samples < 0 || fseek(file, 0, SEEK_SET) != 0 ||
                 wav_header(file, (uint32_t)samples, sample_rate) != 0;
    failed |= fclose(file) != 0;
    return failed;
}

#endif
