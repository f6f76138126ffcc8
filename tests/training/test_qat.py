"""Quantization-aware training, and how near it is to the exported file."""

import copy

from edgebrain.enhancement.networks import NNSE, STFTTCNN, ConvLSTM, LSTMMask
from edgebrain.errors import UserError
from edgebrain.onnx import export
from edgebrain.onnx import quantization as q
from edgebrain.onnx import quantization_graph as graphs
from edgebrain.onnx.graph import Graph
from edgebrain.onnx.job import probe
from edgebrain.onnx.quantization_calibration import Clips
from edgebrain.onnx.runner import load_runner
from edgebrain.signal import SignalSettings
from edgebrain.tasks import Setup
from edgebrain.training.qat import (
    FakeQuantizer,
    QuantizationAware,
    fake_quantize_weight,
    ranges_in,
)
import numpy as np
import pytest
import torch
from torch import nn

BINS = 17
SIGNAL = SignalSettings(n_fft=32, win_length=32, hop_length=16)
SETUP = Setup("enhancement", SIGNAL)
LAYERS = [
    {"layer_type": "conv1d", "layer_neurons": 8, "kernel_size": 3},
    {"layer_type": "lstm", "layer_neurons": 8},
    {"layer_type": "fc", "layer_neurons": 8, "activation": "relu6"},
    {"layer_type": "fc", "layer_neurons": BINS, "activation": "sigmoid"},
]
MODELS = {
    "tcnn": lambda: STFTTCNN(
        1, 3, BINS, 12, prologue="power", bottleneck_channels=8
    ),
    "tcnn_prelu": lambda: STFTTCNN(1, 2, BINS, 12, activation="prelu"),
    "tcnn_late": lambda: STFTTCNN(1, 2, BINS, 12, lookahead_frames=2),
    "lstm_mask": lambda: LSTMMask(BINS, 9, 2, projection_size=6),
    "conv_lstm": lambda: ConvLSTM(BINS, 9, prologue="log1p"),
    "nnse": lambda: NNSE(LAYERS, bins=BINS, n_mels=5, scalar_output=1.5),
}
CASES = [
    ("tcnn", "offline", "int8"),
    ("tcnn", "stream", "int16x8"),
    ("tcnn", "patch", "int16x8"),
    ("tcnn_prelu", "stream", "int8"),
    ("tcnn_late", "stream", "int8"),
    ("lstm_mask", "stream", "int8"),
    ("lstm_mask", "stream", "int16x8"),
    ("conv_lstm", "stream", "int8"),
    ("nnse", "stream", "int16x8"),
]


def build(name):
    """Return a miniature network with norms as a training leaves them."""
    torch.manual_seed(0)
    model = MODELS[name]()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d):
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 2)
            module.weight.data.uniform_(-2, 2)  # negative factors too
    return model


def batches(count=3):
    """Return magnitudes (2, bins, frames)."""
    size = torch.from_numpy(probe(SETUP, 400))
    return [
        torch.stack([size[:, k : k + 60], size[:, 200 + k : 260 + k]])
        for k in range(0, 50 * count, 50)
    ]


def trained(name, precision, steps=3):
    """Return a network after a few steps and its quantizer."""
    model = build(name)
    quantizer = QuantizationAware(precision, observe_steps=steps)
    quantizer.attach(model)
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    model.train()
    for batch in batches(steps):
        optimizer.zero_grad()
        (model(batch) - 0.3).square().mean().backward()
        optimizer.step()
    return model.eval(), quantizer


@pytest.mark.parametrize(("name", "form", "precision"), CASES)
def test_exported_file_takes_the_ranges_of_each_layer(
    tmp_path, name, form, precision
):
    model, quantizer = trained(name, precision)
    plain = build(name)
    plain.load_state_dict(model.state_dict())  # as export_onnx.py does
    path = tmp_path / "float.onnx"
    getattr(export, f"export_{form}")(plain, SETUP, path)
    source = q.load_source(path)
    ranges = ranges_in(source.model, quantizer)
    assert {r for r in ranges.values()} == {
        (float(p.low), float(p.high)) for p in quantizer.points.values()
    }
    clip = probe(SETUP, 300)[:, 50:200]
    report = q.quantize(
        source,
        tmp_path / "quantized.onnx",
        Clips((clip,), (clip,), False),
        q.QuantizationSettings(precision=precision),
        ranges,
    )
    # The tensor that enters a layer has the scale of its learnt range.
    graph, shared = Graph.read(report.target), tied(source)
    for tensor in ranges.keys() - shared.keys():
        low, high = ranges[tensor]
        wanted = (high - low) / 255
        if precision == "int16x8":
            wanted = max(-low, high) / 32767
        made = graph.producers[f"{tensor}_DequantizeLinear_Output"]
        assert float(graph.scale(made)) == pytest.approx(wanted, rel=1e-5)
    with torch.no_grad():
        rounded = model(torch.from_numpy(clip[None]))[0].numpy()
        unrounded = plain.eval()(torch.from_numpy(clip[None]))[0].numpy()
    assert not np.array_equal(rounded, unrounded)
    apart = np.abs(rounded - load_runner(report.target).run(clip)).max()
    assert apart < (0.01 if precision == "int8" else 5e-4)


def tied(source):
    """Return what shares the range of a state, which may be wider, by name."""
    states = source.metadata.states
    names = {node.input[0] for node in source.model.graph.node}
    ranges = dict.fromkeys(names, (0.0, 1.0))
    return graphs.tie_states(source.model, states, ranges)


@pytest.mark.parametrize("precision", ["int8", "int16x8"])
def test_activation_is_rounded_as_onnx_defines_it(precision):
    fake, x = FakeQuantizer(precision), torch.linspace(-1.3, 2.7, 999)
    assert torch.equal(fake(x), x)  # nothing seen
    fake.observe(x)
    if precision == "int8":
        scale, zero = 4.0 / 255, round(-128 + 1.3 / (4.0 / 255))
        steps = np.clip(np.round(x.numpy() / scale) + zero, -128, 127)
        wanted = (steps - zero) * scale
    else:
        scale = 2.7 / 32767
        wanted = np.round(x.numpy() / scale) * scale
    np.testing.assert_allclose(fake(x).numpy(), wanted, atol=scale * 1e-2)
    # Straight through inside the range, nothing outside.
    y = torch.tensor([-9.0, 0.5, 9.0], requires_grad=True)
    fake(y).sum().backward()
    assert y.grad.tolist() == [0.0, 1.0, 0.0]


def test_weights_have_a_scale_an_output_channel():
    weight = torch.randn(5, 4, 3) * torch.logspace(-3, 1, 5)[:, None, None]
    weight[4] = 0.0
    rounded = fake_quantize_weight(weight)
    reach = weight.abs().amax((1, 2))
    error = (rounded - weight).abs().amax((1, 2))
    assert (error <= reach / 127 / 2 + 1e-9).all()
    steps = rounded[:4] / reach[:4, None, None] * 127
    torch.testing.assert_close(steps, steps.round(), atol=1e-3, rtol=0)
    across = fake_quantize_weight(weight.transpose(0, 1), 1)
    assert torch.equal(across.transpose(0, 1), rounded)


def test_rounding_before_a_frozen_norm_is_rounding_the_folded_weights():
    model, quantizer = build("tcnn"), QuantizationAware()
    quantizer.attach(model)
    conv, norm = model.blocks["block0_layer0"].expand[:2]
    factor = norm.weight / (norm.running_var + norm.eps).sqrt()
    folded = conv.weight * factor[:, None, None]
    torch.testing.assert_close(
        fake_quantize_weight(conv.weight) * factor[:, None, None],
        fake_quantize_weight(folded),
    )


def test_norms_are_frozen_and_shadow_weights_move():
    before = build("tcnn").state_dict()
    model, quantizer = trained("tcnn", "int8")
    after = model.state_dict()
    assert list(before) == list(after)
    for name in before:
        if "running" in name or "num_batches" in name:
            assert torch.equal(before[name], after[name])
    weight = "blocks.block0_layer1.expand.0.weight"
    moved = (before[weight] - after[weight]).abs()
    step = before[weight].abs().amax() / 127
    assert 0 < moved.max() < step  # less than a step is not lost
    assert int(quantizer.steps) == 3


def test_ranges_freeze_after_the_given_steps():
    model, quantizer = trained("lstm_mask", "int8", steps=2)
    before = copy.deepcopy(quantizer.state_dict())
    model.train()
    model(100 * batches(1)[0])
    after = quantizer.state_dict()
    changed = [n for n in before if not torch.equal(before[n], after[n])]
    assert changed == ["steps"]
    # Nor does a validation change them, at any time.
    young = QuantizationAware(observe_steps=100)
    model = build("tcnn")
    young.attach(model)
    model.eval()(batches(1)[0])
    assert not any(bool(point.seen) for point in young.points.values())


@pytest.mark.parametrize("name", MODELS)
def test_weights_are_rounded_in_the_forward_pass_alone(name):
    model, rounded = build(name).eval(), build(name).eval()
    QuantizationAware().attach(model)
    moved = 0
    for layer in rounded.modules():
        if isinstance(layer, (nn.Conv1d, nn.LSTM)):
            for kind, weight in layer.named_parameters():
                if kind.startswith("weight"):
                    weight.data = fake_quantize_weight(weight.data)
                    moved += 1
    batch = batches(1)[0]
    assert moved and not torch.equal(build(name).eval()(batch), model(batch))
    torch.testing.assert_close(model(batch), rounded(batch))
    for name_, value in build(name).state_dict().items():
        assert torch.equal(model.state_dict()[name_], value), name_


def test_what_enters_a_layer_is_rounded():
    model, quantizer = trained("lstm_mask", "int8")
    assert set(quantizer.points) == {"project", "lstm/lstm", "output/0"}
    seen = {}
    for name in ("project", "output.0"):
        model.get_submodule(name).register_forward_pre_hook(
            lambda _, inputs, name=name: seen.update({name: inputs[0]})
        )
    model(batches(1)[0])
    for name, value in seen.items():
        point = quantizer.points[name.replace(".", "/")]
        steps = value.detach() / ((point.high - point.low) / 255)
        torch.testing.assert_close(steps, steps.round(), atol=1e-2, rtol=0)


def test_saved_ranges_come_back_and_are_checked(tmp_path):
    model, quantizer = trained("tcnn", "int8")
    path = tmp_path / "quantizer.ckpt"
    torch.save(quantizer.state_dict(), path)
    other = QuantizationAware("int8")
    fresh = build("tcnn")
    fresh.load_state_dict(model.state_dict())
    other.attach(fresh)
    other.load(path)
    batch = batches(1)[0]
    assert torch.equal(fresh.eval()(batch), model(batch))
    wide = QuantizationAware("int16x8")
    wide.attach(build("tcnn"))
    with pytest.raises(UserError, match="8-bit activations, not of int16x8"):
        wide.load(path)
    lstm = QuantizationAware("int8")
    lstm.attach(build("lstm_mask"))
    with pytest.raises(UserError, match="not ranges of this network"):
        lstm.load(path)


def test_a_network_without_layers_is_refused():
    with pytest.raises(UserError, match="no layer to round"):
        QuantizationAware().attach(nn.Sigmoid())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"precision": "int4"}, "did you mean int8"),
        ({"observe_steps": 0}, "whole number from 1"),
        ({"observe_steps": 2.5}, "whole number from 1"),
    ],
)
def test_bad_values_are_refused(arguments, words):
    with pytest.raises(UserError, match=words):
        QuantizationAware(**arguments)
