"""Score the start and end of events in recordings with labelled times."""

from collections import defaultdict
from collections.abc import Mapping
import csv
from pathlib import Path

from edgebrain.checks import Number
from edgebrain.data import audio
from edgebrain.errors import UserError
from edgebrain.events.base import Detector
from edgebrain.files import write_json, write_text
from edgebrain.progress import Progress
from edgebrain.report.tables import aligned
import numpy as np
import scipy

#: Scores in percent; the others are counts.
SHARES = ("f1", "precision", "recall")
COLUMNS = ("filename", "start", "end", "label")
_SECONDS = Number(least=0)
#: Start and end in seconds, class.
Times = list[tuple[float, float, str]]


def read_times(table: Path | str) -> dict[Path, Times]:
    """Return what is heard when in the recordings that a csv names.

    Arguments
    ---------
    table : Path or str
        ``filename`` (as seen from the table), ``start`` and ``end`` in
        seconds, ``label``; a line an event. A recording without events has
        one line with an empty label.

    Raises
    ------
    UserError
        Lists the lines that cannot be.
    """
    table, found, problems = Path(table), defaultdict(list), []
    if not table.is_file():
        raise UserError(f"--events {table}: no such table")
    with table.open(newline="", encoding="utf-8-sig") as stream:
        reader = csv.DictReader(stream)
        rows = list(reader)
    if missing := [c for c in COLUMNS if c not in (reader.fieldnames or ())]:
        raise UserError(
            f"--events {table}: has no column {', '.join(missing)}; it needs "
            f"{', '.join(COLUMNS)}"
        )
    for line, row in enumerate(rows, 2):
        path = table.parent / row["filename"]
        if not path.is_file():
            problems.append(f"line {line}: {path} does not exist")
            continue
        events = found[path]
        if not row["label"]:
            continue
        try:
            start, end = _SECONDS(row["start"]), _SECONDS(row["end"])
        except UserError as error:
            problems.append(f"line {line}: start and end: {error}")
            continue
        if end <= start:
            problems.append(f"line {line}: ends at {end:g}, before it starts")
        events.append((start, end, row["label"]))
    if problems or not found:
        raise UserError.collect(
            f"--events {table} cannot be used", problems or ["it is empty"]
        )
    return dict(found)


def evaluate(
    models: Mapping[str, Detector], truth: Mapping[Path, Times], folder: Path
) -> str:
    """Score the events that each model finds by the rules of detect.py.

    Writes metrics.json and table.txt; returns the table.

    Raises
    ------
    UserError
        A label that a model does not know.
    """
    labels = {label for events in truth.values() for *_, label in events}
    rows = {}
    for name, model in models.items():
        if strange := sorted(labels - set(model.class_names)):
            raise UserError(
                f"--events: {name} does not know {', '.join(strange)}; it "
                f"knows {', '.join(model.class_names)}"
            )
        found = {}
        for path in Progress(truth, name, unit="recording"):
            wav = audio.read_at(path, model.sample_rate)
            events = model.detect(wav, model.rules)
            found[path] = [(e.start, e.end, e.label) for e in events]
        rows[name] = event_f1(truth, found)
    names = list(next(iter(rows.values())))
    cells = [["", *(name.replace("_", " ") for name in names)]]
    for name, scores in rows.items():
        shown = (f"{v:.2f}" if n in SHARES else v for n, v in scores.items())
        cells.append([name, *map(str, shown)])
    count = sum(map(len, truth.values()))
    text = "\n".join(
        [
            *aligned(cells),
            f"{count} events in {len(truth)} recordings; shares in %",
        ]
    )
    write_json(folder / "metrics.json", rows)
    write_text(folder / "table.txt", text + "\n")
    return text


def event_f1(
    truth: Mapping[str, Times],
    found: Mapping[str, Times],
    onset_collar: float = 0.2,
    offset_collar: float = 0.2,
    offset_share: float = 0.5,
) -> dict[str, float]:
    """Return the event-based scores of recordings with labelled times.

    An event is found if one of its class starts within the collar, and ends
    within the larger of the collar and a share of its length. As many
    events as possible are matched (Mesaros et al., 2016).

    Arguments
    ---------
    truth, found : mapping of str to sequence of (start, end, class)
        By recording, in seconds.
    onset_collar, offset_collar : float
        Seconds.
    offset_share : float
        Of the true length.

    Returns
    -------
    dict of str to float
        ``f1``, ``precision``, ``recall`` in percent; ``hits``, ``missed``,
        ``false_alarms`` counted.
    """
    hits = total = claimed = 0
    for name in {*truth, *found}:
        true, ours = list(truth.get(name, ())), list(found.get(name, ()))
        total, claimed = total + len(true), claimed + len(ours)
        fits = np.array(
            [
                [
                    a[2] == b[2]
                    and abs(a[0] - b[0]) <= onset_collar
                    and abs(a[1] - b[1])
                    <= max(offset_collar, offset_share * (a[1] - a[0]))
                    for b in ours
                ]
                for a in true
            ]
        )
        if fits.size:
            match = scipy.sparse.csgraph.maximum_bipartite_matching(
                scipy.sparse.csr_array(fits), "column"
            )
            hits += int((match >= 0).sum())
    return {
        "f1": 100 * 2 * hits / max(1, total + claimed),
        "precision": 100 * hits / max(1, claimed),
        "recall": 100 * hits / max(1, total),
        "hits": hits,
        "missed": total - hits,
        "false_alarms": claimed - hits,
    }
