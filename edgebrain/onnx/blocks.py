"""A whole-clip network over a signal without end, block by block."""

from collections.abc import Callable

import numpy as np

#: Context in frames of a network whose receptive field has no bound.
UNBOUNDED_CONTEXT = 500

#: Fewest frames of a block: smaller ones waste time on their context.
BLOCK_FRAMES = 256


class BlockStreamer:
    """Outputs of blocks of frames, each seen with its neighbours.

    A :class:`edgebrain.runners.Streamer`. With a context that covers the
    receptive field the outputs are those of the whole clip.

    Arguments
    ---------
    run : callable
        ``run(features) -> outputs``, (channels, frames) to (outputs, frames).
    block : int, optional
        Frames of a block; left out: as long as the context, at least
        ``BLOCK_FRAMES``.
    """

    def __init__(
        self,
        run: Callable[[np.ndarray], np.ndarray],
        outputs: int,
        receptive_field_frames: int | None,
        lookahead_frames: int | None,
        causal: bool = False,
        block: int | None = None,
    ) -> None:
        self.run = run
        self._none = np.zeros((outputs, 0), np.float32)
        self.left, self.right, self.exact = context_of(
            receptive_field_frames, lookahead_frames, causal
        )
        self.block = block or max(BLOCK_FRAMES, self.left + self.right)
        self.lookahead_frames = self.block + self.right - 1
        self.reset()

    def reset(self) -> None:
        """Forget the signal so far."""
        self._held: np.ndarray | None = None
        self._next = 0  # first frame in _held that has no output yet

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Take (channels, k) frames, return the (outputs, j) that are done."""
        if self._held is None:
            self._held = features
        else:
            self._held = np.concatenate([self._held, features], axis=1)
        outputs = [self._none]
        while self._held.shape[1] - self._next >= self.block + self.right:
            outputs.append(self._take(self.block, self.right))
            drop = max(0, self._next - self.left)
            self._held = self._held[:, drop:]
            self._next -= drop
        return np.concatenate(outputs, axis=1)

    def flush(self) -> np.ndarray:
        """Return the outputs of all frames that are left."""
        rest = self._none
        if self._held is not None:
            rest = self._take(self._held.shape[1] - self._next, 0)
        self.reset()
        return rest

    def _take(self, count: int, right: int) -> np.ndarray:
        """Return ``count`` outputs from the next frame on."""
        stop = self._next + count
        output = self.run(self._held[:, : stop + right])
        output = output[:, self._next : stop]
        self._next = stop
        return output


def context_of(
    receptive_field_frames: int | None,
    lookahead_frames: int | None,
    causal: bool,
) -> tuple[int, int, bool]:
    """Return the frames of context before and after, and if they suffice.

    None is what is not known, or without bound. A network that is not causal
    and does not say how far it looks ahead may look the whole receptive
    field ahead. Where they do not suffice, a block's outputs are near to,
    but not, those of the whole clip.
    """
    if lookahead_frames is None and causal:
        lookahead_frames = 0
    if receptive_field_frames is None:
        right = UNBOUNDED_CONTEXT
        if lookahead_frames is not None:
            right = lookahead_frames
        return UNBOUNDED_CONTEXT, right, False
    reach = receptive_field_frames - 1
    if lookahead_frames is None:
        return reach, reach, True
    return max(0, reach - lookahead_frames), lookahead_frames, True
