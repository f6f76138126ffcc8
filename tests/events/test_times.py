"""Recordings with labelled times: what is read, what is found."""

import json

from edgebrain.errors import UserError
from edgebrain.events.base import Detector
from edgebrain.events.brain import event_setup
from edgebrain.events.patches import PatchSettings
from edgebrain.events.times import evaluate, event_f1, read_times
from edgebrain.signal.mel import MelSettings
import numpy as np
import pytest
import soundfile

NAMES = ["high", "low"]
HEAD = "filename,start,end,label\n"


class Loud:
    """Hears whether a half of the bands is loud, in the middle of a patch."""

    form, precision = "torch", "float32"

    def __init__(self):
        mel, patch = MelSettings(log_offset=1e-3), PatchSettings(overlap=0.9)
        self.setup = event_setup(mel, patch, NAMES, True)

    def __call__(self, patches):
        middle = np.exp(patches[:, :, 43:53]).mean(2)
        low, high = middle.reshape(len(patches), 2, -1).mean(2).T
        return 4 * np.log(np.stack([high, low], 1)) + 16


@pytest.fixture
def scene(tmp_path):
    """Write six seconds: a low tone from 1 to 3 s, a high one from 4 to 5."""
    t = np.arange(6 * 16000) / 16000
    low, high = (t >= 1) & (t < 3), (t >= 4) & (t < 5)
    wav = np.sin(2 * np.pi * np.where(high, 4000, 200) * t) * (low | high)
    soundfile.write(tmp_path / "a.wav", 0.5 * wav, 16000)
    soundfile.write(tmp_path / "quiet.wav", np.zeros(32000), 16000)
    return tmp_path / "times.csv"


def test_events_of_recordings_are_scored(scene):
    scene.write_text(HEAD + "a.wav,1,3,low\na.wav,4,5,high\nquiet.wav,,,\n")
    truth = read_times(scene)
    assert [len(events) for events in truth.values()] == [2, 0]
    table = evaluate({"ours": Detector(Loud(), "x")}, truth, scene.parent)
    scores = json.loads((scene.parent / "metrics.json").read_text())["ours"]
    assert (scores["hits"], scores["missed"]) == (2, 0)
    # The clicks where the high tone starts and ends are low ones.
    assert scores["false_alarms"] == 2
    assert table.splitlines()[2].split()[0] == "ours"
    assert "2 events in 2 recordings" in table
    late = {
        path: [(s + 1, e + 1, x) for s, e, x in v] for path, v in truth.items()
    }
    evaluate({"ours": Detector(Loud(), "x")}, late, scene.parent)
    scores = json.loads((scene.parent / "metrics.json").read_text())["ours"]
    assert scores["hits"] == 0


@pytest.mark.parametrize(
    "text, message",
    [
        ("filename,label\na.wav,low\n", "has no column start, end"),
        (HEAD, "it is empty"),
        (HEAD + "b.wav,1,2,low\n", "line 2: .*b.wav does not exist"),
        (HEAD + "a.wav,1,x,low\n", "line 2: start and end: a number"),
        (HEAD + "a.wav,2,1,low\n", "line 2: ends at 1, before it starts"),
    ],
)
def test_refuses_times(scene, text, message):
    scene.write_text(text)
    with pytest.raises(UserError, match=message):
        read_times(scene)


def test_refuses_a_class_that_a_model_does_not_know(scene):
    with pytest.raises(UserError, match="no such table"):
        read_times(scene)
    scene.write_text(HEAD + "a.wav,1,3,dog\n")
    with pytest.raises(UserError, match="does not know dog; it knows high"):
        evaluate({"x": Detector(Loud(), "x")}, read_times(scene), scene)


def test_events_are_matched_within_collars():
    truth = {"x": [(1.0, 2.0, "dog"), (1.1, 2.1, "dog"), (5.0, 6.0, "cat")]}
    found = {"x": [(1.15, 2.2, "dog"), (0.95, 2.1, "dog"), (5.5, 6.0, "cat")]}
    got = event_f1(truth, found)
    assert (got["hits"], got["missed"], got["false_alarms"]) == (2, 1, 1)
    assert got["f1"] == pytest.approx(200 / 3)
    # One found event serves one true event alone.
    got = event_f1({"x": truth["x"][:2]}, {"x": found["x"][:1]})
    assert (got["hits"], got["missed"]) == (1, 1)
    assert event_f1({}, {"x": found["x"]})["false_alarms"] == 3
