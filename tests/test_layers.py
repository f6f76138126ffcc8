"""Who may import whom: a floor imports itself and what is below it."""

import ast
from pathlib import Path
import subprocess
import sys

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "edgebrain"

FLOORS = {
    "errors": 0,
    "files": 0,
    "checks": 0,
    "progress": 0,
    "interrupts": 0,
    "torchaudio_repair": 0,
    "signal": 1,
    # Knows the rooms of the tasks by name alone; they fulfil its Protocol.
    "tasks": 2,
    # Typed by the set-up of a task.
    "runners": 3,
    "shared_library": 3,
    "command_line": 2,
    "models": 3,
    "data": 3,
    "report": 4,
    "onnx": 4,
    "training": 4,
    "trained_models": 5,
    "enhancement": 6,
    "events": 6,
}
#: Neighbours on one floor that must not know each other.
FORBIDDEN = {
    ("onnx", "training"),
    ("data", "models"),
    ("enhancement", "events"),
    ("events", "enhancement"),
    ("models", "data"),
    ("report", "training"),
}
MODULES = sorted(PACKAGE.rglob("*.py"))


def imported(path):
    """Yield the dotted names that a file imports, inside functions too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute here"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room(dotted):
    parts = dotted.split(".")
    return parts[1] if parts[0] == "edgebrain" and len(parts) > 1 else None


@pytest.mark.parametrize(
    "path", MODULES, ids=lambda p: p.relative_to(PACKAGE).as_posix()
)
def test_nothing_imports_upwards(path):
    here = path.relative_to(PACKAGE).with_suffix("").parts[0]
    if here == "__init__":
        return
    for name in imported(path):
        there = room(name)
        if there is None or there not in FLOORS:
            continue
        assert FLOORS[there] <= FLOORS[here], f"{here} imports {name}"
        assert (here, there) not in FORBIDDEN, f"{here} imports {name}"


def test_every_room_has_a_floor():
    rooms = {
        path.stem if path.is_file() else path.name
        for path in PACKAGE.iterdir()
        if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    assert rooms - {"__init__"} == set(FLOORS)


@pytest.mark.parametrize(
    "module, absent",
    [
        ("edgebrain", "numpy torch speechbrain"),
        ("edgebrain.tasks", "torch speechbrain onnxruntime"),
        ("edgebrain.enhancement.task", "torch speechbrain onnxruntime"),
        ("edgebrain.signal", "torch speechbrain onnxruntime"),
        ("edgebrain.enhancement.metrics", "torch speechbrain"),
        ("edgebrain.onnx.runner", "torch speechbrain"),
        ("edgebrain.enhancement", "torch speechbrain"),
        ("edgebrain.events.evaluation", "torch speechbrain scipy.signal"),
        ("edgebrain.command_line", "numpy torch speechbrain"),
    ],
)
def test_what_stays_unloaded(module, absent):
    code = (
        f"import sys, {module}\n"
        f"print([m for m in {absent.split()} if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True
    )
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def test_the_template_stands_alone():
    for path in (ROOT / "templates").rglob("*.py"):
        for name in imported(path):
            assert name.split(".")[0] != "edgebrain", f"{path}: {name}"


def test_deploy_needs_neither_torch_nor_speechbrain():
    heavy = {"torch", "torchaudio", "speechbrain"}
    for path in (ROOT / "deploy").rglob("*.py"):
        for name in imported(path):
            assert name.split(".")[0] not in heavy, f"{path}: {name}"


@pytest.mark.parametrize("room", ["deploy", "edgebrain/events"])
def test_no_circle_of_files(room):
    """Inside functions too: who is imported there is needed there."""
    paths = (ROOT / room).rglob("*.py")
    names = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts): path
        for path in paths
    }
    left = {
        name: {other for other in imported(path) if other in names} - {name}
        for name, path in names.items()
    }
    while free := {name for name, others in left.items() if not others}:
        left = {n: o - free for n, o in left.items() if n not in free}
    assert not left
