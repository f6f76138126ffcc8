"""What a quantization did: nodes left in float, sizes, SNR, outliers."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgebrain import tasks
from edgebrain.onnx import quantization_graph as graphs
from edgebrain.onnx.quantization_calibration import run_tensors
import numpy as np
import onnx

_QDQ = ("QuantizeLinear", "DequantizeLinear")
#: Fraction of values that a range ought to be made for.
_BULK = 0.999
#: A range so many times wider than that of the bulk is ruled by outliers.
_OUTLIER_FACTOR = 6.0
_CLIPS, _VALUES = 3, 200_000


@dataclass(frozen=True)
class Report:
    """What a quantization did.

    Nodes left in float have a reason. The SNR in dB, a clip each, is that of
    the result (:meth:`edgebrain.tasks.Task.result`) against that of the float
    network; ``held_out`` tells whether those clips were not used for the
    calibration. Warnings name layers whose range is ruled by outliers.
    """

    source: Path
    target: Path
    precision: str
    form: str
    float_nodes: dict[str, str]
    bytes_before: int
    bytes_after: int
    weights_before: int
    weights_after: int
    snr_db: tuple[float, ...]
    held_out: bool
    warnings: tuple[str, ...] = ()

    def text(self) -> str:
        """Return the report for people."""
        clips = "held-out clip" if self.held_out else "calibration clip"
        clips += "s" if len(self.snr_db) != 1 else ""
        loop = ", states in a closed loop" if self.form == "stream" else ""
        rows = {
            "file": f"{self.bytes_before:,} -> {self.bytes_after:,} bytes",
            "weights": f"{self.weights_before:,} -> {self.weights_after:,} "
            "bytes",
            "output SNR": f"{np.mean(self.snr_db):.1f} dB against float, "
            f"worst clip {min(self.snr_db):.1f} dB ({len(self.snr_db)} "
            f"{clips}{loop})",
        }
        lines = [f"{self.form} {self.precision}: {self.target}"]
        lines += [f"  {label:<12}{text}" for label, text in rows.items()]
        if not self.held_out:
            lines.append(
                "  warning: the folder holds a single clip, so the SNR is that "
                "of the calibration itself"
            )
        if self.float_nodes:
            lines.append("  left in float")
        lines += [f"    {n}: {why}" for n, why in self.float_nodes.items()]
        lines += [f"  warning: {warning}" for warning in self.warnings]
        return "\n".join(lines)


def float_nodes(
    before: onnx.ModelProto,
    after: onnx.ModelProto,
    kept: Mapping[str, str],
    operators: Iterable[str],
) -> dict[str, str]:
    """Return the nodes that stay float, and why.

    A node is quantized when all its float inputs come out of integers and
    its outputs go into integers alone. One that computes shapes is none of
    either. ``kept`` are those kept float on purpose, and why.
    """
    left, tensors = {}, graphs.float_tensors(before)
    makers = {o: node.op_type for node in after.graph.node for o in node.output}
    users: dict[str, set[str]] = {}
    for node in after.graph.node:
        for name in node.input:
            users.setdefault(name, set()).add(node.op_type)
    outputs = {value.name for value in after.graph.output}
    nodes = {n.name: n for n in after.graph.node if n.op_type not in _QDQ}
    for node in before.graph.node:
        floats = [o for o in node.output if o in tensors]
        if not floats or node.name not in nodes:
            continue  # of shapes, or merged with the node before
        now = nodes[node.name]
        moving = {makers.get(name) for name in now.input if name}
        if node.op_type in graphs.WEIGHTED | {"Add", "Mul", "Sub", "Div"}:
            inside = moving == {"DequantizeLinear"}
        else:
            inside = "DequantizeLinear" in moving
        ends = {kind for o in now.output for kind in users.get(o, ())}
        if (
            inside
            and ends <= {"QuantizeLinear"}
            and not (outputs & set(now.output))
        ):
            continue
        if node.name in kept:
            why = kept[node.name]
        elif node.op_type in ("LSTM", "GRU", "RNN"):
            why = (
                f"onnxruntime quantizes no {node.op_type}: take the stream "
                "form, where it is written as a cell"
            )
        elif node.op_type not in set(operators):
            why = f"operator {node.op_type} is not among those quantized"
        else:
            why = "its neighbours are float"
        left[node.name] = why
    return left


def output_snr(float_runner, runner, clips: Iterable[np.ndarray]) -> tuple:
    """Return the SNR in dB of the result of each clip (channels, frames).

    Both networks run as their form runs: a stream goes on from its own
    states, so errors that build up in them count.
    """
    task, ratios = tasks.find(runner.setup.task), []
    for clip in clips:
        wanted, got = (
            task.result(clip, r.run(clip)) for r in (float_runner, runner)
        )
        error = got - wanted.astype(np.float64)
        power = (
            np.square(wanted, dtype=np.float64).sum(),
            np.square(error).sum(),
        )
        ratios.append(10 * np.log10((power[0] + 1e-20) / (power[1] + 1e-20)))
    return tuple(float(ratio) for ratio in ratios)


def range_warnings(
    source,
    clips: Sequence[np.ndarray],
    ranges: dict[str, tuple[float, float]],
    quantized: onnx.ModelProto,
) -> tuple[str, ...]:
    """Return a line for each tensor whose range is ruled by outliers.

    Of the clips the first few are run.
    """
    used = {
        node.input[0].removesuffix("_QuantizeLinear_Input")
        for node in quantized.graph.node
        if node.op_type == "QuantizeLinear"
    }
    names = [name for name in ranges if name in used]
    bulk = _bulk(source, clips[:_CLIPS], names)
    lines = []
    for name in names:
        low, high = ranges[name]
        reach = max(-low, high)
        if bulk[name] > 0 and reach > _OUTLIER_FACTOR * bulk[name]:
            lines.append(
                f"{name}: the range {low:.3g} to {high:.3g} is ruled by "
                f"outliers, {_BULK:.1%} of its values lie within "
                f"+-{bulk[name]:.3g}: train with activation_regularizer, or "
                "try --calibration_method Percentile"
            )
    return tuple(lines)


def _bulk(source, clips, names) -> dict[str, float]:
    """Return the magnitude below which nearly all values of a tensor lie."""
    rng = np.random.default_rng(0)
    found: dict[str, list[np.ndarray]] = {name: [] for name in names}
    for clip in clips:
        for values in run_tensors(source.model, source.runner, clip, names):
            for name, value in values.items():
                flat = np.abs(value).ravel()
                if flat.size > _VALUES:
                    flat = rng.choice(flat, _VALUES)
                found[name].append(flat)
    bulk = {}
    for name, parts in found.items():
        values = np.concatenate(parts)
        # A ReLU's zeros say nothing about how its range is used.
        values = values[values > 0]
        bulk[name] = float(np.quantile(values, _BULK)) if values.size else 0.0
    return bulk
