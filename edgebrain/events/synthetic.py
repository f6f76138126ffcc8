"""A small corpus of synthesised sounds, so that a recipe needs no data.

Five clips a class lie in each of five folds; each fold has sources of its own
(pitches, rates, colours; voices), so that no source is in two folds.
"""

from collections.abc import Callable
import csv
import io
from pathlib import Path

from edgebrain.data import audio
from edgebrain.data.embedded.noises import make_noise
from edgebrain.files import whole_folder
import numpy as np

FOLDS = 5
_TABLE = "sounds.csv"
_SECONDS = 2.0
_RATE = 16000
_VERSION = 1


def _tone(rng, t, fold):
    pitch = 300.0 * 1.3**fold * rng.uniform(0.97, 1.03)
    return sum(np.sin(2 * np.pi * k * pitch * t) / k**2 for k in (1, 2, 3))


def _chirp(rng, t, fold):
    low, high = 300.0 + 60 * fold, 2500.0 + 300 * fold
    period = rng.uniform(0.4, 0.7)
    rise = (t / period) % 1.0
    return np.sin(2 * np.pi * (low + (high - low) * rise / 2) * rise * period)


def _noise_burst(rng, t, fold):
    rate = 1.5 + 0.4 * fold
    shape = np.exp(-10 * ((t * rate + rng.uniform()) % 1.0))
    return shape * rng.standard_normal(len(t))


def _family(name):
    def make(rng, t, fold):
        return make_noise(name, "train", len(t) / _RATE, _RATE, rng)[0]

    return make


CLASSES: dict[str, Callable] = {
    "chirp": _chirp,
    "noise_burst": _noise_burst,
    "tone": _tone,
    **{name: _family(name) for name in ("fan", "keyboard", "rain", "siren")},
}


def make_embedded_sounds(
    folder: Path | str,
    clips: int = 5,
    seed: int = 0,
    speech: bool = True,
    sample_rate: int = 16000,
) -> Path:
    """Make the corpus, unless it is there already.

    Arguments
    ---------
    clips : int
        Of each class in each fold.
    speech : bool
        With a class ``speech``, of the embedded corpus's synthesizer.
    sample_rate : int
        Hz.

    Returns
    -------
    Path
        The folder of this corpus in ``folder``: ``sounds.csv`` and clips.
    """
    name = f"sounds-{_VERSION}-{clips}-{seed}-{sample_rate}"
    target = Path(folder) / (name + "-speech" * speech)
    if (target / _TABLE).is_file():
        return target
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["filename", "category", "fold", "group"])
    with whole_folder(target, _TABLE) as new:
        for fold in range(1, FOLDS + 1):
            for number, (label, make) in enumerate(CLASSES.items()):
                for clip in range(clips):
                    rng = np.random.default_rng([seed, number, fold, clip])
                    wav = _placed(make, rng, fold - 1, sample_rate)
                    _save(new, writer, label, fold, clip, wav, sample_rate)
            for clip, wav in enumerate(
                _speech(fold, clips, seed, sample_rate) if speech else ()
            ):
                _save(new, writer, "speech", fold, clip, wav, sample_rate)
        (new / _TABLE).write_text(table.getvalue(), encoding="utf-8")
    return target


def _placed(make, rng, fold, sample_rate) -> np.ndarray:
    """Return a sound of 0.9 s or more somewhere in a quiet clip."""
    t = np.arange(round(rng.uniform(0.9, 1.6) * _RATE)) / _RATE
    wav = make(rng, t, fold)
    edge = np.minimum(1.0, np.minimum(t, t[-1] - t) / 0.01)
    wav = wav / np.abs(wav).max() * edge * 10 ** (rng.uniform(-20, -4) / 20)
    clip = 1e-4 * rng.standard_normal(round(_SECONDS * _RATE))
    start = int(rng.integers(len(clip) - len(wav) + 1))
    clip[start : start + len(wav)] += wav
    return audio.resample(clip, _RATE, sample_rate)


def _speech(fold, clips, seed, sample_rate):
    """Yield sentences of a voice that no other fold has."""
    from edgebrain.data.embedded import sentences, speech

    voices = [voice for split in speech.VOICES.values() for voice in split]
    voice = voices[fold - 1]
    rng = np.random.default_rng([seed, 99, fold])
    texts = sentences.make_sentences(clips, seed + fold)
    for wav, _ in speech.speak(voice, texts, sample_rate, rng):
        yield wav[: round(_SECONDS * sample_rate)]


def _save(folder, writer, label, fold, clip, wav, sample_rate) -> None:
    name = f"{label}-{fold}-{clip}.wav"
    audio.write(folder / name, wav, sample_rate)
    writer.writerow([name, label, fold, f"{label}-{fold}"])
