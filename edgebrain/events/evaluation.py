"""Score detectors on labelled clips and write what they heard as a page."""

from collections.abc import Mapping, Sequence
import html
from pathlib import Path

from edgebrain.data import audio
from edgebrain.errors import UserError
from edgebrain.events.base import Detector
from edgebrain.events.listing import LabelledClip, list_clips
from edgebrain.events.metrics import METRICS, Predictions, chance, score
from edgebrain.events.results import scores_table, write_results
from edgebrain.events.timeline import events_table
from edgebrain.files import write_json, write_text
from edgebrain.progress import Progress
from edgebrain.report.html import Clip, Track, write_report
from edgebrain.report.scores import worst_first
import numpy as np

#: Classes whose probabilities are drawn over time.
_CURVES = 4
#: By row, the baseline first: scores, and what they are of.
Rows = Mapping[str, tuple[Mapping[str, float], Predictions]]


def find_clips(
    folder: str, csv_file: str | None, fold: int | None
) -> list[LabelledClip]:
    """Return the labelled clips to score, of one fold if asked for."""
    clips = list_clips(folder, csv_file)
    if fold is not None:
        there = sorted({c.fold for c in clips if c.fold is not None})
        clips = [clip for clip in clips if clip.fold == fold]
        if not clips:
            folds = ", ".join(map(str, there)) or "none"
            raise UserError(f"--fold {fold}: there is {folds}")
    return clips


def predict(
    models: Mapping[str, Detector], clips: Sequence[LabelledClip]
) -> dict[str, Predictions]:
    """Return what each model says of the clips.

    A clip without sound has no score; it is counted. One without a class of
    the model is an unknown sound.

    Raises
    ------
    UserError
        No clip has a class that a model knows.
    """
    parts = {row: [] for row in models}
    failures = {row: {} for row in models}
    rates = {model.sample_rate for model in models.values()}
    for clip in Progress(clips, "scoring", unit="clip"):
        wavs = {rate: audio.read_at(clip.path, rate) for rate in rates}
        for row, model in models.items():
            wav = wavs[model.sample_rate]
            if not wav.any():
                failures[row][clip.id] = "silent"
                continue
            each, names = model.classify(wav), model.class_names
            parts[row].append(
                Predictions.of_patches(
                    [clip.id],
                    np.zeros(len(each), int),
                    each,
                    np.isin(names, clip.labels)[None].astype(np.float32),
                    names,
                    model.unknown_below,
                )
            )
    found = {}
    for row, model in models.items():
        if not any(part.target.any() for part in parts[row]):
            raise UserError(
                f"{row}: no clip has a class that it knows: "
                f"{', '.join(model.class_names)}"
            )
        found[row] = Predictions.join(parts[row])
        found[row].failures.update(failures[row])
    return found


def score_all(models: Mapping, found: Mapping[str, Predictions]) -> Rows:
    """Return the scores of each model, after those of chance."""
    first = next(iter(models))
    several = models[first].multi_label
    rows = {"chance": (chance(found[first], several), found[first])}
    for row, model in models.items():
        rows[row] = (score(found[row], model.multi_label), found[row])
    return rows


def write_all(
    folder: Path, models: Mapping[str, Detector], rows: Rows, facts: Mapping
) -> str:
    """Write the results of each model; return one table of all.

    Of several models each has a folder of its own.
    """
    for row, model in models.items():
        write_results(
            folder / row if len(models) > 1 else folder,
            rows[row][1],
            model.class_names,
            model.multi_label,
            {**facts, "model": model.facts()},
        )
    table = scores_table(rows)
    if len(models) > 1:
        scores = {row: values for row, (values, _) in rows.items()}
        write_json(folder / "metrics.json", {**facts, **scores})
        write_text(folder / "table.txt", table + "\n")
    return table


def report(
    path: Path,
    models: Mapping[str, Detector],
    rows: Rows,
    clips: Sequence[LabelledClip],
    count: int,
) -> None:
    """Write report.html: scores, players, probabilities over time.

    The clips of the least probability for their class come first.
    """
    name, first = next(iter(models.items()))
    heard = rows[name][1].known()
    right = (heard.scores * heard.target).max(1)
    sure = dict(zip(heard.ids, right.tolist(), strict=True))
    by_id = {clip.id: clip for clip in clips}
    write_report(
        path,
        "Event detection report",
        f"{len(clips)} clips. Means over whole clips.",
        {row: values for row, (values, _) in rows.items()},
        METRICS,
        {row: model.facts() for row, model in models.items()},
        first.sample_rate,
        clips=(
            _clip(models, by_id[clip], why, first.sample_rate)
            for clip, why in worst_first(sure, count)
        ),
        clip_note=f"Ordered by the probability that {name} gives their class, "
        "the least first.",
        failures=[
            f"{row}, {clip}: {why}"
            for row in models
            for clip, why in rows[row][1].failures.items()
        ],
    )


def _clip(models, clip: LabelledClip, why: str, rate: int) -> Clip:
    """Return a clip with what each model hears in it over time."""
    drawings = []
    for row, model in models.items():
        timeline = model.timeline([audio.read_at(clip.path, model.sample_rate)])
        events = html.escape(events_table(timeline.events()))
        drawings.append(
            f"<h4>{html.escape(row)}</h4>{_curves(timeline, row)}"
            f"<pre>{events}</pre>"
        )
    wav = audio.read_at(clip.path, rate)
    track = Track("recording", wav, drawing="".join(drawings))
    return Clip(clip.id, [why, *clip.labels], [track])


def _curves(timeline, row: str) -> str:
    """Return the highest probabilities over time as a drawing with its key."""
    width, height = 800, 120
    last = timeline.times.max(initial=timeline.step)
    most = timeline.probabilities.max(0, initial=0)
    lines, names = [], []
    for k, number in enumerate(np.argsort(-most, kind="stable")[:_CURVES]):
        points = zip(
            width * timeline.times / last,
            height * (1 - timeline.probabilities[:, number]),
            strict=True,
        )
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        lines.append(f'<path class="line s{k}" d="M{path}"/>' if path else "")
        name = html.escape(timeline.class_names[number])
        names.append(f'<span><i class="s{k}"></i>{name}</span>')
    label = html.escape(f"Probabilities over time, {row}", quote=True)
    return (
        f'<svg viewBox="0 -4 {width} {height + 8}" role="img" '
        f'aria-label="{label}">{"".join(lines)}</svg>'
        f'<div class="key">{"".join(names)}</div>'
    )
