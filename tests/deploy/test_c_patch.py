"""C of detectors: the bits of onnxruntime on patches, from few rows."""

import ctypes
import json
import shutil
import subprocess

from c_models import build, sound
from edgebrain.errors import UserError
from edgebrain.events.brain import event_setup
from edgebrain.events.detector import load_detector
from edgebrain.events.networks import MiniResNet, SeparableNet
from edgebrain.events.patches import PatchSettings, unknown_below
from edgebrain.onnx.export import export_patch
from edgebrain.onnx.quantization import load_source, quantize
from edgebrain.onnx.quantization_calibration import Clips
from edgebrain.onnx.session import make_session
from edgebrain.signal import SignalSettings
from edgebrain.signal.mel import MelSettings, log_mel
from edgebrain.tasks import CHOSEN
import numpy as np
import pytest
import torch

from deploy.c.generator.generate import generate
from deploy.c.generator.patch import capacities

pytestmark = pytest.mark.skipif(
    not (shutil.which("cc") and shutil.which("make")),
    reason="no C compiler, or no make",
)
BANDS, FRAMES, CLASSES = 14, 26, ("dog", 'a "quoted" \\ name', "grün")
SMALL = ((1, 12), (2, 20), (1, 9))


def separable(padding, stem=8, blocks=SMALL, parts=1):
    return SeparableNet(3, stem, blocks, padding, BANDS, FRAMES, parts=parts)


def resnet(pooling, version=1):
    return MiniResNet(3, version, 1, pooling, BANDS, FRAMES)


#: Network, overlap of patches. Odd channels leave a rest in each vector.
NETWORKS = {
    "same": (lambda: separable("same"), 0.0),
    "same_shared": (lambda: separable("same"), 0.7),
    "odd": (lambda: separable("same", 5, ((2, 7), (1, 5))), 0.25),
    "valid": (lambda: separable("valid"), 0.5),
    "parts": (lambda: separable("valid", parts=2), 0.5),
    "resnet": (lambda: resnet("avg"), 0.5),
    "resnet_flat": (lambda: resnet("none"), 0.25),
    "resnet_v2": (lambda: resnet("max", 2), 0.5),
}


def lively(model, seed=1):
    """Return a network with statistics and weights that are not trivial."""
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.2, generator=generator)
            module.running_var.uniform_(0.3, 1.5, generator=generator)
            module.bias.data.normal_(0, 0.3, generator=generator)
    return model.eval()


def middling(model, mel):
    """Return a probability that half of the patches of a sound reach."""
    features = log_mel(sound(6000, 3).astype(np.float32) / 32768, mel)
    patches = torch.from_numpy(features).unfold(1, FRAMES, 2).transpose(0, 1)
    with torch.no_grad():
        return float(model(patches).softmax(1).amax(1).median())


@pytest.fixture(scope="module")
def quantized(tmp_path_factory):
    """Return a maker of (int8 patch, mel settings)."""
    folder, made = tmp_path_factory.mktemp("patches"), {}

    def make(name, center=False):
        if (name, center) in made:
            return made[name, center]
        maker, overlap = NETWORKS[name]
        torch.manual_seed(2)
        model = lively(maker())
        signal = SignalSettings(
            n_fft=64, win_length=50, hop_length=20, center=center
        )
        mel = MelSettings(signal, BANDS, 300.0, 7000.0)
        patch = PatchSettings(patch_length=FRAMES, overlap=overlap)
        setup = event_setup(mel, patch, CLASSES, False)
        if name == "parts":
            setup.features[CHOSEN] = {"unknown_below": middling(model, mel)}
        source = folder / f"{name}_{center}.onnx"
        export_patch(model, setup, source)
        clips = tuple(
            log_mel(sound(4000, s).astype(np.float32) / 32768, mel)
            for s in range(4)
        )
        target = folder / f"{name}_{center}_int8.onnx"
        quantize(load_source(source), target, Clips(clips[:3], clips[3:], True))
        made[name, center] = target, mel
        return made[name, center]

    return make


class Detector:
    """The library of a built folder."""

    def __init__(self, folder):
        library = ctypes.CDLL(str(folder / "libnet.so"))
        library.eb_init.restype = ctypes.c_void_p
        library.eb_describe.restype = ctypes.c_char_p
        library.eb_step.argtypes = [ctypes.c_void_p] * 3
        library.eb_detect_hops.argtypes = [
            *[ctypes.c_void_p] * 4,
            ctypes.c_uint32,
        ]
        self.library = library
        self.about = json.loads(library.eb_describe())
        self.memory = (ctypes.c_uint64 * (library.eb_size() // 8 + 1))()
        self.state = library.eb_init(self.memory, ctypes.sizeof(self.memory))

    def step(self, features):
        """Return (frame, scores) for all frames (bands, frames)."""
        found, scores = [], np.zeros(len(CLASSES), np.float32)
        for number, frame in enumerate(np.ascontiguousarray(features.T)):
            if self.library.eb_step(
                self.state, frame.ctypes.data, scores.ctypes.data
            ):
                found.append((number, scores.copy()))
        return found

    def detect(self, pcm, hop):
        """Return (hop, scores) for a signal of int16."""
        hops = len(pcm) // hop
        scores = np.zeros((hops, len(CLASSES)), np.float32)
        times = np.zeros(hops, np.uint32)
        count = self.library.eb_detect_hops(
            self.state,
            pcm.ctypes.data,
            scores.ctypes.data,
            times.ctypes.data,
            hops,
        )
        return list(zip(times[:count].tolist(), scores, strict=False))


@pytest.fixture(scope="module")
def built(quantized, tmp_path_factory):
    """Return a maker of (emitter, folder)."""
    folder, made = tmp_path_factory.mktemp("detectors"), {}

    def make(name, center=False):
        if (name, center) not in made:
            target = folder / f"{name}_{center}"
            emitter = generate(quantized(name, center)[0], target, "net")
            build(target, "all")
            made[name, center] = emitter, target
        return made[name, center]

    return make


@pytest.mark.parametrize("name", NETWORKS)
def test_bits_are_those_of_onnxruntime(name, quantized, built):
    path, _ = quantized(name)
    emitter, folder = built(name)
    assert emitter.endless == (name in ("valid", "parts"))
    rng = np.random.default_rng(7)
    features = rng.normal(-4, 2, (BANDS, 5 * FRAMES)).astype(np.float32)
    found = Detector(folder).step(features)
    session, step = make_session(path), emitter.step
    wanted = [
        session.run(None, {"features": features[None, :, at : at + FRAMES]})
        for at in range(0, features.shape[1] - FRAMES + 1, step)
    ]
    # An endless one has them before the frames that nothing reads.
    assert len(wanted) <= len(found) <= len(wanted) + 1
    for (_, scores), ((theirs,),) in zip(found, wanted, strict=False):
        np.testing.assert_array_equal(scores, theirs)
    assert len({scores.tobytes() for _, scores in found}) > 1


@pytest.mark.parametrize("center", [False, True])
@pytest.mark.parametrize("name", ["same_shared", "valid"])
def test_samples_give_the_scores_of_their_features(
    name, center, quantized, built
):
    _, mel = quantized(name, center)
    emitter, folder = built(name, center)
    pcm, hop = sound(6000, 9), mel.signal.hop_length
    features = log_mel(pcm.astype(np.float32) / 32768, mel)
    by_samples = Detector(folder).detect(pcm, hop)
    by_frames = Detector(folder).step(features)
    first = emitter.front_end.first_hop
    assert [t for t, _ in by_samples] == [
        frame + first for frame, _ in by_frames[: len(by_samples)]
    ]
    steps = [
        np.abs(ours - theirs).max() / emitter.program.scores.quantization.scale
        for (_, ours), (_, theirs) in zip(by_samples, by_frames, strict=False)
    ]
    # Two ways to round a logarithm lead to other integers now and then.
    assert np.median(steps) <= 1 and max(steps) <= 3
    assert len(steps) > 5


def test_state_is_small_and_rows_are_few(built):
    emitter, folder = built("same")
    whole = sum(t.height * t.row for t in emitter.program.tensors)
    kept = sum(t.row * n for t, n in capacities(emitter.program).items())
    assert kept == emitter.memory < whole / 4
    assert Detector(folder).library.eb_size() < kept + 6000


def test_reset_forgets_everything(built):
    _, folder = built("same_shared")
    rng = np.random.default_rng(1)
    features = rng.normal(-4, 2, (BANDS, 50)).astype(np.float32)
    detector = Detector(folder)
    before = detector.step(features)
    detector.library.eb_reset.argtypes = [ctypes.c_void_p]
    detector.library.eb_reset(detector.state)
    for (t, a), (u, b) in zip(before, detector.step(features), strict=True):
        assert t == u and a.tobytes() == b.tobytes()


def test_names_of_classes_are_text_and_nothing_else(built):
    emitter, folder = built("same")
    detector = Detector(folder)
    names = (ctypes.c_char_p * 3).in_dll(detector.library, "net_classes")
    assert tuple(n.decode() for n in names) == CLASSES
    assert detector.about["class_names"] == list(CLASSES)
    assert detector.about["task"] == "events"


@pytest.mark.parametrize("name", ["same_shared", "valid"])
def test_a_library_is_a_detector_like_any_other(name, quantized, built):
    path, mel = quantized(name)
    ours = load_detector(built(name)[1] / "libnet.so")
    theirs = load_detector(path)
    assert ours.form == "c" and ours.class_names == theirs.class_names
    wav = sound(9000, 5).astype(np.float32) / 32768
    mine, other = ours.classify(wav), theirs.classify(wav)
    assert mine.shape == other.shape and len(mine) > 10
    assert np.abs(mine - other).max() < 0.05
    assert (mine.argmax(1) == other.argmax(1)).mean() > 0.9
    # Whatever the pieces, a stream has the bits of the whole.
    whole = ours.timeline([wav])
    pieces = ours.timeline(np.split(wav, [7, 500, 501, 6000]))
    np.testing.assert_array_equal(whole.probabilities, pieces.probabilities)
    if name == "same_shared":
        again = theirs.timeline([wav])
        count = min(len(whole.times), len(again.times))
        assert count > 10
        np.testing.assert_allclose(whole.times[:count], again.times[:count])
        distance = np.abs(
            whole.probabilities[:count] - again.probabilities[:count]
        )
        assert distance.max() < 0.05
    # A sound that is shorter than a patch is repeated.
    short = wav[2000:2200]
    np.testing.assert_allclose(
        ours.timeline([short]).probabilities,
        theirs.timeline([short]).probabilities,
        atol=0.05,
    )


@pytest.mark.parametrize("name", ["valid", "parts"])
def test_the_example_prints_scores(name, built, tmp_path):
    import soundfile

    emitter, folder = built(name)
    least = unknown_below(emitter.program.metadata.features)
    assert (least > 0) == (name == "parts")
    soundfile.write(tmp_path / "s.wav", sound(6000, 3), 16000)
    done = subprocess.run(
        [folder / "detect_wav", tmp_path / "s.wav"],
        capture_output=True,
        text=True,
        check=True,
    )
    rows = done.stdout.splitlines()
    scores = Detector(folder).detect(sound(6000, 3), 20)
    assert len(rows) == len(scores) > 5
    unknown = []
    for row, (hop, values) in zip(rows, scores, strict=True):
        assert int(row.split()[0]) == (hop + 1) * 20 * 1000 // 16000
        printed = np.array(row.split()[-3:], np.float32)
        np.testing.assert_allclose(printed, values, rtol=1e-5)
        chances = np.exp(values - values.max())
        unknown.append(1 / chances.sum() < least)
        wanted = "unknown" if unknown[-1] else CLASSES[int(values.argmax())]
        assert wanted in row
    assert (0 < sum(unknown) < len(unknown)) == (name == "parts")


@pytest.mark.skipif(
    not (shutil.which("arm-none-eabi-gcc") and shutil.which("qemu-system-arm")),
    reason="no cross compiler, or no emulator",
)
@pytest.mark.slow
@pytest.mark.parametrize("board", ["m4", "m55"])
def test_boards_print_what_the_host_prints(board, built):
    import soundfile

    _, folder = built("odd")
    soundfile.write(folder / "sound.wav", sound(6000, 4), 16000)
    host = subprocess.run(
        [folder / "detect_wav", folder / "sound.wav"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    build(folder, f"net_{board}.elf")
    done = subprocess.run(
        ["make", "-s", f"run-{board}"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert not done.returncode, done.stdout + done.stderr
    printed = [r for r in done.stdout.splitlines() if r[:1].isdigit()]
    assert printed == host.splitlines() and len(printed) > 3


def test_what_has_no_kernel_is_refused_with_its_mend(tmp_path, quantized):
    path, _ = quantized("same")
    float_one = path.with_name("same_False.onnx")
    with pytest.raises(UserError, match="quantize it with quantize.py"):
        generate(float_one, tmp_path / "x", "net")
    torch.manual_seed(0)
    signal = SignalSettings(n_fft=64, win_length=50, hop_length=20)
    mel = MelSettings(signal, BANDS, 300.0, 7000.0, to_db=True)
    setup = event_setup(mel, PatchSettings(patch_length=FRAMES), CLASSES, False)
    source = tmp_path / "db.onnx"
    export_patch(lively(separable("same")), setup, source)
    clips = (log_mel(sound(4000, 1).astype(np.float32) / 32768, mel),) * 2
    quantize(
        load_source(source), tmp_path / "db8.onnx", Clips(clips, clips, False)
    )
    with pytest.raises(UserError, match="to_db"):
        generate(tmp_path / "db8.onnx", tmp_path / "x", "net")
    assert not (tmp_path / "x").exists()
