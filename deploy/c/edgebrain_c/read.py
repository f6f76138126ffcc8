"""Read a quantized ONNX stream as a :class:`.program.Program`.

Moving values of a QDQ graph are float between a DequantizeLinear and a
QuantizeLinear. Here a float tensor is one of: columns of integers that were
dequantized; a computation that waits for the QuantizeLinear which says the
scale of its output; a constant; or the magnitude on its way to the first
QuantizeLinear.
"""

from dataclasses import dataclass
from pathlib import Path

from edgebrain.errors import UserError
from edgebrain.onnx import files, metadata
from edgebrain_c.program import (
    Binary,
    Column,
    Dense,
    Depthwise,
    Program,
    Quantization,
    State,
    Unary,
    Update,
    Vector,
)
import numpy as np
import onnx
from onnx import helper, numpy_helper

F32 = np.float32
_INT32 = 2**31 - 1
_UNARY = {"Relu": "relu", "Sigmoid": "sigmoid", "Tanh": "tanh"}
_PROLOGUE_ONLY = {"Log": "log", "Sqrt": "sqrt"}
_ARITHMETIC = {"Add": "add", "Sub": "sub", "Mul": "mul", "Div": "div"}
_SUPPORTED = {
    *_UNARY,
    *_PROLOGUE_ONLY,
    *_ARITHMETIC,
    *"Conv Gemm MatMul PRelu Clip Pow Concat Slice Squeeze Unsqueeze Reshape "
    "Identity Constant QuantizeLinear DequantizeLinear".split(),
}


@dataclass
class _Integers:
    """Columns of integers; ``flat`` where the graph has no axis of time."""

    columns: list[Column]
    flat: bool

    @property
    def size(self) -> int:
        return self.columns[0].size

    @property
    def quantization(self) -> Quantization:
        return self.columns[0].quantization


@dataclass
class _Waiting:
    """A computation whose QuantizeLinear has not come yet."""

    node: str
    kind: str
    parts: tuple
    size: int
    flat: bool


@dataclass
class _Weights:
    """A dequantized constant."""

    levels: np.ndarray
    scale: np.ndarray
    zero_point: np.ndarray

    @property
    def values(self) -> np.ndarray:
        steps = self.levels.astype(np.int32) - self.zero_point
        scale = self.scale
        if scale.ndim:
            shape = (-1, *([1] * (self.levels.ndim - 1)))
            scale = scale.reshape(shape)
        return steps.astype(F32) * scale


@dataclass
class _Features:
    """The magnitude after some float steps."""

    steps: list[tuple]
    size: int


class _Refused(Exception):
    """What is wrong with the node at hand."""


def read(path: str | Path) -> Program:
    """Read an int8 or int16x8 stream of this project.

    Arguments
    ---------
    path : str or Path

    Returns
    -------
    Program

    Raises
    ------
    UserError
        For a damaged file, one that is no quantized stream of this project,
        and what the C code does not compute: each with the node, the reason
        and the mend.
    """
    model = files.load(path)
    card = metadata.read(path)
    _check_card(path, card)
    _check_shapes(path, model)
    files.check_finite(model, str(path))
    reader = _Reader(model, card)
    problems = reader.run()
    if problems:
        raise UserError.collect(f"{path}: cannot become C", problems)
    return reader.program


def _check_card(path, card) -> None:
    if card is None:
        raise UserError(
            f"{path}: carries no metadata of this project: export the "
            "network with export_onnx.py and quantize it with quantize.py"
        )
    problems = []
    if card.form != "stream":
        problems.append(
            f"it is the {card.form} form; C takes the stream form: "
            "export_onnx.py --forms stream, then quantize.py"
        )
    if card.precision not in ("int8", "int16x8"):
        problems.append(
            f"it is {card.precision}: quantize it with quantize.py "
            "--precision int8 or int16x8"
        )
    if card.signal.peak_normalize:
        problems.append(
            "peak_normalize: a stream does not know its peak; train with "
            "peak_normalize false"
        )
    if problems:
        raise UserError.collect(f"{path}: cannot become C", problems)


def _check_shapes(path, model) -> None:
    problems = []
    for value in [*model.graph.input, *model.graph.output]:
        shape = files.shape_of(value)
        if shape is None or not all(shape):
            problems.append(
                f"{value.name}: its shape is not fixed; export the stream "
                "form, whose shapes are"
            )
        elif shape[0] != 1:
            problems.append(
                f"{value.name}: a batch of {shape[0]}; a device runs 1"
            )
    if problems:
        raise UserError.collect(f"{path}: cannot become C", problems)


class _Reader:
    """Walks the nodes in order."""

    def __init__(self, model: onnx.ModelProto, card) -> None:
        self.nodes = model.graph.node
        self.card = card
        self.opset = next(o.version for o in model.opset_import if not o.domain)
        self.raw = {
            t.name: numpy_helper.to_array(t) for t in model.graph.initializer
        }
        self.values: dict = {}  # float tensors
        self.levels: dict = {}  # tensors of integers
        self.problems: list[str] = []
        self.states = {s["input"]: s for s in card.states}
        self.made: dict[str, State] = {}
        self.prologue = self.features = None
        self.operations: list = []
        shapes = {v.name: files.shape_of(v) for v in model.graph.input}
        self.shapes = shapes
        self.outputs = [v.name for v in model.graph.output]
        inputs = [n for n in shapes if n not in self.states]
        if len(inputs) != 1 or len(shapes[inputs[0]]) != 3:
            raise UserError(
                "the graph's inputs are not a magnitude and the states that "
                "its metadata names: export it again"
            )
        bins, frames = shapes[inputs[0]][1:]
        if bins != card.signal.bins:
            raise UserError(
                f"{inputs[0]} has {bins} bins, the metadata {card.signal.bins}"
            )
        if frames != 1:
            raise UserError(
                f"{inputs[0]} takes {frames} frames a call: C goes hop by "
                "hop; export with --stream_frames 1"
            )
        power = float(card.signal.power)
        steps = [("pow", F32(power))] if power != 1 else []
        self.values[inputs[0]] = _Features(steps, bins)

    def run(self) -> list[str]:
        """Read all nodes; return what is wrong."""
        for number, node in enumerate(self.nodes):
            name = node.name or f"{node.op_type}_{number}"
            try:
                self._read(node, name)
            except _Refused as refused:
                self.problems.append(f"{name} ({node.op_type}): {refused}")
                # What follows from it would be refused for the same reason.
                break
            except UserError as error:
                self.problems.append(str(error))
                break
        if not self.problems:
            try:
                self._finish()
            except _Refused as refused:
                self.problems.append(str(refused))
        return self.problems

    def _read(self, node, name: str) -> None:
        if node.domain not in ("", "ai.onnx") or node.op_type not in _SUPPORTED:
            raise _Refused(
                "no C kernel for this operator; the kernels are those of "
                "STFTTCNN, LSTMMask, ConvLSTM and NNSE"
            )
        getattr(self, f"_read_{node.op_type.lower()}", self._read_simple)(
            node, name
        )

    # Integers to float and back

    def _read_constant(self, node, name) -> None:
        value = helper.get_attribute_value(node.attribute[0])
        self.raw[node.output[0]] = numpy_helper.to_array(value)

    def _read_quantizelinear(self, node, name) -> None:
        quantization = self._quantization(node)
        source, target = node.input[0], node.output[0]
        if source in self.states:
            self.levels[target] = self._state(source, quantization)
            return
        if source in self.raw:
            raise _Refused("quantizes a constant: fold constants first")
        value = self._value(source)
        if isinstance(value, _Features):
            if self.features is not None:
                raise _Refused("a second QuantizeLinear of the features")
            self.prologue = value.steps
            self.features = Vector(source, value.size, quantization)
            self.levels[target] = _Integers(
                [Column(self.features, 0, value.size)], False
            )
        elif isinstance(value, _Integers):
            if value.quantization != quantization:
                vector = self._emit_unary(name, [], value, quantization)
                self.levels[target] = vector
            else:
                self.levels[target] = value
        elif isinstance(value, _Waiting):
            self.levels[target] = self._emit(value, quantization)
        else:
            raise _Refused("quantizes what is no moving value")

    def _quantization(self, node) -> Quantization:
        scale, zero = self._raw(node.input[1]), np.int8(0)
        if len(node.input) > 2 and node.input[2]:
            zero = self._raw(node.input[2])
        if scale.size != 1:
            raise _Refused(
                "activations with a scale a channel: give one a tensor"
            )
        kind = np.asarray(zero).dtype
        wanted = "int8" if self.card.precision == "int8" else "int16"
        if kind != wanted:
            unsigned = kind.kind == "u"
            raise _Refused(
                f"{'unsigned ' if unsigned else ''}{kind} activations in an "
                f"{self.card.precision} network: quantize with signed "
                f"{wanted} activations (quantize.py does)"
            )
        zero_point = int(np.asarray(zero).reshape(-1)[0])
        if kind == "int16" and zero_point:
            raise _Refused(
                "int16 activations with a zero point: quantize with "
                "ActivationSymmetric=True (quantize.py does)"
            )
        scale = F32(scale.reshape(-1)[0])
        if not (np.isfinite(scale) and scale > 0):
            raise _Refused(f"a scale of {scale}: calibrate with real audio")
        return Quantization(scale, zero_point, 8 * kind.itemsize)

    def _read_dequantizelinear(self, node, name) -> None:
        source, target = node.input[0], node.output[0]
        if source in self.raw:
            zero = np.zeros((), np.int32)
            if len(node.input) > 2 and node.input[2]:
                zero = self._raw(node.input[2])
            levels, scale = self._raw(source), self._raw(node.input[1])
            if np.any(zero):
                raise _Refused(
                    "weights with a zero point other than 0: quantize with "
                    "symmetric weights"
                )
            self.values[target] = _Weights(levels, scale, np.int32(0))
            return
        if source not in self.levels:
            raise _Refused(f"{source} holds no integers")
        value = self.levels[source]
        if value.quantization != self._quantization(node):
            raise _Refused(
                "dequantizes with another scale than it was quantized with: "
                "quantize the network again"
            )
        self.values[target] = value

    def _state(self, name: str, quantization: Quantization) -> _Integers:
        shape = self.shapes[name]
        columns = shape[2] if len(shape) == 3 else 1
        state = self.made.get(name)
        if state is None:
            state = State(name, columns, shape[1], quantization)
            self.made[name] = state
        elif state.quantization != quantization:
            raise _Refused(
                f"the state {name} is quantized with several scales: give "
                "it one (quantize.py ties them)"
            )
        return _Integers(
            [Column(state, j, state.size) for j in range(columns)],
            len(shape) == 2,
        )

    # Shapes

    def _read_identity(self, node, name) -> None:
        self.values[node.output[0]] = self._value(node.input[0])

    def _read_squeeze(self, node, name) -> None:
        self._reshaped(node, True)

    def _read_unsqueeze(self, node, name) -> None:
        self._reshaped(node, False)

    def _read_reshape(self, node, name) -> None:
        self._reshaped(node, len(self._raw(node.input[1])) == 2)

    def _reshaped(self, node, flat: bool) -> None:
        value = self._integers(node.input[0])
        if len(value.columns) != 1:
            raise _Refused("reshapes several frames into one")
        self.values[node.output[0]] = _Integers(value.columns, flat)

    def _read_concat(self, node, name) -> None:
        parts = [self._integers(n) for n in node.input]
        axis = self._attributes(node).get("axis")
        if any(p.flat for p in parts) or axis not in (2, -1):
            raise _Refused("joins along another axis than that of time")
        if len({(p.size, p.quantization) for p in parts}) != 1:
            raise _Refused(
                "joins parts with several scales or sizes: give the state "
                "and what follows it one scale (quantize.py ties them)"
            )
        self.values[node.output[0]] = _Integers(
            [c for p in parts for c in p.columns], False
        )

    def _read_slice(self, node, name) -> None:
        value = self._integers(node.input[0])
        starts, ends = (self._raw(n).reshape(-1) for n in node.input[1:3])
        axes = np.arange(len(starts))
        if len(node.input) > 3 and node.input[3]:
            axes = self._raw(node.input[3]).reshape(-1)
        step = 1
        if len(node.input) > 4 and node.input[4]:
            step = int(self._raw(node.input[4]).reshape(-1)[0])
        if len(starts) != 1 or step < 1:
            raise _Refused("slices several axes, or backwards")
        rank = 2 if value.flat else 3
        axis, span = int(axes[0]) % rank, (int(starts[0]), int(ends[0]))
        if axis == 2:
            columns = value.columns[span[0] : span[1] : step]
        elif axis == 1 and step == 1 and len(value.columns) == 1:
            first, last, _ = slice(*span).indices(value.size)
            whole = value.columns[0]
            if isinstance(whole.source, State):
                raise _Refused("takes channels out of a state")
            column = Column(whole.source, whole.index + first, last - first)
            columns = [column] if last > first else []
        else:
            raise _Refused("slices another axis than channels or time")
        if not columns:
            raise _Refused("leaves nothing")
        self.values[node.output[0]] = _Integers(columns, value.flat)

    # Computations

    def _read_conv(self, node, name) -> None:
        value = self._value(node.input[0])
        weights = self._value(node.input[1])
        if isinstance(value, _Features):
            matrix = getattr(weights, "values", weights)
            if matrix.ndim != 3 or matrix.shape[2] != 1 or len(node.input) > 2:
                raise _Refused(
                    "a float convolution that is no set of bands: quantize it"
                )
            steps = [*value.steps, ("mel", matrix[:, :, 0].astype(F32))]
            self.values[node.output[0]] = _Features(steps, len(matrix))
            return
        value = self._integers(node.input[0])
        options = self._attributes(node)
        if value.flat or any(options.get("pads", [])):
            raise _Refused("pads, or has no axis of time: export the stream")
        if options.get("dilations", [1]) != [1] or options.get(
            "strides", [1]
        ) not in ([1], [1, 1]):
            raise _Refused(
                "dilated or strided: export again, streams are written without"
            )
        levels, taps = self._weights(node.input[1]), len(value.columns)
        if levels.levels.ndim != 3 or levels.levels.shape[2] != taps:
            raise _Refused(
                f"a kernel of shape {list(levels.levels.shape)} over {taps} "
                "frames gives more than one frame"
            )
        groups = options.get("group", 1)
        kind = "dense" if groups == 1 else "depthwise"
        rows, columns = levels.levels.shape[:2]
        if groups not in (1, value.size) or columns * groups != value.size:
            raise _Refused(
                f"{groups} groups: only 1, or one a channel, have a kernel"
            )
        if kind == "depthwise" and rows != value.size:
            raise _Refused("several filters a channel have no kernel")
        bias = self._bias(node, value, levels)
        self.values[node.output[0]] = _Waiting(
            name, kind, (value, levels, bias), rows, False
        )

    def _read_gemm(self, node, name) -> None:
        options = self._attributes(node)
        if (
            options.get("transA", 0)
            or options.get("alpha", 1.0) != 1.0
            or options.get("beta", 1.0) != 1.0
        ):
            raise _Refused("transposes its input or scales: not a layer")
        value = self._integers(node.input[0])
        levels = self._weights(node.input[1])
        if not options.get("transB", 0):
            levels = _Weights(levels.levels.T, levels.scale, np.int32(0))
        if levels.levels.ndim != 2 or levels.levels.shape[1] != value.size:
            raise _Refused("weights and input have different sizes")
        bias = self._bias(node, value, levels)
        self.values[node.output[0]] = _Waiting(
            name, "dense", (value, levels, bias), len(levels.levels), value.flat
        )

    def _read_matmul(self, node, name) -> None:
        value = self._integers(node.input[0])
        levels = self._weights(node.input[1])
        if levels.levels.ndim != 2 or len(levels.levels) != value.size:
            raise _Refused("weights and input have different sizes")
        levels = _Weights(levels.levels.T, levels.scale, np.int32(0))
        bias = np.zeros(len(levels.levels), np.int32)
        self.values[node.output[0]] = _Waiting(
            name, "dense", (value, levels, bias), len(bias), value.flat
        )

    def _bias(self, node, value, levels) -> np.ndarray:
        rows = len(levels.levels)
        if len(node.input) < 3 or not node.input[2]:
            return np.zeros(rows, np.int32)
        bias = self.values.get(node.input[2])
        if bias is None and node.input[2] in self.raw:
            bias = self._raw(node.input[2])
            if not bias.any():
                return np.zeros(rows, np.int32)
        if not isinstance(bias, _Weights) or bias.levels.dtype != np.int32:
            raise _Refused("its bias is not a constant int32: quantize it")
        wanted = value.quantization.scale * levels.scale
        if not np.allclose(bias.scale, wanted, rtol=1e-5):
            raise _Refused(
                "the scale of its bias is not input scale x weight scale: "
                "quantize again"
            )
        return np.broadcast_to(bias.levels.reshape(-1), rows)

    def _weights(self, name: str) -> _Weights:
        value = self.values.get(name)
        if isinstance(value, _Weights) and value.levels.dtype == np.int8:
            return value
        if name in self.raw:
            raise _Refused(
                f"a float layer: its weights {name} are not quantized; do "
                "not exclude it"
            )
        raise _Refused(f"its weights {name} are not constant int8")

    def _read_add(self, node, name) -> None:
        self._arithmetic(node, name)

    _read_mul = _read_sub = _read_div = _read_add

    def _arithmetic(self, node, name) -> None:
        kind = _ARITHMETIC[node.op_type]
        first, second = (self._value(n) for n in node.input)
        if kind in ("add", "mul") and isinstance(first, np.ndarray | _Weights):
            first, second = second, first
        constant = getattr(second, "values", second)
        if isinstance(first, _Features) and isinstance(second, _Features):
            if first is not second or kind != "mul":
                raise _Refused("joins two paths of features")
            self._step(node, first, ("square", None))
        elif isinstance(first, _Features) and isinstance(constant, np.ndarray):
            constant = constant.astype(F32).reshape(-1)
            if constant.size not in (1, first.size):
                raise _Refused("a constant of another size")
            flat = F32(constant[0]) if constant.size == 1 else constant
            self._step(node, first, (kind, flat))
        elif isinstance(constant, np.ndarray):
            if constant.size != 1:
                raise _Refused(
                    "a constant for each channel behind the first layer: "
                    "fold it into the layer before"
                )
            self._unary(node, name, first, (kind, F32(constant.reshape(-1)[0])))
        elif isinstance(first, _Integers) and isinstance(second, _Integers):
            if kind not in ("add", "mul") or first.size != second.size:
                raise _Refused("no kernel for two moving values of this kind")
            self.values[node.output[0]] = _Waiting(
                name, kind, (first, second), first.size, first.flat
            )
        else:
            raise _Refused("an operand is float: quantize what gives it")

    def _read_simple(self, node, name) -> None:
        value = self._value(node.input[0])
        step = (_UNARY | _PROLOGUE_ONLY).get(node.op_type)
        if isinstance(value, _Features):
            self._step(node, value, (step, None))
        else:
            self._unary(node, name, value, (step, None))

    def _read_pow(self, node, name) -> None:
        value = self._value(node.input[0])
        exponent = self._value(node.input[1])
        if not isinstance(exponent, np.ndarray) or exponent.size != 1:
            raise _Refused("its exponent is no constant number")
        step = ("pow", F32(exponent.reshape(-1)[0]))
        if isinstance(value, _Features):
            self._step(node, value, step)
        else:
            self._unary(node, name, value, step)

    def _read_prelu(self, node, name) -> None:
        slope = self._value(node.input[1])
        slope = getattr(slope, "values", slope)
        if not isinstance(slope, np.ndarray) or slope.size != 1:
            raise _Refused("a slope for each channel: train one for a layer")
        step = ("prelu", F32(slope.reshape(-1)[0]))
        self._unary(node, name, self._value(node.input[0]), step)

    def _read_clip(self, node, name) -> None:
        limits = [F32(-np.inf), F32(np.inf)]
        for place, source in enumerate(node.input[1:3]):
            if source:
                limits[place] = F32(self._value(source).reshape(-1)[0])
        value = self._value(node.input[0])
        self._unary(node, name, value, ("clip", tuple(limits)))

    def _step(self, node, value: _Features, step: tuple) -> None:
        self.values[node.output[0]] = _Features(
            [*value.steps, step], value.size
        )

    def _unary(self, node, name, value, step: tuple) -> None:
        if isinstance(value, _Waiting) and value.kind == "unary":
            source, steps = value.parts
            parts = (source, [*steps, step])
        elif isinstance(value, _Integers) and len(value.columns) == 1:
            parts = (value, [step])
        else:
            raise _Refused(
                "its input is float, not integers: quantize what gives it"
            )
        self.values[node.output[0]] = _Waiting(
            name, "unary", parts, parts[0].size, parts[0].flat
        )

    # Emission

    def _emit(self, value: _Waiting, quantization: Quantization) -> _Integers:
        if value.kind == "unary":
            return self._emit_unary(
                value.node, value.parts[1], value.parts[0], quantization
            )
        out = Vector(value.node, value.size, quantization)
        if value.kind in ("add", "mul"):
            operands = []
            for part in value.parts:
                if len(part.columns) != 1:
                    raise _Refused("several frames at once")
                operands.append(part.columns[0])
            self.operations.append(
                Binary(value.node, value.kind, *operands, out)
            )
        else:
            self.operations.append(self._layer(value, out))
        return _Integers([Column(out, 0, out.size)], value.flat)

    def _emit_unary(self, node, steps, value, quantization) -> _Integers:
        if len(value.columns) != 1:
            raise _Refused("several frames at once")
        out = Vector(node, value.size, quantization)
        self.operations.append(Unary(node, steps, value.columns[0], out))
        return _Integers([Column(out, 0, out.size)], value.flat)

    def _layer(self, value: _Waiting, out: Vector):
        source, levels, bias = value.parts
        weights = levels.levels.astype(np.int8)
        moved = weights.astype(np.int64)
        axes = tuple(range(1, moved.ndim))
        zero = source.quantization.zero_point
        folded = bias.astype(np.int64) - zero * moved.sum(axes)
        reach = np.abs(moved).sum(axes) * (1 << (out.quantization.bits - 1))
        widest = int((np.abs(folded) + reach).max())
        limit = _INT32 if out.quantization.bits == 8 else 1 << 38
        if widest > limit or int(np.abs(folded).max()) > _INT32:
            raise _Refused(
                f"its sums reach {widest}, more than the accumulator holds: "
                "split the layer"
            )
        # The order of onnxruntime: (input x weight) / output.
        ratio = (source.quantization.scale * levels.scale.astype(F32)).astype(
            F32
        ) / out.quantization.scale
        ratio = np.broadcast_to(ratio.astype(F32).reshape(-1), len(weights))
        folded = folded.astype(np.int32)
        if value.kind == "depthwise":
            return Depthwise(
                value.node,
                source.columns,
                np.ascontiguousarray(weights[:, 0, :].T),
                folded,
                ratio,
                out,
            )
        if weights.ndim == 3:
            # Column after column, each with all channels.
            weights = weights.transpose(0, 2, 1).reshape(len(weights), -1)
        elif len(source.columns) != 1:
            raise _Refused("several frames at once")
        return Dense(
            value.node,
            source.columns,
            np.ascontiguousarray(weights),
            folded,
            ratio,
            out,
        )

    def _finish(self) -> None:
        mask_name = [n for n in self.outputs if n not in self._state_outputs()]
        if len(mask_name) != 1:
            raise _Refused("the outputs are not a mask and the new states")
        mask = self.values.get(mask_name[0])
        if not isinstance(mask, _Integers) or len(mask.columns) != 1:
            raise _Refused(
                f"{mask_name[0]}: the mask is computed in float: quantize "
                "the last layer"
            )
        if isinstance(mask.columns[0].source, State):
            raise _Refused(f"{mask_name[0]}: is an old state, not computed")
        if self.features is None:
            raise _Refused("nothing reads the magnitude")
        program = Program(
            self.card,
            self.prologue,
            self.features,
            mask.columns[0],
            self.operations,
            list(self.made.values()),
        )
        for entry in self.card.states:
            self._update(program, entry)
        self.program = program

    def _state_outputs(self) -> set[str]:
        return {s["output"] for s in self.card.states}

    def _update(self, program: Program, entry) -> None:
        state = self.made.get(entry["input"])
        value = self.values.get(entry["output"])
        if state is None or not isinstance(value, _Integers):
            raise _Refused(
                f"the state {entry['input']} is not quantized, or not used: "
                "quantize the network again"
            )
        if value.quantization != state.quantization:
            raise _Refused(
                f"the state {state.name} goes in with scale "
                f"{state.quantization.scale:g} and comes out with "
                f"{value.quantization.scale:g}: give it one scale "
                "(quantize.py ties them)"
            )
        kept = [Column(state, j, state.size) for j in range(1, state.columns)]
        *old, new = value.columns
        if old != kept or isinstance(new.source, State):
            raise _Refused(
                f"the state {state.name} is not its own last columns and a "
                "new one: no kernel for that"
            )
        program.operations.append(Update(state, new))

    # Small parts

    def _value(self, name: str):
        if name in self.values:
            return self.values[name]
        if name in self.raw:
            return self.raw[name]
        if name in self.states:
            raise _Refused(f"the state {name} is used in float: quantize it")
        raise _Refused(f"its input {name} comes from nowhere")

    def _integers(self, name: str) -> _Integers:
        value = self._value(name)
        if isinstance(value, _Waiting):
            raise _Refused(
                f"a float layer: its input {name} is not quantized; do not "
                "exclude the node before it"
            )
        if not isinstance(value, _Integers):
            raise _Refused(f"a float layer: its input {name} is not integers")
        return value

    def _raw(self, name: str) -> np.ndarray:
        if name not in self.raw:
            raise _Refused(f"{name} is no constant")
        return np.asarray(self.raw[name])

    def _attributes(self, node) -> dict:
        return {a.name: helper.get_attribute_value(a) for a in node.attribute}
