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

# Every key: the type of its value, and the layers that may have it (None:
# not part of a layer).
_KEYS = {
    "input_neurons": (int, None),
    "scalar_output": (float, None),
    "len_filter": (int, None),
    "len_lookahead": (int, None),
    "layer_type": (str, LAYER_TYPES),
    "num_filters": (int, ("conv1d",)),
    "layer_neurons": (int, LAYER_TYPES),
    "kernel_size": (int, ("conv1d",)),
    "strides": (int, ("conv1d",)),
    "activation": (str, LAYER_TYPES),
    "dropprob": (float, LAYER_TYPES),
}


@dataclass(frozen=True)
class Architecture:
    """What an architecture text says.

    Attributes
    ----------
    input_neurons : int
        Features a frame.
    layers : list of dict
        As the ``layers`` argument of :class:`.nnse.NNSE`.
    input_dropprob : float
        Dropout of the features.
    scalar_output : float
        Factor on the output.
    """

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
    """Read an architecture text."""
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read: {error}") from error
    head: dict = {}
    layers: list[dict] = []
    problems: list[str] = []
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split("#")[0].split()
        if not words:
            continue
        try:
            key, value = _parse(words)
            _store(key, value, head, layers)
        except UserError as error:
            problems.append(f"line {number}: {error}")
    if "input_neurons" not in head:
        problems.append("no input_neurons: say how many features a frame has")
    if not layers:
        problems.append("no layer_type: there is no layer")
    for key, served in {"len_filter": 1, "len_lookahead": 0}.items():
        if head.get(key, served) != served:
            problems.append(
                f"{key} {head[key]} is not supported, only {served}"
            )
    if problems:
        raise UserError.collect(f"{path}: bad architecture", problems)
    return Architecture(
        input_neurons=head["input_neurons"],
        layers=layers,
        input_dropprob=head.get("dropprob", 0.0),
        scalar_output=head.get("scalar_output", 1.0),
    )


def _parse(words: list[str]) -> tuple[str, int | float | str]:
    key, *values = words
    if key not in _KEYS:
        raise unknown_name("key", key, _KEYS)
    if len(values) != 1:
        raise UserError(f"{key} takes one value, got {len(values)}")
    kind = _KEYS[key][0]
    try:
        return key, kind(values[0])
    except ValueError as error:
        raise UserError(
            f"{key} takes a {'whole ' if kind is int else ''}number, got "
            f"{values[0]!r}"
        ) from error


def _store(key: str, value, head: dict, layers: list[dict]) -> None:
    """Put a value where it belongs: in the head or in the last layer."""
    owners = _KEYS[key][1]
    if key == "layer_type":
        if value not in LAYER_TYPES:
            raise unknown_name("layer_type", value, LAYER_TYPES)
        layers.append({"layer_type": value})
        return
    if owners is None or (key == "dropprob" and not layers):
        target = head
    elif not layers:
        raise UserError(f"{key} stands before the first layer_type")
    else:
        target = layers[-1]
        if target["layer_type"] not in owners:
            raise UserError(f"{key} does not belong to {target['layer_type']}")
        key = "layer_neurons" if key == "num_filters" else key
    if key in target:
        raise UserError(f"{key} is given twice")
    target[key] = value
