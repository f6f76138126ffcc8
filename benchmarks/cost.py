#!/usr/bin/env python3
r"""Measure what the C code of quantized networks costs on Cortex-M.

    python benchmarks/cost.py export/stream_int8.onnx [MORE.onnx ...]
    python benchmarks/cost.py export/stream_int8.onnx --layers

Builds each model for three boards, runs four seconds of noise on them in qemu
with counted instructions and prints a table; with --layers another one of
every kernel and size of layer. Instructions are not cycles: a
Cortex-M4 takes somewhat more cycles than instructions, a Cortex-M55 fewer or
more, by its memory. Needs arm-none-eabi-gcc and qemu-system-arm (Debian:
gcc-arm-none-eabi libnewlib-arm-none-eabi qemu-system-arm).
"""

import argparse
from dataclasses import dataclass
from pathlib import Path
import shutil
import subprocess
import sys
import tempfile
import wave

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from edgebrain.command_line import exit_on_user_error  # noqa: E402
from edgebrain.errors import UserError  # noqa: E402
from edgebrain.report.tables import aligned  # noqa: E402
import numpy as np  # noqa: E402

from deploy.c.generator.generate import generate  # noqa: E402

BOARDS = {"m4": "Cortex-M4", "m33": "Cortex-M33", "m55": "Cortex-M55"}
_TOOLS = ("make", "cc", "arm-none-eabi-gcc", "qemu-system-arm")
#: Objects of the examples, not of the code that ships.
_EXAMPLES = {"startup.o", "enhance_wav.o", "detect_wav.o"}


@dataclass(frozen=True)
class Row:
    """A model on a board."""

    model: str
    board: str
    macs: int  # with weights in a frame
    instructions: int  # of a frame in all
    network: int  # of a frame, the network alone
    code: int  # bytes of our objects
    constants: int  # bytes of our objects
    ram: int  # bytes of a stream
    most: int  # instructions of a detector's costliest frame; 0: all alike
    mhz: float  # million instructions a second for real time
    same_as_host: bool  # whether the output has the bits of this computer's


@dataclass(frozen=True)
class Layers:
    """The calls of one kernel with one size in a frame."""

    model: str
    board: str
    kernel: str  # in runtime/eb_kernels.h
    shape: str  # rows x columns, channels x taps, else elements
    calls: int
    macs: int  # of all the calls
    instructions: int  # of all the calls


def measure(path: str | Path) -> list[Row]:
    """Measure an int8 or int16x8 stream, or an int8 patch of a detector."""
    _check_tools()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary, "c")
        emitter = generate(path, folder, "net")
        program, signal = emitter.program, emitter.program.metadata.signal
        detects = program.metadata.task == "events"
        macs = program.macs
        if detects:
            macs = program.frame_macs(emitter.step)
        _noise(folder / "noisy.wav", signal.sample_rate)
        shutil.copy(folder / "noisy.wav", folder / "sound.wav")
        _make(folder, "all", "boards")
        words = ["./detect_wav", "sound.wav"]
        if not detects:
            words = ["./enhance_wav", "noisy.wav", "host.wav"]
        done = subprocess.run(
            words, cwd=folder, check=True, capture_output=True, text=True
        )
        rows = []
        for board in BOARDS:
            *printed, last = _make(folder, f"run-{board}").splitlines()
            words = last.split()
            found = dict(zip(words[::2], map(int, words[1::2]), strict=True))
            same = printed == done.stdout.splitlines()
            if not detects:
                ours, theirs = folder / "enhanced.wav", folder / "host.wav"
                same = ours.read_bytes() == theirs.read_bytes()
            code, constants = _sizes(folder / f"build-{board}")
            rate = signal.sample_rate / signal.hop_length
            rows.append(
                Row(
                    model=Path(path).stem,
                    board=board,
                    macs=macs,
                    instructions=found["instructions"],
                    network=found["network"],
                    code=code,
                    constants=constants,
                    ram=found["bytes"],
                    most=found.get("most", 0),
                    mhz=found["instructions"] * rate / 1e6,
                    same_as_host=same,
                )
            )
    return rows


def measure_layers(path: str | Path) -> list[Layers]:
    """Measure each kernel of a model on every board.

    The linker leads every call through a counter. What is missing to the
    whole network is copying of states, and a few instructions a call.
    """
    _check_tools()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary, "c")
        generate(path, folder, "net")
        found = []
        for board in BOARDS:
            calls = {}
            for line in _make(folder, f"profile-{board}").splitlines():
                kernel, *numbers = line.split()
                rows, columns, spent = map(int, numbers)
                if kernel == "step":
                    continue
                shape = f"{rows}x{columns}" if columns else str(rows)
                count, macs, total = calls.get((kernel, shape), (0, 0, 0))
                calls[kernel, shape] = (
                    count + 1,
                    macs + rows * columns,
                    total + spent,
                )
            ordered = sorted(calls.items(), key=lambda item: -item[1][2])
            found += [
                Layers(Path(path).stem, board, *name, *numbers)
                for name, numbers in ordered
            ]
    return found


def layers_table(rows: list[Layers]) -> str:
    """Return the rows as text."""
    cells = [
        ["model", "core", "kernel", "size", "calls", "MAC", "instr", "/MAC"]
    ]
    for row in rows:
        counts = (row.calls, row.macs, row.instructions)
        each = f"{row.instructions / row.macs:.2f}" if row.macs else ""
        names = (row.model, BOARDS[row.board], row.kernel, row.shape)
        cells.append([*names, *(f"{n:,}" for n in counts), each])
    return "\n".join(aligned(cells))


def table(rows: list[Row]) -> str:
    """Return the rows as text."""
    heads = "model core instr/frame network /MAC most MHz code const RAM bits"
    cells = [heads.split()]
    for row in rows:
        sizes = (row.code, row.constants, row.ram)
        cells.append(
            [
                *(row.model, BOARDS[row.board]),
                *(f"{row.instructions:,}", f"{row.network:,}"),
                *(f"{row.network / row.macs:.2f}", f"{row.most or ''}"),
                *(f"{row.mhz:.1f}", *(f"{size:,}" for size in sizes)),
                "as host" if row.same_as_host else "DIFFER",
            ]
        )
    note = (
        "most: the costliest frame of a detector; MHz: million instructions a "
        "second for real time; bytes of code, constants and a stream's memory"
    )
    return "\n".join([*aligned(cells), note])


def _check_tools() -> None:
    missing = [tool for tool in _TOOLS if not shutil.which(tool)]
    if missing:
        raise UserError(
            f"not installed: {', '.join(missing)}; Debian: apt-get install "
            "gcc make gcc-arm-none-eabi libnewlib-arm-none-eabi "
            "qemu-system-arm"
        )


def _noise(path: Path, rate: int) -> None:
    samples = np.random.default_rng(0).normal(0, 3000, 4 * rate)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.astype("<i2").tobytes())


def _make(folder: Path, *targets: str) -> str:
    done = subprocess.run(
        ["make", "-s", *targets],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        raise UserError(f"make {' '.join(targets)} failed:\n{done.stdout}")
    return done.stdout


def _sizes(folder: Path) -> tuple[int, int]:
    """Return the bytes of code and constants of our objects."""
    code = constants = 0
    for path in sorted(folder.glob("*.o")):
        if path.name in _EXAMPLES:
            continue
        text = subprocess.run(
            ["arm-none-eabi-size", "-A", str(path)],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for line in text.splitlines():
            section, *numbers = line.split() or [""]
            if section.startswith(".text"):
                code += int(numbers[0])
            elif section.startswith(".rodata"):
                constants += int(numbers[0])
    return code, constants


def main(argv):
    """Run with the words of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("model", nargs="+", metavar="MODEL")
    add("--layers", action="store_true", help="kernel by kernel, too")
    arguments = parser.parse_args(argv)
    print(table([row for m in arguments.model for row in measure(m)]))
    if arguments.layers:
        found = [row for m in arguments.model for row in measure_layers(m)]
        print(f"\n{layers_table(found)}")


if __name__ == "__main__":
    with exit_on_user_error():
        main(sys.argv[1:])
