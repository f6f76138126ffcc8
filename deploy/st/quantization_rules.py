"""What the quantization of a graph must be; rules as in rules.py."""

from edgebrain.onnx.graph import DEQUANTIZE, QUANTIZE, Graph, attribute
import numpy as np

from deploy.st.findings import (
    Finding,
    Findings,
    NotChecked,
    of_each_node,
)
from deploy.st.targets import Target

_LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul", "PRelu")
_TOLERANCE = 1e-4
_REQUANTIZE = "quantize again with quantize.py"


def _check_quantized(graph: Graph) -> None:
    if not graph.quantized:
        raise NotChecked("nothing is quantized", "quantize with quantize.py")


@of_each_node
def signed_activations(graph: Graph, target: Target, node):
    """Every activation is signed int8."""
    _check_quantized(graph)
    if node.op_type != QUANTIZE:
        return
    zero, scale = graph.zero_point(node), graph.scale(node)
    kind = "uint8" if zero is None else zero.dtype.name
    if kind != "int8":
        yield (
            f"{kind} activations: only signed int8 is taken",
            "quantize with --precision int8 (QInt8)",
        )
    if scale is None:
        yield "its scale is computed at run time", _REQUANTIZE
    elif not (np.isfinite(scale).all() and (scale > 0).all()):
        yield (
            "its scale is not a number above 0",
            _REQUANTIZE + ", with recordings that are not silent",
        )
    elif scale.size != 1:
        yield f"{scale.size} scales for an activation", _REQUANTIZE


@of_each_node
def weights(graph: Graph, target: Target, node):
    """Weights are int8, zero point 0, a scale a channel on axis 0."""
    _check_quantized(graph)
    if node.op_type not in _LAYERS or len(node.input) < 2:
        return
    dequantize = graph.weight(node.input[1])
    if dequantize is None:
        return
    values = graph.constants[dequantize.input[0]]
    zero, scale = graph.zero_point(dequantize), graph.scale(dequantize)
    if values.dtype != np.int8:
        yield f"{values.dtype} weights, int8 is taken", _REQUANTIZE
    if zero is not None and np.any(zero):
        yield (
            "the zero point of its weights is not 0",
            "quantize with symmetric weights (WeightSymmetric=True)",
        )
    if scale is None or node.op_type == "PRelu":
        return
    axis = attribute(dequantize, "axis", 1)
    if scale.size == 1 and values.shape[0] > 1:
        yield (
            "one scale for all its weights",
            "quantize with --per_channel True: it is more exact",
            "warn",
        )
    elif scale.size > 1 and axis % values.ndim != 0:
        yield (
            f"its weights have a scale a channel on axis {axis}",
            "only axis 0 is taken: write it as Gemm with transB=1, or as Conv",
        )
    elif scale.size > 1 and scale.size != values.shape[0]:
        yield (
            f"{scale.size} scales for {values.shape[0]} channels",
            _REQUANTIZE,
        )


@of_each_node
def biases(graph: Graph, target: Target, node):
    """Biases are int32 with scale = input scale x weight scale."""
    _check_quantized(graph)
    if node.op_type not in ("Conv", "ConvTranspose", "Gemm"):
        return
    source = graph.producers.get(node.input[0])
    weight = graph.weight(node.input[1])
    if len(node.input) < 3 or not node.input[2] or weight is None:
        return
    if source is None or source.op_type != DEQUANTIZE:
        return
    bias = graph.weight(node.input[2])
    if bias is None:
        if node.input[2] in graph.constants:
            yield "its bias is in float", _REQUANTIZE
        return
    values = graph.constants[bias.input[0]]
    parts = [graph.scale(n) for n in (source, weight, bias)]
    if values.dtype != np.int32:
        yield f"its bias is {values.dtype}, not int32", _REQUANTIZE
    elif not any(part is None for part in parts):
        wanted, got = np.broadcast_arrays(parts[0] * parts[1], parts[2])
        if not np.allclose(got, wanted, rtol=_TOLERANCE, atol=0):
            yield (
                "the scale of its bias is not input scale x weight scale",
                _REQUANTIZE + " (QuantizeBias on)",
            )


@of_each_node
def float_layers(graph: Graph, target: Target, node):
    """No Conv, Gemm, MatMul or PRelu computes in float."""
    if node.op_type not in _LAYERS:
        return
    source = graph.producers.get(node.input[0])
    quantized_input = source is not None and source.op_type == DEQUANTIZE
    quantized_weight = (
        graph.weight(node.input[1]) is not None
        or node.input[1] not in graph.constants
    )
    if quantized_input and quantized_weight:
        return
    if graph.quantized and _in_front(graph, node):
        yield (
            f"{node.op_type}: part of the prologue, in float32: it runs on "
            "the processor",
            "leave it: in int8 quiet mel bands are lost; a network without "
            "such features, as LSTMMask, has none",
            "warn",
        )
        return
    what = "its weights are" if quantized_input else "its input is"
    mend = "quantize it: do not exclude the node"
    if not graph.quantized:
        what, mend = "the layer is", "quantize the model with quantize.py"
    yield f"{node.op_type}: {what} in float32", mend


def _in_front(graph: Graph, node) -> bool:
    """Tell whether a node lies between an input and the first quantization."""
    todo, seen, reached = list(node.input), set(), False
    while todo:
        name = todo.pop()
        if name in seen or name in graph.constants:
            continue
        seen.add(name)
        maker = graph.producers.get(name)
        if maker is None:
            reached = True
        elif maker.op_type in (QUANTIZE, DEQUANTIZE):
            return False
        else:
            todo += maker.input
    return reached


def states(graph: Graph, target: Target) -> Findings:
    """A state goes in with the scale and shape it came out with."""
    if graph.metadata is None:
        if len(graph.inputs) > 1:
            yield Finding(
                ", ".join(graph.inputs[1:]),
                "several inputs, and no metadata that says which are states",
                "export it with export_onnx.py",
                "warn",
            )
        return
    for state in graph.metadata.states:
        name, output = state["input"], state["output"]
        if name not in graph.inputs or output not in graph.outputs:
            yield Finding(
                name,
                f"the metadata names the state {name} -> {output}, the graph "
                "has no such input or output",
                "export it again",
            )
            continue
        old, new = graph.shapes.get(name), graph.shapes.get(output)
        if old != new:
            yield Finding(
                name,
                f"goes in as {old} and comes out as {new}",
                "export it again",
            )
        scales = _scales(graph, name, output)
        if len(set(scales)) > 1:
            texts = ", ".join(f"{s:.6g} / {z}" for s, z in sorted(set(scales)))
            yield Finding(
                name,
                f"several scales / zero points on one state: {texts}",
                "tie them when quantizing (quantize.py does)",
                "fail",
            )


def _scales(graph: Graph, name: str, output: str) -> list[tuple]:
    """Return (scale, zero point) of a state, going in and coming out."""
    nodes = [n for n in graph.consumers[name] if n.op_type == QUANTIZE]
    last = graph.producers.get(output)
    if last is not None and last.op_type == DEQUANTIZE:
        nodes.append(last)
    found = []
    for node in nodes:
        scale, zero = graph.scale(node), graph.zero_point(node)
        if scale is not None and scale.size == 1:
            zero = 0 if zero is None else int(zero.reshape(-1)[0])
            found.append((float(scale.reshape(-1)[0]), zero))
    return found


RULES = (signed_activations, weights, biases, float_layers, states)
