"""What generated C must give, bit for bit: its program in numpy."""

import numpy as np

from deploy.c.generator import lower, numbers
from deploy.c.generator.program import (
    Binary,
    Cell,
    CellUnary,
    Column,
    Dense,
    Depthwise,
    Program,
    State,
    Unary,
    Update,
    Vector,
)

F32 = np.float32
_SMALLEST = F32(1.17549435e-38)


class Reference:
    """A network with its states.

    Arguments
    ---------
    program : Program
    """

    def __init__(self, program: Program) -> None:
        self.program = program
        self._tanh = numbers.tanh_table().astype(np.int64)
        self._edges = None
        if program.bits == 8:
            quantization = program.features.quantization
            self._edges = numbers.thresholds(program.prologue, quantization)
        self.reset()

    def reset(self) -> None:
        """Go back to the states before the first frame."""
        self.states: dict[State, np.ndarray] = {
            state: np.full(
                (state.columns, state.size),
                state.initial,
                state.quantization.dtype,
            )
            for state in self.program.states
        }
        self.cells = {
            state: np.zeros(state.size, F32) for state in self.program.cells
        }

    def step(self, magnitude: np.ndarray) -> np.ndarray:
        """Return the mask of the next frame, both (bins,) float32."""
        return self.step_features(self.features(magnitude))

    def features(self, magnitude: np.ndarray) -> np.ndarray:
        """Return the integers that the network sees of a magnitude."""
        quantization = self.program.features.quantization
        magnitude = np.asarray(magnitude, F32)
        if self._edges is not None:
            first = quantization.quantize(
                numbers.apply(self.program.prologue, np.zeros(1, F32))
            )[0]
            count = np.searchsorted(self._edges, magnitude, side="right")
            return (int(first) + count).astype(np.int8)
        return quantization.quantize(
            float_steps(self.program.prologue, magnitude)
        )

    def step_features(self, features: np.ndarray) -> np.ndarray:
        """Return the mask of the integers that the network sees."""
        self.values: dict[Vector, np.ndarray] = {
            self.program.features: features
        }
        updates = []
        for op in self.program.operations:
            if isinstance(op, Cell):
                forget, given, gate = (
                    c.quantization.dequantize(self._take(c))
                    for c in (op.forget, op.input, op.gate)
                )
                kept = forget * self.cells[op.state]
                self.cells[op.state] = kept + given * gate
            elif isinstance(op, Update):
                updates.append((op, self._take(op.column).copy()))
            else:
                self.values[op.out] = self._run(op)
        mask = self._take(self.program.mask)
        for op, new in updates:
            old = self.states[op.state]
            self.states[op.state] = np.concatenate([old[1:], new[None]])
        return self.program.mask.quantization.dequantize(mask)

    def _take(self, column: Column) -> np.ndarray:
        if isinstance(column.source, State):
            return self.states[column.source][column.index]
        whole = self.values[column.source]
        return whole[column.index : column.index + column.size]

    def _run(self, op) -> np.ndarray:
        wide = self.program.bits == 16
        if isinstance(op, Dense | Depthwise):
            columns = [self._take(c).astype(np.int64) for c in op.inputs]
            weights = op.weights.astype(np.int64)
            if isinstance(op, Dense):
                sums = weights @ np.concatenate(columns)
            else:
                sums = (weights * np.stack(columns)).sum(0)
            sums = sums + op.bias
            return _layer_16(op, sums) if wide else _layer_8(op, sums)
        if isinstance(op, Binary):
            a, b = self._take(op.first), self._take(op.second)
            return (_binary_16 if wide else _binary_8)(op, a, b)
        if isinstance(op, CellUnary) and wide:
            return self._cell_unary_16(op)
        if isinstance(op, CellUnary):
            target = op.out.quantization
            state = self.cells[op.cell.state]
            return target.quantize(numbers.apply(op.steps, state))
        if not isinstance(op, Unary):
            raise TypeError(f"no such operation: {op}")
        x = self._take(op.source)
        if not wide:
            table = numbers.table(
                op.steps, op.source.quantization, op.out.quantization
            )
            return table[x.astype(np.int64) + 128]
        return self._unary_16(op, x.astype(np.int64))

    def _unary_16(self, op: Unary, x: np.ndarray) -> np.ndarray:
        kind, given = lower.unary_s16(op)
        if kind == "bent":
            positive, negative, shift, low, high = given
            factor = np.where(x < 0, negative, positive)
            value = _scaled(x, factor, shift)
            return np.clip(value, low, high).astype(np.int16)
        into, out = given
        y = self._tanh_q22(_scaled(x, *into))
        if kind == "sigmoid":
            y = (1 << numbers.TANH_OUT_BITS) + y
        return _saturated(_scaled(y, *out))

    def _tanh_q22(self, value: np.ndarray) -> np.ndarray:
        """Return 2^22 tanh of Q18 numbers."""
        at = np.minimum(np.abs(value), numbers.TANH_END << 18)
        place, rest = at >> 11, at & 2047
        low = self._tanh[place]
        rise = self._tanh[place + 1] - low
        return np.sign(value) * (low + ((rise * rest + 1024) >> 11))

    def _cell_unary_16(self, op: CellUnary) -> np.ndarray:
        state = self.cells[op.cell.state]
        if not op.steps:
            return op.out.quantization.quantize(state)
        inside = np.clip(state, F32(-8), F32(8)) * F32(1 << 18)
        y = self._tanh_q22(np.rint(inside).astype(np.int64))
        return _saturated(_scaled(y, *lower.from_tanh(op)))


def _scaled(value, factor, shift) -> np.ndarray:
    shift = np.asarray(shift, np.int64)
    half = np.int64(1) << (shift - 1)
    return (np.asarray(value, np.int64) * factor + half) >> shift


def _saturated(value) -> np.ndarray:
    return np.clip(value, -32768, 32767).astype(np.int16)


def _layer_8(op, sums) -> np.ndarray:
    zero = op.out.quantization.zero_point
    value = sums.astype(np.int32).astype(F32) * op.ratio
    value = np.rint(np.clip(value, -128 - zero, 127 - zero))
    return (value.astype(np.int32) + zero).astype(np.int8)


def _layer_16(op, sums) -> np.ndarray:
    factor, shift, _ = lower.layer_factors(op)
    return _saturated(_scaled(sums, factor, shift))


def _binary_8(op: Binary, a, b) -> np.ndarray:
    if op.kind == "add":
        first, second, fixed = lower.add_s8(op)
        part = _fused(b, second, fixed)
        value = _fused(a, first, part)
    else:
        a_zero = op.first.quantization.zero_point
        b_zero = op.second.quantization.zero_point
        product = (a.astype(np.int32) - a_zero) * (b.astype(np.int32) - b_zero)
        value = product.astype(F32) * lower.mul_s8(op)
        value = value + F32(op.out.quantization.zero_point)
    return np.rint(np.clip(value, -128, 127)).astype(np.int8)


def _fused(x, factor, term) -> np.ndarray:
    """Return x * factor + term, rounded once; x are 8-bit integers.

    The product is exact in float64. Its sum with the term is too, but where
    their exponents lie more than 20 apart; then the last bit may be that of
    a second rounding.
    """
    product = x.astype(np.float64) * np.float64(factor)
    return (product + np.float64(term)).astype(F32)


def _binary_16(op: Binary, a, b) -> np.ndarray:
    a, b = a.astype(np.int64), b.astype(np.int64)
    if op.kind == "mul":
        return _saturated(_scaled(a * b, *lower.mul_s16(op)))
    (first, second), shift = lower.add_s16(op)
    half = 1 << (shift - 1)
    return _saturated((a * first + b * second + half) >> shift)


def float_steps(steps: list[tuple], x: np.ndarray) -> np.ndarray:
    """Return features as the C code computes them, in float32 throughout.

    Arguments
    ---------
    steps : list of tuple
        See :func:`.numbers.apply`.
    x : numpy.ndarray
        float32, not negative.
    """
    for name, argument in steps:
        x = _STEPS[name](x, argument)
        x = np.asarray(x, F32)
    return x


def log2(x: np.ndarray) -> np.ndarray:
    """Return eb_log2 of each."""
    x = np.asarray(x, F32)
    normal = x >= _SMALLEST
    bits = np.where(normal, x, F32(1)).view(np.int32)
    exponent = (bits - np.int32(0x3F3504F3)) >> 23
    m = (bits - (exponent << 23)).astype(np.int32).view(F32)
    z = (m - F32(1)) / (m + F32(1))
    w = z * z
    total = np.full_like(w, F32(0.32059899))
    for term in (0.41219858, 0.57707802, 0.96179669, 2.88539008):
        total = total * w + F32(term)
    return np.where(normal, exponent.astype(F32) + total * z, F32(-126))


def _power(x, exponent):
    """Return eb_pow_all of each."""
    table = lower.power_table(exponent)
    parts, scale = table[:96].reshape(3, 32), table[96:]
    bits = np.maximum(np.asarray(x, F32).view(np.int32), 0)
    piece = (bits >> 18) & 31
    d = (bits & 0x3FFFF).astype(F32)
    total = parts[2][piece] * d + parts[1][piece]
    total = total * d + parts[0][piece]
    return total * scale[bits >> 23]


def _bands(x, matrix):
    out = np.zeros(len(matrix), F32)
    for row, weights in enumerate(matrix):
        used = np.flatnonzero(weights)
        total = F32(0)
        if len(used):
            for k in range(used[0], used[-1] + 1):
                total = F32(total + F32(x[k] * weights[k]))
        out[row] = total
    return out


_STEPS = {
    "pow": _power,
    "log": lambda x, a: log2(x) * F32(0.693147181),
    "sqrt": lambda x, a: np.sqrt(x),
    "square": lambda x, a: x * x,
    "add": lambda x, a: x + a,
    "sub": lambda x, a: x + (-a),
    "mul": lambda x, a: x * a,
    "div": lambda x, a: x / a,
    "clip": lambda x, a: np.clip(x, a[0], a[1]),
    "relu": lambda x, a: np.maximum(x, F32(0)),
    "mel": _bands,
}
