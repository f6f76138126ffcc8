"""Every form of every network equals PyTorch and is as tools want it."""

import hashlib

from edgebrain.enhancement.networks import STFTTCNN
from edgebrain.errors import UserError
from edgebrain.models import MaskModel
from edgebrain.onnx import files
from edgebrain.onnx.export import export_offline, export_patch, export_stream
from edgebrain.onnx.files import read_card
from edgebrain.onnx.job import TOLERANCE, probe
from edgebrain.onnx.runner import load_runner
from edgebrain.signal.probe import speech_like
from edgebrain.tasks import Setup
import numpy as np
import onnx
import pytest
import torch
from torch import nn

#: The oldest and the newest; 17 is what every other test exports by.
OPSETS = (13, 20)


def magnitudes(settings, frames):
    """Return those of speech, (bins, frames)."""
    return probe(Setup("enhancement", settings), frames)


def forward(model, magnitude):
    with torch.no_grad():
        return model(torch.from_numpy(magnitude[None]))[0].numpy()


def judge_file(path, opset):
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    assert model.ir_version == 8
    assert [(o.domain, o.version) for o in model.opset_import] == [("", opset)]
    assert not any(t.external_data for t in model.graph.initializer)
    assert not any(n.domain for n in model.graph.node)
    counts = files.operators(model)
    assert not set(counts) & {"BatchNormalization", "Constant", "Identity"}
    return model, counts


@pytest.mark.parametrize("opset", OPSETS)
def test_offline_equals_pytorch(
    any_model, opset, make_model, settings, tmp_path
):
    path, model = tmp_path / "m.onnx", make_model(any_model)
    exported = export_offline(
        model, Setup("enhancement", settings), path, opset
    )
    assert exported.difference < 1e-5
    judge_file(path, opset)
    runner = load_runner(path)
    assert runner.form == "offline" and runner.frames is None
    magnitude = magnitudes(settings, 90)
    wanted = forward(model, magnitude)
    np.testing.assert_allclose(runner.run(magnitude), wanted, atol=1e-5)
    batch = np.stack([magnitude[:, :50], magnitude[:, 40:]])
    got = runner.session.run(None, {"magnitude": batch})[0]
    with torch.no_grad():
        wanted = model(torch.from_numpy(batch)).numpy()
    np.testing.assert_allclose(got, wanted, atol=1e-5)


@pytest.mark.parametrize("opset", OPSETS)
def test_patch_with_the_receptive_field_is_the_offline_form(
    finite_model, opset, make_model, settings, tmp_path
):
    path, model = tmp_path / "m.onnx", make_model(finite_model)
    exported = export_patch(
        model, Setup("enhancement", settings), path, opset, frames_per_patch=7
    )
    proto, _ = judge_file(path, opset)
    runner = load_runner(path)
    left, right = runner.context
    assert left + 1 + right == model.receptive_field_frames
    assert right == model.lookahead_frames
    assert exported.frames == runner.frames == 7 + left + right
    shape = files.shape_of(proto.graph.input[0])
    assert shape == [1, settings.bins, runner.frames]
    for frames in (runner.frames, runner.frames + 1, 100, 114):
        magnitude = magnitudes(settings, frames)
        np.testing.assert_allclose(
            runner.run(magnitude), forward(model, magnitude), atol=1e-5
        )


@pytest.mark.parametrize("opset", OPSETS)
def test_patch_of_a_recurrent_network_needs_a_context(
    recurrent_model, opset, make_model, settings, tmp_path
):
    path, model = tmp_path / "m.onnx", make_model(recurrent_model)
    with pytest.raises(UserError, match="no bound.*explicit context"):
        export_patch(model, Setup("enhancement", settings), path, opset)
    assert not path.exists()
    exported = export_patch(
        model,
        Setup("enhancement", settings),
        path,
        opset,
        frames_per_patch=5,
        context=(4, 0),
    )
    judge_file(path, opset)
    assert any("not hold the receptive field" in n for n in exported.notes)
    runner = load_runner(path)
    magnitude = magnitudes(settings, 60)
    # The first window starts where the offline form starts.
    np.testing.assert_allclose(
        runner.run(magnitude)[:, :5],
        forward(model, magnitude)[:, :5],
        atol=1e-5,
    )


def test_patch_says_what_a_small_context_costs(make_model, settings, tmp_path):
    model = make_model("tcnn_noncausal")
    exported = export_patch(
        model, Setup("enhancement", settings), tmp_path / "m.onnx", context=2
    )
    (warning,) = [n for n in exported.notes if n.startswith("warning")]
    assert exported.metadata.context == (2, 2)
    assert "differ from the offline form by" in warning
    model = make_model("tcnn_late")
    exported = export_patch(
        model, Setup("enhancement", settings), tmp_path / "n.onnx", context=9
    )
    assert exported.metadata.context == (9, 3)


@pytest.mark.parametrize("opset, size", [(13, 1), (17, 4), (20, 1)])
def test_stream_equals_offline_and_pytorch(
    causal_model, opset, size, make_model, settings, tmp_path
):
    path, model = tmp_path / "m.onnx", make_model(causal_model)
    exported = export_stream(
        model, Setup("enhancement", settings), path, opset, stream_frames=size
    )
    assert exported.difference < 1e-5
    proto, counts = judge_file(path, opset)
    assert not set(counts) & {"LSTM", "GRU", "Split", "Pad", "Loop", "Shape"}
    values = [*proto.graph.input, *proto.graph.output, *proto.graph.value_info]
    assert all(files.shape_of(v) for v in values)
    state = model.initial_state()
    assert [v.name for v in proto.graph.input] == ["magnitude", *state]
    assert [v.name for v in proto.graph.output] == [
        "mask",
        *[f"new_{name}" for name in state],
    ]
    assert exported.state_bytes == sum(4 * v.numel() for v in state.values())
    runner = load_runner(path)
    assert runner.lookahead_frames == model.lookahead_frames + size - 1
    # 101 is no multiple of the frames a call.
    magnitude = magnitudes(settings, 101)
    np.testing.assert_allclose(
        runner.run(magnitude), forward(model, magnitude), atol=1e-5
    )


def test_one_frame_graph_of_a_tcnn_is_clean(make_model, settings, tmp_path):
    model, path = make_model("tcnn"), tmp_path / "m.onnx"
    export_stream(model, Setup("enhancement", settings), path)
    proto, counts = judge_file(path, 17)
    caches, gathers = 6, 4  # the layers of dilation 1 need no gathering
    assert counts == {
        "Add": 6,
        "Concat": caches,
        "Conv": 18,
        "Relu": 12,
        "Sigmoid": 1,
        "Slice": caches + gathers,
    }
    for node in proto.graph.node:
        for attribute in node.attribute:
            if attribute.name == "dilations":
                assert list(attribute.ints) == [1]
            if attribute.name == "pads":
                assert not any(attribute.ints)
    outputs = {v.name for v in proto.graph.output}
    updates = [
        n
        for n in proto.graph.node
        if n.op_type == "Slice" and n.output[0] in outputs
    ]
    assert len(updates) == caches


def test_offline_graph_of_a_tcnn_is_clean(make_model, settings, tmp_path):
    for name in ("tcnn", "tcnn_noncausal"):
        path = tmp_path / f"{name}.onnx"
        export_offline(make_model(name), Setup("enhancement", settings), path)
        _, counts = judge_file(path, 17)
        assert set(counts) == {"Add", "Conv", "Relu", "Sigmoid"}


def test_slices_stay_within_their_tensors(
    causal_model, make_model, settings, tmp_path
):
    path = tmp_path / "m.onnx"
    export_stream(
        make_model(causal_model), Setup("enhancement", settings), path
    )
    proto = onnx.load(path)
    constants = {
        t.name: onnx.numpy_helper.to_array(t) for t in proto.graph.initializer
    }
    shapes = {
        v.name: files.shape_of(v)
        for v in [*proto.graph.input, *proto.graph.value_info]
    }
    for node in proto.graph.node:
        if node.op_type == "Slice":
            start, end, axis, _ = (int(constants[n][0]) for n in node.input[1:])
            assert 0 <= start < end <= shapes[node.input[0]][axis]


def test_the_stream_form_of_an_lstm_is_a_cell(make_model, settings, tmp_path):
    model, path = make_model("lstm_mask"), tmp_path / "m.onnx"
    export_stream(model, Setup("enhancement", settings), path)
    _, counts = judge_file(path, 17)
    assert {"Gemm", "Sigmoid", "Tanh", "Mul", "Add"} <= set(counts)
    assert counts["Gemm"] == 2 * model.num_layers
    weights = [
        onnx.numpy_helper.to_array(t) for t in onnx.load(path).graph.initializer
    ]
    trained = model.lstm.lstm.weight_hh_l0.detach().numpy()
    assert any(
        w.shape == trained.shape and np.array_equal(w, trained) for w in weights
    )


def test_names_are_those_of_the_weights(make_model, settings, tmp_path):
    model, names = make_model("tcnn"), {}
    for export in (export_offline, export_patch, export_stream):
        path = tmp_path / f"{export.__name__}.onnx"
        export(model, Setup("enhancement", settings), path)
        names[export] = [
            node.name
            for node in onnx.load(path).graph.node
            if node.op_type == "Conv"
        ]
        assert len(set(names[export])) == 18
    assert names[export_offline] == names[export_stream]
    assert names[export_offline] == names[export_patch]
    assert names[export_offline][:2] == [
        "blocks.block0_layer0.expand.0/Conv",
        "blocks.block0_layer0.contract.0/Conv",
    ]


def test_metadata_say_how_to_run_it(make_model, settings, tmp_path):
    model, path = make_model("tcnn_late"), tmp_path / "m.onnx"
    digest = hashlib.sha256(b"weights").hexdigest()
    export_stream(
        model, Setup("enhancement", settings), path, checkpoint_sha256=digest
    )
    metadata = read_card(path)
    assert metadata.signal == settings
    assert metadata.checkpoint_sha256 == digest
    assert metadata.form == "stream" and metadata.precision == "float32"
    assert metadata.lookahead_frames == 3
    assert metadata.receptive_field_frames == model.receptive_field_frames
    assert (
        metadata.model_class
        == "edgebrain.enhancement.networks.stft_tcnn.STFTTCNN"
    )
    assert STFTTCNN(**metadata.model_arguments).config() == model.config()
    assert metadata.states[0] == {
        "input": "block0_layer0_cache",
        "output": "new_block0_layer0_cache",
        "shape": [1, 12, 4],
    }
    assert {"torch", "onnx", "edgebrain"} <= set(metadata.versions)


def test_latency_counts_signal_path_and_frames(make_model, settings, tmp_path):
    model = make_model("tcnn_late")
    stream = export_stream(
        model, Setup("enhancement", settings), tmp_path / "s.onnx"
    )
    assert stream.latency_samples == 32 + 3 * 16
    patch = export_patch(
        model,
        Setup("enhancement", settings),
        tmp_path / "p.onnx",
        frames_per_patch=10,
    )
    assert patch.latency_samples == 32 + (10 + 3 - 1) * 16
    offline = export_offline(
        model, Setup("enhancement", settings), tmp_path / "o.onnx"
    )
    assert offline.latency_samples is None


def test_the_model_is_left_as_it_was(make_model, settings, tmp_path):
    model = make_model("tcnn").double().train()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    export_stream(model, Setup("enhancement", settings), tmp_path / "m.onnx")
    assert model.training and next(model.parameters()).dtype == torch.float64
    assert next(model.parameters()).requires_grad
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])


def test_a_recording_serves_as_the_comparison(make_model, settings, tmp_path):
    wav = np.random.default_rng(0).normal(0, 0.1, 700).astype(np.float32)
    path = tmp_path / "m.onnx"
    exported = export_offline(
        make_model("tcnn"), Setup("enhancement", settings), path, wav=wav
    )
    assert 0 < exported.difference < TOLERANCE


@pytest.mark.parametrize("opset", [12, 21, 0])
def test_opset_out_of_range(opset, make_model, settings, tmp_path):
    path = tmp_path / "m.onnx"
    with pytest.raises(UserError, match=f"opset {opset} .*13 to 20"):
        export_offline(
            make_model("tcnn"), Setup("enhancement", settings), path, opset
        )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_nan_weights(bad, make_model, settings, tmp_path):
    model = make_model("tcnn")
    with torch.no_grad():
        model.blocks["block1_layer0"].expand[0].weight[0, 0] = bad
    with pytest.raises(UserError, match="block1_layer0.expand.0.weight"):
        export_offline(
            model, Setup("enhancement", settings), tmp_path / "m.onnx"
        )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "why"),
    [("tcnn_noncausal", "is not causal"), ("own", "is not causal")],
)
def test_a_stream_that_cannot_be(name, why, make_model, settings, tmp_path):
    with pytest.raises(UserError, match=why):
        export_stream(
            make_model(name),
            Setup("enhancement", settings),
            tmp_path / "m.onnx",
        )
    assert not list(tmp_path.iterdir())


def test_settings_of_other_bins(make_model, tmp_path):
    from edgebrain.signal import SignalSettings

    with pytest.raises(UserError, match="17 bins"):
        export_offline(
            make_model("tcnn"),
            Setup("enhancement", SignalSettings()),
            tmp_path / "m",
        )


def test_a_graph_that_differs_is_not_written(settings, tmp_path):
    class Frozen(nn.Module):
        """Takes a Python number out of the input: a tracer freezes it."""

        def __init__(self):
            super().__init__()
            self.gain = nn.Parameter(torch.ones(1))

        def forward(self, magnitude):
            peak = float(magnitude.max())
            return torch.sigmoid(magnitude * self.gain * peak)

    path = tmp_path / "m.onnx"
    path_before = tmp_path / "kept.onnx"
    path_before.write_bytes(b"as it was")
    for target in (path, path_before):
        with pytest.raises(UserError, match="not written, for its output"):
            export_offline(
                Frozen(), Setup("enhancement", settings), target, overwrite=True
            )
    assert list(tmp_path.iterdir()) == [path_before]
    assert path_before.read_bytes() == b"as it was"


def test_a_step_that_is_not_forward_is_named(make_model, settings, tmp_path):
    model = make_model("own_stream")

    def step(magnitude, state):
        mask, new = type(model).step(model, magnitude, state)
        return mask, {"last": 0.5 * new["last"]}

    model.step = step
    with pytest.raises(UserError, match="differs from forward"):
        export_stream(
            model, Setup("enhancement", settings), tmp_path / "m.onnx"
        )


def test_a_state_that_starts_elsewhere_is_refused(settings, tmp_path):
    class Biased(MaskModel):
        causal, lookahead_frames = True, 0

        def __init__(self):
            super().__init__(17)
            self.gain = nn.Parameter(torch.ones(1))

        def forward(self, magnitude):
            return self.gain * torch.ones_like(magnitude)

        def initial_state(self, batch=1, device=None, dtype=None):
            return {"one": torch.ones(batch, 1)}

        def step(self, magnitude, state):
            return self.forward(magnitude), {"one": state["one"] * 1.0}

    with pytest.raises(UserError, match="not all zeros"):
        export_stream(
            Biased(), Setup("enhancement", settings), tmp_path / "m.onnx"
        )


def test_only_the_same_checkpoint_may_replace(make_model, settings, tmp_path):
    model, path = make_model("tcnn"), tmp_path / "m.onnx"
    export_offline(
        model, Setup("enhancement", settings), path, checkpoint_sha256="aa"
    )
    export_offline(
        model,
        Setup("enhancement", settings),
        path,
        checkpoint_sha256="aa",
        opset=13,
    )
    with pytest.raises(UserError, match="another checkpoint"):
        export_offline(
            model, Setup("enhancement", settings), path, checkpoint_sha256="bb"
        )
    assert read_card(path).checkpoint_sha256 == "aa"
    export_offline(
        model,
        Setup("enhancement", settings),
        path,
        checkpoint_sha256="bb",
        overwrite=True,
    )
    assert read_card(path).checkpoint_sha256 == "bb"
    path.write_text("my notes")
    with pytest.raises(UserError, match="no export of this project"):
        export_offline(model, Setup("enhancement", settings), path)
    assert path.read_text() == "my notes"


def test_the_probe_is_like_speech():
    wav = speech_like(2.0, 16000)
    assert wav.dtype == np.float32 and np.abs(wav).max() == 0.5
    level = np.sqrt(np.mean(wav.reshape(-1, 400) ** 2, axis=1))
    assert level[-3:].max() == 0 and level[:8].max() > 30 * level[:40].min()
    np.testing.assert_array_equal(wav, speech_like(2.0, 16000))
