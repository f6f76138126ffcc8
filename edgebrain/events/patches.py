"""From the sound of a clip to the patches that a network is given."""

from collections.abc import Mapping
import dataclasses
from dataclasses import dataclass
from typing import Any

from edgebrain.errors import UserError, unknown_name
from edgebrain.signal.mel import MelSettings, log_mel, sounding
from edgebrain.tasks import CHOSEN, Setup
import numpy as np


@dataclass(frozen=True)
class PatchSettings:
    """How a clip is cut, and its log-mel spectrogram into patches.

    Arguments
    ---------
    min_length, max_length : float
        Seconds: a shorter clip is repeated, a longer one cut.
    top_db : float or None
        Parts so far below the loudest are silence and are cut out; null
        keeps everything. A higher value keeps more.
    frame_length, hop_length : int
        Samples over which that loudness is measured.
    trim_last_second : bool
        Cut the clip to whole seconds.
    patch_length : int
        Frames of a patch.
    overlap : float
        Part of a patch that the next one has again, from 0 to below 1.
    include_last_patch : bool
        Take one more patch, at the very end, where some frames are left.

    Raises
    ------
    UserError
        Lists the values that cannot be.
    """

    min_length: float = 1.0
    max_length: float = 10.0
    top_db: float | None = 60.0
    frame_length: int = 3200
    hop_length: int = 3200
    trim_last_second: bool = False
    patch_length: int = 96
    overlap: float = 0.5
    include_last_patch: bool = False

    def __post_init__(self) -> None:
        problems = []
        if not 0 < self.min_length <= self.max_length:
            problems.append(
                f"min_length {self.min_length} and max_length "
                f"{self.max_length}: must rise and be above 0"
            )
        for name in ("frame_length", "hop_length", "patch_length"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                problems.append(f"{name}: a whole number from 1, not {value!r}")
        if self.top_db is not None and not self.top_db > 0:
            problems.append(f"top_db: above 0, or null, not {self.top_db}")
        if not 0 <= self.overlap < 1:
            problems.append(f"overlap: from 0 to below 1, not {self.overlap}")
        if problems:
            raise UserError.collect("patch settings", problems)

    @property
    def step(self) -> int:
        """Frames from one patch to the next."""
        return self.patch_length - int(self.patch_length * self.overlap)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> "PatchSettings":
        """Return what :meth:`to_dict` described.

        Raises
        ------
        UserError
            An unknown key or a bad value.
        """
        known = [f.name for f in dataclasses.fields(cls)]
        for key in fields:
            if key not in known:
                raise unknown_name("key of the patch settings", key, known)
        return cls(**fields)


def trim(wav: np.ndarray, mel: MelSettings, patch: PatchSettings) -> np.ndarray:
    """Return the part of a clip that is looked at, silence cut out.

    Arguments
    ---------
    wav : numpy.ndarray
        Shape (samples,), at least one sample.

    Returns
    -------
    numpy.ndarray
        Shape (n,), n enough for one patch and within min_length and
        max_length.
    """
    rate = mel.signal.sample_rate
    wav = wav[: round(patch.max_length * rate)]
    if patch.trim_last_second and len(wav) >= rate:
        wav = wav[: len(wav) // rate * rate]
    if patch.top_db is not None:
        wav = sounding(wav, patch.top_db, patch.frame_length, patch.hop_length)
    least = max(
        round(patch.min_length * rate), mel.num_samples(patch.patch_length)
    )
    return wav if len(wav) >= least else np.resize(wav, least)


def cut(features: np.ndarray, patch: PatchSettings) -> np.ndarray:
    """Return the patches of a log-mel spectrogram.

    Arguments
    ---------
    features : numpy.ndarray
        (mels, frames), at least ``patch_length`` frames.

    Returns
    -------
    numpy.ndarray
        (patches, mels, patch_length), a copy.
    """
    last = features.shape[1] - patch.patch_length
    starts = list(range(0, last + 1, patch.step))
    if patch.include_last_patch and starts[-1] < last:
        starts.append(last)
    views = np.lib.stride_tricks.sliding_window_view(
        features, patch.patch_length, axis=1
    )
    return np.ascontiguousarray(views[:, starts].swapaxes(0, 1))


def clip_patches(
    wav: np.ndarray, mel: MelSettings, patch: PatchSettings
) -> np.ndarray:
    """Return the patches of a whole clip, (patches, mels, patch_length)."""
    return cut(log_mel(trim(wav, mel, patch), mel), patch)


def settings_of(setup: Setup) -> tuple[MelSettings, PatchSettings]:
    """Return the settings of the features that a setup carries."""
    features = setup.features
    return (
        MelSettings.from_dict(features["mel"], setup.signal),
        PatchSettings.from_dict(features["patch"]),
    )


def unknown_below(features: dict) -> float:
    """Return the probability below which a sound is unknown, chosen or 0."""
    return features.get(CHOSEN, {}).get("unknown_below", 0.0)
