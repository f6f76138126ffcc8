"""Run an ONNX mask network of any form on magnitudes, in numpy.

Needs onnxruntime and onnx, not torch. The audio around it is not here.
"""

from collections.abc import Callable, Iterator, Mapping
import dataclasses
from pathlib import Path
from typing import Any

from edgebrain.errors import UserError, unknown_name
from edgebrain.onnx import files
from edgebrain.onnx.graph import Graph
from edgebrain.onnx.metadata import GraphMetadata
from edgebrain.onnx.session import make_session
from edgebrain.onnx.streamers import FrameStreamer, PatchStreamer
from edgebrain.signal import SignalSettings
import numpy as np

#: What a file without metadata cannot be run without.
REQUIRED_SETTINGS = ("sample_rate", "n_fft", "win_length", "hop_length")
_BLOCK = 512

Feeds = dict[str, np.ndarray]


class Runner:
    """An ONNX mask network with one session; see :func:`load_runner`.

    Attributes
    ----------
    path : Path
    metadata : GraphMetadata
        That of the file, or made of the settings given.
    form : str
        ``offline``, ``patch`` or ``stream``.
    frames : int or None
        Frames a call of the graph takes; None: any number.
    context : tuple of (int, int)
        Frames of a patch, left and right, whose masks are not used.
    frames_per_patch : int or None
        New frames a call gives.
    lookahead_frames : int or None
        Most frames that a streamer owes after a call; None: the offline
        form, which has no streamer.
    session : onnxruntime.InferenceSession
        Shared by all streamers; holds no state.
    """

    def __init__(self, path: Path, session, metadata: GraphMetadata):
        self.path = path
        self.session = session
        self.metadata = metadata
        self.form = metadata.form
        self.context = (0, 0)
        self.frames_per_patch = self.lookahead_frames = None
        self._check_graph()
        if self.form == "patch":
            self._set_up_patches()
        elif self.form == "stream":
            late = metadata.lookahead_frames or 0
            self.frames_per_patch = self.frames
            self.lookahead_frames = late + self.frames - 1

    @property
    def bins(self) -> int:
        """Frequency bins of input and output."""
        return self.metadata.signal.bins

    def mask(self, magnitude: np.ndarray) -> np.ndarray:
        """Return the mask of a whole clip, whatever the form.

        The patch form runs as on a board: so many new frames a call, each
        window with its true past and future as far as its context goes, and
        at both ends of the clip aligned with the end, where the network pads
        by itself. A clip shorter than a window is filled up with zeros. The
        stream form runs frame by frame from zeroed states.

        Arguments
        ---------
        magnitude : numpy.ndarray
            (bins, frames), already raised to the power of the settings.

        Returns
        -------
        numpy.ndarray
            float32, (bins, frames).

        Raises
        ------
        UserError
            When the magnitude has another shape, or the mask is not finite.
        """
        magnitude = self._checked(magnitude)
        if not magnitude.shape[1]:
            return magnitude
        if self.form == "offline":
            mask = self.call({self.input_name: magnitude[None]})[0][0]
        else:
            streamer = self.streamer()
            parts = [
                streamer(magnitude[:, start : start + _BLOCK])
                for start in range(0, magnitude.shape[1], _BLOCK)
            ]
            mask = np.concatenate([*parts, streamer.flush()], axis=1)
        if not np.isfinite(mask).all():
            raise UserError(
                f"{self.path}: the mask holds NaN or infinity: check the "
                "weights, and the input"
            )
        return mask

    def streamer(self, observe: Callable[[Feeds], None] | None = None):
        """Return a fresh mask callable with a memory of its own.

        Arguments
        ---------
        observe : callable, optional
            Is given the inputs of each call of the graph.

        Returns
        -------
        FrameStreamer or PatchStreamer
            ``(bins, k) -> (bins, j)`` with ``flush()`` and ``reset()``, as
            a streaming masker takes it together with ``lookahead_frames``.

        Raises
        ------
        UserError
            For the offline form.
        """
        if self.form == "patch":
            return PatchStreamer(self, observe)
        if self.form == "stream":
            return FrameStreamer(self, observe)
        raise UserError(
            f"{self.path}: the offline form needs the whole clip: take the "
            "stream or the patch form for a stream"
        )

    def iter_feeds(self, magnitude: np.ndarray) -> Iterator[Feeds]:
        """Yield the inputs of each call of the graph as a clip is run.

        States are those that the clip leads to. For calibration.

        Arguments
        ---------
        magnitude : numpy.ndarray
            (bins, frames).
        """
        magnitude = self._checked(magnitude)
        if self.form == "offline":
            yield {self.input_name: magnitude[None]}
            return
        seen: list[Feeds] = []
        streamer = self.streamer(seen.append)
        for frame in range(magnitude.shape[1]):
            streamer(magnitude[:, frame : frame + 1])
            yield from seen
            seen.clear()
        streamer.flush()
        yield from seen

    def call(self, feeds: Feeds) -> list[np.ndarray]:
        """Run the graph once: mask first, then the new states.

        Raises
        ------
        UserError
            When the mask has another shape than the magnitude.
        """
        results = self.session.run(self._output_names, feeds)
        shape = feeds[self.input_name].shape
        if results[0].shape != shape:
            raise self._no_mask(results[0].shape, shape)
        return results

    def check_mask_shape(self, shape: tuple[int, ...]) -> str:
        """Return the name of the mask output of a graph with fixed shapes.

        Raises
        ------
        UserError
            When the graph says that it has another shape than ``shape``.
        """
        name = self._output_names[0]
        shapes = {v.name: tuple(v.shape) for v in self.session.get_outputs()}
        fixed = all(isinstance(size, int) for size in shapes[name])
        if fixed and shapes[name] != shape:
            raise self._no_mask(shapes[name], shape)
        return name

    def _no_mask(self, got, wanted) -> UserError:
        return UserError(
            f"{self.path}: the mask has shape {got}, the magnitude {wanted}: "
            "this is no mask network"
        )

    def zero_states(self) -> Feeds:
        """Return the states in front of a clip, by input name."""
        return {
            state["input"]: np.zeros(state["shape"], np.float32)
            for state in self.metadata.states
        }

    def _checked(self, magnitude: np.ndarray) -> np.ndarray:
        magnitude = np.asarray(magnitude)
        if magnitude.ndim != 2 or magnitude.shape[0] != self.bins:
            raise UserError(
                f"{self.path}: a magnitude has shape {magnitude.shape}, "
                f"expected ({self.bins}, frames)"
            )
        return np.ascontiguousarray(magnitude, np.float32)

    def _check_graph(self) -> None:
        """Compare the graph with what the metadata says of it."""
        inputs = {value.name: value for value in self.session.get_inputs()}
        outputs = [value.name for value in self.session.get_outputs()]
        states = self.metadata.states
        stated = {state["input"] for state in states}
        free = [name for name in inputs if name not in stated]
        new = [state["output"] for state in states]
        masks = [name for name in outputs if name not in new]
        if (
            not stated <= set(inputs)
            or not set(new) <= set(outputs)
            or (len(free), len(masks)) != (1, 1)
        ):
            raise UserError(
                f"{self.path}: the graph has the inputs {list(inputs)} and "
                f"the outputs {outputs}; expected one magnitude and one mask "
                f"besides the states in its metadata ({sorted(stated)})"
            )
        self.input_name = free[0]
        self._output_names = [masks[0], *new]
        kinds = {v.type for v in inputs.values()} - {"tensor(float)"}
        if kinds:
            raise UserError(
                f"{self.path}: inputs are {', '.join(kinds)}; expected "
                "float32 (a quantized file keeps float inputs and outputs)"
            )
        self.frames = _frames(
            self.path, inputs[self.input_name].shape, self.bins
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

    def _set_up_patches(self) -> None:
        self.context = self.metadata.context or (0, 0)
        left, right = self.context
        self.frames_per_patch = self.frames - left - right
        if self.frames_per_patch < 1:
            raise UserError(
                f"{self.path}: of {self.frames} frames a patch, {left} and "
                f"{right} are context: no new frame is left"
            )
        self.lookahead_frames = self.frames_per_patch + right - 1


def load_runner(
    path: str | Path,
    *,
    threads: int = 1,
    context: int | tuple[int, int] | None = None,
    **settings: Any,
) -> Runner:
    """Return the runner of an ONNX file.

    Arguments
    ---------
    path : str or Path
    threads : int
    context : int or tuple of (int, int), optional
        Of a file without metadata that takes a fixed number of frames: on
        both sides, or left and right. 0 when not given.
    **settings
        Fields of :class:`edgebrain.signal.SignalSettings`. A file without
        metadata needs at least sample_rate, n_fft, win_length, hop_length; with
        metadata none is needed, and one that contradicts is refused.

    Returns
    -------
    Runner

    Raises
    ------
    UserError
        When it is no ONNX file, its graph is no mask network, its weights
        are not finite, or settings are missing, unknown or contradict.
    """
    path = Path(path)
    graph = Graph.read(path)
    files.check_finite(graph.model, str(path))
    metadata = graph.metadata
    _check_names(settings)
    session = make_session(path, threads)
    if metadata is None:
        metadata = _from_settings(path, session, context, settings)
        metadata = metadata.replace(precision=graph.precision)
    else:
        _check_agreement(path, metadata, context, settings)
    return Runner(path, session, metadata)


def _check_names(settings: Mapping[str, Any]) -> None:
    known = [f.name for f in dataclasses.fields(SignalSettings)]
    for name in settings:
        if name not in known:
            raise unknown_name("signal setting", name, known)


def _check_agreement(path, metadata, context, settings) -> None:
    problems = [
        f"{name}: {getattr(metadata.signal, name)} there, {value} given"
        for name, value in settings.items()
        if value is not None and value != getattr(metadata.signal, name)
    ]
    if context is not None and _sides(context) != metadata.context:
        problems.append(f"context: {metadata.context} there, {context} given")
    if problems:
        raise UserError.collect(
            f"{path}: its metadata say otherwise; leave the settings out",
            problems,
        )


def _from_settings(path, session, context, settings) -> GraphMetadata:
    inputs = session.get_inputs()
    if len(inputs) != 1:
        names = ", ".join(value.name for value in inputs)
        raise UserError(
            f"{path}: {len(inputs)} inputs ({names}) and no metadata that "
            "says which are states: export it with export_onnx.py, or give "
            "a model with one input"
        )
    missing = [n for n in REQUIRED_SETTINGS if settings.get(n) is None]
    if missing:
        raise UserError(
            f"{path}: the file has no metadata: give {', '.join(missing)} "
            "(as its training used them)"
        )
    given = {k: v for k, v in settings.items() if v is not None}
    signal = SignalSettings.from_dict(given)
    fixed = _frames(path, inputs[0].shape, signal.bins) is not None
    return GraphMetadata(
        model_class="",
        model_arguments=None,
        signal=signal,
        checkpoint_sha256="",
        form="patch" if fixed else "offline",
        lookahead_frames=None,
        context=_sides(context or 0) if fixed else None,
    )


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


def _frames(path, shape: list, bins: int) -> int | None:
    """Return the frames of an input shape, None where any number."""
    if len(shape) != 3:
        raise UserError(
            f"{path}: the input has shape {shape}, expected three dimensions "
            "(batch, bins, frames)"
        )
    if isinstance(shape[0], int) and shape[0] != 1:
        raise UserError(
            f"{path}: the input has the fixed batch size {shape[0]}, "
            "expected 1 or any"
        )
    if isinstance(shape[1], int) and shape[1] != bins:
        raise UserError(
            f"{path}: the input has {shape[1]} bins, the signal settings "
            f"give {bins} (n_fft // 2 + 1): change n_fft, or the order of the "
            "dimensions must be (batch, bins, frames)"
        )
    return shape[2] if isinstance(shape[2], int) else None
