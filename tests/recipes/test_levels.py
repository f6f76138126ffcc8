"""Pairs get a random level in training alone, and not in the published yaml."""

from edgebrain.data import audio
from edgebrain.enhancement.mixing import MixingSettings
from edgebrain.enhancement.recipe import build_datasets
import numpy as np
import pytest


@pytest.fixture
def prepared(valentini, pairs_writer, tmp_path):
    folder = tmp_path / "v"
    speakers = ["p226", "p228", "p287"]
    pairs_writer(folder, "trainset_28spk_wav", speakers, seconds=0.5)
    pairs_writer(folder, "testset_wav", ["p232"], seconds=0.5)
    return valentini.prepare_valentini(
        folder, tmp_path / "out", 16000, tmp_path / "cache", 1
    )


def hparams(**more):
    return {
        "seed": 1,
        "sample_rate": 16000,
        "batching": "pad",
        "batch_size": 2,
        "num_workers": 0,
    } | more


def gains(data, split, prepared):
    """Return the gain of both signals over their files, in dB."""
    result = []
    for item in getattr(data, split):
        name = f"{item['id']}.wav"
        folder = "testset" if split == "test" else "trainset_28spk"
        for side in ("clean", "noisy"):
            path = prepared.data_root / f"{side}_{folder}_wav" / name
            file, wav = audio.read(path), item[f"{side}_sig"].numpy()
            gain = np.sqrt((wav**2).sum() / (file**2).sum())
            np.testing.assert_allclose(wav, gain * file, atol=1e-4)
            result.append(20 * np.log10(gain))
    pairs = np.reshape(result, (-1, 2))
    np.testing.assert_allclose(pairs[:, 0], pairs[:, 1], atol=1e-3)
    return pairs[:, 0]


def test_training_pairs_change_level_from_epoch_to_epoch(prepared):
    levels = MixingSettings(level_prob=1.0, level_db={"low": -40, "high": -1})
    data = build_datasets(hparams(train_mixing=levels), prepared)
    drawn = []
    for epoch in (1, 2):
        data.train.set_epoch(epoch)
        drawn.append(gains(data, "train", prepared))
    assert np.abs(drawn[0] - drawn[1]).max() > 1
    for split in ("valid", "test"):
        assert np.abs(gains(data, split, prepared)).max() < 1e-3


def test_without_train_mixing_pairs_are_as_recorded(prepared):
    data = build_datasets(hparams(), prepared)
    data.train.set_epoch(3)
    assert np.abs(gains(data, "train", prepared)).max() < 1e-3
