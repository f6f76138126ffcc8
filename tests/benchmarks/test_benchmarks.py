"""Every section of `make bench` on a setting that takes seconds."""

from functools import partial
import importlib
import json
from pathlib import Path
import re
import shutil
import sys

from edgebrain.data.embedded.corpus import CorpusSizes, make_embedded_corpus
from edgebrain.data.embedded.noises import make_noise
from edgebrain.enhancement.networks import STFTTCNN
import numpy as np
import pytest
import soundfile

ROOT = Path(__file__).parents[2]
SECTIONS = (
    "mixing",
    "training",
    "scoring",
    "inference",
    "firmware",
    "parity",
    "web",
)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """Return a cache folder that the sections share."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def bench(monkeypatch):
    """Return a function that imports a module of benchmarks/."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    files = (ROOT / "benchmarks").glob("*.py")
    names = {path.stem for path in files}
    for name in names & sys.modules.keys():
        monkeypatch.delitem(sys.modules, name)
    yield importlib.import_module
    for name in names & sys.modules.keys():
        del sys.modules[name]


@pytest.fixture
def small(bench, monkeypatch, tmp_path):
    """Make all that the sections work on small."""
    sizes = CorpusSizes((4, 2, 2), (2, 1, 1), (1, 1, 1), 1, (1.0, 1.5))
    corpus = partial(make_embedded_corpus, n_jobs=1, sizes=sizes)
    yaml = tmp_path / "small.yaml"
    yaml.write_text(
        "signal: !new:edgebrain.signal.SignalSettings {}\n"
        "model: !new:edgebrain.enhancement.networks.STFTTCNN\n"
        "    n_blocks: 1\n    num_layers: 2\n    tcn_latent_dim: 8\n"
        "    bottleneck_channels: 6\n    causal: True\n"
    )
    # As the tests of the C code compile: a cache then knows it all.
    monkeypatch.setenv("CFLAGS", "-O2 -Werror")
    released = tmp_path / "models" / "released"
    released.mkdir(parents=True)
    shutil.copy(ROOT / "models/nnse-72mel/stream_int8.onnx", released)
    for module, values in {
        "common": {
            "ITEMS": 4,
            "CROP_SECONDS": 0.5,
            "make_embedded_corpus": corpus,
        },
        "mixing_speed": {"EPOCHS": 1},
        "training": {
            "ROUNDS": 1,
            "BATCH": 2,
            "_network": lambda: STFTTCNN(1, 1, tcn_latent_dim=8, causal=True),
        },
        "scoring_speed": {"CLIPS": 2},
        "inference": {
            "MODELS": {"small": yaml},
            "FORMS": ("torch", "stream"),
            "SECONDS": 1,
            "REPEATS": 1,
        },
        "firmware": {"MODELS": tmp_path / "models"},
        "parity": {
            "MODELS": tmp_path / "models",
            "SECONDS": 10,
            "NETWORKS": 1,
        },
        "web_speed": {"MODELS": tmp_path / "models", "REPEATS": 2},
    }.items():
        for name, value in values.items():
            monkeypatch.setattr(bench(module), name, value)
    return bench("run")


def test_every_section_is_tested_here(bench):
    assert tuple(bench("run").SECTIONS) == SECTIONS


@pytest.mark.slow
@pytest.mark.parametrize("section", SECTIONS)
def test_a_section_gives_rows(small, section, cache, capsys):
    if section == "firmware" and not shutil.which("qemu-system-arm"):
        pytest.skip("not installed: qemu-system-arm")
    if section == "web" and not shutil.which("wasm-ld"):
        pytest.skip("not installed: clang lld")
    small.main(["--only", section, "--cache_folder", str(cache)])
    machine, table = capsys.readouterr().out.strip().split("\n\n")
    assert "cores of" in machine
    rows = table.splitlines()
    assert rows[:2] == ["| what | figure |", "|---|---:|"]
    assert len(rows) > 3
    for row in rows[2:]:
        assert re.fullmatch(r"\| [^|]+ \| [^|]*\d[^|]* \|", row), row


def test_figures_of_a_stream(bench, onnx_folder, capsys):
    path = onnx_folder / "stream.onnx"
    bench("one_form").main([str(path), "stream", "float32", "1", "2"])
    got = json.loads(capsys.readouterr().out)
    assert 0 < got["factor"] < 1 and 0 < got["hop_factor"] < 1
    assert 2**20 < got["base"] <= got["peak"]
    for name in ("frame", "hop"):
        assert 0 < got[name]["median"] <= got[name]["high"] < 1
    # The audio around it costs something.
    assert got["frame"]["median"] < got["hop"]["median"]


def test_released_files_are_what_is_measured(bench, onnx_folder, tmp_path):
    found = bench("inference").onnx_files(onnx_folder)
    assert found == {
        (form, "float32"): onnx_folder / f"{form}.onnx"
        for form in ("offline", "patch", "stream")
    }
    assert bench("inference").onnx_files(tmp_path) == {}


def test_onsets_of_rain_are_timed(bench, tmp_path, capsys):
    onset = bench("onset")
    (tmp_path / "rain").mkdir()
    for seed in range(2):
        rng = np.random.default_rng(seed)
        rain = 0.2 * make_noise("rain", "test", 3.0, 16000, rng)[0]
        late = np.concatenate([np.zeros(4000 * (1 + seed)), rain])
        assert onset.onset(late, 16000) == 4000 * (1 + seed)
        soundfile.write(tmp_path / "rain" / f"{seed}.wav", late, 16000)
    model = str(ROOT / "models" / "yamnet-256-esc10")
    onset.main([model, "--data_folder", str(tmp_path), "--form", "stream"])
    row = capsys.readouterr().out.split("rain", 1)[1].split()
    assert row[:2] == ["2", "0"] and row[3] == "%"
    # Not before the first step after the onset, nor after a whole window.
    assert 0.02 < float(row[4]) <= float(row[6]) < 1.2
