"""A whole-clip mask network over a signal without end, block by block."""

from collections.abc import Callable

import numpy as np

#: Context in frames of a network whose receptive field has no bound.
UNBOUNDED_CONTEXT = 500

#: Fewest frames of a block: smaller ones waste time on their context.
BLOCK_FRAMES = 256


class ChunkedMask:
    """Masks of blocks of frames, each seen with its neighbours.

    With a context that covers the receptive field the masks are those of
    the whole clip. It has the form that
    :class:`.masker.StreamingMasker` asks of ``mask_frames``.

    Arguments
    ---------
    mask : callable
        ``mask(magnitude) -> mask``, both (bins, frames), any frames.
    left, right : int
        Frames of context before and after a block.
    block : int, optional
        Frames of a block; left out: as long as the context, at least
        ``BLOCK_FRAMES``.
    exact : bool
        Whether the context covers all that the network sees; kept for
        those who ask.
    """

    def __init__(
        self,
        mask: Callable[[np.ndarray], np.ndarray],
        left: int,
        right: int,
        block: int | None = None,
        exact: bool = True,
    ) -> None:
        self.mask, self.left, self.right = mask, left, right
        self.exact = exact
        self.block = block or max(BLOCK_FRAMES, left + right)
        self.reset()

    @property
    def lookahead_frames(self) -> int:
        """Most frames whose mask is owed after a call."""
        return self.block + self.right - 1

    def reset(self) -> None:
        """Forget the signal so far."""
        self._held: np.ndarray | None = None
        self._next = 0  # first frame in _held that has no mask yet

    def __call__(self, magnitude: np.ndarray) -> np.ndarray:
        """Take frames (bins, k) and return the masks (bins, j) now known."""
        if self._held is None:
            self._held = magnitude
        else:
            self._held = np.concatenate([self._held, magnitude], axis=1)
        masks = [magnitude[:, :0]]
        while self._held.shape[1] - self._next >= self.block + self.right:
            masks.append(self._take(self.block, self.right))
            drop = max(0, self._next - self.left)
            self._held = self._held[:, drop:]
            self._next -= drop
        return np.concatenate(masks, axis=1)

    def flush(self) -> np.ndarray:
        """Return the masks of all frames that are left."""
        return self._take(self._held.shape[1] - self._next, 0)

    def _take(self, count: int, right: int) -> np.ndarray:
        """Return ``count`` masks from the next frame on."""
        stop = self._next + count
        mask = self.mask(self._held[:, : stop + right])
        mask = mask[:, self._next : stop]
        self._next = stop
        return mask


def context_of(
    receptive_field_frames: int | None,
    lookahead_frames: int | None,
    causal: bool,
) -> tuple[int, int, bool]:
    """Return the frames of context before and after, and if they suffice.

    Arguments
    ---------
    receptive_field_frames : int or None
        None: without bound, or not known.
    lookahead_frames : int or None
        Future frames a mask depends on; None: not known.
    causal : bool
        A network that is not, and does not say how far it looks ahead, may
        look the whole receptive field ahead.

    Returns
    -------
    left, right : int
    exact : bool
        False: the network may see further, and a block's masks are near to,
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
