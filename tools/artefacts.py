#!/usr/bin/env python3
"""Record what a tree trains, exports, quantizes and generates; compare two.

    python tools/artefacts.py record FOLDER [--tree TREE]
    python tools/artefacts.py compare FOLDER OTHER
    python tools/artefacts.py released        # into tests/released.json

``record`` makes a small data set, runs one epoch of every yaml and of the
general recipe on an embedded corpus with the code of TREE, and takes each
network to ONNX, int8 and C. Before and after a change that is to change no
result, the recorded hashes are equal; ``compare`` lists what is not.
``released`` records the same of the models in models/, for a test.
"""

import argparse
import csv
import hashlib
import json
import os
from pathlib import Path
import shlex
import subprocess
import sys
import tempfile

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "recipes"))
from corpora import make_data, write_pairs  # noqa: E402

RELEASED = ROOT / "tests" / "released.json"
FLAGS = "--num_workers 0 --device cpu --noprogressbar".split()
#: Of a released model, the first that is there.
_FORMS = ("patch", "stream", "offline")
SCORES = "--n_jobs 1 --metrics [pesq,si_snr] --select_by si_snr".split()
SOUNDS = """import sys
from edgebrain.events.synthetic import make_embedded_sounds
make_embedded_sounds(sys.argv[1], clips=2, speech=False)"""


def run(tree, *words, cwd=None):
    """Run a script of a tree with that tree's package."""
    done = subprocess.run(
        [sys.executable, *map(str, words)],
        cwd=cwd or tree,
        env={**os.environ, "PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1"},
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


def of_weights(path) -> str:
    """Hash names, types, shapes and bytes of the tensors of a state dict."""
    import torch

    state = torch.load(path, map_location="cpu", weights_only=True)
    return digest(
        *(
            part
            for name, value in sorted(state.items())
            for part in (
                name,
                value.dtype,
                value.shape,
                value.numpy().tobytes(),
            )
        )
    )


def of_metrics(path) -> str:
    """Hash scores; of what was tested, only the epoch."""
    content = json.loads(Path(path).read_text(encoding="utf-8"))
    return digest(json.dumps(content, sort_keys=True))


def of_onnx(path, floats=True) -> str:
    """Hash the nodes and tensors of an ONNX file, its metadata aside.

    ``floats`` False leaves out float tensors and zero points: what
    calibration measured, which differs in the last bit between machines.
    """
    import onnx
    from onnx import numpy_helper

    graph = onnx.load(path).graph
    nodes = [(n.op_type, *n.input, *n.output) for n in graph.node]
    parts = [json.dumps(nodes), graph.input, graph.output]
    for tensor in sorted(graph.initializer, key=lambda t: t.name):
        value = numpy_helper.to_array(tensor)
        if floats or (value.dtype.kind in "iu" and value.size > 1):
            parts += [tensor.name, value.dtype, value.shape, value.tobytes()]
    return digest(*parts)


def of_c(folder) -> str:
    """Hash the files generated for a model, not the runtime they share."""
    names = {p.name for p in (ROOT / "deploy" / "c" / "runtime").iterdir()}
    own = [
        p for p in sorted(Path(folder).glob("*.[ch]")) if p.name not in names
    ]
    return digest(*(part for p in own for part in (p.name, p.read_bytes())))


def deployed(
    tree, stream, noisy, folder, floats=True, int8=None, in_c=True
) -> dict:
    """Quantize a stream and generate C of it; return hashes."""
    made = folder / "stream_int8.onnx"
    quantize = ("quantize.py", stream, "--output", made)
    run(tree, *quantize, "--calibration_folder", noisy, "--clip_seconds", 1)
    if not in_c:
        return {"int8": of_onnx(made, floats)}
    c = folder / "c"
    run(tree, "deploy/c_engine.py", int8 or made, "--output_folder", c)
    return {"int8": of_onnx(made, floats), "c": of_c(c)}


def released(tree=ROOT) -> dict:
    """Return the hashes of what is made from the released models."""
    found = {}
    # C is made of the stream of an enhancer, of the patch of a detector.
    for folder in sorted((ROOT / "models").iterdir()):
        forms = (f for f in _FORMS if (folder / f"{f}.onnx").is_file())
        form = next(forms)
        with tempfile.TemporaryDirectory() as made:
            write_pairs(Path(made), "set", ["a", "b"], 3)
            found[folder.name] = deployed(
                tree,
                folder / f"{form}.onnx",
                Path(made, "noisy_set"),
                Path(made),
                False,
                folder / f"{form}_int8.onnx",
                form != "offline",
            )
    return found


def record(folder, tree, only="") -> dict:
    """Train, export, quantize and generate; of yamls with a text in them."""
    folder.mkdir(parents=True, exist_ok=True)
    data = make_data(folder / "data")
    data = {name: (place, SCORES + own) for name, (place, own) in data.items()}
    run(tree, "-c", SOUNDS, folder / "sounds")
    data["sounds"] = (next((folder / "sounds").iterdir()), [])
    rows = [
        row
        for table in sorted((ROOT / "tests" / "recipes").glob("*.csv"))
        for row in csv.DictReader(table.open(encoding="utf-8"))
        if row["data"] != "fsd50k"  # 200 classes, as published
    ]
    demo = "--number_of_epochs 2 --crop_seconds 1"
    corpus = {"script": "train.py", "yaml": "train.yaml", "flags": demo}
    found = {}
    for row in [row for row in [*rows, corpus] if only in row["yaml"]]:
        out = folder / f"run{len(found)}"
        place, flags = data.get(row.get("data"), (None, []))
        given = ["--data_folder", place] if place else []
        run(
            tree,
            *(tree / row["script"], tree / row["yaml"], "--output_folder", out),
            *("--cache_folder", folder / "cache", "--number_of_epochs", 1),
            *(*given, *FLAGS, *flags, *shlex.split(row["flags"])),
            cwd=(tree / row["script"]).parent,
        )
        entry = {"metrics": of_metrics(out / "test_torch" / "metrics.json")}
        for number, path in enumerate(sorted(out.glob("save/*/model.ckpt"))):
            entry[f"weights{number}"] = of_weights(path)
        run(tree, "export_onnx.py", out)
        for path in sorted((out / "export").glob("*.onnx")):
            entry[path.stem] = of_onnx(path)
        form = "patch" if row.get("data") == "sounds" else "stream"
        if (stream := out / "export" / f"{form}.onnx").exists():
            noisy = data["valentini"][0] / "noisy_testset_wav"
            entry |= deployed(tree, stream, noisy, out)
        found[f"{row['yaml']} {row.get('data', 'corpus')}"] = entry
        print(row["yaml"], entry, flush=True)
    return found


def main(argv):
    """Run with the words of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["record", "compare", "released"])
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--tree", type=Path, default=ROOT)
    parser.add_argument("--only", default="", help="text in a yaml's path")
    given = parser.parse_args(argv)
    if given.what == "compare":
        one, two = (
            json.loads((folder / "artefacts.json").read_text())
            for folder in given.folders
        )
        differ = [
            f"{name}: {key}"
            for name in one.keys() | two.keys()
            for key in one.get(name, {}).keys() | two.get(name, {}).keys()
            if one.get(name, {}).get(key) != two.get(name, {}).get(key)
        ]
        sys.exit("differ:\n" + "\n".join(sorted(differ)) if differ else 0)
    if given.what == "record":
        folder, tree = given.folders[0].absolute(), given.tree.absolute()
        found = record(folder, tree, given.only)
        target = given.folders[0] / "artefacts.json"
    else:
        found, target = released(), RELEASED
    target.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
