"""DSP and Helium kernels on emulated boards: the bits of the plain loops."""

from pathlib import Path
import shutil
import subprocess

from kernel_checks import write_kernels
import pytest

HERE = Path(__file__).parent
BOARD_FILES = HERE.parents[1] / "deploy" / "c" / "examples" / "boards"
TOOLS = ("cc", "arm-none-eabi-gcc", "qemu-system-arm")
MISSING = [tool for tool in TOOLS if not shutil.which(tool)]
pytestmark = pytest.mark.skipif(
    bool(MISSING), reason=f"not installed: {' '.join(MISSING)}"
)
BOARDS = {
    "m4": (["-mcpu=cortex-m4", "-mfpu=fpv4-sp-d16"], "mps2-an386"),
    "m33": (["-mcpu=cortex-m33"], "mps2-an505"),
    "m55": (["-mcpu=cortex-m55"], "mps3-an547"),
}
FLAGS = "-std=c99 -O2 -ffp-contract=off -Wall -Wextra -Wconversion".split()


def run(words):
    done = subprocess.run(
        [str(w) for w in words], capture_output=True, text=True, timeout=60
    )
    assert not done.returncode, done.stdout + done.stderr
    return done.stdout


def on_board(board, folder, changes=(), define="-UEB_SCALAR"):
    """Return the checksums of the kernels by name."""
    sources = write_kernels(folder, changes)
    flags, machine = BOARDS[board]
    program = folder / "sums.elf"
    run(
        [
            "arm-none-eabi-gcc",
            *flags,
            define,
            "-mthumb",
            "-mfloat-abi=hard",
            *FLAGS,
        ]
        + ["-ffunction-sections", "-fdata-sections", "-nostartfiles"]
        + ["--specs=rdimon.specs", "-Wl,--gc-sections", f"-L{BOARD_FILES}"]
        + ["-T", f"{board}.ld", "-o", program, f"-I{folder}"]
        + [BOARD_FILES / "startup.c", HERE / "kernel_sums.c", *sources, "-lm"],
    )
    text = run(
        ["qemu-system-arm", "-M", machine, "-nographic", "-monitor", "none"]
        + ["-serial", "none", "-kernel", program]
        + ["-semihosting-config", "enable=on,target=native"]
    )
    return dict(line.split() for line in text.splitlines())


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """Return the checksums of this computer, whose kernels are proven."""
    folder = tmp_path_factory.mktemp("plain")
    sources = write_kernels(folder)
    checked = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    run(
        ["cc", *FLAGS, *checked, f"-I{folder}", "-o", folder / "sums"]
        + [HERE / "kernel_sums.c", *sources, "-lm"]
    )
    return dict(line.split() for line in run([folder / "sums"]).splitlines())


@pytest.mark.parametrize("define", ["-UEB_SCALAR", "-DEB_SCALAR"])
@pytest.mark.parametrize("board", BOARDS)
def test_each_kernel_gives_the_bits_of_this_computer(
    board, define, plain, tmp_path
):
    assert len(plain) == 9
    assert on_board(board, tmp_path, define=define) == plain


MUTANTS = {
    "m4: odd columns of the input twice": (
        "m4",
        [('smlad " sum ", %[q], %[e]', 'smlad " sum ", %[q], %[o]')],
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
        [("vcvtnq_s32_f32", "vcvtaq_s32_f32")],
        {"dense_s8", "depthwise_s8", "pairs", "conversions"},
    ),
    "m55: one lane less at the end": (
        "m55",
        [("(columns & 15))", "(columns & 15) - 1)")],
        {"dense_s8"},
    ),
    "m55: 16 bits cut off": (
        "m55",
        [("vrshlq_s32", "vshlq_s32")],
        {"dense_s16", "depthwise_s16", "pairs", "cells", "curves"},
    ),
    "m55: not saturated": (
        "m55",
        [("vdupq_n_s32(32767)", "vdupq_n_s32(65535)")],
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


@pytest.mark.parametrize(
    "cpu",
    [
        "cortex-m0plus -mfloat-abi=soft",
        "cortex-m3 -mfloat-abi=soft",
        "cortex-m4 -mfloat-abi=soft",
        "cortex-m7 -mfpu=fpv5-d16 -mfloat-abi=hard",
        "cortex-m33+nodsp -mfloat-abi=soft",
        "cortex-m55+nomve.fp -mfloat-abi=hard",
        "cortex-m55+nomve -mfloat-abi=hard",
        "cortex-m55+nofp+nomve -mfloat-abi=soft",
    ],
)
def test_the_runtime_compiles_for_other_cores(cpu):
    runtime = HERE.parents[1] / "deploy" / "c" / "runtime"
    run(
        ["arm-none-eabi-gcc", *f"-mcpu={cpu}".split(), "-mthumb", *FLAGS]
        + ["-Werror", "-Wshadow", "-Wstrict-prototypes", "-pedantic"]
        + ["-fsyntax-only", *sorted(runtime.glob("*.c"))]
    )
