"""What recipes of event detection make of a data folder."""

from edgebrain.errors import UserError
from edgebrain.events.patches import PatchSettings
from edgebrain.events.recipe import list_data, make_datasets
import pytest


def settings(folder, tmp_path, mel, **more):
    hparams = {
        "data_folder": str(folder),
        "cache_folder": str(tmp_path / "cache"),
        "output_folder": str(tmp_path / "out"),
        "sample_rate": 16000,
        "seed": 1,
        "fold": 1,
        "mel": mel,
        "patch": PatchSettings(patch_length=48),
        "augmentation": None,
        "patches_per_clip": 1,
        "num_workers": 0,
        "batch_size": 2,
        **more,
    }
    return hparams | {"listing": list_data(hparams)}


def test_bad_clips_are_named_and_can_be_left_out(sounds, tmp_path, mel):
    (sounds / "low-2-0.wav").write_text("no sound")
    with pytest.raises(UserError, match="skip_bad True.*low-2-0.wav"):
        make_datasets(settings(sounds, tmp_path, mel))
    data = make_datasets(settings(sounds, tmp_path, mel, skip_bad=True))
    counts = [len(part) for part in (data.train, data.valid, data.test)]
    assert sum(counts) == 17 and min(counts) == 5
