"""The transforms on emulated boards and in vectors: the bits of plain loops."""

import shutil

from c_models import build
from kernel_checks import run
import numpy as np
import pytest
from test_c_stft import FLAGS, RUNTIME, SIZES, SOURCES, Transform

from deploy.c.generator.c_text import float_text, lines

BOARD_MAIN = """
#include "eb_stft.h"

#include <stdio.h>
#include <string.h>

@TABLES@

static const eb_stft all[] = {
@SETTINGS@
};
#define COUNT (sizeof all / sizeof all[0])
#define LARGEST 2048

static int16_t history[LARGEST];
static int16_t in[LARGEST];
static int16_t out[LARGEST];
static float spectrum[LARGEST + 2];
static float other[LARGEST + 2];
static float overlap[LARGEST];
static uint32_t hash;
static uint32_t noise = 1u;

static uint32_t next(void)
{
    noise = noise * 1664525u + 1013904223u;
    return noise >> 8;
}

static void add(uint32_t word)
{
    hash = (hash ^ word) * 16777619u;
}

static void add_floats(const float *values, int32_t count)
{
    for (int32_t i = 0; i < count; i++) {
        /* A zero has no sign. */
        const float value = values[i] + 0.0f;
        uint32_t bits;
        memcpy(&bits, &value, sizeof bits);
        add(bits);
    }
}

int main(void)
{
    for (uint32_t number = 0; number < COUNT; number++) {
        const eb_stft *const s = &all[number];
        const int32_t bins = s->n_fft / 2 + 1;
        float *const mask = &other[bins];
        memset(history, 0, sizeof history);
        memset(overlap, 0, sizeof overlap);
        for (int32_t frame = 0; frame < 12; frame++) {
            /* Quieter and quieter, then an impulse in silence. */
            for (int32_t i = 0; i < s->hop_length; i++) {
                const int32_t wide = (int32_t)(next() & 0xFFFFu) - 32768;
                in[i] = (int16_t)(wide / (1 << (frame < 8 ? 2 * frame : 16)));
            }
            in[0] = frame == 10 ? 1 : in[0];
            eb_take_hop(s, history, in);
            /* Not to be looked at. */
            for (int32_t i = (s->win_length + 1) & ~1; i < LARGEST; i++) {
                history[i] = 12345;
            }
            eb_analyse(s, history, spectrum, other);
            add_floats(spectrum, 2 * bins);
            add_floats(other, bins);
            for (int32_t i = 0; i < bins; i++) {
                mask[i] = (float)(next() & 255u) / 128.0f;
            }
            eb_synthesise(s, spectrum, mask, other, overlap, out);
            for (int32_t i = 0; i < s->hop_length; i++) {
                add((uint32_t)out[i]);
            }
        }
        printf("%lx\\n", (unsigned long)hash);
    }
    static const float ties[] = {0.5f, 1.5f, 2.5f, -0.5f, -1.5f, -2.5f,
                                 32766.5f, 32767.5f, 1e9f, 1e12f,
                                 -32767.5f, -32768.5f, -1e9f, -1e12f};
    for (uint32_t i = 0; i < sizeof ties / sizeof ties[0]; i++) {
        for (int32_t k = 0; k < 16; k++) {
            other[9 + k % 9] = 1.0f;
            overlap[k] = 0.0f;
            spectrum[k + 2] = 0.0f;
        }
        spectrum[0] = ties[i];
        eb_synthesise(&all[0], spectrum, &other[9], other, overlap, out);
        printf("%d %d\\n", out[0], out[5]);
    }
    return 0;
}
"""


def board_main():
    """Return a program that prints what all transforms come to."""
    names, settings = [], []
    for number, sizes in enumerate([(16, 16, 6), *SIZES]):
        t = Transform(None, *sizes).tables
        if number == 0:
            # Samples are then the values in the spectrum.
            t.window[:] = np.resize([1, -1], 16)
            t.gain[:] = 1
        here = []
        for name in ("twiddle", "window", "gain", "turns"):
            values = [float_text(v) for v in getattr(t, name).ravel()] or ["0"]
            here.append(f"{name}_{number}")
            names.append(
                f"static const float {here[-1]}[] = {{\n{lines(values)}\n}};"
            )
        radix = ", ".join(map(str, t.radices)) or "0"
        settings.append(
            f"    {{{', '.join(map(str, sizes))}, {{{sizes[0] // 2}, "
            f"{len(t.radices)}, {{{radix}}}, {here[0]}}}, "
            f"{', '.join(here[1:])}}},"
        )
    text = BOARD_MAIN.replace("@TABLES@", "\n".join(names))
    return text.replace("@SETTINGS@", "\n".join(settings))


def on_this_computer(folder, main, sources, define):
    checked = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    words = ["cc", "-O1", *checked, define, *FLAGS, "-I", RUNTIME]
    run([*words, "-o", folder / "host", main, *sources, "-lm"])
    return run([folder / "host"])


BOARD_TOOLS = ("cc", "make", "arm-none-eabi-gcc", "qemu-system-arm")


@pytest.mark.skipif(
    not all(map(shutil.which, BOARD_TOOLS)),
    reason="no cross compiler or emulator",
)
def test_boards_give_the_bits_of_this_computer(generated, tmp_path):
    """All sizes, with and without Helium, ties and saturation too."""
    _, made = generated("tcnn", "int8")
    main = tmp_path / "main.c"
    main.write_text(board_main())
    sources = [RUNTIME / f"{name}.c" for name in SOURCES]
    want, vectors = (
        on_this_computer(tmp_path, main, sources, define)
        for define in ("-DEB_SCALAR", "-UEB_SCALAR")
    )
    assert vectors == want
    rounded = [0, 2, 2, 0, -2, -2, 32766, 32767, 32767, 32767]
    rounded += [-32768, -32768, -32768, -32768]
    assert [tuple(map(int, t.split())) for t in want.splitlines()[-14:]] == [
        (value, value) for value in rounded
    ]
    for flags in ("", " -DEB_SCALAR"):
        folder = tmp_path / f"boards{flags.strip()}"
        shutil.copytree(made, folder)
        shutil.copy(main, folder / "examples" / "enhance_wav.c")
        build(folder, f"CFLAGS=-O2 -Werror{flags}", "boards")
        for board in ("m4", "m33", "m55"):
            got = run(["make", "-s", f"run-{board}"], folder)
            assert got == want, (board, flags)
