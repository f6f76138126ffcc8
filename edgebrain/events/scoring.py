"""Collect what a network says of the patches of clips, and score it."""

from collections.abc import Sequence
import math

from edgebrain.events.metrics import Predictions, chance, score, surest
import numpy as np

#: Steps of a threshold from 0 to 1: networks may be that sure of a mistake.
_STEPS = 1_000_000


class Scorer:
    """Takes batches of probabilities; see :class:`.brain.EdgeBrain`.

    Arguments
    ---------
    with_chance : bool
        Also say what chance gives.
    threshold : float
        Probability below which a sound is unknown.
    """

    def __init__(
        self,
        class_names: Sequence[str],
        multi_label: bool,
        with_chance: bool = True,
        threshold: float = 0.0,
    ):
        self.class_names, self.threshold = class_names, threshold
        self.multi_label, self.with_chance = multi_label, with_chance
        self._parts: list[Predictions] = []
        self._unknown: list[np.ndarray] = []

    def add(self, ids, clip, probabilities, target) -> None:
        """Take patches of clips, as :meth:`.Predictions.of_patches`."""
        names = self.class_names
        self._parts.append(
            Predictions.of_patches(
                ids, clip, probabilities, target, names, self.threshold
            )
        )
        unknown = probabilities[~target.any(1)[clip]]
        self._unknown.append(surest(unknown, names))

    def predictions(self) -> Predictions:
        """Return all clips so far."""
        return Predictions.join(self._parts)

    def choose_threshold(self, rate: float) -> float:
        """Return the least threshold that keeps to a rate of false alarms.

        Arguments
        ---------
        rate : float
            Of the patches of unknown sounds so far, at most so many reach
            the threshold.
        """
        found = np.sort(np.concatenate(self._unknown))[::-1]
        allowed = int(rate * len(found))
        if allowed >= len(found):
            return 0.0
        above = math.floor(float(found[allowed]) * _STEPS + 1e-3) + 1
        return min(above, _STEPS) / _STEPS

    def columns(self) -> dict[str, float]:
        """Return ``valid_<metric>`` and, if asked for, ``chance_<metric>``."""
        found = self.predictions()
        row = score(found, self.multi_label)
        row = {f"valid_{name}": value for name, value in row.items()}
        if self.with_chance:
            blind = chance(found, self.multi_label)
            row |= {f"chance_{name}": value for name, value in blind.items()}
        return row
