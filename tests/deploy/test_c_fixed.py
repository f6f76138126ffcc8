"""Fixed point instead of float, for cores without a floating-point unit."""

import ctypes
import shutil
import subprocess

from board_sums import FLAGS
from c_models import build, released, sound
from edgebrain.signal import SignalSettings
from edgebrain.signal.probe import speech_like
from kernel_checks import CHECKS, F32, compile_kernels, layer, write_kernels
import numpy as np
import pytest
import soundfile
from test_c_stft import Stft, Transform, compiled, error_of_synthesis

from deploy.c.generator.constants import Tables
from deploy.c.generator.generate import generate
from deploy.c.generator.stft_constants import fixed_tables

SIZES = [
    (512, 400, 160),
    (512, 391, 97),
    (1024, 1000, 250),
    (256, 256, 128),
    (64, 50, 20),
    (16, 16, 6),
]
needs_cc = pytest.mark.skipif(
    not shutil.which("cc"), reason="no C compiler (cc) on this machine"
)
BOARD_TOOLS = ("cc", "make", "arm-none-eabi-gcc", "qemu-system-arm")


class FixedStft(ctypes.Structure):
    """eb_stft with EB_USE_FIXED."""

    _fields_ = [
        *Stft._fields_,
        ("up", ctypes.c_int32),
        ("down", ctypes.c_int32),
    ]


class FixedTransform(Transform):
    """The same stream, whose spectrum and overlap are integers."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.tables = fixed_tables(self.signal)
        self.overlap[:] = self.overlap_and_more[:] = 0

    def settings(self):
        given = super().settings()
        fields = [getattr(given, name) for name, _ in Stft._fields_]
        return FixedStft(*fields, self.tables.up, self.tables.down)

    def analyse(self, pcm):
        with np.errstate(invalid="ignore"):  # integers read as floats
            _, magnitude = super().analyse(pcm)
        whole = self.spectrum.view(np.int32) / 2.0 ** (15 + self.tables.up)
        return whole[::2] + 1j * whole[1::2], magnitude


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return compiled(tmp_path_factory.mktemp("fixed"), (), "-DEB_USE_FIXED")


def speech(level_db, hop):
    wav = speech_like(2.0, 16000)[4000:20000]
    wav = wav[: len(wav) // hop * hop]
    wav = wav / np.abs(wav).max() * 10 ** (level_db / 20) * 32767
    return np.rint(wav).astype(np.int16).reshape(-1, hop)


def power(values):
    return np.mean(np.abs(np.asarray(values)) ** 2)


@needs_cc
@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("level_db", [0, -20, -40])
def test_spectrum_and_magnitude(sizes, level_db, library):
    """85 dB below the signal, or below what rounding to int16 did to it."""
    transform = FixedTransform(library, *sizes)
    spectra, lengths, wanted = [], [], []
    for pcm in speech(level_db, sizes[2]):
        spectrum, magnitude = transform.analyse(pcm)
        spectra.append(spectrum)
        lengths.append(magnitude)
        wanted.append(np.fft.rfft(transform.frame(), sizes[0]))
    wanted = np.array(wanted)
    rounding = np.sum(transform.window**2) / 12 / 32768**2
    most = max(10**-8.5 * power(wanted), rounding)
    for error in (spectra - wanted, lengths - np.abs(wanted)):
        assert power(error) < most


@needs_cc
@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("masked", [False, True], ids=["whole", "masked"])
def test_samples_are_those_of_numpy(sizes, masked, library):
    transform = FixedTransform(library, *sizes)
    assert error_of_synthesis(transform, masked) < 2.5


@needs_cc
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_the_loudest_samples_do_not_wrap(sizes, library):
    transform = FixedTransform(library, *sizes)
    _, win, hop = sizes
    rng = np.random.default_rng(2)
    pcm = np.concatenate(
        [
            rng.choice([-32768, 32767], (20, hop)),
            np.full((20, hop), -32768),
            np.resize([32767, -32768], (20, hop)),
        ]
    )
    out = []
    for samples in pcm:
        transform.analyse(samples)
        out.append(transform.synthesise(np.ones(sizes[0] // 2 + 1)))
    out, pcm = np.concatenate(out).astype(int), pcm.ravel()
    delay = win - hop
    error = np.abs(out[delay:] - pcm[: len(pcm) - delay])
    assert error.max() <= 4


@needs_cc
def test_masks_of_any_sign_and_size(library):
    """The middle bin alone, times numbers that 15 bits round, and beyond."""
    transform = FixedTransform(library, 4, 4, 1)
    for value, want in {
        **{v: v for v in (0.0, 1.0, -1.0, 0.5, 2**-15, -(2**-15), 0.75)},
        **{1e-9: 0.0, -1e-30: 0.0, 2**-16: 2**-15, 5.0: 1.0, -1e9: -1.0},
    }.items():
        whole = transform.spectrum.view(np.int32)
        whole[:] = 0, 0, 1 << 20, 0, 0, 0
        transform.overlap.view(np.int32)[:] = 0
        transform.synthesise(np.full(3, value, np.float32))
        got = transform.overlap.view(np.int32).copy()
        whole[:] = 0, 0, 1 << 20, 0, 0, 0
        transform.overlap.view(np.int32)[:] = 0
        transform.synthesise(np.ones(3, np.float32))
        one = transform.overlap.view(np.int32)
        assert np.abs(one).max() > 2**16
        assert np.abs(got - want * one).max() < 4, value


def test_what_has_no_fixed_point_is_an_error_of_the_compiler(tmp_path):
    assert fixed_tables(SignalSettings(n_fft=400)) is None
    text = Tables(8)._stft_tables(SignalSettings(n_fft=400))
    assert "#error n_fft 400" in text and "-DEB_FLOAT" in text


#: Draws ratios and compares both ways to round, for every sum within reach.
PRODUCTS = """
#include "eb_arith.h"
int differ(uint32_t seed, int32_t most);
int differ(uint32_t seed, int32_t most)
{
    int count = 0;
    for (int i = 0; i < 40; i++) {
        seed = seed * 1664525u + 1013904223u;
        uint32_t bits = (105u + (seed >> 28)) << 23;
        bits |= (seed >> 5) & 0x7FFFFFu;
        bits &= i % 4 == 0 ? 0xFF800000u : 0xFFFFFFFFu;
        float ratio;
        memcpy(&ratio, &bits, sizeof ratio);
        for (int32_t sum = -most; sum <= most; sum++) {
            const int32_t float_way = eb_float_product(sum, ratio);
            const int32_t here = eb_rounded_product(sum, ratio);
            const int32_t limited = float_way > 256 ? 256
                : float_way < -256 ? -256 : float_way;
            count += here != limited && here != float_way;
        }
    }
    return count;
}
"""


@needs_cc
@pytest.mark.parametrize(
    "change, right",
    [
        ((), True),
        ((("part - 0x7FFF0000u < 0x20000u", "part == 0x80000000u"),), False),
        ((("whole > 255u", "whole > 65535u"),), False),
    ],
    ids=["as it is", "no room around a half", "no end"],
)
def test_products_are_rounded_as_in_float(change, right, tmp_path):
    write_kernels(tmp_path, change)
    (tmp_path / "products.c").write_text(PRODUCTS)
    words = ["cc", "-O2", *FLAGS, "-DEB_USE_FIXED", "-shared", "-fPIC"]
    words += ["-o", tmp_path / "products.so", tmp_path / "products.c"]
    subprocess.run(words, check=True)
    found = ctypes.CDLL(str(tmp_path / "products.so")).differ(1, 1 << 18)
    assert (found == 0) == right


@needs_cc
@pytest.mark.parametrize("check", CHECKS, ids=lambda c: c.__name__[6:])
def test_kernels_keep_the_bits_of_float(check, kernels):
    check(kernels)


@needs_cc
def test_sums_of_all_pairs_are_those_of_float(kernels, tmp_path):
    exact = compile_kernels(tmp_path, flags=["-DEB_FLOAT", "-DEB_SCALAR"])
    a, b = (v.ravel().astype(np.int8) for v in np.mgrid[-128:128, -128:128])
    rng = np.random.default_rng(0)
    for ratios in (*rng.uniform(0, 2, (40, 2)), (8.0, 0.01), (0.5, 0.5)):
        fields = dict(zip(("first", "second"), map(F32, ratios), strict=True))
        given, _ = layer(**fields, fixed=F32(rng.uniform(-300, 100)))
        out = []
        for library in (kernels, exact):
            out.append(np.zeros(a.size, np.int8))
            places = [
                v.ctypes.data_as(ctypes.c_void_p) for v in (a, b, out[-1])
            ]
            library.eb_add_s8(given, *places, a.size)
        np.testing.assert_array_equal(*out)


@pytest.fixture(scope="module")
def kernels(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kernels")
    return compile_kernels(folder, flags=["-DEB_USE_FIXED"])


@pytest.mark.skipif(
    not all(map(shutil.which, BOARD_TOOLS)),
    reason="no cross compiler or emulator",
)
def test_cores_without_a_floating_point_unit(tmp_path):
    """The bits of this computer with integers, and what a frame takes.

    Before, in float: 1.86, 2.41 and 4.27 million instructions.
    """
    generate(released("tcnn-120k", "int8"), tmp_path, "net")
    pcm = sound(40 * 160 + 7, 6)
    pcm[100:110] = 32767
    pcm[200:210] = -32768
    soundfile.write(tmp_path / "noisy.wav", pcm, 16000)
    build(tmp_path, "enhance_wav", "CFLAGS=-O2 -Werror -DEB_USE_FIXED")
    words = ["./enhance_wav", "noisy.wav", "host.wav"]
    subprocess.run(words, cwd=tmp_path, check=True)
    host = (tmp_path / "host.wav").read_bytes()
    assert np.ptp(soundfile.read(tmp_path / "host.wav")[0]) > 0.002
    for core, most in {"m4": 500e3, "m3": 1.06e6, "m0plus": 1.6e6}.items():
        for old in (*tmp_path.glob("*.elf"), tmp_path / "enhanced.wav"):
            old.unlink(missing_ok=True)
        printed = build(
            tmp_path,
            "run-m4",
            f"m4_CPU=-mcpu=cortex-{core}",
            "ARM_FLAGS=-mthumb -mfloat-abi=soft -ffunction-sections",
        )
        assert (tmp_path / "enhanced.wav").read_bytes() == host, core
        assert 0.8 * most < int(printed.split()[3]) < most, core
