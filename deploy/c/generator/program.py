"""What the C code computes in a frame: a list of integer operations."""

from dataclasses import dataclass, field

from edgebrain.onnx.metadata import GraphMetadata
import numpy as np


@dataclass(frozen=True)
class Quantization:
    """real = scale * (integer - zero_point), of 8 or 16 signed bits."""

    scale: np.float32
    zero_point: int
    bits: int

    @property
    def low(self) -> int:
        """Least integer."""
        return -(1 << (self.bits - 1))

    @property
    def high(self) -> int:
        """Greatest integer."""
        return (1 << (self.bits - 1)) - 1

    @property
    def dtype(self) -> np.dtype:
        """Of the integers."""
        return np.dtype(f"int{self.bits}")

    def quantize(self, values: np.ndarray) -> np.ndarray:
        """Return integers as QuantizeLinear does, half to even."""
        values = np.asarray(values, np.float32)
        level = np.rint(values / self.scale) + np.float32(self.zero_point)
        return np.clip(level, self.low, self.high).astype(self.dtype)

    def dequantize(self, levels: np.ndarray) -> np.ndarray:
        """Return float32 as DequantizeLinear does."""
        steps = levels.astype(np.int32) - self.zero_point
        return steps.astype(np.float32) * self.scale


@dataclass(eq=False)
class Vector:
    """A vector of integers that lives within a frame."""

    name: str
    size: int
    quantization: Quantization


@dataclass(eq=False)
class State:
    """Columns that live from frame to frame, the oldest first."""

    name: str
    columns: int
    size: int
    quantization: Quantization

    @property
    def initial(self) -> int:
        """The integer that a state of zeros is quantized to."""
        return int(self.quantization.quantize(np.zeros(1, np.float32))[0])


@dataclass(frozen=True)
class Column:
    """Elements of a vector from ``index`` on, or one column of a state."""

    source: Vector | State
    index: int
    size: int

    @property
    def quantization(self) -> Quantization:
        """Of the source."""
        return self.source.quantization


@dataclass(eq=False)
class Layer:
    """Sums of products with weights.

    The bias holds the zero point of the input already; ``ratio`` is input
    scale x weight scale / output scale, float32 as onnxruntime computes it.
    """

    node: str
    inputs: list[Column]
    weights: np.ndarray
    bias: np.ndarray
    ratio: np.ndarray
    out: Vector


class Dense(Layer):
    """out[n] = requantized(bias[n] + sum_k weights[n, k] * x[k])."""


class Depthwise(Layer):
    """out[c] = requantized(bias[c] + sum_k weights[k, c] * inputs[k][c])."""


@dataclass(eq=False)
class Binary:
    """Element-wise ``add`` or ``mul`` of two vectors."""

    node: str
    kind: str
    first: Column
    second: Column
    out: Vector


@dataclass(eq=False)
class Unary:
    """Element by element through float functions, one after the other.

    ``steps`` are (name, argument) pairs, see :func:`.numbers.apply`.
    """

    node: str
    steps: list[tuple]
    source: Column
    out: Vector


@dataclass(eq=False)
class FloatState:
    """The cell state of an LSTM in an int8 network: float32 from 0 on."""

    name: str
    size: int


@dataclass(eq=False)
class Cell:
    """state = forget * state + input * gate, in float32, in place."""

    node: str
    forget: Column
    input: Column
    gate: Column
    state: FloatState


@dataclass(eq=False)
class CellUnary:
    """Quantized function of a cell state after its :class:`Cell`."""

    node: str
    steps: list[tuple]
    cell: Cell
    out: Vector


@dataclass(eq=False)
class Update:
    """The state drops its oldest columns and takes a new one."""

    state: State
    column: Column


@dataclass(eq=False)
class Program:
    """A whole network.

    Float (name, argument) steps lead from the magnitude to the features,
    which are quantized.
    """

    metadata: GraphMetadata
    prologue: list[tuple]
    features: Vector
    mask: Column
    operations: list = field(default_factory=list)
    states: list[State] = field(default_factory=list)
    cells: list[FloatState] = field(default_factory=list)

    @property
    def bits(self) -> int:
        """Of activations."""
        return self.features.quantization.bits

    @property
    def macs(self) -> int:
        """Multiplications with weights in a frame."""
        layers = (op for op in self.operations if isinstance(op, Layer))
        return sum(op.weights.size for op in layers)
