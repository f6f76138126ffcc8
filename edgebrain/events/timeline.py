"""From probabilities over time to events with a start and an end."""

from collections.abc import Sequence
import csv
from dataclasses import dataclass
from pathlib import Path

from edgebrain.errors import UserError
from edgebrain.files import replacing
import numpy as np
import scipy


@dataclass(frozen=True)
class Event:
    """A sound that was heard.

    Attributes
    ----------
    start, end : float
        Seconds.
    probability : float
        The highest within.
    """

    start: float
    end: float
    label: str
    probability: float


@dataclass(frozen=True)
class EventRules:
    """When a probability is an event.

    Arguments
    ---------
    on : float
        Probability that starts an event.
    off : float
        It lasts as long as the probability is at least this (hysteresis).
    median : float
        Seconds over which the median is taken first; 0: none.
    min_length : float
        Shorter events are dropped, in seconds.
    min_gap : float
        Events of one class that are nearer are one, in seconds.

    Raises
    ------
    UserError
        Lists the values that cannot be.
    """

    on: float = 0.5
    off: float = 0.3
    median: float = 0.0
    min_length: float = 0.0
    min_gap: float = 0.0

    def __post_init__(self) -> None:
        problems = []
        if not 0 < self.off <= self.on <= 1:
            problems.append(
                f"off {self.off:g} and on {self.on:g}: must rise and lie "
                "above 0 and up to 1"
            )
        for name in ("median", "min_length", "min_gap"):
            if not getattr(self, name) >= 0:
                problems.append(f"{name}: seconds from 0")
        if problems:
            raise UserError.collect("rules of events", problems)


DEFAULT_RULES = EventRules()


@dataclass
class Timeline:
    """Class probabilities of a recording.

    Attributes
    ----------
    times : numpy.ndarray
        (rows,): the middle of what each row was heard in, in seconds.
    probabilities : numpy.ndarray
        (rows, classes).
    step : float
        Seconds from one row to the next.
    """

    times: np.ndarray
    probabilities: np.ndarray
    class_names: Sequence[str]
    step: float

    def events(self, rules: EventRules = DEFAULT_RULES) -> list[Event]:
        """Return the events, by start."""
        smooth = self.probabilities
        width = 2 * int(rules.median / self.step / 2) + 1
        if width > 1 and len(smooth):
            smooth = scipy.ndimage.median_filter(
                smooth, size=(width, 1), mode="nearest"
            )
        found = []
        for column, label in zip(smooth.T, self.class_names, strict=True):
            spans: list[list[int]] = []
            for first, last in _runs(column >= rules.off):
                if column[first:last].max() < rules.on:
                    continue
                gap = (first - spans[-1][1]) * self.step if spans else np.inf
                if gap < rules.min_gap:
                    spans[-1][1] = last
                else:
                    spans.append([first, last])
            for first, last in spans:
                if (last - first) * self.step < rules.min_length:
                    continue
                found.append(
                    Event(
                        max(0.0, float(self.times[first] - self.step / 2)),
                        float(self.times[last - 1] + self.step / 2),
                        label,
                        float(column[first:last].max()),
                    )
                )
        return sorted(found, key=lambda e: (e.start, e.label))


def _runs(there: np.ndarray) -> list[tuple[int, int]]:
    """Return first and one past the last index of each run of True."""
    edges = np.flatnonzero(np.diff(np.r_[0, there.astype(np.int8), 0]))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def events_table(events: Sequence[Event]) -> str:
    """Return events as text, a line each."""
    if not events:
        return "no event"
    width = max(len(event.label) for event in events)
    return "\n".join(
        f"{e.start:9.2f} s {e.end:9.2f} s  {e.label:{width}}  "
        f"{100 * e.probability:5.1f} %"
        for e in events
    )


def write_csv(path: Path | str, events: Sequence[Event]) -> None:
    """Write start, end, label and probability of each event."""
    with (
        replacing(path) as temporary,
        open(temporary, "w", newline="", encoding="utf-8") as stream,
    ):
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["start", "end", "label", "probability"])
        for e in events:
            row = [f"{e.start:.3f}", f"{e.end:.3f}", e.label]
            writer.writerow([*row, f"{e.probability:.4f}"])


def write_audacity(path: Path | str, events: Sequence[Event]) -> None:
    """Write a label track of Audacity: start, end and label, by tabs."""
    lines = [f"{e.start:.6f}\t{e.end:.6f}\t{e.label}\n" for e in events]
    with replacing(path) as temporary:
        temporary.write_text("".join(lines), encoding="utf-8")


def draw(path: Path | str, timeline: Timeline, events: Sequence[Event]) -> None:
    """Draw probabilities over time, a row a class, and the events in them."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    names = list(timeline.class_names)
    figure = Figure(figsize=(10, 1.2 + 0.3 * len(names)), layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.add_subplot()
    first = float(timeline.times[0]) if len(timeline.times) else 0.0
    half = timeline.step / 2
    last = first + timeline.step * max(1, len(timeline.times))
    rows = timeline.probabilities
    if not len(rows):
        rows = np.zeros((1, len(names)))
    axis.imshow(
        rows.T,
        aspect="auto",
        cmap="Blues",
        vmin=0,
        vmax=1,
        interpolation="nearest",
        extent=(first - half, last - half, len(names) - 0.5, -0.5),
    )
    for event in events:
        place = names.index(event.label)
        axis.plot([event.start, event.end], [place, place], "r", linewidth=2)
    axis.set_yticks(range(len(names)), names, fontsize=8)
    axis.set_xlabel("seconds")
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=120)
