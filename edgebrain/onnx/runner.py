"""Run an ONNX network of any form on features, in numpy.

Needs onnxruntime and onnx, not torch. The audio around it is not here.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from edgebrain import tasks
from edgebrain.errors import UserError, unknown_name
from edgebrain.onnx.blocks import BlockStreamer
from edgebrain.onnx.graph import Graph
from edgebrain.onnx.metadata import GraphMetadata
from edgebrain.onnx.session import make_session
from edgebrain.onnx.streamers import (
    FrameStreamer,
    PatchStreamer,
    StepStreamer,
    WindowStreamer,
)
from edgebrain.runners import Streamer
from edgebrain.signal import SignalSettings
import numpy as np

#: What a file without metadata cannot be run without.
REQUIRED_SETTINGS = ("sample_rate", "n_fft", "win_length", "hop_length")

Feeds = dict[str, np.ndarray]


class OnnxRunner:
    """An ONNX network with one session; see :func:`load_runner`.

    A :class:`edgebrain.runners.Runner`.

    Attributes
    ----------
    metadata : GraphMetadata
        That of the file, or made of the settings given.
    channels : int
        Of the features: frequency bins, mel bands.
    frames : int or None
        Frames a call of the graph takes; None: any number.
    windows : bool
        Whether a call gives one output for all its frames, not one a frame.
    context : tuple of (int, int)
        Frames of a patch, left and right, whose outputs are not used; of a
        window those that lie in the window before too.
    frames_per_patch : int or None
        New frames a call takes.
    lookahead_frames : int or None
        Most frames that a streamer owes after a call; None: the offline
        form, which goes in blocks.
    session : onnxruntime.InferenceSession
        Shared by all streamers; holds no state.
    """

    def __init__(self, path: Path, session, metadata: GraphMetadata):
        self.path = path
        self.session = session
        self.metadata = metadata
        self.setup = metadata.setup
        self.form, self.precision = metadata.form, metadata.precision
        self._interface = tasks.find(metadata.task).interface(None, self.setup)
        self.channels = self._interface.input.shape[0]
        self.context = (0, 0)
        self.frames_per_patch = self.lookahead_frames = None
        self._check_graph()
        if self.form == "patch":
            self.context = left, right = metadata.context or (0, 0)
            self.frames_per_patch = self.frames - left - right
            if self.frames_per_patch < 1:
                raise UserError(
                    f"{path}: of {self.frames} frames a patch, {left} and "
                    f"{right} are context: no new frame is left"
                )
            ahead = left if self.windows else 0
            self.lookahead_frames = self.frames_per_patch + right - 1 + ahead
        elif self.form == "stream":
            late = metadata.lookahead_frames or 0
            self.frames_per_patch = self.frames
            self.lookahead_frames = late + self.frames - 1

    def facts(self) -> dict[str, Any]:
        """Return what tells it from others, for metrics.json."""
        return self.metadata.facts()

    def run(self, features: np.ndarray) -> np.ndarray:
        """Return the outputs for a whole clip, whatever the form.

        The patch form runs as on a board: so many new frames a call, each
        patch with its true past and future as far as its context goes, and
        at both ends of the clip aligned with the end, where the network pads
        by itself. A clip shorter than a patch is filled up with zeros, one
        shorter than a window repeated. The stream form runs frame by frame
        from zeroed states.

        Arguments
        ---------
        features : numpy.ndarray
            (channels, frames).

        Returns
        -------
        numpy.ndarray
            float32, (outputs, frames), or (classes, windows).
        """
        features = self._checked(features)
        if not features.shape[1]:
            return self.no_output()
        if self.form == "offline":
            output = self.call({self.input_name: features[None]})[0][0]
            output = output.reshape(len(output), -1)
        else:
            streamer = self.streamer()
            parts = [streamer(features), streamer.flush()]
            output = np.concatenate(parts, axis=1)
        if not np.isfinite(output).all():
            raise UserError(
                f"{self.path}: the output holds NaN or infinity: check the "
                "weights, and the input"
            )
        return output

    def streamer(
        self, observe: Callable[[Feeds], None] | None = None
    ) -> Streamer:
        """Return a fresh streamer with a memory of its own.

        ``observe`` is given the inputs of each call of the graph; not of the
        offline form.
        """
        if self.form == "offline":
            card = self.metadata
            return BlockStreamer(
                self.run,
                self._outputs,
                card.receptive_field_frames,
                card.lookahead_frames,
            )
        if self.form == "stream":
            kind = StepStreamer if self.windows else FrameStreamer
            return kind(self, observe)
        return (WindowStreamer if self.windows else PatchStreamer)(
            self, observe
        )

    def iter_feeds(self, features: np.ndarray) -> Iterator[Feeds]:
        """Yield the inputs of each call as (channels, frames) are run.

        States are those that the clip leads to. For calibration.
        """
        features = self._checked(features)
        if self.form == "offline":
            yield {self.input_name: features[None]}
            return
        seen: list[Feeds] = []
        streamer = self.streamer(seen.append)
        for frame in range(features.shape[1]):
            streamer(features[:, frame : frame + 1])
            yield from seen
            seen.clear()
        streamer.flush()
        yield from seen

    def call(self, feeds: Feeds) -> list[np.ndarray]:
        """Run the graph once: the output first, then the new states."""
        results = self.session.run(self._output_names, feeds)
        batch, _, frames = feeds[self.input_name].shape
        self._check_output(results[0].shape, batch, frames)
        return results

    def call_padded(
        self, features: np.ndarray, observe: Callable | None = None
    ) -> np.ndarray:
        """Run a patch or window from the first of the frames (channels, k).

        What is missing is filled up with zeros. Returns (outputs, frames), or
        (classes, 1).
        """
        patch = np.zeros((1, self.channels, self.frames), np.float32)
        seen = features[:, : self.frames]
        patch[0, :, : seen.shape[1]] = seen
        feeds = {self.input_name: patch}
        if observe is not None:
            observe(feeds)
        output = self.call(feeds)[0][0]
        return output.reshape(len(output), -1)

    def no_output(self) -> np.ndarray:
        """Return (outputs, 0)."""
        return np.zeros((self._outputs, 0), np.float32)

    def fixed_output(self) -> tuple[str, tuple[int, ...]]:
        """Return name and shape of the output of a stream."""
        name = self._output_names[0]
        shapes = {v.name: tuple(v.shape) for v in self.session.get_outputs()}
        if all(isinstance(size, int) for size in shapes[name]):
            self._check_output(shapes[name], 1, self.frames)
        return name, (1, self._outputs, self.frames)

    @property
    def _outputs(self) -> int:
        return self._interface.output.shape[0]

    def _check_output(self, got: tuple, batch: int, frames: int) -> None:
        port = self._interface.output
        allowed = [(batch, self._outputs, frames)]
        if not port.per_frame:
            allowed.append((batch, self._outputs))
        if tuple(got) not in allowed:
            raise UserError(
                f"{self.path}: the output has shape {tuple(got)}, expected "
                f"{' or '.join(map(str, allowed))}: this is no {port.name} "
                "network"
            )

    def zero_states(self) -> Feeds:
        """Return the states in front of a clip, by input name."""
        return {
            state["input"]: np.zeros(state["shape"], np.float32)
            for state in self.metadata.states
        }

    def _checked(self, features: np.ndarray) -> np.ndarray:
        features = np.asarray(features)
        if features.ndim != 2 or features.shape[0] != self.channels:
            raise UserError(
                f"{self.path}: the input has shape {features.shape}, "
                f"expected ({self.channels}, frames)"
            )
        return np.ascontiguousarray(features, np.float32)

    def _check_graph(self) -> None:
        """Compare the graph with what the metadata says of it."""
        inputs = {value.name: value for value in self.session.get_inputs()}
        outputs = {value.name: value for value in self.session.get_outputs()}
        states = self.metadata.states
        stated = {state["input"] for state in states}
        free = [name for name in inputs if name not in stated]
        new = [state["output"] for state in states]
        results = [name for name in outputs if name not in new]
        if (
            not stated <= set(inputs)
            or not set(new) <= set(outputs)
            or (len(free), len(results)) != (1, 1)
        ):
            raise UserError(
                f"{self.path}: the graph has the inputs {list(inputs)} and "
                f"the outputs {list(outputs)}; expected one of each besides "
                f"the states in its metadata ({sorted(stated)})"
            )
        self.input_name = free[0]
        self._output_names = [results[0], *new]
        self.windows = len(outputs[results[0]].shape) == 2
        kinds = {v.type for v in inputs.values()} - {"tensor(float)"}
        if kinds:
            raise UserError(
                f"{self.path}: inputs are {', '.join(kinds)}; expected "
                "float32 (a quantized file keeps float inputs and outputs)"
            )
        self.frames = _frames(
            self.path, inputs[self.input_name].shape, self.channels
        )
        if self.form == "stream" and self.frames is None:
            raise UserError(
                f"{self.path}: a stream needs a fixed number of frames: fix "
                "the shape of the input"
            )
        if self.form == "offline" and self.frames is not None:
            self.form = "patch"
        elif self.form == "patch" and self.frames is None:
            self.form = "offline"


def load_runner(
    path: str | Path,
    *,
    threads: int = 1,
    context: int | tuple[int, int] | None = None,
    **settings: Any,
) -> OnnxRunner:
    """Return the runner of an ONNX file.

    Arguments
    ---------
    context : int or tuple of (int, int), optional
        Of a file without metadata that takes a fixed number of frames: on
        both sides, or left and right. 0 when not given.
    **settings
        Fields of :class:`edgebrain.signal.SignalSettings`. A file without
        metadata needs at least sample_rate, n_fft, win_length, hop_length; with
        metadata none is needed, and one that contradicts is refused.

    Raises
    ------
    UserError
        When it is no ONNX file, its graph is no network of its task, its
        weights are not finite, or settings are missing, unknown or contradict.
    """
    path = Path(path)
    graph = Graph.read(path)
    graph.check_finite()
    session, card = make_session(path, threads), graph.metadata
    given = {k: v for k, v in settings.items() if v is not None}
    if card is not None:
        there, problems = card.signal.to_dict(), []
        for name, value in given.items():
            if name not in there:
                raise unknown_name("signal setting", name, there)
            if value != there[name]:
                problems.append(f"{name}: {there[name]} there, {value} given")
        if context is not None and _sides(context) != card.context:
            problems.append(f"context: {card.context} there, {context} given")
        if problems:
            raise UserError.collect(
                f"{path}: its metadata say otherwise; leave the settings out",
                problems,
            )
        return OnnxRunner(path, session, card)
    missing = [n for n in REQUIRED_SETTINGS if n not in given]
    if missing:
        raise UserError(
            f"{path}: the file has no metadata: give {', '.join(missing)} "
            "(as its training used them)"
        )
    inputs = session.get_inputs()
    if len(inputs) != 1:
        names = ", ".join(value.name for value in inputs)
        raise UserError(
            f"{path}: {len(inputs)} inputs ({names}) and no metadata that "
            "says which are states: export it with export_onnx.py, or give "
            "a model with one input"
        )
    signal = SignalSettings.from_dict(given)
    fixed = _frames(path, inputs[0].shape, signal.bins) is not None
    card = GraphMetadata(
        model_class="",
        model_arguments=None,
        signal=signal,
        checkpoint_sha256="",
        form="patch" if fixed else "offline",
        precision=graph.precision,
        lookahead_frames=None,
        context=_sides(context or 0) if fixed else None,
    )
    return OnnxRunner(path, session, card)


def _sides(context: int | tuple[int, int]) -> tuple[int, int]:
    if isinstance(context, int):
        context = (context, context)
    sides = tuple(context)
    if len(sides) != 2 or not all(isinstance(n, int) and n >= 0 for n in sides):
        raise UserError(
            f"context must be a number of frames from 0, or one left and one "
            f"right, not {context!r}"
        )
    return sides


def _frames(path, shape: list, channels: int) -> int | None:
    """Return the frames of an input shape, None where any number."""
    if len(shape) != 3:
        raise UserError(
            f"{path}: the input has shape {shape}, expected three dimensions "
            "(batch, channels, frames)"
        )
    if isinstance(shape[0], int) and shape[0] != 1:
        raise UserError(
            f"{path}: the input has the fixed batch size {shape[0]}, "
            "expected 1 or any"
        )
    if isinstance(shape[1], int) and shape[1] != channels:
        raise UserError(
            f"{path}: the input has {shape[1]} channels, the settings give "
            f"{channels} (n_fft // 2 + 1 bins, or mel bands): change them, or "
            "the order of the dimensions must be (batch, channels, frames)"
        )
    return shape[2] if isinstance(shape[2], int) else None
