"""What a quantizer learns ranges from: real audio, run as the form runs.

A stream is fed with the states that the float network itself comes to on
each clip: calibrating a recurrent cell on zeros costs most of its quality.
"""

from collections.abc import Iterable, Iterator, Mapping
import contextlib
from dataclasses import dataclass
import io
from pathlib import Path
import tempfile

from edgebrain import tasks
from edgebrain.data import audio
from edgebrain.data.layout import find_audio
from edgebrain.errors import UserError
from edgebrain.onnx.runner import OnnxRunner
from edgebrain.onnx.session import make_session
from edgebrain.tasks import Setup
import numpy as np
import onnx
from onnxruntime.quantization.calibrate import (
    CalibrationDataReader,
    CalibrationMethod,
    create_calibrator,
)

METHODS = ("MinMax", "Entropy", "Percentile")
#: Audio that a calibration needs at the least.
LEAST_SECONDS = 1.0
_HELD_OUT = 5

#: Tensor to its least and greatest value.
Ranges = dict[str, tuple[float, float]]


@dataclass(frozen=True)
class Clips:
    """Features (channels, frames) of real audio.

    Ranges are learnt from ``calibration``, the quantized network is compared
    on ``held_out``. ``separate`` tells whether the two share no clip; a
    folder with one clip has no other.
    """

    calibration: tuple[np.ndarray, ...]
    held_out: tuple[np.ndarray, ...]
    separate: bool


def read_clips(
    folder: str | Path,
    setup: Setup,
    count: int = 100,
    seed: int = 42,
    clip_seconds: float = 4.0,
) -> Clips:
    """Read calibration and held-out clips out of a folder of recordings.

    Arguments
    ---------
    folder : str or Path
        Searched with all its folders; any sample rate.
    count : int
        Clips for the calibration, drawn at random by ``seed``.
    clip_seconds : float
        Longest part of a clip that is used.
    """
    paths = check_calibration(folder)
    rng = np.random.default_rng(seed)
    paths = [paths[i] for i in rng.permutation(len(paths))]
    held = min(_HELD_OUT, max(1, len(paths) // 5))
    count = min(count, max(len(paths) - held, 1))
    rate, task = setup.signal.sample_rate, tasks.find(setup.task)
    waves = [
        _read_part(path, rate, clip_seconds, rng)
        for path in paths[: count + held]
    ]
    seconds = sum(map(len, waves[:count])) / rate
    if seconds < LEAST_SECONDS:
        raise UserError(
            f"calibration folder {folder}: too short, {seconds:.2f} s of "
            f"audio for the calibration, at least {LEAST_SECONDS:g} s are "
            "needed"
        )
    clips = tuple(task.features(wav, setup) for wav in waves)
    separate = len(clips) > count
    return Clips(clips[:count], clips[count:] if separate else clips, separate)


def check_calibration(folder: str | Path) -> list[Path]:
    """Return the recordings of a folder; read none."""
    if not Path(folder).is_dir():
        what = "is a file" if Path(folder).exists() else "no such folder"
        raise UserError(
            f"calibration folder {folder}: {what}; give a folder of "
            "recordings like those of the training"
        )
    paths = list(find_audio(folder).files.values())
    if not paths:
        raise UserError(
            f"calibration folder {folder}: holds no audio file; give a "
            "folder of recordings like those of the training"
        )
    return paths


def _read_part(path, sample_rate, seconds, rng) -> np.ndarray:
    info = audio.inspect(path)
    wanted = round(seconds * info.sample_rate)
    spare = max(info.frames - wanted, 0)
    start = int(rng.integers(spare + 1))
    if not info.frames:
        raise UserError(f"{path}: holds no sample; remove the file")
    frames = min(wanted, info.frames)
    return audio.read_at(path, sample_rate, start, frames)


class FeedReader(CalibrationDataReader):
    """The inputs of each call of a graph, one after the other."""

    def __init__(self, feeds: Iterable[dict[str, np.ndarray]]):
        self._feeds = iter(feeds)

    def get_next(self) -> dict | None:
        """Return the next inputs, None after the last."""
        return next(self._feeds, None)


def collect_ranges(
    model: onnx.ModelProto,
    runner: OnnxRunner,
    clips: Iterable[np.ndarray],
    method: str = "MinMax",
    average: bool = False,
    options: Mapping | None = None,
) -> Ranges:
    """Return the range of each float tensor by onnxruntime's calibrators.

    Arguments
    ---------
    runner : OnnxRunner
        Of the same network; threads the states of a stream.
    method : str
        One of ``METHODS``.
    average : bool
        MinMax: the mean over clips of each clip's extremes, not the extremes
        of all. What one clip in a hundred reaches is cut off then, and all
        others are finer. For a stream too a clip counts once: the mean over
        single frames would cut off most of the speech.
    options : mapping, optional
        ``symmetric``, ``percentile``, ``num_bins`` of the calibrators.
    """
    quiet = contextlib.redirect_stdout(io.StringIO())
    with tempfile.TemporaryDirectory() as folder, quiet:
        source = Path(folder, "model.onnx")
        onnx.save(model, source)
        calibrator = create_calibrator(
            source,
            augmented_model_path=str(Path(folder, "augmented.onnx")),
            calibrate_method=CalibrationMethod[method],
            extra_options=dict(options or {}),
        )
        found: dict[str, list] = {}
        for clip in clips:
            if method == "MinMax":
                # Start anew: ranges are joined here, clip by clip.
                calibrator.calibrate_tensors_range = None
            calibrator.collect_data(FeedReader(runner.iter_feeds(clip)))
            if method == "MinMax":
                _add(found, calibrator.compute_data())
        if method != "MinMax":
            _add(found, calibrator.compute_data())
    ranges = {}
    for name, pairs in found.items():
        low, high = np.array(pairs, np.float64).T
        if average:
            ranges[name] = (float(low.mean()), float(high.mean()))
        else:
            ranges[name] = (float(low.min()), float(high.max()))
    return ranges


def _add(found: dict[str, list], data) -> None:
    for name, tensor in data.items():
        low, high = tensor.range_value
        pair = (float(np.min(low)), float(np.max(high)))
        found.setdefault(name, []).append(pair)


def run_tensors(
    model: onnx.ModelProto,
    runner: OnnxRunner,
    clip: np.ndarray,
    names: Iterable[str],
) -> Iterator[dict[str, np.ndarray]]:
    """Yield the values of named tensors of a float graph, a call at a time."""
    names = list(names)
    model = onnx.ModelProto.FromString(model.SerializeToString())
    graph = model.graph
    values = {v.name: v for v in [*graph.value_info, *graph.output]}
    inputs = {value.name for value in graph.input}
    wanted = [name for name in names if name not in inputs]
    del graph.output[:]
    graph.output.extend(values[name] for name in wanted)
    session = make_session(model.SerializeToString())
    for feeds in runner.iter_feeds(clip):
        outputs = session.run(wanted, feeds) if wanted else []
        found = {**feeds, **dict(zip(wanted, outputs, strict=True))}
        yield {name: np.asarray(found[name]) for name in names}
