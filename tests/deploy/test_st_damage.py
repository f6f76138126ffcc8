"""Damaged files: judged or refused, never a crash."""

from edgebrain.errors import UserError
from edgebrain.onnx.graph import Graph
import numpy as np
import onnx
import pytest

from deploy import stedgeai
from deploy.st.checker import check
from deploy.st.targets import get_target


def test_a_corrupted_file_is_refused(models, tmp_path):
    data = models["stream"].read_bytes()
    path = tmp_path / "cut.onnx"
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(UserError, match="not an ONNX file"):
        stedgeai.main([str(path), "--target", "stm32n6"])
    assert list(tmp_path.iterdir()) == [path]


def _drop_input(rng, node, graph):
    del node.input[rng.integers(max(1, len(node.input))) :]


def _drop_output(rng, node, graph):
    del node.output[:]


def _drop_attribute(rng, node, graph):
    del node.attribute[:1]


def _other_operator(rng, node, graph):
    kinds = ["Conv", "Gemm", "Slice", "Split", "Pad", "PRelu", "If", "Foo"]
    node.op_type = str(rng.choice(kinds))


def _from_nowhere(rng, node, graph):
    if node.input:
        node.input[0] = "nowhere"


def _other_shape(rng, node, graph):
    graph.initializer[rng.integers(len(graph.initializer))].dims.append(2)


def _shorter_data(rng, node, graph):
    tensor = graph.initializer[rng.integers(len(graph.initializer))]
    tensor.raw_data = tensor.raw_data[:-1]


def _no_node(rng, node, graph):
    graph.node.remove(node)


DAMAGES = [
    _drop_input,
    _drop_output,
    _drop_attribute,
    _other_operator,
    _from_nowhere,
    _other_shape,
    _shorter_data,
    _no_node,
]


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_graphs_are_judged_and_never_crash(models, tmp_path, damage):
    """Most damage fails; a few attributes are as good as their default."""
    failed = 0
    for seed in range(6):
        rng = np.random.default_rng(seed)
        model = onnx.load(models["lstm" if seed % 2 else "stream"])
        node = model.graph.node[rng.integers(len(model.graph.node))]
        damage(rng, node, model.graph)
        path = tmp_path / "damaged.onnx"
        path.write_bytes(model.SerializeToString())
        try:
            report = check(Graph.read(path), get_target("stm32n6"))
        except UserError:
            failed += 1
            continue
        report.text()
        failed += report.level == "fail"
    assert failed >= (0 if damage is _drop_attribute else 4)
