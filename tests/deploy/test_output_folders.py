"""The three commands that write a folder, run into one again."""

import json
from pathlib import Path
import sys

from edgebrain.enhancement.networks import NNSE
from edgebrain.errors import UserError
from edgebrain.files import RECORD
from edgebrain.onnx.export import export_stream
from edgebrain.signal import SignalSettings, magnitude, stft
from edgebrain.signal.probe import speech_like
from edgebrain.tasks import Setup
import pytest
import torch

from deploy import nnse_tables, stedgeai
from deploy.c.generator import generate as c_package


def fill(folder, files):
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.fixture(scope="session")
def nnse_stream(tmp_path_factory):
    settings = SignalSettings(win_length=480, window="sqrt_hann")
    torch.manual_seed(0)
    layers = [
        {"layer_type": "conv1d", "layer_neurons": 4, "kernel_size": 6},
        {"layer_type": "fc", "layer_neurons": 257, "activation": "sigmoid"},
    ]
    model = NNSE(layers).eval()
    wav = speech_like(1.0, 16000)
    model.fit_normalisation([magnitude(stft(wav, settings), settings)])
    path = tmp_path_factory.mktemp("nnse_stream") / "stream.onnx"
    export_stream(model, Setup("enhancement", settings), path)
    return path


@pytest.fixture(params=["c", "nnse", "st"])
def command(request):
    """Return a writer of a folder, a file of it, and one that is new."""
    if request.param == "c":
        model = request.getfixturevalue("quantized")("tcnn", "int8")

        def run(folder, other=False):
            c_package.generate(model, folder, "two" if other else "one")

        return run, "runtime/eb_float.c", "two.c"
    if request.param == "nnse":
        model = request.getfixturevalue("nnse_stream")

        def run(folder, other=False):
            words = ["--net_name", "se", "--net_id", "1" if other else "0"]
            words += ["--output_folder", str(folder)]
            nnse_tables.main([str(model), *words])

        return run, "def_nn0_se.c", "def_nn1_se.h"
    models = request.getfixturevalue("models")

    def run(folder, other=False):
        words = [str(models["lstm" if other else "stream"]), "--no_run"]
        words += ["--target", "stm32n6", "--vectors", "3"]
        assert stedgeai.main([*words, "--output_folder", str(folder)]) == 0

    return run, "README.md", "vectors/in_lstm0_h.npy"


def test_commands_keep_files_of_a_user(command, tmp_path):
    run, own, new = command
    folder = tmp_path / "f"
    run(folder)
    fill(folder, {"NOTES": "mine", "build-m4/a.o": "object"})
    run(folder)
    text = (folder / own).read_bytes()
    fill(folder, {new: "mine"})
    with pytest.raises(UserError, match="not written by this tool") as caught:
        run(folder, other=True)
    assert new in str(caught.value)
    (folder / new).unlink()
    (folder / own).write_bytes(text + b"edited")
    with pytest.raises(UserError, match="edited since") as caught:
        run(folder)
    assert own in str(caught.value)
    (folder / own).unlink()
    run(folder, other=True)
    assert (folder / new).is_file()
    assert (folder / "NOTES").read_text() == "mine"
    assert (folder / "build-m4" / "a.o").is_file()
    listed = json.loads((folder / RECORD).read_text())["files"]
    there = {*contents_names(folder)} - {"NOTES", "build-m4/a.o", RECORD}
    assert there == listed.keys()


def contents_names(folder):
    return [
        p.relative_to(folder).as_posix()
        for p in folder.rglob("*")
        if p.is_file()
    ]


def test_commands_refuse_before_they_work(command, tmp_path, monkeypatch):
    run, own, _ = command
    folder = tmp_path / "f"
    run(folder)
    (folder / own).write_text("edited")

    def never(*_):
        raise AssertionError("worked")

    monkeypatch.setattr("edgebrain.onnx.graph.Graph.read", never)
    (tmp_path / "file.yaml").write_text("x")
    for path in (folder, tmp_path / "file.yaml" / "y"):
        with pytest.raises(UserError, match="give another"):
            run(path)


def test_results_of_two_ways_to_run_never_mix(models, tmp_path, monkeypatch):
    stand_in = Path(__file__).with_name("stand_in_stedgeai.py")
    program = tmp_path / "stedgeai"
    python = f"{sys.executable} -I -S"
    program.write_text(f'#!/bin/sh\nexec {python} {stand_in} "$@"\n')
    program.chmod(0o755)
    folder = tmp_path / "p"
    words = [str(models["stream"]), "--target", "stm32n6", "--vectors", "3"]
    words += ["--output_folder", str(folder), "--stedgeai", str(program)]
    farm = {"benchmark": {"graph": {"exec_time": {"duration_ms": 99.0}}}}
    figures = folder / "tool" / "figures.json"
    assert stedgeai.main(words) == 0
    fill(folder, {"tool/benchmark/result.json": json.dumps(farm)})
    assert stedgeai.main(words) == 0
    assert json.loads(figures.read_text())["milliseconds"] != 99.0
    assert (folder / "tool_1" / "benchmark" / "result.json").is_file()
    monkeypatch.setenv("STAND_IN", "tool_error")
    assert stedgeai.main(words) == 3
    assert not figures.exists()
