"""Forms of one network agree; a stream equals a whole recording."""

import json

from edgebrain.errors import UserError
from edgebrain.events.brain import event_setup
from edgebrain.events.detector import Detector, TorchForm, load_detector
from edgebrain.events.patches import PatchSettings
from edgebrain.onnx.export import export_patch, export_stream
from edgebrain.training.results import CheckpointInfo, LoadedModel
import numpy as np
import pytest
import torch

NAMES = ["high", "low", "middle"]
PATCH = PatchSettings(patch_length=48)


def unsettled(model):
    generator = torch.Generator().manual_seed(5)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1, generator=generator)
            module.running_var.uniform_(0.5, 2.0, generator=generator)
    model.head.weight.data.normal_(0, 5.0, generator=generator)
    return model.eval()


@pytest.fixture
def forms(small, mel, tmp_path):
    """Return a detector of each form of one network."""
    torch.manual_seed(0)
    model, setup = unsettled(small), event_setup(mel, PATCH, NAMES, False)
    export_patch(model, setup, tmp_path / "patch.onnx")
    export_stream(model, setup, tmp_path / "stream.onnx")
    info = CheckpointInfo(tmp_path, {}, None, "SeparableNet", {})
    loaded = LoadedModel(model, setup.signal, "", info, setup)
    return {
        "torch": Detector(TorchForm(loaded), tmp_path),
        "patch": load_detector(tmp_path),
        "stream": load_detector(tmp_path, form="stream"),
    }


def scene(seconds=4.0):
    rng = np.random.default_rng(8)
    t = np.arange(round(16000 * seconds)) / 16000
    loud = np.where(t % 2.0 < 1.0, 1.0, 1e-3)
    wav = 0.2 * np.sin(2 * np.pi * (300 + 400 * t) * t)
    wav = loud * (wav + 0.1 * rng.standard_normal(len(t)))
    return wav.astype(np.float32)


def test_forms_agree(forms):
    wav = scene()
    torch_, patch, stream = (
        forms[name].timeline([wav]) for name in ("torch", "patch", "stream")
    )
    assert np.abs(torch_.probabilities - patch.probabilities).max() < 1e-5
    assert np.ptp(torch_.probabilities, axis=0).max() > 3e-4
    each = forms["patch"].classify(wav)
    assert np.allclose(each, forms["stream"].classify(wav), atol=1e-5)
    # The stream has a row where each patch has, and more between.
    assert len(stream.times) > 2 * len(patch.times)
    for time in patch.times:
        nearest = np.abs(stream.times - time).argmin()
        assert abs(stream.times[nearest] - time) <= stream.step


@pytest.mark.parametrize("form", ["torch", "patch", "stream"])
@pytest.mark.parametrize("block", [100, 1600, 7777])
def test_a_stream_equals_the_whole_recording(forms, form, block):
    detector, wav = forms[form], scene(2.0)
    whole = detector.timeline([wav])
    blocks = [wav[at : at + block] for at in range(0, len(wav), block)]
    parts = detector.timeline(blocks)
    assert len(parts.times) == len(whole.times) > 2
    assert np.allclose(parts.probabilities, whole.probabilities, atol=1e-4)


@pytest.mark.parametrize("form", ["patch", "stream"])
def test_silence_is_nothing(forms, form):
    wav = np.concatenate([np.zeros(32000, np.float32), scene(1.5)])
    found = forms[form].timeline([wav])
    silent = found.times < 2.0 - 0.5 * 48 * 0.01 - found.step
    assert silent.sum() >= 3
    assert (found.probabilities[silent] == 0).all()
    assert found.probabilities[~silent].max() > 0


def test_a_moment_is_repeated_to_a_patch(forms):
    detector = forms["torch"]
    assert len(detector.timeline([scene(0.2)]).times) == 1
    assert len(detector.timeline([]).times) == 0


def test_a_stream_scores_often_over_less_than_a_second(forms):
    stream = forms["stream"]
    assert stream.seconds(stream.window) < 1.0
    assert stream.seconds(stream.step) <= 0.08


def test_says_what_it_is(forms, tmp_path):
    facts = forms["stream"].facts()
    assert facts["form"] == "stream" and facts["latency_samples"] > 0
    json.dumps(facts)
    assert "3 classes" in forms["torch"].describe()
    with pytest.raises(UserError, match="does not exist"):
        load_detector(tmp_path / "nothing")
    with pytest.raises(UserError, match="has no int8 form"):
        load_detector(tmp_path, precision="int8")
    with pytest.raises(UserError, match="its form is patch, not stream"):
        load_detector(tmp_path / "patch.onnx", form="stream")
