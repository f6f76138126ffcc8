"""Small sounds, data folders and networks of event detection."""

import csv

from edgebrain.events.networks import SeparableNet
from edgebrain.signal import SignalSettings
from edgebrain.signal.mel import MelSettings
import numpy as np
import pytest
import soundfile

RATE = 16000
#: Hz of the tone of each class.
CLASSES = {"high": 3000.0, "low": 300.0, "middle": 1000.0}


def tone(label, seed, seconds=1.2):
    """Return a tone near that of a class, in a little noise."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * RATE)) / RATE
    wav = np.sin(2 * np.pi * CLASSES[label] * rng.uniform(0.95, 1.05) * t)
    return (0.2 * wav + 0.002 * rng.standard_normal(len(t))).astype(np.float32)


def write_folder(folder, folds=3, clips=2):
    """Write tones of three classes with a table; return the folder."""
    rows = []
    for fold in range(1, folds + 1):
        for number, label in enumerate(CLASSES):
            for clip in range(clips):
                name = f"{label}-{fold}-{clip}.wav"
                seed = 100 * fold + 10 * number + clip
                soundfile.write(folder / name, tone(label, seed), RATE)
                rows.append([name, label, fold, f"{label}-{fold}"])
    with open(folder / "sounds.csv", "w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["filename", "category", "fold", "group"])
        writer.writerows(rows)
    return folder


@pytest.fixture
def sounds(tmp_path):
    """Return a folder of tones with three folds."""
    folder = tmp_path / "sounds"
    folder.mkdir()
    return write_folder(folder)


@pytest.fixture
def mel():
    """Return features that can be streamed."""
    return MelSettings(SignalSettings(center=False), log_offset=1e-3)


@pytest.fixture
def small():
    """Return a network of a moment: 3 classes, patches of 48 frames."""
    return SeparableNet(3, 8, [[2, 12], [2, 16]], patch_frames=48)
