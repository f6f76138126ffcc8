"""What recipes of event detection make of a data folder."""

from edgebrain.errors import UserError
from edgebrain.events.folds import choose_folds
from edgebrain.events.patches import PatchSettings
from edgebrain.events.recipe import list_data, make_datasets
import numpy as np
import pytest
import soundfile


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


def silence(paths):
    for path in paths:
        soundfile.write(path, np.zeros(16000), 16000)


def test_silent_clips_are_counted_and_named(sounds, tmp_path, mel, capsys):
    silence([sounds / "low-2-0.wav"])
    make_datasets(settings(sounds, tmp_path, mel))
    printed = capsys.readouterr().out.splitlines()
    (note,) = (line for line in printed if line.startswith("left out"))
    assert "1 clips that are empty or silent" in note and "low-2-0" in note


@pytest.mark.parametrize(
    "pattern, message",
    [
        ("low-*", "no clip of low can be used .* leave these out of class"),
        ("*-1-*", r"fold 1: there is 2, 3 \(of clips that can be used"),
        ("low-[23]-*", "class 'low' has 2 clips to test and none to train"),
    ],
)
def test_what_silence_leaves_is_checked(
    sounds, tmp_path, mel, pattern, message
):
    silence(sounds.glob(f"{pattern}.wav"))
    with pytest.raises(UserError, match=message):
        make_datasets(settings(sounds, tmp_path, mel, valid_fold="none"))


def test_folds_are_those_of_the_data(sounds):
    data = {"data_folder": str(sounds)}
    assert choose_folds("all", data) == [1, 2, 3]
    assert choose_folds("3,1", data) == [3, 1]
    assert choose_folds("all", {"data_folder": None}) == [1, 2, 3, 4, 5]
    with pytest.raises(UserError, match=r"no fold 7 \(it has 1, 2, 3\)"):
        choose_folds("1,7", data)
    with pytest.raises(UserError, match="all, or numbers such as 1,2"):
        choose_folds("first", data)
    table = sounds / "sounds.csv"
    table.write_text(table.read_text().replace("fold", "part"))
    with pytest.raises(UserError, match="leave --folds out"):
        choose_folds("all", data)
