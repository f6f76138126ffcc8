"""The view of a graph that all readers share."""

from edgebrain.errors import UserError
from edgebrain.onnx.graph import Graph, attribute, attributes
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
import pytest


def build(extra=(), values=()):
    """Return y = conv(x) of a quantized weight, and more nodes before it."""
    arrays = {
        "w": np.zeros((2, 3, 1), np.int8),
        "scale": np.ones(2, np.float32),
        "zero": np.zeros(2, np.int8),
        "shape": np.array([1, 2, 4]),
    }
    tensors = [numpy_helper.from_array(a, n) for n, a in arrays.items()]
    nodes = [
        *extra,
        helper.make_node(
            "DequantizeLinear", ["w", "scale", "zero"], ["dw"], "dq", axis=0
        ),
        helper.make_node("Conv", ["x", "dw"], ["c"], "conv", group=1),
        helper.make_node("Reshape", ["c", "shape"], ["y"], "reshape"),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, "t"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2, 4])],
        [*tensors, *values],
    )
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8
    )


def test_who_makes_and_takes_a_tensor():
    graph = Graph(build(), "m.onnx")
    assert (graph.inputs, graph.outputs) == (["x"], ["y"])
    assert graph.producers["c"].name == "conv"
    assert [n.name for n in graph.consumers["c"]] == ["reshape"]
    assert graph.weight("dw").name == "dq" and graph.is_constant("dw")
    assert not graph.quantized and graph.metadata is None
    assert [n.name for n in graph.compute_nodes] == ["conv", "reshape"]
    assert np.array_equal(graph.scale(graph.weight("dw")), [1, 1])
    assert attribute(graph.producers["c"], "group") == 1
    assert attribute(graph.producers["c"], "pads", "none") == "none"
    assert attributes(graph.producers["dw"]) == {"axis": 0}


def test_shapes_are_inferred_and_weights_counted():
    graph = Graph(build(), "m.onnx")
    assert graph.shapes["x"] == (1, 3, None)
    assert graph.known_shape("x") is None
    assert graph.known_shape("y") == (1, 2, 4)
    assert "c" in graph.floats and "w" not in graph.floats
    assert graph.weight_bytes == 6  # no scale, no zero point, no shape
    assert graph.inference_error is None


@pytest.mark.parametrize(
    "words, value",
    [
        ({"value": numpy_helper.from_array(np.eye(2, dtype="f"))}, np.eye(2)),
        ({"value_float": 0.5}, 0.5),
        ({"value_ints": [3, 4]}, [3, 4]),
    ],
)
def test_constant_nodes_are_constants(words, value):
    node = helper.make_node("Constant", [], ["k"], "k", **words)
    graph = Graph(build([node]), "m.onnx")
    assert np.array_equal(graph.constants["k"], value)
    assert "k" not in [n.name for n in graph.nodes]


def test_a_damaged_constant_is_named(tmp_path):
    model = build()
    model.graph.initializer[0].raw_data = b"abc"
    onnx.save(model, tmp_path / "m.onnx")
    with pytest.raises(UserError, match=r"m\.onnx: the constant w is damaged"):
        Graph.read(tmp_path / "m.onnx")
