"""Data sets that yield ``id``, ``noisy_sig`` and ``clean_sig``.

:func:`mixing_dataset` mixes on the fly, :func:`paired_dataset` reads pairs.
Both are SpeechBrain DynamicItemDatasets. An item is determined by (seed,
epoch, id): neither worker processes, batch size, a resume, nor the place of
the data on disk change one bit of it.
"""

from functools import partial
from pathlib import Path

from edgebrain.data.randomness import SeededDataset, SharedEpoch, item_rng
from edgebrain.data.sources import Source, load_manifest
from edgebrain.enhancement import mixing
from edgebrain.enhancement.mixer import (
    Cropper,
    Mixer,
    MixInfo,
    crop_samples,
)
from edgebrain.enhancement.mixing_settings import MixingSettings, draw
from edgebrain.errors import UserError
import numpy as np
import torch

OUTPUT_KEYS = ("id", "noisy_sig", "clean_sig")


def _tensors(make, name):
    """Call for an item and copy it: an array may be a view of a cache."""
    noisy, clean, info = make(name)
    return (
        torch.from_numpy(np.array(noisy, dtype=np.float32)),
        torch.from_numpy(np.array(clean, dtype=np.float32)),
        info,
    )


def _dataset(entries, make, epoch, fixed) -> SeededDataset:
    item = {
        "func": partial(_tensors, make),
        "takes": ["id"],
        "provides": ["noisy_sig", "clean_sig", "mix_info"],
    }
    return SeededDataset(entries, [item], OUTPUT_KEYS, epoch, fixed)


def mixing_dataset(
    speech_manifest: str | Path,
    noise_manifest: str | Path | None,
    rir_manifest: str | Path | None,
    settings: MixingSettings,
    sample_rate: int,
    seed: int,
    crop_seconds: float | None = None,
    fixed: bool = False,
    data_root: str | Path | None = None,
    cache_mb: float = 64.0,
) -> SeededDataset:
    """Build a data set that mixes on the fly.

    Its keys are id, noisy_sig, clean_sig (float32 tensors (n,)) and, on
    demand, ``mix_info`` (a MixInfo).

    Arguments
    ---------
    speech_manifest, noise_manifest, rir_manifest : str, Path or None
        JSON manifests with wav, duration and, of speech, speaker.
    settings : MixingSettings
        What to do how often; ``settings.without`` what the corpus has not:
        noises, rooms, a second speaker.
    crop_seconds : float or None
        Length of every item: a random part with enough active speech, or,
        where the utterance is shorter, the whole of it at a random place.
        None for whole utterances.
    fixed : bool
        For validation and test: epoch 0 for ever, no crops.
    data_root : str, Path or None
        What ``{data_root}`` in the manifests stands for; the folder of each
        manifest when None.
    cache_mb : float
        Memory for decoded noises, and as much for rooms, in each process.
    """
    keys = ("speaker",) if settings.babble_prob > 0 else ()
    entries = load_manifest(
        speech_manifest, data_root, ("wav", "duration", *keys)
    )

    def source(manifest, **options):
        if manifest is None:
            return None
        loaded = load_manifest(manifest, data_root)
        return Source(loaded, sample_rate, cache_mb, **options)

    epoch = SharedEpoch()
    mixer = Mixer(
        Source(entries, sample_rate, cache_mb, whole=False),
        source(noise_manifest),
        source(rir_manifest, whole=True, prepare=mixing.trim_rir),
        settings,
        seed,
        epoch,
        None if fixed else crop_seconds,
    )
    return _dataset(entries, mixer.mix, epoch, fixed)


class PairReader:
    """Reads a noisy and a clean recording, the same part of both."""

    def __init__(self, noisy, clean, seed, epoch, crop_seconds, settings):
        self.noisy, self.clean = noisy, clean
        self.seed = seed
        self.epoch = epoch
        self.settings = settings
        self.crop = crop_samples(crop_seconds, clean.sample_rate)
        self.cropper = Cropper(clean)

    def __deepcopy__(self, memo):
        return self

    def read(self, name: str) -> tuple[np.ndarray, np.ndarray, MixInfo]:
        """Return noisy, clean (arrays (n,)) and what was done."""
        info = MixInfo(id=name, epoch=self.epoch.value)
        if self.crop is None:
            noisy, clean = self.noisy.read(name), self.clean.read(name)
        else:
            rng = item_rng(self.seed, info.epoch, name, "crop")
            start, clean = self.cropper.choose(name, self.crop, rng)
            noisy = self.noisy.read(name, start, len(clean))
            lead = int(rng.integers(self.crop - len(clean) + 1))
            after = self.crop - len(clean) - lead
            info.speech_start = start
            info.silence_before, info.silence_after = lead, after
            noisy = mixing.add_silence(noisy, lead, after)
            clean = mixing.add_silence(clean, lead, after)
        if len(noisy) != len(clean):
            raise UserError(
                f"{name}: noisy has {len(noisy)} samples, clean "
                f"{len(clean)}; a pair must have the same length"
            )
        info.samples = len(clean)
        rng = item_rng(self.seed, info.epoch, name, "level")
        settings = self.settings
        if settings is not None and settings.high_pass:
            pole = settings.high_pass
            noisy, clean = (mixing.high_pass(x, pole) for x in (noisy, clean))
        if settings is not None and rng.random() < settings.level_prob:
            info.peak_db = float(draw(settings.level_db, rng))
            noisy, clean = mixing.fit_full_scale(
                *mixing.set_peak(noisy, clean, info.peak_db)
            )
        return noisy, clean, info


def paired_dataset(
    manifest: str | Path,
    sample_rate: int,
    seed: int,
    crop_seconds: float | None = None,
    fixed: bool = False,
    data_root: str | Path | None = None,
    settings: MixingSettings | None = None,
) -> SeededDataset:
    """Build a data set from ready pairs.

    Arguments
    ---------
    fixed : bool
        For validation and test: epoch 0 for ever, no crops, the level of
        the files.
    settings : MixingSettings or None
        Its random level (``level_prob``, ``level_db``) is applied to both
        signals by one gain, for a network has to work at levels that the
        recordings do not have. The rest is for mixing only.
    """
    entries = load_manifest(manifest, data_root, ("noisy", "clean", "duration"))

    def source(key):
        files = {
            name: {"wav": entry[key], "duration": entry["duration"]}
            for name, entry in entries.items()
        }
        return Source(files, sample_rate, whole=False)

    epoch = SharedEpoch()
    reader = PairReader(
        source("noisy"),
        source("clean"),
        seed,
        epoch,
        None if fixed else crop_seconds,
        None if fixed else settings,
    )
    return _dataset(entries, reader.read, epoch, fixed)
