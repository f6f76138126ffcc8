"""The record of a training: one row an epoch, saved with each checkpoint.

Because the rows travel in the checkpoint, metrics.csv after a resume is the
one an uninterrupted run writes: rows of epochs that were lost with a kill
are dropped and made again.
"""

import json
import math
from pathlib import Path

from edgebrain.report.tables import write_csv
from speechbrain.utils.checkpoints import (
    mark_as_loader,
    mark_as_saver,
    register_checkpoint_hooks,
)
from speechbrain.utils.epoch_loop import EpochCounter


@register_checkpoint_hooks
class History:
    """Rows of numbers, one an epoch, in the order of the epochs."""

    def __init__(self):
        self.rows: list[dict] = []

    def append(self, row: dict) -> None:
        """Add an epoch's row; it must hold ``epoch``."""
        self.rows.append({k: _number(v) for k, v in row.items()})

    def best_epoch(self, key: str, higher_is_better: bool) -> int | None:
        """Return the first epoch with the best finite value, if any."""
        sign = 1.0 if higher_is_better else -1.0
        best, epoch = -math.inf, None
        for row in self.rows:
            value = row.get(key)
            if value is None or not math.isfinite(value):
                continue
            if sign * value > best:
                best, epoch = sign * value, row["epoch"]
        return epoch

    def write_csv(self, path) -> None:
        """Write all rows to ``path`` in one step; empty cell: no value."""
        columns = list(dict.fromkeys(k for row in self.rows for k in row))
        lines = [[row.get(name) for name in columns] for row in self.rows]
        write_csv(path, [columns, *lines])

    @mark_as_saver
    def save(self, path) -> None:
        """Write the rows as JSON to ``path``."""
        Path(path).write_text(json.dumps(self.rows), encoding="utf-8")

    @mark_as_loader
    def load(self, path, end_of_epoch=True) -> None:
        """Read the rows back; floats return bit for bit."""
        self.rows = json.loads(Path(path).read_text(encoding="utf-8"))


class PatientEpochCounter(EpochCounter):
    """Count epochs; stop after ``patience`` of them without a new best value.

    SpeechBrain's EpochCounterWithStopper takes a flat or slowly falling
    metric for progress when it is maximised. This one reads the history,
    which the checkpoint restores, so a resumed run stops where an
    uninterrupted one does. A patience of 0 never stops.
    """

    def __init__(self, limit, history, key, higher_is_better, patience=0):
        super().__init__(limit)
        self.history, self.key = history, key
        self.higher_is_better = higher_is_better
        self.patience = int(patience)

    def exhausted(self) -> bool:
        """Tell whether the patience is used up."""
        if not self.patience:
            return False
        best = self.history.best_epoch(self.key, self.higher_is_better) or 0
        return len(self.history.rows) - best >= self.patience

    def __next__(self):
        """Return the next epoch, from 1 on."""
        if self.exhausted():
            raise StopIteration
        return super().__next__()


def _number(value):
    """Return ints as they are, other numbers as floats."""
    if value is None or isinstance(value, int):
        return value
    return float(value)
