"""export_onnx.py, from a training to files that another process runs."""

import importlib.util
import json
from pathlib import Path
import shutil
import sys

from edgebrain.enhancement.networks import STFTTCNN, LSTMMask
from edgebrain.onnx.files import read_card
from edgebrain.onnx.job import probe
from edgebrain.onnx.runner import load_runner
from edgebrain.signal import SignalSettings
from edgebrain.tasks import Setup
from edgebrain.training.results import load_model
from edgebrain.training.weights import ModelCard
import numpy as np
import pytest
import soundfile
import torch

ROOT = Path(__file__).parents[2]
SETTINGS = SignalSettings(n_fft=32, win_length=32, hop_length=16)


@pytest.fixture
def export(monkeypatch):
    """Return a function that runs export_onnx.py in this process."""
    file = ROOT / "export_onnx.py"
    spec = importlib.util.spec_from_file_location("export_onnx", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def run(*words):
        with module.exit_on_user_error():
            module.main([str(word) for word in words])

    return run


def write_results(folder, model, name="2026-01-01", **meta):
    """Write a results folder with one checkpoint, as train.py does."""
    checkpoint = folder / "save" / f"CKPT+{name}"
    checkpoint.mkdir(parents=True)
    torch.save(model.state_dict(), checkpoint / "model.ckpt")
    ModelCard(model, Setup("enhancement", SETTINGS)).save(
        checkpoint / "model_card.ckpt"
    )
    content = {"loss": 0.1, "epoch": 1, "unixtime": 1, **meta}
    (checkpoint / "CKPT.yaml").write_text(json.dumps(content))
    (folder / "hyperparams.yaml").write_text("select_by: loss\n")
    return folder


@pytest.fixture
def tcnn(tmp_path):
    """Return the results folder of a small causal TCNN."""
    torch.manual_seed(0)
    return write_results(tmp_path / "tcnn", STFTTCNN(1, 3, 17, 8))


def refused(export, capsys, *words):
    """Return the one line that a refusal prints."""
    with pytest.raises(SystemExit) as stop:
        export(*words)
    assert stop.value.code == 2
    return capsys.readouterr().err.strip()


def test_all_forms_of_a_causal_model(export, tcnn, capsys):
    export(tcnn)
    printed = capsys.readouterr().out
    model, settings, sha256, info, _ = load_model(tcnn)
    names = sorted(path.name for path in (tcnn / "export").iterdir())
    assert names == ["offline.onnx", "patch.onnx", "stream.onnx"]
    size = probe(Setup("enhancement", settings), 80)
    with torch.no_grad():
        wanted = model(torch.from_numpy(size[None]))[0].numpy()
    for name in names:
        path = tcnn / "export" / name
        runner = load_runner(path)
        assert runner.metadata.checkpoint_sha256 == sha256
        assert runner.metadata.signal == SETTINGS
        np.testing.assert_allclose(runner.run(size), wanted, atol=1e-5)
    for text in (
        info.line(),
        "parameters",
        "MACs a frame",
        "448 bytes",
        "largest difference",
        "32 samples (2.0 ms)",
        "weights",
    ):
        assert text in printed, text
    export(tcnn)  # the same checkpoint again


def test_options_reach_the_files(export, tcnn, tmp_path, capsys):
    wav = np.random.default_rng(0).normal(0, 0.1, 9000)
    soundfile.write(tmp_path / "a.wav", wav, 8000)
    folder = tmp_path / "elsewhere"
    words = "--forms patch stream --opset 14 --frames_per_patch 6".split()
    words += "--context 3 1 --stream_frames 2 --audio".split()
    export(tcnn, "--output_folder", folder, *words, tmp_path / "a.wav")
    assert sorted(p.name for p in folder.iterdir()) == [
        "patch.onnx",
        "stream.onnx",
    ]
    patch = load_runner(folder / "patch.onnx")
    assert (patch.frames, patch.context) == (10, (3, 1))
    assert load_runner(folder / "stream.onnx").frames == 2
    assert "not hold the receptive field" in capsys.readouterr().out


def test_what_a_model_cannot_have_is_left_out_or_refused(
    export, tmp_path, capsys
):
    noncausal = write_results(
        tmp_path / "n", STFTTCNN(1, 2, 17, 8, causal=False)
    )
    export(noncausal)
    assert "stream: none. STFTTCNN is not causal" in capsys.readouterr().out
    assert not (noncausal / "export" / "stream.onnx").exists()
    shutil.rmtree(noncausal / "export")
    words = (noncausal, "--forms", "offline", "stream")
    assert "is not causal" in refused(export, capsys, *words)
    assert not (noncausal / "export").exists()
    lstm = write_results(tmp_path / "l", LSTMMask(17, 6))
    assert "explicit context" in refused(
        export, capsys, lstm, "--forms", "patch"
    )
    export(lstm)
    assert "patch: none. LSTMMask is recurrent" in capsys.readouterr().out
    export(lstm, "--forms", "patch", "--context", "20")
    assert load_runner(lstm / "export" / "patch.onnx").context == (20, 0)


def test_another_checkpoint_needs_overwrite(export, tcnn, capsys):
    export(tcnn)
    before = (tcnn / "export" / "offline.onnx").read_bytes()
    old = load_model(tcnn).info.checkpoint.name
    torch.manual_seed(1)
    write_results(tcnn, STFTTCNN(1, 3, 17, 8), "2026-01-02", loss=0.05)
    message = refused(export, capsys, tcnn)
    assert "3 problems" in message and "another checkpoint" in message
    assert (tcnn / "export" / "offline.onnx").read_bytes() == before
    export(tcnn, "--checkpoint", old)
    export(tcnn, "--overwrite")
    digest = load_model(tcnn).sha256
    assert (
        read_card(tcnn / "export" / "stream.onnx").checkpoint_sha256 == digest
    )
    assert not [p for p in (tcnn / "export").iterdir() if p.suffix != ".onnx"]


def test_bad_input_is_one_line(export, tcnn, tmp_path, capsys):
    for words, message in (
        ((tmp_path / "none",), "no checkpoint there"),
        ((tcnn, "--opset", "12"), "invalid choice: 12"),
        ((tcnn, "--checkpoint", "CKPT+9"), "unknown checkpoint 'CKPT+9'"),
        ((tcnn, "--context", "-1", "0"), "a whole number from 0"),
        ((tcnn, "--stream_frames", "0"), "a whole number from 1, not '0'"),
        ((tcnn, "--context", "1", "2", "3"), "one number or two"),
        ((tcnn, "--audio", tmp_path / "no.wav"), "no.wav"),
    ):
        assert message in refused(export, capsys, *words).splitlines()[-1]
    assert not (tcnn / "export").exists()


def test_nan_weights_leave_no_file(export, tcnn, capsys):
    (file,) = tcnn.glob("save/*/model.ckpt")
    state = torch.load(file, weights_only=True)
    next(iter(state.values())).fill_(float("nan"))
    torch.save(state, file)
    message = refused(export, capsys, tcnn)
    assert "NaN or infinite weights" in message and "\n" not in message
    assert not list(tcnn.glob("export/*"))


@pytest.mark.slow
@pytest.mark.integration
def test_from_a_training_of_a_custom_model(
    export, train, corpus, small_yaml, tmp_path, capsys, monkeypatch
):
    yaml = small_yaml()
    text = yaml.read_text()
    model = text[text.index("model: !new:") : text.index("modules:")]
    own = "model: !new:custom_model.CustomModel\n    hidden_size: 8\n"
    yaml.write_text(text.replace(model, own))
    train(yaml, "--data_folder", corpus, "--number_of_epochs", "1")
    (results,) = tmp_path.glob("results/*/*")
    monkeypatch.undo()
    sys.modules.pop("custom_model", None)
    capsys.readouterr()
    export(results, "--frames_per_patch", "20", "--context", "20", "0")
    printed = capsys.readouterr().out
    assert "best by stoi" in printed
    assert "stream: none. CustomModel has no stream form" in printed
    for form in ("offline", "patch"):
        metadata = read_card(results / "export" / f"{form}.onnx")
        assert metadata.model_class == "custom_model.CustomModel"
        assert metadata.model_arguments["hidden_size"] == 8
