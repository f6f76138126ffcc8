"""A miniature corpus of speech, noise and rooms."""

from pathlib import Path
import sys

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from tiny_sets import RATE, write_set  # noqa: E402


@pytest.fixture(scope="session")
def corpus(tmp_path_factory):
    """Return a folder of recordings and their manifests."""
    folder = tmp_path_factory.mktemp("corpus")
    rng = np.random.default_rng(0)

    def tone(i, seconds):
        time = np.arange(round(seconds * RATE)) / RATE
        wav = np.sin(2 * np.pi * (200 + 50 * i) * time) * 0.3
        return wav + rng.standard_normal(len(wav)) * 0.01

    speech = [tone(i, 0.3 + 0.2 * i) for i in range(6)]
    # The last one talks only at its end.
    speech[5] = np.concatenate([np.zeros(2 * RATE), speech[5]])
    noise = [rng.standard_normal(n) * 0.1 for n in (4000, 20000, 50000)]
    rir = [
        np.eye(1, 800, 40)[0] * 0.5 + rng.standard_normal(800) * 0.02
        for _ in range(2)
    ]
    write_set(folder, "speech", speech, speaker=lambda i: f"s{i // 2}")
    write_set(folder, "noise", noise, group=lambda i: "g")
    write_set(folder, "rir", rir, group=lambda i: "g")
    return folder
