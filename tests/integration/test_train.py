"""train.py from the first epoch to the tested model."""

import csv
import json

from edgebrain.errors import UserError
import numpy as np
import pytest
import soundfile
import torch
import yaml

pytestmark = pytest.mark.integration


def scores(folder):
    return json.loads((folder / "test_torch" / "metrics.json").read_text())


def rows(folder):
    with open(folder / "metrics.csv") as stream:
        return list(csv.DictReader(stream))


def checkpoints(folder):
    return {
        yaml.safe_load((path / "CKPT.yaml").read_text())["epoch"]: path
        for path in (folder / "save").glob("CKPT*")
    }


def weights(folder):
    last = checkpoints(folder)
    return torch.load(last[max(last)] / "model.ckpt")


@pytest.mark.slow
def test_whole_run_and_test_only(train, small_yaml, corpus, tmp_path):
    config = small_yaml()
    out = tmp_path / "out"
    words = ("--data_folder", corpus, "--output_folder", out)
    train(config, *words)
    first = scores(out)
    assert first["noisy"]["n"] == first["enhanced"]["n"] > 0
    assert [row["epoch"] for row in rows(out)] == ["1", "2"]
    for name in (
        "hyperparams.yaml",
        "train_log.txt",
        "learning_curves.png",
        "test_torch/per_clip.csv",
        "test_torch/table.txt",
        "test_torch/spectrograms_best.png",
    ):
        assert (out / name).stat().st_size > 0, name
    with open(out / "test_torch" / "per_clip.csv") as stream:
        clips = list(csv.DictReader(stream))
    assert len(clips) == first["noisy"]["n"]
    for clip in clips:
        clean, rate = soundfile.read(
            clip["clean_file"].replace("{data_root}", str(corpus))
        )
        enhanced, enhanced_rate = soundfile.read(
            out / "test_torch" / clip["enhanced_file"]
        )
        assert (len(enhanced), enhanced_rate) == (len(clean), rate)
    # the same command again, and a test alone, repeat the scores
    train(config, *words)
    assert scores(out) == first
    (out / "test_torch" / "metrics.json").unlink()
    train(config, *words, "--test_only", "True")
    assert scores(out) == first


def test_test_only_without_checkpoint(train, small_yaml, corpus, tmp_path):
    with pytest.raises(UserError, match="no checkpoint with a stoi"):
        train(
            small_yaml(),
            *("--data_folder", corpus, "--output_folder", tmp_path / "out"),
            *("--test_only", "True"),
        )


@pytest.mark.slow
def test_changed_configuration_is_refused(train, small_yaml, corpus, tmp_path):
    config, out = small_yaml(), tmp_path / "out"
    words = ("--data_folder", corpus, "--output_folder", out)
    train(config, *words, "--number_of_epochs", 1)
    before = (out / "hyperparams.yaml").read_bytes()
    with pytest.raises(UserError) as caught:
        train(config, *words, "--number_of_epochs", 1, "--lr", 0.01)
    assert "lr: 0.002 -> 0.01" in str(caught.value)
    assert (out / "hyperparams.yaml").read_bytes() == before
    # more processes change nothing, so they are no other configuration
    train(config, *words, "--number_of_epochs", 1, "--n_jobs", 2)
    before = (out / "hyperparams.yaml").read_bytes()
    # another loss's values cannot be compared with the saved ones
    other = tmp_path / "elsewhere"
    train(
        config,
        *words,
        *("--number_of_epochs", 1, "--lr", 0.01),
        *("--test_only", "--test_folder", other),
    )
    assert (other / "metrics.json").exists()
    assert (out / "hyperparams.yaml").read_bytes() == before
    # with checkpoints elsewhere, too
    (out / "save").rename(tmp_path / "saved")
    words += ("--save_folder", tmp_path / "saved", "--number_of_epochs", 1)
    with pytest.raises(UserError, match="lr: 0.002 -> 0.01"):
        train(config, *words, "--lr", 0.01)


@pytest.mark.slow
def test_more_epochs_where_the_schedule_allows(
    train, small_yaml, corpus, tmp_path
):
    scheduler = {
        "lr_scheduler: !name:torch.optim.lr_scheduler.OneCycleLR\n"
        "    max_lr: !ref <lr>\n"
        "    pct_start: 0.15": (
            "lr_scheduler: !new:speechbrain.nnet.schedulers.NewBobScheduler\n"
            "    initial_value: !ref <lr>"
        )
    }
    config = small_yaml(**scheduler)
    words = ("--data_folder", corpus, "--output_folder")
    train(config, *words, tmp_path / "a", "--number_of_epochs", 1)
    train(config, *words, tmp_path / "a", "--number_of_epochs", 2)
    train(config, *words, tmp_path / "b", "--number_of_epochs", 2)
    assert (tmp_path / "a" / "metrics.csv").read_text() == (
        tmp_path / "b" / "metrics.csv"
    ).read_text()


@pytest.mark.slow
def test_start_from_weights_and_keep_every(train, small_yaml, corpus, tmp_path):
    config = small_yaml(**{"select_by: stoi": "select_by: loss"})
    words = ("--data_folder", corpus, "--output_folder")
    train(
        config,
        *(*words, tmp_path / "a", "--number_of_epochs", 3),
        *("--save_every_epochs", 1),
    )
    assert sorted(checkpoints(tmp_path / "a")) == [1, 2, 3]
    train(
        config,
        *(*words, tmp_path / "b", "--number_of_epochs", 1, "--lr", 0),
        *("--init_from", tmp_path / "a", "--batch_size", 1),
    )
    start = torch.load(
        min(
            checkpoints(tmp_path / "a").values(),
            key=lambda p: yaml.safe_load((p / "CKPT.yaml").read_text())["loss"],
        )
        / "model.ckpt"
    )
    for name, value in weights(tmp_path / "b").items():
        if name.endswith("weight"):  # BatchNorm's statistics move on
            assert torch.equal(value, start[name]), name
    with pytest.raises(UserError, match="no checkpoint there"):
        train(config, *words, tmp_path / "c", "--init_from", tmp_path)


@pytest.mark.slow
def test_early_stopping(train, small_yaml, corpus, tmp_path):
    train(
        small_yaml(),
        *("--data_folder", corpus, "--output_folder", tmp_path / "out"),
        *("--number_of_epochs", 9, "--lr", 1e-12, "--patience", 2),
    )
    # BatchNorm's statistics still move a little in the first epochs
    assert 3 <= len(rows(tmp_path / "out")) < 9


@pytest.mark.slow
def test_paired_folders(train, small_yaml, tmp_path):
    generator = np.random.default_rng(0)
    for split, count in (("train", 4), ("valid", 3), ("test", 2)):
        for i in range(count):
            time = np.arange(20000) / 16000
            clean = 0.1 * np.sin(2 * np.pi * (200 + 40 * i + 7 * count) * time)
            clean *= 1 + np.sin(2 * np.pi * 4 * time)
            for kind, noise in (("clean", 0), ("noisy", 0.03)):
                path = tmp_path / "data" / kind / split / f"s{i}_{split}.flac"
                path.parent.mkdir(parents=True, exist_ok=True)
                noise = noise * generator.standard_normal(len(clean))
                soundfile.write(path, clean + noise, 16000)
    train(
        small_yaml(),
        *("--data_folder", tmp_path / "data"),
        *("--output_folder", tmp_path / "out"),
    )
    assert scores(tmp_path / "out")["noisy"]["n"] == 2


def test_every_bad_file_is_listed(train, small_yaml, tmp_path):
    for split in ("train", "valid", "test"):
        folder = tmp_path / "data" / "speech" / split / "a"
        folder.mkdir(parents=True)
        good = 0.1 * np.sin(np.arange(16000) / 9)
        soundfile.write(folder / f"{split}.wav", good, 16000)
    (folder / "broken.wav").write_bytes(b"RIFF and then nothing")
    soundfile.write(folder / "silent.wav", np.zeros(16000), 16000)
    soundfile.write(folder / "nan.wav", good * np.nan, 16000, "FLOAT")
    with pytest.raises(UserError) as caught:
        train(
            small_yaml(),
            *("--data_folder", tmp_path / "data"),
            *("--output_folder", tmp_path / "out"),
        )
    for name in ("broken.wav", "silent.wav", "nan.wav"):
        assert name in str(caught.value)


def test_missing_folder(train, small_yaml, tmp_path):
    with pytest.raises(UserError, match="nowhere"):
        train(small_yaml(), "--data_folder", tmp_path / "nowhere")


@pytest.mark.parametrize(
    "words, expected",
    [
        (("--metrics", "[stoy]"), "stoi"),
        (("--select_by", "pesq"), "select_by"),
        (("--batch_size", 0), "batch_size"),
        (("--number_of_epochs", 1.5), "number_of_epochs"),
        (("--hop_length", 600), "hop_length"),
        (("--n_fft", 256), "n_fft|win_length"),
        (("--batching", "crop"), "crops"),
        (("--n_fft", 1024), "shape|bins|in_channels"),
    ],
)
def test_bad_values_are_refused(
    train, small_yaml, corpus, tmp_path, words, expected
):
    with pytest.raises(UserError, match=expected):
        train(
            small_yaml(),
            *("--data_folder", corpus, "--output_folder", tmp_path / "out"),
            *words,
        )


def test_too_little_disk(train, small_yaml, corpus, tmp_path, monkeypatch):
    from edgebrain.training import experiment

    usage = experiment.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(
        experiment.shutil, "disk_usage", lambda _: usage._replace(free=2**20)
    )
    with pytest.raises(UserError, match="MiB are needed .* 1 MiB are free"):
        train(
            small_yaml(),
            *("--data_folder", corpus, "--output_folder", tmp_path / "out"),
        )


def test_folders_without_noise_rooms_or_second_speaker(
    train, small_yaml, tmp_path, capsys
):
    for split in ("train", "valid", "test"):
        for i in range(2):
            path = tmp_path / "data" / "speech" / split / split / f"{i}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            time = np.arange(20000) / 16000
            pitch = 200 + 10 * i + ord(split[1])
            wav = np.sin(2 * np.pi * pitch * time) * np.sin(8 * time)
            soundfile.write(path, 0.1 * wav, 16000)
    train(
        small_yaml(),
        *("--data_folder", tmp_path / "data", "--number_of_epochs", 1),
        *("--output_folder", tmp_path / "out", "--metrics", "[stoi]"),
    )
    printed = capsys.readouterr().out
    for what in ("no noise", "no reverb", "no babble"):
        assert what in printed
