"""The operations of a frame as calls, and the tables that they read."""

import numpy as np

from deploy.c.generator import lower, numbers
from deploy.c.generator.arena import Arena
from deploy.c.generator.c_files import ModelFiles
from deploy.c.generator.c_text import float_text, harmless, int_text
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
)

F32 = np.float32


class StepEmitter(ModelFiles):
    """Writes the network."""

    def __init__(self, program: Program) -> None:
        super().__init__(program.bits)
        self.program = program
        self.body: list[str] = []
        self.arena = Arena(program)
        self._prologue()
        for number, op in enumerate(program.operations):
            self._operation(number, op)

    def _prologue(self) -> None:
        signal, out = self.program.metadata.signal, self.program.features
        quantization, target = out.quantization, self._vector(out)
        steps = self.program.prologue
        zero, scale = quantization.zero_point, float_text(quantization.scale)
        if self.bits == 8:
            edges = numbers.thresholds(steps, quantization)
            if edges is not None:
                start = numbers.apply(steps, np.zeros(1, F32))
                first = int(quantization.quantize(start)[0])
                name = self._array(
                    "feature_edges", "int32_t", lower.float_keys(edges)
                )
                self.body.append(
                    f"eb_count_edges_s8({name}, magnitude, {target}, "
                    f"{out.size}, {first});"
                )
                return
        # The mask is not there yet, so its memory serves.
        size = signal.bins
        self.body.append(f"memmove(mask, magnitude, {size}u * sizeof *mask);")
        calls, size = self._float_steps(steps, "mask", size)
        self.body += calls
        if self.bits == 8:
            call = f"eb_quantize_s8(mask, {target}, {size}, {scale}, {zero});"
        else:
            call = f"eb_quantize_s16(mask, {target}, {size}, {scale});"
        self.body.append(call)

    def _operation(self, number: int, op) -> None:
        if isinstance(op, Update):
            self._update(op)
            return
        self.body.append(f"/* {harmless(op.node)} */")
        {
            Dense: self._dense,
            Depthwise: self._depthwise,
            Binary: self._binary,
            Unary: self._unary,
            Cell: self._cell,
            CellUnary: self._cell_unary,
        }[type(op)](number, op)

    def _dense(self, number: int, op: Dense) -> None:
        source = self._gathered(op)
        self._weights(number, op)
        self.body.append(
            f"eb_dense_s{self.bits}(&layer_{number}, {source}, "
            f"{self._vector(op.out)}, state->scratch);"
        )

    def _gathered(self, op: Dense) -> str:
        """Return where the columns of an input lie one after the other."""
        if len(op.inputs) == 1:
            return self._column(op.inputs[0])
        place = self.arena.gathered[id(op)]
        for column in op.inputs:
            self.body.append(
                f"memcpy(&state->arena[{place}], {self._column(column)}, "
                f"{column.size}u * sizeof state->arena[0]);"
            )
            place += column.size
        return f"&state->arena[{self.arena.gathered[id(op)]}]"

    def _depthwise(self, number: int, op: Depthwise) -> None:
        taps = len(op.weights)
        self._weights(number, op)
        columns = [self._column(c) for c in op.inputs]
        kind = f"int{self.bits}_t"
        self.body.append(
            "{\n"
            f"    const {kind} *const columns[{taps}] = {{\n        "
            + ",\n        ".join(columns)
            + "};\n"
            f"    eb_depthwise_s{self.bits}(&layer_{number}, columns, "
            f"{self._vector(op.out)});\n}}"
        )

    def _binary(self, number: int, op: Binary) -> None:
        kind = f"{op.kind}_s{self.bits}"
        if self.bits == 8 and op.kind == "add":
            fields = map(float_text, lower.add_s8(op))
        elif self.bits == 8:
            operands = (op.first, op.second, op.out)
            zeros = [o.quantization.zero_point for o in operands]
            fields = [float_text(lower.mul_s8(op)), *zeros]
        elif op.kind == "add":
            factors, shift = lower.add_s16(op)
            fields = [*factors, shift]
        else:
            kind, fields = "scale_s16", lower.mul_s16(op)
        self._struct(f"layer_{number}", kind, fields)
        self.body.append(
            f"eb_{op.kind}_s{self.bits}(&layer_{number}, "
            f"{self._column(op.first)}, {self._column(op.second)}, "
            f"{self._vector(op.out)}, {op.out.size});"
        )

    def _cell(self, number: int, op: Cell) -> None:
        fields = []
        for column in (op.forget, op.input, op.gate):
            quantization = column.quantization
            fields += [float_text(quantization.scale), quantization.zero_point]
        self._struct(f"layer_{number}", "cell", fields)
        cell = self.program.cells.index(op.state)
        self.body.append(
            f"eb_cell_s{self.bits}(&layer_{number}, "
            f"{self._column(op.forget)}, "
            f"{self._column(op.input)}, {self._column(op.gate)}, "
            f"state->cell_{cell}, {op.state.size});"
        )

    def _cell_unary(self, number: int, op: CellUnary) -> None:
        cell = self.program.cells.index(op.cell.state)
        words = f"state->cell_{cell}, {self._vector(op.out)}, {op.out.size}"
        target = op.out.quantization
        kernel = "cell_tanh" if op.steps else "quantize"
        if self.bits == 8:
            scale = float_text(target.scale)
            words += f", {scale}, {target.zero_point}"
        elif not op.steps:
            words += f", {float_text(target.scale)}"
        else:
            self._struct(f"layer_{number}", "scale_s16", lower.from_tanh(op))
            words = f"&layer_{number}, {words}"
        self.body.append(f"eb_{kernel}_s{self.bits}({words});")

    def _unary(self, number: int, op: Unary) -> None:
        source, out = self._column(op.source), self._vector(op.out)
        if self.bits == 8:
            table = numbers.table(
                op.steps, op.source.quantization, op.out.quantization
            )
            name = self._array(f"table_{number}", "int8_t", table)
            self.body.append(
                f"eb_table_s8({name}, {source}, {out}, {op.out.size});"
            )
            return
        kind, given = lower.unary_s16(op)
        if kind == "bent":
            given, layers = [given], [("bent_s16", f"layer_{number}")]
        else:
            layers = [
                ("scale_s16", f"layer_{number}_in"),
                ("scale_s16", f"layer_{number}_out"),
            ]
        for (struct, name), fields in zip(layers, given, strict=True):
            self._struct(name, struct, map(int_text, fields))
        pointers = ", ".join(f"&{name}" for _, name in layers)
        self.body.append(
            f"eb_{kind}_s16({pointers}, {source}, {out}, {op.out.size});"
        )

    def _update(self, op: Update) -> None:
        number, state = self._state_number(op.state), op.state
        bytes_ = f"{state.size}u * sizeof state->state_{number}[0]"
        place = "0"
        if state.columns > 1:
            place = f"state->head_{number} * {state.size}"
        self.body.append(
            f"memcpy(&state->state_{number}[{place}], "
            f"{self._column(op.column)}, {bytes_});"
        )
        if state.columns > 1:
            self.body.append(
                f"state->head_{number} = "
                f"eb_ring_place(state->head_{number}, 1, {state.columns});"
            )

    def _state_number(self, state: State) -> int:
        return self.program.states.index(state)

    def _vector(self, vector) -> str:
        return f"&state->arena[{self.arena.places[vector]}]"

    def _column(self, column: Column) -> str:
        if not isinstance(column.source, State):
            place = self.arena.places[column.source] + column.index
            return f"&state->arena[{place}]"
        number, state = self._state_number(column.source), column.source
        if state.columns == 1:
            return f"state->state_{number}"
        return (
            f"&state->state_{number}[eb_ring_place(state->head_{number}, "
            f"{column.index}, {state.columns}) * {state.size}]"
        )
