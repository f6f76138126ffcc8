#!/usr/bin/env python3
"""Record what quantize.py and c_engine.py make of the released models.

    python tools/artefacts.py        # writes tests/released.json

A test compares the hashes with those of today: a change that is to change no
result leaves them equal.
"""

import hashlib
import json
import os
from pathlib import Path
import shlex
import subprocess
import sys
import tempfile

import onnx
from onnx import numpy_helper

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "recipes"))
from corpora import write_pairs  # noqa: E402

RELEASED = ROOT / "tests" / "released.json"
#: Of a released model, the first that is there.
_FORMS = ("patch", "stream", "offline")


def run(*words):
    """Run a script."""
    done = subprocess.run(
        [sys.executable, *map(str, words)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        sys.exit(f"{shlex.join(map(str, words))}\n{done.stdout}{done.stderr}")


def digest(*parts) -> str:
    """Return a short hash of bytes and texts."""
    seen = hashlib.sha256()
    for part in parts:
        seen.update(part if isinstance(part, bytes) else str(part).encode())
        seen.update(b"\0")
    return seen.hexdigest()[:16]


def of_onnx(path) -> str:
    """Hash the nodes and integers of an ONNX file, its metadata aside.

    Floats and zero points are what calibration measured, which differs in the
    last bit between machines.
    """
    graph = onnx.load(path).graph
    nodes = [(n.op_type, *n.input, *n.output) for n in graph.node]
    parts = [json.dumps(nodes), graph.input, graph.output]
    for tensor in sorted(graph.initializer, key=lambda t: t.name):
        value = numpy_helper.to_array(tensor)
        if value.dtype.kind in "iu" and value.size > 1:
            parts += [tensor.name, value.dtype, value.shape, value.tobytes()]
    return digest(*parts)


def of_c(folder) -> str:
    """Hash the files generated for a model, not the runtime they share."""
    names = {p.name for p in (ROOT / "deploy" / "c" / "runtime").iterdir()}
    own = [
        p for p in sorted(Path(folder).glob("*.[ch]")) if p.name not in names
    ]
    return digest(*(part for p in own for part in (p.name, p.read_bytes())))


def released() -> dict:
    """Return the hashes of what is made from the released models."""
    found = {}
    # C is made of the stream of an enhancer, of the patch of a detector.
    for folder in sorted((ROOT / "models").iterdir()):
        form = next(f for f in _FORMS if (folder / f"{f}.onnx").is_file())
        with tempfile.TemporaryDirectory() as made:
            write_pairs(Path(made), "set", ["a", "b"], 3)
            noisy, int8 = Path(made, "noisy_set"), Path(made, "int8.onnx")
            run(
                *("quantize.py", folder / f"{form}.onnx", "--output", int8),
                *("--calibration_folder", noisy, "--clip_seconds", 1),
            )
            hashes = found[folder.name] = {"int8": of_onnx(int8)}
            if form != "offline":
                c, model = Path(made, "c"), folder / f"{form}_int8.onnx"
                run("deploy/c_engine.py", model, "--output_folder", c)
                hashes["c"] = of_c(c)
    return found


def main():
    """Record the released models."""
    text = json.dumps(released(), indent=1, sort_keys=True)
    RELEASED.write_text(text + "\n")


if __name__ == "__main__":
    main()
