"""Each surgery keeps the results and does what it is for."""

from edgebrain.onnx import files
from edgebrain.onnx.session import make_session
from edgebrain.onnx.tidy import tidy
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
import pytest


def build(nodes, shape, constants, output_shape=None):
    """Return a model of these nodes from x to y."""
    if output_shape is None:
        output_shape = [None] * len(shape)
    tensors = [
        numpy_helper.from_array(np.asarray(value), name)
        for name, value in constants.items()
    ]
    made = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, output_shape)],
        tensors,
    )
    model = helper.make_model(
        made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def tidied(model, x):
    """Return the tidied model after comparing its results."""
    wanted = make_session(model.SerializeToString()).run(None, {"x": x})[0]
    model = tidy(model)
    onnx.checker.check_model(model, full_check=True)
    got = make_session(model.SerializeToString()).run(None, {"x": x})[0]
    np.testing.assert_allclose(got, wanted, atol=1e-5)
    return model


def random(*shape):
    rng = np.random.default_rng(0)
    return rng.normal(size=shape).astype(np.float32)


def conv(source, **attributes):
    return helper.make_node(
        "Conv", [source, "w"], ["y"], kernel_shape=[3], **attributes
    )


def pad_model(amounts, value=0.0, mode="constant", more=(), own=(0, 0)):
    pad = helper.make_node("Pad", ["x", "p", "v"], ["padded"], mode=mode)
    return build(
        [pad, conv("padded", pads=list(own)), *more],
        [1, 4, 10],
        {
            "p": np.array(amounts, np.int64),
            "v": np.float32(value),
            "w": random(4, 4, 3),
        },
    )


def test_zeros_go_into_the_convolution():
    model = tidied(pad_model([0, 0, 2, 0, 0, 1], own=(1, 0)), random(1, 4, 10))
    assert files.operators(model) == {"Conv": 1}
    (node,) = model.graph.node
    (pads,) = [a.ints for a in node.attribute if a.name == "pads"]
    assert list(pads) == [3, 1]


@pytest.mark.parametrize(
    "changes",
    [
        {"amounts": [0, 0, 2, 0, 0, 1], "value": 1.0},
        {"amounts": [0, 0, 2, 0, 0, 1], "mode": "edge"},
        {"amounts": [0, 0, -1, 0, 0, 0]},
    ],
)
def test_other_padding_stays(changes):
    model = tidied(pad_model(**changes), random(1, 4, 10))
    assert files.operators(model) == {"Conv": 1, "Pad": 1}


def test_padding_that_others_read_stays():
    more = [
        helper.make_node("Relu", ["padded"], ["r"]),
        helper.make_node("ReduceMax", ["r"], ["top"], keepdims=0),
    ]
    model = pad_model([0, 0, 2, 0, 0, 0], more=more)
    model.graph.output.append(
        helper.make_tensor_value_info("top", TensorProto.FLOAT, [])
    )
    assert "Pad" in files.operators(tidied(model, random(1, 4, 10)))


def test_a_pad_without_a_value_gets_one():
    pad = helper.make_node("Pad", ["x", "p"], ["y"])
    model = build([pad], [1, 2, 3], {"p": np.array([0, 0, 0, 0, 0, 2])})
    model = tidied(model, random(1, 2, 3))
    assert len(model.graph.node[0].input) == 3


def norm_model(conv_inputs, more=()):
    rng = np.random.default_rng(1)
    parts = ("scale", "shift", "mean", "var")
    constants = {n: rng.uniform(0.3, 2, 6).astype(np.float32) for n in parts}
    constants |= {"net.0.weight": random(6, 4, 1), "net.0.bias": random(6)}
    nodes = [
        helper.make_node("Conv", ["x", *conv_inputs], ["c"], kernel_shape=[1]),
        helper.make_node("BatchNormalization", ["c", *parts], ["n"]),
        helper.make_node("Relu", ["n"], ["y"]),
    ]
    return build([*nodes, *more], [1, 4, 10], constants)


@pytest.mark.parametrize("bias", [[], ["net.0.bias"]])
def test_batchnorm_goes_into_the_convolution(bias):
    model = norm_model(["net.0.weight", *bias])
    model = tidied(model, random(1, 4, 10))
    assert [n.name for n in model.graph.node] == ["net.0/Conv", "net.0/Relu"]
    names = [t.name for t in model.graph.initializer]
    assert sorted(names) == ["net.0.folded_bias", "net.0.weight"]


def test_batchnorm_stays_out_of_a_convolution_that_others_read():
    more = [helper.make_node("ReduceMax", ["c"], ["top"], keepdims=0)]
    model = norm_model(["net.0.weight"], more)
    model.graph.output.append(
        helper.make_tensor_value_info("top", TensorProto.FLOAT, [])
    )
    top = make_session(model.SerializeToString()).run(
        ["top"], {"x": random(1, 4, 10)}
    )
    model = tidied(model, random(1, 4, 10))
    assert {"Mul", "Add"} <= set(files.operators(model))
    got = make_session(model.SerializeToString()).run(
        ["top"], {"x": random(1, 4, 10)}
    )
    np.testing.assert_allclose(got, top, atol=1e-6)


@pytest.mark.parametrize("shape", [(2, 5), (2, 5, 7)])
def test_batchnorm_alone_becomes_a_product_and_a_sum(shape):
    rng = np.random.default_rng(1)
    parts = ("scale", "bias", "mean", "var")
    constants = {
        name: rng.uniform(0.3, 2, 5).astype(np.float32) for name in parts
    }
    node = helper.make_node(
        "BatchNormalization", ["x", *parts], ["y"], epsilon=0.1
    )
    model = tidied(build([node], shape, constants), random(*shape))
    assert files.operators(model) == {"Add": 1, "Mul": 1}
    assert len(model.graph.initializer) == 2


@pytest.mark.parametrize(
    ("frames", "gathered"), [(9, True), (10, False), (17, False)]
)
def test_a_single_window_needs_no_dilation(frames, gathered):
    model = build(
        [conv("x", dilations=[4], group=6)],
        [1, 6, frames],
        {"w": random(6, 1, 3)},
    )
    model = tidied(model, random(1, 6, frames))
    assert ("Slice" in files.operators(model)) == gathered
    dilations = [
        list(a.ints)
        for a in model.graph.node[-1].attribute
        if a.name == "dilations"
    ]
    assert dilations == [[1] if gathered else [4]]


@pytest.mark.parametrize(
    ("start", "end", "step", "wanted"),
    [(-3, 2**62, 1, (7, 10)), (1, -1, 2, (1, 9)), (0, 99, 1, (0, 10))],
)
def test_slices_get_bounds_of_the_tensor(start, end, step, wanted):
    names = {"s": start, "e": end, "a": -1, "t": step}
    node = helper.make_node("Slice", ["x", *names], ["y"])
    constants = {k: np.array([v], np.int64) for k, v in names.items()}
    constants["a"][0] = 2
    model = tidied(build([node], [1, 2, 10], constants), random(1, 2, 10))
    values = {
        t.name: int(numpy_helper.to_array(t)[0])
        for t in model.graph.initializer
    }
    names = model.graph.node[0].input[1:3]
    assert tuple(values[n] for n in names) == wanted


def test_arithmetic_of_fixed_shapes_is_done():
    nodes = [
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Gather", ["shape", "two"], ["frames"]),
        helper.make_node("Unsqueeze", ["frames", "zero"], ["one"]),
        helper.make_node("Concat", ["minus", "one"], ["to"], axis=0),
        helper.make_node("Identity", ["x"], ["same"]),
        helper.make_node("Reshape", ["same", "to"], ["y"]),
    ]
    constants = {
        "two": np.int64(2),
        "zero": np.array([0]),
        "minus": np.array([-1]),
    }
    model = tidied(build(nodes, [1, 4, 6], constants, [4, 6]), random(1, 4, 6))
    assert files.operators(model) == {"Reshape": 1}
    assert [t.name for t in model.graph.initializer] == ["to"]


def test_what_is_not_sound_is_listed():
    node = helper.make_node("Relu", ["x"], ["y"])
    model = build([node], ["b", 4], {}, ["b", 4])
    files.check_structure(model, static=False)
    with pytest.raises(ValueError, match="shapes not fixed: x, y"):
        files.check_structure(model, static=True)
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    with pytest.raises(ValueError, match="com.microsoft"):
        files.check_structure(model, static=False)
