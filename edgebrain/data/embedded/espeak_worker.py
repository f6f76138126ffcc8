"""Synthesise the lines of one voice with espeak-ng, in a process of its own.

Run as a script by :mod:`edgebrain.data.embedded.speech`, never imported by
it: espeak-ng keeps global state (flutter, phase, noise) from one utterance to
the next, so that only a fresh process makes the same samples again, and a
fault in the C library cannot take the caller down.

Reads a JSON object from stdin: ``library`` (path), ``data`` (path of
espeak-ng-data), ``voice`` and ``lines``, each a text, rate, pitch and range.
Writes a line of JSON ``{"sample_rate": int, "samples": [int, ...]}`` and then
the int16 samples of all lines. Uses the standard library only, to start fast.
"""

import ctypes
import json
import os
import sys

# From speak_lib.h
AUDIO_OUTPUT_SYNCHRONOUS = 2
INITIALIZE_DONT_EXIT = 0x8000
CHARS_UTF8 = 1
POS_CHARACTER = 1
RATE, VOLUME, PITCH, RANGE = 1, 2, 3, 4
# espeak-ng clips inside when loud variants are at full volume (100).
SAFE_VOLUME = 40


def speak(library: str, data: str, voice: str, lines: list):
    """Return the sample rate and the int16 samples of each line."""
    lib = ctypes.CDLL(library)
    # The library cuts its data path at 160 characters, and virtual
    # environments lie deeper than that: work from its folder instead.
    os.chdir(os.path.dirname(data))
    rate = lib.espeak_Initialize(
        AUDIO_OUTPUT_SYNCHRONOUS, 0, b".", INITIALIZE_DONT_EXIT
    )
    if rate <= 0:
        raise OSError(f"espeak-ng found no usable data in {data}")
    # Breathy voices take noise from a generator seeded by the clock.
    lib.espeak_ng_SetRandSeed(ctypes.c_long(1))
    # The library takes an unknown variant for no variant, in silence.
    variant = voice.partition("+")[2]
    known = ["", *os.listdir(os.path.join(data, "voices", "!v"))]
    if variant not in known or lib.espeak_SetVoiceByName(voice.encode()):
        raise OSError(f"espeak-ng has no voice {voice!r}")
    spoken: list[bytearray] = []

    @ctypes.CFUNCTYPE(
        ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p
    )
    def collect(samples, count, events):
        """Take ``count`` int16 samples of the line that is spoken."""
        if samples and count > 0:
            spoken[-1] += ctypes.string_at(samples, 2 * count)
        return 0  # go on

    lib.espeak_SetSynthCallback(collect)
    for text, *settings in lines:
        spoken.append(bytearray())
        values = zip((RATE, PITCH, RANGE), settings, strict=True)
        for parameter, value in [(VOLUME, SAFE_VOLUME), *values]:
            lib.espeak_SetParameter(parameter, value, 0)
        raw = text.encode()
        status = lib.espeak_Synth(
            raw, len(raw) + 1, 0, POS_CHARACTER, 0, CHARS_UTF8, None, None
        )
        if status != 0 or not spoken[-1]:
            raise OSError(f"espeak-ng could not speak {text!r}")
    return rate, spoken


if __name__ == "__main__":
    try:
        sample_rate, clips = speak(**json.load(sys.stdin))
    except (OSError, AttributeError) as error:
        sys.exit(str(error))
    head = {"sample_rate": sample_rate, "samples": [len(c) // 2 for c in clips]}
    sys.stdout.buffer.write(json.dumps(head).encode() + b"\n" + b"".join(clips))
