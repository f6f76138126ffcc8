import re

from edgebrain.data.embedded import rooms
import numpy as np
import pytest

RATE = 16000


def make(split, count, seed):
    return rooms.make_room(split, 0, count, RATE, np.random.default_rng(seed))


def measured_rt60(wav):
    """Return twice the T30 of Schroeder's integral (ISO 3382-2), seconds."""
    energy = np.cumsum(wav[::-1] ** 2)[::-1]
    decay = 10 * np.log10(energy / energy[0] + 1e-12)
    part = np.flatnonzero((decay <= -5) & (decay >= -35))
    return -60 / np.polyfit(part / RATE, decay[part], 1)[0]


@pytest.mark.parametrize("split", rooms.RANGES)
def test_response_is_aligned_normalised_and_as_long_as_it_rings(split):
    made = make(split, 2, 1)
    low, high = rooms.RANGES[split][0]
    sizes = set()
    for wav, source in made:
        assert np.argmax(np.abs(wav)) == rooms.LEAD
        assert wav[rooms.LEAD] == rooms.DIRECT_PEAK <= 1
        assert np.abs(wav[: rooms.LEAD - 20]).max() < 0.1
        size, rt60, distance = re.search(
            r"room_m=(\[.*\]) rt60_s=(\S+) distance_m=(\S+)", source
        ).groups()
        sizes.add(size)
        assert low <= float(rt60) <= high and 0.5 <= float(distance) <= 3.0
        # Absorption differs by octave, so the whole may ring a bit longer.
        rings = measured_rt60(wav)
        assert 0.75 * low < rings < 1.4 * high
        assert 0.7 * rings < len(wav) / RATE < 1.7 * rings
    assert len(sizes) == 1
    assert not np.array_equal(made[0][0][:1000], made[1][0][:1000])


def test_room_repeats():
    first, second = (make("train", 1, 5)[0] for _ in "ab")
    np.testing.assert_array_equal(first[0], second[0])
    assert first[1] == second[1] != make("train", 1, 6)[0][1]


def test_ranges_of_the_splits_do_not_meet():
    spans = sorted(
        (low, high, split)
        for split, ranges in rooms.RANGES.items()
        for low, high in ranges
    )
    assert all(
        before[1] <= after[0]
        for before, after in zip(spans, spans[1:], strict=False)
    )
