"""Static post-training quantization of any exported form, by onnxruntime.

The result is a QDQ graph: QuantizeLinear and DequantizeLinear around each
node that an integer runtime then computes in integers. Inputs and outputs of
the graph stay float32. The prologue of the network (power compression, mel
bands, ...) stays float in front of the first QuantizeLinear: ST Edge AI runs
it on the processor, and everything behind it on the NPU.

``int8``: signed activations with a zero point; weights with one scale an
output channel (axis 0) and zero point 0; biases int32 with scale = input
scale x weight scale; outputs of Tanh and Sigmoid with fixed scales, see
:func:`.quantization_graph.saturating`. ``int16x8``: the same weights; int16
activations with zero point 0, as CMSIS-NN has them, in operator set 21. In
both the cell state of an LSTM stays float.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
import importlib.metadata
import logging
from pathlib import Path
from typing import Any

from edgebrain import tasks
from edgebrain.checks import Name, check
from edgebrain.errors import UserError
from edgebrain.files import replacing, sha256
from edgebrain.onnx import files, metadata
from edgebrain.onnx import quantization_graph as graphs
from edgebrain.onnx.graph import Graph
from edgebrain.onnx.quantization_calibration import (
    METHODS,
    Clips,
    Ranges,
    collect_ranges,
)
from edgebrain.onnx.quantization_report import (
    Report,
    float_nodes,
    output_snr,
    range_warnings,
)
from edgebrain.onnx.runner import OnnxRunner, load_runner
from edgebrain.onnx.session import make_session
import numpy as np
import onnx
from onnxruntime.quantization import QuantType
from onnxruntime.quantization.calibrate import (
    CalibrationMethod,
    TensorData,
    TensorsData,
)
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer
from onnxruntime.quantization.registry import QDQRegistry, QLinearOpsRegistry

PRECISIONS = ("int8", "int16x8")
#: Operators quantized unless others are asked for.
OPERATORS = tuple(
    sorted({*QDQRegistry, *QLinearOpsRegistry, "PRelu", "Tanh", "Sub"})
)
_ACTIVATIONS = {"int8": QuantType.QInt8, "int16x8": QuantType.QInt16}
_OPSET = {"int8": 13, "int16x8": 21}
_IR_VERSION = {"int8": 8, "int16x8": 10}
#: Options of the calibration, by the names that onnxruntime gives them.
_CALIBRATION = {
    "CalibTensorRangeSymmetric": "symmetric",
    "CalibPercentile": "percentile",
    "CalibMovingAverage": None,
}
_EXTRA = frozenset(
    """
    extra.Sigmoid.nnapi ActivationSymmetric WeightSymmetric EnableSubgraph
    ForceQuantizeNoInputCheck MatMulConstBOnly AddQDQPairToWeight
    OpTypesToExcludeOutputQuantization DedicatedQDQPair MinimumRealRange
    QDQOpTypePerChannelSupportToAxis TensorQuantOverrides QuantizeBias
    QDQKeepRemovableActivations QDQDisableWeightAdjustForInt32Bias
    """.split()
)


def _each(rule: Name) -> Callable:
    """Return the rule of several names."""
    return lambda names: [rule(name) for name in names]


_RULES = {
    "precision": Name("precision", PRECISIONS),
    "calibration_method": Name("calibration_method", METHODS),
    "op_types_to_quantize": _each(Name("operator", OPERATORS)),
    "extra_options": _each(Name("extra_option", [*_EXTRA, *_CALIBRATION])),
}


@dataclass(frozen=True)
class QuantizationSettings:
    """How a graph is quantized.

    Arguments
    ---------
    precision : str
        ``int8`` or ``int16x8``.
    per_channel : bool
        A scale for each output channel of weights, not one for all.
    calibration_method : str
        ``MinMax``, ``Entropy`` or ``Percentile``.
    op_types_to_quantize : tuple of str
        Empty: :data:`OPERATORS`.
    nodes_to_exclude : tuple of str
        Names of nodes to keep in float.
    reduce_range : bool
        Weights of 7 bits, for processors whose int8 products overflow.
    extra_options : mapping
        Of onnxruntime's ``quantize_static``. ``CalibMovingAverage`` takes
        the mean over clips of each clip's extremes, which is finer and cuts
        off loud clips: good where all clips are equally loud, bad for
        networks that must bear any level. Off when not given.
    float_prologue : bool
        Keep what lies in front of the first layer in float.
    float_cell : bool
        Keep the cell state of an LSTM in float: it adds up over time, and
        what is less than half a step is lost in each frame, see
        :func:`.quantization_graph.accumulators`.

    Raises
    ------
    UserError
        Listing what is wrong.
    """

    precision: str = "int8"
    per_channel: bool = True
    calibration_method: str = "MinMax"
    op_types_to_quantize: tuple[str, ...] = ()
    nodes_to_exclude: tuple[str, ...] = ()
    reduce_range: bool = False
    extra_options: Mapping[str, Any] = field(default_factory=dict)
    float_prologue: bool = True
    float_cell: bool = True

    def __post_init__(self) -> None:
        check("quantization", vars(self), _RULES)


@dataclass(frozen=True)
class Source:
    """A float network that is to be quantized.

    Every node of its model has a name. Where the file has no card, there is
    one of the settings given, with the hash of the file in place of that of
    the weights.
    """

    path: Path
    model: onnx.ModelProto
    runner: OnnxRunner
    metadata: metadata.GraphMetadata


def load_source(path: str | Path, **settings) -> Source:
    """Load a float network, by this project or by others.

    Raises
    ------
    UserError
        When it cannot be run, or is quantized already.
    """
    path = Path(path)
    runner = load_runner(path, **settings)
    graph, card = Graph.read(path), runner.metadata
    ours = graph.metadata is not None
    linear = {"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear"}
    if card.precision != "float32" or (
        # A card knows: a float network may take features as int8.
        not ours and linear & {node.op_type for node in graph.nodes}
    ):
        raise UserError(
            f"{path}: is quantized already ({card.precision}); give the "
            "float32 file"
        )
    if not ours:
        card = card.replace(
            checkpoint_sha256=sha256(path), versions=_versions({})
        )
    # A first call shows a graph that is no network of its task.
    frames = runner.frames or 50
    clip = np.ones((runner.channels, frames), np.float32)
    tasks.find(card.task).result(clip, runner.run(clip))
    return Source(path, graphs.prepare(graph.model, ours), runner, card)


def quantize(
    source: Source,
    target: str | Path,
    clips: Clips,
    settings: QuantizationSettings | None = None,
    ranges: Ranges | None = None,
    overwrite: bool = False,
) -> Report:
    """Quantize a network and write it once it has run on held-out clips.

    Arguments
    ---------
    ranges : dict of str to tuple of float, optional
        Of tensors, in place of calibrated ones (learnt by
        quantization-aware training).
    overwrite : bool
        Replace a file of other content.

    Raises
    ------
    UserError
        When the target must not be replaced, a name is unknown, nothing can
        be quantized, or the result does not run. Then no file is written.
    """
    settings = settings or QuantizationSettings()
    target = Path(target)
    check_target(source, target, settings.precision, overwrite)
    graphs.check_names(settings.nodes_to_exclude, source.model)
    states, kept = source.metadata.states, dict[str, str]()
    if settings.float_prologue:
        front = graphs.prologue(source.model, source.runner.input_name)
        kept |= dict.fromkeys(front, "prologue, in front of the first layer")
    if settings.float_cell:
        cells = graphs.accumulators(source.model, states)
        kept |= dict.fromkeys(cells, "cell state, which adds up over time")
    kept |= dict.fromkeys(settings.nodes_to_exclude, "excluded by name")
    found = collect_ranges(
        source.model,
        source.runner,
        clips.calibration,
        settings.calibration_method,
        bool(settings.extra_options.get("CalibMovingAverage", False)),
        {
            ours: settings.extra_options[name]
            for name, ours in _CALIBRATION.items()
            if ours and name in settings.extra_options
        },
    )
    leading = {}
    if settings.precision == "int8":
        leading = graphs.saturating(source.model)
    # What was trained with its rounding ships with that rounding.
    leading |= ranges or {}
    found.update(leading)
    found.update(graphs.tie_states(source.model, states, found, leading))
    model = _insert_qdq(source.model, settings, found, list(kept))
    card = source.metadata.replace(
        precision=settings.precision,
        versions=_versions(source.metadata.versions),
    )
    files.write_card(model, card)
    reasons = float_nodes(
        source.model, model, kept, settings.op_types_to_quantize or OPERATORS
    )
    if "QuantizeLinear" not in files.operators(model):
        raise UserError(
            f"{source.path}: nothing in it can be quantized: "
            + "; ".join(sorted(set(reasons.values())))
        )
    data = model.SerializeToString()
    runner = OnnxRunner(target, make_session(data), card)
    report = Report(
        source=source.path,
        target=target,
        precision=settings.precision,
        form=source.runner.form,
        float_nodes=reasons,
        bytes_before=source.path.stat().st_size,
        bytes_after=len(data),
        weights_before=Graph(source.model, source.path).weight_bytes,
        weights_after=Graph(model, target).weight_bytes,
        snr_db=output_snr(source.runner, runner, clips.held_out),
        held_out=clips.separate,
        warnings=range_warnings(source, clips.held_out, found, model),
    )
    with replacing(target) as temporary:
        temporary.write_bytes(data)
    return report


def check_target(
    source: Source,
    target: str | Path,
    precision: str,
    overwrite: bool,
    form: str | None = None,
) -> None:
    """Refuse to write over what was not made of the same weights.

    ``overwrite`` allows other files too, but never the source; ``form`` is
    what will be written, left out: that of the source.
    """
    target, card = Path(target), source.metadata
    if target.exists() and target.samefile(source.path):
        raise UserError(f"{target}: is the float file itself")
    made_of = {
        "checkpoint_sha256": card.checkpoint_sha256,
        "precision": precision,
        "form": form or card.form,
    }
    problem = files.refusal(target, overwrite, made_of)
    if problem:
        raise UserError(f"{problem}; give --overwrite to replace it")


def _insert_qdq(model, settings, ranges, kept) -> onnx.ModelProto:
    """Return the graph with QuantizeLinear and DequantizeLinear nodes."""
    opset = next(o.version for o in model.opset_import if not o.domain)
    if opset < _OPSET[settings.precision]:
        model = onnx.version_converter.convert_version(
            model, _OPSET[settings.precision]
        )
        model = onnx.shape_inference.infer_shapes(model)
    else:
        model = onnx.ModelProto.FromString(model.SerializeToString())
    options = {
        "ActivationSymmetric": settings.precision == "int16x8",
        **{k: v for k, v in settings.extra_options.items() if k in _EXTRA},
    }
    overrides = graphs.symmetric_constants(model, QuantType.QInt8)
    overrides.update(options.get("TensorQuantOverrides", {}))
    known = graphs.float_tensors(model)
    data = {
        name: TensorData(
            lowest=np.array(low, np.float32), highest=np.array(high, np.float32)
        )
        for name, (low, high) in ranges.items()
        if name in known
    }
    logger = logging.getLogger()
    level = logger.level
    # It warns about what the report says better.
    logger.setLevel(logging.ERROR)
    try:
        quantizer = QDQQuantizer(
            model,
            settings.per_channel,
            settings.reduce_range,
            QuantType.QInt8,
            _ACTIVATIONS[settings.precision],
            TensorsData(CalibrationMethod.MinMax, data),
            [],
            kept,
            list(settings.op_types_to_quantize or OPERATORS),
            {**options, "TensorQuantOverrides": overrides},
        )
        quantizer.quantize_model()
    except (ValueError, RuntimeError, TypeError, AssertionError) as error:
        raise UserError(f"onnxruntime cannot quantize it: {error}") from error
    finally:
        logger.setLevel(level)
    quantizer.model.topological_sort()
    model = quantizer.model.model
    graphs.strip_domains(model)
    model.ir_version = max(model.ir_version, _IR_VERSION[settings.precision])
    return onnx.shape_inference.infer_shapes(model)


def _versions(before: Mapping[str, str]) -> dict[str, str]:
    names = ("onnx", "onnxruntime")
    return {**before, **{n: importlib.metadata.version(n) for n in names}}
