"""Read element-wise operations, of features and of integers."""

import numpy as np

from deploy.c.generator.program import Cell, FloatState
from deploy.c.generator.values import (
    Features,
    Integers,
    Refused,
    Values,
    Waiting,
    Weights,
)

F32 = np.float32
UNARY = {"Relu": "relu", "Sigmoid": "sigmoid", "Tanh": "tanh"}
PROLOGUE_ONLY = {"Log": "log", "Sqrt": "sqrt"}
ARITHMETIC = {"Add": "add", "Sub": "sub", "Mul": "mul", "Div": "div"}

#: A sigmoid ends at 1, and its scale may be a little large.
_MOST_KEPT = 1.02


class ElementReader(Values):
    """Arithmetic and functions of one value."""

    def _read_add(self, node, name) -> None:
        kind = ARITHMETIC[node.op_type]
        first, second = (self._value(n) for n in node.input)
        if kind in ("add", "mul") and isinstance(first, np.ndarray | Weights):
            first, second = second, first
        constant = getattr(second, "values", second)
        if isinstance(first, Features) and isinstance(second, Features):
            if first is not second or kind != "mul":
                raise Refused("joins two paths of features")
            self._step(node, first, ("square", None))
        elif isinstance(first, Features) and isinstance(constant, np.ndarray):
            constant = constant.astype(F32).reshape(-1)
            if constant.size not in (1, first.size):
                raise Refused("a constant of another size")
            flat = F32(constant[0]) if constant.size == 1 else constant
            self._step(node, first, (kind, flat))
        elif isinstance(constant, np.ndarray):
            if constant.size != 1:
                raise Refused(
                    "a constant for each channel behind the first layer: "
                    "fold it into the layer before"
                )
            step = (kind, F32(constant.reshape(-1)[0]))
            if isinstance(second, Weights):
                step = self._with_levels(first, second, step)
            self._unary(node, name, first, step)
        elif kind == "add" and self._is_cell(first, second):
            self.values[node.output[0]] = self._cell(name, first, second)
        elif kind == "mul" and isinstance(second, FloatState):
            self.values[node.output[0]] = self._forget(name, first, second)
        elif kind == "mul" and isinstance(first, FloatState):
            self.values[node.output[0]] = self._forget(name, second, first)
        elif isinstance(first, Integers) and isinstance(second, Integers):
            if kind not in ("add", "mul") or first.size != second.size:
                raise Refused("no kernel for two moving values of this kind")
            self.values[node.output[0]] = Waiting(
                name, kind, (first, second), first.size, first.flat
            )
        else:
            raise Refused("an operand is float: quantize what gives it")

    _read_mul = _read_sub = _read_div = _read_add

    def _with_levels(self, first, second: Weights, step: tuple) -> tuple:
        """Return the step as onnxruntime computes it of two int8 tensors."""
        if not isinstance(first, Integers) or first.quantization.bits != 8:
            return step
        level = int(second.levels.reshape(-1)[0])
        scale = F32(second.scale.reshape(-1)[0])
        return (f"{step[0]}_level", (level, scale))

    def _forget(self, name, gate, state: FloatState) -> Waiting:
        if not isinstance(gate, Integers) or gate.size != state.size:
            raise Refused("no cell of an LSTM: quantize what gives its gates")
        return Waiting(name, "forget", (gate, state), gate.size, True)

    def _is_cell(self, first, second) -> bool:
        kinds = {getattr(v, "kind", None) for v in (first, second)}
        return kinds == {"forget", "mul"}

    def _cell(self, name, first: Waiting, second: Waiting) -> Cell:
        if first.kind != "forget":
            first, second = second, first
        columns = [first.parts[0], *second.parts]
        if any(len(c.columns) != 1 for c in columns):
            raise Refused("several frames at once")
        forget = columns[0].quantization
        most = (forget.high - forget.zero_point) * float(forget.scale)
        if most > _MOST_KEPT:
            raise Refused(
                f"its forget gate reaches {most:.3g}: a cell that grows by "
                "itself overflows; quantize what gives the gate to at most 1"
            )
        cell = Cell(name, *(c.columns[0] for c in columns), first.parts[1])
        self.operations.append(cell)
        return cell

    def _read_simple(self, node, name) -> None:
        value = self._value(node.input[0])
        step = (UNARY | PROLOGUE_ONLY).get(node.op_type)
        self._of_one(node, name, value, (step, None))

    def _read_pow(self, node, name) -> None:
        value = self._value(node.input[0])
        exponent = self._value(node.input[1])
        if not isinstance(exponent, np.ndarray) or exponent.size != 1:
            raise Refused("its exponent is no constant number")
        step = ("pow", F32(exponent.reshape(-1)[0]))
        self._of_one(node, name, value, step)

    def _read_prelu(self, node, name) -> None:
        slope = self._value(node.input[1])
        slope = getattr(slope, "values", slope)
        if not isinstance(slope, np.ndarray) or slope.size != 1:
            raise Refused("a slope for each channel: train one for a layer")
        step = ("prelu", F32(slope.reshape(-1)[0]))
        self._unary(node, name, self._value(node.input[0]), step)

    def _read_clip(self, node, name) -> None:
        limits = [F32(-np.inf), F32(np.inf)]
        for place, source in enumerate(node.input[1:3]):
            if source:
                limits[place] = F32(self._value(source).reshape(-1)[0])
        value = self._value(node.input[0])
        self._unary(node, name, value, ("clip", tuple(limits)))

    def _of_one(self, node, name, value, step: tuple) -> None:
        if isinstance(value, Features):
            self._step(node, value, step)
        else:
            self._unary(node, name, value, step)

    def _step(self, node, value: Features, step: tuple) -> None:
        self.values[node.output[0]] = Features(
            [*value.steps, step], value.size, value.flat
        )

    def _unary(self, node, name, value, step: tuple) -> None:
        if isinstance(value, Waiting) and value.kind == "unary":
            source, steps = value.parts
            parts = (source, [*steps, step])
        elif isinstance(value, Cell):
            self.values[node.output[0]] = Waiting(
                name, "cell_unary", (value, [step]), value.state.size, True
            )
            return
        elif isinstance(value, Integers) and len(value.columns) == 1:
            parts = (value, [step])
        else:
            raise Refused(
                "its input is float, not integers: quantize what gives it"
            )
        self.values[node.output[0]] = Waiting(
            name, "unary", parts, parts[0].size, parts[0].flat
        )
