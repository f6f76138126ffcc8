"""Tables of scores for people (text, Markdown) and programs (CSV, JSON).

Everywhere the first row is the noisy input: a score says little without it.
"""

from collections.abc import Iterable, Mapping, Sequence
import csv
import math
import os
from pathlib import Path
from typing import Any

from edgebrain.files import replacing, write_json, write_text
from edgebrain.report.scores import ClipScores, mean_gain, summarise
from edgebrain.tasks import Metric

Rows = Mapping[str, Sequence[ClipScores]]
Metrics = Mapping[str, Metric]

MISSING = "-"


def header(metric: Metric) -> str:
    """Return the head of a metric's column: label, unit and direction."""
    unit = f" [{metric.unit}]" if metric.unit else ""
    arrow = "↑" if metric.higher_is_better else "↓"
    return f"{metric.label}{unit} {arrow}"


def cell(metric: Metric, value: float, signed: bool = False) -> str:
    """Return a score, or a change with its sign, as a table shows it."""
    if not math.isfinite(value):
        return MISSING
    return format(value, ("+" if signed else "") + metric.format)


def scored(rows: Rows) -> list[str]:
    """Return the names of the metrics of all rows."""
    found = (n for s in rows.values() for clip in s for n in clip.values)
    return list(dict.fromkeys(found))


def aligned(cells: Sequence[Sequence[str]]) -> list[str]:
    """Return lines of a table: names to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = []
    for row in cells:
        parts = [row[0].ljust(widths[0])]
        parts += [c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join(parts).rstrip())
    lines.insert(1, "-" * (sum(widths) + 2 * (len(widths) - 1)))
    return lines


def failures(rows: Rows, metrics: Metrics) -> list[str]:
    """Return a line for each metric that clips of a row have no score in."""
    lines = []
    for row, scores in rows.items():
        for metric, reasons in summarise(scores)["failures"].items():
            why = ", ".join(f"{reason} ({n})" for reason, n in reasons.items())
            missing = sum(reasons.values())
            lines.append(
                f"not in the mean: {metrics[metric].label} of {missing} "
                f"{row} of {len(scores)}: {why}"
            )
    return lines


def metrics_table(rows: Rows, metrics: Metrics) -> str:
    """Return a table of mean scores: first row, other rows, their gains.

    A gain is the mean over the clips that both rows have a score for, so it
    can differ from the difference of two means when a score is missing. Rows
    and columns are in the order of ``rows`` and ``metrics``.

    Example
    -------
    >>> from edgebrain.enhancement.metrics import METRICS
    >>> noisy = [ClipScores("a", {"stoi": 0.9, "snr": 8.0})]
    >>> enhanced = [ClipScores("a", {"stoi": 0.92, "snr": 18.0})]
    >>> print(metrics_table({"noisy": noisy, "enhanced": enhanced}, METRICS))
               STOI ↑  SNR [dB] ↑
    -----------------------------
    noisy      0.9000        8.00
    enhanced   0.9200       18.00
    gain      +0.0200      +10.00
    1 clip
    """
    found = set(scored(rows))
    shown = {n: metric for n, metric in metrics.items() if n in found}

    def line(label, values, signed=False):
        values = [values.get(name, math.nan) for name in shown]
        cells = zip(shown.values(), values, strict=True)
        return [label, *(cell(m, value, signed) for m, value in cells)]

    cells = [["", *map(header, shown.values())]]
    for row, scores in rows.items():
        cells.append(line(row, summarise(scores)["mean"]))
    baseline, *others = rows
    for row in others:
        gain = mean_gain(rows[baseline], rows[row])
        label = "gain" if len(others) == 1 else f"gain {row}"
        cells.append(line(label, gain, True))
    count = len(rows[baseline])
    clips = f"{count} clip{'s' if count != 1 else ''}"
    return "\n".join([*aligned(cells), clips, *failures(rows, metrics)])


def level_table(levels: Mapping[float, Rows], metrics: Metrics) -> str:
    """Return mean scores by input level, a line for each row and level.

    ``levels`` holds, by gain in dB, rows as for :func:`metrics_table`.

    Example
    -------
    >>> from edgebrain.enhancement.metrics import METRICS
    >>> row = {"noisy": [ClipScores("a", {"stoi": 0.9})]}
    >>> print(level_table({-20.0: row, 0.0: row}, METRICS))
    level         STOI ↑
    --------------------
    noisy -20 dB  0.9000
    noisy +0 dB   0.9000
    """
    found = set(scored(next(iter(levels.values()))))
    shown = {n: metric for n, metric in metrics.items() if n in found}
    cells = [["level", *map(header, shown.values())]]
    for row in next(iter(levels.values())):
        for gain, rows in levels.items():
            mean = summarise(rows[row])["mean"]
            values = [cell(m, mean.get(n, math.nan)) for n, m in shown.items()]
            cells.append([f"{row} {gain:+g} dB", *values])
    return "\n".join(aligned(cells))


def per_clip(
    rows: Rows, files: Mapping[str, Mapping[str, str]] | None = None
) -> list[list]:
    """Return the lines of per_clip.csv, the names of the columns first.

    Columns: ``id``, the given files, then for each metric a column a row
    (``noisy_pesq, enhanced_pesq, ...``), at the end ``failures`` with the
    reasons. A score that failed is an empty cell. All rows are of the same
    clips; ``files`` holds, by clip, names by column (``noisy_file``, ...).
    """
    files = files or {}
    file_columns = list(dict.fromkeys(c for f in files.values() for c in f))
    names = scored(rows)
    columns = [f"{row}_{name}" for name in names for row in rows]
    lines = [["id", *file_columns, *columns, "failures"]]
    for clips in zip(*rows.values(), strict=True):
        clip_id = clips[0].id
        values = [_number(c.values[name]) for name in names for c in clips]
        reasons = "; ".join(
            f"{row} {metric}: {reason}"
            for row, clip in zip(rows, clips, strict=True)
            for metric, reason in clip.failures.items()
        )
        own = files.get(clip_id, {})
        paths = [own.get(column, "") for column in file_columns]
        lines.append([clip_id, *paths, *values, reasons])
    return lines


def _number(value: float) -> str:
    return format(value, ".6g") if math.isfinite(value) else ""


def write_csv(path: str | os.PathLike, lines: Iterable[Iterable]) -> None:
    """Write a CSV file, atomically."""
    with (
        replacing(path) as temporary,
        open(temporary, "w", newline="", encoding="utf-8") as stream,
    ):
        csv.writer(stream, lineterminator="\n").writerows(lines)


def write_results(
    folder: Path | str, content: Mapping, clips: Iterable, table: str
) -> None:
    """Write metrics.json, per_clip.csv (its lines) and table.txt."""
    folder = Path(folder)
    write_json(folder / "metrics.json", content)
    write_csv(folder / "per_clip.csv", clips)
    write_text(folder / "table.txt", table + "\n")


def metrics_summary(rows: Rows) -> dict:
    """Return what metrics.json holds: each row's summary, and the gains.

    ``gain`` holds ``{row: {metric: change}}`` of every row but the first.
    """
    baseline, *others = rows
    summary: dict[str, Any] = {n: summarise(s) for n, s in rows.items()}
    summary["gain"] = {n: mean_gain(rows[baseline], rows[n]) for n in others}
    return summary
