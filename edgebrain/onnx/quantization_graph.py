"""What a quantizer must know of a graph: names, prologue, ties, shapes."""

from collections import defaultdict
from collections.abc import Container, Iterable, Mapping
import copy
from pathlib import Path
import re
import tempfile

from edgebrain.errors import UserError, nearest, unknown_name
import onnx
from onnxruntime.quantization.shape_inference import quant_pre_process
from onnxruntime.tools.onnx_model_utils import make_dim_param_fixed

#: Layers with weights; in front of the first one lies the prologue.
WEIGHTED = frozenset(
    "Conv ConvTranspose Gemm MatMul LSTM GRU RNN Einsum".split()
)
#: Operators that hand values on, so that in and out can share a scale.
_PASSING = frozenset(
    "Concat Slice Squeeze Unsqueeze Reshape Transpose Identity Flatten "
    "Gather Split".split()
)
_SUMS = ("Add", "Mul", "Sub")
#: Module of a network whose weights belong to the prologue.
_FRONT_END = re.compile(r"(^|[./])front_end[./]")
_FLOAT = onnx.TensorProto.FLOAT


def prepare(model: onnx.ModelProto, ours: bool) -> onnx.ModelProto:
    """Return a graph fit for the quantizer, every node with a name.

    Others' graphs go through onnxruntime's own preparation, which folds
    batch normalisation and constants; ours are tidy already.
    """
    if ours:
        return copy.deepcopy(model)
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder, "prepared.onnx")
        try:
            quant_pre_process(
                copy.deepcopy(model), str(target), skip_symbolic_shape=True
            )
        # onnxruntime's exceptions share no base class but Exception.
        except Exception as error:
            first = str(error).strip().splitlines()[0]
            raise UserError(
                f"onnxruntime cannot prepare the graph: {first}"
            ) from error
        model = onnx.load(target)
    for number, node in enumerate(model.graph.node):
        if not node.name:
            node.name = f"{node.op_type}_{number}"
    strip_domains(model)
    return model


def strip_domains(model: onnx.ModelProto) -> None:
    """Drop operator sets that no node uses: embedded tools refuse them."""
    used = {node.domain for node in model.graph.node} | {""}
    kept = [o for o in model.opset_import if o.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(kept)


def constants(model: onnx.ModelProto) -> dict[str, onnx.TensorProto]:
    """Return the initializers by name."""
    return {tensor.name: tensor for tensor in model.graph.initializer}


def float_tensors(model: onnx.ModelProto) -> set[str]:
    """Return the names of all moving tensors of type float."""
    values = [
        *model.graph.value_info,
        *model.graph.input,
        *model.graph.output,
    ]
    return {v.name for v in values if v.type.tensor_type.elem_type == _FLOAT}


def check_names(names: Iterable[str], model: onnx.ModelProto) -> None:
    """Refuse names of nodes that are not there: onnxruntime ignores them."""
    known = {node.name for node in model.graph.node}
    problems = []
    for name in names:
        if name not in known:
            close = nearest(name, known) or sorted(known)[:3]
            problems.append(f"{name}: nearest: {', '.join(close)}")
    if problems:
        raise UserError.collect(
            "nodes_to_exclude: no node of that name in the graph", problems
        )


def prologue(model: onnx.ModelProto, features: str) -> list[str]:
    """Return the names of the nodes between features and first layer.

    Compression and normalisation of features: eight bits of a linear
    magnitude would lose all quiet sounds. A layer whose weights belong to a
    module named ``front_end`` (mel bands) counts as prologue too.
    """
    if not any(node.op_type in WEIGHTED for node in model.graph.node):
        return []
    known, reached, names = constants(model), {features}, []
    for node in model.graph.node:
        weights = [name for name in node.input if name in known]
        moving = [name for name in node.input if name and name not in known]
        front = any(_FRONT_END.search(name) for name in weights)
        if node.op_type in WEIGHTED and not front:
            continue
        if moving and all(name in reached for name in moving):
            reached.update(node.output)
            names.append(node.name)
    return names


def accumulators(
    model: onnx.ModelProto, states: Iterable[Mapping]
) -> list[str]:
    """Return the names of nodes of states which add up over time.

    The cell of an LSTM, c = f * c + i * g: with 256 steps what is added in a
    frame is less than half a step as soon as the cell has grown, and is lost;
    the network then stands still. With 65536 steps it still loses what is
    small: a cell that a trained network lets grow to 300 has steps of 0.01,
    and comes out worse than int8 with a float cell. Kept float, these few
    element-wise nodes cost next to nothing. The state that goes through a
    layer (h) is none of these.
    """
    makers = {o: node for node in model.graph.node for o in node.output}
    users = defaultdict(list)
    for node in model.graph.node:
        for name in node.input:
            users[name].append(node)
    found: dict[str, None] = {}
    for state in states:
        readers = users[state["input"]]
        if not readers or any(n.op_type not in _SUMS for n in readers):
            continue
        waiting = [state["output"]]
        while waiting:
            node = makers.get(waiting.pop())
            if node is not None and node.op_type in _SUMS:
                found[node.name] = None
                waiting += node.input
        for node in users[state["output"]]:
            if node.op_type in ("Tanh", "Sigmoid"):
                found[node.name] = None
    return list(found)


def saturating(model: onnx.ModelProto) -> dict[str, tuple[float, float]]:
    """Return ranges of what Tanh and Sigmoid give, for steps of a power of 2.

    Steps of 1/128 from -1 and of 1/256 from 0, as CMSIS-NN and TF Lite fix
    them too. Measured ranges end near the same values, but put a bound of
    the function halfway between two integers, where the last bit of a
    library's tanh decides: a C and an onnxruntime that differ there drift
    apart. A gate of an LSTM then ends at 255/256, where
    a cell halves in 1.8 s: one that never forgets is learned from short crops
    and fails in minutes of sound.
    """
    bounds = {"Tanh": (-1.0, 127 / 128), "Sigmoid": (0.0, 255 / 256)}
    return {
        node.output[0]: bounds[node.op_type]
        for node in model.graph.node
        if node.op_type in bounds
    }


def tie_states(
    model: onnx.ModelProto,
    states: Iterable[Mapping],
    ranges: Mapping[str, tuple[float, float]],
    leading: Container[str] = (),
) -> dict[str, tuple[float, float]]:
    """Return ranges by which all that a state passes through has one.

    So a state goes from output to input, through Concat and Slice, without
    being rounded twice: an integer runtime copies it. Where tensors are
    ``leading``, the others take their range.
    """
    known, parent = constants(model), {}

    def root(name):
        while parent.get(name, name) != name:
            name = parent[name]
        return name

    for node in model.graph.node:
        if node.op_type not in _PASSING:
            continue
        names = [n for n in node.input if n not in known and n in ranges]
        if node.op_type != "Concat":
            names = names[:1]
        for name in [*names, *node.output]:
            if names:
                parent[root(name)] = root(names[0])
    tied = set()
    for state in states:
        parent[root(state["output"])] = root(state["input"])
        tied.add(state["input"])
    roots = {root(name) for name in tied}
    groups = defaultdict(list)
    for name in ranges:
        if root(name) in roots:
            groups[root(name)].append(name)
    changed = {}
    for names in groups.values():
        counted = [name for name in names if name in leading] or names
        low = min(ranges[name][0] for name in counted)
        high = max(ranges[name][1] for name in counted)
        changed.update(dict.fromkeys(names, (low, high)))
    return changed


def fix_shapes(
    model: onnx.ModelProto, frames: int, axis: str | None, features: str
) -> onnx.ModelProto:
    """Return a copy with one item a batch and a fixed number of frames.

    ``axis`` names that of the frames; None: as the input names it.
    """
    value = next(v for v in model.graph.input if v.name == features)
    own = value.type.tensor_type.shape.dim[2]
    if own.HasField("dim_value"):
        raise UserError(
            "static_sequence_length: the number of frames is fixed in the "
            "file already; leave it out"
        )
    graph_values = [*model.graph.input, *model.graph.output]
    named = {
        d.dim_param
        for v in graph_values
        for d in v.type.tensor_type.shape.dim
        if d.dim_param
    }
    if axis is not None and axis not in named:
        raise unknown_name("static_axis_name", axis, named)
    model = copy.deepcopy(model)
    if axis or own.dim_param:
        make_dim_param_fixed(model.graph, axis or own.dim_param, frames)
    for value in [*model.graph.input, *model.graph.output]:
        dims = value.type.tensor_type.shape.dim
        for number, dim in enumerate(dims):
            if not dim.HasField("dim_value"):
                dim.dim_value = frames if number else 1
    del model.graph.value_info[:]
    return onnx.shape_inference.infer_shapes(model)


def symmetric_constants(model: onnx.ModelProto, weight_type) -> dict:
    """Return overrides that give constants of element-wise nodes zero point 0.

    onnxruntime would treat a PReLU's slope, or a factor, as an activation.
    """
    known, overrides = constants(model), {}
    for node in model.graph.node:
        if node.op_type not in ("Add", "Mul", "Sub", "Div", "PRelu"):
            continue
        for name in node.input:
            if name in known and known[name].data_type == _FLOAT:
                entry = {"symmetric": True}
                if node.op_type == "PRelu":
                    entry["quant_type"] = weight_type
                overrides[name] = [entry]
    return overrides
