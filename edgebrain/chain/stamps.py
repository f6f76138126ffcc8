"""The stamp of a step: what its result belongs to, and what it is."""

import hashlib
import json
from pathlib import Path

from edgebrain.chain.steps import Step
from edgebrain.stamps import digest


def is_current(step: Step, stamp: Path) -> bool:
    """Tell whether a step's result is there and belongs to its input."""
    if not all(path.exists() for path in step.outputs):
        return False
    try:
        known = json.loads(stamp.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return known == digests(step)


def digests(step: Step) -> dict[str, str]:
    """Return what the result of a step belongs to, and what it is."""
    command = json.dumps(step.commands)
    return {
        "command": hashlib.sha256(command.encode()).hexdigest(),
        "inputs": digest(step.inputs),
        "outputs": digest(step.outputs),
    }
