"""The transforms of the C runtime against numpy in float64."""

import ctypes
from pathlib import Path
import shutil

from edgebrain.errors import UserError
from edgebrain.signal import SignalSettings
from edgebrain.signal.windows import make_window, split_hops
from kernel_checks import objects, run
import numpy as np
import pytest

from deploy.c.generator.stft_constants import (
    MAX_STAGES,
    radices,
    slow_transform,
    tables,
)

FOLDER = Path(__file__).parents[2] / "deploy" / "c"
RUNTIME = FOLDER / "runtime"
SOURCES = tuple(
    f"eb_{name}" for name in "stft stft_x4 overlap fft fft_x4 fixed".split()
)
FLAGS = ["-std=c99", "-ffp-contract=off", "-Wall", "-Wextra", "-Wconversion"]
FLAGS += ["-Wshadow", "-pedantic"]
#: n_fft, win_length, hop_length: every radix, odd sizes, windows that leave
#: the first stage more or fewer zeros, hops beyond half a window.
SIZES = [
    (512, 400, 160),
    (512, 512, 128),
    (512, 391, 97),
    (512, 394, 99),
    (512, 320, 160),
    (1024, 1000, 250),
    (480, 480, 120),
    (320, 320, 200),
    (400, 400, 100),
    (72, 65, 40),
    (64, 50, 20),
    (60, 45, 15),
    (26, 25, 7),
    (22, 22, 20),
    (1764, 883, 99),
    (16, 13, 11),
    (8, 7, 3),
    (4, 4, 1),
    (2, 2, 1),
]
#: Of the length of the frame; a wrong digit of a factor gives more.
TOLERANCE = 1e-6
needs_cc = pytest.mark.skipif(
    not shutil.which("cc"), reason="no C compiler (cc) on this machine"
)


class Plan(ctypes.Structure):
    """eb_fft_plan."""

    _fields_ = [
        ("size", ctypes.c_int32),
        ("stages", ctypes.c_int32),
        ("radix", ctypes.c_uint8 * MAX_STAGES),
        ("twiddle", ctypes.c_void_p),
    ]


class Stft(ctypes.Structure):
    """eb_stft."""

    _fields_ = [
        ("n_fft", ctypes.c_int32),
        ("win_length", ctypes.c_int32),
        ("hop_length", ctypes.c_int32),
        ("fft", Plan),
        ("window", ctypes.c_void_p),
        ("gain", ctypes.c_void_p),
        ("turns", ctypes.c_void_p),
    ]


def compiled(folder, changes=(), define="-UEB_SCALAR"):
    """Return the transforms as a library, with changes to their source."""
    texts = {n: (RUNTIME / f"{n}.c").read_text() for n in SOURCES}
    for header in RUNTIME.glob("*.h"):
        texts[header.name] = header.read_text()
    for old, new in changes:
        holders = [n for n, text in texts.items() if old in text]
        assert holders, f"the mutant changes nothing: {old}"
        for n in holders:
            texts[n] = texts[n].replace(old, new)
    for n, text in texts.items():
        (folder / (n if n.endswith(".h") else f"{n}.c")).write_text(text)
    sources = [folder / f"{n}.c" for n in SOURCES]
    warnings = [] if changes else ["-Werror"]
    words = ["cc", "-O1", "-fPIC", define, *FLAGS, *warnings]
    made = objects(words, sources, folder)
    run(["cc", "-shared", "-o", "stft.so", *made, "-lm"], folder)
    return ctypes.CDLL(str(folder / "stft.so"))


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return compiled(tmp_path_factory.mktemp("stft"))


def pointer(array):
    return ctypes.c_void_p(array.ctypes.data)


class Transform:
    """A stream through the C functions."""

    def __init__(self, library, n_fft, win_length, hop_length):
        # A Hann window is 0 at its start: not for hops without overlap.
        kind = "hann" if win_length > 2 * hop_length else "hamming"
        self.signal = SignalSettings(
            n_fft=n_fft,
            win_length=win_length,
            hop_length=hop_length,
            window=kind,
        )
        self.window = make_window(kind, win_length)
        self.tables = tables(self.signal)
        self.library = library
        self.history = np.zeros(win_length + win_length % 2, np.int16)
        # Not a number behind it: whoever reads past the end shows it.
        kept = max(win_length - hop_length, 1)
        self.overlap_and_more = np.full(kept + hop_length, np.nan, np.float32)
        self.overlap = self.overlap_and_more[:kept]
        self.overlap[:] = 0
        self.spectrum = np.zeros(n_fft + 2, np.float32)
        self.other = np.zeros(n_fft + 2, np.float32)

    def settings(self):
        t, s = self.tables, self.signal
        plan = Plan(s.n_fft // 2, len(t.radices), (), t.twiddle.ctypes.data)
        plan.radix[: len(t.radices)] = t.radices
        return Stft(
            s.n_fft,
            s.win_length,
            s.hop_length,
            plan,
            *(v.ctypes.data for v in (t.window, t.gain, t.turns)),
        )

    def analyse(self, pcm):
        """Return the spectrum and magnitudes after the next hop."""
        given = self.settings()
        s = ctypes.byref(given)
        pcm = np.ascontiguousarray(pcm, np.int16)
        self.library.eb_take_hop(s, pointer(self.history), pointer(pcm))
        self.library.eb_analyse(
            s,
            pointer(self.history),
            pointer(self.spectrum),
            pointer(self.other),
        )
        magnitude = self.other[: len(self.spectrum) // 2].copy()
        return self.spectrum[::2] + 1j * self.spectrum[1::2], magnitude

    def synthesise(self, mask):
        """Return the next hop."""
        given = self.settings()
        bins = len(mask)
        # Where the firmware has it.
        self.other[bins : 2 * bins] = mask
        out = np.zeros(self.signal.hop_length, np.int16)
        self.library.eb_synthesise(
            ctypes.byref(given),
            pointer(self.spectrum),
            ctypes.c_void_p(self.other.ctypes.data + 4 * bins),
            pointer(self.other),
            pointer(self.overlap),
            pointer(out),
        )
        return out

    def frame(self):
        """Return the windowed samples of the last frame, float64."""
        samples = self.history[: self.signal.win_length]
        return samples / 32768 * self.window


def error_of_analysis(transform, frames=6):
    """Return the largest error, of the length of the frame."""
    hop = transform.signal.hop_length
    rng = np.random.default_rng(0)
    worst = 0.0
    for _ in range(frames):
        pcm = rng.integers(-32768, 32768, hop)
        spectrum, magnitude = transform.analyse(pcm)
        frame = transform.frame()
        want = np.fft.rfft(frame, transform.signal.n_fft)
        length = np.sqrt((frame**2).sum()) + 1e-12
        error = np.abs(spectrum - want).max()
        error = max(error, np.abs(magnitude - np.abs(want)).max())
        worst = max(worst, error / length)
    return worst


def error_of_synthesis(transform, masked, hops=30):
    """Return the largest difference of samples from float64."""
    s = transform.signal
    rng = np.random.default_rng(1)
    pcm = rng.integers(-20000, 20000, (hops, s.hop_length))
    gain = np.maximum(split_hops(transform.window, s.hop_length).sum(0), 1e-9)
    sums = np.zeros(s.win_length)
    worst = 0.0
    for hop in pcm:
        transform.analyse(hop)
        bins = s.n_fft // 2 + 1
        mask = rng.uniform(0, 1, bins) if masked else np.ones(bins)
        out = transform.synthesise(mask.astype(np.float32))
        spectrum = np.fft.rfft(transform.frame(), s.n_fft) * mask
        back = np.fft.irfft(spectrum, s.n_fft)[: s.win_length]
        sums += back * transform.window
        want = np.clip(32768 * sums[: s.hop_length] / gain, -32768, 32767)
        worst = max(worst, np.abs(out - want).max())
        sums = np.append(sums[s.hop_length :], np.zeros(s.hop_length))
    return worst


@needs_cc
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_spectrum_and_magnitude_are_those_of_numpy(sizes, library):
    assert error_of_analysis(Transform(library, *sizes)) < TOLERANCE


@needs_cc
@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("masked", [False, True], ids=["whole", "masked"])
def test_samples_are_those_of_numpy(sizes, masked, library):
    assert error_of_synthesis(Transform(library, *sizes), masked) < 1


@needs_cc
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_untouched_samples_come_back(sizes, library):
    transform = Transform(library, *sizes)
    _, win, hop = sizes
    pcm = np.random.default_rng(2).integers(-32768, 32768, (40, hop))
    out = []
    for samples in pcm:
        transform.analyse(samples)
        out.append(transform.synthesise(np.ones(sizes[0] // 2 + 1)))
    out, pcm = np.concatenate(out).astype(int), pcm.ravel()
    delay = win - hop
    assert np.abs(out[delay:] - pcm[: len(pcm) - delay]).max() <= 1


@needs_cc
@pytest.mark.parametrize("sizes", [(512, 400, 160), (60, 45, 15)], ids=str)
def test_every_constant_counts(sizes, library):
    """A factor wrong in its fourth digit is noticed."""
    transform = Transform(library, *sizes)
    used = [("window", np.arange(sizes[1]))]
    used.append(("turns", np.arange(1, (sizes[0] // 2 - 1) // 2 + 1)))
    at, length, factors = 0, 1, []
    for radix in transform.tables.radices:
        for _ in range(1, radix):
            # The first factor of a column is 1 and not looked at everywhere.
            factors.extend(range(at + 1, at + length))
            at += length
        if radix not in (2, 4):
            factors.extend(range(at + 1, at + radix))
            at += radix
        length *= radix
    assert at == len(transform.tables.twiddle)
    used.append(("twiddle", np.array(factors)))
    rng = np.random.default_rng(3)
    for name, places in used:
        table = getattr(transform.tables, name)
        for place in rng.choice(places, min(25, len(places)), replace=False):
            part = (place, rng.integers(2)) if table.ndim == 2 else place
            before = table[part]
            table[part] += np.float32(1e-4 if table.ndim == 2 else 1e-8)
            assert error_of_analysis(transform) > TOLERANCE, (name, part)
            table[part] = before
    assert error_of_analysis(transform) < TOLERANCE


@needs_cc
def test_samples_are_rounded_half_to_even_and_saturated(library):
    """The first bin of a transform of 2 is both of its samples."""
    transform = Transform(library, 2, 2, 1)
    transform.tables.window[:] = 1, -1
    transform.tables.gain[:] = 1
    for value in (
        *(0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 2.499, 2.501, -7.25),
        *(32766.5, 32767.4, 32768.0, 1e9, -32767.5, -32768.4, -1e9),
    ):
        transform.spectrum[:] = value, 0, 0, 0
        transform.overlap[:] = 0
        out = transform.synthesise(np.ones(2, np.float32))
        want = np.clip(np.round(np.float32(value)), -32768, 32767)
        assert out == want and transform.overlap == np.float32(value)


MUTANTS = [
    ("const float tr = dr * w[0] - di * w[1]", "const float tr = dr * w[0]"),
    ("a[1] = ei + tr;", "a[1] = ei - tr;"),
    ("b[0] = er + ti;", "b[0] = er - ti;"),
    ("y3[1] = ami + bmr;", "y3[1] = ami - bmr;"),
    ("to[1] = x[0] * w[1] + x[1] * w[0];", "to[1] = x[1] * w[0];"),
    ("a[0] *= 2.0f;", "a[0] *= 1.0f;"),
    ("2.0f * *low", "1.0f * *low"),
    ("2.0f * (first - second)", "(first - second)"),
    ("last - first", "first - last"),
    ("pairs - 3 * (half / 4)", "pairs - 3 * (half / 4) - 2"),
    ("* *high;", "* *low;"),
    ("to[1] = z[1] * window[1];", "to[1] = z[1];"),
    ("int32_t both = hop < kept ? hop : kept", "int32_t both = hop"),
    ("const float second = from[1] +", "const float second ="),
    ("roots[2 * ((i * j) % r)]", "roots[2 * ((i + j) % r)]"),
]


@needs_cc
@pytest.mark.parametrize("change", MUTANTS, ids=lambda c: c[0])
def test_wrong_code_is_noticed(change, tmp_path):
    mutant = compiled(tmp_path, [change], "-DEB_SCALAR")
    wrong = []
    for sizes in ((512, 400, 160), (60, 45, 15), (72, 65, 40)):
        transform = Transform(mutant, *sizes)
        wrong.append(not error_of_analysis(transform) < TOLERANCE)
        transform = Transform(mutant, *sizes)
        wrong.append(not error_of_synthesis(transform, True) < 1)
    assert any(wrong)


def test_a_slow_size_is_said():
    assert "radix 5, 5" in slow_transform(400) and not slow_transform(1024)


def test_impossible_transforms_are_refused():
    assert radices(512) == [4, 4, 4, 4]
    with pytest.raises(UserError, match="prime factor above 13"):
        radices(2 * 17)
    with pytest.raises(UserError, match="even"):
        radices(25)
