"""Header and window table for ST's audio application on the STM32N6.

That application takes a patch of frames, masks the inner ones and throws the
outer ones away: COL_NO_OVL new frames with COL_OVL frames on both sides.
"""

from dataclasses import dataclass

from edgebrain.errors import UserError
from edgebrain.onnx.metadata import GraphMetadata
from edgebrain.signal.windows import make_window

PREFIX = "CTRL_X_CUBE_AI_"
WINDOW = "user_win"


@dataclass(frozen=True)
class AudioApplication:
    """How ST's audio application runs a patch model.

    Attributes
    ----------
    frames_per_patch : int
        New frames a patch (COL_NO_OVL).
    lookahead_frames : int
        Frames on each side that are computed and thrown away (COL_OVL).
    silence_db : float
        Output below it is set to zero.
    """

    frames_per_patch: int
    lookahead_frames: int
    silence_db: float


def plan(
    metadata: GraphMetadata,
    frames: int | None,
    frames_per_patch: int | None = None,
    lookahead_frames: int | None = None,
    silence_db: float = -50.0,
) -> tuple[AudioApplication | None, str]:
    """Return what the header says, or why there is none.

    Arguments
    ---------
    metadata : GraphMetadata
    frames : int or None
        That the model takes a call.
    frames_per_patch, lookahead_frames : int, optional
        Left out: from the model's context.
    silence_db : float

    Returns
    -------
    application : AudioApplication or None
    reason : str
        Why there is none; empty otherwise.

    Raises
    ------
    UserError
        When numbers are given that do not fit the model.
    """
    asked = frames_per_patch is not None or lookahead_frames is not None
    reason = _unfit(metadata, frames)
    if reason:
        if asked:
            raise UserError(f"no header for the audio application: {reason}")
        return None, reason
    left, right = metadata.context or (0, 0)
    if left != right:
        more = max(left, right)
        reason = (
            f"the model has a context of {left} frames left and {right} "
            "right, the application has as many on both sides: export the "
            f"patch form with --context {more} {more}"
        )
        if asked:
            raise UserError(f"no header for the audio application: {reason}")
        return None, reason
    # The application keeps what evaluate.py scores: the frames between the
    # contexts. Other numbers would use masks of frames at the edge.
    fits = {
        "frames_per_patch": frames - left - right,
        "lookahead_frames": right,
    }
    given = {
        "frames_per_patch": frames_per_patch,
        "lookahead_frames": lookahead_frames,
    }
    wrong = [
        f"--{name} {value}"
        for name, value in given.items()
        if value is not None and value != fits[name]
    ]
    if wrong:
        verb = "does" if len(wrong) == 1 else "do"
        options = " ".join(f"--{name} {value}" for name, value in fits.items())
        raise UserError(
            f"{' and '.join(wrong)} {verb} not fit: the model takes {frames} "
            f"frames, {right} on each side are context: give {options}, leave "
            "both out, or export the patch form with other numbers"
        )
    return AudioApplication(*fits.values(), silence_db), ""


def _unfit(metadata: GraphMetadata, frames: int | None) -> str:
    signal = metadata.signal
    if metadata.form != "patch" or frames is None:
        return (
            f"it runs patches, the model is in {metadata.form} form: export "
            "the patch form; a stream runs in firmware of your own, or by "
            "deploy/c_engine.py"
        )
    if signal.power != 1:
        return (
            f"it gives the plain magnitude, the model was trained on "
            f"|X| ** {signal.power:g}: train with power: 1.0"
        )
    if signal.peak_normalize:
        return "the model was trained with peak_normalize, which it cannot do"
    if signal.n_fft & (signal.n_fft - 1):
        return f"its FFT takes powers of two, n_fft is {signal.n_fft}"
    return ""


def latency_ms(application: AudioApplication, signal) -> float:
    """Return the time from a sample to its output, without computing.

    A sample waits for the patch of its frame and the frames on the right of
    it to fill, and its frame for the whole window.
    """
    frames = application.frames_per_patch + application.lookahead_frames
    samples = frames * signal.hop_length + signal.win_length
    return 1000 * samples / signal.sample_rate


def header(application: AudioApplication, metadata: GraphMetadata) -> str:
    """Return ai_model_config.h.

    Arguments
    ---------
    application : AudioApplication
    metadata : GraphMetadata
    """
    signal, name = metadata.signal, metadata.model_class.rpartition(".")[2]
    rows = {
        "MODEL_NAME": f'"{name or "mask network"}"',
        "MODE_NB_OUTPUT": "(1U)",
        "MODE_OUTPUT_1": "(CTRL_AI_SPECTROGRAM)",
        "SENSOR_TYPE": "(COM_TYPE_MIC)",
        "AUDIO_OUT": "(COM_TYPE_HEADSET)",
        "SENSOR_NAME": '"imp34dt05"',
        "SENSOR_ODR": f"({signal.sample_rate}.0F)",
        "PREPROC": "(CTRL_AI_STFT)",
        "POSTPROC": "(CTRL_AI_ISTFT)",
        "SPECTROGRAM_HOP_LENGTH": f"({signal.hop_length}U)",
        "SPECTROGRAM_NFFT": f"({signal.n_fft}U)",
        "SPECTROGRAM_WINDOW_LENGTH": f"({signal.win_length}U)",
        "SPECTROGRAM_COL_NO_OVL": f"({application.frames_per_patch}U)",
        "SPECTROGRAM_COL_OVL": f"({application.lookahead_frames}U)",
        "AUDIO_OUT_DB_THRESHOLD": f"({float(application.silence_db)!r}F)",
        "SPECTROGRAM_WIN": f"({WINDOW})",
    }
    width = max(len(key) for key in rows)
    lines = [f"#define {PREFIX}{k:<{width}} {v}" for k, v in rows.items()]
    frames = application.frames_per_patch + 2 * application.lookahead_frames
    return "\n".join(
        [
            "/* Configuration of ST's audio application for one model.",
            f" * The model takes {signal.bins} bins x {frames} frames.",
            " * Written by deploy/stedgeai.py; make it again instead of",
            " * editing it, for it must fit the model. */",
            "#ifndef AI_MODEL_CONFIG_H",
            "#define AI_MODEL_CONFIG_H",
            "",
            "#ifdef __cplusplus",
            'extern "C" {',
            "#endif",
            "",
            *lines,
            "",
            "#define CTRL_SEQUENCE {CTRL_CMD_PARAM_AI, 0}",
            "",
            f"extern const float {WINDOW}[{signal.win_length}];",
            "",
            "#ifdef __cplusplus",
            "}",
            "#endif",
            "",
            "#endif /* AI_MODEL_CONFIG_H */",
            "",
        ]
    )


def window_source(metadata: GraphMetadata) -> str:
    """Return user_win.c: the analysis window, float32."""
    signal = metadata.signal
    values = make_window(signal.window, signal.win_length)
    texts = [f"{value:.9e}F" for value in values]
    rows = [
        "    " + ", ".join(texts[start : start + 4]) + ","
        for start in range(0, len(texts), 4)
    ]
    return "\n".join(
        [
            f"/* Periodic {signal.window} window of {signal.win_length}. */",
            f"extern const float {WINDOW}[{signal.win_length}];",
            f"const float {WINDOW}[{signal.win_length}] = {{",
            *rows,
            "};",
            "",
        ]
    )
