"""The stamp of a step: what its result belongs to, and what it is."""

import hashlib
import json
from pathlib import Path

from edgebrain.chain.steps import NO_TOOL, Step
from edgebrain.stamps import digest

#: What a deployer says it wrote: names and hashes of its files.
RECORD = "written.json"
#: Its own files where there is no such record.
_PATTERNS = (
    "package.json",
    "nnse_tables.json",
    "generated.txt",
    "*.c",
    "*.h",
)


def is_current(step: Step, stamp: Path) -> bool:
    """Tell whether a step's result is there and belongs to its input."""
    if not all(path.exists() for path in step.outputs):
        return False
    known = read_stamp(stamp)
    if "files" not in known:
        return known == _earlier(step) and step.tool == NO_TOOL
    now = digests(step)
    files = now.pop("files").items()
    # It also knows files of other precisions and forms.
    same = {key: known.get(key) for key in now} == now
    return same and files <= known["files"].items()


def digests(step: Step, known: dict | None = None) -> dict:
    """Return what the result of a step belongs to, and what it is.

    Arguments
    ---------
    step : Step
    known : dict, optional
        Stamp before, whose files stay the chain's own.
    """
    ordered = [_ordered(command) for command in step.commands]
    product = digest(step.outputs)
    if step.package is not None:
        product = _hash(_written(step.package))
    return {
        "command": _hash(ordered),
        "inputs": digest(step.inputs),
        "outputs": product,
        "tool": step.tool,
        "files": made_files(step, known),
    }


def made_files(step: Step, known: dict | None = None) -> dict[str, str]:
    """Return the files that the chain may write over, name to hash."""
    files = dict((known or {}).get("files", {}))
    if step.letter == "q":
        files |= {p.name: digest([p]) for p in step.outputs if p.is_file()}
    return files


def foreign_files(step: Step, stamp: Path) -> list[Path]:
    """Return the files that a step would write over and that are not its own.

    Deployers look after their folders themselves.
    """
    if step.letter != "q":
        return []
    known = read_stamp(stamp)
    there = [path for path in step.outputs if path.exists()]
    if "files" in known:
        files = known["files"]
        return [p for p in there if files.get(p.name) != digest([p])]
    own = known.get("outputs") == digest(step.outputs)
    return [] if own else there


def read_stamp(stamp: Path) -> dict:
    """Return a stamp, empty where there is none that can be read."""
    try:
        known = json.loads(stamp.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    sound = isinstance(known, dict)
    sound = sound and isinstance(known.get("files", {}), dict)
    return known if sound else {}


def _earlier(step: Step) -> dict[str, str]:
    """Return what earlier versions put into a stamp."""
    return {
        "command": _hash(step.commands),
        "inputs": digest(step.inputs),
        "outputs": digest(step.outputs),
    }


def _ordered(command: list[str]) -> list[str]:
    """Return a command with its options sorted: their order says nothing."""
    groups = [[]]
    for word in command:
        if word.startswith("--"):
            groups.append([])
        groups[-1].append(word)
    return [
        word for group in (groups[0], *sorted(groups[1:])) for word in group
    ]


def _written(folder: Path) -> dict[str, str | None]:
    """Return the files that a deployer wrote, name to hash."""
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        names = list(record["files"])
    except (OSError, ValueError, KeyError, TypeError):
        found = {p for pattern in _PATTERNS for p in folder.glob(pattern)}
        names = [path.name for path in found]
    return {
        name: digest([path]) if (path := folder / name).is_file() else None
        for name in sorted(names)
    }


def _hash(content) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()
