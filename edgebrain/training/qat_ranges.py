"""Find the ranges that a quantization-aware training learnt in a graph.

A point of the network and a tensor of the exported graph are the same thing
when they hold the same numbers: both run on the same real frames, in float,
and are compared. That needs no table of names and holds for any network.
"""

from pathlib import Path

from edgebrain.errors import UserError
from edgebrain.onnx.quantization import Source
from edgebrain.onnx.quantization_calibration import Ranges, run_tensors
from edgebrain.onnx.quantization_graph import float_tensors
from edgebrain.signal.probe import probe_magnitude
from edgebrain.training.qat import QuantizationAware
from edgebrain.training.results import load_model
import numpy as np
import torch

#: File of a checkpoint with the ranges.
RANGES_FILE = "quantizer.ckpt"
_FRAMES = 64
_TOLERANCE = 1e-3


def learned_ranges(
    results: str | Path, source: Source, precision: str
) -> Ranges:
    """Return the learnt ranges by the names of a graph's tensors.

    ``results`` is the folder of the training, or one of its checkpoints;
    ``source`` a file exported from the best one.
    """
    loaded = load_model(results)
    path = loaded.info.checkpoint / RANGES_FILE
    if not path.is_file():
        raise UserError(
            f"{results}: was not trained with quantization_aware: it has no "
            f"{RANGES_FILE}"
        )
    if source.metadata.checkpoint_sha256 != loaded.sha256:
        raise UserError(
            f"{source.path}: was not exported from {loaded.info.checkpoint}: "
            "export it again"
        )
    quantizer = QuantizationAware(precision)
    quantizer.attach(loaded.model)
    quantizer.load(path)
    return match(quantizer, loaded.model, source)


def match(quantizer: QuantizationAware, model, source: Source) -> Ranges:
    """Return the ranges of those tensors that equal a point."""
    frames = source.runner.frames if source.runner.form == "patch" else _FRAMES
    probe = probe_magnitude(source.metadata.signal, frames)
    values = quantizer.record(model, torch.from_numpy(probe[None]))
    rows = {
        name: _rows(value.numpy())
        for name, value in values.items()
        if bool(quantizer.points[name].seen)
    }
    names = sorted(float_tensors(source.model))
    calls = list(run_tensors(source.model, source.runner, probe, names))
    if source.runner.form == "patch":
        calls = calls[-1:]  # the one whose window is the whole probe
    found = {}
    for name in names:
        parts = [_rows(call[name]) for call in calls]
        if any(part is None for part in parts):
            continue
        tensor = np.concatenate(parts)
        for point, wanted in rows.items():
            if _same(tensor, wanted, source.runner.frames or 1):
                fake = quantizer.points[point]
                found[name] = (float(fake.low), float(fake.high))
                break
    return found


def _rows(value: np.ndarray) -> np.ndarray | None:
    """Return (1, channels, frames) or (1, channels) as (frames, channels)."""
    if value.ndim == 3 and value.shape[0] == 1:
        return value[0].T
    if value.ndim == 2 and value.shape[0] == 1:
        return value
    return None


def _same(tensor: np.ndarray, wanted: np.ndarray, step: int) -> bool:
    """Tell whether two tensors are one, frame by frame.

    The cells of a stream of several frames a call each hold every so-many-th
    frame. Where one holds more frames at its end (look-ahead), those do not
    count.
    """
    if tensor.shape[1] != wanted.shape[1]:
        return False
    candidates = [wanted]
    if step > 1:
        candidates += [wanted[first::step] for first in range(step)]
    for candidate in candidates:
        if abs(len(candidate) - len(tensor)) >= min(
            len(candidate), len(tensor)
        ):
            continue
        count = min(len(candidate), len(tensor))
        reach = float(np.abs(candidate[:count]).max(initial=0.0))
        error = float(np.abs(candidate[:count] - tensor[:count]).max())
        if reach > 0 and error <= _TOLERANCE * reach:
            return True
    return False
