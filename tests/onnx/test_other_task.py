"""Networks whose output has another shape than their input."""

from edgebrain import tasks
from edgebrain.errors import UserError
from edgebrain.models import EdgeModel, check_output
from edgebrain.onnx import quantization as q
from edgebrain.onnx.export import export_offline, export_patch, export_stream
from edgebrain.onnx.files import read_card
from edgebrain.onnx.job import probe
from edgebrain.onnx.quantization_calibration import read_clips
from edgebrain.onnx.runner import load_runner
from edgebrain.signal import SignalSettings, stft
from edgebrain.tasks import Interface, Port, Setup
import numpy as np
import onnx
import pytest
import torch
from torch import nn

BANDS, CLASSES, WINDOW, HOP = 6, 3, 20, 15
SETUP = Setup(
    "toy",
    SignalSettings(n_fft=32, win_length=32, hop_length=16),
    {"bands": BANDS},
    ("bird", "rain", "dog"),
)


class Toy:
    """Tells classes of sound by the logarithms of the lowest bins."""

    name = "toy"

    def features(self, wav, setup):
        """Return (bands, frames)."""
        low = stft(wav, setup.signal)[: setup.features["bands"]]
        return np.log(np.abs(low) + 0.1).astype(np.float32)

    def interface(self, model, setup):
        """Return one of logits a window; of a stream one a frame."""
        port = Port("log_bins", (setup.features["bands"], None))
        if isinstance(model, PerFrame):
            return Interface(port, Port("logits", (CLASSES, None)))
        return Interface(port, Port("logits", (CLASSES,)), (WINDOW, HOP))

    def result(self, features, output):
        """Return the logits."""
        return output


class Windowed(EdgeModel):
    """Judges a window as a whole."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, stride=2)
        self.head = nn.Linear(4, CLASSES)

    def forward(self, features):
        """Return (batch, classes)."""
        x = torch.relu(self.conv(features[:, None]))
        return self.head(x.mean(dim=(2, 3)))


class PerFrame(EdgeModel):
    """Judges each frame by itself and the one before."""

    causal = True
    lookahead_frames = 0
    receptive_field_frames = 2

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(BANDS, CLASSES, 2)

    def forward(self, features):
        """Return (batch, classes, frames)."""
        return self.conv(nn.functional.pad(features, (1, 0)))

    def initial_state(self, batch=1, device=None, dtype=None):
        """Return the last frame."""
        return {"last": torch.zeros(batch, BANDS, 1)}

    def step(self, features, state):
        """Return the logits of the next frames."""
        seen = torch.cat([state["last"], features], dim=-1)
        return self.conv(seen), {"last": seen[..., -1:]}


@pytest.fixture(autouse=True)
def toy(monkeypatch):
    """Make the task known."""
    monkeypatch.setattr(tasks, "_registered", {})
    tasks.register(Toy())
    torch.manual_seed(0)


@pytest.fixture
def windowed(tmp_path):
    """Return a network that judges windows, and its file."""
    model, path = Windowed().eval(), tmp_path / "patch.onnx"
    export_patch(model, SETUP, path)
    return model, path


def by_windows(model, clip):
    starts = range(0, clip.shape[1] - WINDOW + 1, HOP)
    parts = [clip[None, :, start : start + WINDOW] for start in starts]
    with torch.no_grad():
        return np.stack([model(torch.from_numpy(p))[0] for p in parts], 1)


def test_a_patch_gives_one_output_a_window(windowed):
    model, path = windowed
    runner = load_runner(path)
    assert (runner.frames, runner.frames_per_patch) == (WINDOW, HOP)
    clip = probe(SETUP, 77)
    wanted = by_windows(model, clip)
    assert wanted.shape == (CLASSES, 4)
    np.testing.assert_allclose(runner.run(clip), wanted, atol=1e-5)
    streamer = runner.streamer()
    parts = [streamer(clip[:, k : k + 7]) for k in range(0, 77, 7)]
    parts.append(streamer.flush())
    np.testing.assert_allclose(np.hstack(parts), wanted, atol=1e-5)
    # A clip shorter than a window is heard again and again until one is full.
    short = by_windows(model, np.tile(clip[:, :8], 3))
    np.testing.assert_allclose(runner.run(clip[:, :8]), short, atol=1e-5)
    assert runner.run(clip[:, :0]).shape == (CLASSES, 0)


def test_the_card_says_what_a_tool_must_know(windowed):
    card = read_card(windowed[1])
    assert card.setup == SETUP
    assert (card.form, card.context) == ("patch", (WINDOW - HOP, 0))
    properties = {p.key: p.value for p in onnx.load(windowed[1]).metadata_props}
    assert properties["edgebrain.inputs"] == (
        '[{"name": "log_bins", "shape": [1, 6, 20]}]'
    )
    assert properties["edgebrain.outputs"] == (
        '[{"name": "logits", "shape": [1, 3]}]'
    )


def test_a_stream_judges_each_frame(tmp_path):
    model, path = PerFrame().eval(), tmp_path / "stream.onnx"
    clip = probe(SETUP, 90)
    with torch.no_grad():
        wanted = model(torch.from_numpy(clip[None]))[0].numpy()
    for export, options in (
        (export_offline, {}),
        (export_patch, {"frames_per_patch": 5}),
        (export_stream, {"stream_frames": 2}),
    ):
        export(model, SETUP, path, overwrite=True, **options)
        runner = load_runner(path)
        np.testing.assert_allclose(runner.run(clip), wanted, atol=1e-5)
        streamer = runner.streamer()
        parts = [streamer(clip[:, :50]), streamer(clip[:, 50:])]
        got = np.hstack([*parts, streamer.flush()])
        np.testing.assert_allclose(got, wanted, atol=1e-5)


@pytest.mark.parametrize("precision", ["int8", "int16x8"])
@pytest.mark.parametrize("form", ["patch", "stream"])
def test_both_are_quantized(form, precision, tmp_path):
    from edgebrain.data import audio

    path = tmp_path / "float.onnx"
    if form == "patch":
        export_patch(Windowed().eval(), SETUP, path)
    else:
        export_stream(PerFrame().eval(), SETUP, path)
    rng = np.random.default_rng(0)
    for number in range(4):
        wav = rng.normal(0, 0.1 * 3.0**-number, 8000).astype(np.float32)
        audio.write(tmp_path / "sounds" / f"{number}.wav", wav, 16000)
    clips = read_clips(tmp_path / "sounds", SETUP)
    target = tmp_path / "quantized.onnx"
    settings = q.QuantizationSettings(precision=precision)
    report = q.quantize(q.load_source(path), target, clips, settings)
    assert min(report.snr_db) > {"int8": 25, "int16x8": 40}[precision]
    assert read_card(target).setup == SETUP


def test_a_network_of_windows_has_no_other_form(windowed, tmp_path):
    model = windowed[0]
    with pytest.raises(UserError, match="windows of 20 frames"):
        export_offline(model, SETUP, tmp_path / "m.onnx")
    with pytest.raises(UserError, match="leave --context out"):
        export_patch(model, SETUP, tmp_path / "m.onnx", context=3)


def test_an_output_of_another_shape_is_refused():
    interface = Toy().interface(None, SETUP)
    for output in (CLASSES + 1, CLASSES):
        model = Windowed()
        model.head = nn.Linear(4, output)
        if output == CLASSES:
            check_output(model, interface)
        else:
            with pytest.raises(UserError, match=r"logits is \(2, 4\), exp"):
                check_output(model, interface)
