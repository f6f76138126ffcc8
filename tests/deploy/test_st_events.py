"""The package of an event network, and its headers for ST's application."""

import dataclasses
import json
import shutil

from edgebrain.events.brain import event_setup
from edgebrain.events.networks import YAMNet
from edgebrain.events.patches import PatchSettings
from edgebrain.onnx.export import export_patch
from edgebrain.onnx.graph import Graph
from edgebrain.onnx.metadata import HASH
from edgebrain.onnx.quantization import (
    QuantizationSettings,
    load_source,
    quantize,
)
from edgebrain.onnx.quantization_calibration import read_clips
from edgebrain.signal import SignalSettings
from edgebrain.signal.mel import MelSettings
import numpy as np
import onnx
import pytest
from test_st_package import run_c
import torch

from deploy import stedgeai
from deploy.st.application import fit
from deploy.st.application_header import Unfit
from deploy.st.checker import check
from deploy.st.targets import get_target

NAMES = ("dog", "rain", 'a"\n#error `x`', "sea waves")


@pytest.fixture(scope="session")
def events(models, tmp_path_factory):
    """Return the path of an int8 event network."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("events")
    setup = event_setup(MelSettings(), PatchSettings(), NAMES, False)
    network = YAMNet(len(NAMES), embedding=256).eval()
    export_patch(network, setup, folder / "patch.onnx")
    clips = read_clips(models["noisy"], setup, 3, 0, 1.0)
    target = folder / "patch_int8.onnx"
    settings = QuantizationSettings()
    quantize(load_source(folder / "patch.onnx"), target, clips, settings)
    return target


@pytest.fixture
def package(events, models, tmp_path, capsys):
    """Return a function that packages it; it returns folder and JSON."""

    def run(target, *words):
        folder = tmp_path / target
        arguments = [str(events), "--target", target, "--no_run", "--json"]
        arguments += ["--audio", str(models["noisy"]), "--vectors", "3"]
        arguments += ["--output_folder", str(folder), *words]
        assert stedgeai.main(arguments) == 0
        return folder, json.loads(capsys.readouterr().out)

    return run


@pytest.mark.parametrize("target", ["stm32n6", "stm32u5"])
def test_a_network_of_two_dimensions_is_judged_and_counted(package, target):
    folder, result = package(target)
    check = result["check"]
    assert [r for r in check["rules"] if r["level"] == "fail"] == []
    assert check["nodes"]["unknown"] == 0
    # 10 depthwise and pointwise layers behind one full convolution.
    assert 15e6 < check["cost"]["macs"] < 24e6
    # 64 channels of 32 bands and 45 frames, behind the first pointwise
    # layer. With padded borders it is 98,304: ST's tool takes 110.6 kB.
    assert check["cost"]["activation_peak_bytes"] == 64 * 32 * 45
    assert check["application"].startswith("fits: 96 new frames a call")
    readme = (folder / "README.md").read_text()
    assert "a Softmax was put behind the logits" in readme
    assert "\n#error" not in readme


def test_vectors_are_probabilities_of_log_mel_patches(package, events):
    folder, _ = package("stm32n6")
    (features,) = (folder / "vectors").glob("in_*.npy")
    assert np.load(features).shape == (3, 64, 96)
    (output,) = (folder / "vectors").glob("out_*.npy")
    got = np.load(output)
    assert got.shape == (3, 4) and np.allclose(got.sum(1), 1, atol=1e-6)
    graph = Graph.read(folder / "model.onnx")
    assert graph.producers[graph.outputs[0]].op_type == "Softmax"
    assert Graph.read(events).outputs != graph.outputs  # the file as it was


def test_the_headers_hold_classes_and_mel_filters(package):
    if shutil.which("cc") is None:
        pytest.skip("no C compiler: install gcc")
    folder, _ = package("stm32u5", "--unknown_below", "0.4")
    app = folder / "audio_application"
    (app / "preproc_dpu.h").touch()
    printed = run_c(
        app,
        "const char *names[] = CTRL_X_CUBE_AI_MODEL_CLASS_LIST; "
        'printf("%s %u %.1f\\n", names[0], CTRL_X_CUBE_AI_MODE_CLASS_NUMBER,'
        " CTRL_X_CUBE_AI_OOD_THR); const float *value = "
        "CTRL_X_CUBE_AI_SPECTROGRAM_MEL_LUT; "
        "for (unsigned i = 0; i < CTRL_X_CUBE_AI_SPECTROGRAM_NMEL; i++) "
        "for (unsigned j = CTRL_X_CUBE_AI_SPECTROGRAM_MEL_START_IDX[i]; "
        "j <= CTRL_X_CUBE_AI_SPECTROGRAM_MEL_STOP_IDX[i]; j++) "
        'printf("%u %u %.9e\\n", i, j, (double)*value++);',
    )
    assert printed[:3] == ["dog", "4", "0.4"]
    filters = np.zeros((64, 257))
    triples = np.array(printed[3:], float).reshape(-1, 3)
    filters[triples[:, 0].astype(int), triples[:, 1].astype(int)] = triples[
        :, 2
    ]
    assert np.allclose(filters, MelSettings().filters, atol=1e-7)
    text = (app / "ai_model_config.h").read_text()
    assert '"a__#error' not in text and '"a___error _x_"' in text


@pytest.mark.parametrize(
    "changes, reason",
    [
        ({"to_db": True}, "to_db: False"),
        ({"log_offset": 1e-3}, "log_offset: 0.001"),
        ({"signal": SignalSettings(center=True)}, "not centred"),
        ({"signal": SignalSettings(center=False, power=0.5)}, r"\*\* 0.5"),
    ],
)
def test_what_the_application_cannot_compute_is_said(events, changes, reason):
    graph = Graph.read(events)
    mel = dataclasses.replace(MelSettings(), **changes)
    setup = event_setup(mel, PatchSettings(), NAMES, False)
    graph.metadata = graph.metadata.replace(
        signal=setup.signal, features=setup.features
    )
    with pytest.raises(Unfit, match=reason):
        fit(graph)


def test_several_classes_at_once_get_a_sigmoid(events):
    graph = Graph.read(events)
    features = graph.metadata.features | {"multi_label": True}
    graph.metadata = graph.metadata.replace(features=features)
    assert fit(graph).last == "Sigmoid"


def test_a_float_front_is_refused(events):
    model = onnx.load(events)
    name = model.graph.input[0].name
    first = next(n for n in model.graph.node if n.input[0] == name)
    node = onnx.helper.make_node("Relu", [name], ["up"], "front")
    first.input[0] = "up"
    model.graph.node.insert(0, node)
    kept = [p for p in model.metadata_props if p.key != HASH]
    del model.metadata_props[:]
    model.metadata_props.extend(kept)
    with pytest.raises(Unfit, match="front computes on them in float"):
        fit(Graph(model, events))


def test_damaged_settings_of_features_are_no_traceback(events):
    graph = Graph.read(events)
    graph.metadata = graph.metadata.replace(features={"mel": {"fmin": "x"}})
    report = check(graph, get_target("stm32n6"))
    assert "not valid" in str(report.application)
