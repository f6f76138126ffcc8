"""Folders that moved, other data, a second process, settings that replace."""

import fcntl
import json
from pathlib import Path
import shutil

from edgebrain.errors import UserError
import pytest
import torch

pytestmark = [pytest.mark.integration, pytest.mark.slow]


def weights(folder):
    return torch.load(next(folder.glob("save/CKPT*/model.ckpt")))


@pytest.fixture(scope="module")
def data(corpus, tmp_path_factory):
    """Return a data folder that may be moved."""
    folder = tmp_path_factory.mktemp("data") / "corpus"
    shutil.copytree(corpus, folder)
    return folder


def test_moved_folders_go_on_and_other_data_are_refused(
    train, small_yaml, data, tmp_path, capsys
):
    config = small_yaml()
    words = ("--number_of_epochs", 1, "--lr", 0.01)
    old, out = tmp_path / "old", tmp_path / "out"
    train(
        config,
        "--data_folder",
        data,
        "--output_folder",
        old,
        *words,
        *("--weight_clipping", 0.05, "--loss", "{terms: {spec_mse: 1.0}}"),
    )
    printed = capsys.readouterr().out
    assert "{'spec_mse': 1.0}" in printed
    assert printed.splitlines()[-1].endswith(("clips", "clip"))
    assert "warning: the test set has 4 clips" in printed
    assert "epoch 1/1  loss" in printed and "(noisy 0." in printed
    log = (old / "log.txt").read_text()
    assert "matplotlib" not in log and "epoch 1/1" in log
    for name, value in weights(old).items():
        if name.endswith("conv.weight"):
            assert value.abs().max() <= 0.05
    scores = json.loads((old / "test_torch" / "metrics.json").read_text())
    old.rename(out)
    moved = data.rename(data.with_name("elsewhere"))
    places = ("--data_folder", moved, "--output_folder", out)
    # the settings are those of the folder, not those of the yaml
    shutil.rmtree(out / "test_torch")
    train(config, *places, "--test_only", "True")
    again = json.loads((out / "test_torch" / "metrics.json").read_text())
    assert again == scores and not old.exists()
    given = ("--weight_clipping", 0.05, "--loss", "{terms: {spec_mse: 1.0}}")
    train(config, *places, *words, *given)
    with pytest.raises(UserError, match="planned .* --init_from"):
        train(config, *places, *words[2:], *given, "--number_of_epochs", 2)
    with (out / ".lock").open() as other:
        from edgebrain.training import folder

        for ours in folder._locks.values():
            ours.close()
        folder._locks.clear()
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(UserError, match="process .* is at work there"):
            train(config, *places, *words, *given)
    next(Path(moved, "speech", "train").rglob("*.flac")).unlink()
    with pytest.raises(UserError, match="trained on other data"):
        train(config, *places, *words, *given)


def test_a_plain_loss_and_speechbrains_augmentation(
    train, small_yaml, corpus, tmp_path
):
    yaml = Path(small_yaml())
    text = yaml.read_text()
    start, end = text.index("loss: !new"), text.index("weight_clipping:")
    plain = "loss: !name:torch.nn.functional.mse_loss\n"
    augment = (
        "wav_augment: !new:speechbrain.augment.augmenter.Augmenter\n"
        "    concat_original: True\n"
        "    augmentations:\n"
        "        - !new:speechbrain.augment.time_domain.DropChunk\n"
        "            drop_length_high: 500\n"
    )
    yaml.write_text(text[:start] + plain + augment + text[end:])
    out = tmp_path / "out"
    words = ("--data_folder", corpus, "--output_folder", out)
    train(yaml, *words, "--number_of_epochs", 1)
    assert (out / "test_torch" / "metrics.json").exists()
    with pytest.raises(UserError, match="'mine' is used nowhere .* keys = "):
        yaml.write_text(yaml.read_text() + "mine: 1\n")
        train(yaml, *words)
