"""Damaged files: judged or refused, never a crash."""

from c_models import released, unsealed
from edgebrain.errors import UserError
from edgebrain.onnx.graph import Graph
import numpy as np
import onnx
import pytest

from deploy import c_engine, nnse_tables, stedgeai
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
        model = unsealed(models["lstm" if seed % 2 else "stream"])
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


def run_all(path, folder):
    """Give a file to each tool; return what they said."""
    words = {
        stedgeai: ["--target", "stm32n6", "--no_run", "--vectors", "1"],
        c_engine: [],
        nnse_tables: ["--net_id", "1", "--net_name", "x"],
    }
    said = {}
    for tool, more in words.items():
        where = ["--output_folder", str(folder / tool.__name__)]
        try:
            said[tool] = tool.main([str(path), *more, *where])
        except UserError as error:
            said[tool] = error
    return said


def test_metadata_nested_beyond_reason_are_refused(models, tmp_path):
    model = unsealed(models["stream"])
    for entry in model.metadata_props:
        if entry.key == "edgebrain.states":
            entry.value = "[" * 100_000
    path = tmp_path / "deep.onnx"
    onnx.save(model, path)
    for error in run_all(path, tmp_path).values():
        assert "metadata is damaged" in str(error)


def test_a_convolution_of_no_groups_is_refused(models, tmp_path):
    model = unsealed(models["stream"])
    node = next(n for n in model.graph.node if n.op_type == "Conv")
    kept = [a for a in node.attribute if a.name != "group"]
    del node.attribute[:]
    node.attribute.extend([*kept, onnx.helper.make_attribute("group", 0)])
    path = tmp_path / "groups.onnx"
    onnx.save(model, path)
    for error in run_all(path, tmp_path).values():
        assert isinstance(error, UserError)


def test_a_name_that_is_no_text_is_refused(models, tmp_path):
    data = models["stream"].read_bytes()
    assert b"enter.weight" in data
    path = tmp_path / "name.onnx"
    path.write_bytes(data.replace(b"enter.weight", b"\xe5nter.weight"))
    for error in run_all(path, tmp_path).values():
        assert isinstance(error, UserError)


@pytest.mark.parametrize("seed", range(4))
def test_flipped_bits_are_judged_or_refused(models, tmp_path, seed):
    """Everywhere but in weights, the first bytes above all."""
    path = released("nnse-72mel", "float32") if seed % 2 else models["stream"]
    data = bytearray(path.read_bytes())
    rng = np.random.default_rng(seed)
    target = tmp_path / "flipped.onnx"
    refused = 0
    for place in [*rng.integers(120, size=4), *-rng.integers(1, 3000, size=2)]:
        flipped = bytearray(data)
        flipped[place] ^= 1 << rng.integers(8)
        target.write_bytes(flipped)
        said = run_all(target, tmp_path)
        refused += any(isinstance(x, UserError) for x in said.values())
    assert refused >= 3
