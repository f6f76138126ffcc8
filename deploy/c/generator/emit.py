"""The program as a C header and source."""

import json

from deploy.c.generator.c_text import (
    float_text,
    opening,
    string_literal,
    words,
)
from deploy.c.generator.emit_step import StepEmitter
from deploy.c.generator.program import Program
from deploy.c.generator.projects import ENHANCER


def delay_samples(program: Program) -> int:
    """Return how many samples the output of ``process`` is late."""
    signal = program.metadata.signal
    late = (program.metadata.lookahead_frames or 0) * signal.hop_length
    return signal.win_length - signal.hop_length + late


class Emitter(StepEmitter):
    """Writes the files of one model.

    Arguments
    ---------
    program : Program
    name : str
        Prefix of all public names, a C identifier.
    """

    def __init__(self, program: Program, name: str) -> None:
        self.name = name
        super().__init__(program)

    words = ENHANCER

    def summary(self) -> str:
        """Return what a person should know, in lines."""
        hop = self.program.metadata.signal.hop_length
        return (
            f"{self.program.macs} multiplications a frame of {hop} samples\n"
            f"  output {delay_samples(self.program)} samples late, beside the "
            "hop"
        )

    def header(self) -> str:
        """Return the text of the header."""
        signal = self.program.metadata.signal
        upper = self.name.upper()
        return f"""{opening(self.program.metadata)}
#ifndef {upper}_H
#define {upper}_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {{
#endif

#define {upper}_SAMPLE_RATE {signal.sample_rate}
/* Samples of a call, in and out. */
#define {upper}_HOP {signal.hop_length}
/* Samples that the output is late, beside the hop itself. */
#define {upper}_DELAY {delay_samples(self.program)}
#define {upper}_BINS {signal.bins}
/* Bytes of the memory that {self.name}_init takes, which is the caller's. */
#define {upper}_STATE_BYTES {self._state_bytes()}u

typedef struct {self.name}_state {self.name}_state;

/* Memory of its own for one stream, rightly aligned. */
typedef union {{
    uint32_t words[({upper}_STATE_BYTES + 3u) / 4u];
    float align;
}} {self.name}_memory;

/* {upper}_STATE_BYTES, for callers that look it up at run time. */
uint32_t {self.name}_size(void);

/* Start a stream in `memory`; 0 if it is too small or not aligned to 4. */
{self.name}_state *{self.name}_init(void *memory, uint32_t bytes);

/* One hop in, one hop out; `in` and `out` may be the same. */
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
{" " * (len(self.name) + 11)}float *mask);

/* What this is, as JSON. */
const char *{self.name}_describe(void);

#ifdef __cplusplus
}}
#endif

#endif
"""

    def source(self) -> str:
        """Return the text of the source."""
        upper = self.name.upper()
        parts = [
            opening(self.program.metadata),
            f'#include "{self.name}.h"\n\n#include "eb_float.h"\n'
            '#include "eb_kernels.h"\n#include "eb_stft.h"\n\n'
            "#include <string.h>",
            self._state_struct(),
            f"typedef char {self.name}_size_check"
            f"[sizeof(struct {self.name}_state) == {upper}_STATE_BYTES ? 1 "
            ": -1];",
            self._stft_tables(self.program.metadata.signal),
            *self.tables,
            self._functions(),
        ]
        return "\n\n".join(parts) + "\n"

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

    def _state_bytes(self) -> int:
        # Each array is filled up to words, so that no compiler pads.
        return sum(words(c, size) for _, _, c, size in self._members())

    def _state_struct(self) -> str:
        lines = []
        for kind, name, count, size in self._members():
            if not count:
                lines.append(f"    {kind} {name};")
                continue
            padded = words(count, size) // size
            lines.append(f"    {kind} {name}[{padded}];")
        return f"struct {self.name}_state {{\n" + "\n".join(lines) + "\n};"

    # Operations
    def _functions(self) -> str:
        name, upper = self.name, self.name.upper()
        card = self.program.metadata
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
        text = json.dumps(self._description(), sort_keys=True)
        text = string_literal(text, 8 * " ")
        return f"""uint32_t {name}_size(void)
{{
    return {upper}_STATE_BYTES;
}}

{name}_state *{name}_init(void *memory, uint32_t bytes)
{{
    {name}_state *const state = ({name}_state *)memory;
    if (memory == 0 || bytes < {upper}_STATE_BYTES ||
        ((uintptr_t)memory & 3u) != 0u) {{
        return 0;
    }}
    state->floor = 0.0f;
    {name}_reset(state);
    return state;
}}

void {name}_reset({name}_state *state)
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
}}

const char *{name}_describe(void)
{{
    static const char text[] =
{text};
    return text;
}}"""

    def _description(self) -> dict:
        card = self.program.metadata
        return {
            "name": self.name,
            "model_class": card.model_class,
            "checkpoint_sha256": card.checkpoint_sha256,
            "precision": card.precision,
            "signal": card.signal.to_dict(),
            "lookahead_frames": card.lookahead_frames or 0,
            "delay": delay_samples(self.program),
            "macs": self.program.macs,
            "versions": card.versions,
        }
