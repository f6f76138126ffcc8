"""Surgery on exported graphs: constants folded, pads fused, no leftovers."""

from collections import Counter

from edgebrain.onnx.files import sizes_of
from edgebrain.onnx.graph import attribute
import numpy as np
import onnx
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

#: What a tracer leaves behind in the arithmetic of shapes.
_FOLDABLE = frozenset(
    "Constant ConstantOfShape Concat Reshape Slice Transpose Cast Gather "
    "Unsqueeze Squeeze Add Sub Mul Div Neg Identity Range Shape Expand".split()
)


def tidy(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the graph as an embedded tool wants it, with inferred shapes.

    Constants become initializers, arithmetic on them is done, zero padding
    goes into the convolution behind it, batch normalisation into the one
    before it, or else becomes one of its own (over two axes) or Mul and Add,
    bounds of slices lie within the tensor, and a dilated convolution that
    gives a single frame works on gathered frames without dilation. Nodes and
    tensors are named after the weights that they use or come from.
    """
    graph = model.graph
    _fold_constants(graph)
    _drop_identities(graph)
    _fuse_pads(graph)
    _spell_out_pads(graph)
    model = _infer(model)
    while _fold_shapes(model.graph):
        _fold_constants(model.graph)
        model = _infer(model)
    _fold_batchnorm(model.graph)
    _batchnorm_to_affine(model.graph)
    _drop_unused(model.graph)
    _name(model.graph)
    del model.graph.value_info[:]
    model = _infer(model)
    _bound_slices(model.graph)
    _undilate(model.graph)
    _drop_unused(model.graph)
    del model.graph.value_info[:]
    return _infer(model)


def _infer(model: onnx.ModelProto) -> onnx.ModelProto:
    return onnx.shape_inference.infer_shapes(model, strict_mode=True)


def _initializers(graph) -> dict[str, np.ndarray]:
    return {t.name: numpy_helper.to_array(t) for t in graph.initializer}


def _add_constant(graph, name: str, value: np.ndarray) -> str:
    graph.initializer.append(numpy_helper.from_array(value, name))
    return name


def _replace_nodes(graph, nodes) -> None:
    nodes = list(nodes)
    del graph.node[:]
    graph.node.extend(nodes)


def _set_attribute(node, name: str, value) -> None:
    kept = [a for a in node.attribute if a.name != name]
    del node.attribute[:]
    node.attribute.extend([*kept, helper.make_attribute(name, value)])


def _shapes(graph) -> dict[str, list[int | None]]:
    shapes = {t.name: list(t.dims) for t in graph.initializer}
    for value in [*graph.input, *graph.output, *graph.value_info]:
        if (sizes := sizes_of(value)) is not None:
            shapes[value.name] = sizes
    return shapes


def _fold_constants(graph) -> None:
    """Compute each node whose inputs are all constants."""
    known = _initializers(graph)
    outputs = {value.name for value in graph.output}
    left = []
    for node in graph.node:
        inputs = [name for name in node.input if name]
        if (
            node.op_type not in _FOLDABLE
            or any(name not in known for name in inputs)
            or outputs & set(node.output)
        ):
            left.append(node)
            continue
        run = ReferenceEvaluator(node)
        values = run.run(None, {name: known[name] for name in inputs})
        for name, value in zip(node.output, values, strict=True):
            known[name] = np.asarray(value)
            _add_constant(graph, name, known[name])
    _replace_nodes(graph, left)
    _drop_unused(graph)


def _fold_shapes(graph) -> bool:
    """Replace what asks for a fixed shape by it; tell whether any was."""
    shapes, left = _shapes(graph), []
    for node in graph.node:
        shape = shapes.get(node.input[0]) if node.op_type == "Shape" else None
        if shape is None or None in shape:
            left.append(node)
            continue
        start, end = attribute(node, "start", 0), attribute(node, "end")
        part = np.array(shape, np.int64)[start:end]
        _add_constant(graph, node.output[0], part)
    changed = len(left) < len(graph.node)
    _replace_nodes(graph, left)
    return changed


def _drop_identities(graph) -> None:
    outputs = {value.name for value in graph.output}
    renamed: dict[str, str] = {}
    left = []
    for node in graph.node:
        for i, name in enumerate(node.input):
            node.input[i] = renamed.get(name, name)
        if node.op_type == "Identity" and node.output[0] not in outputs:
            renamed[node.output[0]] = node.input[0]
        else:
            left.append(node)
    _replace_nodes(graph, left)


def _fuse_pads(graph) -> None:
    """Move zeros in front of a convolution into its own pads."""
    constants = _initializers(graph)
    uses = Counter(name for node in graph.node for name in node.input)
    uses.update(value.name for value in graph.output)
    pads = {node.output[0]: node for node in graph.node if _pads_zeros(node)}
    fused = []
    for conv in graph.node:
        if conv.op_type != "Conv" or conv.input[0] not in pads:
            continue
        pad = pads[conv.input[0]]
        amounts = constants.get(pad.input[1])
        value = 0.0
        if len(pad.input) > 2 and pad.input[2]:
            value = constants.get(pad.input[2], np.nan)
        usual = len(pad.input) < 4 and uses[pad.output[0]] == 1
        explicit = attribute(conv, "auto_pad", b"NOTSET") == b"NOTSET"
        if amounts is None or not np.all(value == 0) or not usual:
            continue
        rank = len(amounts) // 2
        begin, end = amounts[:rank], amounts[rank:]
        if any(begin[:2]) or any(end[:2]) or min(amounts) < 0 or not explicit:
            continue
        own = attribute(conv, "pads", [0] * 2 * (rank - 2))
        new = [*begin[2:], *end[2:]]
        _set_attribute(
            conv, "pads", [int(a + b) for a, b in zip(own, new, strict=True)]
        )
        conv.input[0] = pad.input[0]
        fused.append(pad.output[0])
    _replace_nodes(graph, (n for n in graph.node if n.output[0] not in fused))


def _spell_out_pads(graph) -> None:
    """Give each Pad its value: tools refuse the empty input."""
    for node in graph.node:
        if _pads_zeros(node) and (len(node.input) < 3 or not node.input[2]):
            rest = list(node.input[3:])
            del node.input[2:]
            zero = _add_constant(
                graph, f"{node.output[0]}.value", np.zeros((), np.float32)
            )
            node.input.extend([zero, *rest])


def _pads_zeros(node) -> bool:
    return (
        node.op_type == "Pad"
        and attribute(node, "mode", b"constant") == b"constant"
    )


def _fold_batchnorm(graph) -> None:
    """Scale the weights of a convolution by the normalisation behind it."""
    constants = _initializers(graph)
    uses = Counter(name for node in graph.node for name in node.input)
    uses.update(value.name for value in graph.output)
    convs = {n.output[0]: n for n in graph.node if n.op_type == "Conv"}
    left = []
    for node in graph.node:
        conv = convs.get(node.input[0]) if _is_fixed_norm(node) else None
        names = [*conv.input[1:], *node.input[1:]] if conv else []
        if (
            conv is None
            or uses[conv.output[0]] > 1
            or uses[conv.input[1]] > 1
            or any(name not in constants for name in names)
        ):
            left.append(node)
            continue
        factor, shift = _affine(node, constants)
        weight = constants[conv.input[1]].astype(np.float64)
        bias = 0.0
        if len(conv.input) > 2:
            bias = constants[conv.input[2]].astype(np.float64)
        stem = conv.input[1].removesuffix(".weight")
        tensors = [t for t in graph.initializer if t.name != conv.input[1]]
        del graph.initializer[:]
        graph.initializer.extend(tensors)
        wide = factor.reshape(-1, *[1] * (weight.ndim - 1))
        values = {
            conv.input[1]: weight * wide,
            f"{stem}.folded_bias": bias * factor + shift,
        }
        for name, value in values.items():
            _add_constant(graph, name, value.astype(np.float32))
        del conv.input[1:]
        conv.input.extend(values)
        conv.output[0] = node.output[0]
    _replace_nodes(graph, left)


def _is_fixed_norm(node) -> bool:
    return node.op_type == "BatchNormalization" and not attribute(
        node, "training_mode", 0
    )


def _affine(node, constants) -> tuple[np.ndarray, np.ndarray]:
    """Return factor and shift of a batch normalisation, a channel each."""
    scale, bias, mean, var = (
        constants[name].astype(np.float64) for name in node.input[1:]
    )
    factor = scale / np.sqrt(var + attribute(node, "epsilon", 1e-5))
    return factor, bias - mean * factor


def _name(graph) -> None:
    """Name nodes and tensors after the weights they use or come from."""
    constants = {t.name for t in graph.initializer}
    outputs = {value.name for value in graph.output}
    scopes: dict[str, str] = {}
    renamed: dict[str, str] = {}
    taken: Counter = Counter()
    for node in graph.node:
        for i, name in enumerate(node.input):
            node.input[i] = renamed.get(name, name)
        weights = [
            name.removesuffix(".weight")
            for name in node.input
            if name in constants and "weight" in name.rpartition(".")[2]
        ]
        moving = [name for name in node.input if name not in constants]
        made = [scopes[name] for name in moving if name in scopes]
        scope = (weights or made[-1:] or moving or [graph.name])[0]
        name = f"{scope}/{node.op_type}"
        taken[name] += 1
        node.name = name if taken[name] == 1 else f"{name}_{taken[name]}"
        for i, output in enumerate(node.output):
            if output and output not in outputs:
                renamed[output] = f"{node.name}_out{i or ''}"
                node.output[i] = renamed[output]
            scopes[node.output[i]] = scope


def _batchnorm_to_affine(graph) -> None:
    """Write what no convolution could take in as a product and a sum."""
    constants, shapes = _initializers(graph), _shapes(graph)
    nodes = []
    for node in graph.node:
        known = all(name in constants for name in node.input[1:])
        rank = len(shapes.get(node.input[0], [])) if node.input else 0
        if not _is_fixed_norm(node) or not known or rank < 2:
            nodes.append(node)
            continue
        factor, shift = _affine(node, constants)
        wide = (1, -1) + (1,) * (rank - 2)
        if rank == 4:
            # Over two axes a convolution: integer runtimes have that.
            wide = (-1, 1, 1, 1)
        stem = node.name or node.output[0]
        names = [
            _add_constant(
                graph, f"{stem}.{part}", v.reshape(shape).astype(np.float32)
            )
            for part, v, shape in [
                ("scale", factor, wide),
                ("shift", shift, (-1,) if rank == 4 else wide),
            ]
        ]
        if rank == 4:
            inputs, groups = [node.input[0], names[0], names[1]], len(factor)
            nodes.append(
                helper.make_node(
                    "Conv", inputs, node.output[:], stem, group=groups
                )
            )
            continue
        scaled = f"{node.output[0]}.scaled"
        nodes += [
            helper.make_node(
                "Mul", [node.input[0], names[0]], [scaled], f"{stem}/Mul"
            ),
            helper.make_node(
                "Add", [scaled, names[1]], [node.output[0]], f"{stem}/Add"
            ),
        ]
    _replace_nodes(graph, nodes)


def _bound_slices(graph) -> None:
    """Replace negative and endless bounds by the tensor's own."""
    constants, shapes = _initializers(graph), _shapes(graph)
    for node in graph.node:
        if node.op_type != "Slice":
            continue
        shape = shapes.get(node.input[0])
        values = [constants.get(name) for name in node.input[1:]]
        if shape is None or any(v is None for v in values):
            continue
        starts, ends = values[0], values[1]
        axes = values[2] if len(values) > 2 else np.arange(len(starts))
        steps = values[3] if len(values) > 3 else np.ones(len(starts), int)
        sizes = [shape[axis] for axis in axes]
        if any(size is None for size in sizes) or any(steps <= 0):
            continue
        bounds = [
            slice(int(a), int(b), int(c)).indices(size)
            for a, b, c, size in zip(starts, ends, steps, sizes, strict=True)
        ]
        stem = node.output[0]
        new = [
            _add_constant(graph, f"{stem}.{part}", np.array(column, np.int64))
            for part, column in zip(
                ("starts", "ends", "steps"),
                zip(*bounds, strict=True),
                strict=True,
            )
        ]
        axes_name = _add_constant(
            graph, f"{stem}.axes", np.asarray(axes, np.int64)
        )
        del node.input[1:]
        node.input.extend([new[0], new[1], axes_name, new[2]])


def _undilate(graph) -> None:
    """Gather the frames that a dilated convolution sees of a single window.

    Its input is as long as one window, its output one frame: a Slice with
    the dilation as its step leaves a plain convolution, which tools and
    kernels have fast, where dilated ones are slow or refused.
    """
    shapes, nodes = _shapes(graph), []
    for node in graph.node:
        dilations = attribute(node, "dilations", [1])
        kernel = attribute(node, "kernel_shape", [])
        shape = shapes.get(node.input[0]) if node.input else None
        if (
            node.op_type == "Conv"
            and len(kernel) == 1
            and kernel[0] > 1
            and dilations[0] > 1
            and not any(attribute(node, "pads", [0, 0]))
            and shape is not None
            and shape[-1] == (kernel[0] - 1) * dilations[0] + 1
        ):
            stem, step = node.output[0], dilations[0]
            bounds = {"from": 0, "to": shape[-1], "axis": 2, "step": step}
            names = [
                _add_constant(graph, f"{stem}.{k}", np.array([v], np.int64))
                for k, v in bounds.items()
            ]
            seen, name = f"{stem}.gathered", f"{node.name}/gather"
            inputs = [node.input[0], *names]
            nodes.append(helper.make_node("Slice", inputs, [seen], name))
            node.input[0] = seen
            _set_attribute(node, "dilations", [1])
        nodes.append(node)
    _replace_nodes(graph, nodes)


def _drop_unused(graph) -> None:
    used = {name for node in graph.node for name in node.input}
    used.update(value.name for value in graph.output)
    kept = [t for t in graph.initializer if t.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)
