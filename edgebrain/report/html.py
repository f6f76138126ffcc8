"""report.html: scores, charts, spectrograms and players in one file.

The page needs nothing but itself: style, script, charts, pictures and audio
are inside. It follows the browser's light or dark setting, can be read
without the script, and stays small: a few clips, a few seconds of each.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
import html
from importlib import resources
import math
import os

from edgebrain.enhancement.metrics import METRICS, at_rate
from edgebrain.files import replacing
from edgebrain.report import charts, media
from edgebrain.report.scores import mean_gain, summarise
from edgebrain.report.tables import cell, header
import numpy as np

#: Longest piece of a clip that is put in.
CLIP_SECONDS = 6.0

#: Bytes of pictures and audio; further clips are left out.
MEDIA_BYTES = 12_000_000

#: Metrics that have charts, where they were computed.
_CHARTED = ("pesq", "stoi", "si_snr")
_COLOURS = 8

#: Most points of a model in a scatter plot.
_POINTS = 1000
_SNR_EDGES = (-math.inf, 0, 5, 10, 15, math.inf)
_LEVEL_EDGES = (-math.inf, -50, -40, -30, -20, math.inf)
_escape = html.escape


def write_report(
    path: str | os.PathLike,
    result,
    models: Mapping[str, Mapping],
    read_clip: Callable[[str], Mapping[str, np.ndarray]],
    n_clips: int = 6,
    title: str = "Speech enhancement report",
) -> None:
    """Write the page atomically.

    Arguments
    ---------
    path : path-like
        Ends in .html.
    result : edgebrain.enhancement.evaluation.Evaluation
        Its first row is the noisy input.
    models : mapping of str to dict
        By row: what identifies the model (``form``, ``precision``,
        ``latency_samples``, ``source``, ``checkpoint_sha256``).
    read_clip : callable
        ``read_clip(clip_id)`` gives the waveforms (samples,) by name:
        ``noisy``, each model, ``clean``.
    n_clips : int
        Clips with players: the worst ones, and a median and the best one.
    title : str
    """
    rows = result.rows
    parts = [
        f"<header><h1>{_escape(title)}</h1>{_summary(result)}</header>",
        _section("Scores", _score_table(rows, result.sample_rate)),
        _section("Models", _model_table(models, result.sample_rate)),
    ]
    names = [name for name in _CHARTED if _has(rows, name)]
    names = names or [name for name in METRICS if _has(rows, name)][:1]
    parts.append(_scatter_section(result, names))
    parts.append(_breakdown_section(result, names))
    parts.append(_clip_section(result, names, read_clip, n_clips))
    page = _page(title, parts, len(rows) - 1)
    with replacing(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def _page(title: str, parts: Iterable[str], models: int) -> str:
    style, script = (
        resources.files("edgebrain.report")
        .joinpath("page", name)
        .read_text(encoding="utf-8")
        for name in ("page.css", "page.js")
    )
    rules = [_colour_rules("noisy", "--noisy")]
    for number in range(models):
        colour = f"--c{number % _COLOURS}"
        rules.append(_colour_rules(f"s{number}", colour))
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width,initial-scale=1">\n'
        # The browser itself is to refuse any other source.
        '<meta http-equiv="Content-Security-Policy" content="default-src '
        "'none'; img-src data:; media-src data:; style-src 'unsafe-inline'; "
        "script-src 'unsafe-inline'\">\n"
        '<link rel="icon" href="data:,">\n'
        f"<title>{_escape(title)}</title>\n<style>\n{style}"
        f"{''.join(rules)}</style></head>\n<body><main>\n"
        + "\n".join(parts)
        + f"\n</main>\n<script>\n{script}</script></body></html>\n"
    )


def _colour_rules(name: str, colour: str) -> str:
    return (
        f"svg circle.{name}{{fill:var({colour})}}"
        f"svg path.{name}{{stroke:var({colour})}}"
        f".key i.{name}{{background:var({colour})}}\n"
    )


def _section(title: str, body: str) -> str:
    anchor = title.lower().replace(" ", "-")
    return (
        f'<section aria-labelledby="{anchor}"><h2 id="{anchor}">'
        f"{_escape(title)}</h2>{body}</section>"
    )


def _summary(result) -> str:
    seconds = sum(facts.seconds for facts in result.clips.values())
    level = ""
    if result.gain_db:
        level = f", {result.gain_db:+g} dB against the files"
    return (
        f'<p class="soft">{len(result.clips)} clips, {seconds / 60:.1f} min '
        f"at {result.sample_rate} Hz{level}. Means over whole clips; the "
        "small figures are changes against the noisy input.</p>"
    )


def _has(rows, metric: str) -> bool:
    return any(
        math.isfinite(clip.values.get(metric, math.nan))
        for scores in rows.values()
        for clip in scores
    )


def _score_table(rows, sample_rate: int) -> str:
    found = {n for scores in rows.values() for c in scores for n in c.values}
    names = [name for name in METRICS if name in found]
    means = {row: summarise(scores)["mean"] for row, scores in rows.items()}
    baseline, *others = rows
    best = {name: _best_cell(name, means) for name in names}
    head = "".join(
        f'<th scope="col">{_escape(header(at_rate(sample_rate)[n]))}</th>'
        for n in names
    )
    lines = []
    for row in rows:
        gain = {} if row == baseline else mean_gain(rows[baseline], rows[row])
        cells = []
        for name in names:
            value = cell(METRICS[name], means[row].get(name, math.nan))
            mark = ' class="best"' if value == best[name] else ""
            change = _change(name, gain.get(name))
            cells.append(f"<td{mark}><b>{value}</b>{change}</td>")
        lines.append(
            f'<tr><th scope="row">{_escape(row)}</th>{"".join(cells)}</tr>'
        )
    return (
        '<div class="card wide"><table><caption>Mean scores; a star marks the '
        f'best of a column.</caption><thead><tr><th scope="col">Input and '
        f"models</th>{head}</tr></thead><tbody>{''.join(lines)}</tbody>"
        f"</table>{_failures(rows)}</div>"
    )


def _best_cell(name: str, means: Mapping[str, Mapping]) -> str | None:
    """Return the best mean as it is printed; rows may share it."""
    values = [mean.get(name, math.nan) for mean in means.values()]
    values = [value for value in values if math.isfinite(value)]
    if len(values) < 2:
        return None
    best = max if METRICS[name].higher_is_better else min
    return cell(METRICS[name], best(values))


def _change(name: str, gain: float | None) -> str:
    """Return a gain in green or red, and with its sign for all readers."""
    if gain is None or not math.isfinite(gain):
        return ""
    good = (gain > 0) == METRICS[name].higher_is_better
    kind = "good" if good else "bad"
    if float(cell(METRICS[name], gain)) == 0:
        kind = "soft"
    return f'<small class="{kind}">{cell(METRICS[name], gain, True)}</small>'


def _failures(rows) -> str:
    lines = []
    for row, scores in rows.items():
        for metric, reasons in summarise(scores)["failures"].items():
            why = ", ".join(f"{r} ({n})" for r, n in reasons.items())
            lines.append(
                f"<li>{_escape(row)}, {METRICS[metric].label}: "
                f"{_escape(why)}</li>"
            )
    if not lines:
        return ""
    return f"<p>Clips without a score:</p><ul>{''.join(lines)}</ul>"


def _model_table(models, sample_rate: int) -> str:
    lines = []
    for number, (name, facts) in enumerate(models.items()):
        latency = facts.get("latency_samples")
        delay = "" if latency is None else f"{1e3 * latency / sample_rate:.1f}"
        if facts.get("form") == "offline":
            delay = "whole clip"
        digest = str(facts.get("checkpoint_sha256") or "")[:12] or "unknown"
        kind = str(facts.get("model_class") or "unknown").rpartition(".")[2]
        cells = [kind, facts.get("form"), facts.get("precision"), delay]
        cells += [digest, facts.get("source")]
        text = "".join(f"<td>{_escape(str(cell))}</td>" for cell in cells)
        key = f'<span class="key" style="margin:0"><span><i class="s{number}">'
        lines.append(
            f'<tr><th scope="row">{key}</i>{_escape(name)}</span></span></th>'
            f"{text}</tr>"
        )
    heads = ("Model", "Network", "Form", "Precision", "Latency [ms]")
    heads += ("Weights (SHA-256)", "File")
    head = "".join(f'<th scope="col">{h}</th>' for h in heads)
    return (
        f'<div class="card wide"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )


def _key(names: Sequence[str], with_noisy: bool) -> str:
    items = [("noisy", "noisy")] if with_noisy else []
    items += [(f"s{k}", name) for k, name in enumerate(names)]
    spans = "".join(
        f'<span><i class="{mark}"></i>{_escape(name)}</span>'
        for mark, name in items
    )
    return f'<div class="key">{spans}</div>'


def _figure(caption: str, chart: str) -> str:
    return (
        f'<figure class="card"><figcaption>{_escape(caption)}</figcaption>'
        f"{chart}</figure>"
    )


def _scatter_section(result, names: Sequence[str]) -> str:
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
        figures.append(_figure(title, chart))
    if not figures:
        return ""
    note = (
        '<p class="soft">A point is a clip; below the dashed line it got '
        "worse. Rest the pointer on a point to see which; all scores are "
        "in per_clip.csv.</p>"
    )
    body = f'{note}{_key(models, False)}<div class="grid2">'
    return _section("Clip by clip", f"{body}{''.join(figures)}</div>")


def _breakdown_section(result, names: Sequence[str]) -> str:
    models = list(result.rows)[1:]
    figures = []
    for name in names[:2]:
        label = METRICS[name].label
        for what, field, edges, unit in (
            (
                "signal-to-noise ratio",
                "snr_db",
                _SNR_EDGES,
                "SNR [dB]",
            ),
            (
                "input level",
                "level_db",
                _LEVEL_EDGES,
                "level [dB FS]",
            ),
        ):
            places, series = _binned(result, name, field, edges)
            if len(places) > 1:
                title = f"{label} by {what}"
                chart = charts.lines(series, places, title, unit, label)
                figures.append(_figure(title, chart))
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
            figures.append(_figure(title, chart))
    if not figures:
        return ""
    return _section(
        "By noise and level",
        f'{_key(models, True)}<div class="grid2">{"".join(figures)}</div>',
    )


def _binned(result, metric: str, field: str, edges):
    """Return the bins that hold clips, and each row's mean in them."""
    by_id = {
        row: {c.id: c.values.get(metric, math.nan) for c in scores}
        for row, scores in result.rows.items()
    }
    places: list[str] = []
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
        if low == -math.inf:
            span = f"< {high}"
        elif high == math.inf:
            span = f"> {low}"
        else:
            span = f"{low} \N{HORIZONTAL ELLIPSIS} {high}"
        span = span.replace("-", "\N{MINUS SIGN}")
        places.append(f"{span}\nn = {len(ids)}")
        for row in series:
            series[row].append(math.fsum(by_id[row][i] for i in ids) / len(ids))
    return places, series


def worst_first(result, metric: str, n_clips: int) -> list[tuple[str, str]]:
    """Return the clips to show, ``(id, why)``.

    Arguments
    ---------
    result : Evaluation
    metric : str
        Clips are ranked by the smallest gain of any model in it.
    n_clips : int
        The worst ones, then a median and the best.
    """
    baseline, *models = result.rows
    before = {c.id: c.values for c in result.rows[baseline]}
    sign = 1 if METRICS[metric].higher_is_better else -1
    gains: dict[str, float] = {}
    for model in models:
        for clip in result.rows[model]:
            gain = sign * (
                clip.values.get(metric, math.nan)
                - before[clip.id].get(metric, math.nan)
            )
            # No score at all is the worst that can be.
            gain = gain if math.isfinite(gain) else -math.inf
            gains[clip.id] = min(gain, gains.get(clip.id, math.inf))
    ranked = sorted(gains, key=lambda clip: (gains[clip], clip))
    if len(ranked) <= n_clips or n_clips < 3:
        order = ranked[:n_clips]
        return [(clip, f"rank {k}") for k, clip in enumerate(order, start=1)]
    worst = ranked[: n_clips - 2]
    shown = [(clip, f"worst {k}") for k, clip in enumerate(worst, start=1)]
    median = ranked[max(len(ranked) // 2, n_clips - 2)]
    shown.append((median, "median"))
    if ranked[-1] != median:
        shown.append((ranked[-1], "best"))
    return shown


def _clip_section(result, names, read_clip, n_clips: int) -> str:
    if not names or n_clips < 1:
        return ""
    metric = names[0]
    chosen = worst_first(result, metric, n_clips)
    cards: list[str] = []
    size = 0
    for clip_id, why in chosen:
        waves = read_clip(clip_id)
        if not len(waves["clean"]):
            continue
        card = _clip_card(result, names, clip_id, why, waves)
        size += len(card)
        if cards and size > MEDIA_BYTES:
            break
        cards.append(card)
    if not cards:
        return ""
    left_out = len(chosen) - len(cards)
    note = (
        f"Ordered by the smallest gain in {METRICS[metric].label} of any "
        "model, the worst first. All versions of a clip are played with one "
        "gain. Start another version to hear it from the same place on; click "
        "a spectrogram to jump."
    )
    if left_out:
        note += f" {left_out} more were left out to keep this file small."
    body = f'<p class="soft">{note}</p>{"".join(cards)}'
    return _section("Listen", body)


def _clip_card(result, names, clip_id: str, why: str, waves) -> str:
    rate = result.sample_rate
    start, stop = _excerpt(waves["clean"], rate)
    cut = stop - start < len(waves["clean"])
    # A broken model may give NaN: silence here, a failure in the table.
    waves = {
        name: np.nan_to_num(wav[start:stop], nan=0.0, posinf=0.0, neginf=0.0)
        for name, wav in waves.items()
    }
    peak = max(float(np.abs(wav).max(initial=0)) for wav in waves.values())
    gain = 0.9 / peak if peak > 0 else 1.0
    top = max(media.peak_db(wav, rate) for wav in waves.values())
    facts = result.clips[clip_id]
    tags = [why, f"SNR {facts.snr_db:.1f} dB", f"{facts.level_db:.0f} dB FS"]
    tags.append(f"played {20 * math.log10(gain):+.0f} dB")
    if cut:
        tags.append(f"{start / rate:.1f} to {stop / rate:.1f} s")
    tag_text = "".join(f'<span class="tag">{_escape(t)}</span>' for t in tags)
    tracks = [
        _track(result, names, clip_id, name, wav * gain, wav, rate, top)
        for name, wav in waves.items()
    ]
    return (
        f'<article class="card clip"><header><h3>{_escape(clip_id)}</h3>'
        f'{tag_text}</header><div class="tracks">{"".join(tracks)}</div>'
        "</article>"
    )


def _track(result, names, clip_id, name, played, wav, rate, top) -> str:
    scores = ""
    for clip in result.rows.get(name, ()):
        if clip.id == clip_id:
            scores = " · ".join(
                f"{METRICS[n].label} "
                + cell(METRICS[n], clip.values.get(n, math.nan))
                for n in names
            )
    text = _escape(f"{name} of {clip_id}", quote=True)
    picture = media.spectrogram_url(wav, rate, top)
    sound = media.audio_url(played, rate)
    return (
        f'<div class="track"><div class="name">{_escape(name)}</div>'
        f'<div class="scores">{_escape(scores) or "reference"}</div>'
        f'<div class="spec"><img alt="Spectrogram, {text}" src="{picture}">'
        f'<span></span></div><audio controls preload="metadata" '
        f'aria-label="Play {text}" src="{sound}"></audio></div>'
    )


def _excerpt(clean: np.ndarray, rate: int) -> tuple[int, int]:
    """Return the start and stop of the piece with the most speech."""
    size = round(CLIP_SECONDS * rate)
    if len(clean) <= size:
        return 0, len(clean)
    energy = np.concatenate([[0.0], np.cumsum(clean.astype(np.float64) ** 2)])
    starts = np.arange(0, len(clean) - size + 1, rate // 4)
    start = int(starts[np.argmax(energy[starts + size] - energy[starts])])
    return start, start + size
