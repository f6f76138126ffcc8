"""Checksums of the kernels on emulated boards, for any compiler and flags."""

from pathlib import Path
import shutil

from kernel_checks import objects, run, write_kernels

HERE = Path(__file__).parent
BOARD_FILES = HERE.parents[1] / "deploy" / "c" / "examples" / "boards"
CORES = {
    "m4": ["-mcpu=cortex-m4", "-mfpu=fpv4-sp-d16"],
    "m33": ["-mcpu=cortex-m33", "-mfpu=fpv5-sp-d16"],
    "m55": ["-mcpu=cortex-m55"],
}
MACHINES = {"m4": "mps2-an386", "m33": "mps2-an505", "m55": "mps3-an547"}
GCC = ["arm-none-eabi-gcc"]
#: Debian's newlib lies where its gcc looks, and no other compiler.
CLANG = ["clang", "--target=arm-none-eabi"]
CLANG += ["-isystem", "/usr/lib/arm-none-eabi/include"]
FLAGS = "-std=c99 -ffp-contract=off -Wall -Wextra -Wconversion".split()


def _main(folder):
    return Path(shutil.copy(HERE / "kernel_sums.c", folder))


def on_board(board, folder, changes=(), compiler=GCC, flags=("-O2",)):
    """Return the checksums of the kernels by name."""
    sources = write_kernels(folder, changes)
    target = [*CORES[board], "-mthumb", "-mfloat-abi=hard", *FLAGS]
    made = objects([*compiler, *target, *flags], sources, folder)
    own = [BOARD_FILES / "startup.c", _main(folder)]
    small = [*GCC, *target, "-O2", "-ffunction-sections"]
    made += objects([*small, "--specs=rdimon.specs"], own, folder)
    program = folder / "sums.elf"
    run(
        [*small, "--specs=rdimon.specs", "-nostartfiles", "-Wl,--gc-sections"]
        + [f"-L{BOARD_FILES}", "-T", f"{board}.ld", "-o", program, *made]
        + ["-lm"],
    )
    text = run(
        ["qemu-system-arm", "-M", MACHINES[board], "-nographic"]
        + ["-monitor", "none", "-serial", "none", "-kernel", program]
        + ["-semihosting-config", "enable=on,target=native"]
    )
    return dict(line.split() for line in text.splitlines())


def on_this_computer(folder, flags, changes=(), compiler=("cc",), before=()):
    """Return the same of this computer, or of one that ``before`` emulates."""
    sources = [*write_kernels(folder, changes), _main(folder)]
    made = objects([*compiler, *FLAGS, *flags], sources, folder)
    run([*compiler, *flags, "-o", folder / "sums", *made, "-lm"])
    return dict(
        line.split() for line in run([*before, folder / "sums"]).splitlines()
    )
