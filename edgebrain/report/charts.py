"""Charts as inline SVG that takes its colours from the page.

A series has the CSS class ``s0``, ``s1``, ...; the page defines what colours
these are in light and dark.
"""

from collections.abc import Mapping, Sequence
import html
import math

WIDTH, HEIGHT = 370, 240
_LEFT, _RIGHT, _TOP, _BOTTOM = 72, 12, 10, 54

_SMALL, _WIDER = 2.5, 1.5

Points = Sequence[tuple[float, float, str]]


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Return round numbers that cover a range.

    >>> ticks(0.0, 1.0)
    [0.0, 0.25, 0.5, 0.75, 1.0]
    """
    if not high > low:
        low, high = low - 0.5, high + 0.5
    rough = (high - low) / (most - 1)
    power = 10 ** math.floor(math.log10(rough))
    step = next(s * power for s in (1, 2, 2.5, 5, 10) if s * power >= rough)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [round(k * step, 10) for k in range(first, last + 1)]


def scatter(
    series: Mapping[str, Points], title: str, x_label: str, y_label: str
) -> str:
    """Return a scatter plot with a line at zero.

    The text of a point shows when the pointer rests on it.
    """
    points = [p for values in series.values() for p in values]
    xs, ys = [p[0] for p in points], [p[1] for p in points]
    x_ticks = ticks(min(xs, default=0), max(xs, default=1))
    y_ticks = ticks(min([0.0, *ys]), max([0.0, *ys]))
    place_x = _scale(x_ticks, _LEFT, WIDTH - _RIGHT)
    place_y = _scale(y_ticks, HEIGHT - _BOTTOM, _TOP)
    body = [_y_axis(y_ticks, place_y, y_label)]
    body += [_x_tick(place_x(v), _number(v)) for v in x_ticks]
    body.append(_x_label(x_label))
    zero = place_y(0.0)
    body.append(
        f'<line class="zero" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" '
        f'y1="{zero:.1f}" y2="{zero:.1f}"/>'
    )
    for number, values in enumerate(series.values()):
        for x, y, text in values:
            size = len(series) - 1 - number
            body.append(_dot(f"s{number}", place_x(x), place_y(y), size, text))
    return _svg(title, body)


def _dot(mark: str, x: float, y: float, size: int, text: str) -> str:
    """Return a ring; those of other series at one place lie around it."""
    return (
        f'<circle class="{mark}" cx="{x:.1f}" cy="{y:.1f}" '
        f'r="{_SMALL + _WIDER * size:g}"><title>{html.escape(text)}</title>'
        "</circle>"
    )


def lines(
    series: Mapping[str, Sequence[float]],
    places: Sequence[str],
    title: str,
    x_label: str,
    y_label: str,
    joined: Sequence[bool] | None = None,
) -> str:
    """Return lines with markers over places of equal distance.

    Of each series a value a place; NaN leaves a gap. The first, the noisy
    input, has the class ``noisy``, the others ``s0``, ``s1``, ... A line break
    in a place starts a second line below the axis. ``joined`` is False where
    no line leads to a place; left out: to all.
    """
    joined = [True] * len(places) if joined is None else joined
    values = [v for row in series.values() for v in row if math.isfinite(v)]
    y_ticks = ticks(min(values, default=0), max(values, default=1))
    place_y = _scale(y_ticks, HEIGHT - _BOTTOM, _TOP)
    step = (WIDTH - _RIGHT - _LEFT) / max(len(places), 1)
    xs = [_LEFT + step * (k + 0.5) for k in range(len(places))]
    body = [_y_axis(y_ticks, place_y, y_label)]
    body += [_x_tick(x, p) for x, p in zip(xs, places, strict=True)]
    body.append(_x_label(x_label))
    for number, (name, row) in enumerate(series.items()):
        mark = "noisy" if number == 0 else f"s{number - 1}"
        path, pen = [], "M"
        for x, y, linked in zip(xs, row, joined, strict=True):
            if not (math.isfinite(y) and linked):
                pen = "M"
                continue
            path.append(f"{pen}{x:.1f} {place_y(y):.1f}")
            pen = "L"
        body.append(f'<path class="line {mark}" d="{" ".join(path)}"/>')
        for x, y, place in zip(xs, row, places, strict=True):
            if math.isfinite(y):
                label = place.replace("\n", ", ")
                text = f"{name}, {label}: {y:.4g}"
                size = len(series) - 1 - number
                body.append(_dot(mark, x, place_y(y), size, text))
    return _svg(title, body)


def _scale(steps, start, stop):
    low, span = steps[0], steps[-1] - steps[0]
    return lambda value: start + (value - low) / span * (stop - start)


def _number(value: float) -> str:
    return f"{value:g}".replace("-", "\N{MINUS SIGN}")


def _y_axis(steps, place, label) -> str:
    parts = []
    for value in steps:
        y = place(value)
        parts.append(
            f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" '
            f'y1="{y:.1f}" y2="{y:.1f}"/><text x="{_LEFT - 7}" '
            f'y="{y + 4:.1f}" text-anchor="end">{_number(value)}</text>'
        )
    middle = (HEIGHT - _BOTTOM + _TOP) / 2
    parts.append(
        f'<text class="label" text-anchor="middle" transform="translate(12 '
        f'{middle}) rotate(-90)">{html.escape(label)}</text>'
    )
    return "".join(parts)


def _x_tick(x: float, text: str) -> str:
    return "".join(
        f'<text x="{x:.1f}" y="{HEIGHT - _BOTTOM + 15 + 13 * number}" '
        f'text-anchor="middle">{html.escape(line)}</text>'
        for number, line in enumerate(text.split("\n"))
    )


def _x_label(text: str) -> str:
    middle = (_LEFT + WIDTH - _RIGHT) / 2
    return (
        f'<text class="label" x="{middle}" y="{HEIGHT - 7}" '
        f'text-anchor="middle">{html.escape(text)}</text>'
    )


def _svg(title: str, body: list[str]) -> str:
    title = html.escape(title, quote=True)
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{title}">{"".join(body)}</svg>'
    )
