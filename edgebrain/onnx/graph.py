"""One view of an ONNX graph for all that read one; needs onnx and numpy."""

from collections import defaultdict
from pathlib import Path
from typing import Any

from edgebrain.errors import UserError, shorten
from edgebrain.onnx import files
from edgebrain.onnx.metadata import GraphMetadata
import numpy as np
import onnx
from onnx import helper, numpy_helper

QUANTIZE = "QuantizeLinear"
DEQUANTIZE = "DequantizeLinear"
#: Operators that move no data.
SHAPES = ("Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze")
_FLOATS = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16)
_NUMBERS = {
    "value_float": np.float32,
    "value_floats": np.float32,
    "value_int": np.int64,
    "value_ints": np.int64,
}


class Graph:
    """Nodes, constants and shapes of an ONNX model, to be read only.

    Arguments
    ---------
    path : str or Path
        Where it is from, for messages.

    Attributes
    ----------
    nodes : list of onnx.NodeProto
        In the order of the file, without those that hold a constant.
    constants : dict of str to numpy.ndarray
        Initializers and values of Constant nodes.
    producers : dict of str to onnx.NodeProto
        By the tensor that they make.
    consumers : dict of str to list of onnx.NodeProto
        By the tensor that they take.
    shapes : dict of str to tuple
        With None for a size that is not fixed; a tensor whose shape is not
        known is missing.
    floats : set of str
        Tensors that hold floating point.
    inference_error : str or None
        Why shapes could not be inferred: those written in the file count.
    """

    def __init__(self, model: onnx.ModelProto, path: str | Path):
        self.model, self.path = model, Path(path)
        graph = model.graph
        self.constants = _constants(model, path)
        self.nodes = [
            node
            for node in graph.node
            if node.op_type != "Constant"
            or not self.constants.keys() & node.output
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
        properties = {p.key: p.value for p in model.metadata_props}
        self.metadata = GraphMetadata.from_properties(properties, str(path))
        self._infer()

    @classmethod
    def read(cls, path: str | Path) -> "Graph":
        """Return the graph of a file."""
        return cls(files.load(path), path)

    def _infer(self) -> None:
        """Set shapes, names of floats, and why they could not be inferred."""
        model, self.inference_error = self.model, None
        try:
            model = onnx.shape_inference.infer_shapes(
                model, strict_mode=True, data_prop=True
            )
        except (
            onnx.shape_inference.InferenceError,
            RuntimeError,
            ValueError,
        ) as error:
            self.inference_error = str(error).strip().partition("\n")[0]
        graph = model.graph
        self.shapes, self.floats = {}, set()
        for value in [*graph.input, *graph.value_info, *graph.output]:
            if value.type.tensor_type.elem_type in _FLOATS:
                self.floats.add(value.name)
            sizes = files.sizes_of(value)
            if sizes is not None:
                self.shapes[value.name] = tuple(sizes)
        for name, array in self.constants.items():
            self.shapes[name] = array.shape
            if array.dtype.kind == "f":
                self.floats.add(name)

    def check_complete(self) -> None:
        """Refuse a damaged graph: who reads it node by node needs it whole."""
        try:
            onnx.checker.check_model(self.model)
        except (onnx.checker.ValidationError, UnicodeDecodeError) as error:
            said = " ".join(str(error).split("==>", 1)[0].split())
            raise UserError(
                f"{self.path}: damaged, the ONNX checker refuses it ({said}): "
                "export it again"
            ) from None
        self.check_finite()

    def check_finite(self) -> None:
        """Refuse NaN and infinite weights."""
        bad = [
            tensor.name
            for tensor in self.model.graph.initializer
            if self.constants[tensor.name].dtype.kind == "f"
            and not np.isfinite(self.constants[tensor.name]).all()
        ]
        if bad:
            raise UserError(
                f"{self.path}: NaN or infinite weights in {shorten(bad)}: "
                "take another checkpoint"
            )

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

    @property
    def precision(self) -> str:
        """``float32``, ``int8`` or ``int16x8``, by the activations."""
        kinds = {
            zero.dtype.itemsize
            for node in self.nodes
            if node.op_type == QUANTIZE
            and (zero := self.zero_point(node)) is not None
        }
        if 2 in kinds:
            return "int16x8"
        return "int8" if self.quantized else "float32"

    @property
    def weight_bytes(self) -> int:
        """Bytes of the constants that are data: weights, biases, tables.

        Scales and zero points, and the integers that say how to slice or
        reshape, are not among them.
        """
        settings = {
            name
            for node in self.nodes
            if node.op_type in (QUANTIZE, DEQUANTIZE)
            for name in node.input[1:]
        }
        return sum(
            array.nbytes
            for name, array in self.constants.items()
            if name not in settings and array.dtype != np.int64
        )

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


def attributes(node: onnx.NodeProto) -> dict[str, Any]:
    """Return the attributes of a node by name."""
    return {a.name: helper.get_attribute_value(a) for a in node.attribute}


def attribute(node: onnx.NodeProto, name: str, default: Any = None) -> Any:
    """Return one attribute of a node."""
    return attributes(node).get(name, default)


def label(node: onnx.NodeProto) -> str:
    """Return what a person finds a node by."""
    return node.name or f"{node.op_type} -> {node.output[0]}"


def _constants(model: onnx.ModelProto, source) -> dict[str, np.ndarray]:
    tensors = {t.name: t for t in model.graph.initializer}
    constants = {}
    for node in model.graph.node:
        if node.op_type != "Constant" or not node.output:
            continue
        for entry in node.attribute:
            if entry.name == "value":
                tensors[node.output[0]] = entry.t
            elif entry.name in _NUMBERS:
                value = helper.get_attribute_value(entry)
                kind = _NUMBERS[entry.name]
                constants[node.output[0]] = np.asarray(value, kind)
    for name, tensor in tensors.items():
        try:
            constants[name] = numpy_helper.to_array(tensor)
        except (ValueError, TypeError, KeyError) as error:
            raise UserError(
                f"{source}: the constant {name} is damaged ({error}): export "
                "it again"
            ) from None
    return constants
