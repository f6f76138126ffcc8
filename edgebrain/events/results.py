"""Results of event detection as files and tables."""

from collections.abc import Mapping, Sequence
import csv
import json
from pathlib import Path

from edgebrain.errors import UserError
from edgebrain.events.metrics import (
    METRICS,
    MULTI_LABEL,
    SINGLE_LABEL,
    UNKNOWN,
    Predictions,
    chance,
    confusion,
    per_class,
    score,
    wilson,
)
from edgebrain.files import replacing
from edgebrain.report import tables
from edgebrain.report.tables import aligned, write_csv
import numpy as np

_COUNTS = ("patches", "patch_hits", "reported")
_FIXED = ("id", "true", "predicted", *_COUNTS, "failure")


def write_results(
    folder: Path | str,
    predictions: Predictions,
    class_names: Sequence[str],
    multi_label: bool,
    facts: Mapping,
) -> str:
    """Write metrics.json, per_clip.csv, per_class.csv, confusion, table.txt.

    Arguments
    ---------
    folder : Path or str
        Made; files of these names in it are replaced.
    facts : mapping
        Further entries of metrics.json: what was tested.

    Returns
    -------
    str
        The table, what chance gives first.
    """
    folder = Path(folder)
    rows = {
        "chance": chance(predictions, multi_label),
        "network": score(predictions, multi_label),
    }
    known = predictions.known()
    classes = per_class(known, class_names, multi_label)
    summary = {
        **facts,
        "clips": len(known.ids),
        "unknown_clips": len(predictions.ids) - len(known.ids),
        "failures": predictions.failures,
        **rows,
        "per_class": classes,
        "class_names": list(class_names),
        "multi_label": multi_label,
    }
    table = scores_table({k: (v, predictions) for k, v in rows.items()})
    if not multi_label:
        summary["clip_accuracy_interval"] = list(interval(predictions))
        matrix = confusion(known)
        write_csv(
            folder / "confusion.csv",
            [
                ["true \\ predicted", *class_names],
                *([n, *r] for n, r in zip(class_names, matrix, strict=True)),
            ],
        )
        draw_confusion(folder / "confusion.png", matrix, class_names)
    write_csv(
        folder / "per_class.csv", [list(classes[0]), *map(dict.values, classes)]
    )
    clips = per_clip(predictions, class_names, multi_label)
    tables.write_results(folder, summary, clips, table)
    return table


def interval(predictions: Predictions) -> tuple[float, float]:
    """Return the 95 % interval of the clip accuracy, in percent."""
    predictions = predictions.known()
    right = predictions.scores.argmax(1) == predictions.target.argmax(1)
    low, high = wilson(int(right.sum()), len(right))
    return 100 * low, 100 * high


def scores_table(
    rows: Mapping[str, tuple[Mapping[str, float], Predictions]],
) -> str:
    """Return scores as text: a row each, the interval of the last column.

    Arguments
    ---------
    rows : mapping of str to (dict of str to float, Predictions)
        The baseline first.
    """
    first, predictions = next(iter(rows.values()))
    names = [n for n in (*SINGLE_LABEL, *MULTI_LABEL, *UNKNOWN) if n in first]
    names = list(dict.fromkeys(names))
    single = "clip_accuracy" in names
    head = ["", *(METRICS[n].label for n in names)]
    cells = [[*head, "95 % interval"] if single else head]
    for row, (values, own) in rows.items():
        line = [row, *(format(values[n], METRICS[n].format) for n in names)]
        if single:
            low, high = interval(own)
            line.append("" if row == "chance" else f"{low:.1f} to {high:.1f}")
        cells.append(line)
    failed = len(predictions.failures)
    count = len(predictions.known().ids)
    others = len(predictions.ids) - count
    tail = f"{count} clips" + (f", {failed} without a score" if failed else "")
    if others:
        tail += f"; hits and false alarms: patches, {others} unknown clips"
    return "\n".join([*aligned(cells), tail])


def per_clip(predictions, class_names, multi_label) -> list[list]:
    """Return a line a clip: labels, prediction, all probabilities."""
    rows, names = [[*_FIXED, *class_names]], np.array(class_names)
    for i, name in enumerate(predictions.ids):
        scores, target = predictions.scores[i], predictions.target[i]
        guess = names[scores > 0.5] if multi_label else [names[scores.argmax()]]
        rows.append(
            [
                name,
                ",".join(names[target > 0]),
                ",".join(guess),
                *(int(getattr(predictions, n)[i]) for n in _COUNTS),
                "",
                *(f"{p:.6f}" for p in scores),
            ]
        )
    for name, reason in predictions.failures.items():
        rows.append([name, "", "", 0, 0, 0, reason, *[""] * len(names)])
    return rows


def read_predictions(
    folder: Path | str,
) -> tuple[Predictions, list[str], bool]:
    """Return what :func:`write_results` wrote: predictions, classes, kind.

    Raises
    ------
    UserError
        The folder holds no such results.
    """
    folder = Path(folder)
    try:
        facts = json.loads((folder / "metrics.json").read_text("utf-8"))
        names = facts["class_names"]
        with open(folder / "per_clip.csv", newline="", encoding="utf-8") as f:
            rows = [r for r in csv.DictReader(f) if not r["failure"]]
        scores = np.array([[float(r[n]) for n in names] for r in rows])
        target = np.array(
            [[n in r["true"].split(",") for n in names] for r in rows]
        )
    except (OSError, KeyError, ValueError) as error:
        raise UserError(
            f"{folder}: holds no results of event detection ({error})"
        ) from None
    predictions = Predictions(
        [row["id"] for row in rows],
        scores,
        target.astype(np.float32),
        **{n: np.array([int(row[n]) for row in rows]) for n in _COUNTS},
        failures=facts["failures"],
    )
    return predictions, names, facts["multi_label"]


def draw_confusion(path, matrix: np.ndarray, class_names) -> None:
    """Draw clips by true (rows) and predicted class (columns)."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    size = 2.5 + 0.42 * len(class_names)
    figure = Figure(figsize=(size + 0.8, size), layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.add_subplot()
    share = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    axis.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for row, column in zip(*np.nonzero(matrix), strict=True):
        colour = "white" if share[row, column] > 0.5 else "black"
        axis.text(
            column,
            row,
            matrix[row, column],
            ha="center",
            va="center",
            color=colour,
            fontsize=8,
        )
    places = range(len(class_names))
    axis.set_xticks(places, class_names, rotation=60, ha="right", fontsize=8)
    axis.set_yticks(places, class_names, fontsize=8)
    axis.set_xlabel("predicted")
    axis.set_ylabel("true")
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=120)
