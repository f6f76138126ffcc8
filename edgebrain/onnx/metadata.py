"""What an ONNX file says about itself, so that a tool needs no argument."""

from collections.abc import Mapping
import dataclasses
from dataclasses import dataclass, field
import json
from typing import Any

from edgebrain import tasks
from edgebrain.checks import Name, Number, check
from edgebrain.errors import UserError
from edgebrain.signal import SignalSettings

FORMS = ("offline", "patch", "stream")
PRECISIONS = ("float32", "int8", "int16x8")
PREFIX = "edgebrain."
#: Of the constants of the graph, see :func:`edgebrain.onnx.files.load`.
HASH = PREFIX + "weights_sha256"

_TEXTS = ("model_class", "checkpoint_sha256", "form", "precision", "task")
#: What files lack that were written before there was a second task.
_LATER = ("task", "features", "class_names")
_FRAMES = Number(whole=True, least=0, optional=True)
_RULES = {
    "form": Name("form", FORMS),
    "precision": Name("precision", PRECISIONS),
    "lookahead_frames": _FRAMES,
    "receptive_field_frames": _FRAMES,
}


@dataclass(frozen=True)
class GraphMetadata:
    """The card of an ONNX file: how it was made and how it has to be run.

    Arguments
    ---------
    model_class : str
        Dotted name of the network's class.
    model_arguments : dict or None
        Its constructor arguments; None: not known.
    checkpoint_sha256 : str
        Of the file of weights, in hexadecimal; empty: not from a file.
    form : str
        ``offline`` (any number of frames), ``patch`` (so many frames a call,
        no memory) or ``stream`` (the next frames, with states).
    states : tuple of dict
        ``{"input": name, "output": name, "shape": list of int}`` of each
        state of a stream, in the order of the graph's inputs.
    lookahead_frames : int or None
        Of the network; None: not known. A stream's outputs come so late.
    context : tuple of (int, int) or None
        Frames of a patch, left and right, whose outputs are not used; of a
        network with one output a window, (frames that the window before
        held too, 0).
    receptive_field_frames : int or None
        None: without bound, or not known.
    versions : dict
        Package names to versions of the producers.
    task : str
        A file that does not say is of enhancement.
    features : dict
        Settings of the features beside ``signal``, as the task defines them.
    class_names : tuple of str
        In the order of the outputs; empty where there are no classes.

    Raises
    ------
    UserError
        For an unknown form or precision.
    """

    model_class: str
    model_arguments: dict | None
    signal: SignalSettings
    checkpoint_sha256: str
    form: str
    precision: str = "float32"
    states: tuple[dict, ...] = ()
    lookahead_frames: int | None = 0
    context: tuple[int, int] | None = None
    receptive_field_frames: int | None = None
    versions: dict[str, str] = field(default_factory=dict)
    task: str = tasks.DEFAULT
    features: dict[str, Any] = field(default_factory=dict)
    class_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check("the metadata", {n: getattr(self, n) for n in _RULES}, _RULES)
        object.__setattr__(self, "states", tuple(map(_state, self.states)))
        object.__setattr__(self, "class_names", tuple(self.class_names))
        if self.context is not None:
            left, right = map(Number(whole=True, least=0), self.context)
            object.__setattr__(self, "context", (left, right))

    @property
    def setup(self) -> tasks.Setup:
        """What the network needs besides its weights."""
        return tasks.Setup(
            self.task, self.signal, self.features, self.class_names
        )

    def facts(self) -> dict[str, Any]:
        """Return what tells the network from others, for metrics.json."""
        return {
            "model_class": self.model_class,
            "checkpoint_sha256": self.checkpoint_sha256,
            "versions": self.versions,
        }

    def replace(self, **changes: Any) -> "GraphMetadata":
        """Return a copy with some fields changed."""
        return dataclasses.replace(self, **changes)

    def to_properties(self) -> dict[str, str]:
        """Return ``edgebrain.``-prefixed keys to texts.

        Texts stand as they are, everything else is JSON.
        """
        fields = {
            f.name: getattr(self, f.name) for f in dataclasses.fields(self)
        }
        fields["signal"] = self.signal.to_dict()
        return {
            PREFIX + name: value
            if isinstance(value, str)
            else json.dumps(value, sort_keys=True)
            for name, value in fields.items()
        }

    @classmethod
    def from_properties(
        cls, properties: Mapping[str, str], source: str = "the file"
    ) -> "GraphMetadata | None":
        """Return the card among a file's properties, None where there is none.

        ``source`` is what an error calls the file.
        """
        names = [f.name for f in dataclasses.fields(cls)]
        found = {n: properties.get(PREFIX + n) for n in names}
        if all(text is None for text in found.values()):
            return None
        found = {
            name: text
            for name, text in found.items()
            if text is not None or name not in _LATER
        }
        missing = [PREFIX + n for n, text in found.items() if text is None]
        if missing:
            raise UserError(
                f"{source}: the metadata lacks {', '.join(missing)}: export "
                "the file again"
            )
        try:
            values = {
                n: text if n in _TEXTS else json.loads(text)
                for n, text in found.items()
            }
            values["signal"] = SignalSettings.from_dict(values["signal"])
            return cls(**values)
        except (
            *(ValueError, TypeError, LookupError),
            *(AttributeError, RecursionError),
        ) as error:
            raise UserError(
                f"{source}: the metadata is damaged ({error}): export the "
                "file again"
            ) from error


def _state(state: Mapping[str, Any]) -> dict[str, Any]:
    shape = [Number(whole=True, least=1)(size) for size in state["shape"]]
    return {
        "input": str(state["input"]),
        "output": str(state["output"]),
        "shape": shape,
    }
