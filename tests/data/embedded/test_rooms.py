from edgebrain.data.embedded import rooms
import numpy as np
import pytest

RATE = 16000


@pytest.mark.parametrize("split", rooms.RANGES)
def test_response_is_aligned_normalised_and_as_long_as_it_rings(split):
    made = rooms.make_room(split, 0, 2, RATE, [1])
    assert len({response.size for response in made}) == 1
    low, high = rooms.RANGES[split][0]
    for response in made:
        wav = response.wav
        assert np.argmax(np.abs(wav)) == rooms.LEAD
        assert wav[rooms.LEAD] == rooms.DIRECT_PEAK <= 1
        assert np.abs(wav[: rooms.LEAD - 20]).max() < 0.1
        assert 0.5 <= response.distance <= 3.0
        # Absorption differs by octave, so the whole may ring a bit longer.
        assert 0.75 * low < response.rt60 < 1.4 * high
        assert 0.7 * response.rt60 < len(wav) / RATE < 1.7 * response.rt60
    assert not np.array_equal(made[0].wav[:1000], made[1].wav[:1000])


def test_room_repeats():
    first, second = (rooms.make_room("train", 0, 1, RATE, [5]) for _ in "ab")
    np.testing.assert_array_equal(first[0].wav, second[0].wav)
    assert str(first[0]) == str(second[0])
    other = rooms.make_room("train", 0, 1, RATE, [6])
    assert other[0].size != first[0].size


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


def test_measured_reverberation_of_a_known_decay():
    n = np.arange(RATE)
    wav = np.random.default_rng(0).standard_normal(RATE)
    wav = wav * 10 ** (-3 * n / RATE / 0.4)
    assert rooms.measure_rt60(wav, RATE) == pytest.approx(0.4, rel=0.03)
