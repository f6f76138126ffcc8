"""Score validation and test clips while they come, and write the results."""

import math
from pathlib import Path

from edgebrain import metrics
from edgebrain.data.audio import write
from edgebrain.report import plots, tables

#: Clips scored in one go: enough for all cores, little enough to hold.
_CHUNK = 48


class Scorer:
    """Collect clips and score them, noisy and enhanced, on all cores.

    Arguments
    ---------
    sample_rate : int
        Hz.
    names : list of str
        Metrics.
    n_jobs : int, optional
        Processes; left out: all cores.
    score_noisy : bool
        Also score the noisy input; the validation set is fixed, so once is
        enough.
    audio_folder : path, optional
        Where each enhanced clip is written as ``<id>.wav``.
    """

    def __init__(
        self,
        sample_rate,
        names,
        n_jobs=None,
        score_noisy=True,
        audio_folder=None,
    ):
        self.sample_rate = sample_rate
        self.names = list(names)
        self.n_jobs = n_jobs
        self.score_noisy = score_noisy
        self.audio_folder = Path(audio_folder) if audio_folder else None
        self.noisy: list[metrics.ClipScores] = []
        self.enhanced: list[metrics.ClipScores] = []
        self._waiting: list[tuple] = []

    def add(self, ids, noisy, enhanced, clean, lengths) -> None:
        """Take a batch.

        Arguments
        ---------
        ids : list of str
        noisy, enhanced, clean : array (batch, samples)
        lengths : list of int
            Samples of each clip without padding.
        """
        for i, name in enumerate(ids):
            clips = [x[i, : lengths[i]] for x in (noisy, enhanced, clean)]
            self._waiting.append((name, *clips))
            if self.audio_folder is not None:
                path = clip_path(self.audio_folder, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                write(path, clips[1], self.sample_rate)
        if len(self._waiting) >= _CHUNK:
            self.finish()

    def finish(self) -> None:
        """Score what waits; the results are in ``noisy`` and ``enhanced``."""
        pairs = [(name, c, e) for name, _, e, c in self._waiting]
        if self.score_noisy:
            pairs += [(name, c, n) for name, n, _, c in self._waiting]
        scores = metrics.score_clips(
            pairs, self.sample_rate, self.names, self.n_jobs
        )
        count = len(self._waiting)
        self.enhanced += scores[:count]
        self.noisy += scores[count:]
        self._waiting = []

    def columns(self) -> dict:
        """Return the means as columns of the history.

        Returns
        -------
        dict
            ``valid_<metric>``, ``noisy_<metric>`` where noisy clips were
            scored, and ``failed_<metric>``: clips without a score.
        """
        self.finish()
        result = metrics.summarise(self.enhanced)
        row = {f"valid_{k}": v for k, v in result["mean"].items()}
        if self.score_noisy:
            noisy = metrics.summarise(self.noisy)["mean"]
            row |= {f"noisy_{k}": v for k, v in noisy.items()}
        for name in self.names:
            failed = sum(result["failures"].get(name, {}).values())
            row[f"failed_{name}"] = failed
        return row

    def rows(self) -> dict:
        """Return ``{"noisy": scores, "enhanced": scores}`` of all clips."""
        self.finish()
        return {"noisy": self.noisy, "enhanced": self.enhanced}


def clip_path(folder, clip_id: str) -> Path:
    """Return where the enhanced form of a clip lies."""
    return Path(folder) / f"{clip_id}.wav"


def example_clips(rows: dict, metric: str) -> dict[str, str]:
    """Pick the clips with the best, median and worst gain in a metric.

    Arguments
    ---------
    rows : dict
        From :meth:`Scorer.rows`.
    metric : str

    Returns
    -------
    dict of str to str
        ``best``, ``median`` and ``worst`` to the id of a clip; fewer if
        fewer clips have a score in both rows.
    """
    before = {clip.id: clip.values[metric] for clip in rows["noisy"]}
    sign = 1 if metrics.higher_is_better(metric) else -1
    gains = sorted(
        (sign * (clip.values[metric] - before[clip.id]), clip.id)
        for clip in rows["enhanced"]
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


def write_test_results(folder, rows, signal, facts, get_clip, files) -> str:
    """Write metrics.json, per_clip.csv and spectrograms; return the table.

    Arguments
    ---------
    folder : path
        Files in it are replaced.
    rows : dict
        From :meth:`Scorer.rows`.
    signal : edgebrain.signal.SignalSettings
    facts : dict
        Further entries of metrics.json: what was tested.
    get_clip : callable
        Clip id to ``(noisy, enhanced, clean)`` arrays (samples,).
    files : dict
        Clip id to ``{"clean_file": ..., ...}``.

    Returns
    -------
    str
        The table, the noisy input first.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tables.write_per_clip(folder / "per_clip.csv", rows, files)
    tables.write_json(
        folder / "metrics.json", {**facts, **tables.metrics_summary(rows)}
    )
    ranking = next(iter(rows["enhanced"][0].values))
    for name, clip_id in example_clips(rows, ranking).items():
        label = metrics.METRICS[ranking].label
        plots.plot_spectrograms(
            *get_clip(clip_id),
            signal,
            folder / f"spectrograms_{name}.png",
            f"{clip_id}: {name} gain in {label}",
        )
    table = tables.metrics_table(rows, signal.sample_rate)
    (folder / "table.txt").write_text(table + "\n", encoding="utf-8")
    return table
