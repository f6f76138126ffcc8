"""Running files: patches as on a board, streams, and what is refused."""

from pathlib import Path
import shutil
import subprocess
import sys

from edgebrain.enhancement.forms.masker import StreamingMasker
from edgebrain.errors import UserError
from edgebrain.onnx.export import export_offline, export_patch, export_stream
from edgebrain.onnx.files import read_card, write_card
from edgebrain.onnx.job import probe
from edgebrain.onnx.runner import load_runner
from edgebrain.onnx.session import make_session
from edgebrain.signal import istft, magnitude, stft
from edgebrain.signal.probe import speech_like
from edgebrain.tasks import Setup
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
import pytest

GIVEN = {"sample_rate": 16000, "n_fft": 32, "win_length": 32, "hop_length": 16}


def magnitudes(settings, frames):
    """Return those of speech, (bins, frames)."""
    return probe(Setup("enhancement", settings), frames)


def write_foreign(path, shape=("b", 17, "t"), weight=0.5, **changes):
    """Write someone else's mask network: Sigmoid(weight * magnitude)."""
    names = ["magnitude", *changes.get("more_inputs", [])]
    kind = changes.get("kind", TensorProto.FLOAT)
    nodes = [
        helper.make_node("Mul", [names[0], "w"], ["scaled"]),
        helper.make_node("Sigmoid", ["scaled"], ["mask"]),
    ]
    if changes.get("transposed"):
        nodes[-1].output[0] = "inner"
        nodes.append(
            helper.make_node("Transpose", ["inner"], ["mask"], perm=[0, 2, 1])
        )
    dtype = helper.tensor_dtype_to_np_dtype(kind)
    graph = helper.make_graph(
        nodes,
        "foreign",
        [helper.make_tensor_value_info(n, kind, shape) for n in names],
        [helper.make_tensor_value_info("mask", kind, None)],
        [numpy_helper.from_array(np.array([weight], dtype), "w")],
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8
    )
    onnx.save(model, path)
    return path


@pytest.fixture(scope="module")
def files(make_model, settings, tmp_path_factory):
    """Return all forms of a causal network with look-ahead."""
    model, paths = make_model("tcnn_late"), {}
    tmp_path = tmp_path_factory.mktemp("forms")
    for form, export, options in (
        ("offline", export_offline, {}),
        ("patch", export_patch, {"frames_per_patch": 5}),
        ("stream", export_stream, {}),
        ("stream3", export_stream, {"stream_frames": 3}),
    ):
        paths[form] = tmp_path / f"{form}.onnx"
        export(model, Setup("enhancement", settings), paths[form], **options)
    return paths


@pytest.fixture
def spoilt(files, tmp_path):
    """Return copies of the files that a test may change."""
    return {
        form: Path(shutil.copy(path, tmp_path)) for form, path in files.items()
    }


@pytest.mark.parametrize("form", ["patch", "stream", "stream3"])
@pytest.mark.parametrize("frames", [1, 2, 7, 27, 28, 29, 95])
def test_every_form_gives_the_offline_mask(files, settings, form, frames):
    size = magnitudes(settings, frames)
    wanted = load_runner(files["offline"]).run(size)
    got = load_runner(files[form]).run(size)
    assert got.dtype == np.float32 and got.shape == size.shape
    np.testing.assert_allclose(got, wanted, atol=1e-5)


@pytest.mark.parametrize("form", ["patch", "stream", "stream3"])
@pytest.mark.parametrize("feed", [1, 37, 160, 1024, None])
def test_streaming_audio_equals_offline_audio(files, settings, form, feed):
    wav = speech_like(0.2, 16000)
    spec = stft(wav, settings)
    mask = load_runner(files["offline"]).run(
        magnitude(spec, settings).astype(np.float32)
    )
    wanted = istft(spec * mask, settings, len(wav))
    runner = load_runner(files[form])
    masker = StreamingMasker(settings, runner.streamer())
    rng = np.random.default_rng(1)
    for _ in range(2):  # the second clip after flush, as new
        parts, at = [], 0
        while at < len(wav):
            step = feed or int(rng.integers(1, 300))
            parts.append(masker.feed(wav[at : at + step]))
            at += step
        got = np.concatenate([*parts, masker.flush()])
        assert len(got) == len(wav)
        np.testing.assert_allclose(got, wanted, atol=1e-5)


@pytest.mark.parametrize("form", ["patch", "stream"])
def test_two_streams_of_one_runner_do_not_disturb_each_other(
    files, settings, form
):
    runner = load_runner(files[form])
    one = magnitudes(settings, 60)
    two = one[:, ::-1].copy()
    wanted = [runner.run(one), runner.run(two)]
    streamers = [runner.streamer(), runner.streamer()]
    got = [[], []]
    for frame in range(60):
        for i, size in enumerate((one, two)):
            got[i].append(streamers[i](size[:, frame : frame + 1]))
    for i in range(2):
        mask = np.concatenate([*got[i], streamers[i].flush()], axis=1)
        np.testing.assert_allclose(mask, wanted[i], atol=1e-6)


@pytest.mark.parametrize("form", ["patch", "stream", "stream3"])
def test_reset_forgets(files, settings, form):
    runner = load_runner(files[form])
    size, streamer = (
        magnitudes(settings, 50),
        runner.streamer(),
    )
    streamer(size[:, 20:43])
    streamer.reset()
    mask = np.concatenate([streamer(size), streamer.flush()], axis=1)
    np.testing.assert_array_equal(mask, runner.run(size))


def test_a_streamer_owes_no_more_than_it_says(files, settings):
    size = magnitudes(settings, 90)
    for form, ahead in (("patch", 5 + 3 - 1), ("stream", 3), ("stream3", 5)):
        runner = load_runner(files[form])
        assert runner.lookahead_frames == ahead
        streamer, given, owed = runner.streamer(), 0, []
        for frame in range(90):
            given += streamer(size[:, frame : frame + 1]).shape[1]
            owed.append(frame + 1 - given)
        assert max(owed) == ahead and min(owed) >= 0
        assert streamer.flush().shape[1] == owed[-1]
        assert streamer.flush().shape == (17, 0)


def test_a_board_sees_true_history_and_whole_windows(files, settings):
    runner = load_runner(files["patch"])
    size = magnitudes(settings, 90)
    windows = [f["magnitude"][0] for f in runner.iter_feeds(size)]
    left, right = runner.context
    for i, window in enumerate(windows[:-1]):
        start = max(0, 5 * i - left)
        seen = size[:, start : min(start + runner.frames, 5 * i + 5 + right)]
        np.testing.assert_array_equal(window[:, : seen.shape[1]], seen)
    np.testing.assert_array_equal(windows[-1], size[:, -runner.frames :])


def test_iter_feeds_threads_the_states(files, settings):
    runner = load_runner(files["stream"])
    size = magnitudes(settings, 20)
    feeds = list(runner.iter_feeds(size))
    assert len(feeds) == 20 + 3  # the look-ahead is pushed out
    assert not any(feeds[0][s["input"]].any() for s in runner.metadata.states)
    results = runner.call(feeds[4])
    for state, new in zip(runner.metadata.states, results[1:], strict=True):
        np.testing.assert_array_equal(feeds[5][state["input"]], new)
    masks = [runner.call(feed)[0][0] for feed in feeds]
    got = np.concatenate(masks, axis=1)[:, 3:]
    np.testing.assert_array_equal(got, runner.run(size))
    (whole,) = load_runner(files["offline"]).iter_feeds(size)
    np.testing.assert_array_equal(whole["magnitude"][0], size)


def test_the_offline_form_streams_in_blocks(files, settings):
    runner = load_runner(files["offline"])
    assert runner.lookahead_frames is None
    streamer, size = (
        runner.streamer(),
        magnitudes(settings, 300),
    )
    parts = [streamer(size[:, :100]), streamer(size[:, 100:])]
    assert parts[0].shape[1] == 0 and streamer.exact
    got = np.concatenate([*parts, streamer.flush()], axis=1)
    np.testing.assert_allclose(got, runner.run(size), atol=1e-6)


def test_it_runs_without_torch(files):
    code = (
        "import sys; from edgebrain.onnx.runner import load_runner\n"
        "import numpy as np\n"
        f"runner = load_runner({str(files['stream'])!r})\n"
        "mask = runner.run(np.ones((17, 5), np.float32))\n"
        "assert mask.shape == (17, 5)\n"
        "assert not {'torch', 'speechbrain'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_settings_of_a_file_with_metadata(files):
    assert load_runner(files["stream"], n_fft=32).form == "stream"
    with pytest.raises(UserError, match="n_fft: 32 there, 512 given"):
        load_runner(files["stream"], n_fft=512)
    with pytest.raises(UserError, match="did you mean n_fft"):
        load_runner(files["stream"], n_ftt=512)


@pytest.mark.parametrize("shape", [("b", 17, "t"), (1, 17, "t"), (1, "f", "t")])
def test_a_foreign_file_with_any_number_of_frames(shape, settings, tmp_path):
    runner = load_runner(write_foreign(tmp_path / "f.onnx", shape), **GIVEN)
    assert runner.form == "offline" and runner.metadata.signal == settings
    size = magnitudes(settings, 33)
    wanted = 1 / (1 + np.exp(-0.5 * size))
    np.testing.assert_allclose(runner.run(size), wanted, atol=1e-6)


@pytest.mark.parametrize("context", [None, 3, (4, 1)])
def test_a_foreign_file_with_a_fixed_number_of_frames(
    context, settings, tmp_path
):
    path = write_foreign(tmp_path / "f.onnx", (1, 17, 12))
    runner = load_runner(path, context=context, **GIVEN)
    sides = {None: (0, 0), 3: (3, 3)}.get(context, context)
    assert runner.form == "patch" and runner.context == sides
    assert runner.frames_per_patch == 12 - sum(sides)
    for frames in (5, 12, 40):
        size = magnitudes(settings, frames)
        wanted = 1 / (1 + np.exp(-0.5 * size))
        np.testing.assert_allclose(runner.run(size), wanted, atol=1e-6)


def test_a_foreign_file_needs_settings(tmp_path):
    path = write_foreign(tmp_path / "f.onnx")
    with pytest.raises(UserError, match="no metadata.*n_fft, win_length"):
        load_runner(path, sample_rate=16000)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shape": (1, 17)}, "expected three dimensions"),
        ({"shape": (1, 1, 17, "t")}, "expected three dimensions"),
        ({"shape": (4, 17, "t")}, "fixed batch size 4"),
        ({"shape": (1, 257, "t")}, "257 channels.*give 17"),
        ({"weight": float("nan")}, "NaN or infinite weights in w"),
        ({"more_inputs": ["h"]}, r"2 inputs \(magnitude, h\) and no metadata"),
        ({"kind": TensorProto.DOUBLE}, "expected float32"),
    ],
)
def test_a_foreign_file_that_cannot_be(changes, message, tmp_path):
    path = write_foreign(tmp_path / "f.onnx", **changes)
    with pytest.raises(UserError, match=message) as caught:
        load_runner(path, **GIVEN)
    assert "\n" not in str(caught.value)


def test_a_mask_of_another_shape(settings, tmp_path):
    path = write_foreign(tmp_path / "f.onnx", transposed=True)
    with pytest.raises(UserError, match="no mask network"):
        load_runner(path, **GIVEN).run(magnitudes(settings, 9))


def test_a_stream_whose_mask_has_another_shape(files, tmp_path):
    path = write_foreign(tmp_path / "f.onnx", (1, 17, 1), transposed=True)
    model = onnx.load(path)
    known = read_card(files["stream"])
    write_card(model, known.replace(states=[], lookahead_frames=0))
    onnx.save(model, path)
    with pytest.raises(UserError, match="no mask network"):
        load_runner(path).streamer()


def test_too_much_context(tmp_path):
    path = write_foreign(tmp_path / "f.onnx", (1, 17, 12))
    with pytest.raises(UserError, match="no new frame is left"):
        load_runner(path, context=6, **GIVEN)


def test_a_magnitude_of_other_bins_or_with_nan(files):
    runner = load_runner(files["offline"])
    with pytest.raises(UserError, match=r"expected \(17, frames\)"):
        runner.run(np.zeros((257, 4), np.float32))
    with pytest.raises(UserError, match="NaN or infinity"):
        runner.run(np.full((17, 4), np.nan, np.float32))
    assert runner.run(np.zeros((17, 0), np.float32)).shape == (17, 0)


@pytest.mark.parametrize("content", [b"", b"not onnx at all", b"\x08\x07"])
def test_not_an_onnx_file(content, tmp_path):
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    for load in (load_runner, read_card, make_session):
        with pytest.raises(UserError, match="not an ONNX file") as caught:
            load(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_cut_off_file(files, tmp_path):
    path = tmp_path / "half.onnx"
    data = files["stream"].read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(UserError, match="not an ONNX file"):
        load_runner(path)


def test_no_file_and_a_folder(tmp_path):
    for path in (tmp_path, tmp_path / "none.onnx"):
        with pytest.raises(UserError, match="no such file"):
            load_runner(path)


def test_damaged_metadata(spoilt):
    model = onnx.load(spoilt["stream"])
    for prop in model.metadata_props:
        if prop.key == "edgebrain.signal":
            prop.value = '{"n_fft": -1}'
    onnx.save(model, spoilt["stream"])
    with pytest.raises(UserError, match="metadata is damaged"):
        load_runner(spoilt["stream"])
    del model.metadata_props[0]
    onnx.save(model, spoilt["stream"])
    with pytest.raises(UserError, match="metadata lacks edgebrain.model_class"):
        load_runner(spoilt["stream"])


def test_metadata_of_another_graph(spoilt):
    model = onnx.load(spoilt["offline"])
    write_card(model, read_card(spoilt["stream"]))
    onnx.save(model, spoilt["offline"])
    with pytest.raises(UserError, match="besides the states"):
        load_runner(spoilt["offline"])


def test_an_offline_file_made_static_runs_in_patches(spoilt, settings):
    model = onnx.load(spoilt["offline"])
    for value in (model.graph.input[0], model.graph.output[0]):
        shape = value.type.tensor_type.shape.dim
        shape[0].dim_value, shape[2].dim_value = 1, 40
    onnx.save(model, spoilt["offline"])
    runner = load_runner(spoilt["offline"])
    assert (runner.form, runner.frames_per_patch) == ("patch", 40)
    assert runner.run(magnitudes(settings, 95)).shape == (
        17,
        95,
    )
