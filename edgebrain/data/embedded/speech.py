"""Speech of the embedded corpus: espeak-ng voices at a stated level."""

from dataclasses import dataclass
import json
from pathlib import Path
import subprocess
import sys

from edgebrain.data.resampling import resample
from edgebrain.errors import UserError
import numpy as np
from scipy import signal as sps

LEVEL_DBFS = -25.0
PEAK_LIMIT = 0.89
MEND = "reinstall it: pip install --force-reinstall espeakng-loader"


@dataclass(frozen=True)
class Voice:
    """One synthetic speaker.

    Arguments
    ---------
    accent : str
        espeak-ng language, ``en-us`` for one.
    variant : str
        espeak-ng voice variant: formants, pitch and voice quality; a file
        name, so capitals count.
    sex : str
        ``f`` or ``m``.
    pitch, span, rate : int
        Means of espeak-ng's pitch (0 to 100), pitch range (0 to 100) and
        rate in words a minute; each sentence varies them a little.
    tilt : float
        Coefficient a of the filter 1 - a/z, from -0.3 (duller) to 0.3.
    """

    accent: str
    variant: str
    sex: str
    pitch: int = 50
    span: int = 50
    rate: int = 165
    tilt: float = 0.0

    @property
    def espeak_name(self) -> str:
        """The name espeak-ng knows it by."""
        return f"{self.accent}+{self.variant}"

    @property
    def name(self) -> str:
        """A name fit for folders."""
        return f"{self.accent}-{self.variant}".lower()


# No variant comes in two splits; the variants with a loud built-in echo, the
# whispers and the robots are left out. Echo of f2, f3 and f5 is at -28 dB.
VOICES: dict[str, tuple[Voice, ...]] = {
    "train": (
        Voice("en-us", "f1", "f", 52, 60, 170, 0.1),
        Voice("en-us", "m1", "m", 48, 55, 165, 0.0),
        Voice("en-gb-x-rp", "f2", "f", 50, 50, 160, -0.1),
        Voice("en-gb-x-rp", "m3", "m", 44, 45, 170, 0.1),
        Voice("en-gb-scotland", "f5", "f", 46, 65, 175, -0.2),
        Voice("en-gb-scotland", "m7", "m", 60, 55, 160, 0.2),
        Voice("en-029", "Annie", "f", 45, 45, 165, 0.0),
        Voice("en-029", "robert", "m", 58, 65, 155, 0.0),
        Voice("en-us-nyc", "aunty", "f", 55, 55, 180, 0.0),
        Voice("en-us-nyc", "Mike", "m", 52, 50, 175, -0.2),
        Voice("en-gb-x-gbclan", "linda", "f", 42, 60, 160, 0.0),
        Voice("en-gb-x-gbclan", "quincy", "m", 55, 60, 165, 0.1),
        Voice("en-gb-x-gbcwmd", "f1", "f", 60, 50, 155, -0.1),
        Voice("en-gb-x-gbcwmd", "max", "m", 66, 60, 170, 0.0),
        Voice("en-us", "steph", "f", 50, 70, 170, 0.3),
        Voice("en-us", "rob", "m", 40, 55, 180, -0.1),
    ),
    "valid": (
        Voice("en-us", "shelby", "f", 52, 55, 165, 0.0),
        Voice("en-gb-x-rp", "m5", "m", 54, 50, 170, 0.1),
        Voice("en-gb-scotland", "grandma", "f", 50, 50, 165, 0.0),
        Voice("en-029", "victor", "m", 46, 60, 160, -0.1),
    ),
    "test": (
        Voice("en-us", "f3", "f", 48, 55, 170, 0.0),
        Voice("en-gb-x-rp", "m4", "m", 56, 60, 165, 0.0),
        Voice("en-gb-x-gbclan", "Andrea", "f", 40, 55, 150, 0.1),
        Voice("en-us-nyc", "michel", "m", 45, 55, 165, 0.0),
    ),
}


@dataclass(frozen=True)
class Line:
    """One sentence to speak and how."""

    text: str
    rate: int
    pitch: int
    range: int


def vary(voice: Voice, text: str, rng: np.random.Generator) -> Line:
    """Return the line with this sentence's own rate, pitch and range."""
    return Line(
        text=text,
        rate=round(voice.rate * rng.uniform(0.9, 1.1)),
        pitch=int(np.clip(round(voice.pitch + rng.uniform(-6, 6)), 0, 99)),
        range=int(np.clip(round(voice.span + rng.uniform(-10, 10)), 0, 99)),
    )


def espeak_paths() -> tuple[str, str]:
    """Return the paths of espeak-ng's library and data.

    Raises
    ------
    UserError
        When the package espeakng-loader or one of its files is missing.
    """
    try:
        import espeakng_loader

        library = espeakng_loader.get_library_path()
        data = espeakng_loader.get_data_path()
    except ImportError as error:
        raise UserError(
            "the embedded corpus needs the package espeakng-loader, which "
            f"cannot be imported ({error}): pip install espeakng-loader, or "
            "give a data folder of your own"
        ) from error
    except RuntimeError as error:
        raise UserError(
            f"espeakng-loader is damaged ({error}); {MEND}"
        ) from error
    if not Path(library).is_file():
        raise UserError(
            f"espeakng-loader is damaged (no library {library}); {MEND}"
        )
    return library, data


def synthesise(
    voice: str,
    lines: list[Line],
    shortest: float = 2.15,
    longest: float = 5.85,
) -> tuple[list[np.ndarray], int, str]:
    """Speak lines with one espeak-ng voice in a fresh process.

    Arguments
    ---------
    voice : str
        espeak-ng's name, ``en-us+f1`` for one.
    lines : list of Line
        What to speak, in order; the order is part of the result, since
        espeak-ng carries state from one utterance to the next.
    shortest, longest : float
        Seconds; a line outside is spoken again, faster or slower.

    Returns
    -------
    list of np.ndarray
        float32 samples of each line, as espeak-ng made them.
    int
        Their sample rate (22050 Hz).
    str
        Version of espeak-ng.

    Raises
    ------
    UserError
        When espeak-ng cannot be loaded, has no such voice or fails.
    """
    library, data = espeak_paths()
    request = {
        "library": library,
        "data": data,
        "voice": voice,
        "lines": [vars(line) for line in lines],
        "shortest": shortest,
        "longest": longest,
    }
    worker = Path(__file__).with_name("espeak_worker.py")
    run = subprocess.run(
        [sys.executable, "-I", "-S", str(worker)],
        input=json.dumps(request).encode(),
        capture_output=True,
    )
    if run.returncode != 0:
        reason = run.stderr.decode(errors="replace").strip().splitlines()
        raise UserError(
            f"espeak-ng failed for voice {voice!r} (exit status "
            f"{run.returncode}: {reason[-1] if reason else 'no message'}); "
            f"{MEND}, or give a data folder of your own"
        )
    head, _, body = run.stdout.partition(b"\n")
    header = json.loads(head)
    samples = np.frombuffer(body, np.int16).astype(np.float32) / 32768
    ends = np.cumsum(header["samples"])
    clips = np.split(samples, ends[:-1])
    return clips, header["sample_rate"], header["version"]


def check_espeak() -> str:
    """Speak a word, before any long work, and return espeak-ng's version.

    Raises
    ------
    UserError
        As :func:`synthesise`.
    """
    word = Line("hello", 165, 50, 50)
    return synthesise("en-us", [word], 0.0, 60.0)[2]


def trim(
    wav: np.ndarray,
    sample_rate: int,
    threshold_db: float = -45.0,
    before: float = 0.06,
    after: float = 0.12,
) -> np.ndarray:
    """Cut the silence at both ends, with a short fade where it is cut.

    Arguments
    ---------
    wav : np.ndarray
        Samples (n,).
    sample_rate : int
        Hz.
    threshold_db : float
        A 10 ms frame is silent when this far below the loudest one.
    before, after : float
        Seconds kept before the first and after the last frame of speech.

    Returns
    -------
    np.ndarray
        The part with speech.
    """
    hop = sample_rate // 100
    frames = wav[: len(wav) // hop * hop].reshape(-1, hop)
    power = (frames.astype(np.float64) ** 2).mean(axis=1)
    loud = np.flatnonzero(power > power.max() * 10 ** (threshold_db / 10))
    start = max(0, loud[0] * hop - round(before * sample_rate))
    stop = min(len(wav), (loud[-1] + 1) * hop + round(after * sample_rate))
    wav = wav[start:stop].copy()
    fade = np.linspace(0, 1, sample_rate // 200)
    wav[: len(fade)] *= fade
    wav[-len(fade) :] *= fade[::-1]
    return wav


def set_level(wav: np.ndarray, level_dbfs: float = LEVEL_DBFS) -> np.ndarray:
    """Scale to an RMS level (0 dBFS: RMS 1), lower where the peak would clip.

    Arguments
    ---------
    wav : np.ndarray
        Samples (n,).
    level_dbfs : float
        Wanted RMS in dB.

    Returns
    -------
    np.ndarray
        Peak at most ``PEAK_LIMIT``.
    """
    gain = 10 ** (level_dbfs / 20) / np.sqrt(np.mean(wav**2))
    return wav * min(gain, PEAK_LIMIT / np.abs(wav).max())


def speak(
    voice: Voice, lines: list[Line], sample_rate: int
) -> list[np.ndarray]:
    """Return finished clips of a voice: resampled, tilted, trimmed, levelled.

    Arguments
    ---------
    voice : Voice
        Who speaks.
    lines : list of Line
        What.
    sample_rate : int
        Hz of the result.

    Returns
    -------
    list of np.ndarray
        Clips at ``LEVEL_DBFS`` RMS.

    Raises
    ------
    UserError
        As :func:`synthesise`.
    """
    clips, rate, _ = synthesise(voice.espeak_name, lines)
    finished = []
    for clip in clips:
        wav = resample(clip, rate, sample_rate).astype(np.float64)
        wav = sps.lfilter([1, -voice.tilt], [1], wav)
        finished.append(set_level(trim(wav, sample_rate)))
    return finished
