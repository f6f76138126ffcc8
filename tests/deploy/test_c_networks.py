"""C, its numpy reference and onnxruntime: the same bits in closed loop."""

from c_models import NETWORKS, CStream, frames, sound
from c_reference import Reference, float_steps
from edgebrain.enhancement import load_enhancer
from edgebrain.onnx.runner import load_runner
import numpy as np
import pytest

from deploy.c.generator.numbers import apply

FRAMES = 300


def magnitudes(signal):
    """Real levels, silence and full scale."""
    pcm = sound((FRAMES - 40) * signal.hop_length, 9)
    loud = np.where(np.arange(40 * signal.hop_length) // 7 % 2, 32767, -32768)
    return frames(np.concatenate([pcm, loud]), signal)[:, :FRAMES]


def reference_masks(program, magnitude):
    reference = Reference(program)
    return np.stack([reference.step(m) for m in magnitude.T], 1)


def c_masks(folder, magnitude):
    stream = CStream(folder)
    frames_ = np.ascontiguousarray(magnitude.T)
    return np.stack([stream.step(m) for m in frames_], 1)


def onnx_masks(path, magnitude):
    """Frame by frame, as late as the network is."""
    runner = load_runner(path)
    streamer = runner.streamer()
    late = runner.metadata.lookahead_frames or 0
    return streamer(magnitude), late


def feature_levels(path, program, magnitude):
    """The integers that onnxruntime's own prologue gives, (size, frames)."""
    from edgebrain.onnx.session import make_session
    import onnx

    model = onnx.load(path)
    name = program.features.name
    value = onnx.helper.make_tensor_value_info(name, 1, None)
    model.graph.output.append(value)
    session = make_session(model.SerializeToString())
    feeds = {
        i.name: np.zeros(i.shape, np.float32) for i in session.get_inputs()
    }
    levels = []
    for m in magnitude.T:
        feeds[session.get_inputs()[0].name] = m[None, :, None]
        features = session.run([name], feeds)[0]
        levels.append(program.features.quantization.quantize(features))
    return np.concatenate([v.reshape(1, -1) for v in levels]).T


@pytest.mark.parametrize("name", NETWORKS)
def test_int8_gives_the_bits_of_onnxruntime(name, generated, quantized):
    program, folder = generated(name, "int8")
    path = quantized(name, "int8")
    magnitude = magnitudes(program.metadata.signal)
    want, late = onnx_masks(path, magnitude)
    got = c_masks(folder, magnitude)
    assert len(np.unique(want)) > 20
    if name == "nnse":
        # Mel sums and logarithms are float: from their integers on.
        levels = feature_levels(path, program, magnitude)
        reference = Reference(program)
        same = [reference.step_features(v) for v in levels.T]
        np.testing.assert_array_equal(np.stack(same, 1), want)
        ours = np.stack([reference.features(m) for m in magnitude.T], 1)
        assert np.abs(ours.astype(int) - levels).max() <= 1
        assert (ours != levels).mean() < 1e-3
    else:
        np.testing.assert_array_equal(got[:, late:], want)
    np.testing.assert_array_equal(got, reference_masks(program, magnitude))


@pytest.mark.parametrize("name", NETWORKS)
def test_int16_gives_the_bits_of_its_reference(name, generated, quantized):
    program, folder = generated(name, "int16x8")
    magnitude = magnitudes(program.metadata.signal)
    reference = reference_masks(program, magnitude)
    np.testing.assert_array_equal(c_masks(folder, magnitude), reference)
    # onnxruntime only simulates 16 bits, in float.
    want, late = onnx_masks(quantized(name, "int16x8"), magnitude)
    assert np.abs(reference[:, late:] - want).max() < 5e-4
    error = ((reference[:, late:] - want) ** 2).sum()
    assert 10 * np.log10((want**2).sum() / error) > 70


@pytest.mark.parametrize(
    "name, precision",
    [
        ("tcnn", "int8"),
        ("tcnn_late", "int16x8"),
        ("nnse", "int8"),
        ("conv_power", "int8"),
        ("conv_power", "int16x8"),
    ],
)
def test_the_pipeline_is_that_of_python(name, precision, generated, quantized):
    """With zeros in front that put Python's frames where C has them."""
    program, folder = generated(name, precision)
    signal = program.metadata.signal
    lead = (signal.win_length - signal.hop_length - signal.offset) % (
        signal.hop_length
    )
    pcm = sound(8000, 5)
    wav = pcm.astype(np.float32) / 32768
    shifted = np.concatenate([np.zeros(lead, np.float32), wav])
    want = load_enhancer(quantized(name, precision)).enhance(shifted)[lead:]
    enhancer = load_enhancer(folder / "libnet.so")
    got = enhancer.enhance(wav)
    assert enhancer.form == "c" and enhancer.precision == precision
    late = program.metadata.lookahead_frames or 0
    assert enhancer.latency_samples == (
        signal.win_length + late * signal.hop_length
    )
    # The very end, where Python knows that nothing follows, is left out.
    inside = slice(0, len(wav) - enhancer.latency_samples)
    error = ((got - want)[inside] ** 2).sum()
    assert 10 * np.log10((want[inside] ** 2).sum() / error) > 40
    stream, parts, at = enhancer.stream(), [], 0
    rng = np.random.default_rng(2)
    while at < len(wav):
        size = int(rng.integers(0, 70))
        parts.append(stream.feed(wav[at : at + size]))
        at += size
        ready = sum(map(len, parts))
        assert ready >= min(at, len(wav)) - enhancer.latency_samples
    parts.append(stream.flush())
    np.testing.assert_array_equal(np.concatenate(parts), got)


def test_float_features_are_close_to_exact_ones():
    x = np.concatenate([[0], np.geomspace(1e-30, 1e6, 20001)]).astype("f4")
    for steps in (
        [("pow", np.float32(0.3))],
        [("add", np.float32(1)), ("log", None)],
        [("sqrt", None), ("mul", np.float32(3)), ("square", None)],
    ):
        got, want = float_steps(steps, x), apply(steps, x)
        np.testing.assert_allclose(got, want, rtol=2e-6, atol=1e-6)


def test_two_streams_of_one_library_are_independent(generated):
    _, folder = generated("lstm", "int8")
    enhancer = load_enhancer(folder / "libnet.so")
    wav = sound(2000).astype(np.float32) / 32768
    alone = enhancer.enhance(wav)
    one, other = enhancer.stream(), enhancer.stream()
    parts = []
    for at in range(0, len(wav), 50):
        parts.append(one.feed(wav[at : at + 50]))
        other.feed(-wav[::-1][at : at + 50])
    np.testing.assert_array_equal(np.concatenate([*parts, one.flush()]), alone)


def test_thresholds_are_exact():
    """Next to each threshold the integers change, and only there."""
    from deploy.c.generator.numbers import thresholds
    from deploy.c.generator.program import Quantization

    quantization = Quantization(np.float32(0.0123), -128, 8)
    steps = [("pow", np.float32(0.3))]
    edges = thresholds(steps, quantization)
    below = np.nextafter(edges, np.float32(0))
    levels = [quantization.quantize(apply(steps, e)) for e in (below, edges)]
    np.testing.assert_array_equal(levels[0].astype(int) + 1, levels[1])
    assert thresholds([("mul", np.float32(-1))], quantization) is None
