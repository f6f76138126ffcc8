"""Block by block equals the whole clip where the context suffices."""

from edgebrain.onnx.blocks import BlockStreamer, context_of
import numpy as np
import pytest


def moving_sum(left, right):
    """Return a "network" that sees so many frames around each frame."""

    def run(magnitude):
        padded = np.pad(magnitude, ((0, 0), (left, right)))
        frames = magnitude.shape[1]
        return sum(
            padded[:, k : k + frames] * (k + 1) for k in range(left + right + 1)
        )

    return run


@pytest.mark.parametrize(("left", "right"), [(0, 0), (5, 0), (4, 3), (0, 7)])
@pytest.mark.parametrize("sizes", [(1,), (3, 50, 2), (200,)])
def test_equals_whole_clip(left, right, sizes):
    magnitude = np.random.default_rng(1).random((4, 161)).astype(np.float32)
    run = moving_sum(left, right)
    streamer = BlockStreamer(run, 4, left + right + 1, right, block=16)
    for _ in range(2):  # the second time after flush, as new
        out, at, turn, owed = [], 0, 0, 0
        while at < 161:
            size = min(sizes[turn % len(sizes)], 161 - at)
            out.append(streamer(magnitude[:, at : at + size]))
            owed += size - out[-1].shape[1]
            assert 0 <= owed <= streamer.lookahead_frames
            at, turn = at + size, turn + 1
        out.append(streamer.flush())
        assert np.allclose(np.concatenate(out, 1), run(magnitude))


def test_memory_is_bounded():
    streamer = BlockStreamer(moving_sum(4, 3), 4, 8, 3, block=16)
    for _ in range(100):
        streamer(np.ones((4, 10), np.float32))
        assert streamer._held.shape[1] <= 16 + 10 + 4 + 3


def test_context():
    assert context_of(9, 2, False) == (6, 2, True)
    assert context_of(9, None, True) == (8, 0, True)
    assert context_of(9, None, False) == (8, 8, True)
    assert context_of(None, 0, True)[1:] == (0, False)
    assert context_of(None, None, False)[2] is False
