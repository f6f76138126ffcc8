"""The card of a file, and what does not agree with it."""

import json

from edgebrain.errors import UserError
from edgebrain.onnx import files, metadata
from edgebrain.onnx.export import export_stream
from edgebrain.onnx.files import read_card
from edgebrain.onnx.metadata import GraphMetadata
from edgebrain.tasks import Setup
import numpy as np
import onnx
from onnx import numpy_helper
import pytest


@pytest.fixture(scope="module")
def stream(make_model, settings, tmp_path_factory):
    """Return the file of a stream."""
    path = tmp_path_factory.mktemp("card") / "stream.onnx"
    export_stream(make_model("tcnn"), Setup("enhancement", settings), path)
    return path


def test_every_flipped_bit_of_a_weight_is_refused(stream, tmp_path):
    model = onnx.load(stream)
    path = tmp_path / "flipped.onnx"
    rng = np.random.default_rng(0)
    for tensor in model.graph.initializer:
        before = tensor.raw_data
        if not before:  # kept in a typed field
            tensor.CopyFrom(
                numpy_helper.from_array(
                    numpy_helper.to_array(tensor), tensor.name
                )
            )
            before = tensor.raw_data
        at = int(rng.integers(len(before)))
        bit = 1 << int(rng.integers(8))
        flipped = bytes([before[at] ^ bit])
        tensor.raw_data = before[:at] + flipped + before[at + 1 :]
        path.write_bytes(model.SerializeToString())
        with pytest.raises(UserError, match="flipped.onnx: damaged, its wei"):
            files.load(path)
        tensor.raw_data = before
    path.write_bytes(model.SerializeToString())
    files.load(path)


def test_constants_in_nodes_count(stream, tmp_path):
    model = onnx.load(stream)
    node = onnx.helper.make_node("Constant", [], ["more"])
    value = numpy_helper.from_array(np.float32(1))
    node.attribute.append(onnx.helper.make_attribute("value", value))
    model.graph.node.insert(0, node)
    path = tmp_path / "more.onnx"
    onnx.save(model, path)
    with pytest.raises(UserError, match="damaged"):
        files.load(path)


def test_a_file_from_before_the_second_task(stream, settings, tmp_path):
    model = onnx.load(stream)
    later = "task features class_names inputs outputs weights_sha256".split()
    kept = [
        p
        for p in model.metadata_props
        if p.key.removeprefix(metadata.PREFIX) not in later
    ]
    assert len(kept) == len(model.metadata_props) - len(later)
    del model.metadata_props[:]
    model.metadata_props.extend(kept)
    path = tmp_path / "old.onnx"
    onnx.save(model, path)
    assert read_card(path) == read_card(stream)
    assert read_card(path).setup == Setup("enhancement", settings)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("lookahead_frames", "x"),
        ("lookahead_frames", -1),
        ("receptive_field_frames", [3]),
        ("context", [1, 2, 3]),
        ("context", 4),
        ("states", [{"input": "a"}]),
        ("states", [{"input": "a", "output": "b", "shape": ["n"]}]),
        ("states", "abc"),
        ("signal", []),
    ],
)
def test_values_that_cannot_be(name, value, stream):
    properties = read_card(stream).to_properties()
    properties[metadata.PREFIX + name] = json.dumps(value)
    with pytest.raises(UserError, match="m.onnx: the metadata is damaged"):
        GraphMetadata.from_properties(properties, "m.onnx")
