"""Compile the C code of a model to WebAssembly."""

from pathlib import Path
import shutil
import subprocess
import tempfile

from edgebrain.errors import UserError

from deploy.c.generator.generate import generate
from deploy.c.generator.program import Program
from deploy.c.generator.read import checked_graph

_HERE = Path(__file__).parent
_TOOLS = ("clang", "wasm-ld")
_NAME = "net"
#: Of deploy/c/examples/library.c; with the memory all that a page sees.
_EXPORTS = ("size", "init", "process_hops", "reset", "describe")
_FLAGS = (
    # -fno-math-errno makes sqrtf an instruction; the next two are newer than
    # the first WebAssembly, but in every browser that has an AudioWorklet.
    "--target=wasm32 -std=c99 -O2 -ffp-contract=off -fno-math-errno "
    "-mbulk-memory -mnontrapping-fptoint -nostdlib -nostdlibinc "
    "-Wl,--no-entry -Wl,--strip-all -Wl,--stack-first -Wl,-z,stack-size=16384"
).split()


def check_tools() -> None:
    """Refuse to go on without a compiler.

    Raises
    ------
    UserError
    """
    missing = [tool for tool in _TOOLS if not shutil.which(tool)]
    if missing:
        raise UserError(
            f"not installed: {' '.join(missing)}; WebAssembly is made by "
            "clang and its linker (Debian: apt install clang lld)"
        )


def compile_model(
    model: str | Path, plain: Path, vectors: Path | None = None
) -> Program:
    """Write a quantized stream as WebAssembly.

    Arguments
    ---------
    model : str or Path
        An int8 or int16x8 ONNX stream.
    plain : Path
        Written for every browser.
    vectors : Path, optional
        Written for browsers with 128-bit SIMD; the bits are the same.

    Returns
    -------
    Program

    Raises
    ------
    UserError
        For a model that cannot become C or enhances nothing, or without a
        compiler.
    """
    check_tools()
    checked_graph(model, "enhancement")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "c"
        program = generate(model, folder, _NAME).program
        _compile(folder, plain)
        if vectors is not None:
            _compile(folder, vectors, "-msimd128")
    return program


def _compile(folder: Path, target: Path, *flags: str) -> None:
    command = [
        "clang",
        *_FLAGS,
        *flags,
        *(f"-Wl,--export=eb_{name}" for name in _EXPORTS),
        *("-isystem", _HERE / "libc", f"-I{folder}", f"-I{folder}/runtime"),
        *(f"-DEB_MODEL={_NAME}", f'-DEB_HEADER="{_NAME}.h"'),
        folder / f"{_NAME}.c",
        *sorted(folder.glob("runtime/*.c")),
        folder / "examples" / "library.c",
        *("-o", target),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise UserError(
            f"{target.name}: clang failed; it needs version 14 or newer:\n"
            f"{done.stderr.strip()}"
        )
