"""Score forms of event networks on labelled clips: tables and a page."""

from collections.abc import Mapping, Sequence
import html
from pathlib import Path

from edgebrain.data import audio
from edgebrain.errors import UserError
from edgebrain.events.detector import Detector
from edgebrain.events.listing import LabelledClip, list_clips
from edgebrain.events.metrics import Predictions, chance, score
from edgebrain.events.results import scores_table, write_results
from edgebrain.events.timeline import events_table
from edgebrain.files import replacing
from edgebrain.report import media
from edgebrain.report.tables import write_json
import numpy as np
from tqdm import tqdm

_COLOURS = ("#1f5fa8", "#c0504d", "#4f8f3c", "#7f5fa8")


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


def read_at(path, sample_rate: int) -> np.ndarray:
    """Return a recording at a sample rate."""
    rate = audio.inspect(path).sample_rate
    return audio.resample(audio.read(path), rate, sample_rate)


def predict(
    models: Mapping[str, Detector], clips: Sequence[LabelledClip]
) -> dict[str, Predictions]:
    """Return what each model says of the clips.

    A clip without sound or without a class of the model has no score; it is
    counted.

    Raises
    ------
    UserError
        No clip has a class that a model knows.
    """
    found = {}
    sounds: dict[tuple, np.ndarray] = {}
    for row, model in models.items():
        names, parts, failures = list(model.class_names), [], {}
        for clip in tqdm(clips, desc=row, unit="clip", disable=None):
            known = [label for label in clip.labels if label in names]
            key = (clip.path, model.sample_rate)
            if len(models) == 1 or key not in sounds:
                sounds[key] = read_at(*key)
            wav = sounds[key] if len(models) > 1 else sounds.pop(key)
            if not known or not np.abs(wav).max(initial=0.0) > 0:
                failures[clip.id] = "no known class" if not known else "silent"
                continue
            each = model.classify(wav)
            target = np.array([[n in known for n in names]], np.float32)
            hits = target[0, each.argmax(1)].sum()
            parts.append(
                Predictions(
                    [clip.id],
                    each.mean(0, keepdims=True),
                    target,
                    np.array([hits]),
                    np.array([len(each)]),
                )
            )
        if not parts:
            raise UserError(
                f"{row}: no clip has a class that it knows: {', '.join(names)}"
            )
        found[row] = Predictions.join(parts)
        found[row].failures.update(failures)
    return found


def write_all(
    folder: Path,
    models: Mapping[str, Detector],
    found: Mapping[str, Predictions],
    facts: Mapping,
) -> str:
    """Write the results of each model; return one table of all.

    Of several models each has a folder of its own.
    """
    rows = {}
    for row, model in models.items():
        own, several = found[row], model.multi_label
        rows.setdefault("chance", (chance(own, several), own))
        rows[row] = (score(own, several), own)
        place = folder / row if len(models) > 1 else folder
        details = {**facts, "model": model.facts()}
        write_results(place, own, model.class_names, several, details)
    table = scores_table(rows)
    if len(models) > 1:
        summary = {name: values for name, (values, _) in rows.items()}
        write_json(folder / "metrics.json", {**facts, **summary})
        with replacing(folder / "table.txt") as temporary:
            temporary.write_text(table + "\n", encoding="utf-8")
    return table


def write_report(
    path: Path,
    table: str,
    models: Mapping[str, Detector],
    found: Mapping[str, Predictions],
    clips: Sequence[LabelledClip],
    count: int,
) -> None:
    """Write report.html: the table, players, timelines of probabilities.

    The clips of the least probability for their class come first.
    """
    first = next(iter(found.values()))
    own = (first.scores * first.target).max(1)
    by_id = {clip.id: clip for clip in clips}
    worst = [first.ids[i] for i in np.argsort(own, kind="stable")[:count]]
    parts = []
    for name in worst:
        clip = by_id[name]
        title = html.escape(f"{name}: {', '.join(clip.labels)}")
        body = [f"<h2>{title}</h2>"]
        for row, model in models.items():
            wav = read_at(clip.path, model.sample_rate)
            if row == next(iter(models)):
                body.append(_player(wav, model.sample_rate))
            timeline = model.timeline([wav])
            top = np.argsort(-timeline.probabilities.max(0), kind="stable")[:4]
            body.append(f"<h3>{html.escape(row)}</h3>{_curves(timeline, top)}")
            events = events_table(timeline.events())
            body.append(f"<pre>{html.escape(events)}</pre>")
        parts.append(f"<section>{''.join(body)}</section>")
    page = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta http-equiv="Content-Security-Policy" content="default-src '
        "'none'; img-src data:; media-src data:; style-src 'unsafe-inline'\">"
        "<title>Event detection report</title><style>body{font:15px "
        "sans-serif;max-width:60em;margin:auto}img,svg{width:100%}</style>"
        f"</head><body><h1>Event detection</h1><pre>{html.escape(table)}</pre>"
        f"{''.join(parts)}</body></html>\n"
    )
    with replacing(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def _player(wav: np.ndarray, rate: int) -> str:
    loudest = media.peak_db(wav, rate)
    picture = media.spectrogram_url(wav, rate, loudest)
    sound = media.audio_url(wav, rate)
    return f'<img src="{picture}" alt=""><audio controls src="{sound}"></audio>'


def _curves(timeline, classes: Sequence[int]) -> str:
    """Return probabilities over time as a drawing with its names."""
    width, height = 800, 120
    last = timeline.times.max(initial=timeline.step)
    lines, names = [], []
    for colour, number in zip(_COLOURS, classes, strict=False):
        points = zip(
            width * timeline.times / last,
            height * (1 - timeline.probabilities[:, number]),
            strict=True,
        )
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        lines.append(
            f'<polyline fill="none" stroke="{colour}" points="{path}"/>'
        )
        name = html.escape(timeline.class_names[number])
        names.append(f'<span style="color:{colour}">{name}</span>')
    return (
        f'<svg viewBox="0 -4 {width} {height + 8}" role="img">'
        f"{''.join(lines)}</svg>{' '.join(names)}"
    )
