"""The template's commands, and tiny data for them."""

import os
from pathlib import Path
import subprocess
import sys

import numpy as np
import soundfile

TEMPLATE = Path(__file__).parents[2] / "templates" / "enhancement"
RATE = 16000
PARTS = {"train-clean-5": 3, "dev-clean-2": 2, "test-clean": 2}
TINY = [
    "--model",
    "{projection: 16, rnn_size: 16, layers: 2}",
    "--mixing",
    "{segment_seconds: 1.0}",
    "--train_loader_options",
    "{batch_size: 2, num_workers: 0}",
    "--valid_loader_options",
    "{batch_size: 2, num_workers: 0}",
    "--test_loader_options",
    "{num_workers: 0}",
    "--download",
    "False",
    "--noprogressbar",
    "--device",
    "cpu",
]


def voice(seed, seconds=1.5):
    """Return harmonics of a wandering pitch in syllables, with pauses."""
    rng = np.random.default_rng(seed)
    time_axis = np.arange(int(seconds * RATE)) / RATE
    pitch = rng.uniform(90, 220) * (
        1 + 0.1 * np.sin(2 * np.pi * rng.uniform(1, 3) * time_axis)
    )
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    formants = rng.uniform([300, 900, 2200], [800, 2000, 3000])
    wav = np.zeros_like(time_axis)
    for harmonic in range(1, 25):
        gain = sum(
            np.exp(-(((harmonic * pitch - f) / 200) ** 2)) for f in formants
        )
        wav += (gain + 0.02) * np.sin(harmonic * phase)
    syllables = np.clip(np.sin(2 * np.pi * 3 * time_axis + seed), 0, None)
    wav *= syllables
    return 0.3 * wav / np.abs(wav).max()


def librispeech(folder, parts=PARTS):
    """Lay out a tiny LibriSpeech: speaker/chapter/speaker-chapter-n.flac."""
    for part, (name, speakers) in enumerate(parts.items()):
        for speaker in range(1, speakers + 1):
            chapter = folder / "LibriSpeech" / name / f"{speaker}" / "7"
            chapter.mkdir(parents=True)
            for n in range(3):
                wav = voice(100 * part + 10 * speaker + n)
                soundfile.write(chapter / f"{speaker}-7-000{n}.flac", wav, RATE)
    return folder


def environment():
    keep = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    return {**keep, "OMP_NUM_THREADS": "1"}


def start(folder, script, *arguments):
    return subprocess.Popen(
        [sys.executable, script, *map(str, arguments)],
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def run(folder, script, *arguments, status=0):
    process = start(folder, script, *arguments)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == status, output
    return output


def words(data, output, *arguments):
    """Return the words of train.py."""
    places = ["--data_folder", data, "--output_folder", output]
    given = ["train.yaml", *places, "--number_of_epochs", 3, *TINY, *arguments]
    return [str(word) for word in given]
