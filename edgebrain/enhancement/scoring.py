"""Score validation and test clips while they come."""

from pathlib import Path

from edgebrain.data.audio import write
from edgebrain.enhancement import metrics
from edgebrain.report.scores import ClipScores, summarise

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
        self.noisy: list[ClipScores] = []
        self.enhanced: list[ClipScores] = []
        self._waiting: list[tuple] = []

    def add(self, ids, noisy, enhanced, clean, lengths) -> None:
        """Take a batch.

        Arguments
        ---------
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
        result = summarise(self.enhanced)
        row = {f"valid_{k}": v for k, v in result["mean"].items()}
        if self.score_noisy:
            noisy = summarise(self.noisy)["mean"]
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
