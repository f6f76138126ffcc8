"""Tables of scores for people (text, Markdown) and programs (CSV, JSON).

Everywhere the first row is the noisy input: a score says little without it.
"""

from collections.abc import Mapping, Sequence
import csv
import json
import math
import numbers
import os
from typing import Any

from edgebrain.errors import UserError
from edgebrain.files import replacing
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


def _text(cells: list[list[str]]) -> list[str]:
    """Return aligned lines: names to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = []
    for row in cells:
        parts = [row[0].ljust(widths[0])]
        parts += [c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join(parts).rstrip())
    lines.insert(1, "-" * (sum(widths) + 2 * (len(widths) - 1)))
    return lines


def _markdown(cells: list[list[str]]) -> list[str]:
    """Return the lines of a Markdown table."""
    rule = ["---"] + ["---:"] * (len(cells[0]) - 1)
    escaped = [[c.replace("|", "\\|") for c in row] for row in cells]
    escaped.insert(1, rule)
    return ["| " + " | ".join(row) + " |" for row in escaped]


def _notes(rows: Rows, metrics: Metrics) -> list[str]:
    """Return how many clips there are and which scores are missing."""
    counts = {name: len(scores) for name, scores in rows.items()}
    if len(set(counts.values())) == 1:
        clips = next(iter(counts.values()))
        lines = [f"{clips} clip{'s' if clips != 1 else ''}"]
    else:
        each = ", ".join(f"{name} {count}" for name, count in counts.items())
        lines = [f"clips: {each}"]
    for row, scores in rows.items():
        summary = summarise(scores)
        for metric, reasons in summary["failures"].items():
            why = ", ".join(
                f"{reason} ({count})" for reason, count in reasons.items()
            )
            missing = sum(reasons.values())
            lines.append(
                f"not in the mean: {metrics[metric].label} of {missing} "
                f"{row} of {summary['n']}: {why}"
            )
    return lines


def metrics_table(rows: Rows, metrics: Metrics, markdown: bool = False) -> str:
    """Return a table of mean scores: first row, other rows, their gains.

    A gain is the mean over the clips that both rows have a score for, so it
    can differ from the difference of two means when a score is missing.

    Arguments
    ---------
    rows : mapping of str to sequence of ClipScores
        In the order to print; the first is the noisy input.
    metrics : mapping of str to Metric
        How each is called and printed, in the order of the columns.
    markdown : bool
        Markdown in place of plain text.

    Returns
    -------
    str
        Several lines, the last ones saying what could not be scored.

    Raises
    ------
    UserError
        No row, or no score in any.

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
    if not shown:
        raise UserError("there are no scores to make a table of")

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
    lines = _markdown(cells) if markdown else _text(cells)
    notes = _notes(rows, metrics)
    return "\n".join([*lines, "", *notes] if markdown else [*lines, *notes])


def level_table(levels: Mapping[float, Rows], metrics: Metrics) -> str:
    """Return a table of mean scores by input level.

    Arguments
    ---------
    levels : mapping of float to rows
        By gain in dB: rows as for :func:`metrics_table`.
    metrics : mapping of str to Metric
        As for :func:`metrics_table`.

    Returns
    -------
    str
        A line for each row and level; the noisy input first.

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
    return "\n".join(_text(cells))


def write_per_clip(
    path: str | os.PathLike,
    rows: Rows,
    files: Mapping[str, Mapping[str, str]] | None = None,
) -> None:
    """Write a CSV file with a line a clip, atomically.

    Columns: ``id``, the given files, then for each metric a column a row
    (``noisy_pesq, enhanced_pesq, ...``), at the end ``failures`` with the
    reasons. A score that failed is an empty cell.

    Arguments
    ---------
    rows : mapping of str to sequence of ClipScores
        The first is the noisy input; clips are matched by id, in the order
        of the first row.
    files : mapping of str to mapping of str to str, optional
        By clip id: file names by column (``{"noisy_file": ..., ...}``).
    """
    files = files or {}
    by_id = {
        row: {clip.id: clip for clip in scores} for row, scores in rows.items()
    }
    ids = list(dict.fromkeys(c.id for s in rows.values() for c in s))
    file_columns = list(dict.fromkeys(c for f in files.values() for c in f))
    names = scored(rows)
    scores_columns = [f"{row}_{name}" for name in names for row in rows]
    with (
        replacing(path) as temporary,
        open(temporary, "w", newline="", encoding="utf-8") as stream,
    ):
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["id", *file_columns, *scores_columns, "failures"])
        for clip_id in ids:
            found = {row: by_id[row].get(clip_id) for row in rows}
            values = [
                _number(clip.values.get(name) if clip else None)
                for name in names
                for clip in found.values()
            ]
            failures = "; ".join(
                f"{row} {metric}: {reason}"
                for row, clip in found.items()
                if clip
                for metric, reason in clip.failures.items()
            )
            own = files.get(clip_id, {})
            paths = [own.get(column, "") for column in file_columns]
            writer.writerow([clip_id, *paths, *values, failures])


def _number(value: float | None) -> str:
    if value is None or not math.isfinite(value):
        return ""
    return format(value, ".6g")


def metrics_summary(rows: Rows) -> dict:
    """Return what metrics.json holds: each row's summary, and the gains.

    Arguments
    ---------
    rows : mapping of str to sequence of ClipScores
        The first is the noisy input.

    Returns
    -------
    dict
        ``{row: summarise(...)}``, and ``gain``: ``{row: {metric: change}}``
        of every row but the first.
    """
    baseline, *others = rows
    summary: dict[str, Any] = {n: summarise(s) for n, s in rows.items()}
    summary["gain"] = {n: mean_gain(rows[baseline], rows[n]) for n in others}
    return summary


def write_json(path: str | os.PathLike, content: Any) -> None:
    """Write valid JSON atomically: NaN and infinite values become null.

    Arguments
    ---------
    content : dict, list, str, number, None, nested
        numpy numbers and arrays, and paths, are converted.
    """
    text = json.dumps(
        _plain(content), indent=2, ensure_ascii=False, allow_nan=False
    )
    with replacing(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def _plain(content: Any) -> Any:
    """Return the content in the types that JSON has."""
    if isinstance(content, Mapping):
        return {str(key): _plain(value) for key, value in content.items()}
    if hasattr(content, "tolist"):
        return _plain(content.tolist())
    if isinstance(content, (list, tuple)):
        return [_plain(value) for value in content]
    if content is None or isinstance(content, (bool, str)):
        return content
    if isinstance(content, numbers.Integral):
        return int(content)
    if isinstance(content, numbers.Real):
        return float(content) if math.isfinite(content) else None
    if isinstance(content, os.PathLike):
        return os.fspath(content)
    raise TypeError(f"JSON has no form of {type(content).__name__}")
