"""Compile the C code of a model to WebAssembly."""

from pathlib import Path
import shutil
import subprocess
import tempfile

from edgebrain.errors import UserError

from deploy.c.generator.emit import Emitter
from deploy.c.generator.emit_patch import PatchEmitter
from deploy.c.generator.generate import generate

_HERE = Path(__file__).parent
_TOOLS = ("clang", "wasm-ld")
_NAME = "net"
#: Of the library of deploy/c/examples, where it has them; with the memory all
#: that a page sees.
_EXPORTS = "size init process_hops detect_hops reset describe".split()
_FLAGS = (
    # -fno-math-errno makes sqrtf an instruction; the next two are newer than
    # the first WebAssembly, but in every browser that has an AudioWorklet.
    "clang --target=wasm32 -std=c99 -O2 -ffp-contract=off -fno-math-errno "
    "-mbulk-memory -mnontrapping-fptoint -nostdlib -nostdlibinc -I. -Iruntime"
).split()
_LINK = (
    "clang --target=wasm32 -nostdlib -Wl,--no-entry -Wl,--strip-all "
    "-Wl,--stack-first -Wl,-z,stack-size=16384"
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
) -> Emitter | PatchEmitter:
    """Write a quantized model as WebAssembly.

    Arguments
    ---------
    model : str or Path
        What :func:`deploy.c.generator.generate.generate` takes.
    plain : Path
        Written for every browser.
    vectors : Path, optional
        Written for browsers with 128-bit SIMD; the bits are the same.

    Returns
    -------
    Emitter or PatchEmitter

    Raises
    ------
    UserError
        For a model that cannot become C, or without a compiler.
    """
    check_tools()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "c"
        emitter = generate(model, folder, _NAME)
        _compile(folder, plain)
        if vectors is not None:
            _compile(folder, vectors, "-msimd128")
    return emitter


def _compile(folder: Path, target: Path, *flags: str) -> None:
    sources = [
        folder / f"{_NAME}.c",
        *sorted(folder.glob("runtime/*.c")),
        folder / "examples" / "library.c",
    ]
    words = [*_FLAGS, *flags, "-isystem", _HERE / "libc"]
    for source in sources:
        name = source.relative_to(folder)
        _run([*words, "-c", name, "-o", name.with_suffix(".o")], folder)
    exports = [f"-Wl,--export-if-defined=eb_{name}" for name in _EXPORTS]
    objects = [source.with_suffix(".o") for source in sources]
    _run([*_LINK, *exports, *objects, "-o", target.absolute()], folder)


def _run(command: list, folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise UserError(
            f"{command[-1]}: clang failed; it needs version 14 or newer:\n"
            f"{done.stderr.strip()}"
        )
