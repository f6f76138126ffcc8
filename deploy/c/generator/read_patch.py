"""Read a quantized ONNX patch network as a :class:`.patch.PatchProgram`."""

from edgebrain.errors import UserError
from edgebrain.onnx.graph import Graph, attributes
import numpy as np

from deploy.c.generator import lower, numbers
from deploy.c.generator.patch import (
    Mean,
    PatchProgram,
    RowNode,
    Rows,
    Window,
)
from deploy.c.generator.program import Column, Vector
from deploy.c.generator.read import Reader
from deploy.c.generator.values import (
    Features,
    Integers,
    Refused,
    Values,
    Waiting,
    Weights,
)

F32 = np.float32
#: Of a window, in each direction; as EB_ROWS_MOST.
_WIDEST = 9


class Map(Integers):
    """Integers of a whole patch; ``parts`` of its columns go apart."""

    def __init__(self, rows: Rows, parts: int = 1) -> None:
        super().__init__([rows], False)
        self.rows, self.parts = rows, parts


class Flat(Integers):
    """All integers of a patch as one vector, frame by frame."""

    def __init__(self, rows: Rows) -> None:
        size = rows.height * rows.width * rows.channels
        vector = Vector(rows.name, size, rows.quantization)
        super().__init__([Column(vector, 0, size)], True)
        self.rows = rows


class PatchReader(Reader):
    """Walks the nodes of (1, bands, frames) -> (1, classes) in order."""

    def __init__(self, graph: Graph) -> None:
        Values.__init__(self, graph)
        self.mean, self.rows = None, []
        if len(graph.inputs) != 1 or len(self.shapes[graph.inputs[0]]) != 3:
            raise UserError(
                f"{graph.path}: its input is not one patch (1, bands, frames): "
                "export the patch form"
            )
        name = graph.inputs[0]
        _, self.bands, self.frames = self.shapes[name]
        #: Of a tensor with four: where frames follow each other.
        self.time_axis = 3
        self.values[name] = Features([], self.bands)

    # Features and shapes

    def _quantized_features(self, source, value, quantization) -> Map:
        return Map(Rows(source, self.frames, self.bands, 1, quantization))

    def _read_transpose(self, node, name) -> None:
        value = self._value(node.input[0])
        swapped = list(attributes(node)["perm"]) in ([0, 2, 1], [0, 1, 3, 2])
        if not swapped or isinstance(value, Integers) and self.rows:
            raise Refused("transposes behind the first layer: no kernel")
        self.time_axis = 5 - self.time_axis
        self.values[node.output[0]] = value

    def _reshaped(self, node, flat: bool) -> None:
        value = self._value(node.input[0])
        rank = len(self.shapes[node.output[0]])
        if isinstance(value, Map) and rank == 2:
            rows = value.rows
            if rows.row != rows.width * rows.channels:
                raise Refused("flattens rows that are no multiple of 4 long")
            value = Flat(rows)
        elif isinstance(value, Map):
            value = self._parted(value, self.shapes[node.output[0]])
        if isinstance(value, Waiting):
            raise Refused("its input is not quantized")
        if not isinstance(value, Features | Map | Flat):
            value = Integers(value.columns, flat)
        self.values[node.output[0]] = value

    def _read_flatten(self, node, name) -> None:
        self._reshaped(node, True)

    def _parted(self, value: Map, shape) -> Map:
        """Return columns in parts, as channels of their own."""
        rows = value.rows
        parts = shape[1] // rows.channels if len(shape) == 4 else 0
        wanted = [1, rows.channels * parts, 0, rows.height]
        wanted[2] = rows.width // max(parts, 1)
        if self.time_axis != 3 or list(shape) != wanted:
            raise Refused("reshapes a patch: no kernel for that")
        return Map(rows, parts)

    # Layers

    def _map(self, name: str) -> Rows:
        value = self._integers(name)
        if not isinstance(value, Map):
            raise Refused("its input is no patch of integers")
        if value.parts != 1:
            raise Refused("reshapes a patch, and no mean follows")
        return value.rows

    def _window(self, node, size) -> Window:
        options = attributes(node)
        if set(options.get("dilations", [1])) != {1}:
            raise Refused("dilated: no kernel for that over patches")
        if options.get("auto_pad", b"NOTSET") not in (b"NOTSET", "NOTSET"):
            raise Refused("pads by itself: export with explicit pads")
        pads = options.get("pads", [0, 0, 0, 0])[:2]
        strides = options.get("strides", [1, 1])
        if max(size) > _WIDEST:
            raise Refused(f"a window wider than {_WIDEST}")
        return Window(*(self._frames_first(p) for p in (size, strides, pads)))

    def _frames_first(self, pair) -> tuple[int, int]:
        pair = tuple(int(n) for n in pair)
        return pair if self.time_axis == 2 else pair[::-1]

    def _read_conv(self, node, name) -> None:
        source, levels = self._map(node.input[0]), self._weights(node.input[1])
        shape = levels.levels.shape
        if len(shape) != 4:
            raise Refused("a convolution that is not two-dimensional")
        groups = attributes(node).get("group", 1)
        depthwise = groups > 1
        if depthwise and (groups != source.channels or shape[0] != groups):
            raise Refused(
                f"{groups} groups: only 1, or one a channel, have a kernel"
            )
        window = self._window(node, shape[2:])
        # Windows are gathered frame by frame, then column by column.
        turned = levels.levels
        if self.time_axis == 3:
            turned = turned.transpose(0, 1, 3, 2)
        flat = Weights(turned.reshape(*shape[:2], -1), levels.scale)
        value = Map(source)
        bias = self._bias(node, value, flat)
        kind = "depthwise" if depthwise else "dense"
        parts = (value, flat, bias)
        waiting = Waiting(name, kind, parts, shape[0], False)
        waiting.window, waiting.shape = window, self.shapes[node.output[0]]
        self.values[node.output[0]] = waiting

    def _read_gemm(self, node, name) -> None:
        super()._read_gemm(node, name)
        waiting = self.values[node.output[0]]
        value, levels, bias = waiting.parts
        if isinstance(value, Flat):
            # The graph has channels first, and frames where time_axis says.
            rows = value.rows
            shape = (rows.channels, rows.height, rows.width)
            order = (0, 2, 3, 1)
            if self.time_axis == 3:
                shape, order = (shape[0], shape[2], shape[1]), (0, 3, 2, 1)
            flat = levels.levels.reshape(-1, *shape).transpose(order)
            moved = flat.reshape(len(levels.levels), -1)
            levels = Weights(moved, levels.scale)
            waiting.parts = (value, levels, bias)

    def _read_maxpool(self, node, name) -> None:
        source = self._map(node.input[0])
        window = self._window(node, attributes(node)["kernel_shape"])
        out = self._out(name, self.shapes[node.output[0]], source.quantization)
        self.rows.append(RowNode(name, "max", [source], out, window))
        self.values[node.output[0]] = Map(out)

    def _read_globalaveragepool(self, node, name) -> None:
        source = self._integers(name := node.input[0])
        if not isinstance(source, Map):
            raise Refused("its input is no patch of integers")
        self.values[node.output[0]] = Waiting(
            name,
            "mean",
            (source.rows, source.parts),
            source.rows.channels * source.parts,
            False,
        )

    def _read_reducemean(self, node, name) -> None:
        raise Refused(
            "a mean that onnxruntime computes in float: use "
            "torch.nn.AdaptiveAvgPool2d(1)"
        )

    def _out(self, name, shape, quantization) -> Rows:
        columns = 5 - self.time_axis
        return Rows(
            name, shape[self.time_axis], shape[columns], shape[1], quantization
        )

    # What waits for its scale

    def _emit(self, value: Waiting, quantization) -> Integers:
        if value.kind == "mean":
            return self._emit_mean(value, quantization)
        if not isinstance(value.parts[0], Map):
            return super()._emit(value, quantization)
        source = value.parts[0].rows
        if value.kind == "unary":
            return self._emit_unary(
                value.node, value.parts[1], value.parts[0], quantization
            )
        if value.kind == "add":
            inputs = [part.rows for part in value.parts]
            out = self._like(value.node, source, quantization)
            node = RowNode(value.node, "add", inputs, out)
        elif value.kind in ("dense", "depthwise"):
            out = self._out(value.node, value.shape, quantization)
            vector = Vector(value.node, out.channels, quantization)
            layer = self._layer(value, vector)
            node = RowNode(
                value.node, value.kind, [source], out, value.window, layer
            )
        else:
            raise Refused("no kernel for that over patches")
        self.rows.append(node)
        return Map(out)

    def _emit_unary(self, node, steps, value, quantization) -> Integers:
        if not isinstance(value, Map):
            return super()._emit_unary(node, steps, value, quantization)
        out = self._like(node, value.rows, quantization)
        table = numbers.table(steps, value.quantization, quantization)
        self.rows.append(RowNode(node, "table", [value.rows], out, layer=table))
        return Map(out)

    def _like(self, name, rows: Rows, quantization) -> Rows:
        return Rows(name, rows.height, rows.width, rows.channels, quantization)

    def _emit_mean(self, value: Waiting, quantization) -> Integers:
        if self.mean is not None:
            raise Refused("a second mean over the patch")
        source, parts = value.parts
        count = source.height * source.width // parts
        before = source.quantization
        # The order of onnxruntime.
        ratio = F32(before.scale / F32(quantization.scale * F32(count)))
        lower.check_reach(value.node, 255.0 * count * float(ratio))
        out = Vector(value.node, source.channels * parts, quantization)
        offset = before.zero_point * count
        self.mean = Mean(value.node, source, ratio, offset, out, parts)
        return Integers([Column(out, 0, out.size)], True)

    # The end

    def _finish(self) -> None:
        scores = self.values.get(self.outputs[0])
        if len(self.outputs) != 1 or not isinstance(scores, Integers):
            raise Refused(
                "the output is not one vector of quantized scores: quantize "
                "the last layer"
            )
        if isinstance(scores, Map | Flat) or not self.operations:
            raise Refused("no dense layer gives the scores")
        self.program = PatchProgram(
            self.card,
            self.prologue or [],
            self.features.rows,
            self.rows,
            self.mean or self.rows[-1].out,
            self.operations,
            scores.columns[0].source,
        )
