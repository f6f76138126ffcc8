"""What an ONNX file says about itself, so that a tool needs no argument."""

from collections.abc import Mapping
import dataclasses
from dataclasses import dataclass, field
import json
from pathlib import Path
from typing import Any

from edgebrain.errors import UserError, unknown_name
from edgebrain.signal import SignalSettings

FORMS = ("offline", "patch", "stream")
PRECISIONS = ("float32", "int8", "int16x8")
PREFIX = "edgebrain."


@dataclass(frozen=True)
class GraphMetadata:
    """How an ONNX mask network was made and how it has to be run.

    Arguments
    ---------
    model_class : str
        Dotted name of the network's class.
    model_arguments : dict or None
        Its constructor arguments; None: not known.
    signal : SignalSettings
    checkpoint_sha256 : str
        Of the file of weights, in hexadecimal; empty: not from a file.
    form : str
        ``offline`` (any number of frames), ``patch`` (so many frames a call,
        no memory) or ``stream`` (the next frames, with states).
    precision : str
        ``float32``, ``int8`` or ``int16x8``.
    states : tuple of dict
        ``{"input": name, "output": name, "shape": list of int}`` of each
        state of a stream, in the order of the graph's inputs.
    lookahead_frames : int or None
        Of the network; None: not known. A stream's masks come so late.
    context : tuple of (int, int) or None
        Frames of a patch, left and right, whose masks are not used.
    receptive_field_frames : int or None
        None: without bound, or not known.
    versions : dict
        Package names to versions of the producers.

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

    def __post_init__(self) -> None:
        if self.form not in FORMS:
            raise unknown_name("form", self.form, FORMS)
        if self.precision not in PRECISIONS:
            raise unknown_name("precision", self.precision, PRECISIONS)
        object.__setattr__(self, "states", tuple(self.states))
        if self.context is not None:
            object.__setattr__(self, "context", tuple(self.context))

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
        """Return the metadata among a file's properties.

        Arguments
        ---------
        properties : mapping of str to str
            Keys of others are ignored.
        source : str
            Name of the file, for messages.

        Returns
        -------
        GraphMetadata or None
            None: there is none.

        Raises
        ------
        UserError
            When it is there but damaged.
        """
        names = [f.name for f in dataclasses.fields(cls)]
        found = {n: properties.get(PREFIX + n) for n in names}
        if all(text is None for text in found.values()):
            return None
        missing = [PREFIX + n for n, text in found.items() if text is None]
        if missing:
            raise UserError(
                f"{source}: the metadata lacks {', '.join(missing)}: export "
                "the file again"
            )
        texts = ("model_class", "checkpoint_sha256", "form", "precision")
        try:
            values = {
                n: text if n in texts else json.loads(text)
                for n, text in found.items()
            }
            values["signal"] = SignalSettings.from_dict(values["signal"])
            return cls(**values)
        except (ValueError, TypeError, RecursionError) as error:
            raise UserError(
                f"{source}: the metadata is damaged ({error}): export the "
                "file again"
            ) from error


def write(onnx_model, metadata: GraphMetadata) -> None:
    """Put the metadata into a model, in place of what it holds.

    Arguments
    ---------
    onnx_model : onnx.ModelProto
    metadata : GraphMetadata
    """
    kept = [
        (p.key, p.value)
        for p in onnx_model.metadata_props
        if not p.key.startswith(PREFIX)
    ]
    del onnx_model.metadata_props[:]
    for key, value in [*kept, *metadata.to_properties().items()]:
        entry = onnx_model.metadata_props.add()
        entry.key, entry.value = key, value


def read(path: str | Path) -> GraphMetadata | None:
    """Return the metadata of an ONNX file, None where there is none.

    Arguments
    ---------
    path : str or Path

    Raises
    ------
    UserError
        When it is no ONNX file, or the metadata is damaged.
    """
    from edgebrain.onnx.files import load

    model = load(path)
    return GraphMetadata.from_properties(
        {p.key: p.value for p in model.metadata_props}, str(path)
    )
