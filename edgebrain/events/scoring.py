"""Collect what a network says of the patches of clips, and score it."""

from edgebrain.events.metrics import Predictions, chance, score
import numpy as np


class Scorer:
    """Takes batches of probabilities; see :class:`.brain.EdgeBrain`.

    Arguments
    ---------
    with_chance : bool
        Also say what chance gives.
    """

    def __init__(self, multi_label: bool, with_chance: bool = True):
        self.multi_label, self.with_chance = multi_label, with_chance
        self._parts: list[Predictions] = []

    def add(self, ids, clip, probabilities, target) -> None:
        """Take the patches of some clips.

        Arguments
        ---------
        ids : list of str
            Of the clips.
        clip : numpy.ndarray
            (patches,): the number of the clip that each patch is of.
        probabilities : numpy.ndarray
            (patches, classes).
        target : numpy.ndarray
            (clips, classes).
        """
        counts = np.bincount(clip, minlength=len(ids))
        sums = np.zeros((len(ids), probabilities.shape[1]))
        np.add.at(sums, clip, probabilities)
        hit = target[clip, probabilities.argmax(1)] > 0
        hits = np.bincount(clip, weights=hit, minlength=len(ids))
        self._parts.append(
            Predictions(list(ids), sums / counts[:, None], target, hits, counts)
        )

    def predictions(self) -> Predictions:
        """Return all clips so far."""
        return Predictions.join(self._parts)

    def columns(self) -> dict[str, float]:
        """Return ``valid_<metric>`` and, if asked for, ``chance_<metric>``."""
        found = self.predictions()
        row = score(found, self.multi_label)
        row = {f"valid_{name}": value for name, value in row.items()}
        if self.with_chance:
            blind = chance(found, self.multi_label)
            row |= {f"chance_{name}": value for name, value in blind.items()}
        return row
