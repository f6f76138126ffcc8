"""What report.html shows of enhancement: gains, noise, levels and clips."""

from collections.abc import Callable, Mapping, Sequence
import math
import os

from edgebrain.enhancement.metrics import METRICS, at_rate
from edgebrain.report import charts
from edgebrain.report.html import (
    Clip,
    Figure,
    Section,
    Track,
    key_of,
    write_report,
)
from edgebrain.report.plots import loudest
from edgebrain.report.scores import least_gains, summarise, worst_first
from edgebrain.report.tables import cell, failures, metrics_summary
import numpy as np

#: Longest piece of a clip that is put in.
CLIP_SECONDS = 6.0
#: Metrics that have charts, where they were computed.
_CHARTED = ("pesq", "stoi", "si_snr")
#: Most points of a model in a scatter plot.
_POINTS = 1000
_SNR_EDGES = (-math.inf, 0, 5, 10, 15, math.inf)
_LEVEL_EDGES = (-math.inf, -50, -40, -30, -20, math.inf)


def report(
    path: str | os.PathLike,
    result,
    models: Mapping[str, Mapping],
    read_clip: Callable[[str], Mapping[str, np.ndarray]],
    n_clips: int = 6,
    title: str = "Speech enhancement report",
) -> None:
    """Write report.html of an evaluation, whose first row is the noisy input.

    ``read_clip(clip_id)`` gives the waveforms (samples,) by name: ``noisy``,
    each model, ``clean``. Of the ``n_clips`` with players most are the worst
    ones, the others a median and the best one.
    """
    rows, labels = result.rows, at_rate(result.sample_rate)
    summary = metrics_summary(rows)
    means = {row: summary[row]["mean"] for row in rows}
    there = {n for m in means.values() for n in m if math.isfinite(m[n])}
    names = [name for name in _CHARTED if name in there]
    names = names or [name for name in METRICS if name in there][:1]
    seconds = sum(facts.seconds for facts in result.clips.values())
    level = f", {result.gain_db:+g} dB against the files"
    chosen = []
    if names:
        higher = METRICS[names[0]].higher_is_better
        chosen = worst_first(least_gains(rows, names[0], higher), n_clips)
    write_report(
        path,
        title,
        f"{len(result.clips)} clips, {seconds / 60:.1f} min at "
        f"{result.sample_rate} Hz{level if result.gain_db else ''}. Means "
        "over whole clips; the small figures are changes against the noisy "
        "input.",
        means,
        labels,
        models,
        result.sample_rate,
        [_scatters(result, names), _breakdown(result, names[:2])],
        (_clip(result, names, *pair, read_clip) for pair in chosen),
        f"Ordered by the smallest gain in {METRICS[names[0]].label} of any "
        "model, the worst first. All versions of a clip are played with one "
        "gain."
        if names
        else "",
        summary["gain"],
        failures(rows, labels),
    )


def _scatters(result, names: Sequence[str]) -> Section:
    baseline, *models = result.rows
    before = {clip.id: clip.values for clip in result.rows[baseline]}
    figures = []
    for name in names:
        label = METRICS[name].label
        series = {}
        for model in models:
            points = []
            for clip in result.rows[model]:
                x = before[clip.id].get(name, math.nan)
                y = clip.values.get(name, math.nan) - x
                if math.isfinite(y):
                    text = f"{clip.id}, {model}: {x:.4g} {y:+.4g}"
                    points.append((x, y, text))
            step = math.ceil(len(points) / _POINTS) or 1
            series[model] = points[::step]
        title = f"Gain in {label} of each clip over the noisy score"
        chart = charts.scatter(
            series, title, f"{label} of the noisy input", f"gain in {label}"
        )
        figures.append(Figure(title, chart))
    return Section(
        "Clip by clip",
        figures,
        key_of(result.rows, False),
        "A point is a clip; below the dashed line it got worse. Rest the "
        "pointer on a point to see which; all scores are in per_clip.csv.",
    )


def _breakdown(result, names: Sequence[str]) -> Section:
    figures = []
    for name in names:
        label = METRICS[name].label
        for what, field, edges, unit in (
            ("signal-to-noise ratio", "snr_db", _SNR_EDGES, "SNR [dB]"),
            ("input level", "level_db", _LEVEL_EDGES, "level [dB FS]"),
        ):
            places, counts, series = binned(result, name, field, edges)
            if len(places) > 1:
                title = f"{label} by {what}"
                # A single clip says nothing about its neighbours.
                joined = [count > 1 for count in counts]
                chart = charts.lines(series, places, title, unit, label, joined)
                figures.append(Figure(title, chart))
        if result.levels:
            gains = sorted(result.levels)
            series = {
                row: [
                    summarise(result.levels[g][row])["mean"].get(name, math.nan)
                    for g in gains
                ]
                for row in result.rows
            }
            title = f"{label} when the same clips are softer or louder"
            places = [f"{gain:+g}" for gain in gains]
            chart = charts.lines(
                series, places, title, "level against the files [dB]", label
            )
            figures.append(Figure(title, chart))
    return Section("By noise and level", figures, key_of(result.rows, True))


def binned(result, metric: str, field: str, edges):
    """Return the bins that hold clips, their sizes, and means by row."""
    by_id = {
        row: {c.id: c.values.get(metric, math.nan) for c in scores}
        for row, scores in result.rows.items()
    }
    places: list[str] = []
    counts: list[int] = []
    series: dict[str, list[float]] = {row: [] for row in result.rows}
    for low, high in zip(edges[:-1], edges[1:], strict=True):
        ids = [
            clip
            for clip, facts in result.clips.items()
            if low <= getattr(facts, field) < high
            and all(math.isfinite(by_id[row][clip]) for row in by_id)
        ]
        if not ids:
            continue
        span = f"{low} \N{HORIZONTAL ELLIPSIS} {high}"
        if low == -math.inf:
            span = f"< {high}"
        elif high == math.inf:
            span = f"> {low}"
        span = span.replace("-", "\N{MINUS SIGN}")
        places.append(f"{span}\nn = {len(ids)}")
        counts.append(len(ids))
        for row in series:
            series[row].append(math.fsum(by_id[row][i] for i in ids) / len(ids))
    return places, counts, series


def _clip(result, names, clip_id: str, why: str, read_clip) -> Clip:
    rate, waves = result.sample_rate, read_clip(clip_id)
    start = loudest(waves["clean"], rate, CLIP_SECONDS)
    stop = min(start + round(CLIP_SECONDS * rate), len(waves["clean"]))
    facts = result.clips[clip_id]
    tags = [why, f"SNR {facts.snr_db:.1f} dB", f"{facts.level_db:.0f} dB FS"]
    if stop - start < len(waves["clean"]):
        tags.append(f"{start / rate:.1f} to {stop / rate:.1f} s")
    tracks = []
    for name, wav in waves.items():
        scores = "reference"
        for clip in result.rows.get(name, ()):
            if clip.id == clip_id:
                scores = " · ".join(
                    f"{METRICS[n].label} "
                    + cell(METRICS[n], clip.values.get(n, math.nan))
                    for n in names
                )
        tracks.append(Track(name, wav[start:stop], scores))
    return Clip(clip_id, tags, tracks)
