"""A patch network and its features as a C header and source."""

from edgebrain.events.patches import unknown_below

from deploy.c.generator import lower
from deploy.c.generator.c_files import ModelFiles
from deploy.c.generator.c_text import (
    float_text,
    harmless,
    string_literal,
)
from deploy.c.generator.front_end import front_end
from deploy.c.generator.patch import Mean, PatchProgram, RowNode, capacities
from deploy.c.generator.program import Binary, Column
from deploy.c.generator.projects import DETECTOR

_KINDS = {
    "dense": "EB_ROWS_DENSE",
    "depthwise": "EB_ROWS_DEPTHWISE",
    "max": "EB_ROWS_MAX",
    "add": "EB_ROWS_ADD",
    "table": "EB_ROWS_TABLE",
}
_FOREVER = "INT32_MAX"


class PatchEmitter(ModelFiles):
    """Writes the files of one detector; ``name`` prefixes its public names."""

    words, runtime = DETECTOR, "eb_rows.h"

    def __init__(self, program: PatchProgram, name: str) -> None:
        super().__init__(bits=8)
        self.program, self.name = program, name
        self.front_end = front_end(program.metadata)
        self.endless = program.endless
        self.capacity = capacities(program)
        self.count = program.last.height
        self.patch = program.features.height
        self.step = (
            program.stride if self.endless else self.front_end.patch_step
        )
        # Frames that wait: those that the next patch shares with this one.
        shared = 0 if self.endless else max(self.patch - self.step, 0)
        self.stored = shared + 1
        self.rows_a_hop = 1 if self.endless else -(-self.patch // self.step)
        self.gathered = max(t.channels for t in program.tensors)
        self._network()
        self.tail = self._tail()

    # The network

    def _network(self) -> None:
        places, place = {}, 0
        for tensor in self.program.tensors:
            places[tensor] = place
            place += tensor.row * self.capacity[tensor]
        self.memory, self.last_place = place, places[self.program.last]
        numbers = {t: n for n, t in enumerate(self.program.tensors)}
        nodes = [
            self._node(number, node, numbers)
            for number, node in enumerate(self.program.nodes)
        ]
        tensors = [
            f"{{{places[t]}, {_FOREVER if self.endless else t.height}, "
            f"{self.capacity[t]}, {t.width}, {t.channels}, "
            f"{t.quantization.zero_point}, {t.row}}}"
            for t in self.program.tensors
        ]
        for kind, name, entries in (
            ("eb_rows_tensor", "tensors", tensors),
            ("eb_rows_node", "nodes", nodes),
        ):
            self.tables.append(
                f"static const {kind} {name}[{len(entries)}] = {{\n    "
                + ",\n    ".join(entries)
                + ",\n};"
            )
        self.tables.append(
            "static const eb_rows_network network = {\n"
            f"    tensors, nodes, {len(tensors)}, {len(nodes)},\n}};"
        )

    def _node(self, number: int, node: RowNode, numbers: dict) -> str:
        layer = "0"
        if node.kind == "table":
            layer = self._array(f"table_{number}", "int8_t", node.layer)
        elif node.kind == "add":
            layer = f"&layer_{number}"
            first, second = (Column(t, 0, t.size) for t in node.inputs)
            op = Binary(node.node, "add", first, second, node.out)
            fields = [float_text(v) for v in lower.add_s8(op)]
            self._struct(layer[1:], "add_s8", fields)
        elif node.kind != "max":
            layer = f"&layer_{number}"
            self._weights(number, node.layer)
        window = node.window
        if node.kind == "dense":
            size = window.size[0] * window.size[1] * node.inputs[0].channels
            self.gathered = max(self.gathered, size)
        inputs = [numbers[t] for t in node.inputs]
        places = [inputs[0], inputs[-1], numbers[node.out]]
        pairs = (*window.size, *window.stride, *window.pad)
        text = ", ".join(map(str, (*places, *pairs)))
        return (
            f"/* {harmless(node.node)} */\n"
            f"    {{{_KINDS[node.kind]}, {text}, {layer}}}"
        )

    def _tail(self) -> list[str]:
        """Return the calls from the sums of rows to the scores."""
        end, scores = self.program.end, self.program.scores
        widths = [op.out.size for op in self.program.tail]
        if isinstance(end, Mean):
            widths.append(end.out.size)
        # Kernels write up to a multiple of 4 and read up to one of 8.
        self.vector = -(-max(widths) // 8) * 8
        here, there = "state->vectors", f"&state->vectors[{self.vector}]"
        calls = []
        if isinstance(end, Mean):
            calls.append(
                f"eb_mean_s8(state->sums, {self.count}, {end.out.size}, "
                f"{here}, {end.offset}, {float_text(end.ratio)}, "
                f"{end.out.quantization.zero_point});"
            )
        else:
            here, there = f"&state->rows[{self.last_place}]", here
        first = len(self.program.nodes)
        for number, op in enumerate(self.program.tail, first):
            self._weights(number, op)
            calls.append(
                f"eb_dense_s8(&layer_{number}, {here}, {there}, "
                "state->scratch);"
            )
            here = there
            there = f"&state->vectors[{self.vector}]"
            if here == there:
                there = "state->vectors"
        calls.append(
            f"eb_dequantize_s8({here}, scores, {scores.size}, "
            f"{float_text(scores.quantization.scale)}, "
            f"{scores.quantization.zero_point});"
        )
        return calls

    # Files

    def summary(self) -> str:
        """Return what a person should know, in lines."""
        again = "each row once" if self.endless else "each patch anew"
        return (
            f"{self.program.macs:,} multiplications a patch of {self.patch} "
            f"frames, computed {again}\n"
            f"  scores each {self.step} frames; {self._state_bytes():,} bytes "
            "of memory"
        )

    def _macros(self) -> str:
        signal, upper = self.front_end.signal, self.name.upper()
        features = self.program.metadata.features
        # With several labels there is no class that all others lose to.
        least = 0.0 if features["multi_label"] else unknown_below(features)
        return f"""/* Samples of a call. */
#define {upper}_HOP {signal.hop_length}
#define {upper}_CLASSES {self.program.scores.size}
/* Bands of a frame of features. */
#define {upper}_BANDS {self.front_end.bands}
/* Frames that scores are of, and from one time of scores to the next. */
#define {upper}_FRAMES {self.patch}
#define {upper}_STEP {self.step}
/* Softmax of the highest score below which a sound is unknown; 0: never. */
#define {upper}_UNKNOWN_BELOW {float_text(least)}"""

    def _declarations(self) -> str:
        name, upper = self.name, self.name.upper()
        return f"""/* Names in the order of the scores. */
extern const char *const {name}_classes[{upper}_CLASSES];

/* One hop in. Returns 1 when there are new scores, {upper}_CLASSES logits of
 * the last {upper}_FRAMES frames, else 0. */
int {name}_process({name}_state *state, const int16_t *in, float *scores);

/* The network alone, to verify it: the next frame of features. */
int {name}_step({name}_state *state, const float *features, float *scores);

/* Forget the stream so far. */
void {name}_reset({name}_state *state);"""

    # Memory

    def _members(self) -> list[tuple[str, str, int, int]]:
        """Return (type, name, count, bytes each) of the state."""
        signal, bands = self.front_end.signal, self.front_end.bands
        sums = 0
        if isinstance(self.program.end, Mean):
            sums = self.count * self.program.end.out.size
        history = signal.win_length + self.front_end.spare
        return [
            ("float", "first", signal.n_fft + 2, 4),
            ("float", "second", signal.n_fft + 2, 4),
            ("int32_t", "made", len(self.program.tensors), 4),
            ("int32_t", "hops", 0, 4),
            ("int32_t", "frames", 0, 4),
            ("int32_t", "start", 0, 4),
            ("int16_t", "history", history + history % 2, 2),
            ("int16_t", "sums", max(sums, 1), 2),
            ("int16_t", "scratch", max(self.scratch, 8), 2),
            ("int8_t", "stored", self.stored * bands, 1),
            ("int8_t", "gathered", -(-self.gathered // 8) * 8, 1),
            ("int8_t", "vectors", 2 * self.vector, 1),
            # Kernels read up to the next multiple of 8 columns.
            ("int8_t", "rows", self.memory + 8, 1),
        ]

    # Functions

    def _functions(self) -> str:
        name, upper = self.name, self.name.upper()
        signal = self.front_end.signal
        work, _ = self._float_steps(
            self.front_end.steps, "features", signal.bins
        )
        history = signal.win_length + self.front_end.spare
        kept = history - signal.hop_length
        # As bytes of UTF-8.
        classes = ",\n".join(
            string_literal(name.encode().decode("latin-1"), "    ")
            for name in self.program.metadata.class_names
        )
        return f"""const char *const {name}_classes[{upper}_CLASSES] = {{
{classes},
}};

void {name}_reset({name}_state *state)
{{
    memset(state, 0, sizeof *state);
}}

{self._step()}

int {name}_process({name}_state *state, const int16_t *in, float *scores)
{{
    float *const features = state->second;
    memmove(state->history, &state->history[{signal.hop_length}],
            {kept}u * sizeof state->history[0]);
    memcpy(&state->history[{kept}], in,
           {signal.hop_length}u * sizeof state->history[0]);
    if (state->hops < {self.front_end.first_hop}) {{
        state->hops++;
        return 0;
    }}
    eb_analyse(&stft, state->history, state->first, features);
{_indented(work)}
    return {name}_step(state, features, scores);
}}"""

    def _step(self) -> str:
        """Return the functions that take one frame of features."""
        bands = self.front_end.bands
        inner, _ = self._float_steps(self.program.prologue, "work", bands)
        features = self.program.features.quantization
        quantize = _indented(
            [
                f"float work[{bands}];",
                "memcpy(work, features, sizeof work);",
                *inner,
                f"eb_quantize_s8(work, frame, {bands}, "
                f"{float_text(features.scale)}, {features.zero_point});",
            ]
        )
        if self.endless:
            body = f"""    int8_t frame[{-(-bands // 4) * 4}];
{quantize}
    if (state->made[0] >= {1 << 30}) {{
        /* After four months of frames: the counters start again. */
        eb_rows_restart(&network, rows_of(state));
    }}
    if (take(state, frame)) {{
        scores_of(state, scores);
        return 1;
    }}
    return 0;"""
        else:
            body = f"""    int8_t *const frame =
        &state->stored[state->frames % {self.stored} * {bands}];
    int ready = 0;
{quantize}
    state->frames++;
    for (int32_t i = 0; i < {self.rows_a_hop}; i++) {{
        const int32_t next = state->start + state->made[0];
        if (next >= state->frames) {{
            break;
        }}
        if (take(state, &state->stored[next % {self.stored} * {bands}])) {{
            scores_of(state, scores);
            ready = 1;
        }}
        if (state->made[0] == {self.patch}) {{
            /* Frame numbers stay small. */
            const int32_t gone = (state->start + {self.step}) / {self.stored} *
                                 {self.stored};
            state->start += {self.step} - gone;
            state->frames -= gone;
            eb_rows_restart(&network, rows_of(state));
        }}
    }}
    return ready;"""
        end, sums, parts = self.program.end, "0", 1
        if isinstance(end, Mean):
            sums, parts = "state->sums", end.parts
        return f"""static eb_rows_state rows_of({self.name}_state *state)
{{
    const eb_rows_state rows = {{state->rows, state->made, state->gathered,
                                state->scratch}};
    return rows;
}}

static void scores_of({self.name}_state *state, float *scores)
{{
{_indented(self.tail)}
}}

/* Take the next frame of a patch; 1 when this makes the last row of one. */
static int take({self.name}_state *state, const int8_t *frame)
{{
    const eb_rows_state rows = rows_of(state);
    const int32_t before = state->made[network.tensor_count - 1];
    memcpy(eb_rows_next(&network, rows), frame, {bands});
    const int32_t made =
        eb_rows_run(&network, rows, {sums}, {self.count}, {parts});
    return made > before && made >= {self.count};
}}

int {self.name}_step({self.name}_state *state, const float *features,
{" " * (len(self.name) + 10)}float *scores)
{{
{body}
}}"""

    def _description(self) -> dict:
        card = self.program.metadata
        return {
            "features": card.features,
            "class_names": list(card.class_names),
            "frames": self.patch,
            "step": self.step,
            "first_hop": self.front_end.first_hop,
        }


def _indented(lines: list[str]) -> str:
    return "\n".join("    " + line for line in lines)
