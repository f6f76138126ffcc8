"""Reader of the NNSE architecture text: layers of a sequential network.

Lines of ``key value``; ``#`` starts a comment. First ``input_neurons`` and
perhaps ``dropprob`` (dropout of the features), then for each layer
``layer_type`` conv1d, lstm or fc and what belongs to it; anywhere after a
layer perhaps ``scalar_output``, a factor on the output.
"""

from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from edgebrain.errors import UserError, unknown_name

LAYER_TYPES = ("conv1d", "lstm", "fc")
ACTIVATIONS = ("tanh", "sigmoid", "relu6", "linear")

#: Type of each key's value.
_KEYS = {
    "input_neurons": int,
    "scalar_output": float,
    "len_filter": int,
    "len_lookahead": int,
    "layer_type": str,
    "num_filters": int,
    "layer_neurons": int,
    "kernel_size": int,
    "strides": int,
    "activation": str,
    "dropprob": float,
}
#: Those that belong to no layer.
_HEAD = ("input_neurons", "scalar_output", "len_filter", "len_lookahead")


@dataclass(frozen=True)
class Architecture:
    """What an architecture text says; arguments of :class:`.nnse.NNSE`."""

    input_neurons: int
    layers: list[dict]
    input_dropprob: float
    scalar_output: float


def shipped_architectures() -> dict[str, Path]:
    """Return the architecture texts that come with the package, by name."""
    folder = Path(str(resources.files(__package__))) / "nn_arch"
    return {path.stem: path for path in sorted(folder.glob("*.txt"))}


def find_architecture(name: str | Path) -> Path:
    """Return the path of a shipped architecture, or of a person's own file."""
    shipped = shipped_architectures()
    if str(name) in shipped:
        return shipped[str(name)]
    path = Path(name)
    if path.is_file():
        return path
    problem = unknown_name("architecture", str(name), shipped)
    raise UserError(f"{problem}; nor is it a file")


def read_architecture(path: str | Path) -> Architecture:
    """Read an architecture text; the network checks what its layers hold."""
    path = Path(path)
    head: dict = {}
    layers: list[dict] = []
    text = path.read_text(encoding="utf-8", errors="replace")
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split("#")[0].split()
        if not words:
            continue
        try:
            _take(*words[:1], words[1:], head, layers)
        except UserError as error:
            raise UserError(f"{path}, line {number}: {error}") from None
    if "input_neurons" not in head:
        raise UserError(f"{path}: no input_neurons: how many has a frame?")
    for key, served in {"len_filter": 1, "len_lookahead": 0}.items():
        if head.get(key, served) != served:
            raise UserError(
                f"{path}: {key} {head[key]} is not supported, only {served}"
            )
    return Architecture(
        input_neurons=head["input_neurons"],
        layers=layers,
        input_dropprob=head.get("dropprob", 0.0),
        scalar_output=head.get("scalar_output", 1.0),
    )


def _take(key: str, values: list[str], head: dict, layers: list[dict]) -> None:
    """Put a value where it belongs: in the head or in the last layer."""
    if key not in _KEYS:
        raise unknown_name("key", key, _KEYS)
    try:
        (value,) = map(_KEYS[key], values)
    except ValueError:
        kind = {int: "whole number", float: "number", str: "name"}[_KEYS[key]]
        raise UserError(f"{key} takes one {kind}, got {values}") from None
    if key == "layer_type":
        layers.append({})
    in_head = key in _HEAD or (key == "dropprob" and not layers)
    if not in_head and not layers:
        raise UserError(f"{key} stands before the first layer_type")
    target = head if in_head else layers[-1]
    target["layer_neurons" if key == "num_filters" else key] = value
