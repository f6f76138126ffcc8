"""Randomness of a data item: a function of (seed, epoch, id), nothing else."""

import copy
import hashlib

import numpy as np
from speechbrain.dataio.dataset import DynamicItemDataset
import torch


def item_rng(
    seed: int, epoch: int, utterance_id: str, purpose: str = ""
) -> np.random.Generator:
    """Return the random generator of one item.

    Each purpose ("noise", "level", ...) has its own, so that switching one
    augmentation on leaves the others as they were.

    >>> a = item_rng(1, 2, "p232_001").random()
    >>> a == item_rng(1, 2, "p232_001").random()
    True
    """
    text = f"{int(seed)}|{int(epoch)}|{purpose}|{utterance_id}"
    digest = hashlib.blake2b(text.encode("utf-8"), digest_size=16).digest()
    return np.random.default_rng(int.from_bytes(digest, "little"))


class SharedEpoch:
    """The epoch number, in memory that worker processes see."""

    def __init__(self, epoch: int = 0):
        self._value = torch.tensor([epoch], dtype=torch.int64).share_memory_()

    def __deepcopy__(self, memo):
        # SpeechBrain copies a pipeline to filter a data set: the copy must
        # follow the same epoch.
        return self

    @property
    def value(self) -> int:
        """The epoch."""
        return int(self._value[0])

    @value.setter
    def value(self, epoch: int):
        self._value[0] = int(epoch)


class SeededDataset(DynamicItemDataset):
    """A DynamicItemDataset with an epoch that worker processes see.

    A ``fixed`` one (validation and test) stays at epoch 0 for ever.
    """

    def __init__(self, data, dynamic_items, output_keys, epoch, fixed):
        super().__init__(data, dynamic_items, list(output_keys))
        self.epoch = epoch
        self.fixed = fixed

    def set_epoch(self, epoch: int):
        """Set the epoch; call it before iterating over a loader.

        Without effect on a fixed set.
        """
        if not self.fixed:
            self.epoch.value = epoch

    def filtered_sorted(self, *args, **kwargs):
        """Filter or sort as SpeechBrain does; the result has an epoch too."""
        subset = copy.copy(self)
        subset.data_ids = self._filtered_sorted_ids(*args, **kwargs)
        subset.pipeline = copy.deepcopy(self.pipeline)
        return subset
