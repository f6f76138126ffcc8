"""The commands that the documents give exist, with the options they use."""

import functools
import os
from pathlib import Path
import re
import shlex
import subprocess
import sys

from edgebrain.enhancement.brain import EnhancementBrain
from edgebrain.signal.probe import speech_like
from edgebrain.training.config import load_hparams, parse_arguments
import numpy as np
import pytest
import soundfile
import torch

ROOT = Path(__file__).parents[1]
READMES = sorted(
    [ROOT / "README.md"]
    + list((ROOT / "models").glob("*/README.md"))
    + list((ROOT / "benchmarks").glob("*.md"))
    + list((ROOT / "deploy").rglob("README.md"))
)


def commands(path):
    """Return the commands of a document's code blocks, as lists of words."""
    text = path.read_text(encoding="utf-8").replace("\\\n", " ")
    fences = re.findall(r"^ *```(\w*)\n(.*?)^ *```", text, re.M | re.S)
    blocks = [block for kind, block in fences if kind in ("", "bash", "sh")]
    indented = re.findall(r"^    (make .*|python .*)$", text, re.MULTILINE)
    lines = [line for block in blocks for line in block.splitlines()]
    words = [shlex.split(line, comments=True) for line in lines + indented]
    known = ("python", "python3", "make", "bash", "torchrun")
    return [command for command in words if command and command[0] in known]


@functools.cache
def help_of(script):
    done = subprocess.run(
        [sys.executable, str(ROOT / script), "--help"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "200"},
    )
    assert done.returncode == 0, done.stderr
    return set(re.findall(r"--[a-z]\w*", done.stdout))


def check_train(argv, monkeypatch):
    if argv[0].startswith("my_"):
        return  # the reader's own file
    monkeypatch.chdir(ROOT)
    yaml, _, overrides = parse_arguments(argv)
    load_hparams(yaml, overrides, EnhancementBrain.keys)


@pytest.mark.parametrize(
    "path", READMES, ids=lambda p: p.relative_to(ROOT).as_posix()
)
def test_commands_exist(path, monkeypatch):
    for command in commands(path):
        if command[0] == "make":
            if "-C" in command:
                continue  # in a generated folder
            local = path.parent / "Makefile"
            makefile = local if local.exists() else ROOT / "Makefile"
            for word in command[1:]:
                if "=" in word or word.startswith("-"):
                    continue
                found = re.search(rf"^{word}:", makefile.read_text(), re.M)
                assert found, f"make {word}"
            continue
        if "train.py" in command:
            after = command.index("train.py") + 1
            check_train(command[after:], monkeypatch)
            continue
        if command[1].startswith("-"):
            continue  # python -m, python -c
        script = ROOT / command[1]
        assert script.is_file(), f"{path}: {command[1]} does not exist"
        if script.suffix == ".py":
            used = {w.split("=")[0] for w in command if w.startswith("--")}
            missing = used - help_of(command[1])
            assert not missing, f"{path}: {command[1]} has no {missing}"


def test_links_of_the_readme_lead_somewhere():
    for path in READMES:
        for link in re.findall(r"\]\(([^)#]+)\)", path.read_text()):
            if "://" not in link:
                assert (path.parent / link).exists(), f"{path}: {link}"


def python_blocks():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


def test_the_python_example_runs(tmp_path):
    """As it stands, on a recording of one's own."""
    noisy = speech_like(1.3, 16000)
    soundfile.write(tmp_path / "noisy.wav", noisy, 16000, subtype="FLOAT")
    (tmp_path / "models").symlink_to(ROOT / "models")
    example = next(b for b in python_blocks() if "load_enhancer" in b)
    example += "np.save('both.npy', [enhanced, streamed])\n"
    subprocess.run(
        [sys.executable, "-c", example], cwd=tmp_path, check=True, timeout=120
    )
    enhanced, streamed = np.load(tmp_path / "both.npy")
    assert enhanced.shape == streamed.shape == noisy.shape
    assert np.abs(enhanced - streamed).max() < 1e-5
    assert 1e-3 < np.abs(enhanced - noisy).max()
    written, _ = soundfile.read(tmp_path / "enhanced.wav")
    assert np.abs(written - streamed).max() < 1e-4


def test_the_loss_of_the_readme_trains_a_network():
    """The Brain takes it as it is; its gradient says to raise the mask."""
    scope = {}
    exec(next(b for b in python_blocks() if "def log_distance" in b), scope)
    clean = torch.rand(2, 257, 20)
    mask = torch.full((2, 257, 20), 0.5, requires_grad=True)
    loss = scope["log_distance"](mask * clean, clean)
    loss.backward()
    assert loss > 0.1 and (mask.grad[clean > 0.01] < 0).all()
    assert scope["log_distance"](clean, clean) == 0


def test_files_of_the_architecture_are_there():
    """Every file that the text names, in edgebrain/ or at the root."""
    text = (ROOT / "docs" / "ARCHITECTURE.md").read_text(encoding="utf-8")
    named = set(re.findall(r"(?<![<>\w/])[a-z_]+(?:/\w+)*\.(?:py|toml)", text))
    assert len(named) > 25
    within = [ROOT, ROOT / "edgebrain", ROOT / "deploy/c/generator"]
    missing = {n for n in named if not any((w / n).is_file() for w in within)}
    assert missing <= {"task.py"}  # of a task to be written
