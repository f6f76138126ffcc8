"""What the C code computes of a patch: rows of integers, frame after frame."""

from dataclasses import dataclass, field

from edgebrain.onnx.metadata import GraphMetadata
import numpy as np

from deploy.c.generator.program import Dense, Layer, Quantization, Vector


@dataclass(eq=False)
class Rows:
    """A tensor of a patch: ``height`` frames of ``width`` columns."""

    name: str
    height: int
    width: int
    channels: int
    quantization: Quantization

    @property
    def size(self) -> int:
        """Channels, as of a vector."""
        return self.channels

    @property
    def row(self) -> int:
        """Elements of a row, with what kernels write behind its end."""
        # Of each column up to a multiple of 4; the last one is not covered.
        last = -(-self.channels // 4) * 4
        return -(-((self.width - 1) * self.channels + last) // 4) * 4


@dataclass(eq=False)
class Window:
    """Which part of the input an element of the output sees.

    Pairs are of frames and columns.
    """

    size: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    pad: tuple[int, int] = (0, 0)

    def rows(self, number: int, height: int) -> tuple[int, int]:
        """Return the first row, and that after the last, of an output row."""
        start = number * self.stride[0] - self.pad[0]
        return max(start, 0), min(start + self.size[0], height)


@dataclass(eq=False)
class RowNode:
    """One row of ``out`` from a window of the inputs.

    ``kind`` is ``dense`` or ``depthwise`` (``layer`` of that class),
    ``max``, ``add`` or ``table`` (``layer`` the 256 integers of a function).
    """

    node: str
    kind: str
    inputs: list[Rows]
    out: Rows
    window: Window = field(default_factory=Window)
    layer: Layer | np.ndarray | None = None


@dataclass(eq=False)
class Mean:
    """out[c] = zero + ratio * (sum over rows and columns - offset).

    With ``parts``, out[c * parts + p] is that of the columns of part p.
    """

    node: str
    source: Rows
    ratio: np.float32
    offset: int
    out: Vector
    parts: int = 1


@dataclass(eq=False)
class PatchProgram:
    """A whole network over patches.

    Attributes
    ----------
    prologue : list of tuple
        Float (name, argument) steps in the graph before its first integers.
    features : Rows
        What a patch of features is quantized to, one channel.
    nodes : list of RowNode
        In an order in which they can be run.
    end : Mean or Rows
        A mean over the last rows, or all of them as one vector.
    tail : list of Dense
        From there to the scores.
    """

    metadata: GraphMetadata
    prologue: list[tuple]
    features: Rows
    nodes: list[RowNode]
    end: Mean | Rows
    tail: list[Dense]
    scores: Vector

    @property
    def tensors(self) -> list[Rows]:
        """The patch, then what each node makes."""
        return [self.features, *(node.out for node in self.nodes)]

    @property
    def last(self) -> Rows:
        """The last tensor of a patch."""
        return self.end.source if isinstance(self.end, Mean) else self.end

    @property
    def endless(self) -> bool:
        """Whether no row depends on where a patch begins or ends.

        Then rows of overlapping patches are computed once.
        """
        return isinstance(self.end, Mean) and all(
            node.window.pad[0] == 0
            and node.window.rows(node.out.height - 1, 1 << 30)[1] <= t.height
            for node in self.nodes
            for t in node.inputs
        )

    @property
    def strides(self) -> dict[Rows, int]:
        """Frames from a row of each tensor to the next."""
        reached = {self.features: 1}
        for node in self.nodes:
            reached[node.out] = reached[node.inputs[0]] * node.window.stride[0]
        return reached

    @property
    def stride(self) -> int:
        """Frames from a row of the last tensor to the next."""
        return self.strides[self.last]

    def frame_macs(self, step: int) -> int:
        """Return the mean multiplications with weights of a frame.

        ``step`` frames lie between two times of scores.
        """
        if not self.endless:
            return round(self.macs / step)
        macs = sum(op.weights.size for op in self.tail) / step
        strides = self.strides
        for node in self.nodes:
            if node.kind in ("dense", "depthwise"):
                row = node.layer.weights.size * node.out.width
                macs += row / strides[node.out]
        return round(macs)

    @property
    def macs(self) -> int:
        """Multiplications with weights of a patch."""
        layers = sum(op.weights.size for op in self.tail)
        for node in self.nodes:
            if node.kind in ("dense", "depthwise"):
                times = node.out.height * node.out.width
                layers += node.layer.weights.size * times
        return layers


def capacities(program: PatchProgram) -> dict[Rows, int]:
    """Return how many rows of each tensor its ring must hold.

    Runs the schedule of eb_rows_run: after each frame the last node that can
    makes a row, until none can. A row stays until every reader is past it.
    """
    readers: dict[Rows, list[RowNode]] = {t: [] for t in program.tensors}
    for node in program.nodes:
        for source in node.inputs:
            readers[source].append(node)
    made = dict.fromkeys(program.tensors, 0)
    most = dict.fromkeys(program.tensors, 1)
    endless, frames = program.endless, program.features.height

    def height(tensor: Rows) -> int:
        """Return the rows of a tensor, endless or of one patch."""
        return 1 << 30 if endless else tensor.height

    def make(tensor: Rows) -> None:
        """Make a row, and see how many rows must be held then."""
        wanted = [
            node.window.rows(made[node.out], height(tensor))[0]
            for node in readers[tensor]
            if made[node.out] < height(node.out)
        ]
        oldest = min(wanted, default=made[tensor])
        most[tensor] = max(most[tensor], made[tensor] + 1 - oldest)
        made[tensor] += 1

    def ready(node: RowNode) -> bool:
        """Tell whether the rows that its next row sees are there."""
        row = made[node.out]
        return row < height(node.out) and all(
            made[t] >= node.window.rows(row, height(t))[1] for t in node.inputs
        )

    for _ in range(2 * frames if endless else frames):
        make(program.features)
        while able := [node for node in program.nodes if ready(node)]:
            make(able[-1].out)
    if program.last is program.end:
        most[program.last] = program.last.height
    return most
