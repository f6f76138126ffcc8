"""Randomness of a data item: a function of (seed, epoch, id), nothing else."""

import hashlib

import numpy as np
import torch


def item_rng(
    seed: int, epoch: int, utterance_id: str, purpose: str = ""
) -> np.random.Generator:
    """Return the random generator of one item.

    Arguments
    ---------
    seed : int
        Of the experiment.
    epoch : int
        Constant for validation and test.
    utterance_id : str
        The item.
    purpose : str
        Each purpose ("noise", "level", ...) has its own generator, so that
        switching one augmentation on leaves the others as they were.

    Returns
    -------
    numpy.random.Generator

    >>> a = item_rng(1, 2, "p232_001").random()
    >>> a == item_rng(1, 2, "p232_001").random()
    True
    """
    text = f"{int(seed)}|{int(epoch)}|{purpose}|{utterance_id}"
    digest = hashlib.blake2b(text.encode("utf-8"), digest_size=16).digest()
    return np.random.default_rng(int.from_bytes(digest, "little"))


class SharedEpoch:
    """The epoch number, in memory that worker processes see.

    Arguments
    ---------
    epoch : int
        The first value.
    """

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
