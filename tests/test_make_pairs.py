"""The whole command on a small folder."""

from pathlib import Path
import subprocess
import sys

import numpy as np
import pytest
import soundfile

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.slow
@pytest.mark.integration
def test_pairs_are_written_once(here, tmp_path):
    rng = np.random.default_rng(0)
    for split in ("train", "valid", "test"):
        for name in ("speech", "noise"):
            for who in "ab":
                folder = tmp_path / "data" / name / split / f"{split}_{who}"
                folder.mkdir(parents=True)
                wav = rng.normal(size=16000) * 0.1
                soundfile.write(folder / f"{split}_{who}.wav", wav, 16000)
    command = [sys.executable, "make_pairs.py", "train.yaml", "--split", "test"]
    options = {
        "data_folder": tmp_path / "data",
        "output_folder": tmp_path / "pairs",
        "cache_folder": tmp_path / "cache",
    }
    for key, value in options.items():
        command += [f"--{key}", str(value)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "2 pairs" in done.stdout
    for key in ("clean", "noisy"):
        folder = tmp_path / "pairs" / f"{key}_testset_wav"
        assert len(list(folder.glob("*.wav"))) == 2
    again = here(*command[1:], cwd=ROOT)
    assert again.returncode == 2
    assert "holds wav files already" in again.stderr
