"""Score clips on all cores while they come."""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from pathlib import Path

from edgebrain.data.audio import write
from edgebrain.enhancement.metrics import score_clips
from edgebrain.report.scores import ClipScores, summarise
import numpy as np

#: Clips scored in one go: enough for all cores, little enough to hold.
_CHUNK = 48


class Scorer:
    """Score clips of several rows, some dozens at a time."""

    def __init__(
        self,
        sample_rate: int,
        metrics: Sequence[str],
        n_jobs: int | None = None,
    ):
        self.sample_rate, self.names = sample_rate, list(metrics)
        self.n_jobs = n_jobs
        self._scores: dict[Hashable, list[ClipScores]] = defaultdict(list)
        self._waiting: list[tuple] = []

    def add(
        self,
        row: Hashable,
        clip_id: str,
        clean: np.ndarray,
        estimate: np.ndarray,
    ) -> None:
        """Take a clip of a row, (samples,)."""
        self._waiting.append((row, clip_id, clean, estimate))
        if len(self._waiting) >= _CHUNK:
            self._score()

    def rows(self) -> dict[Hashable, list[ClipScores]]:
        """Return the scores of all clips so far, by row."""
        self._score()
        return dict(self._scores)

    def _score(self) -> None:
        clips = [clip for _, *clip in self._waiting]
        found = score_clips(clips, self.sample_rate, self.names, self.n_jobs)
        for (row, *_), scores in zip(self._waiting, found, strict=True):
            self._scores[row].append(scores)
        self._waiting = []


class BatchScorer(Scorer):
    """Takes the batches of a validation or test.

    With ``score_noisy`` the noisy input is scored too; the validation set is
    fixed, so once is enough. Enhanced clips go to ``audio_folder``.
    """

    def __init__(self, *settings, score_noisy=True, audio_folder=None):
        super().__init__(*settings)
        self.score_noisy = score_noisy
        self.audio_folder = Path(audio_folder) if audio_folder else None

    def add_batch(
        self,
        ids: Iterable[str],
        noisy: np.ndarray,
        enhanced: np.ndarray,
        clean: np.ndarray,
        lengths: Iterable[int],
    ) -> None:
        """Take clips (batch, samples) of so many samples without padding."""
        clips = zip(ids, noisy, enhanced, clean, lengths, strict=True)
        for name, before, after, target, length in clips:
            target, after = target[:length], after[:length]
            if self.score_noisy:
                self.add("noisy", name, target, before[:length])
            self.add("enhanced", name, target, after)
            if self.audio_folder is not None:
                path = self.audio_folder / f"{name}.wav"
                write(path, after, self.sample_rate)

    def columns(self) -> dict[str, float]:
        """Return the means as columns of the history.

        ``valid_<metric>``, ``noisy_<metric>`` where these were scored, and
        ``failed_<metric>``: clips without a score.
        """
        rows = self.rows()
        result = summarise(rows["enhanced"])
        columns = {f"valid_{k}": v for k, v in result["mean"].items()}
        if self.score_noisy:
            noisy = summarise(rows["noisy"])["mean"]
            columns |= {f"noisy_{k}": v for k, v in noisy.items()}
        for name in self.names:
            failed = sum(result["failures"].get(name, {}).values())
            columns[f"failed_{name}"] = failed
        return columns
