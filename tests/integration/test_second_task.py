"""A task that no shared room knows goes through all of them."""

import csv
import importlib.util
import json
import os
from pathlib import Path
import signal
import subprocess
import sys
import time

from edgebrain.errors import UserError
from edgebrain.onnx import files
import numpy as np
import pytest
import soundfile
import torch

pytestmark = [pytest.mark.integration, pytest.mark.slow]
ROOT = Path(__file__).parents[2]
TOY = Path(__file__).parent / "toy"
sys.path.insert(0, str(TOY))


def start(out, *words):
    paths = [str(ROOT), str(TOY), os.environ.get("PYTHONPATH", "")]
    return subprocess.Popen(
        [sys.executable, str(TOY / "train.py"), str(TOY / "toy.yaml")]
        + ["--output_folder", str(out), *words],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.fixture(scope="module")
def trained(here, tmp_path_factory):
    """Return the results folder of an uninterrupted training."""
    out = tmp_path_factory.mktemp("toy") / "whole"
    done = here(TOY / "train.py", TOY / "toy.yaml", "--output_folder", out)
    assert done.returncode == 0, done.stderr
    assert "epoch 4/4" in done.stdout and "(chance 50)" in done.stdout
    return out


def test_it_learns_and_reports(trained):
    scores = json.loads((trained / "test_torch/metrics.json").read_text())
    assert scores["chance"]["mean"]["accuracy"] == 50
    assert scores["ours"]["mean"]["accuracy"] > 80
    table = (trained / "test_torch/table.txt").read_text().splitlines()
    assert table[0].split() == ["accuracy", "[%]", "↑"]
    assert table[2].startswith("chance") and table[3].startswith("ours")
    card = next(trained.glob("save/CKPT*/model_card.ckpt"))
    assert json.loads(card.read_text())["class_names"] == ["low", "high"]


def test_a_killed_run_ends_the_same(trained, here, tmp_path):
    out = tmp_path / "killed"
    process = start(out, "--ckpt_interval_steps", "1")
    deadline = time.monotonic() + 100
    while not list(out.glob("save/CKPT*/CKPT.yaml")):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (out / "test_torch").exists()
    words = ("--output_folder", out, "--ckpt_interval_steps", 1)
    done = here(TOY / "train.py", TOY / "toy.yaml", *words)
    assert done.returncode == 0, done.stderr
    assert "Resuming" in done.stdout
    for name in ("metrics.csv", "test_torch/metrics.json"):
        assert (out / name).read_text() == (trained / name).read_text(), name
    rows = list(csv.DictReader((out / "metrics.csv").open()))
    assert [row["epoch"] for row in rows] == ["1", "2", "3", "4"]
    last = "save/*0004*/model.ckpt"
    ours, theirs = (torch.load(*p.glob(last)) for p in (out, trained))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_settings_of_the_shared_rooms_are_checked(tmp_path):
    spec = importlib.util.spec_from_file_location("it", TOY / "train.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    words = ["--lr", "fast", "--select_by", "stoi"]
    words += ["--output_folder", str(tmp_path / "new")]
    with pytest.raises(UserError, match="lr: a number from 0"):
        script.main([str(TOY / "toy.yaml"), *words])
    assert not (tmp_path / "new").exists()


def test_it_is_exported_and_packaged(trained, tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(ROOT)
    monkeypatch.syspath_prepend(TOY)
    import toy

    from deploy import stedgeai
    import export_onnx
    import quantize

    out = tmp_path / "export"
    export_onnx.main([str(trained), "--output_folder", str(out)])
    assert [path.name for path in out.iterdir()] == ["patch.onnx"]
    for number in range(4):
        wav = np.sin(np.arange(16000) * (0.2 + 0.2 * (number % 2)))
        wav += np.random.default_rng(number).normal(0, 0.1, len(wav))
        soundfile.write(tmp_path / f"{number}.wav", 0.3 * wav, 16000)
    calibration = ["--calibration_folder", str(tmp_path)]
    quantize.main([str(out / "patch.onnx"), *calibration])
    card = files.read_card(out / "patch_int8.onnx")
    assert (card.task, card.form, card.precision) == ("toy", "patch", "int8")
    assert tuple(card.class_names) == toy.CLASSES
    printed = capsys.readouterr().out
    assert float(printed.split("output SNR")[1].split()[0]) > 20
    package = tmp_path / "package"
    words = ["--target", "stm32n6", "--no_run", "--output_folder", str(package)]
    stedgeai.main([str(out / "patch_int8.onnx"), *words])
    assert (package / "model.onnx").exists() and any(package.glob("vectors/*"))
