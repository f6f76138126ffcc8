"""The released models: there, whole, small enough and as their cards say."""

from pathlib import Path
import re

from edgebrain.enhancement import load_enhancer
from edgebrain.onnx.files import read_card
from edgebrain.onnx.graph import Graph
from edgebrain.onnx.metadata import HASH
from edgebrain.onnx.runner import load_runner
from edgebrain.signal import magnitude, stft
from edgebrain.signal.probe import speech_like
import numpy as np
import onnx
import pytest

from deploy.st import application

#: Those of event detection have tests of their own.
MODELS = sorted(
    folder
    for folder in (Path(__file__).parents[1] / "models").iterdir()
    if not folder.name.endswith("-esc10")
)
#: tcnn-120k-st sees what comes, so that it has no stream form.
STREAMS = [f for f in MODELS if (f / "stream.onnx").is_file()]


@pytest.mark.parametrize("folder", MODELS, ids=lambda p: p.name)
def test_folder_is_complete_and_small(folder):
    card = (folder / "README.md").read_text()
    count = re.search(r"^\| parameters \| ([\d,]+) \|", card, re.M)[1]
    # Float weights once, or in 8 bits with both of their graphs.
    most = 4.5 * int(count.replace(",", "")) + 2**16
    sizes = [path.stat().st_size for path in folder.rglob("*")]
    assert max(sizes) <= max(most, 2**18) and sum(sizes) <= 5 * most
    assert (folder / "train.yaml").is_file()
    for path in folder.glob("*.onnx"):
        assert path.name in card, f"{path.name} is not in the card"
    for word in ("CC BY 4.0", "PESQ", "Known weaknesses", "train.py"):
        assert word in card


@pytest.mark.parametrize("folder", MODELS, ids=lambda p: p.name)
def test_all_forms_come_from_one_checkpoint(folder):
    found = [read_card(path) for path in sorted(folder.glob("*.onnx"))]
    assert len({m.checkpoint_sha256 for m in found}) == 1
    assert {m.task for m in found} == {"enhancement"}
    for path in folder.glob("*.onnx"):
        assert HASH in {p.key for p in onnx.load(path).metadata_props}
    forms = {(m.form, m.precision) for m in found}
    assert ("offline", "float32") in forms
    if folder in STREAMS:
        assert {("stream", p) for p in ("float32", "int8", "int16x8")} <= forms


@pytest.mark.parametrize("folder", STREAMS, ids=lambda p: p.name)
def test_forms_agree_on_a_signal(folder):
    rng = np.random.default_rng(0)
    time = np.arange(32000) / 16000
    speech = np.sin(2 * np.pi * 180 * time) * (1 + np.sin(2 * np.pi * 3 * time))
    noisy = (0.1 * speech + 0.02 * rng.standard_normal(32000)).astype("f4")
    whole = load_enhancer(folder, form="offline").enhance(noisy)
    stream = load_enhancer(folder, form="stream").enhance(noisy)
    assert np.abs(whole - stream).max() < 1e-4
    for precision in ("int8", "int16x8"):
        quantized = load_enhancer(
            folder, form="stream", precision=precision
        ).enhance(noisy)
        error = np.mean((quantized - whole) ** 2) / np.mean(whole**2)
        assert -10 * np.log10(error) > 15, precision
    card = read_card(folder / "stream.onnx")
    late = load_enhancer(folder).latency_samples
    ahead = card.lookahead_frames * card.signal.hop_length
    assert late == card.signal.win_length + ahead


@pytest.mark.parametrize("folder", STREAMS, ids=lambda p: p.name)
def test_int8_costs_what_it_may(folder):
    card = (folder / "README.md").read_text()
    rows = dict(
        re.findall(r"^\| (stream\w*\.onnx)\S* .*?\| (\d\.\d+) \|", card, re.M)
        + re.findall(r"^\| (stream\w*\.onnx) \| (\d\.\d+) \|", card, re.M)
    )
    loss = {k: float(rows["stream.onnx"]) - float(v) for k, v in rows.items()}
    assert loss["stream_int8.onnx"] <= 0.05
    assert loss["stream_int16x8.onnx"] <= 0.01


def test_a_released_patch_fits_the_audio_application_of_st():
    path = MODELS[0].parent / "tcnn-120k-st" / "patch_int8.onnx"
    fitting = application.fit(Graph.read(path))
    assert (fitting.frames_per_patch, fitting.lookahead_frames) == (30, 60)
    card = read_card(path)
    noisy = 0.3 * speech_like(3.0, 16000)
    float_magnitudes = magnitude(stft(noisy, card.signal), card.signal)
    seen = np.clip(np.rint(float_magnitudes * 128), 0, 255) / 128
    whole, patch = (
        load_runner(path.with_name(f"{form}.onnx"))
        for form in ("offline", "patch_int8")
    )
    # It hears the rounded magnitudes alone.
    want = whole.run(float_magnitudes.astype(np.float32))
    np.testing.assert_array_equal(want, whole.run(seen.astype(np.float32)))
    got = patch.run(float_magnitudes.astype(np.float32))
    assert np.ptp(want) > 0.5
    assert -10 * np.log10(np.mean((got - want) ** 2) / np.mean(want**2)) > 20
