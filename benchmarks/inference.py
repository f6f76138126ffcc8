"""Speed, memory and size of every form of the released networks.

Each form runs on one thread in a process of its own, see one_form.py. A
network whose files are not there is exported untrained from its yaml: speed
and size do not depend on the weights.
"""

import json
import os
from pathlib import Path
import subprocess
import sys
import tempfile

from edgebrain.onnx import files
from edgebrain.tasks import Setup
from edgebrain.trained_models import PRECISIONS
from edgebrain.training.checkpoints import AtomicCheckpointer
from edgebrain.training.weights import ModelCard
from hyperpyyaml import load_hyperpyyaml

ROOT = Path(__file__).parents[1]
#: Name in the table -> the yaml; ONNX files beside it are what is measured.
MODELS = {
    "tcnn-120k": ROOT / "models/tcnn-120k/train.yaml",
    "lstm-110k": ROOT / "models/lstm-110k/train.yaml",
    "nnse-72mel": ROOT / "models/nnse-72mel/train.yaml",
    "train.yaml": ROOT / "train.yaml",
}
SECONDS = 30.0
REPEATS = 5
FORMS = ("torch", "offline", "patch", "stream")


def run(cache) -> list[tuple[str, str]]:
    """Return the rows of each form of each network."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name, yaml in MODELS.items():
            results = untrained(yaml, Path(folder, name))
            files = {("torch", "float32"): results}
            files |= onnx_files(yaml.parent) or _exported(results)
            order = [(f, p) for f in FORMS for p in PRECISIONS]
            for form, precision in order:
                if (form, precision) in files:
                    path = files[form, precision]
                    rows += form_rows(name, path, form, precision)
    return rows


def untrained(yaml: Path, folder: Path) -> Path:
    """Return a results folder with a network of a yaml as it starts."""
    with yaml.open(encoding="utf-8") as stream:
        hparams = load_hyperpyyaml(stream)
    folder.mkdir()
    (folder / "hyperparams.yaml").write_text("select_by: loss\n")
    model, signal = hparams["model"], hparams["signal"]
    AtomicCheckpointer(
        folder / "save",
        recoverables={
            "model": model,
            "model_card": ModelCard(model, Setup("enhancement", signal)),
        },
    ).save_checkpoint(meta={"loss": 1.0, "epoch": 0}, name="untrained")
    return folder


def onnx_files(folder: Path) -> dict[tuple[str, str], Path]:
    """Return the ONNX files of a folder by form and precision."""
    found = {}
    for path in sorted(folder.glob("*.onnx")):
        data = files.read_card(path)
        if data is not None:
            found[data.form, data.precision] = path
    return found


def _exported(results: Path) -> dict[tuple[str, str], Path]:
    """Return the files that export_onnx.py makes of a results folder."""
    subprocess.run(
        [sys.executable, ROOT / "export_onnx.py", results],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return onnx_files(results / "export")


def form_rows(name, path, form, precision) -> list[tuple[str, str]]:
    """Return the rows of one form."""
    words = [path, form, precision, SECONDS, REPEATS]
    command = [sys.executable, Path(__file__).with_name("one_form.py"), *words]
    # Before numpy and torch start threads.
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    result = subprocess.run(
        [str(word) for word in command],
        check=True,
        stdout=subprocess.PIPE,
        env=environment,
        text=True,
    )
    got = json.loads(result.stdout)
    label = {"torch": "PyTorch"}.get(form, f"ONNX {form}")
    what = f"{name}, {label} {precision}"
    size = ""
    if path.is_file():
        size = f", file {path.stat().st_size / 2**10:,.0f} KiB"
    peak, more = got["peak"] / 2**20, (got["peak"] - got["base"]) / 2**20
    rows = [
        (
            f"{what}: {SECONDS:g} s at once",
            f"real-time factor {got['factor']:.4f}, memory {peak:,.0f} MiB "
            f"(+{more:,.0f}){size}",
        )
    ]
    if form == "stream":
        rows += [
            (
                f"{what}: fed hop by hop",
                f"real-time factor {got['hop_factor']:.4f}, "
                f"a hop {_microseconds(got['hop'])}",
            ),
            (
                f"{what}: a frame of the network alone",
                _microseconds(got["frame"]),
            ),
        ]
    return rows


def _microseconds(laps) -> str:
    median, high, clock = (f"{1e6 * x:,.0f}" for x in laps.values())
    return f"{median} µs, 99 % in {high} µs ({clock} by the clock)"
