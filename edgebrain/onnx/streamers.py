"""Outputs for features that arrive in pieces, by a graph of fixed shapes.

Each is a :class:`edgebrain.runners.Streamer`.
"""

from collections.abc import Callable

import numpy as np


class BoundGraph:
    """A stream graph on memory of its own, where its states stay.

    onnxruntime reads and writes the arrays in place. Two sets of states take
    turns as input and output, so that a call copies and allocates nothing:
    of a small recurrent network that is a quarter of the time. ``features``
    (1, channels, frames) are filled before :meth:`run`, ``output`` is as the
    last call left it.
    """

    def __init__(self, runner):
        self._session = runner.session
        self._input_name = runner.input_name
        output_name, output_shape = runner.fixed_output()
        shape = (1, runner.channels, runner.frames)
        self.features = np.zeros(shape, np.float32)
        self.output = np.zeros(output_shape, np.float32)
        self._states = (runner.zero_states(), runner.zero_states())
        pairs = [(s["input"], s["output"]) for s in runner.metadata.states]
        self._bindings = []
        for old, new in (self._states, self._states[::-1]):
            binding = self._session.io_binding()
            _bind(binding.bind_input, self._input_name, self.features)
            _bind(binding.bind_output, output_name, self.output)
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
        return {self._input_name: self.features.copy(), **copies}

    def run(self) -> None:
        """Turn features and states into the output and new states."""
        self._session.run_with_iobinding(self._bindings[self._turn])
        self._turn = 1 - self._turn


def _bind(bind: Callable, name: str, array: np.ndarray) -> None:
    """Bind an array by its address; who calls keeps the array alive."""
    bind(name, "cpu", 0, np.float32, array.shape, array.ctypes.data)


class _Streamer:
    """What all have: frames that wait for the next call of the graph.

    ``observe`` is given the inputs of each call.
    """

    exact = True

    def __init__(self, runner, observe: Callable | None = None):
        self._runner = runner
        self._observe = observe
        self.lookahead_frames = runner.lookahead_frames
        self.reset()

    def reset(self) -> None:
        """Forget the stream so far."""
        self._frames = np.zeros((self._runner.channels, 0), np.float32)

    def _append(self, features: np.ndarray) -> list[np.ndarray]:
        """Take frames; return a list of no output, to add some to."""
        new = np.asarray(features, np.float32)
        self._frames = np.concatenate([self._frames, new], axis=1)
        return [self._runner.no_output()]


class FrameStreamer(_Streamer):
    """The next frames of a stream through a graph with named states."""

    def __init__(self, runner, observe: Callable | None = None):
        self._graph = BoundGraph(runner)
        super().__init__(runner, observe)

    def reset(self) -> None:
        """Forget the stream so far."""
        super().reset()
        self._graph.reset()
        self._late = self._runner.metadata.lookahead_frames or 0
        self._owed = 0

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Take (channels, k) frames, return the (outputs, j) that are done."""
        self._owed += features.shape[1]
        done = self._run(features)
        self._owed -= done.shape[1]
        return done

    def flush(self) -> np.ndarray:
        """Return the outputs still owed: zeros follow the last frame."""
        parts, left = [self._runner.no_output()], self._owed
        zeros = np.zeros_like(self._graph.features[0])
        while left > 0:
            # Completes what waits, or pushes out what is late.
            missing = zeros.shape[1] - self._frames.shape[1]
            done = self._run(zeros[:, :missing])
            parts.append(done[:, :left])
            left -= parts[-1].shape[1]
        self.reset()
        return np.concatenate(parts, axis=1)

    def _run(self, features: np.ndarray) -> np.ndarray:
        if self._frames.shape[1]:
            features = np.concatenate([self._frames, features], axis=1)
        size, graph = self._runner.frames, self._graph
        calls = features.shape[1] // size
        outputs = np.empty((graph.output.shape[1], calls * size), np.float32)
        for call in range(calls):
            at = slice(call * size, (call + 1) * size)
            graph.features[0] = features[:, at]
            if self._observe is not None:
                self._observe(graph.feeds())
            graph.run()
            outputs[:, at] = graph.output[0]
        self._frames = features[:, calls * size :].copy()
        skipped = min(self._late, outputs.shape[1])
        self._late -= skipped
        return outputs[:, skipped:]


class PatchStreamer(_Streamer):
    """Overlapping patches of a stream through a graph without memory.

    Notes
    -----
    Each call gives the outputs of ``frames_per_patch`` new frames, with
    ``context`` frames on both sides. The first patches start at the first
    frame and not before it: what lies there is the network's own padding, as
    offline, and not a history of zeros, which would cost quality. In the
    same way the last patch ends with the last frame. With a context of the
    receptive field all outputs are those of the offline form, provided that
    the clip is no shorter than a patch; a shorter one is filled up with
    zeros on the right.
    """

    def reset(self) -> None:
        """Forget the stream so far."""
        super().reset()
        self._first = 0  # number of the first frame that is kept
        self._done = 0  # outputs returned so far

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Take (channels, k) frames, return the (outputs, j) that are done."""
        parts, count = self._append(features), self._runner.frames_per_patch
        left, right = self._runner.context
        while self._end - self._done >= count + right:
            parts.append(self._patch(max(0, self._done - left), count))
        surplus = self._frames.shape[1] - self._runner.frames
        if surplus > 0:
            self._frames = self._frames[:, surplus:].copy()
            self._first += surplus
        return np.concatenate(parts, axis=1)

    def flush(self) -> np.ndarray:
        """Return the outputs still owed, by a patch up to the last frame."""
        rest = self._runner.no_output()
        if self._end > self._done:
            start = max(0, self._end - self._runner.frames)
            rest = self._patch(start, self._end - self._done)
        self.reset()
        return rest

    @property
    def _end(self) -> int:
        return self._first + self._frames.shape[1]

    def _patch(self, start: int, count: int) -> np.ndarray:
        """Return the next ``count`` outputs by the patch from ``start``."""
        at = start - self._first
        output = self._runner.call_padded(self._frames[:, at:], self._observe)
        offset = self._done - start
        self._done += count
        return output[:, offset : offset + count]


class WindowStreamer(_Streamer):
    """One output for each window of a stream, a hop from one to the next.

    Frames after the last whole window give none. A stream that is shorter
    than a window is repeated until it fills one.
    """

    def reset(self) -> None:
        """Forget the stream so far."""
        super().reset()
        self._started = False

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Take (channels, k) frames, return (classes, j) of whole windows."""
        parts = self._append(features)
        while self._frames.shape[1] >= self._runner.frames:
            parts.append(self._runner.call_padded(self._frames, self._observe))
            self._frames = self._frames[:, self._runner.frames_per_patch :]
            self._started = True
        return np.concatenate(parts, axis=1)

    def flush(self) -> np.ndarray:
        """Return (classes, 1) of a stream shorter than a window, else none."""
        output, held = self._runner.no_output(), self._frames
        if held.shape[1] and not self._started:
            times = -(-self._runner.frames // held.shape[1])
            output = self._runner.call_padded(
                np.tile(held, times), self._observe
            )
        self.reset()
        return output


class StepStreamer(_Streamer):
    """One output for each step of a stream that judges its last frames.

    The first outputs are those of a stream that was zero in every layer.
    """

    def reset(self) -> None:
        """Forget the stream so far."""
        super().reset()
        self._states = self._runner.zero_states()

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Take (channels, k) frames, return (classes, j) of whole steps."""
        parts, size = self._append(features), self._runner.frames
        while self._frames.shape[1] >= size:
            step = np.ascontiguousarray(self._frames[None, :, :size])
            feeds = {self._runner.input_name: step, **self._states}
            if self._observe is not None:
                self._observe(feeds)
            output, *states = self._runner.call(feeds)
            self._states = dict(zip(self._states, states, strict=True))
            parts.append(output.T)
            self._frames = self._frames[:, size:]
        return np.concatenate(parts, axis=1)

    def flush(self) -> np.ndarray:
        """Return (classes, 0): a step that is not whole gives no output."""
        self.reset()
        return self._runner.no_output()
