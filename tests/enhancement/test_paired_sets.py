"""Paired sets on tiny recordings."""

import json
import shutil

from edgebrain.enhancement.datasets import paired_dataset
from edgebrain.enhancement.mixing import MixingSettings
from edgebrain.errors import UserError
import numpy as np
import pytest
import soundfile
from tiny_sets import RATE, items, only, same


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pairs")
    entries, rng = {}, np.random.default_rng(1)
    for i in range(3):
        clean = rng.standard_normal(6000 + 6000 * i) * 0.05
        for key, wav in (("clean", clean), ("noisy", clean * 0.5)):
            soundfile.write(folder / f"{key}{i}.wav", wav, RATE, "FLOAT")
        entries[f"p{i}"] = {
            "noisy": f"{{data_root}}/noisy{i}.wav",
            "clean": f"{{data_root}}/clean{i}.wav",
            "duration": len(clean) / RATE,
            "speaker": "a",
        }
    (folder / "train.json").write_text(json.dumps(entries))
    return folder


def test_pairs_stay_aligned_in_crops(pairs):
    options = {"sample_rate": RATE, "seed": 1, "crop_seconds": 0.5}
    dataset = paired_dataset(pairs / "train.json", **options)
    first = items(dataset)
    for noisy, clean in first.values():
        assert noisy.shape == clean.shape == (8000,)
        assert np.allclose(noisy, clean * 0.5, atol=1e-6) and clean.any()
    dataset.set_epoch(1)
    assert not same(first, items(dataset))
    level = only(level_prob=1, level_db=-30)
    dataset = paired_dataset(pairs / "train.json", settings=level, **options)
    for noisy, clean in items(dataset).values():
        assert np.abs(noisy).max() == pytest.approx(10**-1.5, rel=1e-4)
        assert np.allclose(noisy, clean * 0.5, atol=1e-6)


def test_fixed_pairs_are_the_files(pairs):
    dataset = paired_dataset(
        pairs / "train.json",
        RATE,
        1,
        0.5,
        fixed=True,
        settings=MixingSettings(),
    )
    for name, (noisy, clean) in items(dataset).items():
        for key, got in (("noisy", noisy), ("clean", clean)):
            path = pairs / f"{key}{name[1:]}.wav"
            assert np.array_equal(got, soundfile.read(path, dtype="float32")[0])


def test_pairs_of_unequal_length_are_refused(pairs, tmp_path):
    folder = shutil.copytree(pairs, tmp_path / "pairs")
    soundfile.write(folder / "noisy0.wav", np.ones(50), RATE)
    dataset = paired_dataset(folder / "train.json", RATE, 1, fixed=True)
    with pytest.raises(UserError, match="p0: noisy has 50 samples"):
        dataset[0]
