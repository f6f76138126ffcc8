"""What a graph must be whatever its numbers: operators, shapes, constants.

Each rule is a function of a graph and a target that yields findings, or of a
node too, see findings.of_each_node; the title that people see is its
docstring. What concerns quantization is in
quantization_rules.py.
"""

import math

from edgebrain.onnx.graph import SHAPES, Graph, attribute, label
import numpy as np
import onnx

from deploy.st.findings import (
    Finding,
    Findings,
    NotChecked,
    of_each_node,
)
from deploy.st.footprint import measure
from deploy.st.targets import Target

_KERNELS = ("Conv", "ConvTranspose", "MaxPool", "AveragePool")


def valid_file(graph: Graph, target: Target) -> Findings:
    """The ONNX checker takes it, and it is complete."""
    try:
        onnx.checker.check_model(graph.model)
    except (onnx.checker.ValidationError, UnicodeDecodeError) as error:
        first = str(error).strip().splitlines()[0]
        yield Finding("file", f"not valid ONNX: {first}", "export it again")
    if graph.inference_error:
        yield Finding(
            "file",
            f"shapes contradict each other: {graph.inference_error}",
            "export it again for one fixed shape",
        )
    for name, array in graph.constants.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            yield Finding(
                name,
                "holds NaN or infinity",
                "take another checkpoint and export it again",
            )
    known = {*graph.inputs, *graph.constants, *graph.producers}
    for node in graph.nodes:
        for name in node.input:
            if name and name not in known:
                yield Finding(
                    label(node),
                    f"its input {name} comes from nowhere",
                    "export it again",
                )


def metadata(graph: Graph, target: Target) -> Findings:
    """The file says how it is run."""
    if graph.metadata is None:
        yield Finding(
            "file",
            "no metadata of this project: states, context and signal "
            "settings are not known",
            "export it with export_onnx.py, or give the signal settings on "
            "the command line",
            "warn",
        )


def versions(graph: Graph, target: Target) -> Findings:
    """Operator set and IR version are not too new, and no others' sets."""
    for entry in graph.model.opset_import:
        if entry.domain in ("", "ai.onnx"):
            if entry.version > target.max_opset:
                why = ""
                if graph.metadata and graph.metadata.precision == "int16x8":
                    why = " (16-bit activations need 21)"
                yield Finding(
                    "operator set",
                    f"{entry.version}, at most {target.max_opset} is "
                    f"taken{why}",
                    "export with --opset 17, quantize with --precision int8",
                )
        else:
            yield Finding(
                "operator set",
                f"{entry.domain} {entry.version}: only ONNX's own is taken",
                "remove it, and the nodes that use it",
            )
    for node in graph.nodes:
        if node.domain not in ("", "ai.onnx"):
            yield Finding(
                label(node),
                f"{node.op_type} of the operator set {node.domain}",
                "use operators of ONNX's own set",
            )
    if graph.model.ir_version > target.max_ir_version:
        yield Finding(
            "IR version",
            f"{graph.model.ir_version}, at most {target.max_ir_version} is "
            "taken",
            f"save it with ir_version {target.max_ir_version} (export_onnx.py "
            "does)",
        )


@of_each_node
def operators(graph: Graph, target: Target, node):
    """Each operator is one the tool takes."""
    kind = node.op_type
    if kind in target.refused:
        yield f"{kind} is not taken", target.refused[kind]
    elif place(graph, target, node) == "unknown":
        yield (
            f"{kind} is in no list of {target.name}",
            "ask `stedgeai supported-ops`; if it is taken, add it to the "
            "targets (--targets_file)",
        )


def software_nodes(graph: Graph, target: Target) -> Findings:
    """The accelerator runs all of it."""
    if not graph.quantized:
        raise NotChecked("it is in float32", "quantize it with quantize.py")
    for node in graph.compute_nodes:
        if place(graph, target, node) != "software":
            continue
        why = "is in float"
        if node.op_type not in target.hardware:
            why = "is not an operator of the accelerator"
        yield Finding(
            label(node),
            f"{node.op_type} {why}: it runs on the processor",
            "expected of a prologue and of an LSTM's cell state; else "
            "quantize it, or use another operator",
            "warn",
        )


def place(graph: Graph, target: Target, node) -> str:
    """Return where a node runs: hardware, software or unknown."""
    kind = node.op_type
    if kind in target.refused:
        return "unknown"
    moved = kind in SHAPES or not _in_float(graph, node)
    if kind in target.hardware and moved:
        return "hardware"
    return "software" if kind in target.software else "unknown"


def _in_float(graph: Graph, node) -> bool:
    """Tell whether a node computes on floats that nobody quantized."""
    if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
        return False
    made_of = [
        graph.producers.get(name)
        for name in node.input
        if name and name not in graph.constants
    ]
    return any(n is None or n.op_type != "DequantizeLinear" for n in made_of)


def static_shapes(graph: Graph, target: Target) -> Findings:
    """Every size is fixed, the batch is 1."""
    mend = (
        "export the patch or the stream form, or quantize with "
        "--static_sequence_length"
    )
    opened = False
    for name in [*graph.inputs, *graph.outputs]:
        shape = graph.shapes.get(name)
        if shape is None or None in shape:
            opened = True
            text = "?" if shape is None else _text(shape)
            yield Finding(name, f"shape {text} is not fixed", mend)
        elif shape and shape[0] != 1:
            yield Finding(
                name, f"batch of {shape[0]}", "export it with a batch of 1"
            )
    if opened:
        return
    for node in graph.compute_nodes:
        for name in node.output:
            if name and graph.known_shape(name) is None:
                yield Finding(
                    label(node), "the shape of its output is not fixed", mend
                )


def sizes(graph: Graph, target: Target) -> Findings:
    """Ranks and sizes are within what the tool takes."""
    unknown = 0
    for name in _activations(graph):
        shape = graph.known_shape(name)
        if shape is None:
            unknown += 1
            continue
        node = graph.producers.get(name)
        where = label(node) if node is not None else name
        if not target.min_rank <= len(shape) <= target.max_rank:
            yield Finding(
                where,
                f"{len(shape)} dimensions {_text(shape)}, "
                f"{target.min_rank} to {target.max_rank} are taken",
                "reshape so that batch, channels and frames remain",
            )
        if max(shape, default=0) > target.max_dimension:
            yield Finding(
                where,
                f"{_text(shape)} has a size above {target.max_dimension}",
                "shorten the patch",
            )
    if unknown:
        raise NotChecked(
            f"{unknown} tensors have no fixed shape", "export a fixed shape"
        )


def _activations(graph: Graph) -> list[str]:
    names = list(graph.inputs)
    for node in graph.compute_nodes:
        if not all(graph.is_constant(n) for n in node.input if n):
            names += [n for n in node.output if n in graph.floats]
    return names


@of_each_node
def constant_operands(graph: Graph, target: Target, node):
    """Second operands of Gemm and MatMul, slopes and C are constant."""
    places = {
        "Gemm": ("second operand", "C"),
        "MatMul": ("second operand",),
        "PRelu": ("slope",),
        "Conv": ("weight", "bias"),
    }.get(node.op_type, ())
    for name, what in zip(node.input[1:], places, strict=False):
        if name and not graph.is_constant(name):
            yield (
                f"its {what} is computed at run time",
                "make it a constant; quantize with skip_optimization, which "
                "would fuse an Add into C",
            )


@of_each_node
def slices(graph: Graph, target: Target, node):
    """Bounds of Slice are constant and within the tensor; Split is even."""
    if node.op_type not in ("Slice", "Split"):
        return
    shape = graph.known_shape(node.input[0])
    if node.op_type == "Split":
        axis = attribute(node, "axis", 0)
        if shape and len(node.output) != shape[axis]:
            yield (
                f"splits {shape[axis]} into {len(node.output)}",
                "use Slice, or split into single elements",
            )
        return
    parts = [graph.constants.get(name) for name in node.input[1:] if name]
    if any(part is None for part in parts) or len(parts) < 2:
        yield (
            "its bounds are computed at run time",
            "export it for one fixed shape",
        )
        return
    starts, ends = (part.reshape(-1).tolist() for part in parts[:2])
    axes = list(range(len(starts)))
    if len(parts) > 2:
        axes = parts[2].reshape(-1).tolist()
    bounds = zip(starts, ends, axes, strict=False)
    for start, end, axis in bounds if shape is not None else ():
        size = shape[axis]
        if not (-size <= start <= size and -size <= end <= size):
            yield (
                f"{start}:{end} on axis {axis} of {_text(shape)}",
                f"write bounds within {size}",
            )


@of_each_node
def paddings(graph: Graph, target: Target, node):
    """No Pad has an empty third input."""
    if node.op_type == "Pad" and len(node.input) > 2 and not node.input[2]:
        yield (
            "its third input is left empty",
            "give the value 0 as a constant, or drop the inputs after it",
        )


@of_each_node
def transpose(graph: Graph, target: Target, node):
    """Nothing is transposed at run time."""
    if node.op_type == "Transpose" and not graph.is_constant(node.input[0]):
        yield (
            "transposes at run time",
            "keep (batch, channels, frames); export the stream form of a "
            "recurrent network",
        )


@of_each_node
def kernels(graph: Graph, target: Target, node):
    """Kernels are not wide, dilations not large."""
    if node.op_type not in _KERNELS:
        return
    shape = _kernel_shape(graph, node)
    spread = attribute(node, "dilations", ())
    if max(shape, default=1) > target.max_kernel:
        yield (
            f"kernel {shape}: above {target.max_kernel} it is split into "
            "several",
            "train with a smaller kernel and more layers",
            "warn",
        )
    if max(spread, default=1) > target.max_dilation:
        yield (
            f"dilation {max(spread)}: slow above {target.max_dilation}",
            "take the stream form, which gathers the frames first, or train "
            "with smaller dilations",
            "warn",
        )


def _kernel_shape(graph: Graph, node) -> tuple[int, ...]:
    """Return the size of a kernel; of the weight where none is written."""
    shape = attribute(node, "kernel_shape")
    if shape is None and node.op_type in ("Conv", "ConvTranspose"):
        name = node.input[1]
        weight = graph.weight(name)
        if weight is not None:
            name = weight.input[0]
        shape = (graph.known_shape(name) or ())[2:]
    return tuple(shape or ())


def prime_bins(graph: Graph, target: Target) -> Findings:
    """The number of bins can be divided among the units."""
    for name in graph.inputs[:1]:
        shape = graph.shapes.get(name) or ()
        size = shape[1] if len(shape) == 3 else None
        if size is None or size < 17:
            continue
        if all(size % n for n in range(2, math.isqrt(size) + 1)):
            yield Finding(
                name,
                f"{size} bins are prime and cannot be divided among units",
                f"it works; padding to a multiple of 16, or dropping to "
                f"{size - 1}, can save epochs",
                "warn",
            )


def memory(graph: Graph, target: Target) -> Findings:
    """Activations fit into the memory on the chip, weights into flash."""
    cost, room, flash = measure(graph), target.room, target.flash
    peak, weights = cost.activation_peak_bytes, cost.weight_bytes
    if flash is not None and weights > flash:
        yield Finding(
            "weights",
            f"{weights:,} bytes, the flash holds {flash:,}",
            "train a smaller network",
        )
    if peak is None:
        raise NotChecked("shapes are not fixed", "export a fixed shape")
    if room is not None and peak > room:
        yield Finding(
            cost.peak_node or "graph",
            f"activations of at least {peak:,} bytes, {room:,} on the chip",
            "shorten the patch, or take the stream form",
        )
    elif room is not None and target.accelerator and peak + weights > room:
        yield Finding(
            "weights",
            f"{weights:,} bytes beside at least {peak:,} bytes of "
            f"activations, {room:,} on the chip",
            "they are read from flash, which is slower; a smaller network fits",
            "warn",
        )
    if room is None or flash is None:
        raise NotChecked(
            f"not all memory of {target.name} is known",
            "give on_chip_bytes and flash_bytes of your chip (--targets_file)",
        )


def _text(shape) -> str:
    return "x".join("?" if size is None else str(size) for size in shape)


RULES = (
    *(valid_file, metadata, versions, operators, software_nodes),
    *(static_shapes, sizes, constant_operands, slices, paddings, transpose),
    *(kernels, prime_bins, memory),
)
