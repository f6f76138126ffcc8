"""Small corpora in the layouts of the recipes."""

import zlib

import numpy as np
import soundfile


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


def make_data(root):
    """Write a small corpus of each kind; return folders and flags."""
    pairs = root / "valentini"
    speakers = ["p226", "p228", "p230", "p287"]
    write_pairs(pairs, "trainset_28spk_wav", speakers)
    write_pairs(pairs, "trainset_56spk_wav", ["p234", "p237"])
    write_pairs(pairs, "testset_wav", ["p232"])
    parts = {"train-clean-5": (1, 2, 3), "dev-clean-2": (4, 5)}
    libri = write_librispeech(root / "l", parts | {"test-clean": (6, 7)})
    mixing = root / "mixing"
    for split, part in zip(
        ("train", "valid", "test"), (*parts, "test-clean"), strict=True
    ):
        target = mixing / "speech" / split
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(libri / "LibriSpeech" / part)
        for n in range(2):
            seed = noise_seed(split, n)
            write_noise(mixing / "noise" / split / f"{split}{n}.wav", seed)
            write_noise(mixing / "rir" / split / f"{split}{n}.wav", seed, 0.2)
    own = ["--download", "False", "--noise_folder", str(mixing / "noise")]
    return {
        "valentini": (pairs, []),
        "librispeech": (libri, [*own, "--rir_folder", str(mixing / "rir")]),
        "mixing": (mixing, []),
    }


def noise_seed(split, n):
    return 10 * len(split) + ord(split[1]) + n
