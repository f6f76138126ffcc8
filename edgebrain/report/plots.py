"""Pictures: learning curves and spectrograms, as PNG files.

matplotlib is imported when a picture is drawn, through its Agg canvas: no
display is needed and the backend of the calling program stays what it is.
"""

from collections.abc import Iterable, Mapping
import math
import os
from typing import Any

from edgebrain.files import replacing
from edgebrain.report.tables import header
from edgebrain.signal import SignalSettings, stft
from edgebrain.tasks import Task
import numpy as np
from PIL import Image

TRAIN, VALID, NOISY = "#7f7f7f", "#1f5fa8", "#c0504d"
RANGE_DB = 80.0
"""From the loudest bin of a picture down to its darkest colour."""

#: Longest piece of a clip that is drawn.
EXCERPT_SECONDS = 10

LOG_RATIO = 10.0
"""Positive curves whose extremes are further apart have a log axis."""


def _figure(width: float, height: float):
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=120)
    FigureCanvasAgg(figure)
    return figure


def _cells(
    figure, lines, columns, left, right, bottom, top
) -> dict[str, float]:
    """Return where axes lie that have these inches around each of them.

    What a layout engine finds takes it longer than all the drawing.
    """
    width, height = figure.get_size_inches()
    return {
        "left": left / width,
        "right": 1 - right / width,
        "bottom": bottom / height,
        "top": 1 - top / height,
        "wspace": (left + right) / (width / columns - left - right),
        "hspace": (bottom + top) / (height / lines - bottom - top),
    }


def _save(figure, path: str | os.PathLike) -> None:
    # savefig would draw everything twice, first for the layout alone.
    figure.canvas.draw()
    pixels = np.asarray(figure.canvas.buffer_rgba())[..., :3]
    with replacing(path) as temporary:
        Image.fromarray(pixels.copy()).save(temporary, compress_level=2)


def _column(rows: list[Mapping[str, Any]], key: str) -> np.ndarray:
    """Return a column, NaN where a row has no number."""
    values = [row.get(key) for row in rows]
    return np.array([math.nan if v is None else v for v in values], float)


def _scale(axis, curves: Iterable[np.ndarray]) -> None:
    """Make the axis logarithmic where the curves ask for it."""
    values = np.concatenate(list(curves))
    values = values[np.isfinite(values)]
    if len(values) and values.min() > 0:
        if values.max() > LOG_RATIO * values.min():
            axis.set_yscale("log")


def _draw(axis, epochs, values, **style) -> None:
    # A lone point, also between two gaps, is no line: it needs a marker.
    marker = "o" if np.isfinite(values).sum() <= 30 else None
    axis.plot(epochs, values, marker=marker, markersize=3.5, **style)


def _mark_best(axis, epochs, values, higher: bool) -> None:
    if not np.isfinite(values).any():
        return
    ranked = np.where(np.isfinite(values), values, np.nan)
    best = int(np.nanargmax(ranked) if higher else np.nanargmin(ranked))
    text = f"best {values[best]:.4g} (epoch {epochs[best]:g})"
    axis.plot(
        epochs[best],
        values[best],
        linestyle="none",
        marker="*",
        markersize=11,
        color=VALID,
        markeredgecolor="white",
        label=text,
    )


def _panels(rows: list[Mapping[str, Any]], task: Task) -> list[str]:
    """Return the panels for which the history has a number."""
    names = []
    keys = ("train_loss", "valid_loss")
    if any(np.isfinite(_column(rows, key)).any() for key in keys):
        names.append("loss")
    for name in task.metrics:
        if np.isfinite(_column(rows, f"valid_{name}")).any():
            names.append(name)
    if np.isfinite(_column(rows, "lr")).any():
        names.append("lr")
    return names


def plot_learning_curves(
    history: Iterable[Mapping[str, Any]],
    path: str | os.PathLike,
    task: Task,
    selected: int | None = None,
) -> None:
    """Draw losses, metrics and learning rate over epochs.

    Each metric has the baseline's score as a dashed line and a star at its
    best epoch, and ``selected``, the epoch that is tested and exported, is
    marked. A row of the history has ``epoch``, ``train_loss``, ``valid_loss``,
    ``valid_<metric>``, ``<baseline>_<metric>``, ``lr``; each but the epoch may
    be missing, None or NaN.
    """
    rows = list(history)
    names = _panels(rows, task)
    epochs = np.array([float(row["epoch"]) for row in rows])
    columns = {1: 1, 2: 2, 3: 3, 4: 2, 5: 3, 6: 3}.get(len(names), 4)
    lines = math.ceil(len(names) / columns)
    figure = _figure(4.2 * columns, 3.2 * lines + 0.1)
    axes = figure.subplots(
        lines,
        columns,
        squeeze=False,
        sharex=True,
        gridspec_kw=_cells(figure, lines, columns, 0.6, 0.12, 0.7, 0.32),
    ).ravel()
    for axis, name in zip(axes, names, strict=False):
        _draw_panel(axis, rows, epochs, name, task)
        if selected is not None:
            axis.axvline(selected, color=VALID, lw=1, ls=":", zorder=0)
    for axis in axes[len(names) :]:
        axis.remove()
    # The lowest panel of each column carries the epochs.
    for axis in axes[max(len(names) - columns, 0) : len(names)]:
        axis.set_xlabel("epoch", fontsize=9)
        axis.tick_params(labelbottom=True)
    _save(figure, path)


def _draw_panel(axis, rows, epochs, name: str, task: Task) -> None:
    """Draw one panel: the losses, a metric or the learning rate."""
    from matplotlib.ticker import MaxNLocator

    if name == "loss":
        axis.set_title("loss ↓", fontsize=10)
        curves = [
            (_column(rows, "train_loss"), TRAIN, "-", "train"),
            (_column(rows, "valid_loss"), VALID, "-", "valid"),
        ]
    elif name == "lr":
        axis.set_title("learning rate", fontsize=10)
        curves = [(_column(rows, "lr"), TRAIN, "-", None)]
    else:
        axis.set_title(header(task.metrics[name]), fontsize=10)
        base = task.baseline
        curves = [
            (_column(rows, f"{base}_{name}"), NOISY, "--", base),
            (_column(rows, f"valid_{name}"), VALID, "-", "valid"),
        ]
    curves = [curve for curve in curves if np.isfinite(curve[0]).any()]
    for values, color, style, label in curves:
        if style == "--":
            axis.plot(epochs, values, color=color, ls=style, label=label)
            if len(epochs) == 1:
                axis.axhline(values[0], color=color, ls=style)
        else:
            _draw(axis, epochs, values, color=color, ls=style, label=label)
    if name == "loss":
        valid = _column(rows, "valid_loss")
        _mark_best(axis, epochs, valid, False)
    elif name != "lr":
        higher = task.metrics[name].higher_is_better
        _mark_best(axis, epochs, _column(rows, f"valid_{name}"), higher)
    # Decibels are a logarithm already.
    if name in ("loss", "lr") or task.metrics[name].unit != "dB":
        _scale(axis, [curve[0] for curve in curves])
    axis.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=7))
    axis.grid(True, alpha=0.3, linewidth=0.6)
    axis.spines[["top", "right"]].set_visible(False)
    # "both": a log axis writes labels at its minor ticks too.
    axis.tick_params(which="both", labelsize=8)
    if len(epochs) == 1:
        axis.set_xlim(epochs[0] - 0.5, epochs[0] + 0.5)
        axis.set_xticks(epochs)
    if name != "lr":
        # Below the panel: within it, it would lie on some curve.
        axis.legend(
            fontsize=7,
            frameon=False,
            ncols=3,
            loc="upper center",
            bbox_to_anchor=(0.5, -0.19),
            columnspacing=1.0,
        )


def decibels(wav: np.ndarray, settings: SignalSettings) -> np.ndarray:
    """Return the level of each bin and frame of samples, (bins, frames)."""
    spec = np.abs(stft(np.asarray(wav, dtype=np.float32), settings))
    return 20 * np.log10(np.maximum(spec, 1e-10))


def loudest(wav: np.ndarray, sample_rate: int, seconds: float) -> int:
    """Return the sample where the piece with most energy starts."""
    size = round(seconds * sample_rate)
    if len(wav) <= size:
        return 0
    energy = np.concatenate([[0.0], np.cumsum(wav.astype(np.float64) ** 2)])
    starts = np.arange(0, len(wav) - size + 1, sample_rate // 4)
    return int(starts[np.argmax(energy[starts + size] - energy[starts])])


def plot_spectrograms(
    noisy: np.ndarray,
    enhanced: np.ndarray,
    clean: np.ndarray,
    settings: SignalSettings,
    path: str | os.PathLike,
    title: str,
) -> None:
    """Draw noisy | enhanced | clean with one colour scale.

    Of a clip longer than 10 s the 10 s with most energy are drawn.
    """
    waves = {"noisy": noisy, "enhanced": enhanced, "clean": clean}
    rate = settings.sample_rate
    start = loudest(clean, rate, EXCERPT_SECONDS)
    stop = start + EXCERPT_SECONDS * rate
    waves = {name: wav[start:stop] for name, wav in waves.items()}
    panels = {name: decibels(wav, settings) for name, wav in waves.items()}
    top = max(panel.max() for panel in panels.values())
    figure = _figure(4.3 * len(panels) + 0.6, 3.9)
    where = _cells(figure, 1, 1, 0.65, 0.9, 0.5, 0.6) | {"wspace": 0.06}
    axes = figure.subplots(
        1, len(panels), sharex=True, sharey=True, gridspec_kw=where
    )
    for axis, (name, panel) in zip(axes, panels.items(), strict=True):
        image = axis.imshow(
            panel - top,
            origin="lower",
            aspect="auto",
            cmap="magma",
            vmin=-RANGE_DB,
            vmax=0,
            extent=(
                start / rate,
                (start + len(waves[name])) / rate,
                0,
                rate / 2,
            ),
        )
        axis.set_title(name, fontsize=11)
        axis.set_xlabel("time [s]")
        axis.tick_params(labelsize=8)
    longest = max(map(len, waves.values()))
    axes[0].set_xlim(start / rate, (start + longest) / rate)
    axes[0].set_ylabel("frequency [Hz]")
    last = axes[-1].get_position()
    beside = (last.x1 + 0.012, last.y0, 0.01, last.height)
    bar = figure.colorbar(image, cax=figure.add_axes(beside))
    bar.set_label("level [dB, 0 = loudest]", fontsize=9)
    bar.ax.tick_params(labelsize=8)
    figure.suptitle(title, fontsize=12)
    _save(figure, path)
