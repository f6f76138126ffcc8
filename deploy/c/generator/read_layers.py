"""Read layers with weights, and emit what waits for its scale."""

from edgebrain.onnx.graph import attributes
import numpy as np

from deploy.c.generator.lower import check_reach
from deploy.c.generator.program import (
    Binary,
    CellUnary,
    Column,
    Dense,
    Depthwise,
    Quantization,
    Unary,
    Vector,
)
from deploy.c.generator.values import (
    Features,
    Integers,
    Refused,
    Values,
    Waiting,
    Weights,
)

F32 = np.float32
_INT32 = 2**31 - 1


class LayerReader(Values):
    """Convolutions, Gemm and MatMul."""

    def _read_conv(self, node, name) -> None:
        value = self._value(node.input[0])
        weights = self._value(node.input[1])
        if isinstance(value, Features):
            matrix = getattr(weights, "values", weights)
            if matrix.ndim != 3 or matrix.shape[2] != 1 or len(node.input) > 2:
                raise Refused(
                    "a float convolution that is no set of bands: quantize it"
                )
            steps = [*value.steps, ("mel", matrix[:, :, 0].astype(F32))]
            self.values[node.output[0]] = Features(steps, len(matrix))
            return
        value = self._integers(node.input[0])
        options = attributes(node)
        if value.flat or any(options.get("pads", [])):
            raise Refused("pads, or has no axis of time: export the stream")
        levels, taps = self._weights(node.input[1]), len(value.columns)
        # Over one frame a dilation means nothing.
        dilated = taps > 1 and options.get("dilations", [1]) != [1]
        if dilated or options.get("strides", [1]) not in ([1], [1, 1]):
            raise Refused(
                "dilated or strided: export again, streams are written without"
            )
        if levels.levels.ndim != 3 or levels.levels.shape[2] != taps:
            raise Refused(
                f"a kernel of shape {list(levels.levels.shape)} over {taps} "
                "frames gives more than one frame"
            )
        groups = options.get("group", 1)
        kind = "dense" if groups == 1 else "depthwise"
        rows, columns = levels.levels.shape[:2]
        if groups not in (1, value.size) or columns * groups != value.size:
            raise Refused(
                f"{groups} groups: only 1, or one a channel, have a kernel"
            )
        if kind == "depthwise" and rows != value.size:
            raise Refused("several filters a channel have no kernel")
        bias = self._bias(node, value, levels)
        self.values[node.output[0]] = Waiting(
            name, kind, (value, levels, bias), rows, False
        )

    def _read_gemm(self, node, name) -> None:
        options = attributes(node)
        if (
            options.get("transA", 0)
            or options.get("alpha", 1.0) != 1.0
            or options.get("beta", 1.0) != 1.0
        ):
            raise Refused("transposes its input or scales: not a layer")
        value = self._integers(node.input[0])
        levels = self._weights(node.input[1])
        if not options.get("transB", 0):
            levels = Weights(levels.levels.T, levels.scale)
        if levels.levels.ndim != 2 or levels.levels.shape[1] != value.size:
            raise Refused("weights and input have different sizes")
        bias = self._bias(node, value, levels)
        self.values[node.output[0]] = Waiting(
            name, "dense", (value, levels, bias), len(levels.levels), value.flat
        )

    def _read_matmul(self, node, name) -> None:
        self._read_gemm(node, name)

    def _bias(self, node, value, levels) -> np.ndarray:
        rows = len(levels.levels)
        if len(node.input) < 3 or not node.input[2]:
            return np.zeros(rows, np.int32)
        bias = self.values.get(node.input[2])
        if bias is None and node.input[2] in self.raw:
            bias = self._raw(node.input[2])
            if not bias.any():
                return np.zeros(rows, np.int32)
        if not isinstance(bias, Weights) or bias.levels.dtype != np.int32:
            raise Refused("its bias is not a constant int32: quantize it")
        wanted = value.quantization.scale * levels.scale
        if not np.allclose(bias.scale, wanted, rtol=1e-5):
            raise Refused(
                "the scale of its bias is not input scale x weight scale: "
                "quantize again"
            )
        return np.broadcast_to(bias.levels.reshape(-1), rows)

    def _weights(self, name: str) -> Weights:
        value = self.values.get(name)
        if isinstance(value, Weights) and value.levels.dtype == np.int8:
            return value
        if name in self.raw:
            raise Refused(
                f"a float layer: its weights {name} are not quantized; do "
                "not exclude it"
            )
        raise Refused(f"its weights {name} are not constant int8")

    def _emit(self, value: Waiting, quantization: Quantization) -> Integers:
        if value.kind == "unary":
            return self._emit_unary(
                value.node, value.parts[1], value.parts[0], quantization
            )
        out = Vector(value.node, value.size, quantization)
        if value.kind in ("add", "mul"):
            operands = []
            for part in value.parts:
                if len(part.columns) != 1:
                    raise Refused("several frames at once")
                operands.append(part.columns[0])
            self.operations.append(
                Binary(value.node, value.kind, *operands, out)
            )
        else:
            self.operations.append(self._layer(value, out))
        return Integers([Column(out, 0, out.size)], value.flat)

    def _emit_cell(self, value: Waiting, quantization) -> Integers:
        cell, steps = value.parts
        out = Vector(value.node, value.size, quantization)
        names = [name for name, _ in steps]
        if names not in ([], ["tanh"]):
            raise Refused("a function of the cell state that does not rise")
        self.operations.append(CellUnary(value.node, steps, cell, out))
        return Integers([Column(out, 0, out.size)], True)

    def _emit_unary(self, node, steps, value, quantization) -> Integers:
        if len(value.columns) != 1:
            raise Refused("several frames at once")
        out = Vector(node, value.size, quantization)
        self.operations.append(Unary(node, steps, value.columns[0], out))
        return Integers([Column(out, 0, out.size)], value.flat)

    def _layer(self, value: Waiting, out: Vector):
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
            raise Refused(
                f"its sums reach {widest}, more than the accumulator holds: "
                "split the layer"
            )
        # The order of onnxruntime: (input x weight) / output.
        ratio = (source.quantization.scale * levels.scale.astype(F32)).astype(
            F32
        ) / out.quantization.scale
        ratio = np.broadcast_to(ratio.astype(F32).reshape(-1), len(weights))
        if out.quantization.bits == 8:
            steps = (np.abs(folded) + reach) * ratio.astype(np.float64)
            check_reach(value.node, float(steps.max()))
        folded = folded.astype(np.int32)
        kind = Dense
        if value.kind == "depthwise":
            kind, weights = Depthwise, weights[:, 0, :].T
        elif weights.ndim == 3:
            # Column after column, each with all channels.
            weights = weights.transpose(0, 2, 1).reshape(len(weights), -1)
        elif len(source.columns) != 1:
            raise Refused("several frames at once")
        weights = np.ascontiguousarray(weights)
        return kind(value.node, source.columns, weights, folded, ratio, out)
