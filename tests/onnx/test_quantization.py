"""Quantization of all forms of miniature networks."""

import copy

from edgebrain.data import audio
from edgebrain.errors import UserError
from edgebrain.onnx import export, files
from edgebrain.onnx import quantization as q
from edgebrain.onnx import quantization_graph as graphs
from edgebrain.onnx.quantization_calibration import (
    collect_ranges,
    read_clips,
)
from edgebrain.onnx.quantization_static import check_static, write_static
from edgebrain.onnx.runner import load_runner
from edgebrain.signal.probe import speech_like
from edgebrain.tasks import Setup
import numpy as np
import onnx
from onnx import numpy_helper
import pytest

EXPORTS = {
    "offline": export.export_offline,
    "patch": export.export_patch,
    "stream": export.export_stream,
}
CASES = [
    ("tcnn", "offline", "int8"),
    ("tcnn", "patch", "int8"),
    ("tcnn", "stream", "int8"),
    ("tcnn_prelu", "stream", "int16x8"),
    ("tcnn_late", "stream", "int8"),
    ("lstm_mask", "stream", "int8"),
    ("lstm_mask", "stream", "int16x8"),
    ("nnse_mel", "stream", "int8"),
    ("conv_lstm", "stream", "int16x8"),
]
LEAST_DB = {"int8": 20.0, "int16x8": 35.0}


@pytest.fixture(scope="module")
def noisy(tmp_path_factory):
    """Return a folder of twelve clips at several levels."""
    folder = tmp_path_factory.mktemp("noisy")
    rng = np.random.default_rng(1)
    wav = speech_like(4.0, 16000)
    for number in range(12):
        level = 10 ** (-rng.uniform(0, 20) / 20)
        part = np.roll(wav, number * 3000)[: 6000 + 1000 * number]
        noise = 0.05 * rng.normal(size=len(part))
        clip = (level * (part + noise)).astype(np.float32)
        audio.write(folder / f"{number:02d}.wav", clip, 16000)
    return folder


@pytest.fixture(scope="module")
def clips(noisy, settings):
    """Return clips of 200 frames."""
    return read_clips(
        noisy, Setup("enhancement", settings), 8, clip_seconds=0.2
    )


@pytest.fixture(scope="module")
def exported(tmp_path_factory, make_model, settings):
    """Return a function that exports a form of a network, once."""
    folder, done = tmp_path_factory.mktemp("float"), {}

    def make(name, form):
        if (name, form) not in done:
            path = folder / f"{name}_{form}.onnx"
            sha = f"of {name}"
            setup = Setup("enhancement", settings)
            EXPORTS[form](make_model(name), setup, path, checkpoint_sha256=sha)
            done[name, form] = path
        return done[name, form]

    return make


def constant(model, name):
    """Return a constant as an array."""
    return numpy_helper.to_array(graphs.constants(model)[name])


def scales(model):
    """Return tensor -> (scale, zero point) of all quantized activations."""
    known = graphs.constants(model)
    found = {}
    for node in model.graph.node:
        if node.op_type == "QuantizeLinear":
            name = node.input[0].removesuffix("_QuantizeLinear_Input")
            scale, zero = (
                numpy_helper.to_array(known[n]) for n in node.input[1:]
            )
            found[name] = (float(scale), int(zero))
    return found


@pytest.mark.parametrize(("name", "form", "precision"), CASES)
def test_quantized_network_is_near_the_float_one(
    exported, clips, tmp_path, name, form, precision
):
    source = q.load_source(exported(name, form))
    target = tmp_path / "quantized.onnx"
    settings = q.QuantizationSettings(precision=precision)
    report = q.quantize(source, target, clips, settings)
    assert min(report.snr_db) > LEAST_DB[precision]
    assert report.held_out and len(report.snr_db) == 2
    # The file says what it is, and runs without another argument.
    runner = load_runner(target)
    card = runner.metadata
    assert (card.form, card.precision) == (form, precision)
    assert card == source.metadata.replace(
        precision=precision, versions=card.versions
    )
    clip = clips.held_out[0]
    np.testing.assert_allclose(
        runner.run(clip), source.runner.run(clip), atol=0.2
    )
    model = onnx.load(target)
    onnx.checker.check_model(model, full_check=True)
    files.check_structure(model, static=form != "offline")
    opset = model.opset_import[0].version
    assert (opset, model.ir_version) == (
        (17, 8) if precision == "int8" else (21, 10)
    )


@pytest.mark.parametrize("precision", ["int8", "int16x8"])
def test_integers_are_as_an_embedded_tool_wants_them(
    exported, clips, tmp_path, precision
):
    """Signed; weights zero point 0 on axis 0; bias scale = input x weight."""
    for name in ("tcnn_prelu", "lstm_mask"):
        source = q.load_source(exported(name, "stream"))
        target = tmp_path / f"{name}.onnx"
        q.quantize(
            source, target, clips, q.QuantizationSettings(precision=precision)
        )
        model = onnx.load(target)
        makers = {o: n for n in model.graph.node for o in n.output}
        kind = np.int8 if precision == "int8" else np.int16
        layers = 0
        for node in model.graph.node:
            if node.op_type == "QuantizeLinear":
                zero = constant(model, node.input[2])
                assert zero.dtype == kind
                assert precision == "int8" or zero == 0
            if node.op_type == "PRelu":
                slope = makers[node.input[1]]
                assert constant(model, slope.input[0]).dtype == np.int8
                assert constant(model, slope.input[2]) == 0
            if node.op_type not in ("Conv", "Gemm"):
                continue
            layers += 1
            x, weight = (makers[n] for n in node.input[:2])
            values = constant(model, weight.input[0])
            assert values.dtype == np.int8 and np.abs(values).max() == 127
            assert not constant(model, weight.input[2]).any()
            assert constant(model, weight.input[1]).shape == values.shape[:1]
            axis = [a.i for a in weight.attribute if a.name == "axis"]
            assert axis == [0]
            if len(node.input) > 2:
                bias = makers[node.input[2]]
                assert constant(model, bias.input[0]).dtype == np.int32
                np.testing.assert_allclose(
                    constant(model, bias.input[1]),
                    constant(model, x.input[1])
                    * constant(model, weight.input[1]),
                    rtol=1e-6,
                )
        assert layers


@pytest.mark.parametrize("name", ["tcnn", "lstm_mask", "nnse_mel"])
def test_states_come_and_go_on_one_scale(exported, clips, tmp_path, name):
    source = q.load_source(exported(name, "stream"))
    target = tmp_path / "stream.onnx"
    q.quantize(source, target, clips)
    found = scales(onnx.load(target))
    assert source.metadata.states
    for state in source.metadata.states:
        if not state["input"].endswith("_c"):
            assert found[state["input"]] == found[state["output"]]
    if name == "tcnn":
        # What is put behind a cache is not rounded again either.
        concats = [n for n in source.model.graph.node if n.op_type == "Concat"]
        for node in concats:
            names = {found[n] for n in [*node.input, *node.output]}
            assert len(names) == 1


def test_cell_state_stays_float(exported, clips, tmp_path):
    source = q.load_source(exported("lstm_mask", "stream"))
    reports = {}
    for name, settings in {
        "int8": q.QuantizationSettings(),
        "all": q.QuantizationSettings(float_cell=False),
        "wide": q.QuantizationSettings(precision="int16x8"),
        "wide_all": q.QuantizationSettings("int16x8", float_cell=False),
    }.items():
        target = tmp_path / f"{name}.onnx"
        reports[name] = q.quantize(source, target, clips, settings)
    for name in ("int8", "wide"):
        why = list(reports[name].float_nodes.values())
        # f * c, i * g, their sum and its tanh, in each of two layers.
        assert sum("cell state" in reason for reason in why) == 8
        assert "lstm0_c" not in scales(onnx.load(tmp_path / f"{name}.onnx"))
    for name in ("all", "wide_all"):
        assert not [
            w for w in reports[name].float_nodes.values() if "cell" in w
        ]
        found = scales(onnx.load(tmp_path / f"{name}.onnx"))
        assert found["lstm0_c"] == found["new_lstm0_c"]
    assert np.mean(reports["int8"].snr_db) > np.mean(reports["all"].snr_db)


def test_stream_is_calibrated_on_its_own_states(exported, clips):
    """Ranges of a state are those that the network runs through."""
    source = q.load_source(exported("lstm_mask", "stream"))
    found = collect_ranges(source.model, source.runner, clips.calibration)
    for state in source.metadata.states:
        seen = [
            feeds[state["input"]]
            for clip in clips.calibration
            for feeds in source.runner.iter_feeds(clip)
        ]
        low, high = found[state["input"]]
        assert low == pytest.approx(np.min(seen))
        assert high == pytest.approx(np.max(seen))
        assert high - low > 0.05  # zeros alone would leave nothing


def test_average_counts_clips_alike_in_every_form(exported, clips):
    """A stream's ranges are those of the whole clip, not of its frames."""
    found = {}
    for form in ("offline", "stream"):
        source = q.load_source(exported("tcnn", form))
        found[form] = collect_ranges(
            source.model, source.runner, clips.calibration, average=True
        )
    shared = found["offline"].keys() & found["stream"].keys()
    assert len(shared) > 10
    for name in shared:
        assert found["stream"][name] == pytest.approx(
            found["offline"][name], rel=1e-4, abs=1e-5
        )
    each = [c.max() for c in clips.calibration]
    assert found["offline"]["magnitude"][1] == pytest.approx(np.mean(each))


@pytest.mark.parametrize("method", ["Entropy", "Percentile"])
def test_histogram_methods_cut_off_the_rare(exported, clips, method, capsys):
    source = q.load_source(exported("tcnn", "offline"))
    args = (source.model, source.runner, clips.calibration)
    whole = collect_ranges(*args)
    cut = collect_ranges(*args, method=method, options={"percentile": 99.0})
    sizes = [sum(h - low for low, h in r.values()) for r in (cut, whole)]
    assert cut.keys() == whole.keys() and sizes[0] < sizes[1]
    if method == "Percentile":
        assert cut["magnitude"][1] < 0.8 * whole["magnitude"][1]
    assert not capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "kept"),
    [("tcnn", set()), ("tcnn_late", {"Pow"}), ("conv_lstm", {"Add", "Log"})],
)
def test_prologue_stays_float(exported, clips, tmp_path, name, kept):
    source = q.load_source(exported(name, "stream"))
    report = q.quantize(source, tmp_path / "a.onnx", clips)
    operators = {n.name: n.op_type for n in source.model.graph.node}
    reasons = report.float_nodes.items()
    found = {operators[n] for n, why in reasons if "prologue" in why}
    assert kept <= found <= kept | {"Squeeze"}


def test_front_end_of_nnse_stays_float(exported):
    source = q.load_source(exported("nnse_mel", "stream"))
    kinds = {n.name: n.op_type for n in source.model.graph.node}
    names = graphs.prologue(source.model, "magnitude")
    assert [kinds[n] for n in names] == "Mul Conv Add Log Div Sub Mul".split()


def test_report_names_what_is_float_and_why(exported, clips, tmp_path):
    source = q.load_source(exported("lstm_mask", "offline"))
    settings = q.QuantizationSettings(nodes_to_exclude=("output.0/Sigmoid",))
    report = q.quantize(source, tmp_path / "a.onnx", clips, settings)
    reasons = report.float_nodes
    assert reasons["output.0/Sigmoid"] == "excluded by name"
    lstm = [why for n, why in reasons.items() if "LSTM" in n]
    assert len(lstm) == 2 and "take the stream form" in lstm[0]
    assert report.weights_after < report.weights_before
    assert report.bytes_after == report.target.stat().st_size
    text = report.text()
    assert "output.0/Sigmoid: excluded by name" in text and " dB " in text
    settings = q.QuantizationSettings(op_types_to_quantize=("Conv",))
    report = q.quantize(source, tmp_path / "b.onnx", clips, settings)
    assert "not among" in report.float_nodes["output.0/Sigmoid"]


def test_outliers_are_named(exported, clips, tmp_path):
    source = q.load_source(exported("tcnn", "offline"))
    quiet = q.quantize(source, tmp_path / "a.onnx", clips)
    name = "blocks.block1_layer2.contract.3/Add_out"
    ranges = {name: (-1e4, 1e4)}
    report = q.quantize(source, tmp_path / "b.onnx", clips, ranges=ranges)
    new = set(report.warnings) - set(quiet.warnings)
    assert any(w.startswith(name) and "outliers" in w for w in new)
    assert scales(onnx.load(report.target))[name][0] == pytest.approx(2e4 / 255)


def test_per_channel_and_reduced_range_are_honoured(exported, clips, tmp_path):
    source = q.load_source(exported("tcnn", "offline"))
    settings = q.QuantizationSettings(per_channel=False, reduce_range=True)
    q.quantize(source, tmp_path / "a.onnx", clips, settings)
    model = onnx.load(tmp_path / "a.onnx")
    weights = [
        t for t in model.graph.initializer if "weight_quantized" in t.name
    ]
    assert weights
    for tensor in weights:
        assert np.abs(numpy_helper.to_array(tensor)).max() <= 64
        name = tensor.name.replace("_quantized", "_scale")
        assert constant(model, name).shape == ()


def test_same_seed_gives_the_same_bytes(exported, noisy, settings, tmp_path):
    source = q.load_source(exported("tcnn", "patch"))
    data = []
    for seed, name in ((1, "a"), (1, "b"), (2, "c")):
        drawn = read_clips(noisy, Setup("enhancement", settings), 6, seed, 0.2)
        q.quantize(source, tmp_path / name, drawn)
        data.append((tmp_path / name).read_bytes())
    assert data[0] == data[1] != data[2]


def test_static_file_of_an_offline_form(exported, clips, tmp_path):
    source = q.load_source(exported("tcnn", "offline"))
    dynamic, static = tmp_path / "a.onnx", tmp_path / "b.onnx"
    q.quantize(source, dynamic, clips)
    note = write_static(source, dynamic, static, 40)
    runner = load_runner(static)
    assert (runner.form, runner.frames) == ("patch", 40)
    # 2 blocks of dilations 1, 2, 4 with kernels of 3 see 29 frames.
    assert runner.context == (28, 0) and "28 frames left" in note
    files.check_structure(onnx.load(static), static=True)
    clip = clips.held_out[0]
    np.testing.assert_allclose(
        runner.run(clip), load_runner(dynamic).run(clip), atol=1e-6
    )
    assert "without context" in write_static(source, dynamic, static, 20)
    assert load_runner(static).context == (0, 0)


def test_static_names_and_lengths_are_checked(exported, tmp_path):
    source = q.load_source(exported("tcnn", "offline"))
    with pytest.raises(UserError, match="frame_s.*did you mean frames"):
        check_static(source, tmp_path / "a", 40, "frame_s", "int8")
    with pytest.raises(UserError, match="at least 1"):
        check_static(source, tmp_path / "a", 0, None, "int8")
    fixed = q.load_source(exported("tcnn", "patch"))
    with pytest.raises(UserError, match="fixed in the file already"):
        check_static(fixed, tmp_path / "a", 40, None, "int8")


def test_stale_node_name_is_refused_with_the_nearest(exported, clips, tmp_path):
    source = q.load_source(exported("tcnn", "offline"))
    settings = q.QuantizationSettings(nodes_to_exclude=("magnitude/Po",))
    with pytest.raises(UserError, match="magnitude/Po: nearest: "):
        q.quantize(source, tmp_path / "a.onnx", clips, settings)
    assert not (tmp_path / "a.onnx").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"precision": "int4"}, "did you mean int8"),
        ({"calibration_method": "minmax"}, "MinMax"),
        ({"op_types_to_quantize": ("Convv",)}, "did you mean Conv"),
        ({"extra_options": {"CalibMovingAvg": True}}, "CalibMovingAverage"),
    ],
)
def test_bad_settings_are_refused(arguments, words):
    with pytest.raises(UserError, match=words):
        q.QuantizationSettings(**arguments)


def test_other_files_are_not_replaced(exported, clips, tmp_path):
    source = q.load_source(exported("tcnn", "offline"))
    target = tmp_path / "a.onnx"
    target.write_bytes(b"someone's")
    with pytest.raises(UserError, match="give --overwrite"):
        q.quantize(source, target, clips)
    assert target.read_bytes() == b"someone's"
    q.quantize(source, target, clips, overwrite=True)
    q.quantize(source, target, clips)  # of the same weights
    wide = q.QuantizationSettings(precision="int16x8")
    with pytest.raises(UserError, match="exists, of another precision; give"):
        q.quantize(source, target, clips, wide)
    other = q.load_source(exported("tcnn_late", "offline"))
    with pytest.raises(UserError, match="of another checkpoint"):
        q.quantize(other, target, clips)
    with pytest.raises(UserError, match="is the float file itself"):
        q.quantize(source, source.path, clips, overwrite=True)
    assert files.read_card(source.path).precision == "float32"


def test_quantized_file_is_not_quantized_again(exported, clips, tmp_path):
    source = q.load_source(exported("tcnn", "offline"))
    q.quantize(source, tmp_path / "a.onnx", clips)
    with pytest.raises(UserError, match="is quantized already"):
        q.load_source(tmp_path / "a.onnx")


def test_learnt_ranges_lead_those_of_a_state(exported, clips, tmp_path):
    source = q.load_source(exported("lstm_mask", "stream"))
    q.quantize(
        source, tmp_path / "a.onnx", clips, ranges={"new_lstm0_h": (-2.0, 2.0)}
    )
    found = scales(onnx.load(tmp_path / "a.onnx"))
    assert found["lstm0_h"] == found["new_lstm0_h"]
    assert found["lstm0_h"][0] == pytest.approx(4 / 255)


def test_failure_leaves_no_file(exported, clips, tmp_path):
    source = q.load_source(exported("tcnn", "offline"))
    settings = q.QuantizationSettings(op_types_to_quantize=("MaxPool",))
    with pytest.raises(UserError, match="nothing in it can be quantized"):
        q.quantize(source, tmp_path / "a.onnx", clips, settings)
    assert not list(tmp_path.iterdir())


def test_source_is_left_alone(exported, clips, tmp_path):
    source = q.load_source(exported("tcnn_prelu", "stream"))
    before = copy.deepcopy(source.model).SerializeToString()
    wide = q.QuantizationSettings(precision="int16x8")
    q.quantize(source, tmp_path / "a.onnx", clips, wide)
    assert source.model.SerializeToString() == before


def test_scales_of_tanh_and_sigmoid_are_fixed(exported, clips, tmp_path):
    source = q.load_source(exported("lstm_mask", "stream"))
    q.quantize(source, tmp_path / "m.onnx", clips)
    model = onnx.load(tmp_path / "m.onnx")
    known = graphs.constants(model)
    makers = {o: n.op_type for n in model.graph.node for o in n.output}
    found = {
        (
            makers[node.input[0]],
            float(numpy_helper.to_array(known[node.input[1]])),
            int(numpy_helper.to_array(known[node.input[2]])),
        )
        for node in model.graph.node
        if node.op_type == "QuantizeLinear"
        and makers.get(node.input[0]) in ("Tanh", "Sigmoid")
    }
    assert found == {("Tanh", 1 / 128, 0), ("Sigmoid", 1 / 256, -128)}


def test_no_gate_keeps_a_cell_for_ever(tmp_path, clips, settings, make_model):
    model = make_model("lstm_mask")
    for name, value in model.named_parameters():
        if "lstm.bias" in name:
            value.data[:] = 9.0  # gates are open, nothing is forgotten
    path, target = tmp_path / "float.onnx", tmp_path / "int8.onnx"
    export.export_stream(model, Setup("enhancement", settings), path)
    q.quantize(q.load_source(path), target, clips)
    largest = []
    for runner in map(load_runner, (path, target)):
        (*_, last) = runner.iter_feeds(np.tile(clips.held_out[0], 100))
        cells = [value for name, value in last.items() if name.endswith("_c")]
        largest.append(max(np.abs(value).max() for value in cells))
    assert largest[0] > 10000 and 100 < largest[1] <= 256
