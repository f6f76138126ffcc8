"""What a graph costs, as far as the file tells: MACs, weights, activations."""

from dataclasses import asdict, dataclass
import math

from edgebrain.onnx.graph import DEQUANTIZE, QUANTIZE, Graph, attribute


@dataclass(frozen=True)
class Footprint:
    """Figures of one call of a graph; None where a shape is not fixed.

    Multiply-accumulates of Conv, ConvTranspose, Gemm and MatMul; bytes of all
    constants that are data: weights, biases, tables; and the largest sum of
    the tensors alive at once, an int8 tensor a byte an element. That is **a
    lower bound** for a tool that computes layer after layer in the order of
    the file: outputs take the place of inputs that end there, and there is no
    scratch memory.
    """

    macs: int | None
    weight_bytes: int
    activation_peak_bytes: int | None
    peak_node: str = ""

    def to_dict(self) -> dict:
        """Return the figures with the label that belongs to them."""
        return asdict(self) | {"activation_peak_is": "a lower bound"}


def measure(graph: Graph) -> Footprint:
    """Return the footprint of one call of a graph."""
    counts = [count_macs(graph, node) for node in graph.nodes]
    macs = None if None in counts else sum(counts)
    peak, where = activation_peak(graph)
    return Footprint(macs, graph.weight_bytes, peak, where)


def count_macs(graph: Graph, node) -> int | None:
    """Return the multiply-accumulates of a node, None where not known."""
    kind = node.op_type
    if kind not in ("Conv", "ConvTranspose", "Gemm", "MatMul"):
        return 0
    out = graph.known_shape(node.output[0])
    source = graph.known_shape(node.input[0])
    weight = graph.known_shape(node.input[1])
    if out is None or source is None or weight is None:
        return None
    if kind == "Conv":
        return math.prod(out) * math.prod(weight[1:])
    if kind == "ConvTranspose":
        return math.prod(source) * math.prod(weight[1:])
    inner = source[-1]
    if kind == "Gemm" and attribute(node, "transA", 0):
        inner = source[0]
    return math.prod(out) * inner


def activation_peak(graph: Graph) -> tuple[int | None, str]:
    """Return the most bytes alive at once, and at which node.

    Quantization and dequantization are part of the tensor they belong to: a
    tensor that only goes on quantized counts one byte an element.
    """
    root: dict[str, str] = {}
    for node in graph.nodes:
        if node.op_type in (QUANTIZE, DEQUANTIZE):
            source = node.input[0]
            if source not in graph.constants:
                root[node.output[0]] = root.get(source, source)
    steps = [
        node for node in graph.compute_nodes if not _is_constant(graph, node)
    ]
    last: dict[str, int] = {}
    for index, node in enumerate(steps):
        for name in node.input:
            last[root.get(name, name)] = index
    for name in graph.outputs:
        last[root.get(name, name)] = len(steps)
    tensors = set(graph.inputs)
    tensors.update(name for node in steps for name in node.output if name)
    sizes = {}
    for name in tensors:
        shape = graph.known_shape(name)
        if shape is None:
            return None, ""
        sizes[name] = math.prod(shape) * _width(graph, name)
    alive = {name for name in graph.inputs if name in last}
    peak, where = 0, ""
    for index, node in enumerate(steps):
        made = [name for name in node.output if name]
        dying = {
            name
            for name in (root.get(n, n) for n in node.input)
            if name in alive and last[name] == index
        }
        held = sum(sizes[n] for n in alive - dying) + max(
            sum(sizes[n] for n in dying), sum(sizes[n] for n in made)
        )
        if held > peak:
            peak, where = held, node.name
        alive |= {name for name in made if name in last}
        alive -= {name for name in alive if last[name] <= index}
    return peak, where


def _is_constant(graph: Graph, node) -> bool:
    return all(graph.is_constant(n) or not n for n in node.input)


def _width(graph: Graph, name: str) -> int:
    users = graph.consumers.get(name, [])
    if users and all(user.op_type == QUANTIZE for user in users):
        zero = graph.zero_point(users[0])
        return 1 if zero is None else zero.dtype.itemsize
    return 4 if name in graph.floats else 8
