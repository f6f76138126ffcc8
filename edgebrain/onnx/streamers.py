"""Masks of a magnitude that arrives in pieces, by a graph with fixed shapes."""

from collections.abc import Callable

import numpy as np


class BoundGraph:
    """A stream graph on memory of its own, where its states stay.

    onnxruntime reads and writes the arrays in place. Two sets of states take
    turns as input and output, so that a call copies and allocates nothing:
    of a small recurrent network that is a quarter of the time.

    Arguments
    ---------
    runner : edgebrain.onnx.runner.Runner
        Of the stream form.

    Attributes
    ----------
    magnitude : numpy.ndarray
        float32, (1, bins, frames), to be filled before :meth:`run`.
    mask : numpy.ndarray
        Of the same shape, as the last call left it.

    Raises
    ------
    UserError
        When the mask has another shape than the magnitude.
    """

    def __init__(self, runner):
        self._session = runner.session
        self._input_name = runner.input_name
        shape = (1, runner.bins, runner.frames)
        mask_name = runner.check_mask_shape(shape)
        self.magnitude = np.zeros(shape, np.float32)
        self.mask = np.zeros(shape, np.float32)
        self._states = (runner.zero_states(), runner.zero_states())
        pairs = [(s["input"], s["output"]) for s in runner.metadata.states]
        self._bindings = []
        for old, new in (self._states, self._states[::-1]):
            binding = self._session.io_binding()
            _bind(binding.bind_input, self._input_name, self.magnitude)
            _bind(binding.bind_output, mask_name, self.mask)
            for name, output in pairs:
                _bind(binding.bind_input, name, old[name])
                _bind(binding.bind_output, output, new[name])
            self._bindings.append(binding)
        self._turn = 0

    def reset(self) -> None:
        """Zero the states."""
        for state in self._states[self._turn].values():
            state[:] = 0

    def feeds(self) -> dict[str, np.ndarray]:
        """Return copies of the inputs of the next call, by name."""
        states = self._states[self._turn]
        copies = {name: value.copy() for name, value in states.items()}
        return {self._input_name: self.magnitude.copy(), **copies}

    def run(self) -> None:
        """Turn magnitude and states into mask and new states."""
        self._session.run_with_iobinding(self._bindings[self._turn])
        self._turn = 1 - self._turn


def _bind(bind: Callable, name: str, array: np.ndarray) -> None:
    """Bind an array by its address; who calls keeps the array alive."""
    bind(name, "cpu", 0, np.float32, array.shape, array.ctypes.data)


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
        self._graph = BoundGraph(runner)
        self.reset()

    def reset(self) -> None:
        """Forget the stream so far."""
        self._graph.reset()
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
        size, graph = self._runner.frames, self._graph
        calls = magnitude.shape[1] // size
        masks = np.empty((self._runner.bins, calls * size), np.float32)
        for call in range(calls):
            at = slice(call * size, (call + 1) * size)
            graph.magnitude[0] = magnitude[:, at]
            if self._observe is not None:
                self._observe(graph.feeds())
            graph.run()
            masks[:, at] = graph.mask[0]
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
