"""The header and tables by which ST's audio application runs a model."""

from dataclasses import dataclass
import re

from edgebrain.onnx.metadata import GraphMetadata
from edgebrain.signal import SignalSettings
from edgebrain.signal.windows import make_window
import numpy as np

PREFIX = "CTRL_X_CUBE_AI_"
WINDOW = "user_win"
_NOTE = (
    "/* Of one model, for ST's audio application. Written by\n"
    " * deploy/stedgeai.py: make it again instead of editing it. */"
)


class Unfit(Exception):
    """Why a model does not fit the application, and the mend."""


@dataclass(frozen=True)
class Application:
    """How the application runs a model.

    ``lookahead_frames`` on each side are computed and thrown away; ``rows``
    are values of the header, ``tables`` arrays of float32 or uint32, by name;
    ``guide`` is for the README; ``last`` an operator that the model must end
    with, empty: none.
    """

    frames_per_patch: int
    lookahead_frames: int
    rows: dict[str, str]
    tables: dict[str, np.ndarray]
    guide: str
    last: str = ""

    def files(self) -> dict[str, str]:
        """Return the C files by name."""
        width = max(map(len, self.rows))
        config = [
            f"#define {PREFIX}{name:<{width}} {value}"
            for name, value in self.rows.items()
        ]
        config += ["", "#define CTRL_SEQUENCE {CTRL_CMD_PARAM_AI, 0}"]
        heads = {name: _head(name, v) for name, v in self.tables.items()}
        source = [_NOTE, '#include "user_mel_tables.h"']
        for name, values in self.tables.items():
            source += ["", f"{heads[name]} = {{", *_lines(values), "};"]
        declared = [
            "#include <stdint.h>",
            '#include "preproc_dpu.h"',
            "",
            "/* Half precision on the STM32N6; elsewhere there is none. */",
            "#ifndef PREPROC_FLOAT_T",
            "#define PREPROC_FLOAT_T float",
            "#endif",
            "",
            *(f"extern {head};" for head in heads.values()),
        ]
        return {
            "ai_model_config.h": _header("AI_MODEL_CONFIG_H", config),
            "user_mel_tables.h": _header("USER_MEL_TABLES_H", declared),
            "user_mel_tables.c": "\n".join([*source, ""]),
        }


def _header(guard: str, lines: list[str]) -> str:
    return "\n".join(
        [_NOTE, f"#ifndef {guard}", f"#define {guard}", "", *lines, ""]
        + [f"#endif /* {guard} */", ""]
    )


def common_rows(card: GraphMetadata) -> dict[str, str]:
    """Return the lines of sensor and frames."""
    signal = card.signal
    return {
        "MODEL_NAME": text(card.model_class.rpartition(".")[2] or "network"),
        "SENSOR_TYPE": "(COM_TYPE_MIC)",
        "SENSOR_NAME": '"imp34dt05"',
        "SENSOR_ODR": f"({signal.sample_rate}.0F)",
        "SPECTROGRAM_HOP_LENGTH": f"({signal.hop_length}U)",
        "SPECTROGRAM_NFFT": f"({signal.n_fft}U)",
        "SPECTROGRAM_WINDOW_LENGTH": f"({signal.win_length}U)",
        "SPECTROGRAM_WIN": f"({WINDOW})",
    }


def outputs(**rows: str) -> dict[str, str]:
    """Return lines about the output under the names of old and new versions.

    Up to version 2 they began with MODE_, since then with MODEL_.
    """
    return {
        f"{prefix}_{name}": value
        for name, value in rows.items()
        for prefix in ("MODE", "MODEL")
    }


def window(signal: SignalSettings) -> np.ndarray:
    """Return the analysis window, float32."""
    return make_window(signal.window, signal.win_length).astype(np.float32)


def plain(name: str) -> str:
    """Return a name of a file with letters, digits and underscores alone."""
    return re.sub(r"[^A-Za-z0-9_]", "_", name)


def text(name: str) -> str:
    """Return a name of a file as a C string."""
    return '"' + re.sub(r"[^A-Za-z0-9_ .,()-]", "_", name) + '"'


def _head(name: str, values: np.ndarray) -> str:
    kind = "PREPROC_FLOAT_T" if values.dtype.kind == "f" else "uint32_t"
    return f"const {kind} {name}[{len(values)}]"


def _lines(values: np.ndarray) -> list[str]:
    floats = values.dtype.kind == "f"
    texts = [f"{v:.9e}F" if floats else f"{v}U" for v in values]
    return [
        "    " + ", ".join(texts[start : start + 4]) + ","
        for start in range(0, len(texts), 4)
    ]
