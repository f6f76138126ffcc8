"""Data sets of labelled clips: each item is fixed by (seed, epoch, id)."""

from collections.abc import Callable, Mapping, Sequence
import dataclasses
import json
import math
from pathlib import Path

from edgebrain.data import audio
from edgebrain.data.layout import find_audio
from edgebrain.data.randomness import SeededDataset, SharedEpoch, item_rng
from edgebrain.errors import UserError
from edgebrain.events import augment
from edgebrain.events.augment import Augmentation
from edgebrain.events.patches import PatchSettings, cut, trim
from edgebrain.signal.mel import MelSettings, compress, mel_spectrogram
import numpy as np
import torch
from torch import Tensor

#: Clips that a reader keeps in memory, of 5 s some 300 kB each.
_KEPT = 1024


class ClipReader:
    """Patches and target of a clip, by its id.

    Arguments
    ---------
    data : mapping of str to mapping
        By clip id: ``wav`` (a file at the rate of the features), ``labels``.
    augmentation : Augmentation or None
        None: the whole clip as it is.
    patches_per_clip : int
        With augmentation: consecutive patches of a random part of the clip.
    """

    def __init__(
        self,
        data: Mapping[str, Mapping],
        class_names: Sequence[str],
        mel: MelSettings,
        patch: PatchSettings,
        seed: int,
        epoch: SharedEpoch,
        augmentation: Augmentation | None,
        patches_per_clip: int,
    ):
        self.data, self.names = data, list(data)
        self.class_names = list(class_names)
        self.mel, self.patch, self.seed = mel, patch, seed
        self.epoch, self.augmentation = epoch, augmentation
        self.patches_per_clip = patches_per_clip
        self.noises = []
        self._kept: dict[str, np.ndarray] = {}
        if augmentation is not None and augmentation.noise_folder:
            found = find_audio(augmentation.noise_folder).files
            self.noises = list(found.values())
            if not self.noises:
                raise UserError(
                    f"noise_folder {augmentation.noise_folder}: no recording"
                )

    def __call__(self, name: str) -> tuple[Tensor, Tensor]:
        """Return (patches, mels, frames) and (classes,), both float32."""
        if self.augmentation is None:
            patches, target = self._once(name, self._whole), self.target(name)
        else:
            patches, target = self._augmented(name)
        return torch.from_numpy(patches), torch.from_numpy(target)

    def target(self, name: str) -> np.ndarray:
        """Return float32 (classes,), 1 where the clip has the class."""
        labels = self.data[name]["labels"]
        return np.isin(self.class_names, labels).astype(np.float32)

    def wav(self, name: str) -> np.ndarray:
        """Return the sound of a clip as it was recorded."""
        rate = self.mel.signal.sample_rate
        return audio.read(self.data[name]["wav"], rate)

    def _once(self, name: str, make: Callable) -> np.ndarray:
        """Return ``make(name)``, kept while there is room."""
        value = self._kept.get(name)
        if value is None:
            value = make(name)
            if len(self._kept) < _KEPT:
                self._kept[name] = value
        return value

    def _sound(self, name: str) -> np.ndarray:
        return trim(self.wav(name), self.mel, self.patch)

    def _whole(self, name: str) -> np.ndarray:
        mel = mel_spectrogram(self._sound(name), self.mel)
        return compress(cut(mel, self.patch), self.mel)

    def _augmented(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        settings = self.augmentation

        def rng(purpose):
            return item_rng(self.seed, self.epoch.value, name, purpose)

        frames = (self.patches_per_clip - 1) * self.patch.step
        samples = self.mel.num_samples(frames + self.patch.patch_length)
        wav = self._part(name, samples, rng("part"))
        target = self.target(name)
        draw = rng("mixup")
        if draw.random() < settings.mixup:
            other = self.names[int(draw.integers(len(self.names)))]
            ratio = float(draw.random())
            second = self._part(other, samples, draw)
            wav = augment.blend(wav, second, ratio)
            target = ratio * target + (1 - ratio) * self.target(other)
        draw = rng("noise")
        if draw.random() < settings.noise:
            noise = self._noise(samples, draw)
            wav = augment.mix_noise(
                wav, noise, float(draw.uniform(*settings.noise_snr_db))
            )
        gain = rng("gain").uniform(-settings.gain_db, settings.gain_db)
        wav = (wav * 10 ** (gain / 20)).astype(np.float32)
        patches = cut(mel_spectrogram(wav, self.mel), self.patch)
        augment.mask(patches, settings, rng("mask"))
        return compress(patches, self.mel), target.astype(np.float32)

    def _part(self, name, samples, rng) -> np.ndarray:
        """Return a random part of a clip, perhaps at another speed."""
        wav, settings = self._once(name, self._sound), self.augmentation
        if rng.random() >= settings.speed:
            return augment.take(wav, samples, rng)
        factor = augment.draw_speed(settings.max_speed, rng)
        wav = augment.take(wav, math.ceil(samples * factor), rng)
        return augment.change_speed(wav, factor)[:samples]

    def _noise(self, samples, rng) -> np.ndarray:
        if not self.noises:
            return augment.coloured_noise(samples, rng)
        path = self.noises[int(rng.integers(len(self.noises)))]
        noise = audio.read(path, self.mel.signal.sample_rate)
        return augment.take(noise, samples, rng)


class EventDataset(SeededDataset):
    """Items ``id``, ``features`` (patches, mels, frames), ``target``.

    Arguments
    ---------
    data, class_names, mel, patch, seed, augmentation, patches_per_clip
        As :class:`ClipReader`; without augmentation an item is the same in
        every epoch.
    """

    def __init__(
        self,
        data: Mapping[str, Mapping],
        class_names: Sequence[str],
        mel: MelSettings,
        patch: PatchSettings,
        seed: int,
        augmentation: Augmentation | None = None,
        patches_per_clip: int = 4,
    ):
        epoch = SharedEpoch()
        self.reader = ClipReader(
            dict(data),
            class_names,
            mel,
            patch,
            seed,
            epoch,
            augmentation,
            patches_per_clip,
        )
        item = {
            "func": self.reader,
            "takes": ["id"],
            "provides": ["features", "target"],
        }
        keys = ("id", "features", "target")
        super().__init__(dict(data), [item], keys, epoch, augmentation is None)


@dataclasses.dataclass
class PatchBatch:
    """Patches of several clips, one after another.

    Attributes
    ----------
    id : list of str
        Of the clips.
    features : Tensor
        (patches, mels, frames) of all clips.
    target : Tensor
        (clips, classes).
    clip : Tensor
        (patches,): the number of the clip that each patch is of.
    """

    id: list[str]
    features: Tensor
    target: Tensor
    clip: Tensor

    @classmethod
    def collate(cls, items: Sequence[Mapping]) -> "PatchBatch":
        """Return the batch of some items of an :class:`EventDataset`."""
        counts = torch.tensor([len(item["features"]) for item in items])
        return cls(
            [item["id"] for item in items],
            torch.cat([item["features"] for item in items]),
            torch.stack([item["target"] for item in items]),
            torch.repeat_interleave(torch.arange(len(items)), counts),
        )

    def __len__(self) -> int:
        return len(self.id)

    def to(self, *args, **kwargs) -> "PatchBatch":
        """Return the batch on a device."""
        return PatchBatch(
            self.id,
            self.features.to(*args, **kwargs),
            self.target.to(*args, **kwargs),
            self.clip.to(*args, **kwargs),
        )

    def pin_memory(self) -> "PatchBatch":
        """Return the batch in page-locked memory."""
        return PatchBatch(
            self.id,
            self.features.pin_memory(),
            self.target.pin_memory(),
            self.clip.pin_memory(),
        )

    def per_clip(self, values: Tensor) -> Tensor:
        """Return the mean over the patches of each clip, (clips, n)."""
        sums = values.new_zeros(len(self), values.shape[1])
        sums.index_add_(0, self.clip, values)
        counts = torch.bincount(self.clip, minlength=len(self))
        return sums / counts[:, None]


def read_manifest(path: Path | str) -> dict[str, dict]:
    """Return a manifest of labelled clips.

    Raises
    ------
    UserError
        The file is missing or no manifest.
    """
    path = Path(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return {
            k: {**v, "labels": list(v["labels"])} for k, v in content.items()
        }
    except FileNotFoundError:
        raise UserError(f"{path}: no such manifest") from None
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise UserError(f"{path}: is no manifest of clips ({error})") from None
