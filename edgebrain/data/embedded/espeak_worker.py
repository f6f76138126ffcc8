"""Synthesise the lines of one voice with espeak-ng, in a process of its own.

Run as a script by :mod:`edgebrain.data.embedded.speech`, never imported by
it: espeak-ng keeps global state (flutter, phase, noise) from one
utterance to the next, so that only a fresh process makes the same samples
again, and a fault in the C library cannot take the caller down.

Reads a JSON object from stdin: ``library`` (path), ``data`` (path of
espeak-ng-data), ``voice``, ``lines`` (each ``text``, ``rate``, ``pitch``,
``range``) and ``shortest``, ``longest`` in seconds. Writes a line of JSON
``{"sample_rate": int, "version": str, "samples": [int, ...]}`` and then the
int16 samples of all lines. Uses the standard library only, to start fast.
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

RANDOM_SEED = 1

# espeak-ng clips inside when loud variants are at full volume (100).
SAFE_VOLUME = 40


class Espeak:
    """The loaded library, speaking with one voice into memory."""

    def __init__(self, library: str, data: str, voice: str):
        self.lib = ctypes.CDLL(library)
        # The library cuts its data path at 160 characters, and virtual
        # environments lie deeper than that: work from its folder instead.
        os.chdir(os.path.dirname(data))
        self.sample_rate = self.lib.espeak_Initialize(
            AUDIO_OUTPUT_SYNCHRONOUS, 0, b".", INITIALIZE_DONT_EXIT
        )
        if self.sample_rate <= 0:
            raise OSError(f"espeak-ng found no usable data in {data}")
        # Breathy voices take noise from a generator seeded by the clock.
        self.lib.espeak_ng_SetRandSeed.argtypes = [ctypes.c_long]
        self.lib.espeak_ng_SetRandSeed(RANDOM_SEED)
        self.lib.espeak_Info.restype = ctypes.c_char_p
        self.version = self.lib.espeak_Info(None).decode()
        # The library takes an unknown variant for no variant, in silence.
        variant = voice.partition("+")[2]
        known = os.listdir(os.path.join(data, "voices", "!v"))
        if (variant and variant not in known) or (
            self.lib.espeak_SetVoiceByName(voice.encode()) != 0
        ):
            raise OSError(f"espeak-ng has no voice {voice!r}")
        self._samples = bytearray()
        callback_type = ctypes.CFUNCTYPE(
            ctypes.c_int,
            ctypes.POINTER(ctypes.c_short),
            ctypes.c_int,
            ctypes.c_void_p,
        )
        # Kept in an attribute: ctypes frees a callback nobody holds.
        self._callback = callback_type(self._collect)
        self.lib.espeak_SetSynthCallback(self._callback)

    def _collect(self, samples, count, events):
        """Append what the library hands over; 0 asks it to go on."""
        if samples and count > 0:
            self._samples += ctypes.string_at(samples, 2 * count)
        return 0

    def speak(self, text: str, rate: int, pitch: int, span: int) -> bytes:
        """Return int16 samples of one text."""
        self._samples.clear()
        settings = ((RATE, rate), (VOLUME, SAFE_VOLUME))
        settings += ((PITCH, pitch), (RANGE, span))
        for parameter, value in settings:
            self.lib.espeak_SetParameter(parameter, value, 0)
        raw = text.encode()
        status = self.lib.espeak_Synth(
            raw, len(raw) + 1, 0, POS_CHARACTER, 0, CHARS_UTF8, None, None
        )
        if status != 0 or not self._samples:
            raise OSError(f"espeak-ng could not speak {text!r}")
        return bytes(self._samples)


def main() -> None:
    """Serve one request."""
    request = json.load(sys.stdin)
    espeak = Espeak(request["library"], request["data"], request["voice"])
    bytes_a_second = 2 * espeak.sample_rate
    spoken = []
    for line in request["lines"]:
        rate = line["rate"]
        samples = espeak.speak(line["text"], rate, line["pitch"], line["range"])
        seconds = len(samples) / bytes_a_second
        wanted = min(max(seconds, request["shortest"]), request["longest"])
        if wanted != seconds:
            rate = round(rate * seconds / wanted)
            samples = espeak.speak(
                line["text"], rate, line["pitch"], line["range"]
            )
        spoken.append(samples)
    header = {
        "sample_rate": espeak.sample_rate,
        "version": espeak.version,
        "samples": [len(samples) // 2 for samples in spoken],
    }
    out = sys.stdout.buffer
    out.write(json.dumps(header).encode() + b"\n")
    for samples in spoken:
        out.write(samples)
    out.flush()


if __name__ == "__main__":
    try:
        main()
    except (OSError, AttributeError) as error:
        print(error, file=sys.stderr)
        sys.exit(3)
