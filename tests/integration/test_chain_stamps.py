"""What makes a result of a chain stale, and what does not."""

import hashlib
import json
from pathlib import Path

from edgebrain.chain.stamps import digests, is_current
from edgebrain.chain.steps import make_layout, plan
from edgebrain.stamps import digest
import pytest


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Return the working folder, with what a chain reads."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    for name in ("bin", "noisy", "voices", "model/save", "model/export"):
        Path(name).mkdir(parents=True)
    Path("noisy/a.wav").write_text("noisy")
    Path("voices/a.wav").write_text("voice")
    Path("mine.toml").write_text("")
    Path("model/save/weights").write_text("weights")
    return tmp_path


def make(letter, **options):
    """Return a step with a result and the stamp of it."""
    config = {
        "model": "model",
        "train": {},
        "export": {},
        "quantize": {"calibration_folder": "noisy"},
        "evaluate": {},
        "benchmark": {"target": "stm32n6"},
        "deploy": {"script": "stedgeai", "target": "stm32n6"},
    }
    section = {"q": "quantize", "b": "benchmark", "d": "deploy"}[letter]
    config[section] |= options
    return plan(letter, config, make_layout(config))[0]


def finish(step):
    for path in [*step.inputs, *step.outputs]:
        if path.suffix and not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(path.name)
    if step.package is not None:
        step.package.mkdir(exist_ok=True)
        (step.package / "package.json").write_text("{}")


def stamped(step):
    """Return the stamp of a finished step."""
    finish(step)
    stamp = Path("stamp.json")
    stamp.write_text(json.dumps(digests(step)))
    assert is_current(step, stamp)
    return stamp


@pytest.mark.parametrize("letter", ["b", "d"])
@pytest.mark.parametrize(
    "changed", ["voices/a.wav", "voices/b.wav", "mine.toml"]
)
def test_what_an_option_names_is_an_input(folder, letter, changed):
    step = make(letter, audio=["voices"], targets_file="mine.toml")
    stamp = stamped(step)
    Path(changed).write_text("something else")
    assert not is_current(step, stamp)


def test_learned_ranges_are_an_input(folder):
    Path("other/save").mkdir(parents=True)
    step = make("q", learned_ranges="other")
    stamp = stamped(step)
    Path("other/save/more").write_text("more")
    assert not is_current(step, stamp)


@pytest.mark.parametrize("letter", ["b", "d"])
def test_the_tool_on_the_path_makes_a_result_stale(folder, letter):
    stamp = stamped(make(letter))
    tool = folder / "bin" / "stedgeai"
    tool.write_text("#!/bin/sh\n")
    tool.chmod(0o755)
    assert not is_current(make(letter), stamp)
    stamp = stamped(make(letter))
    tool.write_text("#!/bin/sh\n# newer\n")
    assert not is_current(make(letter), stamp)
    stamp = stamped(make(letter, no_run=True))
    tool.unlink()
    assert is_current(make(letter, no_run=True), stamp)
    assert not is_current(make(letter, cloud=True), stamp)


@pytest.mark.parametrize("recorded", [True, False])
def test_working_in_a_deployed_folder_makes_nothing_stale(folder, recorded):
    step = make("d")
    finish(step)
    (step.package / "model.c").write_text("int model;")
    if recorded:
        files = {"files": {"model.c": "", "package.json": ""}}
        (step.package / "written.json").write_text(json.dumps(files))
    stamp = stamped(step)
    (step.package / "build").mkdir()
    (step.package / "build" / "model.o").write_text("object")
    (step.package / "libmodel.so").write_text("library")
    assert is_current(step, stamp)
    (step.package / "model.c").write_text("int edited;")
    assert not is_current(step, stamp)
    (step.package / "model.c").unlink()
    assert not is_current(step, stamp)


def test_the_order_of_options_says_nothing(folder):
    stamp = stamped(make("d", vectors=3, no_run=True))
    assert is_current(make("d", no_run=True, vectors=3), stamp)
    assert not is_current(make("d", no_run=True, vectors=4), stamp)
    stamp = stamped(make("d", audio=["voices", "noisy"]))
    assert not is_current(make("d", audio=["noisy", "voices"]), stamp)


@pytest.mark.parametrize("letter", ["q", "b", "d"])
def test_a_stamp_of_an_earlier_version_counts(folder, letter):
    step = make(letter)
    finish(step)
    command = json.dumps(step.commands).encode()
    stamp = Path("stamp.json")
    stamp.write_text(
        json.dumps(
            {
                "command": hashlib.sha256(command).hexdigest(),
                "inputs": digest(step.inputs),
                "outputs": digest(step.outputs),
            }
        )
    )
    assert is_current(step, stamp)
    target = step.inputs[0]
    (target / "x" if target.is_dir() else target).write_text("changed")
    assert not is_current(step, stamp)


@pytest.mark.parametrize("text", ["[]", '{"files": 3}', "{", '"x"', "{}"])
def test_a_stamp_that_is_none_is_stale(folder, text):
    step = make("b")
    finish(step)
    Path("stamp.json").write_text(text)
    assert not is_current(step, Path("stamp.json"))
