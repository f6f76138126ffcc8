"""Speech of the embedded corpus: espeak-ng voices at a stated level."""

from dataclasses import dataclass
import json
from pathlib import Path
import subprocess
import sys

from edgebrain.data.resampling import resample
from edgebrain.errors import UserError
import numpy as np
from scipy.signal import lfilter

LEVEL_DBFS = -25.0
PEAK_LIMIT = 0.89
MEND = "reinstall it: pip install --force-reinstall espeakng-loader"


@dataclass(frozen=True)
class Voice:
    """One synthetic speaker: an accent and a variant of espeak-ng.

    ``pitch``, ``span`` (of the pitch) and ``rate`` (words a minute) are means
    that each sentence varies a little; ``tilt`` is the coefficient a of the
    filter 1 - a/z, from -0.3 (duller) to 0.3. Capitals of a variant count.
    """

    accent: str
    variant: str
    sex: str
    pitch: float
    span: float
    rate: float
    tilt: float

    @property
    def name(self) -> str:
        """A name fit for folders."""
        return f"{self.accent}-{self.variant}".lower()


def _voices(text: str) -> list[Voice]:
    rows = [line.split() for line in text.strip().splitlines()]
    return [Voice(*row[:3], *map(float, row[3:])) for row in rows]


# No variant comes in two splits; the variants with a loud built-in echo, the
# whispers and the robots are left out. Echo of f2, f3 and f5 is at -28 dB.
VOICES = {
    "train": _voices("""
        en-us           f1      f  52 60 170   0.1
        en-us           m1      m  48 55 165   0.0
        en-gb-x-rp      f2      f  50 50 160  -0.1
        en-gb-x-rp      m3      m  44 45 170   0.1
        en-gb-scotland  f5      f  46 65 175  -0.2
        en-gb-scotland  m7      m  60 55 160   0.2
        en-029          Annie   f  45 45 165   0.0
        en-029          robert  m  58 65 155   0.0
        en-us-nyc       aunty   f  55 55 180   0.0
        en-us-nyc       Mike    m  52 50 175  -0.2
        en-gb-x-gbclan  linda   f  42 60 160   0.0
        en-gb-x-gbclan  quincy  m  55 60 165   0.1
        en-gb-x-gbcwmd  f1      f  60 50 155  -0.1
        en-gb-x-gbcwmd  max     m  66 60 170   0.0
        en-us           steph   f  50 70 170   0.3
        en-us           rob     m  40 55 180  -0.1"""),
    "valid": _voices("""
        en-us           shelby  f  52 55 165   0.0
        en-gb-x-rp      m5      m  54 50 170   0.1
        en-gb-scotland  grandma f  50 50 165   0.0
        en-029          victor  m  46 60 160  -0.1"""),
    "test": _voices("""
        en-us           f3      f  48 55 170   0.0
        en-gb-x-rp      m4      m  56 60 165   0.0
        en-gb-x-gbclan  Andrea  f  40 55 150   0.1
        en-us-nyc       michel  m  45 55 165   0.0"""),
}


def synthesise(voice: str, lines: list[tuple]) -> tuple[list[np.ndarray], int]:
    """Speak lines with one espeak-ng voice in a fresh process.

    Arguments
    ---------
    voice : str
        espeak-ng's name, ``en-us+f1`` for one.
    lines : list of (str, int, int, int)
        Text, rate in words a minute, pitch and range from 0 to 99. Their
        order counts: espeak-ng carries state from one to the next.

    Returns
    -------
    list of np.ndarray, int
        float32 samples of each line, and their sample rate (22050 Hz).
    """
    try:
        import espeakng_loader

        request = {
            "library": espeakng_loader.get_library_path(),
            "data": espeakng_loader.get_data_path(),
        }
    except (ImportError, RuntimeError) as error:
        raise UserError(
            f"the embedded corpus needs the package espeakng-loader ({error}): "
            "pip install espeakng-loader, or give a data folder of your own"
        ) from error
    request |= {"voice": voice, "lines": lines}
    worker = Path(__file__).with_name("espeak_worker.py")
    run = subprocess.run(
        [sys.executable, "-I", "-S", str(worker)],
        input=json.dumps(request).encode(),
        capture_output=True,
    )
    if run.returncode != 0:
        reason = run.stderr.decode(errors="replace").strip()
        raise UserError(
            f"espeak-ng failed for voice {voice!r} ({reason or 'no message'}); "
            f"{MEND}, or give a data folder of your own"
        )
    head, _, body = run.stdout.partition(b"\n")
    header = json.loads(head)
    samples = np.frombuffer(body, np.int16).astype(np.float32) / 32768
    ends = np.cumsum(header["samples"])
    return np.split(samples, ends[:-1]), header["sample_rate"]


def trim(wav: np.ndarray, sample_rate: int) -> np.ndarray:
    """Cut the silence at both ends but 60 and 120 ms, with a short fade.

    A frame of 10 ms is silent when 45 dB below the loudest one.
    """
    hop = sample_rate // 100
    frames = wav[: len(wav) // hop * hop].reshape(-1, hop)
    power = (frames**2).mean(axis=1)
    loud = np.flatnonzero(power > power.max() * 10**-4.5)
    wav = wav[max(0, loud[0] - 6) * hop : (loud[-1] + 13) * hop].copy()
    fade = np.linspace(0, 1, hop // 2)
    wav[: len(fade)] *= fade
    wav[-len(fade) :] *= fade[::-1]
    return wav


def set_level(wav: np.ndarray) -> np.ndarray:
    """Scale to ``LEVEL_DBFS`` RMS, lower where the peak would be too high."""
    gain = 10 ** (LEVEL_DBFS / 20) / np.sqrt(np.mean(wav**2))
    return wav * min(gain, PEAK_LIMIT / np.abs(wav).max())


def speak(voice: Voice, texts: list[str], sample_rate: int, rng):
    """Return clip and source of each text, levelled and without silence."""
    lines = [
        (
            text,
            round(voice.rate * rng.uniform(0.9, 1.1)),
            round(voice.pitch + rng.uniform(-6, 6)),
            round(voice.span + rng.uniform(-10, 10)),
        )
        for text in texts
    ]
    name = f"{voice.accent}+{voice.variant}"
    clips, rate = synthesise(name, lines)
    finished = []
    for (text, *numbers), clip in zip(lines, clips, strict=True):
        wav = resample(clip, rate, sample_rate).astype(np.float64)
        wav = lfilter([1, -voice.tilt], [1], wav)
        source = f"espeak-ng {name} sex={voice.sex} {numbers}: {text}"
        finished.append((set_level(trim(wav, sample_rate)), source))
    return finished
