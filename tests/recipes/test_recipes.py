"""Every yaml of the tree trains and tests; a killed run ends the same."""

import csv
import importlib.util
import json
import os
from pathlib import Path
import shlex
import signal
import subprocess
import sys
import time

from corpora import make_data
import pytest
import torch

REPOSITORY = Path(__file__).parents[2]
ROWS = [
    row
    for table in sorted(Path(__file__).parent.glob("*.csv"))
    for row in csv.DictReader(table.open(encoding="utf-8"))
    if row["data"] not in ("sounds", "fsd50k")
]
LOADERS = "--num_workers 0 --n_jobs 1 --device cpu --noprogressbar".split()
SCORES = ["--metrics", "[pesq, si_snr]", "--select_by", "si_snr"]

pytestmark = [pytest.mark.slow, pytest.mark.integration]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Return data folder and flags of each kind of data."""
    return make_data(tmp_path_factory.mktemp("data"))


def load_main(script):
    """Return main of a train.py under a name of its own."""
    path = REPOSITORY / script
    name = "_".join(path.relative_to(REPOSITORY).with_suffix("").parts)
    spec = importlib.util.spec_from_file_location(f"recipe_{name}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main


def words(row, data, out, *more):
    folder, flags = data[row["data"]]
    return [
        os.path.relpath(row["yaml"], Path(row["script"]).parent),
        *("--data_folder", str(folder), "--output_folder", str(out)),
        *("--cache_folder", str(out.parent / "cache")),
        *LOADERS,
        *SCORES,
        *flags,
        *shlex.split(row["flags"]),
        *more,
    ]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["yaml"])
def test_every_yaml_trains_and_tests(row, data, tmp_path, monkeypatch):
    monkeypatch.chdir((REPOSITORY / row["script"]).parent)
    out = tmp_path / "out"
    arguments = words(row, data, out, "--number_of_epochs", "1")
    load_main(row["script"])(arguments)
    for pattern in row["checks"].split():
        assert list(out.glob(pattern)), pattern
    scores = json.loads((out / "test_torch" / "metrics.json").read_text())
    assert "enhanced" in json.dumps(scores)
    with (out / "metrics.csv").open() as file:
        (epoch,) = csv.DictReader(file)
    assert 0 < float(epoch["train_loss"]) < 10


def test_killed_run_ends_the_same_and_test_only_repeats(
    data, tmp_path, monkeypatch
):
    """SIGKILL after the first checkpoint; then the same command again.

    Of pairs: tests/integration/test_resume.py does it with mixtures.
    """
    row = next(row for row in ROWS if Path(row["yaml"]).stem == "nnse_72mel")
    folder = (REPOSITORY / row["script"]).parent
    monkeypatch.chdir(folder)
    main = load_main(row["script"])
    epochs = ["--number_of_epochs", "2"]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    main(words(row, data, whole, *epochs))
    process = subprocess.Popen(
        [sys.executable, "train.py", *words(row, data, killed, *epochs)],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    deadline = time.monotonic() + 120
    while not list(killed.glob("save/CKPT*/CKPT.yaml")):
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (killed / "test_torch").exists()
    main(words(row, data, killed, *epochs))
    assert weights(whole).keys() == weights(killed).keys()
    for key, value in weights(whole).items():
        assert torch.equal(value, weights(killed)[key]), key
    scores = (killed / "test_torch" / "metrics.json").read_bytes()
    assert scores == (whole / "test_torch" / "metrics.json").read_bytes()
    (killed / "test_torch" / "metrics.json").unlink()
    again = ["--test_only", "True", "--skip_prep", "True"]
    main(words(row, data, killed, *epochs, *again))
    assert scores == (killed / "test_torch" / "metrics.json").read_bytes()


def weights(out):
    last = max(
        out.glob("save/CKPT*"), key=lambda p: (p / "CKPT.yaml").stat().st_mtime
    )
    return torch.load(last / "model.ckpt", weights_only=True)
