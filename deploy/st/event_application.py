"""Audio event detection in ST's audio application.

It computes a patch of log-mel frames by tables, runs the network on it and
prints the class with the highest value, or unknown. Facts on its features
are from its public sources: frames are not centred, a mel band is summed from
its first to its last bin that is not zero, and decibels have no reference of
a clip.
"""

from edgebrain.onnx.metadata import GraphMetadata
from edgebrain.signal.mel import MelSettings
from edgebrain.tasks import CHOSEN
import numpy as np

from deploy.st.application_header import (
    WINDOW,
    Application,
    Unfit,
    common_rows,
    outputs,
    text,
    window,
)

#: Added before the logarithm.
_OFFSET = 1e-4


def fit(
    card: GraphMetadata, frames: int, unknown_below: float | None
) -> Application:
    """Return how the application runs an event network."""
    if unknown_below is None:
        chosen = card.features.get(CHOSEN, {})
        unknown_below = chosen.get("unknown_below", 0.0)
    signal = card.signal
    mel = MelSettings.from_dict(card.features["mel"], signal)
    if signal.center:
        raise Unfit("its frames are not centred: train with center: False")
    if mel.to_db:
        raise Unfit(
            "its decibels have no reference of a clip, the model was trained "
            "with to_db: train with to_db: False"
        )
    if mel.log_offset != _OFFSET:
        raise Unfit(
            f"it takes ln(mel + {_OFFSET:g}), the model was trained with "
            f"log_offset: {mel.log_offset:g}"
        )
    if signal.power not in (1, 2):
        raise Unfit(
            f"it has magnitude and power, not |X| ** {signal.power:g}: train "
            "with power: 1.0 or 2.0"
        )
    kind = "MAGNITUDE" if signal.power == 1 else "POWER"
    names = card.class_names
    rows = common_rows(card) | outputs(
        NB_OUTPUT="(1U)",
        OUTPUT_1="(CTRL_AI_CLASS_DISTRIBUTION)",
        CLASS_NUMBER=f"({len(names)}U)",
        CLASS_LIST="{" + ", ".join(map(text, names)) + "}",
    )
    rows |= {
        "PREPROC": "(CTRL_AI_SPECTROGRAM_LOG_MEL)",
        "SPECTROGRAM_NMEL": f"({mel.n_mels}U)",
        "SPECTROGRAM_COL": f"({frames}U)",
        "SPECTROGRAM_NORMALIZE": "(1U)" if mel.norm else "(0U)",
        "SPECTROGRAM_FORMULA": "(MEL_HTK)" if mel.htk else "(MEL_SLANEY)",
        "SPECTROGRAM_FMIN": f"({float(mel.fmin)!r}F)",
        "SPECTROGRAM_FMAX": f"({float(mel.fmax)!r}F)",
        "SPECTROGRAM_TYPE": f"(SPECTRUM_TYPE_{kind})",
        "SPECTROGRAM_LOG_FORMULA": "(LOGMELSPECTROGRAM_SCALE_LOG)",
        "SPECTROGRAM_SILENCE_THR": "(0)",
        "SPECTROGRAM_MEL_LUT": "(user_melFiltersLut)",
        "SPECTROGRAM_MEL_START_IDX": "(user_melFiltersStartIndices)",
        "SPECTROGRAM_MEL_STOP_IDX": "(user_melFiltersStopIndices)",
        "OOD_THR": f"({float(unknown_below)!r}F)",
    }
    used = [np.flatnonzero(band) for band in mel.filters]
    tables = {
        WINDOW: window(signal),
        "user_melFiltersStartIndices": np.uint32([u[0] for u in used]),
        "user_melFiltersStopIndices": np.uint32([u[-1] for u in used]),
        "user_melFiltersLut": np.concatenate(
            [
                band[u[0] : u[-1] + 1]
                for band, u in zip(mel.filters, used, strict=True)
            ]
        ),
    }
    seconds = mel.num_samples(frames) / signal.sample_rate
    last = "Sigmoid" if card.features.get("multi_label") else "Softmax"
    guide = (
        f"The application runs the network on {frames} frames of "
        f"{mel.n_mels} mel bands, {seconds:.2f} s, and prints the class with "
        f"the highest probability, or unknown where that is not above "
        f"{unknown_below:g} (--unknown_below). For that a {last} was put "
        "behind the logits of the model. The features are "
        f"ln(mel + {_OFFSET:g}); its silence threshold is off."
    )
    return Application(frames, 0, rows, tables, guide, last)
