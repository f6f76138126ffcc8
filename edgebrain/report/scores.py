"""Scores of clips and what they come to: task-free, needs no numpy."""

from collections.abc import Mapping, Sequence
import dataclasses
import math


@dataclasses.dataclass(frozen=True)
class ClipScores:
    """The scores of a clip.

    Arguments
    ---------
    values : dict of str to float
        By metric; NaN where it failed.
    failures : dict of str to str
        The reason of each NaN.
    """

    id: str
    values: dict[str, float]
    failures: dict[str, str] = dataclasses.field(default_factory=dict)


def summarise(scores: Sequence[ClipScores]) -> dict:
    """Return the mean of each metric and what failed.

    Returns
    -------
    dict
        ``n``: clips; ``mean``: by metric, over the clips that have a score,
        NaN when none has; ``scored``: how many have, by metric;
        ``failures``: ``{metric: {reason: count}}``, only of metrics with
        failures.

    Example
    -------
    >>> scores = [
    ...     ClipScores("a", {"stoi": 0.5}),
    ...     ClipScores("b", {"stoi": math.nan}, {"stoi": "silent estimate"}),
    ... ]
    >>> summarise(scores)["mean"], summarise(scores)["failures"]
    ({'stoi': 0.5}, {'stoi': {'silent estimate': 1}})
    """
    names = dict.fromkeys(name for clip in scores for name in clip.values)
    mean, scored, failures = {}, {}, {}
    for name in names:
        values = [clip.values.get(name, math.nan) for clip in scores]
        good = [value for value in values if math.isfinite(value)]
        mean[name] = math.fsum(good) / len(good) if good else math.nan
        scored[name] = len(good)
        if len(good) < len(values):
            counts: dict[str, int] = {}
            for clip, value in zip(scores, values, strict=True):
                if not math.isfinite(value):
                    reason = clip.failures.get(name, "not scored")
                    counts[reason] = counts.get(reason, 0) + 1
            failures[name] = counts
    return {
        "n": len(scores),
        "mean": mean,
        "scored": scored,
        "failures": failures,
    }


def mean_gain(
    before: Sequence[ClipScores], after: Sequence[ClipScores]
) -> dict[str, float]:
    """Return the mean change of each metric, over clips scored in both.

    Means over different clips must not be subtracted: an enhancer that fails
    on the hardest clips would seem to gain from it.

    Arguments
    ---------
    before, after : sequence of ClipScores
        Matched by id.

    Returns
    -------
    dict of str to float
        ``after - before``; NaN when no clip has both.
    """
    earlier = {clip.id: clip.values for clip in before}
    names = dict.fromkeys(name for clip in after for name in clip.values)
    gains = {}
    for name in names:
        changes = [
            clip.values.get(name, math.nan)
            - earlier.get(clip.id, {}).get(name, math.nan)
            for clip in after
        ]
        good = [change for change in changes if math.isfinite(change)]
        gains[name] = math.fsum(good) / len(good) if good else math.nan
    return gains


def example_clips(
    rows: Mapping[str, Sequence[ClipScores]],
    metric: str,
    higher_is_better: bool,
) -> dict[str, str]:
    """Pick the clips with the best, median and worst gain in a metric.

    Arguments
    ---------
    rows : mapping of str to sequence of ClipScores
        The baseline, and what is compared with it.

    Returns
    -------
    dict of str to str
        ``best``, ``median`` and ``worst`` to the id of a clip; fewer if
        fewer clips have a score in both rows.
    """
    baseline, ours = rows.values()
    before = {clip.id: clip.values[metric] for clip in baseline}
    sign = 1 if higher_is_better else -1
    gains = sorted(
        (sign * (clip.values[metric] - before[clip.id]), clip.id)
        for clip in ours
        if math.isfinite(clip.values[metric] - before[clip.id])
    )
    if not gains:
        return {}
    places = {"best": -1, "median": len(gains) // 2, "worst": 0}
    chosen: dict[str, str] = {}
    for name, place in places.items():
        if gains[place][1] not in chosen.values():
            chosen[name] = gains[place][1]
    return chosen
