"""Small corpora in the layouts of the recipes."""

import importlib
from pathlib import Path
import sys
import zlib

import numpy as np
import pytest
import soundfile

REPOSITORY = Path(__file__).parents[2]


def clip(seed, seconds=1.0, rate=16000):
    """Return syllables of harmonics, with pauses."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * rate)) / rate
    pitch = rng.uniform(90, 220)
    wav = sum(
        rng.uniform(0.2, 1) / k * np.sin(2 * np.pi * k * pitch * t)
        for k in range(1, 20)
    )
    wav *= np.clip(np.sin(2 * np.pi * 3 * t + seed), 0, None)
    return 0.3 * wav / np.abs(wav).max()


def write_pairs(folder, name, speakers, count=2, rate=16000, **options):
    """Write {clean,noisy}_<name> folders with a few pairs a speaker."""
    suffix = options.get("suffix", ".wav")
    for speaker in speakers:
        number = zlib.crc32(speaker.encode())
        for n in range(1, count + 1):
            clean = clip(number + n, options.get("seconds", 1.0), rate)
            rng = np.random.default_rng(number + n)
            noisy = clean + 0.03 * rng.standard_normal(len(clean))
            for side, wav in (("clean", clean), ("noisy", noisy)):
                path = folder / f"{side}_{name}" / f"{speaker}_{n:03d}{suffix}"
                path.parent.mkdir(parents=True, exist_ok=True)
                soundfile.write(path, wav, rate)


def write_librispeech(folder, parts, seconds=1.0):
    """Write LibriSpeech/<part>/<speaker>/<chapter>/<utterance>.flac."""
    for part, speakers in parts.items():
        for speaker in speakers:
            place = folder / "LibriSpeech" / part / f"{speaker}" / "7"
            place.mkdir(parents=True)
            for n in range(2):
                wav = clip(10 * speaker + n, seconds)
                name = f"{speaker}-7-{n:04d}.flac"
                soundfile.write(place / name, wav, 16000)
            (place / f"{speaker}-7.trans.txt").write_text("WORDS\n")
    return folder


def write_noise(path, seed, seconds=1.5, channels=1):
    """Write a noise, or with a decay a room response of several channels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    wav = 0.1 * rng.standard_normal((round(seconds * 16000), channels))
    if seconds < 0.5:
        wav *= np.exp(-np.arange(len(wav)) / 400)[:, None]
        wav[20] = 0.9
    soundfile.write(path, wav, 16000)


def _import_from(folder, name):
    sys.path.insert(0, str(folder))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(folder))


@pytest.fixture(scope="session")
def valentini():
    """Return the module valentini_prepare."""
    return _import_from(
        REPOSITORY / "recipes" / "Valentini", "valentini_prepare"
    )


@pytest.fixture(scope="session")
def mini():
    """Return the module mini_librispeech_prepare."""
    return _import_from(
        REPOSITORY / "recipes" / "MiniLibriSpeech", "mini_librispeech_prepare"
    )


@pytest.fixture(scope="session")
def pairs_writer():
    return write_pairs


@pytest.fixture(scope="session")
def librispeech_writer():
    return write_librispeech


@pytest.fixture(scope="session")
def noise_writer():
    return write_noise
