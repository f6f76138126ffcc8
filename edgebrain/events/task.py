"""Audio event detection as the shared rooms see it: patches to logits."""

from edgebrain.events.metrics import METRICS
from edgebrain.events.patches import PatchSettings
from edgebrain.signal.mel import MelSettings, log_mel
from edgebrain.tasks import Interface, Port, Setup
import numpy as np


def settings_of(setup: Setup) -> tuple[MelSettings, PatchSettings]:
    """Return the settings of the features that a setup carries."""
    features = setup.features
    return (
        MelSettings.from_dict(features["mel"], setup.signal),
        PatchSettings.from_dict(features["patch"]),
    )


class EventTask:
    """See :class:`edgebrain.tasks.Task`."""

    name = "events"
    baseline = "chance"
    metrics = METRICS
    item_keys = ("features", "target")

    def features(self, wav: np.ndarray, setup: Setup) -> np.ndarray:
        """Return the log-mel spectrogram of a clip, (mels, frames)."""
        mel, patch = settings_of(setup)
        least = mel.num_samples(patch.patch_length)
        wav = wav if len(wav) >= least else np.resize(wav, least)
        return np.ascontiguousarray(log_mel(wav, mel), np.float32)

    def interface(self, model, setup: Setup) -> Interface:
        """Return log-mel frames in, the logits of a patch out."""
        mel, patch = settings_of(setup)
        return Interface(
            Port("features", (mel.n_mels, None)),
            Port("logits", (len(setup.class_names),)),
            (patch.patch_length, patch.step),
        )

    def result(self, features: np.ndarray, output: np.ndarray) -> np.ndarray:
        """Return the logits themselves."""
        return output


TASK = EventTask()
