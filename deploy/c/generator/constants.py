"""Constant tables of a model and the calls that read them, as C text."""

from edgebrain.errors import UserError
import numpy as np

from deploy.c.generator import lower
from deploy.c.generator.c_text import float_text, int_text, lines
from deploy.c.generator.program import Dense, Layer
from deploy.c.generator.stft_constants import (
    MAX_STAGES,
    fixed_tables,
    tables,
)

F32 = np.float32


class Tables:
    """Collects constants, and how many int16 of scratch layers need."""

    def __init__(self, bits: int) -> None:
        self.bits, self.scratch = bits, 0
        self.tables: list[str] = []
        self._table_names: dict[bytes, str] = {}

    def _array(self, name: str, kind: str, values) -> str:
        """Add a constant table, once for equal contents; return its name."""
        values = np.asarray(values).reshape(-1)
        key = kind.encode() + values.tobytes()
        if key in self._table_names:
            return self._table_names[key]
        if kind == "float":
            words = [float_text(v) for v in values]
        else:
            words = [int_text(v) for v in values]
        self.tables.append(
            f"static const {kind} {name}[{len(words)}] = {{\n"
            + lines(words)
            + "\n};"
        )
        self._table_names[key] = name
        return name

    def _weights(self, number: int, op: Layer) -> None:
        """Add the tables and the struct of a layer, named by its number."""
        if isinstance(op, Dense):
            rows, columns = op.weights.shape
            self.scratch = max(self.scratch, -(-columns // 8) * 8)
            weights = lower.dense_weights(op.weights)
            fields = self._layer_tables(number, op, weights)
            kind, shape = "dense", f"{rows}, {columns}"
        else:
            taps, size = op.weights.shape
            fields = self._layer_tables(number, op, op.weights)
            kind, shape = "depthwise", f"{size}, {taps}"
        last = op.out.quantization.zero_point
        if self.bits == 16:
            last = int(lower.layer_factors(op)[2])
        kind = f"{kind}_s{self.bits}"
        self._struct(f"layer_{number}", kind, [*fields, shape, last])

    def _layer_tables(self, number: int, op, weights) -> list[str]:
        """Return the names of tables; those of dense rows are filled up."""
        rows = [("bias", "int32_t", op.bias, 0)]
        if self.bits == 8:
            rows.append(("ratio", "float", op.ratio, 0))
        else:
            factor, shift, _ = lower.layer_factors(op)
            rows.append(("factor", "int32_t", factor, 0))
            # Any that the kernels can shift by.
            rows.append(("shift", "uint8_t", shift, 33))
        names = [self._array(f"weights_{number}", "int8_t", weights)]
        for name, kind, values, more in rows:
            if isinstance(op, Dense):
                values = lower.dense_rows(values, more)
            names.append(self._array(f"{name}_{number}", kind, values))
        return names

    def _struct(self, name: str, kind: str, fields) -> None:
        """Add a constant of type eb_<kind>_layer."""
        text = ", ".join(map(str, fields))
        self.tables.append(
            f"static const eb_{kind}_layer {name} = {{\n    {text},\n}};"
        )

    def _float_steps(
        self, steps: list[tuple], buffer: str, size: int
    ) -> tuple[list[str], int]:
        """Return calls that change a float buffer in place, and its size."""
        calls = []
        for number, (kind, argument) in enumerate(steps):
            if kind == "mel":
                calls += self._bands(argument, buffer, size)
                size = len(argument)
            else:
                step = (kind, argument)
                calls.append(self._float_step(number, step, buffer, size))
        return calls, size

    def _float_step(self, number, step, buffer, size) -> str:
        kind, argument = step
        if kind == "relu":
            kind, argument = "clip", (F32(0), F32(np.inf))
        if kind == "clip":
            largest = np.finfo(F32).max
            low, high = (
                float_text(np.clip(F32(v), -largest, largest)) for v in argument
            )
            return f"eb_clip_all({buffer}, {size}, {low}, {high});"
        if kind in ("log", "sqrt", "square"):
            return f"eb_{kind}_all({buffer}, {size});"
        if kind == "pow":
            table = lower.power_table(argument)
            name = self._array(f"feature_{number}", "float", table)
            return f"eb_pow_all({buffer}, {size}, {name});"
        if kind == "sub":
            kind, argument = "add", -np.asarray(argument, F32)
        if kind not in ("add", "mul", "div"):
            raise UserError(
                f"the prologue computes {kind}: no kernel for that in float"
            )
        if np.ndim(argument):
            name = self._array(f"feature_{number}", "float", argument)
            return f"eb_{kind}_each({buffer}, {size}, {name});"
        return f"eb_{kind}_all({buffer}, {size}, {float_text(argument)});"

    def _bands(self, matrix, buffer: str, size: int) -> list[str]:
        first, count, weights = [], [], []
        for row in matrix:
            used = np.flatnonzero(row)
            start, end = (used[0], used[-1] + 1) if len(used) else (0, 0)
            first.append(int(start))
            count.append(int(end - start))
            weights.extend(row[start:end])
        if len(matrix) > size:
            raise UserError("the prologue makes more bands than there are bins")
        names = [
            self._array("band_first", "int16_t", np.array(first, np.int16)),
            self._array("band_count", "int16_t", np.array(count, np.int16)),
            self._array("band_weights", "float", np.array(weights, F32)),
        ]
        count = len(matrix)
        return [
            "{",
            f"    float bands[{count}];",
            f"    eb_bands({buffer}, bands, {count}, {', '.join(names)});",
            f"    memcpy({buffer}, bands, {count}u * sizeof bands[0]);",
            "}",
        ]

    def _stft_tables(self, signal) -> str:
        """Return the tables of a transform, as one text."""
        exact, fixed = tables(signal), fixed_tables(signal)
        integers = (
            f"#error n_fft {signal.n_fft} has no transform in fixed point: "
            "compile with -DEB_FLOAT"
        )
        if fixed is not None:
            integers = self._stft(
                signal, fixed, "int16_t", f"{fixed.up}, {fixed.down},"
            )
        return (
            f"#if defined(EB_USE_FIXED)\n{integers}\n#else\n"
            f"{self._stft(signal, exact, 'float', '')}\n#endif"
        )

    def _stft(self, signal, constants, kind: str, more: str) -> str:
        before = len(self.tables)
        window, gain, twiddle, turns = (
            self._array(f"{n}_{kind}", kind, getattr(constants, n))
            for n in ("window", "gain", "twiddle", "turns")
        )
        own = self.tables[before:]
        del self.tables[before:]
        stages = constants.radices
        filled = [*stages, *[0] * (MAX_STAGES - len(stages))]
        own.append(
            "static const eb_stft stft = {\n"
            f"    {signal.n_fft}, {signal.win_length}, {signal.hop_length},\n"
            f"    {{{signal.n_fft // 2}, {len(stages)}, "
            f"{{{', '.join(map(str, filled))}}},\n     {twiddle}}},\n"
            f"    {window}, {gain}, {turns}, {more}\n}};"
        )
        return "\n\n".join(own)
