"""What the header and the source of every model have."""

import json

from deploy.c.generator.c_text import opening, string_literal, words
from deploy.c.generator.constants import Tables


class ModelFiles(Tables):
    """Writes a header and a source around what a task adds.

    A subclass sets ``program`` and ``name``, a C identifier and the prefix of
    all public names; ``runtime``, the header of the runtime beside those of
    floats and transforms; and gives as text ``_macros`` (constants of the
    header, behind the sample rate), ``_declarations`` and ``_functions`` (of
    header and source, but for size, init and describe), as (type, name, count,
    bytes each) the ``_members`` of the state, and as ``_description`` what the
    library says of itself beside its card.
    """

    def header(self) -> str:
        """Return the text of the header."""
        name, upper = self.name, self.name.upper()
        card = self.program.metadata
        return f"""{opening(card)}
#ifndef {upper}_H
#define {upper}_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {{
#endif

#define {upper}_SAMPLE_RATE {card.signal.sample_rate}
{self._macros()}
/* Bytes of the memory that {name}_init takes, which is the caller's. */
#define {upper}_STATE_BYTES {self._state_bytes()}u

typedef struct {name}_state {name}_state;

/* Memory of its own for one stream, rightly aligned. */
typedef union {{
    uint32_t words[({upper}_STATE_BYTES + 3u) / 4u];
    float align;
}} {name}_memory;

/* {upper}_STATE_BYTES, for callers that look it up at run time. */
uint32_t {name}_size(void);

/* Start a stream in `memory`; 0 if it is too small or not aligned to 4. */
{name}_state *{name}_init(void *memory, uint32_t bytes);

{self._declarations()}

/* What this is, as JSON. */
const char *{name}_describe(void);

#ifdef __cplusplus
}}
#endif

#endif
"""

    def source(self) -> str:
        """Return the text of the source."""
        card, upper = self.program.metadata, self.name.upper()
        transform = self._stft_tables(card.signal)
        functions = self._functions()
        parts = [
            opening(card),
            f'#include "{self.name}.h"\n\n#include "eb_float.h"\n'
            f'#include "{self.runtime}"\n#include "eb_stft.h"\n\n'
            "#include <string.h>",
            self._state_struct(),
            f"typedef char {self.name}_size_check"
            f"[sizeof(struct {self.name}_state) == {upper}_STATE_BYTES ? 1 "
            ": -1];",
            transform,
            *self.tables,
            self._start(),
            functions,
            self._describe(),
        ]
        return "\n\n".join(parts) + "\n"

    def _state_bytes(self) -> int:
        # Each array is filled up to words, so that no compiler pads.
        return sum(words(c, size) for _, _, c, size in self._members())

    def _state_struct(self) -> str:
        lines = []
        for kind, name, count, size in self._members():
            padded = f"[{words(count, size) // size}]" if count else ""
            lines.append(f"    {kind} {name}{padded};")
        return f"struct {self.name}_state {{\n" + "\n".join(lines) + "\n};"

    def _start(self) -> str:
        name, upper = self.name, self.name.upper()
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
    memset(state, 0, sizeof *state);
    {name}_reset(state);
    return state;
}}"""

    def _describe(self) -> str:
        card = self.program.metadata
        about = {
            "name": self.name,
            "task": card.task,
            "model_class": card.model_class,
            "checkpoint_sha256": card.checkpoint_sha256,
            "precision": card.precision,
            "signal": card.signal.to_dict(),
            "macs": self.program.macs,
            "versions": card.versions,
            **self._description(),
        }
        text = string_literal(json.dumps(about, sort_keys=True), 8 * " ")
        return f"""const char *{self.name}_describe(void)
{{
    static const char text[] =
{text};
    return text;
}}"""
