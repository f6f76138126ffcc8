"""An ONNX graph as the checker looks at it."""

from collections import defaultdict
from pathlib import Path

from edgebrain.onnx import files
from edgebrain.onnx.metadata import GraphMetadata
import numpy as np
import onnx

from deploy.constants import read_constants

QUANTIZE = "QuantizeLinear"
DEQUANTIZE = "DequantizeLinear"
_FLOATS = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16)


class Graph:
    """Nodes, constants and shapes of an ONNX file.

    Arguments
    ---------
    path : str or Path

    Attributes
    ----------
    path : Path
    model : onnx.ModelProto
    nodes : list of onnx.NodeProto
        Without Constant nodes.
    constants : dict of str to numpy.ndarray
    producers : dict of str to onnx.NodeProto
    consumers : dict of str to list of onnx.NodeProto
    shapes : dict of str to tuple
        With None for a size that is not fixed; a tensor whose shape is not
        known is missing.
    floats : set of str
        Tensors that hold floating point.
    inputs, outputs : list of str
    metadata : GraphMetadata or None

    Raises
    ------
    UserError
        When there is no such file, it is no ONNX file, or a constant in it
        is damaged.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.model = files.load(self.path)
        graph = self.model.graph
        self.constants = read_constants(self.model, self.path)
        self.nodes = [
            node
            for node in graph.node
            if node.op_type != "Constant"
            or node.output[0] not in self.constants
        ]
        self.producers, self.consumers = {}, defaultdict(list)
        for node in self.nodes:
            for name in node.output:
                self.producers[name] = node
            for name in filter(None, node.input):
                self.consumers[name].append(node)
        self.inputs = [
            v.name for v in graph.input if v.name not in self.constants
        ]
        self.outputs = [v.name for v in graph.output]
        self._read_shapes()
        properties = {p.key: p.value for p in self.model.metadata_props}
        self.metadata = GraphMetadata.from_properties(properties, str(path))

    def _read_shapes(self) -> None:
        """Infer shapes; a graph that refuses keeps those written in it."""
        self.inference_error = None
        try:
            model = onnx.shape_inference.infer_shapes(
                self.model, strict_mode=True, data_prop=True
            )
        except (
            onnx.shape_inference.InferenceError,
            RuntimeError,
            ValueError,
        ) as error:
            self.inference_error = str(error).strip().splitlines()[0]
            model = self.model
        graph = model.graph
        self.shapes, self.floats = {}, set()
        for value in [*graph.input, *graph.value_info, *graph.output]:
            kind = value.type.tensor_type
            if kind.elem_type in _FLOATS:
                self.floats.add(value.name)
            if kind.HasField("shape"):
                self.shapes[value.name] = tuple(
                    d.dim_value if d.HasField("dim_value") else None
                    for d in kind.shape.dim
                )
        for name, array in self.constants.items():
            self.shapes[name] = array.shape
            if array.dtype.kind == "f":
                self.floats.add(name)

    @property
    def compute_nodes(self) -> list[onnx.NodeProto]:
        """Nodes without quantization and dequantization."""
        return [
            n for n in self.nodes if n.op_type not in (QUANTIZE, DEQUANTIZE)
        ]

    @property
    def quantized(self) -> bool:
        """Whether any activation is quantized."""
        return any(node.op_type == QUANTIZE for node in self.nodes)

    def known_shape(self, name: str) -> tuple[int, ...] | None:
        """Return a shape whose sizes are all fixed, else None."""
        shape = self.shapes.get(name)
        return None if shape is None or None in shape else shape

    def weight(self, name: str) -> onnx.NodeProto | None:
        """Return the node that dequantizes a constant into a tensor."""
        node = self.producers.get(name)
        if node is None or node.op_type != DEQUANTIZE:
            return None
        return node if node.input[0] in self.constants else None

    def is_constant(self, name: str) -> bool:
        """Whether a tensor is a constant, dequantized or not."""
        return name in self.constants or self.weight(name) is not None

    def zero_point(self, node: onnx.NodeProto) -> np.ndarray | None:
        """Return the constant zero point of a (de)quantization.

        None where it is left out or computed.
        """
        if len(node.input) < 3 or not node.input[2]:
            return None
        return self.constants.get(node.input[2])

    def scale(self, node: onnx.NodeProto) -> np.ndarray | None:
        """Return the constant scale of a (de)quantization."""
        return self.constants.get(node.input[1])


def attribute(node: onnx.NodeProto, name: str, default=None):
    """Return an attribute of a node."""
    for entry in node.attribute:
        if entry.name == name:
            return onnx.helper.get_attribute_value(entry)
    return default


def label(node: onnx.NodeProto) -> str:
    """Return what a person finds a node by."""
    return node.name or f"{node.op_type} -> {node.output[0]}"
