"""Every rule of the check: what passes, what is refused and why."""

from c_models import released
from edgebrain.onnx.graph import Graph
from edgebrain.onnx.metadata import HASH
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
import pytest

from deploy import stedgeai
from deploy.st.checker import check
from deploy.st.footprint import measure
from deploy.st.targets import get_target


@pytest.fixture
def changed(models, tmp_path):
    """Return a function that writes a model after a change to its graph."""

    def write(change, name="stream"):
        model = onnx.load(models[name])
        change(model)
        # As somebody else's exporter: no hash of the weights.
        kept = [p for p in model.metadata_props if p.key != HASH]
        del model.metadata_props[:]
        model.metadata_props.extend(kept)
        path = tmp_path / "changed.onnx"
        onnx.save(model, path)
        return path

    return write


def findings(path, rule, target="stm32n6"):
    report = check(Graph.read(path), get_target(target))
    return next(r for r in report.rules if r.rule == rule)


def constant(model, name):
    return next(t for t in model.graph.initializer if t.name == name)


def set_constant(model, name, array):
    constant(model, name).CopyFrom(numpy_helper.from_array(array, name))


def node_of(model, kind, number=0):
    return [n for n in model.graph.node if n.op_type == kind][number]


# -- what passes ---------------------------------------------------------


@pytest.mark.parametrize("name", ["stream", "patch", "lstm"])
@pytest.mark.parametrize("target", ["stm32n6", "stm32u5", "stm32h7", "stm32"])
def test_quantized_models_pass_on_every_target(models, name, target):
    report = check(Graph.read(models[name]), get_target(target))
    assert report.failures() == []
    assert report.nodes["unknown"] == 0


def test_cost_is_that_of_the_layers(models):
    graph = Graph.read(models["stream"])
    cost = measure(graph)
    layers = [257 * 12, 12 * 257]
    layers += 2 * [12 * 12 + 12 * 3 + 12 * 12]
    assert cost.macs == sum(layers)
    biases = 4 * (12 + 4 * 12 + 257)
    assert cost.weight_bytes == sum(layers) + biases + 4  # and the exponent
    # The float magnitude, which its int8 power takes the place of.
    caches = 12 * 2 + 12 * 4
    assert cost.activation_peak_bytes == 257 * 4 + caches
    assert "lower bound" in check(graph, get_target("stm32n6")).text()


def test_only_the_prologue_is_in_software(models):
    found = findings(models["stream"], "software_nodes")
    assert [f.node for f in found.findings] == ["magnitude/Pow"]
    assert found.level == "warn"


def test_a_float_model_fails_on_the_accelerator_alone(models):
    on_npu = findings(models["float"], "float_layers")
    on_cpu = findings(models["float"], "float_layers", "stm32h7")
    assert (on_npu.level, on_cpu.level) == ("fail", "warn")
    assert len(on_npu.findings) == 8


def test_mel_bands_stay_on_the_processor():
    """What quantize.py leaves in float by default does not fail."""
    found = findings(released("nnse-72mel", "int8"), "float_layers")
    assert [f.node for f in found.findings] == ["magnitude/Conv"]
    assert found.level == "warn"
    assert "processor" in found.findings[0].reason


# -- what is refused -----------------------------------------------------


def _unsigned(model):
    node = node_of(model, "QuantizeLinear")
    set_constant(model, node.input[2], np.array(0, np.uint8))


def _sixteen_bits(model):
    node = node_of(model, "QuantizeLinear")
    set_constant(model, node.input[2], np.array(0, np.int16))


def _other_state_scale(model):
    set_constant(model, "block0_layer0_cache_scale", np.array(0.5, np.float32))


def _weight_zero_point(model):
    name = "enter.weight_zero_point"
    set_constant(model, name, np.full(12, 3, np.int8))


def _weight_axis(model):
    for node in model.graph.node:
        if node.output[0] == "leave.weight_DequantizeLinear_Output":
            node.attribute[0].i = 1


def _bias_scale(model):
    name = "enter.bias_quantized_scale"
    old = numpy_helper.to_array(constant(model, name))
    set_constant(model, name, 2 * old)


def _float_layer(model):
    conv = node_of(model, "Conv")
    quantize = next(n for n in model.graph.node if conv.input[0] in n.output)
    source = next(n for n in model.graph.node if quantize.input[0] in n.output)
    conv.input[0] = source.input[0]


def _dynamic(model):
    for value in [*model.graph.input[:1], *model.graph.output[:1]]:
        value.type.tensor_type.shape.dim[2].dim_param = "frames"


def _batch(model):
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 2


def _unknown_operator(model):
    node_of(model, "Pow").op_type = "Mod"


def _lstm_operator(model):
    node_of(model, "Pow").op_type = "LSTM"


def _other_domain(model):
    node_of(model, "Pow").domain = "com.microsoft"
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))


def _new_opset(model):
    model.opset_import[0].version = 21


def _new_ir(model):
    model.ir_version = 10


def _nan(model):
    set_constant(model, "enter.weight_scale", np.full(12, np.nan, np.float32))


def _slice_beyond(model):
    node = node_of(model, "Slice")
    set_constant(model, node.input[2], np.array([2**62]))


def _empty_pad(model):
    pads = numpy_helper.from_array(np.zeros(6, np.int64), "pads")
    model.graph.initializer.append(pads)
    pow_node = node_of(model, "Pow")
    inputs = [pow_node.input[0], "pads", "", "axes"]
    axes = numpy_helper.from_array(np.arange(3), "axes")
    model.graph.initializer.append(axes)
    pad = helper.make_node("Pad", inputs, ["padded"], name="pad")
    pow_node.input[0] = "padded"
    model.graph.node.insert(0, pad)
    model.opset_import[0].version = 18


def _transpose(model):
    pow_node = node_of(model, "Pow")
    node = helper.make_node(
        "Transpose", [pow_node.input[0]], ["turned"], name="t", perm=[0, 1, 2]
    )
    pow_node.input[0] = "turned"
    model.graph.node.insert(0, node)


def _runtime_operand(model):
    conv = node_of(model, "Conv")
    weight = next(n for n in model.graph.node if conv.input[1] in n.output)
    values = constant(model, weight.input[0])
    model.graph.initializer.remove(values)
    shape = list(values.dims)
    model.graph.input.append(
        helper.make_tensor_value_info(values.name, TensorProto.INT8, shape)
    )


REFUSED = {
    "signed_activations": _unsigned,
    "signed_activations 16": _sixteen_bits,
    "states": _other_state_scale,
    "weights": _weight_zero_point,
    "weights axis": _weight_axis,
    "biases": _bias_scale,
    "float_layers": _float_layer,
    "static_shapes": _dynamic,
    "static_shapes batch": _batch,
    "operators": _unknown_operator,
    "operators lstm": _lstm_operator,
    "versions domain": _other_domain,
    "versions opset": _new_opset,
    "versions ir": _new_ir,
    "valid_file": _nan,
    "slices": _slice_beyond,
    "paddings": _empty_pad,
    "transpose": _transpose,
    "constant_operands": _runtime_operand,
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_with_node_reason_and_mend(name, changed, tmp_path, capsys):
    path = changed(REFUSED[name])
    result = findings(path, name.split()[0])
    assert result.level == "fail"
    for finding in result.findings:
        assert finding.node and finding.reason and finding.mend
    folder = tmp_path / "package"
    words = [str(path), "--target", "stm32n6", "--output_folder", str(folder)]
    assert stedgeai.main(words) == 1
    assert not folder.exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["changed.onnx"]
    assert result.findings[0].reason in capsys.readouterr().out


def test_what_could_not_be_checked_does_not_pass(models, changed):
    """A shape that is open, weights in float, a chip that is not known."""
    for rule in ("sizes", "memory"):
        assert findings(changed(_dynamic), rule).level == "not checked"
    for rule in ("signed_activations", "weights", "biases", "software_nodes"):
        assert findings(models["float"], rule).level == "not checked"
    assert findings(models["stream"], "memory", "stm32").level == "not checked"
    report = check(Graph.read(models["stream"]), get_target("stm32"))
    assert "\n  not checked  Activations fit into" in report.text()
    assert report.to_dict()["result"] == "not checked"
    names = [r.rule for r in report.rules]
    assert "software_nodes" not in names  # no accelerator: nothing to say


def test_memory_is_that_of_the_chip(changed):
    def large(model):
        for node in model.graph.node:
            if node.op_type == "Conv":
                break
        values = np.zeros((300_000, 1), np.float32)
        tensor = numpy_helper.from_array(values, "table")
        model.graph.initializer.append(tensor)

    found = findings(changed(large), "memory", "stm32u5")
    assert found.level == "pass"
    report = check(Graph.read(changed(large)), get_target("stm32u5"))
    assert "of 2,097,152 flash" in report.text()
    assert "of 786,432 on chip" in report.text()


def test_names_of_a_file_do_not_reach_the_terminal(changed):
    def named(model):
        node_of(model, "Pow").name = "a\x1b[2J\n# b"

    report = check(Graph.read(changed(named)), get_target("stm32n6"))
    assert "a?[2J?# b" in report.text() and "\x1b" not in report.text()


def test_large_dilations_and_prime_bins_warn(changed):
    def wide(model):
        node = node_of(model, "Conv", 1)
        for entry in node.attribute:
            if entry.name == "dilations":
                entry.ints[:] = [16]

    assert findings(changed(wide), "kernels").level == "warn"
    assert findings(changed(wide), "prime_bins").level == "warn"


@pytest.mark.parametrize("name", ["float", "stream"])
@pytest.mark.parametrize("written", [True, False])
def test_a_wide_kernel_warns_however_it_is_written(changed, name, written):
    """kernel_shape may be left out: the weight has it too."""

    def wide(model):
        for node in model.graph.node:
            if node.op_type == "Conv":
                break
        source = node.input[1]
        for other in model.graph.node:
            if source in other.output:
                source = other.input[0]
        values = numpy_helper.to_array(constant(model, source))
        set_constant(model, source, np.repeat(values, 7, 2))
        kept = [a for a in node.attribute if a.name != "kernel_shape"]
        pads = [a for a in kept if a.name == "pads"]
        del node.attribute[:]
        node.attribute.extend(a for a in kept if a not in pads)
        node.attribute.append(helper.make_attribute("pads", [3, 3]))
        if written:
            node.attribute.append(helper.make_attribute("kernel_shape", [7]))

    found = findings(changed(wide, name), "kernels").findings
    assert [f.reason.partition(":")[0] for f in found] == ["kernel (7,)"]
