"""Weights of an NNSE network from its float ONNX stream."""

from dataclasses import dataclass
from pathlib import Path

from edgebrain.errors import UserError
from edgebrain.onnx.graph import Graph
from edgebrain.onnx.metadata import GraphMetadata
import numpy as np

#: Limits of the runtime.
MAX_LAYERS = 10
MAX_SIZE = 480
FEATURES = 72
#: ``center`` is not among them: it says where the first frame of a recording
#: lies, and the runtime has a stream, whose first window fills up hop by hop.
_SIGNAL = {
    "sample_rate": 16000,
    "n_fft": 512,
    "win_length": 480,
    "hop_length": 160,
    "window": "sqrt_hann",
    "power": 1.0,
    "peak_normalize": False,
}
_ACTIVATIONS = ("tanh", "sigmoid", "relu6", "linear")
#: What reading a graph or metadata of another kind runs into.
_MALFORMED = (
    AttributeError,
    LookupError,
    StopIteration,
    TypeError,
    ValueError,
)


@dataclass(frozen=True)
class FloatLayer:
    """One layer in floating point.

    Attributes
    ----------
    kind : str
        ``fc`` or ``lstm``; a conv1d is an fc of several frames.
    activation : str
        tanh, sigmoid, relu6 or linear.
    kernel : numpy.ndarray
        (outputs, inputs); of a conv1d the oldest frame first, features
        fastest; lstm: (4, units, inputs), gates i, g, f, o.
    bias : numpy.ndarray
        (outputs,) or (4, units).
    recurrent : numpy.ndarray or None
        (4, units, units).
    """

    kind: str
    activation: str
    kernel: np.ndarray
    bias: np.ndarray
    recurrent: np.ndarray | None = None


@dataclass(frozen=True)
class FloatNetwork:
    """An NNSE network in floating point.

    Mean and invstd (72,) are of log10 features of the plain ``sqrt_hann``
    window, filters mel triangles (72, 257); the first layer takes ``context``
    frames.
    """

    layers: list[FloatLayer]
    mean: np.ndarray
    invstd: np.ndarray
    filters: np.ndarray
    metadata: GraphMetadata
    context: int


def find_model(path: str | Path) -> Path:
    """Return the float stream of a file, export or results folder."""
    path = Path(path)
    if not path.is_dir():
        return path
    for file in (path / "stream.onnx", path / "export" / "stream.onnx"):
        if file.is_file():
            return file
    raise UserError(
        f"{path}: holds no stream.onnx, nor does its export folder: run "
        f"export_onnx.py {path} first"
    )


def read_network(path: str | Path) -> FloatNetwork:
    """Read an NNSE network from its float32 ONNX stream.

    Lists everything that the runtime cannot do.
    """
    path = find_model(path)
    graph = Graph.read(path)
    graph.check_complete()
    metadata = graph.metadata
    _check_kind(path, metadata)
    try:
        arguments = metadata.model_arguments
        _check_limits(path, metadata, arguments)
        filters, mean, invstd = _front_end(graph)
        layers = _layers(arguments["layers"], graph.constants)
    except UserError:
        raise
    except _MALFORMED as error:
        raise UserError(
            f"{path}: its graph is not the stream of an NNSE network "
            f"({type(error).__name__}: {error}): export it again with "
            "export_onnx.py"
        ) from None
    first = arguments["layers"][0]
    return FloatNetwork(
        layers, mean, invstd, filters, metadata, first["kernel_size"]
    )


def _check_kind(path: Path, metadata: GraphMetadata | None) -> None:
    if metadata is None:
        raise UserError(
            f"{path}: no metadata of this project: export the network with "
            "export_onnx.py"
        )
    name = metadata.model_class.rpartition(".")[2]
    if name != "NNSE":
        raise UserError(
            f"{path}: holds a {name or 'network'} and the runtime runs NNSE "
            "networks: train edgebrain.enhancement.networks.NNSE, or take "
            "deploy/c_engine.py, which runs any"
        )
    if (metadata.form, metadata.precision) != ("stream", "float32"):
        raise UserError(
            f"{path}: is the {metadata.form} form in {metadata.precision}: "
            "give the float32 stream (stream.onnx), the tables are "
            "quantized here"
        )


def _check_limits(path: Path, metadata, arguments: dict) -> None:
    problems = [
        f"signal {key} {getattr(metadata.signal, key)}: the runtime has "
        f"{value}: train with {key}: {value}"
        for key, value in _SIGNAL.items()
        if getattr(metadata.signal, key) != value
    ]
    if arguments.get("features") != "mel":
        problems.append(
            f"features {arguments.get('features')}: the runtime's front end "
            f"gives {FEATURES} mel bands: train with features: mel"
        )
    elif arguments.get("n_mels") != FEATURES:
        problems.append(
            f"n_mels {arguments.get('n_mels')}: the runtime's front end has "
            f"{FEATURES}: train with n_mels: {FEATURES}"
        )
    if arguments.get("scalar_output", 1.0) != 1.0:
        problems.append(
            f"scalar_output {arguments['scalar_output']}: the runtime has no "
            "factor on the mask: train with scalar_output: 1.0"
        )
    layers = arguments.get("layers") or []
    if not 1 <= len(layers) <= MAX_LAYERS:
        problems.append(f"{len(layers)} layers: 1 to {MAX_LAYERS} are taken")
    for number, layer in enumerate(layers):
        where = f"layer {number} ({layer['layer_type']})"
        inputs = FEATURES * layer["kernel_size"] if not number else 0
        size = max(inputs, layer["layer_neurons"])
        if size > MAX_SIZE:
            problems.append(
                f"{where}: {size} values, the runtime's buffers hold "
                f"{MAX_SIZE}: make it smaller"
            )
        if number and layer["kernel_size"] > 1:
            problems.append(
                f"{where}: only the first layer can take several frames"
            )
        if layer["activation"] not in _ACTIVATIONS:
            problems.append(
                f"{where}: activation {layer['activation']!r}: one of "
                f"{', '.join(_ACTIVATIONS)}"
            )
        if number < len(layers) - 1 and layer["activation"] == "linear":
            problems.append(f"{where}: only the last layer may be linear")
    if layers and layers[-1]["layer_type"] == "lstm":
        problems.append("an lstm cannot be the last layer: add an fc")
    elif layers and layers[-1]["activation"] != "sigmoid":
        problems.append(
            f"the last layer has {layers[-1]['activation']}: a mask in Q15 "
            "needs sigmoid"
        )
    if problems:
        raise UserError.collect(
            f"{path}: not for Ambiq's NNSE runtime", problems
        )


def _front_end(graph: Graph) -> tuple:
    """Return mel triangles, mean and invstd, by where they are used."""
    constants, users = graph.constants, graph.consumers
    conv = next(n for n in graph.nodes if n.op_type == "Conv")
    filters = constants[conv.input[1]][..., 0]
    node, found = users[conv.output[0]][0], {}
    while node.op_type not in ("Concat", "Conv"):
        for name in node.input:
            if name in constants:
                found[node.op_type] = constants[name]
        node = users[node.output[0]][0]
    mean, invstd = found["Sub"].reshape(-1), found["Mul"].reshape(-1)
    if not len(mean) == len(invstd) == len(filters) == FEATURES:
        raise ValueError(f"{len(mean)} means for {len(filters)} bands")
    return filters, mean, invstd


def _layers(described: list[dict], constants: dict) -> list[FloatLayer]:
    kinds = [layer["layer_type"] for layer in described]
    layers = []
    for position, layer in enumerate(described):
        kind = layer["layer_type"]
        number = kinds[:position].count(kind)
        name = f"net.{kind.removesuffix('1d')}{number}."
        if kind == "lstm":
            weight = constants[f"{name}lstm.weight_ih_l0"]
            recurrent = constants[f"{name}lstm.weight_hh_l0"]
            bias = constants[f"{name}lstm.bias_ih_l0"]
            layers.append(
                FloatLayer(
                    "lstm",
                    "tanh",
                    _gates(weight),
                    _gates(bias[:, None])[..., 0],
                    _gates(recurrent),
                )
            )
            continue
        weight = constants[f"{name}conv.weight"]
        kernel = weight.transpose(0, 2, 1).reshape(len(weight), -1)
        bias = constants[f"{name}conv.bias"]
        layers.append(FloatLayer("fc", layer["activation"], kernel, bias))
    return layers


def _gates(weight: np.ndarray) -> np.ndarray:
    """Return (4, units, inputs) in the order i, g, f, o of i, f, g, o."""
    return weight.reshape(4, -1, weight.shape[-1])[[0, 2, 1, 3]]
