"""A small corpus and a small yaml that whole commands are run on."""

import importlib.util
from pathlib import Path
import sys

from edgebrain.data.embedded.corpus import CorpusSizes, make_embedded_corpus
import pytest

ROOT = Path(__file__).parents[2]

_SMALLER = {
    "bottleneck_channels: 128": "bottleneck_channels: 8",
    "n_blocks: 2": "n_blocks: 1",
    "num_layers: 4": "num_layers: 2",
    "tcn_latent_dim: 192": "tcn_latent_dim: 12",
    "crop_seconds: 3.0": "crop_seconds: 1.0",
    "batch_size: 4": "batch_size: 2",
    "number_of_epochs: 40": "number_of_epochs: 2",
    "num_workers: 1": "num_workers: 0",
    "metrics: [pesq, stoi, si_snr, snr, mse]": "metrics: [stoi, si_snr]",
    "n_jobs: null": "n_jobs: 1",
}


@pytest.fixture(scope="session")
def corpus(tmp_path_factory):
    """Return a data folder of speech/, noise/ and rir/."""
    sizes = CorpusSizes((8, 4, 4), (4, 2, 2), (1, 1, 1), 1, (3.0, 4.0))
    return make_embedded_corpus(
        tmp_path_factory.mktemp("corpus"), seed=3, n_jobs=1, sizes=sizes
    )


@pytest.fixture(scope="session")
def small_text():
    """Return a function that returns train.yaml made small."""

    def text(**replacements):
        text = (ROOT / "train.yaml").read_text()
        for old, new in {**_SMALLER, **replacements}.items():
            assert old in text, f"train.yaml no longer holds {old!r}"
            text = text.replace(old, new)
        return text

    return text


@pytest.fixture
def small_yaml(tmp_path, small_text):
    """Return a function that writes train.yaml made small."""

    def write(name="small.yaml", **replacements):
        path = tmp_path / name
        path.write_text(small_text(**replacements))
        return path

    return write


@pytest.fixture
def train(tmp_path, monkeypatch):
    """Return a function that runs train.py here, in this process."""
    spec = importlib.util.spec_from_file_location("train", ROOT / "train.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(ROOT)
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)

    def run(yaml, *words):
        module.main([str(yaml), "--noprogressbar", *map(str, words)])

    return run
