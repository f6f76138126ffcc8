"""Events from probabilities: hysteresis, median, gaps, files."""

from edgebrain.errors import UserError
from edgebrain.events.timeline import (
    Event,
    EventRules,
    Timeline,
    events_table,
    write_audacity,
    write_csv,
)
import numpy as np
import pytest


def timeline(*columns, step=0.5):
    rows = np.array(columns).T
    times = step / 2 + step * np.arange(len(rows))
    return Timeline(times, rows, ["dog", "cat"][: len(columns)], step)


HEARD = timeline(
    [0.1, 0.4, 0.9, 0.4, 0.1, 0.4, 0.4, 0.1], [0, 0, 0, 0, 0, 0, 0.6, 0.7]
)


def spans(found):
    return [(e.start, e.end, e.label) for e in found]


def test_hysteresis():
    """What never reaches `on` is none; what has lasts down to `off`."""
    found = HEARD.events(EventRules(on=0.5, off=0.3))
    assert spans(found) == [(0.5, 2.0, "dog"), (3.0, 4.0, "cat")]
    assert found[0].probability == pytest.approx(0.9)
    steep = HEARD.events(EventRules(on=0.5, off=0.5))
    assert spans(steep) == [(1.0, 1.5, "dog"), (3.0, 4.0, "cat")]


def test_median_and_shortest_length_drop_a_moment():
    flicker = timeline([0, 0, 0.9, 0, 0, 0.9, 0.9, 0.9])
    assert len(flicker.events()) == 2
    wanted = [(2.5, 4.0, "dog")]
    assert spans(flicker.events(EventRules(median=1.5))) == wanted
    assert spans(flicker.events(EventRules(min_length=0.6))) == wanted


def test_near_events_are_one():
    gap = timeline([0.9, 0, 0.9, 0, 0, 0.9])
    assert len(gap.events()) == 3
    found = gap.events(EventRules(min_gap=0.6))
    assert spans(found) == [(0.0, 1.5, "dog"), (2.5, 3.0, "dog")]


def test_files(tmp_path):
    events = [Event(0.5, 2.0, "dog", 0.9)]
    write_csv(tmp_path / "e.csv", events)
    lines = (tmp_path / "e.csv").read_text().splitlines()
    assert lines == ["start,end,label,probability", "0.500,2.000,dog,0.9000"]
    write_audacity(tmp_path / "e.txt", events)
    assert (tmp_path / "e.txt").read_text() == "0.500000\t2.000000\tdog\n"
    assert events_table(events).split()[-2:] == ["90.0", "%"]
    assert events_table([]) == "no event"


def test_refuses_rules():
    with pytest.raises(UserError, match="must rise"):
        EventRules(on=0.3, off=0.5)
    with pytest.raises(UserError, match="min_gap"):
        EventRules(min_gap=-1)
