"""quantize.py as a person runs it, also after quantization-aware training."""

import importlib.util
from pathlib import Path
import subprocess
import sys

from edgebrain.data import audio
from edgebrain.enhancement import load_enhancer
from edgebrain.errors import UserError
from edgebrain.onnx import files
from edgebrain.onnx.runner import load_runner
from edgebrain.signal.probe import speech_like
from edgebrain.training.checkpoints import AtomicCheckpointer
import numpy as np
import pytest
import torch

ROOT = Path(__file__).parents[2]
AWARE = (
    "!new:edgebrain.training.qat.QuantizationAware\n"
    "    precision: int8\n    observe_steps: 6"
)


def script(name):
    """Return a script of the repository as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def noisy(tmp_path_factory):
    """Return a folder of six noisy clips."""
    folder = tmp_path_factory.mktemp("noisy")
    rng = np.random.default_rng(1)
    wav = speech_like(3.0, 16000)
    for number in range(6):
        part = wav[number * 4000 : number * 4000 + 16000]
        clip = (part + 0.02 * rng.normal(size=len(part))).astype(np.float32)
        audio.write(folder / f"{number}.wav", clip, 16000)
    return folder


@pytest.fixture
def forms(onnx_folder, tmp_path):
    """Return a copy of the float forms of a network."""
    for path in onnx_folder.glob("*.onnx"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


@pytest.fixture(scope="module")
def quantized(onnx_folder, noisy, tmp_path_factory):
    """Return a folder with a float network and its int8 form."""
    folder = tmp_path_factory.mktemp("quantized")
    model = folder / "offline.onnx"
    model.write_bytes((onnx_folder / "offline.onnx").read_bytes())
    script("quantize").main([str(model), "--calibration_folder", str(noisy)])
    assert (folder / "offline_int8.onnx").is_file()
    return folder


def test_all_forms_are_quantized_scored_and_used(forms, noisy, capsys):
    quantize = script("quantize")
    wav = audio.read(noisy / "0.wav")
    for form in ("offline", "patch", "stream"):
        for precision in ("int8", "int16x8"):
            words = [forms / f"{form}.onnx", "--calibration_folder", noisy]
            words += ["--precision", precision]
            quantize.main(list(map(str, words)))
            printed = capsys.readouterr().out
            assert f"{form}_{precision}.onnx" in printed
            assert "magnitude/Pow: prologue" in printed
            enhancer = load_enhancer(forms / f"{form}_{precision}.onnx")
            assert (enhancer.form, enhancer.precision) == (form, precision)
            wanted = load_enhancer(forms / f"{form}.onnx").enhance(wav)
            error = enhancer.enhance(wav) - wanted
            least = 20 if precision == "int8" else 40
            snr = 10 * np.log10(np.sum(wanted**2) / np.sum(error**2))
            assert snr > least
    # A folder of forms gives the one asked for.
    assert load_enhancer(forms, "stream", "int8").precision == "int8"


def test_options_reach_the_file(forms, noisy, capsys):
    words = [forms / "offline.onnx", "--calibration_folder", noisy]
    words += ["--output", forms / "mine.onnx", "--per_channel", "False"]
    words += ["--nodes_to_exclude", "leave/Sigmoid"]
    words += ["--calibration_method", "Percentile", "--extra_options"]
    words += ["CalibPercentile=99.9", "--num_quantization_samples", "3"]
    words += ["--static_sequence_length", "20", "--random_seed", "7"]
    script("quantize").main(list(map(str, words)))
    printed = capsys.readouterr().out
    assert "leave/Sigmoid: excluded by name" in printed
    assert "for 20 frames" in printed
    runner = load_runner(forms / "mine_static.onnx")
    assert (runner.frames, runner.form) == (20, "patch")
    assert runner.metadata.precision == "int8"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--precision", "int4"], "did you mean int8"),
        (["--nodes_to_exclude", "leave/Conf"], "nearest: leave/Conv"),
        (["--extra_options", "CalibPercentile"], "write NAME=VALUE"),
        (["--extra_options", "CalibPercentile=x"], "no Python value"),
        (["--op_types_to_quantize", "Conf"], "did you mean Conv"),
        (["--static_axis_name", "f", "--static_sequence_length", "9"], "axis"),
        (["--n_fft", "256"], "512 there, 256 given"),
        (["--learned_ranges", "none"], "none: no checkpoint"),
        (["--calibration_folder", "none"], "no such folder"),
    ],
)
def test_mistakes_get_a_line_and_leave_files_alone(
    quantized, noisy, words, message
):
    base = [quantized / "offline.onnx", "--calibration_folder", noisy]
    before = {p.name: p.read_bytes() for p in quantized.iterdir()}
    with pytest.raises(UserError, match=message):
        script("quantize").main([*map(str, base), *words])
    assert {p.name: p.read_bytes() for p in quantized.iterdir()} == before


def test_no_traceback_for_a_file_that_is_no_model(tmp_path, noisy):
    path = tmp_path / "text.onnx"
    path.write_text("not a model")
    words = [path, "--calibration_folder", noisy]
    done = subprocess.run(
        [sys.executable, ROOT / "quantize.py", *map(str, words)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "text.onnx: not an ONNX file" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.integration
def test_aware_training_goes_on_resumes_and_is_exported(
    train, small_yaml, corpus, noisy, tmp_path, capsys, monkeypatch
):
    plain = small_yaml("plain.yaml")
    train(plain, "--data_folder", corpus, "--output_folder", tmp_path / "a")
    aware = small_yaml(
        "aware.yaml",
        **{
            "quantization_aware: null ": f"quantization_aware: {AWARE} ",
            "init_from: null ": f"init_from: {tmp_path / 'a'} ",
            "number_of_epochs: 40": "number_of_epochs: 3",
            "lr: 0.002\n": "lr: 0.0002\n",
        },
    )
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    train(aware, "--data_folder", corpus, "--output_folder", whole)

    # Interrupted after the second epoch and continued: the same bits.
    saved = AtomicCheckpointer.save_checkpoint

    def save(self, *args, **kwargs):
        result = saved(self, *args, **kwargs)
        if kwargs["meta"]["epoch"] == 2:
            raise KeyboardInterrupt
        return result

    with monkeypatch.context() as patch:
        patch.setattr(AtomicCheckpointer, "save_checkpoint", save)
        with pytest.raises(KeyboardInterrupt):
            train(aware, "--data_folder", corpus, "--output_folder", broken)
    train(aware, "--data_folder", corpus, "--output_folder", broken)
    for name in ("model", "quantizer"):
        ours, theirs = (
            torch.load(folder / "save/CKPT+epoch-0003" / f"{name}.ckpt")
            for folder in (whole, broken)
        )
        assert ours.keys() == theirs.keys()
        for key in ours:
            assert torch.equal(ours[key], theirs[key]), key
    assert (whole / "metrics.csv").read_text() == (
        broken / "metrics.csv"
    ).read_text()
    start = torch.load(next((tmp_path / "a/save").glob("CKPT*/model.ckpt")))
    assert (
        start.keys()
        == torch.load(whole / "save/CKPT+epoch-0003/model.ckpt").keys()
    )

    script("export_onnx").main([str(whole)])
    words = [whole / "export/stream.onnx", "--calibration_folder", noisy]
    words += ["--learned_ranges", whole]
    capsys.readouterr()
    script("quantize").main(list(map(str, words)))
    assert "ranges learnt in" in capsys.readouterr().out
    card = files.read_card(whole / "export/stream_int8.onnx")
    assert card.precision == "int8"
    with pytest.raises(UserError, match="8-bit activations, not of int16x8"):
        script("quantize").main([*map(str, words), "--precision", "int16x8"])
    with pytest.raises(UserError, match="was not trained with quantization"):
        words[-1] = tmp_path / "a"
        script("quantize").main([*map(str, words), "--overwrite"])


@pytest.mark.integration
def test_aware_training_needs_a_start(train, small_yaml, corpus):
    yaml = small_yaml(
        **{"quantization_aware: null ": f"quantization_aware: {AWARE} "}
    )
    with pytest.raises(UserError, match="give its results folder as init_from"):
        train(yaml, "--data_folder", corpus)
