"""The command that makes the page, and the C library that it brings."""

import json
from pathlib import Path
import shutil
import subprocess
import sys

from c_models import released
from edgebrain.errors import UserError
from edgebrain.events.detector import load_detector
import numpy as np
import onnx
import pytest
import soundfile

from deploy.web.build import build, name_models

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "deploy" / "web.py"
MISSING = [t for t in ("clang", "wasm-ld") if not shutil.which(t)]
needs_clang = pytest.mark.skipif(
    bool(MISSING), reason=f"not installed: {' '.join(MISSING)}"
)


def command(*arguments):
    return subprocess.run(
        [sys.executable, SCRIPT, *map(str, arguments)],
        capture_output=True,
        text=True,
    )


@needs_clang
def test_command_makes_a_small_page_of_its_own(quantized, tmp_path):
    """Twice into one folder: what is there of the command is replaced."""
    folder = tmp_path / "page"
    for model in (quantized("lstm", "int16x8"), ROOT / "models" / "tcnn-120k"):
        done = command(model, "--output_folder", folder)
        assert not done.returncode, done.stderr
    assert "tcnn-120k: STFTTCNN, int8, " in done.stdout
    contents = json.loads((folder / "contents.json").read_text())
    [entry] = contents["models"]
    assert entry["name"] == "tcnn-120k" and entry["latency"] == 0.025
    files = sorted(path.name for path in folder.glob("models/*"))
    assert files == ["tcnn_120k-simd.wasm", "tcnn_120k.wasm"]
    for path in folder.glob("models/*"):
        assert 100_000 < path.stat().st_size < 300_000
    assert_examples(folder, contents, 3)


def assert_examples(folder, contents, count):
    for example in contents["examples"]:
        info = soundfile.info(folder / example["file"])
        assert (info.samplerate, info.channels) == (16000, 1)
        assert info.subtype == "PCM_16" and 5 < info.duration < 10
    assert len(contents["examples"]) == count


@needs_clang
def test_of_an_event_model_the_patch_is_taken(tmp_path):
    """And its example alone, in which it hears what was meant."""
    name, folder = "stream-66k-esc10", tmp_path / "page"
    [entry] = build(name_models([ROOT / "models" / name]), folder)
    contents = json.loads((folder / "contents.json").read_text())
    assert entry["task"] == "events" and not entry["multi_label"]
    assert (entry["window"], entry["step"]) == (48, 8)
    assert entry["on"] >= entry["off"] == 0.3
    assert len(entry["class_names"]) == 10
    assert max(entry["bytes"]) < 300_000
    assert_examples(folder, contents, 1)
    scene, rate = soundfile.read(folder / contents["examples"][0]["file"])
    detector = load_detector(ROOT / "models" / name, "patch", "int8")
    thirds = [detector.classify(part).mean(0) for part in np.split(scene, 3)]
    heard = [detector.class_names[row.argmax()] for row in thirds]
    assert heard == ["rain", "crackling_fire", "crying_baby"]


@needs_clang
def test_what_is_refused_leaves_nothing(quantized, tmp_path):
    model = quantized("tcnn", "int8")
    other = tmp_path / "TCNN_int8.onnx"
    shutil.copy(model, other)
    with pytest.raises(UserError, match="rename one"):
        name_models([model, other])
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="stream_int8.onnx: is not there"):
        name_models([tmp_path / "empty"])
    target = tmp_path / "page"
    models = {"a": model, "b": released("tcnn-120k", "int8").parent / "x.onnx"}
    with pytest.raises(UserError, match="x.onnx"):
        build(models, target)
    detector = onnx.load(model)
    for entry in detector.metadata_props:
        if entry.key == "edgebrain.task":
            entry.value = "events"
    onnx.save(detector, tmp_path / "detector.onnx")
    with pytest.raises(UserError, match="detector.onnx"):
        build({"a": model, "b": tmp_path / "detector.onnx"}, target)
    assert not target.exists()
    target.mkdir()
    (target / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="other files"):
        build({"a": model}, target)


def test_a_missing_compiler_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="clang wasm-ld; .* apt install clang"):
        build({"a": released("tcnn-120k", "int8")}, tmp_path / "page")
