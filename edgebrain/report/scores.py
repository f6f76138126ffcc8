"""Scores of clips, their means and their ranking; needs no numpy."""

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
    """
    names = dict.fromkeys(name for clip in after for name in clip.values)
    gains = {}
    for name in names:
        changes = [
            new.values[name] - old.values.get(name, math.nan)
            for old, new in zip(before, after, strict=True)
        ]
        good = [change for change in changes if math.isfinite(change)]
        gains[name] = math.fsum(good) / len(good) if good else math.nan
    return gains


def least_gains(
    rows: Mapping[str, Sequence[ClipScores]],
    metric: str,
    higher_is_better: bool,
) -> dict[str, float]:
    """Return, by clip, the least that any row betters the first one.

    -inf where a score is missing: that is the worst that can be.
    """
    baseline, *others = rows.values()
    before = {clip.id: clip.values.get(metric, math.nan) for clip in baseline}
    sign = 1 if higher_is_better else -1
    gains: dict[str, float] = {}
    for clip in (clip for row in others for clip in row):
        gain = sign * (clip.values.get(metric, math.nan) - before[clip.id])
        gain = gain if math.isfinite(gain) else -math.inf
        gains[clip.id] = min(gain, gains.get(clip.id, math.inf))
    return gains


def worst_first(gains: Mapping[str, float], count: int) -> list[tuple]:
    """Return ``(id, why)`` of clips to show, the least gain being the worst.

    Of ``count`` the most are the worst ones, then a median and the best.
    """
    ranked = sorted(gains, key=lambda clip: (gains[clip], clip))
    if len(ranked) <= count or count < 3:
        order = ranked[:count]
        return [(clip, f"rank {k}") for k, clip in enumerate(order, start=1)]
    worst = ranked[: count - 2]
    shown = [(clip, f"worst {k}") for k, clip in enumerate(worst, start=1)]
    median = ranked[max(len(ranked) // 2, count - 2)]
    shown.append((median, "median"))
    if ranked[-1] != median:
        shown.append((ranked[-1], "best"))
    return shown


def example_clips(gains: Mapping[str, float]) -> dict[str, str]:
    """Return ``best``, ``median`` and ``worst``: the id of a clip.

    Fewer if fewer clips have a gain.
    """
    good = {clip: gain for clip, gain in gains.items() if math.isfinite(gain)}
    ranked = sorted(good, key=lambda clip: (good[clip], clip))
    chosen: dict[str, str] = {}
    places = {"best": -1, "median": len(ranked) // 2, "worst": 0}
    for name, place in places.items() if ranked else ():
        if ranked[place] not in chosen.values():
            chosen[name] = ranked[place]
    return chosen
