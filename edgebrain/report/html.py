"""report.html: scores, charts, spectrograms and players in one file.

The page needs nothing but itself: style, script, charts, pictures and audio
are inside. It follows the browser's light or dark setting, can be read
without the script, and stays small: a few clips, a few seconds of each. What
is charted and played is the task's; how it looks is here and in page/.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
import itertools
import math
import os

from edgebrain.files import write_text
from edgebrain.report import media
from edgebrain.report.tables import cell, header
import jinja2
import numpy as np

#: Bytes of pictures and audio; further clips are left out.
MEDIA_BYTES = 12_000_000
_COLOURS = 8
_MODEL_HEADS = (
    *("Network", "Form", "Precision", "Latency [ms]", "Parameters"),
    *("MACs a second", "File [kB]", "Weights (SHA-256)", "Source"),
)


@dataclass(frozen=True)
class Figure:
    """A chart of :mod:`edgebrain.report.charts` and what it shows."""

    caption: str
    svg: str


@dataclass(frozen=True)
class Section:
    """Figures with one key; left out where there are no figures.

    The key holds the CSS class and the name of each colour.
    """

    title: str
    figures: Sequence[Figure]
    key: Sequence[tuple[str, str]] = ()
    note: str = ""


@dataclass(frozen=True)
class Track:
    """One version of a clip: a row of the scores, or ``clean``.

    What is not finite in ``wav`` (samples,) becomes silence; ``drawing``, SVG,
    stands below the spectrogram, as wide as it.
    """

    name: str
    wav: np.ndarray
    scores: str = ""
    drawing: str = ""


@dataclass(frozen=True)
class Clip:
    """A clip with its versions, all played with one gain."""

    title: str
    tags: Sequence[str]
    tracks: Sequence[Track]


def key_of(rows: Iterable[str], with_baseline: bool) -> list[tuple[str, str]]:
    """Return CSS classes and names of rows, the baseline being the first."""
    baseline, *models = rows
    named = [(f"s{k % _COLOURS}", name) for k, name in enumerate(models)]
    return [("noisy", baseline), *named] if with_baseline else named


def write_report(
    path: str | os.PathLike,
    title: str,
    summary: str,
    scores: Mapping[str, Mapping[str, float]],
    metrics: Mapping,
    models: Mapping[str, Mapping],
    sample_rate: int,
    sections: Sequence[Section] = (),
    clips: Iterable[Clip] = (),
    clip_note: str = "",
    gains: Mapping[str, Mapping[str, float]] | None = None,
    failures: Sequence[str] = (),
) -> None:
    """Write the page atomically.

    ``scores`` and ``gains`` hold, by row, the baseline first, and by metric,
    what the table shows; ``models``, by row, what identifies the model
    (``form``, ``precision``, ``latency_samples``, ``parameters``,
    ``macs_per_second``, ``file_bytes``, ``source``, ``checkpoint_sha256``);
    ``failures`` a line each on clips without a score. Clips are taken one by
    one until :data:`MEDIA_BYTES` are full.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("edgebrain.report", "page"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )
    style, script = (
        resources.files("edgebrain.report")
        .joinpath("page", name)
        .read_text(encoding="utf-8")
        for name in ("page.css", "page.js")
    )
    cards, size, left_out = [], 0, 0
    for clip in clips:
        if not max((len(track.wav) for track in clip.tracks), default=0):
            continue
        if left_out:
            left_out += 1
            continue
        card = _card(environment, clip, sample_rate)
        size += len(card)
        if cards and size > MEDIA_BYTES:
            left_out = 1
        else:
            cards.append(card)
    found = {name for row in scores.values() for name in row}
    metrics = {n: metric for n, metric in metrics.items() if n in found}
    colours = [("noisy", "--noisy")]
    colours += [(f"s{k}", f"--c{k}") for k in range(_COLOURS)]
    cells = {n: _model_cells(f, sample_rate) for n, f in models.items()}
    used = [any(column) for column in zip(*cells.values(), strict=True)]
    page = environment.get_template("page.html.j2").render(
        title=title,
        summary=summary,
        style=style,
        script=script,
        colours=colours,
        heads=[header(metric) for metric in metrics.values()],
        scores=_score_rows(scores, metrics, gains or {}),
        failures=failures,
        model_heads=list(itertools.compress(_MODEL_HEADS, used)),
        models=[(n, itertools.compress(c, used)) for n, c in cells.items()],
        sections=sections,
        clips=cards,
        clip_note=clip_note,
        left_out=left_out,
    )
    write_text(path, page + "\n")


def _score_rows(scores, metrics, gains) -> list[tuple[str, list[dict]]]:
    best = {name: _best(name, metrics[name], scores) for name in metrics}
    lines = []
    for row, means in scores.items():
        cells = []
        for name, metric in metrics.items():
            text = cell(metric, means.get(name, math.nan))
            change = gains.get(row, {}).get(name, math.nan)
            kind = "good" if (change > 0) == metric.higher_is_better else "bad"
            if not math.isfinite(change):
                change = None
            elif float(cell(metric, change)) == 0:
                kind = "soft"
            cells.append(
                {
                    "text": text,
                    "best": text == best[name],
                    "kind": kind,
                    # With its sign, for those who see no colours.
                    "change": change is not None and cell(metric, change, True),
                }
            )
        lines.append((row, cells))
    return lines


def _best(name: str, metric, means: Mapping[str, Mapping]) -> str | None:
    """Return the best mean as it is printed; rows may share it."""
    values = [mean.get(name, math.nan) for mean in means.values()]
    values = [value for value in values if math.isfinite(value)]
    if len(values) < 2:
        return None
    return cell(metric, (max if metric.higher_is_better else min)(values))


def _model_cells(facts: Mapping, sample_rate: int) -> list[str]:
    latency = facts.get("latency_samples")
    delay = "" if latency is None else f"{1e3 * latency / sample_rate:.1f}"
    if facts.get("form") == "offline":
        delay = "whole clip"
    counts = [facts.get(name) for name in ("parameters", "macs_per_second")]
    size = facts.get("file_bytes")
    return [
        str(facts.get("model_class") or "unknown").rpartition(".")[2],
        str(facts.get("form") or ""),
        str(facts.get("precision") or ""),
        delay,
        *("" if count is None else f"{count:,}" for count in counts),
        "" if size is None else f"{size / 1000:,.0f}",
        str(facts.get("checkpoint_sha256") or "")[:12] or "unknown",
        str(facts.get("source") or ""),
    ]


def _card(environment, clip: Clip, rate: int) -> str:
    # A broken model may give NaN: silence here, a failure in the table.
    waves = [
        np.nan_to_num(track.wav, nan=0.0, posinf=0.0, neginf=0.0)
        for track in clip.tracks
    ]
    peak = max(float(np.abs(wav).max(initial=0)) for wav in waves)
    gain = 0.9 / peak if peak > 0 else 1.0
    top = max(media.peak_db(wav, rate) for wav in waves if len(wav))
    tracks = [
        {
            "name": track.name,
            "scores": track.scores,
            "drawing": track.drawing,
            "picture": media.spectrogram_url(wav, rate, top),
            "sound": media.audio_url(wav * gain, rate),
        }
        for track, wav in zip(clip.tracks, waves, strict=True)
    ]
    played = f"played {20 * math.log10(gain):+.0f} dB"
    return environment.get_template("clip.html.j2").render(
        clip=Clip(clip.title, [*clip.tags, played], clip.tracks),
        tracks=tracks,
        wide=_columns(len(tracks), 5),
        middle=_columns(len(tracks), 3),
    )


def _columns(count: int, most: int) -> int:
    """Return columns that fill rows evenly: of 6 with at most 5, 3."""
    return -(-count // -(-count // most))
