"""Speech enhancement in ST's audio application.

It takes a patch of frames, masks the inner ones and throws the outer ones
away: COL_NO_OVL new frames with COL_OVL frames on both sides.
"""

from edgebrain.onnx.metadata import GraphMetadata

from deploy.st.application_header import (
    WINDOW,
    Application,
    Unfit,
    common_rows,
    outputs,
    window,
)


def fit(card: GraphMetadata, frames: int, silence_db: float) -> Application:
    """Return how the application runs a mask network."""
    signal = card.signal
    if signal.power != 1:
        raise Unfit(
            f"it gives the plain magnitude, the model was trained on "
            f"|X| ** {signal.power:g}: train with power: 1.0"
        )
    left, right = card.context or (0, 0)
    seen = None
    if card.receptive_field_frames is not None:
        ahead = card.lookahead_frames or 0
        seen = max(card.receptive_field_frames - 1 - ahead, ahead)
    if left != right:
        more = max(left, right)
        raise Unfit(
            f"the model has a context of {left} frames left and {right} "
            "right, the application has as many on both sides: export the "
            f"patch form with --context {more} {more}"
        )
    new = frames - left - right
    rows = common_rows(card) | outputs(
        NB_OUTPUT="(1U)", OUTPUT_1="(CTRL_AI_SPECTROGRAM)"
    )
    rows |= {
        "AUDIO_OUT": "(COM_TYPE_HEADSET)",
        "PREPROC": "(CTRL_AI_STFT)",
        "POSTPROC": "(CTRL_AI_ISTFT)",
        "SPECTROGRAM_COL_NO_OVL": f"({new}U)",
        "SPECTROGRAM_COL_OVL": f"({right}U)",
        "AUDIO_OUT_DB_THRESHOLD": f"({float(silence_db)!r}F)",
    }
    # A sample waits for the patch of its frame, for the frames on the right
    # of that, and its frame for the whole window.
    samples = (new + right) * signal.hop_length + signal.win_length
    latency = 1000 * samples / signal.sample_rate
    guide = (
        f"Every {new} new frames the application runs the network on {new} + "
        f"2 x {right} frames and keeps the inner ones: {latency:.0f} ms from "
        "microphone to output without computing time.\n\n"
        "It scales a loud patch to its peak before the network. Training does "
        "not, unless it covered such levels: compare with and without it."
    )
    if seen is not None and seen > left:
        guide += (
            f"\n\nThe network sees {seen} frames, more than the {left} of its "
            f"context: masks differ from those of whole clips. Export the "
            f"patch form with --context {seen} {seen}."
        )
    return Application(new, right, rows, {WINDOW: window(signal)}, guide)
