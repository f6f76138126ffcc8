"""Damaged files: refused, or turned into C that computes what they say."""

from c_models import frames, released, sound, unsealed
from c_reference import Reference
from edgebrain.errors import UserError
from edgebrain.onnx.runner import load_runner
import numpy as np
import onnx
import pytest
from test_damage import DAMAGES

from deploy.c.generator.generate import read


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_network_is_refused_or_right(damage, tmp_path):
    refused = 0
    for seed in range(8):
        rng = np.random.default_rng(seed)
        name = "tcnn-120k" if seed % 2 else "lstm-110k"
        model = unsealed(released(name, "int8"))
        node = model.graph.node[rng.integers(len(model.graph.node))]
        damage(rng, node, model.graph)
        path = tmp_path / "damaged.onnx"
        path.write_bytes(model.SerializeToString())
        try:
            program = read(path)
        except UserError as error:
            assert "damaged.onnx" in str(error)
            refused += 1
            continue
        magnitude = frames(sound(800, seed), program.metadata.signal)
        reference = Reference(program)
        got = np.stack([reference.step(m) for m in magnitude.T], 1)
        np.testing.assert_array_equal(
            got, load_runner(path).streamer()(magnitude)
        )
    # Many attributes are as good as their default.
    if damage.__name__ != "_drop_attribute":
        assert refused >= 4


def test_data_of_another_shape_are_named(tmp_path):
    model = unsealed(released("lstm-110k", "int8"))
    tensor = next(t for t in model.graph.initializer if len(t.dims) == 2)
    tensor.raw_data = tensor.raw_data[:-1]
    path = tmp_path / "cut.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(UserError, match=r"damaged.*export it again"):
        read(path)
    with pytest.raises(UserError, match=r"damaged.*export it again"):
        load_runner(path)


def test_levels_without_a_zero_point_are_unsigned(tmp_path):
    model = unsealed(released("tcnn-120k", "int8"))
    node = next(n for n in model.graph.node if n.op_type == "QuantizeLinear")
    del node.input[2]
    path = tmp_path / "unsigned.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(UserError, match="unsigned uint8 activations"):
        read(path)


def test_a_negative_look_ahead_is_refused(tmp_path):
    model = unsealed(released("nnse-72mel", "int8"))
    for entry in model.metadata_props:
        if entry.key == "edgebrain.lookahead_frames":
            entry.value = "-1"
    path = tmp_path / "early.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(UserError, match="lookahead_frames"):
        read(path)


@pytest.mark.parametrize("precision", ["int8", "int16x8"])
def test_a_cell_that_grows_by_itself_is_refused(precision, tmp_path):
    model = unsealed(released("lstm-110k", precision))
    for node in model.graph.node:
        if node.op_type == "Sigmoid":
            name = next(
                n.input[1]
                for n in model.graph.node
                if n.op_type == "QuantizeLinear"
                and n.input[0] == node.output[0]
            )
            scale = next(t for t in model.graph.initializer if t.name == name)
            value = 1.2 * onnx.numpy_helper.to_array(scale)
            scale.CopyFrom(onnx.numpy_helper.from_array(value, name))
    path = tmp_path / "growing.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(UserError, match=r"forget gate reaches 1\.2"):
        read(path)
