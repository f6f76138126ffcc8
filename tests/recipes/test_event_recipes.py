"""Every yaml of event detection trains and tests; a killed run goes on."""

import csv
from dataclasses import replace
import importlib.util
import json
import os
from pathlib import Path
import signal
import subprocess
import sys
import time

from edgebrain.errors import UserError
from edgebrain.events.brain import EventBrain
from edgebrain.events.synthetic import make_embedded_sounds
from edgebrain.training.config import load_hparams
import pytest

REPOSITORY = Path(__file__).parents[2]
SCRIPT = REPOSITORY / "recipes" / "ESC10" / "event_detection" / "train.py"
ROWS = [
    row
    for table in sorted(Path(__file__).parent.glob("*.csv"))
    for row in csv.DictReader(table.open(encoding="utf-8"))
    if row["data"] == "sounds"
]
QUICK = "--num_workers 0 --device cpu --noprogressbar".split()
#: A network of a moment.
SMALL = ["--model", "{blocks: [[2, 16], [2, 24]], stem: 8}"]


@pytest.fixture(scope="module")
def sounds(tmp_path_factory):
    """Return a small corpus in five folds."""
    folder = tmp_path_factory.mktemp("sounds")
    return make_embedded_sounds(folder, clips=2, speech=False)


def load(script):
    spec = importlib.util.spec_from_file_location("event_recipe", script)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main_of(script):
    return load(script).main


def words(yaml, sounds, out, *more):
    return [
        str(yaml),
        *("--data_folder", str(sounds), "--output_folder", str(out)),
        *("--cache_folder", str(out.parent / "cache"), *QUICK, *more),
    ]


@pytest.mark.slow
@pytest.mark.integration
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["yaml"])
def test_every_yaml_trains_and_tests(row, sounds, tmp_path, monkeypatch):
    script = REPOSITORY / row["script"]
    monkeypatch.chdir(script.parent)
    out = tmp_path / "out"
    flags = ["--number_of_epochs", "1", *row["flags"].split()]
    yaml = REPOSITORY / row["yaml"]
    main_of(script)(words(yaml, sounds, out, *flags))
    for pattern in row["checks"].split():
        assert list(out.glob(pattern)), pattern
    scores = json.loads((out / "test_torch" / "metrics.json").read_text())
    assert scores["clips"] == 14
    assert scores["chance"]["clip_accuracy"] == pytest.approx(100 / 7)
    with (out / "metrics.csv").open() as file:
        (epoch,) = csv.DictReader(file)
    assert 0 < float(epoch["train_loss"]) < 100


@pytest.mark.parametrize(
    "flags, message",
    [
        ("--multi_label True", "metrics: no clip_accuracy, .*; there is map"),
        (
            "--metrics [hits,f1] --select_by f1",
            "metrics: no hits .* unknown_classes: None",
        ),
        ("--class_names 3", "class_names: a list of names"),
        ("--class_names siren", "one class only"),
        ("--mel 3", "mel: built with !new:edgebrain.signal.mel.MelSettings"),
        ("--loss 3", "loss: built with"),
    ],
)
def test_refuses_before_it_begins(
    sounds, tmp_path, monkeypatch, flags, message
):
    monkeypatch.chdir(SCRIPT.parent)
    out = tmp_path / "out"
    with pytest.raises(UserError, match=message):
        main_of(SCRIPT)(words("train.yaml", sounds, out, *flags.split()))
    assert not out.exists()


@pytest.mark.slow
@pytest.mark.integration
def test_killed_run_ends_the_same(sounds, tmp_path, monkeypatch):
    """SIGKILL after the first checkpoint; then the same command again."""
    monkeypatch.chdir(SCRIPT.parent)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    flags = ["--number_of_epochs", "3", "--patches_per_clip", "1"]
    main = main_of(SCRIPT)
    main(words("train.yaml", sounds, whole, *flags))
    again = words("train.yaml", sounds, killed, *flags)
    process = subprocess.Popen(
        [sys.executable, "train.py", *again],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    deadline = time.monotonic() + 180
    while not list(killed.glob("save/CKPT*/CKPT.yaml")):
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (killed / "test_torch").exists()
    main(again)
    first, second = (
        (out / "test_torch" / "per_clip.csv").read_bytes()
        for out in (whole, killed)
    )
    assert first == second


@pytest.mark.slow
@pytest.mark.integration
def test_all_folds_are_scored_as_one_set(sounds, tmp_path, monkeypatch):
    monkeypatch.chdir(SCRIPT.parent)
    text = (SCRIPT.parent / "train.yaml").read_text()
    yaml = tmp_path / "train.yaml"
    yaml.write_text(text.replace("ref results/", f"ref {tmp_path}/"))
    main_of(SCRIPT)(
        [
            *(str(yaml), "--data_folder", str(sounds)),
            *("--cache_folder", str(tmp_path / "cache"), *QUICK),
            *("--folds", "1,2", "--number_of_epochs", "1"),
        ]
    )
    folds = tmp_path / "train" / "1234" / "folds"
    both = json.loads((folds / "metrics.json").read_text())
    assert both["clips"] == 28 and both["folds"] == [1, 2]
    low, high = both["clip_accuracy_interval"]
    assert low <= both["network"]["clip_accuracy"] <= high


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["yaml"])
def test_head_of_a_yaml_states_command_and_cost(row, sounds):
    path = REPOSITORY / row["yaml"]
    given = {"data_folder": str(sounds), "pretrained": "none"}
    keys = EventBrain.keys | load(REPOSITORY / row["script"]).DATA_KEYS
    hparams = load_hparams(str(path), given, keys)
    head = path.read_text(encoding="utf-8").partition("\nseed:")[0]
    # Stated for 10 classes; the sounds have 7.
    model, setup = hparams["model"], EventBrain.setup(hparams)
    model.set_classes(10)
    setup = replace(setup, class_names=tuple("abcdefghij"))
    for line in EventBrain.check_model(model, setup).splitlines():
        assert f"# {line}" in head.splitlines(), line
    assert f"python train.py {path.name} " in head


@pytest.mark.parametrize("readme", [SCRIPT.with_name("README.md")])
def test_readme_names_every_yaml(readme):
    text = readme.read_text(encoding="utf-8")
    for path in readme.parent.glob("*.yaml"):
        assert f"| {path.name} |" in text
    for section in ("Data", "Run", "Results", "Citation"):
        assert f"\n## {section}\n" in text


@pytest.mark.parametrize("script", [SCRIPT])
def test_scripts_are_short(script):
    assert len(script.read_text().splitlines()) < 100
