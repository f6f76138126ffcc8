"""The released detectors: whole, small, their forms alike."""

import importlib.util
import itertools
from pathlib import Path

from edgebrain.data.embedded.noises import make_noise
from edgebrain.events.detector import load_detector
from edgebrain.onnx.files import read_card
from edgebrain.onnx.metadata import HASH
import numpy as np
import onnx
import pytest

MODELS = sorted((Path(__file__).parents[2] / "models").glob("*-esc10"))
FORMS = {
    *(("patch", p) for p in ("float32", "int8", "int16x8")),
    *(("stream", p) for p in ("float32", "int8")),
}


@pytest.fixture(params=MODELS, ids=lambda p: p.name)
def folder(request):
    return request.param


def test_a_folder_is_whole_and_small(folder):
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 3 * 2**20
    text = (folder / "README.md").read_text()
    assert (folder / "train.yaml").is_file()
    for path in folder.glob("*.onnx"):
        assert path.name in text
        assert HASH in {p.key for p in onnx.load(path).metadata_props}
    for word in ("ESC-10", "Apache-2.0", "five folds", "Known weaknesses"):
        assert word in text


def test_all_forms_come_from_one_checkpoint(folder):
    cards = [read_card(path) for path in sorted(folder.glob("*.onnx"))]
    assert len({card.checkpoint_sha256 for card in cards}) == 1
    assert {card.task for card in cards} == {"events"}
    assert {(card.form, card.precision) for card in cards} >= FORMS
    assert all(len(card.class_names) == 10 for card in cards)


def test_forms_agree_on_sounds(folder):
    rng = np.random.default_rng(1)
    rain = make_noise("rain", "test", 2.0, 16000, rng)[0]
    keys = make_noise("keyboard", "test", 2.0, 16000, rng)[0]
    wav = (0.1 * np.concatenate([rain, keys])).astype(np.float32)
    float_ = load_detector(folder)
    whole = float_.classify(wav)
    assert len(whole) >= 6 and np.ptp(whole, axis=0).max() > 0.3
    names = np.array(float_.class_names)
    assert names[whole[0].argmax()] == "rain"
    stream = load_detector(folder, form="stream").classify(wav)
    assert np.abs(stream - whole).max() < 1e-4
    # Most of it is of the weights, of 8 bits in both: measured .07.
    for precision, allowed in (("int8", 0.15), ("int16x8", 0.1)):
        other = load_detector(folder, precision=precision).classify(wav)
        assert np.abs(other - whole).max() < allowed, precision
    other = load_detector(folder, form="stream", precision="int8")
    assert np.abs(other.classify(wav) - whole).max() < 0.15


def test_listening_prints_what_changes(monkeypatch, capsys):
    """The scores of a microphone are those of the same recording."""
    spec = importlib.util.spec_from_file_location(
        "detect", MODELS[0].parents[1] / "detect.py"
    )
    detect = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(detect)
    rng = np.random.default_rng(1)
    wav = make_noise("rain", "test", 3.0, 16000, rng)[0].astype(np.float32)
    detector = load_detector(MODELS[0], form="stream")
    rows = detector.stream().feed(0.1 * wav)
    blocks = iter(np.array_split(0.1 * wav, 40))
    monkeypatch.setattr(detect, "heard", lambda rate, device: blocks)
    detect.listen(detector, 0.0, None)
    printed = capsys.readouterr().out.splitlines()
    names = [detector.class_names[row.argmax()] for row in rows]
    names = [name for name, _ in itertools.groupby(names)]
    assert [line.split()[2] for line in printed] == names and names
