"""What a float tensor of a QDQ graph can be while it is read.

Columns of integers that were dequantized; a computation that waits for the
QuantizeLinear which says the scale of its output; a constant; or the
magnitude on its way to the first QuantizeLinear.
"""

from dataclasses import dataclass

from edgebrain.onnx.graph import Graph
import numpy as np

from deploy.c.generator.program import Column, FloatState, Quantization

F32 = np.float32


@dataclass
class Integers:
    """Columns of integers; ``flat`` where the graph has no axis of time."""

    columns: list[Column]
    flat: bool

    @property
    def size(self) -> int:
        """Channels."""
        return self.columns[0].size

    @property
    def quantization(self) -> Quantization:
        """Of all columns."""
        return self.columns[0].quantization


@dataclass
class Waiting:
    """A computation whose QuantizeLinear has not come yet."""

    node: str
    kind: str
    parts: tuple
    size: int
    flat: bool


@dataclass
class Weights:
    """A dequantized constant."""

    levels: np.ndarray
    scale: np.ndarray

    @property
    def values(self) -> np.ndarray:
        """float32."""
        scale = self.scale
        if scale.ndim:
            shape = (-1, *([1] * (self.levels.ndim - 1)))
            scale = scale.reshape(shape)
        # Of a number without axes numpy makes no array.
        return np.asarray(self.levels.astype(F32) * scale)


@dataclass
class Features:
    """The magnitude after some float steps; ``flat`` as of integers."""

    steps: list[tuple]
    size: int
    flat: bool = False


class Refused(Exception):
    """What is wrong with the node at hand."""


class Values:
    """What is known of each tensor so far."""

    def __init__(self, graph: Graph) -> None:
        self.path, self.nodes = graph.path, graph.nodes
        self.card, self.outputs = graph.metadata, graph.outputs
        self.prologue = self.features = None
        self.raw, self.shapes = graph.constants, graph.shapes
        self.values: dict = {}  # float tensors
        self.levels: dict = {}  # tensors of integers
        self.states = {s["input"]: s for s in self.card.states}
        self.made: dict = {}  # states of integers by input
        self.cells: dict = {}  # states of floats by input
        self.operations: list = []

    def _value(self, name: str):
        if name in self.values:
            return self.values[name]
        if name in self.raw:
            return self.raw[name]
        if name in self.states:
            return self._float_state(name)
        raise Refused(f"its input {name} comes from nowhere")

    def _float_state(self, name: str) -> FloatState:
        shape = self.states[name]["shape"]
        if len(shape) != 2:
            raise Refused(f"the state {name} is used in float: quantize it")
        if name in self.made:
            raise Refused(f"the state {name} is used in float and integers")
        return self.cells.setdefault(name, FloatState(name, shape[1]))

    def _integers(self, name: str) -> Integers:
        value = self._value(name)
        if isinstance(value, Waiting):
            raise Refused(
                f"a float layer: its input {name} is not quantized; do not "
                "exclude the node before it"
            )
        if not isinstance(value, Integers):
            raise Refused(f"a float layer: its input {name} is not integers")
        return value

    def _raw(self, name: str) -> np.ndarray:
        if name not in self.raw:
            raise Refused(f"{name} is no constant")
        return np.asarray(self.raw[name])
