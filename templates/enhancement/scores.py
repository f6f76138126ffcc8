"""STOI and PESQ that count the clips they could not score.

Both raise, or return a meaningless number, on silent or very short clips. An
average over whatever is left must say how many clips that is.
"""

import math
import warnings

import guard_torchaudio  # noqa: F401
import pesq as pesq_package
import pystoi
from speechbrain.utils.metric_stats import MetricStats


def stoi(sample_rate):
    """Return a function scoring STOI of one clip.

    C. H. Taal et al., "An Algorithm for Intelligibility Prediction of
    Time-Frequency Weighted Noisy Speech", IEEE TASLP, 2011.

    Arguments
    ---------
    sample_rate : int
        In Hz.

    Returns
    -------
    callable
        ``(predict, target) -> float``, both (samples,) tensors.
    """

    def score(predict, target):
        with warnings.catch_warnings():
            # pystoi returns 1e-5 with this warning when a clip is too short.
            warnings.simplefilter("error", RuntimeWarning)
            return pystoi.stoi(target.numpy(), predict.numpy(), sample_rate)

    return score


def pesq(sample_rate):
    """Return a function scoring PESQ of one clip (ITU-T P.862, P.862.2).

    Arguments
    ---------
    sample_rate : int
        16000 for the wide band, 8000 for the narrow band form.

    Returns
    -------
    callable
        ``(predict, target) -> float``, both (samples,) tensors.
    """
    band = "wb" if sample_rate == 16000 else "nb"

    def score(predict, target):
        return pesq_package.pesq(
            sample_rate, target.numpy(), predict.numpy(), band
        )

    return score


class CountingStats(MetricStats):
    """MetricStats over one clip at a time that survives failing clips.

    A clip whose score raises or is not finite keeps its place with NaN, is
    left out of the average and counted, and its reason is kept.

    Arguments
    ---------
    metric : callable
        ``(predict, target) -> float``.

    Example
    -------
    >>> import torch
    >>> stats = CountingStats(lambda predict, target: 1.0 / predict.item())
    >>> stats.append(
    ...     ids=["a", "b"],
    ...     predict=torch.tensor([[2.0], [0.0]]),
    ...     target=torch.zeros(2, 1),
    ... )
    >>> stats.summarize("average"), stats.summarize("failures")
    (0.5, 1)
    """

    def __init__(self, metric):
        self.reasons = {}
        # With n_jobs > 1 MetricStats repeats a batch that raises forever.
        super().__init__(self._guarded(metric), n_jobs=1, batch_eval=False)

    def _guarded(self, metric):
        def score(predict, target):
            reason = None
            value = math.nan
            try:
                value = float(metric(predict, target))
                if not math.isfinite(value):
                    reason = "the score is not finite"
            except Exception as error:  # noqa: BLE001 - counted, not hidden
                reason = f"{type(error).__name__}: {error}".strip()
            if reason is not None:
                value = math.nan
                self.reasons[self.ids[len(self.scores) + self._done]] = reason
            self._done += 1
            return value

        return score

    def clear(self):
        """Forget all clips."""
        super().clear()
        self.reasons.clear()
        self._done = 0

    def append(self, ids, *args, **kwargs):
        """Score the clips of a batch; see ``MetricStats.append``."""
        self._done = 0
        super().append(ids, *args, **kwargs)

    def summarize(self, field=None):
        """Return the average over scored clips, the counts and reasons.

        Arguments
        ---------
        field : str or None
            ``average`` (NaN when no clip was scored), ``clips``,
            ``failures`` or ``reasons``; None for all.

        Returns
        -------
        float, int or dict
            The field, or all of them.
        """
        good = [s for s in self.scores if math.isfinite(s)]
        self.summary = {
            "average": sum(good) / len(good) if good else math.nan,
            "clips": len(self.scores),
            "failures": len(self.scores) - len(good),
            "reasons": dict(self.reasons),
        }
        return self.summary if field is None else self.summary[field]
