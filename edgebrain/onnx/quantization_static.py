"""A quantized file for a fixed number of frames, as boards want it."""

from pathlib import Path

from edgebrain.errors import UserError
from edgebrain.files import replacing
from edgebrain.onnx import files
from edgebrain.onnx import quantization_graph as graphs
from edgebrain.onnx.graph import Graph
from edgebrain.onnx.quantization import Source, check_target
from edgebrain.onnx.runner import OnnxRunner
from edgebrain.onnx.session import make_session
import numpy as np


def check_static(
    source: Source,
    target: str | Path,
    frames: int,
    axis: str | None,
    precision: str,
    overwrite: bool = False,
) -> None:
    """Refuse what :func:`write_static` would refuse, before any work."""
    if frames < 1:
        raise UserError(f"static_sequence_length: at least 1, not {frames}")
    graphs.fix_shapes(source.model, frames, axis, source.runner.input_name)
    check_target(source, target, precision, overwrite, "patch")


def write_static(
    source: Source,
    path: str | Path,
    target: str | Path,
    frames: int,
    axis: str | None = None,
    overwrite: bool = False,
) -> str:
    """Write a quantized offline file for a fixed number of frames.

    The target is a patch whose context is the receptive field where that
    leaves new frames; else it has none. Returns what the context is.
    """
    graph = Graph.read(path)
    model, card = graph.model, graph.metadata
    check_static(source, target, frames, axis, card.precision, overwrite)
    model = graphs.fix_shapes(model, frames, axis, source.runner.input_name)
    field_, ahead = card.receptive_field_frames, card.lookahead_frames or 0
    context, note = (0, 0), "without context: a patch sees nothing around it"
    if field_ is not None and field_ < frames:
        context = (max(field_ - 1 - ahead, 0), ahead)
        note = f"with a context of {context[0]} frames left, {ahead} right"
    card = card.replace(form="patch", context=context)
    files.write_card(model, card)
    data = model.SerializeToString()
    runner = OnnxRunner(Path(target), make_session(data), card)
    runner.run(np.ones((runner.channels, frames), np.float32))
    with replacing(target) as temporary:
        temporary.write_bytes(data)
    return note
