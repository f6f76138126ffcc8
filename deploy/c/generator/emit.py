"""The program as a C header and source."""

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
from deploy.c.generator.projects import ENHANCER
from deploy.c.generator.stft_constants import slow_transform

F32 = np.float32


def delay_samples(program: Program) -> int:
    """Return how many samples the output of ``process`` is late."""
    signal = program.metadata.signal
    late = (program.metadata.lookahead_frames or 0) * signal.hop_length
    return signal.win_length - signal.hop_length + late


class Emitter(ModelFiles):
    """Writes the files of one enhancer; ``name`` prefixes its public names."""

    words, runtime = ENHANCER, "eb_kernels.h"

    def __init__(self, program: Program, name: str) -> None:
        super().__init__(program.bits)
        self.program, self.name = program, name
        self.body: list[str] = []
        self.arena = Arena(program)
        self._prologue()
        for number, op in enumerate(program.operations):
            self._operation(number, op)

    def summary(self) -> str:
        """Return what a person should know, in lines."""
        hop = self.program.metadata.signal.hop_length
        return (
            f"{self.program.macs} multiplications a frame of {hop} samples\n"
            f"  output {delay_samples(self.program)} samples late, beside the "
            f"hop{slow_transform(self.program.metadata.signal.n_fft)}"
        )

    def _macros(self) -> str:
        signal, upper = self.program.metadata.signal, self.name.upper()
        return f"""/* Samples of a call, in and out. */
#define {upper}_HOP {signal.hop_length}
/* Samples that the output is late, beside the hop itself. */
#define {upper}_DELAY {delay_samples(self.program)}
#define {upper}_BINS {signal.bins}"""

    def _declarations(self) -> str:
        upper = self.name.upper()
        return f"""/* One hop in, one hop out; both may be the same. */
void {self.name}_process({self.name}_state *state, const int16_t *in,
{" " * (len(self.name) + 14)}int16_t *out);

/* Forget the stream so far. */
void {self.name}_reset({self.name}_state *state);

/* Leave at least `floor` of the input, from 0 (as at the start) to 1:
 * 10^(-limit / 20) for an attenuation limit in dB. Each mask becomes
 * floor + (1 - floor) mask. Kept by {self.name}_reset. */
void {self.name}_limit_attenuation({self.name}_state *state, float floor);

/* The network alone, to verify it: one frame of magnitudes to its mask, both
 * {upper}_BINS floats. */
void {self.name}_step({self.name}_state *state, const float *magnitude,
{" " * (len(self.name) + 11)}float *mask);"""

    # Memory

    def _members(self) -> list[tuple[str, str, int, int]]:
        """Return (type, name, count, bytes each) of the state."""
        signal = self.program.metadata.signal
        kind, size = f"int{self.bits}_t", self.bits // 8
        kept = signal.win_length - signal.hop_length
        members = [
            ("float", "first", signal.n_fft + 2, 4),
            ("float", "second", signal.n_fft + 2, 4),
            ("float", "overlap", max(kept, 1), 4),
        ]
        members.append(("float", "floor", 0, 4))
        late = self.program.metadata.lookahead_frames or 0
        if late:
            members.append(("float", "late", late * (signal.n_fft + 2), 4))
            members.append(("int32_t", "late_head", 0, 4))
        for number, cell in enumerate(self.program.cells):
            members.append(("float", f"cell_{number}", cell.size, 4))
        for number, state in enumerate(self.program.states):
            if state.columns > 1:
                members.append(("int32_t", f"head_{number}", 0, 4))
        members.append(("int16_t", "history", signal.win_length, 2))
        members.append(("int16_t", "scratch", max(self.scratch, 4), 2))
        for number, state in enumerate(self.program.states):
            count = state.columns * state.size
            members.append((kind, f"state_{number}", count, size))
        members.append((kind, "arena", max(self.arena.size, 4), size))
        return members

    def _functions(self) -> str:
        name, card = self.name, self.program.metadata
        mask = self._column(self.program.mask)
        quantization = self.program.mask.quantization
        zero = f", {quantization.zero_point}" if self.bits == 8 else ""
        body = [
            *self.body,
            f"eb_dequantize_s{self.bits}({mask}, mask, "
            f"{self.program.mask.size}, "
            f"{float_text(quantization.scale)}{zero});",
        ]
        step = "\n".join(
            "    " + line for text in body for line in text.split("\n")
        )
        resets = []
        for number, state in enumerate(self.program.states):
            count = state.columns * state.size
            resets.append(
                f"    for (int32_t i = 0; i < {count}; i++) {{\n"
                f"        state->state_{number}[i] = {state.initial};\n"
                "    }"
            )
        late, bins = card.lookahead_frames or 0, card.signal.bins
        delayed = ""
        if late:
            size = card.signal.n_fft + 2
            delayed = (
                "    /* The mask belongs to an older frame. */\n"
                f"    for (int32_t i = 0; i < {size}; i++) {{\n"
                f"        float *const kept = &state->late[state->late_head * "
                f"{size} + i];\n"
                "        const float newest = state->first[i];\n"
                "        state->first[i] = *kept;\n"
                "        *kept = newest;\n"
                "    }\n"
                "    state->late_head = "
                f"eb_ring_place(state->late_head, 1, {late});\n"
            )
        return f"""void {name}_reset({name}_state *state)
{{
    const float floor = state->floor;
    memset(state, 0, sizeof *state);
    state->floor = floor;
{chr(10).join(resets)}
}}

void {name}_limit_attenuation({name}_state *state, float floor)
{{
    state->floor = floor;
}}

void {name}_step({name}_state *state, const float *magnitude,
{" " * (len(name) + 11)}float *mask)
{{
{step}
}}

void {name}_process({name}_state *state, const int16_t *in,
{" " * (len(name) + 14)}int16_t *out)
{{
    float *const magnitude = state->second;
    float *const mask = &state->second[{bins}];
    eb_take_hop(&stft, state->history, in);
    eb_analyse(&stft, state->history, state->first, magnitude);
    {name}_step(state, magnitude, mask);
    if (state->floor != 0.0f) {{
        eb_mul_all(mask, {bins}, 1.0f - state->floor);
        eb_add_all(mask, {bins}, state->floor);
    }}
{delayed}    eb_synthesise(&stft, state->first, mask, state->second,
                  state->overlap, out);
}}"""

    def _description(self) -> dict:
        return {
            "lookahead_frames": self.program.metadata.lookahead_frames or 0,
            "delay": delay_samples(self.program),
        }

    # Calls of a frame, and the tables that they read

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
