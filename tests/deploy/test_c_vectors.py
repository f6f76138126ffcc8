"""DSP and Helium kernels on emulated boards: the bits of the plain loops."""

import shutil

from board_sums import CORES, on_board, on_this_computer
import pytest

TOOLS = ("cc", "arm-none-eabi-gcc", "qemu-system-arm")
MISSING = [tool for tool in TOOLS if not shutil.which(tool)]
pytestmark = pytest.mark.skipif(
    bool(MISSING), reason=f"not installed: {' '.join(MISSING)}"
)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """Return the checksums of this computer, whose kernels are proven."""
    return on_this_computer(
        tmp_path_factory.mktemp("plain"),
        ["-O2", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
        + ["-DEB_SCALAR"],
    )


@pytest.mark.parametrize("flags", [["-O2"], ["-O3", "-march=native"]])
def test_vectors_of_this_computer_give_the_bits_of_plain_loops(
    flags, plain, tmp_path
):
    flags = [*flags, "-fno-tree-loop-vectorize"]
    assert on_this_computer(tmp_path, flags) == plain


@pytest.mark.skipif(
    not (
        shutil.which("aarch64-linux-gnu-gcc") and shutil.which("qemu-aarch64")
    ),
    reason="no compiler or emulator of 64-bit Arm",
)
def test_vectors_of_64_bit_arm_give_the_bits_of_plain_loops(plain, tmp_path):
    found = on_this_computer(
        tmp_path,
        ["-O2", "-static"],
        compiler=["aarch64-linux-gnu-gcc"],
        before=["qemu-aarch64"],
    )
    assert found == plain


#: What a wrong vector of this computer changes.
HOST_MUTANTS = {
    ("eb_widen_i8x8(w + 8), y)", "eb_widen_i8x8(w + 8), x)"): "dense_s",
    ("2, 6, 3, 7);", "2, 6, 3, 6);"): "dense_s",
    ("eb_limit_x4(value, -128, 127)", "value"): "dense_s8",
}


@pytest.mark.parametrize("change", HOST_MUTANTS, ids=lambda c: c[1])
def test_a_wrong_vector_of_this_computer_fails(change, plain, tmp_path):
    found = on_this_computer(tmp_path, ["-O2"], [change])
    wrong = {kernel for kernel in plain if found[kernel] != plain[kernel]}
    assert wrong and all(k.startswith(HOST_MUTANTS[change]) for k in wrong)


@pytest.mark.parametrize("define", ["-UEB_SCALAR", "-DEB_SCALAR"])
@pytest.mark.parametrize("board", CORES)
def test_each_kernel_gives_the_bits_of_this_computer(
    board, define, plain, tmp_path
):
    assert len(plain) == 9
    assert on_board(board, tmp_path, flags=["-O2", define]) == plain


MUTANTS = {
    "m4: odd columns of the input twice": (
        "m4",
        [('smlad " sum ", r7, r4', 'smlad " sum ", r7, r5')],
        {"dense_s8", "dense_s16"},
    ),
    "m4: rounds towards zero": (
        "m4",
        [("vcvtr.s32", "vcvt.s32")],
        {"dense_s8", "depthwise_s8", "pairs", "cells", "conversions"},
    ),
    "m4: a channel twice": (
        "m4",
        [("__smlatt(w_odd", "__smlabb(w_odd")],
        {"depthwise_s8"},
    ),
    "m4: half of the last place twice": (
        "m4",
        [("smmla %0", "smmlar %0")],
        {"dense_s16", "depthwise_s16", "pairs", "cells", "curves"},
    ),
    "m4: a bent line of the first of two": (
        "m4",
        [("__smlawt(negative, below", "__smlawb(negative, below")],
        {"curves"},
    ),
    "m4: slopes swapped": (
        "m4",
        [("sel %1, %3, %2", "sel %1, %2, %3")],
        {"curves"},
    ),
    "m4: tanh ends too early": (
        "m4",
        [("ssat %0, #22", "ssat %0, #21")],
        {"cells", "curves"},
    ),
    "m55: tanh of negative numbers": (
        "m55",
        [("vcmpltq_n_s32(value, 0)", "vcmpgtq_n_s32(value, 0)")],
        {"cells", "curves"},
    ),
    "m55: tanh ends too early": (
        "m55",
        [("vdupq_n_s32(EB_TANH_END)", "vdupq_n_s32(EB_TANH_END / 2)")],
        {"cells", "curves"},
    ),
    "m55: tanh rounded down": (
        "m55",
        [("vrshrq_n_s32(product, 11)", "vshrq_n_s32(product, 11)")],
        {"cells", "curves"},
    ),
    "m55: a sum without its carry": (
        "m55",
        [("vshrq_n_u32(low, 16)", "vshrq_n_u32(low, 17)")],
        {"pairs"},
    ),
    "m55: one factor twice": (
        "m55",
        [("vldrhq_z_s32(&second[i], p))", "vldrhq_z_s32(&first[i], p))")],
        {"pairs"},
    ),
    "m55: two equal quotients": (
        "m55",
        [("part[2] = in[2]", "part[2] = in[3]")],
        {"conversions"},
    ),
    "m55: parabolas of a power fused": (
        "m55",
        [
            (
                "vaddq_f32(vmulq_f32(sum, d),\n                        "
                "vldrwq_gather_shifted_offset_f32(table, piece))",
                "vfmaq_f32(vldrwq_gather_shifted_offset_f32(table, piece), "
                "sum, d)",
            )
        ],
        {"floats"},
    ),
    "m55: the wrong half of a power's pieces": (
        "m55",
        [("vdupq_n_s32(31)", "vdupq_n_s32(15)")],
        {"floats"},
    ),
    "m55: a logarithm fused": (
        "m55",
        [
            (
                "vaddq_f32(vcvtq_f32_s32(exponent), vmulq_f32(sum, z))",
                "vfmaq_f32(vcvtq_f32_s32(exponent), sum, z)",
            )
        ],
        {"floats"},
    ),
    "m55: another logarithm of 0": (
        "m55",
        [("vdupq_n_f32(-126.0f)", "vdupq_n_f32(-127.0f)")],
        {"floats"},
    ),
    "m55: half away from zero": (
        "m55",
        [
            ("vcvtnq_s32_f32", "vcvtaq_s32_f32"),
            ("vcvtn.s32.f32", "vcvta.s32.f32"),
        ],
        {"dense_s8", "depthwise_s8", "pairs", "conversions"},
    ),
    "m55: a row of a half block twice": (
        "m55",
        [('"8", "16", "24"', '"8", "16", "16"')],
        {"dense_s8", "dense_s16"},
    ),
    "m55: sums in another order": (
        "m55",
        [("q0[0], r4, r8", "q0[0], r8, r4")],
        {"dense_s8", "dense_s16"},
    ),
    "m55: 16 bits cut off": (
        "m55",
        [("vrshlq_s32", "vshlq_s32"), ("vrshl.s32", "vshl.s32")],
        {"dense_s16", "depthwise_s16", "pairs", "cells", "curves"},
    ),
    "m55: not saturated": (
        "m55",
        [
            ("vdupq_n_s32(32767)", "vdupq_n_s32(65535)"),
            ("vqmovnb.s32", "vmovnb.i32"),
        ],
        {"dense_s16", "depthwise_s16", "pairs", "curves", "conversions"},
    ),
    "m55: an edge belongs below": (
        "m55",
        [("vcmpleq_s32(vldr", "vcmpltq_s32(vldr")],
        {"conversions"},
    ),
    "m55: -0 below 0": (
        "m55",
        [("vaddq_n_f32(vldrwq_z_f32(&in[i], p), 0.0f)", "vldrwq_f32(&in[i])")],
        {"conversions"},
    ),
    "m55: sums not fused": (
        "m55",
        [
            (
                "vfmaq_n_f32(part, a, first_ratio)",
                "vaddq_f32(part, vmulq_n_f32(a, first_ratio))",
            )
        ],
        {"pairs"},
    ),
    "m55: writes past the end": (
        "m55",
        [
            (
                "vctp32q((uint32_t)(size - i))",
                "vctp32q((uint32_t)(size - i + 1))",
            )
        ],
        {"pairs", "cells", "curves", "conversions", "floats"},
    ),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_wrong_vector_kernel_fails(name, plain, tmp_path):
    board, changes, wrong = MUTANTS[name]
    found = on_board(board, tmp_path, changes)
    assert {kernel for kernel in plain if found[kernel] != plain[kernel]} == (
        wrong
    )
