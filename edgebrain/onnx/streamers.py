"""Masks of a magnitude that arrives in pieces, by a graph with fixed shapes."""

from collections.abc import Callable

import numpy as np


class FrameStreamer:
    """The next frames of a stream through a graph with named states.

    Arguments
    ---------
    runner : edgebrain.onnx.runner.Runner
        Of the stream form.
    observe : callable, optional
        Is given the inputs of each call of the graph.
    """

    def __init__(self, runner, observe: Callable | None = None):
        self._runner = runner
        self._observe = observe
        self._new = [s["output"] for s in runner.metadata.states]
        self._names = [s["input"] for s in runner.metadata.states]
        self.reset()

    def reset(self) -> None:
        """Forget the stream so far."""
        self._states = self._runner.zero_states()
        self._late = self._runner.metadata.lookahead_frames or 0
        self._waiting = np.zeros((self._runner.bins, 0), np.float32)
        self._owed = 0

    def __call__(self, magnitude: np.ndarray) -> np.ndarray:
        """Take (bins, k) frames, return the (bins, j) masks that are done."""
        self._owed += magnitude.shape[1]
        masks = self._run(magnitude)
        self._owed -= masks.shape[1]
        return masks

    def flush(self) -> np.ndarray:
        """Return the masks still owed: zeros follow the last frame."""
        parts, left = [self._waiting[:, :0]], self._owed
        zeros = np.zeros((self._runner.bins, self._runner.frames), np.float32)
        while left > 0:
            # Completes what waits, or pushes out what is late.
            missing = zeros.shape[1] - self._waiting.shape[1]
            masks = self._run(zeros[:, :missing])
            parts.append(masks[:, :left])
            left -= parts[-1].shape[1]
        self.reset()
        return np.concatenate(parts, axis=1)

    def _run(self, magnitude: np.ndarray) -> np.ndarray:
        if self._waiting.shape[1]:
            magnitude = np.concatenate([self._waiting, magnitude], axis=1)
        size, runner = self._runner.frames, self._runner
        calls = magnitude.shape[1] // size
        masks = np.empty((runner.bins, calls * size), np.float32)
        for call in range(calls):
            at = slice(call * size, (call + 1) * size)
            frames = np.ascontiguousarray(magnitude[None, :, at], np.float32)
            feeds = {runner.input_name: frames, **self._states}
            if self._observe is not None:
                self._observe(feeds)
            mask, *new = runner.call(feeds)
            masks[:, at] = mask[0]
            self._states = dict(zip(self._names, new, strict=True))
        self._waiting = magnitude[:, calls * size :].copy()
        skipped = min(self._late, masks.shape[1])
        self._late -= skipped
        return masks[:, skipped:]


class PatchStreamer:
    """Overlapping windows of a stream through a graph without memory.

    Arguments
    ---------
    runner : edgebrain.onnx.runner.Runner
        Of the patch form.
    observe : callable, optional
        Is given the inputs of each call of the graph.

    Notes
    -----
    Each call gives the masks of ``frames_per_patch`` new frames, with
    ``context`` frames on both sides. The first windows start at the first
    frame and not before it: what lies there is the network's own padding, as
    offline, and not a history of zeros, which would cost quality. In the
    same way the last window ends with the last frame. With a context of the
    receptive field all masks are those of the offline form, provided that
    the clip is no shorter than a window; a shorter one is filled up with
    zeros on the right.
    """

    def __init__(self, runner, observe: Callable | None = None):
        self._runner = runner
        self._observe = observe
        self.reset()

    def reset(self) -> None:
        """Forget the stream so far."""
        self._frames = np.zeros((self._runner.bins, 0), np.float32)
        self._first = 0  # number of the first frame that is kept
        self._done = 0  # masks returned so far

    def __call__(self, magnitude: np.ndarray) -> np.ndarray:
        """Take (bins, k) frames, return the (bins, j) masks that are done."""
        new = np.asarray(magnitude, np.float32)
        self._frames = np.concatenate([self._frames, new], axis=1)
        count, (left, right) = self._runner.frames_per_patch, self._context
        parts = [self._frames[:, :0]]
        while self._end - self._done >= count + right:
            start = max(0, self._done - left)
            parts.append(self._window(start, count))
        surplus = self._frames.shape[1] - self._runner.frames
        if surplus > 0:
            self._frames = self._frames[:, surplus:].copy()
            self._first += surplus
        return np.concatenate(parts, axis=1)

    def flush(self) -> np.ndarray:
        """Return the masks still owed, by a window up to the last frame."""
        rest = self._frames[:, :0]
        if self._end > self._done:
            start = max(0, self._end - self._runner.frames)
            rest = self._window(start, self._end - self._done)
        self.reset()
        return rest

    @property
    def _context(self) -> tuple[int, int]:
        return self._runner.context

    @property
    def _end(self) -> int:
        return self._first + self._frames.shape[1]

    def _window(self, start: int, count: int) -> np.ndarray:
        """Return the next ``count`` masks by the window from ``start``."""
        runner = self._runner
        window = np.zeros((1, runner.bins, runner.frames), np.float32)
        at = start - self._first
        seen = self._frames[:, at : at + runner.frames]
        window[0, :, : seen.shape[1]] = seen
        feeds = {runner.input_name: window}
        if self._observe is not None:
            self._observe(feeds)
        mask = runner.call(feeds)[0][0]
        offset = self._done - start
        self._done += count
        return mask[:, offset : offset + count]
