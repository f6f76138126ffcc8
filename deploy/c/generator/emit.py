"""The program as a C header and source."""

from deploy.c.generator.c_text import float_text
from deploy.c.generator.emit_step import StepEmitter
from deploy.c.generator.program import Program
from deploy.c.generator.projects import ENHANCER
from deploy.c.generator.stft_constants import slow_transform


def delay_samples(program: Program) -> int:
    """Return how many samples the output of ``process`` is late."""
    signal = program.metadata.signal
    late = (program.metadata.lookahead_frames or 0) * signal.hop_length
    return signal.win_length - signal.hop_length + late


class Emitter(StepEmitter):
    """Writes the files of one enhancer; ``name`` prefixes its public names."""

    def __init__(self, program: Program, name: str) -> None:
        self.name = name
        super().__init__(program)

    words, runtime = ENHANCER, "eb_kernels.h"

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

    # Operations
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
