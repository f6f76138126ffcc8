"""Each kernel against onnxruntime or exact integers, and mutants of each."""

import shutil

from curve_checks import check_cell_tanh, check_tanh_16, check_tanh_of
from kernel_checks import CHECKS, F32, compile_kernels
import numpy as np
import pytest

CHECKS = [*CHECKS, check_tanh_16, check_cell_tanh]
pytestmark = pytest.mark.skipif(
    not shutil.which("cc"), reason="no C compiler (cc) on this machine"
)


@pytest.fixture(scope="module", params=["-UEB_SCALAR", "-DEB_SCALAR"])
def kernels(tmp_path_factory, request):
    folder = tmp_path_factory.mktemp("kernels")
    return compile_kernels(folder, flags=[request.param])


@pytest.mark.parametrize("check", CHECKS, ids=lambda c: c.__name__[6:])
def test_kernel(check, kernels):
    check(kernels)


@pytest.mark.slow
def test_tanh_of_a_cell_is_that_of_onnxruntime_for_every_float(tmp_path):
    """From 2^-10, below which the integer is that of 0, to 9.5."""
    kernels = compile_kernels(tmp_path, flags=["-O2", "-march=native"])
    first, last = np.array([2**-10, 9.5], F32).view(np.int32)
    # Pieces of a megabyte stay in the cache.
    for at in range(first, last, 1 << 18):
        x = np.arange(at, min(at + (1 << 18), last), dtype=np.int32).view(F32)
        for signed in (x, -x):
            check_tanh_of(kernels, signed, [(1 / 128, 0)])


HALF_AWAY = (
    "    return bits - EB_MAGIC_BITS;",
    "    (void)bits; return (int32_t)(value < 0 ? value - 0.5f : "
    "value + 0.5f);",
)
MUTANTS = {
    "half away from zero": [HALF_AWAY],
    "half down in 16 bits": [
        ("factor + half) >> shift", "factor + half - 1) >> shift"),
    ],
    "no zero point of the output": [
        (
            "eb_rounded_product(sum, ratio) + zero",
            "eb_rounded_product(sum, ratio)",
        ),
    ],
    "saturates at -127": [
        ("value > -128 ? value : -128", "value > -127 ? value : -127"),
    ],
    "saturates at 126": [
        ("limited < 127 ? limited : 127", "limited < 126 ? limited : 126"),
    ],
    "wraps in 16 bits": [("if (limited > 32767) {", "if (limited > 98303) {")],
    "wraps in 16 bits of 32": [
        ("limited < 32767 ? limited : 32767", "limited"),
    ],
    "forgets the last column": [("k < used; k++", "k < used - 1; k++")],
    "a block of 8 as one of 16": [("left > 8 ? 16 : 8", "16")],
    "forgets the last tap": [("k < taps; k++", "k < taps - 1; k++")],
    "swapped ratios": [
        (
            "eb_fused((float)second[i], second_ratio",
            "eb_fused((float)second[i], first_ratio",
        ),
        (
            "eb_fused((float)first[i], first_ratio",
            "eb_fused((float)first[i], second_ratio",
        ),
    ],
    "not fused, in another order": [
        (
            "eb_fused((float)second[i], second_ratio, fixed)",
            "((float)first[i] * first_ratio + (float)second[i] * second_ratio)",
        ),
        (
            "eb_fused((float)first[i], first_ratio, part)",
            "__builtin_rintf(part) + fixed",
        ),
    ],
    "zero points of a product left out": [
        ("(int32_t)first[i] - first_zero", "(int32_t)first[i]")
    ],
    "rounds a product before the zero point": [
        ("eb_round(value + zero)", "(eb_round(value) + layer->zero)")
    ],
    "half down in the high word": [
        ("(high + half) >> (shift - 32)", "high >> (shift - 32)"),
    ],
    "half down in a sum": [
        ("(high + half) >> (shift - 16)", "high >> (shift - 16)")
    ],
    "32-bit sums where they are too small": [
        ("int16_t, int64_t)", "int16_t, int32_t)"),
        ("int64_t sums[4]", "int32_t sums[4]"),
    ],
    "slopes swapped": [
        ("? l.negative : l.positive", "? l.positive : l.negative")
    ],
    "tanh without a line": [("((rise * rest + 1024) >> 11)", "0")],
    "tanh cut off": [("((rise * rest + 1024) >> 11)", "(rise / 2)")],
    "sigmoid not halved": [
        ("middle + eb_tanh_q22", "middle + (middle ? 2 : 1) * eb_tanh_q22")
    ],
    "tanh by a product and a sum": [
        ("eb_fused(sum, x, terms[k])", "sum * x + terms[k]"),
    ],
    "cell state rounded down": [
        ("262144.0f)", "262144.0f - 8.5f)"),
    ],
    "16 bits of a product where 64 are needed": [
        ("!eb_high_s16(i16.shift) || o16.shift < 33", "o16.shift < 0"),
    ],
    "half of a step beyond 32 bits": [(" && shift <= 47", "")],
    "int16 wraps": [("eb_limit(value, -32768.0f, 32767.0f)", "value")],
    "a power of a negative zero": [("bits &= ~(bits >> 31);", "")],
    "a parabola turned over": [("part[64] * d", "part[64] * -d")],
    "the next piece of a power": [(">> 18) & 31", ">> 19) & 15")],
    "another logarithm of 0": [("return -126.0f", "return -127.0f")],
    "bands without a last weight": [("k < count[m]", "k < count[m] - 1")],
    "an edge belongs below": [("- 1] <= key", "- 1] < key")],
    "negative floats in the order of their bits": [
        ("bits ^ ((bits >> 31) & INT32_MAX)", "bits"),
    ],
    "-0 below 0": [("value + 0.0f", "value")],
    "table off by one": [("(int32_t)in[i] + 128]", "(int32_t)in[i] + 127]")],
    "ring one too long": [("place < columns ?", "place <= columns ?")],
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_wrong_kernel_fails(name, tmp_path):
    flags = ["-fwrapv", "-DEB_SCALAR"]
    mutant = compile_kernels(tmp_path, MUTANTS[name], flags)
    noticed = any(fails(check, mutant) for check in CHECKS)
    assert noticed, f"no test notices a kernel that is wrong: {name}"


def fails(check, kernels):
    try:
        check(kernels)
    except AssertionError:
        return True
    return False
