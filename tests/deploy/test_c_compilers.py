"""The runtime under the compilers and flags of other people's projects."""

from pathlib import Path
import shutil

from board_sums import CLANG, FLAGS, GCC, on_board, on_this_computer
from kernel_checks import run
import pytest

TOOLS = ("cc", "clang", "arm-none-eabi-gcc", "qemu-system-arm")
MISSING = [tool for tool in TOOLS if not shutil.which(tool)]
pytestmark = pytest.mark.skipif(
    bool(MISSING), reason=f"not installed: {' '.join(MISSING)}"
)
RUNTIME = Path(__file__).parents[2] / "deploy" / "c" / "runtime"
STRICT = "-Werror -Wshadow -Wstrict-prototypes -pedantic".split()
COMPILERS = {"gcc": GCC, "clang": CLANG}
#: The last takes registers away, of which the loops by hand need most.
LEVELS = [
    "-O0",
    "-Og",
    "-Os",
    "-O2 -fno-omit-frame-pointer -fstack-protector-strong",
    "-O3 -funroll-loops",
    "-Os -fno-omit-frame-pointer -fstack-protector-all -ffixed-r9",
]
M4 = "-mthumb -mcpu=cortex-m4 -mfpu=fpv4-sp-d16 -mfloat-abi=hard"
M55 = "-mthumb -mcpu=cortex-m55 -mfloat-abi=hard"
OTHERS = [
    "-mthumb -mcpu=cortex-m0plus -mfloat-abi=soft",
    "-mthumb -mcpu=cortex-m3 -mfloat-abi=soft",
    "-mthumb -mcpu=cortex-m4 -mfloat-abi=soft",
    "-mthumb -mcpu=cortex-m7 -mfpu=fpv5-d16 -mfloat-abi=hard",
    "-mthumb -mcpu=cortex-m33+nodsp -mfloat-abi=soft",
    "-mthumb -mcpu=cortex-m55+nomve.fp -mfloat-abi=hard",
    "-mthumb -mcpu=cortex-m55+nomve -mfloat-abi=hard",
    "-mthumb -mcpu=cortex-m55+nofp+nomve -mfloat-abi=soft",
    "-marm -mcpu=cortex-a7 -mfpu=neon-vfpv4 -mfloat-abi=hard",
]


#: Sources with instructions by hand, and those that a compiler broke at.
HAND_WRITTEN = "dense depthwise elements curves convert fft fft_x4".split()


def compile_runtime(compiler, core, flags, folder, names=("*",)):
    sources = [p for name in names for p in RUNTIME.glob(f"eb_{name}.c")]
    words = [*compiler, *core.split(), *flags.split(), *FLAGS, *STRICT]
    run([*words, "-c", *sources], folder)


@pytest.mark.parametrize("core", [M4, M55], ids=["m4", "m55"])
@pytest.mark.parametrize("compiler", COMPILERS)
def test_the_runtime_compiles_with_any_flags(compiler, core, tmp_path):
    for flags in LEVELS:
        compile_runtime(
            COMPILERS[compiler], core, flags, tmp_path, HAND_WRITTEN
        )


@pytest.mark.parametrize("core", OTHERS)
def test_the_runtime_compiles_for_other_cores(core, tmp_path):
    compile_runtime(GCC, core, "-O2", tmp_path)


@pytest.mark.parametrize("board", ["m4", "m55"])
@pytest.mark.parametrize(
    "compiler, flags", [("clang", "-O2"), ("gcc", LEVELS[-1])]
)
def test_compilers_and_flags_give_the_same_bits(
    compiler, flags, board, tmp_path
):
    (tmp_path / "host").mkdir()
    found = on_board(
        board, tmp_path, compiler=COMPILERS[compiler], flags=flags.split()
    )
    assert found == on_this_computer(tmp_path / "host", ["-O2"])
