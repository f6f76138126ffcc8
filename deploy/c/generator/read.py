"""Read a quantized ONNX stream as a :class:`.program.Program`.

Moving values of a QDQ graph are float between a DequantizeLinear and a
QuantizeLinear; :mod:`.values` says what each of them can be here.
"""

from pathlib import Path

from edgebrain.errors import UserError
from edgebrain.onnx import files
from edgebrain.onnx.graph import Graph, attribute
import numpy as np

from deploy.c.generator.program import (
    Cell,
    Column,
    Program,
    Quantization,
    State,
    Update,
    Vector,
)
from deploy.c.generator.read_elements import (
    PROLOGUE_ONLY,
    UNARY,
    ElementReader,
)
from deploy.c.generator.read_layers import LayerReader
from deploy.c.generator.values import (
    Features,
    Integers,
    Refused,
    Waiting,
    Weights,
)

F32 = np.float32

#: Sizes of tensors, and frames of look-ahead, from where on a file is damaged.
_MOST, _MOST_LATE = 65535, 1000
_MALFORMED = (
    AttributeError,
    IndexError,
    KeyError,
    OverflowError,
    TypeError,
    ValueError,
)


#: What of each task becomes C: the form, and the precisions.
TAKEN = {
    "enhancement": ("stream", ("int8", "int16x8")),
    "events": ("patch", ("int8",)),
}


def checked_graph(path: str | Path, *wanted: str) -> Graph:
    """Return the graph of a file that the card says may become C.

    ``wanted`` tasks; left out: any of :data:`TAKEN`.
    """
    graph = Graph.read(path)
    card, wanted = graph.metadata, wanted or tuple(TAKEN)
    if card is None:
        raise UserError(
            f"{path}: carries no metadata of this project: export the "
            "network with export_onnx.py and quantize it with quantize.py"
        )
    if card.task not in wanted:
        raise UserError(
            f"{path}: is a network of {card.task}; C is made of "
            + " and ".join(wanted)
        )
    form, precisions = TAKEN[card.task]
    problems = []
    if card.form != form:
        problems.append(
            f"it is the {card.form} form; C takes the {form} form: "
            f"export_onnx.py --forms {form}, then quantize.py"
        )
    if card.precision not in precisions:
        problems.append(
            f"it is {card.precision}: quantize it with quantize.py "
            f"--precision {' or '.join(precisions)}"
        )
    if (card.lookahead_frames or 0) > _MOST_LATE:
        problems.append(
            f"its metadata says {card.lookahead_frames} frames of look-ahead; "
            f"0 to {_MOST_LATE} are possible: export it again"
        )
    if card.signal.peak_normalize:
        problems.append(
            "peak_normalize: a stream does not know its peak; train with "
            "peak_normalize false"
        )
    for value in [*graph.model.graph.input, *graph.model.graph.output]:
        shape = files.shape_of(value)
        if shape is None or not all(0 < n <= _MOST for n in shape):
            problems.append(
                f"{value.name}: its shape is not fixed, or beyond {_MOST}; "
                "export it with fixed shapes"
            )
        elif shape[0] != 1:
            problems.append(
                f"{value.name}: a batch of {shape[0]}; a device runs 1"
            )
    if problems:
        raise UserError.collect(f"{path}: cannot become C", problems)
    graph.check_complete()
    return graph


class Reader(LayerReader, ElementReader):
    """Walks the nodes in order."""

    def __init__(self, graph: Graph) -> None:
        super().__init__(graph)
        signal = self.card.signal
        inputs = [n for n in graph.inputs if n not in self.states]
        if len(inputs) != 1 or len(self.shapes[inputs[0]]) != 3:
            raise UserError(
                "the graph's inputs are not a magnitude and the states that "
                "its metadata names: export it again"
            )
        bins, frames = self.shapes[inputs[0]][1:]
        if bins != signal.bins:
            raise UserError(
                f"{inputs[0]} has {bins} bins, the metadata {signal.bins}"
            )
        if frames != 1:
            raise UserError(
                f"{inputs[0]} takes {frames} frames a call: C goes hop by "
                "hop; export with --stream_frames 1"
            )
        power = float(signal.power)
        steps = [("pow", F32(power))] if power != 1 else []
        self.values[inputs[0]] = Features(steps, bins)

    def run(self):
        """Return the program of the nodes, or refuse the first that is none.

        What follows from it would be refused for the same reason.
        """
        where, problem = "", None
        try:
            for number, node in enumerate(self.nodes):
                name = node.name or f"{node.op_type}_{number}"
                where = f"{name} ({node.op_type}): "
                self._read(node, name)
            where = ""
            self._finish()
        except Refused as refused:
            problem = f"{where}{refused}"
        except UserError as error:
            problem = str(error)
        except _MALFORMED as error:
            # The checker lets through what no exporter writes.
            if not where:
                raise
            problem = (
                f"{where}malformed ({error}): export and quantize it again"
            )
        if problem:
            raise UserError(f"{self.path}: cannot become C: {problem}")
        return self.program

    def _read(self, node, name: str) -> None:
        read = getattr(self, f"_read_{node.op_type.lower()}", None)
        if node.op_type in UNARY.keys() | PROLOGUE_ONLY.keys():
            read = self._read_simple
        if read is None or node.domain not in ("", "ai.onnx"):
            raise Refused(
                "no C kernel for this operator; the kernels are those of "
                "the networks of this project"
            )
        read(node, name)

    # Integers to float and back

    def _read_quantizelinear(self, node, name) -> None:
        quantization = self._quantization(node)
        source, target = node.input[0], node.output[0]
        if source in self.states:
            self.levels[target] = self._state(source, quantization)
            return
        if source in self.raw:
            raise Refused("quantizes a constant: fold constants first")
        value = self._value(source)
        if isinstance(value, Features):
            if self.features is not None:
                raise Refused("a second QuantizeLinear of the features")
            self.prologue = value.steps
            self.features = self._quantized_features(
                source, value, quantization
            )
            self.levels[target] = self.features
        elif isinstance(value, Integers):
            if value.quantization != quantization:
                vector = self._emit_unary(name, [], value, quantization)
                self.levels[target] = vector
            else:
                self.levels[target] = value
        elif isinstance(value, Waiting) and value.kind == "cell_unary":
            self.levels[target] = self._emit_cell(value, quantization)
        elif isinstance(value, Waiting):
            self.levels[target] = self._emit(value, quantization)
        else:
            raise Refused("quantizes what is no moving value")

    def _quantized_features(self, source, value, quantization) -> Integers:
        vector = Vector(source, value.size, quantization)
        return Integers([Column(vector, 0, value.size)], value.flat)

    def _quantization(self, node) -> Quantization:
        scale = self._raw(node.input[1])
        wanted = "int8" if self.card.precision == "int8" else "int16"
        # Without a zero point the levels are uint8, or what comes in.
        quantizes = node.op_type == "QuantizeLinear"
        zero = np.zeros((), "uint8" if quantizes else wanted)
        if len(node.input) > 2 and node.input[2]:
            zero = self._raw(node.input[2])
        if scale.size != 1:
            raise Refused(
                "activations with a scale a channel: give one a tensor"
            )
        kind = np.asarray(zero).dtype
        if kind != wanted:
            unsigned = kind.kind == "u"
            raise Refused(
                f"{'unsigned ' if unsigned else ''}{kind} activations in an "
                f"{self.card.precision} network: quantize with signed "
                f"{wanted} activations (quantize.py does)"
            )
        zero_point = int(np.asarray(zero).reshape(-1)[0])
        if kind == "int16" and zero_point:
            raise Refused(
                "int16 activations with a zero point: quantize with "
                "ActivationSymmetric=True (quantize.py does)"
            )
        scale = F32(scale.reshape(-1)[0])
        if not (np.isfinite(scale) and scale > 0):
            raise Refused(f"a scale of {scale}: calibrate with real audio")
        return Quantization(scale, zero_point, 8 * kind.itemsize)

    def _read_dequantizelinear(self, node, name) -> None:
        source, target = node.input[0], node.output[0]
        if source in self.raw:
            zero = np.zeros((), np.int32)
            if len(node.input) > 2 and node.input[2]:
                zero = self._raw(node.input[2])
            levels, scale = self._raw(source), self._raw(node.input[1])
            if np.any(zero):
                raise Refused(
                    "weights with a zero point other than 0: quantize with "
                    "symmetric weights"
                )
            self.values[target] = Weights(levels, scale)
            return
        if source not in self.levels:
            raise Refused(f"{source} holds no integers")
        value = self.levels[source]
        if value.quantization != self._quantization(node):
            raise Refused(
                "dequantizes with another scale than it was quantized with: "
                "quantize the network again"
            )
        self.values[target] = value

    def _state(self, name: str, quantization: Quantization) -> Integers:
        shape = self.shapes[name]
        columns = shape[2] if len(shape) == 3 else 1
        state = self.made.get(name)
        if state is None:
            state = State(name, columns, shape[1], quantization)
            self.made[name] = state
        elif state.quantization != quantization:
            raise Refused(
                f"the state {name} is quantized with several scales: give "
                "it one (quantize.py ties them)"
            )
        return Integers(
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
        value = self._value(node.input[0])
        if isinstance(value, Features):
            self.values[node.output[0]] = Features(
                value.steps, value.size, flat
            )
            return
        value = self._integers(node.input[0])
        if len(value.columns) != 1:
            raise Refused("reshapes several frames into one")
        self.values[node.output[0]] = Integers(value.columns, flat)

    def _read_concat(self, node, name) -> None:
        parts = [self._integers(n) for n in node.input]
        axis = attribute(node, "axis")
        if any(p.flat for p in parts) or axis not in (2, -1):
            raise Refused("joins along another axis than that of time")
        if len({(p.size, p.quantization) for p in parts}) != 1:
            raise Refused(
                "joins parts with several scales or sizes: give the state "
                "and what follows it one scale (quantize.py ties them)"
            )
        self.values[node.output[0]] = Integers(
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
            raise Refused("slices several axes, or backwards")
        rank = 2 if value.flat else 3
        axis, span = int(axes[0]) % rank, (int(starts[0]), int(ends[0]))
        if axis == 2:
            columns = value.columns[span[0] : span[1] : step]
        elif axis == 1 and step == 1 and len(value.columns) == 1:
            first, last, _ = slice(*span).indices(value.size)
            whole = value.columns[0]
            if isinstance(whole.source, State):
                raise Refused("takes channels out of a state")
            column = Column(whole.source, whole.index + first, last - first)
            columns = [column] if last > first else []
        else:
            raise Refused("slices another axis than channels or time")
        if not columns:
            raise Refused("leaves nothing")
        self.values[node.output[0]] = Integers(columns, value.flat)

    # The end

    def _finish(self) -> None:
        new = {s["output"] for s in self.card.states}
        mask_name = [n for n in self.outputs if n not in new]
        if len(mask_name) != 1:
            raise Refused("the outputs are not a mask and the new states")
        mask = self.values.get(mask_name[0])
        if not isinstance(mask, Integers) or len(mask.columns) != 1:
            raise Refused(
                f"{mask_name[0]}: the mask is computed in float: quantize "
                "the last layer"
            )
        if isinstance(mask.columns[0].source, State):
            raise Refused(f"{mask_name[0]}: is an old state, not computed")
        if self.features is None:
            raise Refused("nothing reads the magnitude")
        program = Program(
            self.card,
            self.prologue,
            self.features.columns[0].source,
            mask.columns[0],
            self.operations,
            list(self.made.values()),
            list(self.cells.values()),
        )
        for entry in self.card.states:
            self._update(program, entry)
        self.program = program

    def _update(self, program: Program, entry) -> None:
        state = self.made.get(entry["input"])
        value = self.values.get(entry["output"])
        if isinstance(value, Cell) and value.state is self.cells.get(
            entry["input"]
        ):
            return
        if state is None or not isinstance(value, Integers):
            raise Refused(
                f"the state {entry['input']} is not quantized, or not used: "
                "quantize the network again"
            )
        if value.quantization != state.quantization:
            raise Refused(
                f"the state {state.name} goes in with scale "
                f"{state.quantization.scale:g} and comes out with "
                f"{value.quantization.scale:g}: give it one scale "
                "(quantize.py ties them)"
            )
        kept = [Column(state, j, state.size) for j in range(1, state.columns)]
        *old, new = value.columns
        if old != kept or isinstance(new.source, State):
            raise Refused(
                f"the state {state.name} is not its own last columns and a "
                "new one: no kernel for that"
            )
        program.operations.append(Update(state, new))
