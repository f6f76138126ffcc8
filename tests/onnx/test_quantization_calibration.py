"""Clips for a calibration, and networks of others."""

from edgebrain.data import audio
from edgebrain.errors import UserError
from edgebrain.onnx import quantization as q
from edgebrain.onnx.quantization_calibration import read_clips, run_tensors
from edgebrain.onnx.quantization_static import write_static
from edgebrain.onnx.runner import load_runner
from edgebrain.signal import SignalSettings
from edgebrain.tasks import Setup
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
import pytest
import soundfile

BINS = 17
SIGNAL = {"sample_rate": 16000, "n_fft": 32, "win_length": 32, "hop_length": 16}
SETUP = Setup("enhancement", SignalSettings(**SIGNAL))


def fill(folder, count, seconds=0.5, rate=16000):
    """Write clips of noise, each of its own level."""
    rng = np.random.default_rng(0)
    for number in range(count):
        wav = 0.02 * (number + 1) * rng.normal(size=round(seconds * rate))
        audio.write(folder / f"{number}.wav", wav.astype(np.float32), rate)
    return folder


def test_clips_are_drawn_by_seed_and_held_out(tmp_path):
    signal = SignalSettings(**SIGNAL)
    fill(tmp_path, 12)
    first, again, other = (
        read_clips(tmp_path, SETUP, 5, seed, 0.25) for seed in (1, 1, 2)
    )
    assert (len(first.calibration), len(first.held_out)) == (5, 2)
    assert first.separate
    for ours, theirs in zip(first.calibration, again.calibration, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert not np.array_equal(first.calibration[0], other.calibration[0])
    for used in first.calibration:
        assert used.shape == (BINS, signal.num_frames(4000))
        assert not any(np.array_equal(used, clip) for clip in first.held_out)
    # Fewer files than asked for: some are still held out.
    few = read_clips(tmp_path, SETUP, 100)
    assert (len(few.calibration), len(few.held_out)) == (10, 2)


def test_a_single_clip_serves_both(tmp_path):
    found = read_clips(fill(tmp_path, 1, 1.5), SETUP)
    assert not found.separate
    assert found.held_out[0] is found.calibration[0]


def test_clips_of_another_rate_are_resampled(tmp_path):
    found = read_clips(fill(tmp_path, 2, 1.5, 48000), SETUP)
    assert found.calibration[0].shape[1] == 1501


def test_bad_folders_get_one_clear_line(tmp_path):
    with pytest.raises(UserError, match="no such folder"):
        read_clips(tmp_path / "none", SETUP)
    with pytest.raises(UserError, match="holds no audio"):
        read_clips(tmp_path, SETUP)
    (tmp_path / "text.txt").write_text("no audio")
    with pytest.raises(UserError, match="holds no audio"):
        read_clips(tmp_path, SETUP)
    fill(tmp_path, 2, 0.2)
    with pytest.raises(UserError, match="too short, 0.20 s"):
        read_clips(tmp_path, SETUP)
    (tmp_path / "bad.wav").write_bytes(b"not a wav")
    with pytest.raises(UserError, match="bad.wav") as caught:
        read_clips(tmp_path, SETUP)
    assert len(str(caught.value).splitlines()) == 1


def foreign(path, frames, seed=0):
    """Write a mask network as others export it: norm apart, no names."""
    rng = np.random.default_rng(seed)

    def weight(name, *shape):
        value = rng.normal(0, 0.4, shape).astype(np.float32)
        return numpy_helper.from_array(value, name)

    ones = np.ones(BINS, np.float32)
    constants = [
        weight("w1", BINS, BINS, 3),
        weight("b1", BINS),
        weight("w2", BINS, BINS, 1),
        numpy_helper.from_array(ones * 2, "scale"),
        numpy_helper.from_array(ones * 0, "shift"),
        numpy_helper.from_array(ones / 2, "mean"),
        numpy_helper.from_array(ones * 3, "var"),
    ]
    norm = ["c", "scale", "shift", "mean", "var"]
    nodes = [
        helper.make_node("Conv", ["spec", "w1", "b1"], ["c"], pads=[1, 1]),
        helper.make_node("BatchNormalization", norm, ["n"]),
        helper.make_node("Relu", ["n"], ["r"]),
        helper.make_node("Conv", ["r", "w2"], ["d"], name="last"),
        helper.make_node("Sigmoid", ["d"], ["gain"]),
    ]
    shape = [1, BINS, frames]
    kind = TensorProto.FLOAT
    graph = helper.make_graph(
        nodes,
        "theirs",
        [helper.make_tensor_value_info("spec", kind, shape)],
        [helper.make_tensor_value_info("gain", kind, shape)],
        constants,
    )
    opset = [helper.make_opsetid("", 13), helper.make_opsetid("ai.onnx.ml", 2)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)
    return path


@pytest.mark.parametrize("frames", [20, "seq_len"])
@pytest.mark.parametrize("precision", ["int8", "int16x8"])
def test_network_of_others(tmp_path, frames, precision):
    path = foreign(tmp_path / "theirs.onnx", frames)
    clips = read_clips(fill(tmp_path, 6), SETUP, clip_seconds=0.25)
    source = q.load_source(path, **SIGNAL)
    settings = q.QuantizationSettings(
        precision=precision, nodes_to_exclude=("last",)
    )
    target = tmp_path / "quantized.onnx"
    report = q.quantize(source, target, clips, settings)
    assert report.float_nodes["last"] == "excluded by name"
    assert min(report.snr_db) > 25
    model = onnx.load(target)
    assert [o.domain for o in model.opset_import] == [""]
    assert "BatchNormalization" not in {n.op_type for n in model.graph.node}
    runner = load_runner(target)  # now it says its own settings
    assert runner.metadata.signal == SignalSettings(**SIGNAL)
    assert runner.form == ("patch" if frames == 20 else "offline")
    assert runner.metadata.precision == precision
    # Another network's file is not taken for this one's.
    other = foreign(tmp_path / "other.onnx", frames, seed=1)
    with pytest.raises(UserError, match="of another checkpoint"):
        q.quantize(q.load_source(other, **SIGNAL), target, clips, settings)


def test_network_of_others_needs_settings(tmp_path):
    path = foreign(tmp_path / "theirs.onnx", 20)
    with pytest.raises(UserError, match="sample_rate, n_fft"):
        q.load_source(path)


def test_axis_of_others_is_fixed_by_name(tmp_path):
    path = foreign(tmp_path / "theirs.onnx", "seq_len")
    source = q.load_source(path, **SIGNAL)
    clips = read_clips(fill(tmp_path, 6), SETUP, clip_seconds=0.25)
    q.quantize(source, tmp_path / "a.onnx", clips)
    write_static(
        source, tmp_path / "a.onnx", tmp_path / "b.onnx", 40, "seq_len"
    )
    shape = onnx.load(tmp_path / "b.onnx").graph.input[0].type.tensor_type.shape
    assert [d.dim_value for d in shape.dim] == [1, BINS, 40]


def test_tensors_in_between_can_be_seen(tmp_path):
    path = foreign(tmp_path / "theirs.onnx", "seq_len")
    source = q.load_source(path, **SIGNAL)
    clip = np.ones((BINS, 7), np.float32)
    model = onnx.shape_inference.infer_shapes(source.model)
    (values,) = run_tensors(model, source.runner, clip, ["spec", "d", "gain"])
    np.testing.assert_array_equal(values["spec"][0], clip)
    gain = 1 / (1 + np.exp(-values["d"]))
    np.testing.assert_allclose(values["gain"], gain, atol=1e-6)


def test_a_bad_recording_is_named(tmp_path):
    fill(tmp_path, 3, 1.0)
    soundfile.write(tmp_path / "empty.wav", np.zeros(0), 16000)
    with pytest.raises(UserError, match="empty.wav: holds no sample"):
        read_clips(tmp_path, SETUP)
    wav = np.ones(16000)
    wav[77] = np.nan
    soundfile.write(tmp_path / "empty.wav", wav, 16000, "FLOAT")
    with pytest.raises(UserError, match="empty.wav: sample 77 is nan"):
        read_clips(tmp_path, SETUP)
