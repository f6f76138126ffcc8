"""Scores of event detection, of clips.

scikit-learn computes what it has; intervals are Wilson's (1927).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
import math

from edgebrain.events.listing import OTHER
import numpy as np

_Z95 = 1.959964


@dataclass(frozen=True)
class Metric:
    """How a score is called and printed."""

    name: str
    label: str
    unit: str = "%"
    higher_is_better: bool = True
    format: str = ".2f"


METRICS = {
    metric.name: metric
    for metric in (
        Metric("clip_accuracy", "clip accuracy"),
        Metric("patch_accuracy", "patch accuracy"),
        Metric("hits", "hits"),
        Metric("false_alarms", "false alarms", higher_is_better=False),
        Metric("top3", "top-3"),
        Metric("f1", "macro F1"),
        Metric("map", "mAP"),
        Metric("lwlrap", "lwlrap"),
        Metric("nll", "cross entropy", "nat", False, ".4f"),
    )
}
#: Where clips of other sounds are scored too.
UNKNOWN = ("hits", "false_alarms")
SINGLE_LABEL = ("clip_accuracy", "patch_accuracy", "top3", "f1", "nll")
MULTI_LABEL = ("map", "lwlrap", "f1", "nll")


def wilson(hits: int, count: int) -> tuple[float, float]:
    """Return the 95 % interval of a share of ``hits`` among ``count``.

    Source: E. B. Wilson, 1927, J. Am. Stat. Assoc. 22.

    >>> [round(x, 3) for x in wilson(76, 80)]
    [0.878, 0.98]
    """
    if not count:
        return 0.0, 1.0
    share, z2 = hits / count, _Z95**2
    middle = (share + z2 / (2 * count)) / (1 + z2 / count)
    half = math.sqrt(share * (1 - share) / count + z2 / (4 * count**2))
    half *= _Z95 / (1 + z2 / count)
    return max(0.0, middle - half), min(1.0, middle + half)


@dataclass
class Predictions:
    """What a network said of some clips.

    Attributes
    ----------
    scores : numpy.ndarray
        (clips, classes): probabilities.
    target : numpy.ndarray
        (clips, classes): 1 where the clip has the class; all 0: a sound of
        no class, an unknown one.
    patch_hits, patches : numpy.ndarray
        (clips,): patches whose most probable class is one of the clip; all.
    reported : numpy.ndarray
        (clips,): patches whose most probable class reaches the threshold
        and is one of the clip, or is :data:`.OTHER` and the clip's; of an
        unknown sound, whatever it is but that.
    failures : dict of str to str
        Clips without a score and why.
    """

    ids: list[str]
    scores: np.ndarray
    target: np.ndarray
    patch_hits: np.ndarray
    patches: np.ndarray
    reported: np.ndarray
    failures: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of_patches(
        cls, ids, clip, probabilities, target, names, threshold=0.0
    ) -> "Predictions":
        """Return clips by the probabilities of their patches.

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
        threshold : float
            Probability below which nothing is reported.
        """
        counts = np.bincount(clip, minlength=len(ids))
        sums = np.zeros((len(ids), probabilities.shape[1]))
        np.add.at(sums, clip, probabilities)
        hit = target[clip, probabilities.argmax(1)] > 0
        sure = surest(probabilities, names)
        reported = (hit | ~target.any(1)[clip]) & (sure > 0)
        reported &= sure >= threshold
        reported |= hit & (sure == 0)
        hits, reported = (
            np.bincount(clip, weights=of, minlength=len(ids))
            for of in (hit, reported)
        )
        mean = sums / counts[:, None]
        return cls(list(ids), mean, target, hits, counts, reported)

    def known(self, wanted: bool = True) -> "Predictions":
        """Return the clips that have a class, or those of unknown sounds."""
        where = self.target.any(1) == wanted
        if where.all():
            return self
        return replace(
            self,
            ids=[i for i, there in zip(self.ids, where, strict=True) if there],
            **{
                name: getattr(self, name)[where]
                for name in "scores target patch_hits patches reported".split()
            },
        )

    @classmethod
    def join(cls, parts: Iterable["Predictions"]) -> "Predictions":
        """Return several as one, such as those of all folds."""
        parts = list(parts)
        return cls(
            [i for part in parts for i in part.ids],
            np.concatenate([part.scores for part in parts]),
            np.concatenate([part.target for part in parts]),
            np.concatenate([part.patch_hits for part in parts]),
            np.concatenate([part.patches for part in parts]),
            np.concatenate([part.reported for part in parts]),
            {k: v for part in parts for k, v in part.failures.items()},
        )


def surest(probabilities: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Return the highest probability of each patch, 0 where it is OTHER's."""
    highest = probabilities.max(1)
    if OTHER in names:
        highest[probabilities.argmax(1) == list(names).index(OTHER)] = 0.0
    return highest


def score(predictions: Predictions, multi_label: bool) -> dict[str, float]:
    """Return all metrics, in percent but for the cross entropy.

    Arguments
    ---------
    predictions : Predictions
        Of at least one clip that has a class. Where there are others, how
        many patches are reported of both.

    Returns
    -------
    dict of str to float
        By the names of :data:`METRICS`.
    """
    from sklearn import metrics as sk

    unknown, extra = predictions.known(False), {}
    if len(unknown.ids) < len(predictions.ids) and len(unknown.ids):
        predictions = predictions.known()
        extra = {
            name: 100 * float(of.reported.sum() / of.patches.sum())
            for name, of in zip(UNKNOWN, (predictions, unknown), strict=True)
        }
    scores, target = predictions.scores, predictions.target
    if not multi_label:
        truth, guess = target.argmax(1), scores.argmax(1)
        best = np.argsort(-scores, axis=1, kind="stable")[:, :3]
        chosen = np.take_along_axis(scores, truth[:, None], 1)
        return {
            "clip_accuracy": 100 * float(np.mean(guess == truth)),
            "patch_accuracy": 100
            * float(predictions.patch_hits.sum() / predictions.patches.sum()),
            "top3": 100 * float(np.mean((best == truth[:, None]).any(1))),
            "f1": 100
            * float(
                sk.f1_score(truth, guess, average="macro", zero_division=0)
            ),
            "nll": float(-np.log(np.maximum(chosen, 1e-7)).mean()),
            **extra,
        }
    there = target.any(0)
    clipped = np.clip(scores, 1e-7, 1 - 1e-7)
    cross = target * np.log(clipped) + (1 - target) * np.log(1 - clipped)
    return {
        "map": 100
        * float(sk.average_precision_score(target[:, there], scores[:, there])),
        # lwlrap is lrap with each clip counted once a label.
        "lwlrap": 100
        * float(
            sk.label_ranking_average_precision_score(
                target, scores, sample_weight=target.sum(1)
            )
        ),
        "f1": 100
        * float(
            sk.f1_score(
                target[:, there] > 0,
                scores[:, there] > 0.5,
                average="macro",
                zero_division=0,
            )
        ),
        "nll": float(-cross.mean()),
        **extra,
    }


def chance(predictions: Predictions, multi_label: bool) -> dict[str, float]:
    """Return the metrics of always saying how frequent each class is."""
    prior = predictions.known().target.mean(0, keepdims=True)
    hits = predictions.target[:, prior.argmax()] > 0
    blind = replace(
        predictions,
        scores=np.repeat(prior, len(predictions.ids), 0),
        patch_hits=hits * predictions.patches,
        reported=(hits | ~predictions.target.any(1)) * predictions.patches,
    )
    return score(blind, multi_label)


def per_class(
    predictions: Predictions, class_names: Sequence[str], multi_label: bool
) -> list[dict]:
    """Return precision, recall, F1 and number of clips of each class."""
    from sklearn.metrics import precision_recall_fscore_support

    target, scores = predictions.target > 0, predictions.scores
    guess = scores > 0.5
    if not multi_label:
        guess = np.eye(len(class_names), dtype=bool)[scores.argmax(1)]
    values = precision_recall_fscore_support(target, guess, zero_division=0)
    return [
        {
            "class": name,
            "precision": 100 * float(precision),
            "recall": 100 * float(recall),
            "f1": 100 * float(f1),
            "clips": int(count),
        }
        for name, precision, recall, f1, count in zip(
            class_names, *values, strict=True
        )
    ]


def confusion(predictions: Predictions) -> np.ndarray:
    """Return (classes, classes): clips by true and by predicted class."""
    from sklearn.metrics import confusion_matrix

    return confusion_matrix(
        predictions.target.argmax(1),
        predictions.scores.argmax(1),
        labels=np.arange(predictions.target.shape[1]),
    )
