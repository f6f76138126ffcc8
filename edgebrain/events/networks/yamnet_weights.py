"""Google's YAMNet weights out of their TF Lite file, without TensorFlow.

The file (AudioSet, 521 classes, Apache-2.0) holds int8 weights with a scale
for each output channel and int32 biases, BatchNorm folded into both. Its
convolutions see (frames, mels), ours (mels, frames).
"""

from pathlib import Path

from edgebrain.data.download import download
from edgebrain.errors import UserError
import numpy as np
import torch

#: Google's addresses of one and the same file: TensorFlow's, MediaPipe's.
URLS = (
    "https://storage.googleapis.com/download.tensorflow.org/models/tflite/"
    "task_library/audio_classification/android/"
    "lite-model_yamnet_classification_tflite_1.tflite",
    "https://storage.googleapis.com/mediapipe-assets/"
    "yamnet_audio_classifier_with_metadata.tflite?generation=1661875980774466",
)
#: Of the file that was measured, whose SHA-256 (10c95ea3 eb9a7bb4 cb8bddf6
#: feb02325 03810081 77ac162c e169694d 05c317de) MediaPipe publishes.
MD5, SIZE = "e962c7ac840c6af635959491bb65959a", 4_126_810
_CONVOLUTIONS = ("CONV_2D", "DEPTHWISE_CONV_2D")


def fetch_yamnet(folder: Path | str) -> Path:
    """Return YAMNet's TF Lite file, downloaded into a folder unless there.

    Raises
    ------
    UserError
        It cannot be had from any address.
    """
    path = Path(folder) / "yamnet.tflite"
    return path if path.is_file() else download(URLS, path, MD5, SIZE)


def read_yamnet(path: Path | str) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return weight and bias of the 27 convolutions in order.

    Arguments
    ---------
    path : Path or str
        The TF Lite file.

    Returns
    -------
    list of (numpy.ndarray, numpy.ndarray)
        float32, (out, in, mels, frames) and (out,).

    Raises
    ------
    UserError
        The file is missing or is not YAMNet in TF Lite.
    """
    import tflite

    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such file of YAMNet weights")
    content = path.read_bytes()
    if content[4:8] != b"TFL3":
        raise UserError(f"{path}: is not a TF Lite file")
    model = tflite.Model.GetRootAsModel(content, 0)
    graph = model.Subgraphs(0)
    names = {v: k for k, v in vars(tflite.BuiltinOperator).items()}
    layers = []
    for number in range(graph.OperatorsLength()):
        operator = graph.Operators(number)
        code = model.OperatorCodes(operator.OpcodeIndex()).BuiltinCode()
        if names.get(code) not in _CONVOLUTIONS:
            continue
        weight, bias = (
            _dequantized(model, graph.Tensors(operator.Inputs(place)))
            for place in (1, 2)
        )
        # Depthwise (1, frames, mels, out), else (out, frames, mels, in).
        order = (3, 0, 2, 1) if weight.shape[0] == 1 else (0, 3, 2, 1)
        layers.append((weight.transpose(order), bias))
    if len(layers) != 27:
        raise UserError(
            f"{path}: has {len(layers)} convolutions, YAMNet has 27"
        )
    return layers


def _dequantized(model, tensor) -> np.ndarray:
    """Return a constant as float32: integers times their scales."""
    import tflite

    types = {
        tflite.TensorType.INT8: np.int8,
        tflite.TensorType.INT32: np.int32,
        tflite.TensorType.FLOAT32: np.float32,
    }
    values = np.frombuffer(
        model.Buffers(tensor.Buffer()).DataAsNumpy().tobytes(),
        types[tensor.Type()],
    ).reshape(tensor.ShapeAsNumpy())
    quantization = tensor.Quantization()
    if values.dtype == np.float32 or quantization is None:
        return values
    shape = [1] * values.ndim
    shape[quantization.QuantizedDimension()] = -1
    return values * quantization.ScaleAsNumpy().reshape(shape)


def load_yamnet(network, path: Path | str) -> None:
    """Give the backbone of a network Google's weights, as far as it goes.

    Arguments
    ---------
    network : SeparableNet
        With the widths of YAMNet; its head stays as it is.
    path : Path or str
        The TF Lite file.

    Raises
    ------
    UserError
        The file cannot be used, or a layer has another shape.
    """
    layers = read_yamnet(path)
    if len(network.backbone) > len(layers):
        raise UserError(f"{path}: the network has more layers than YAMNet")
    pairs = zip(network.backbone, layers, strict=False)
    for number, (layer, (weight, bias)) in enumerate(pairs):
        wanted = tuple(layer.conv.weight.shape)
        if weight.shape != wanted:
            raise UserError(
                f"{path}: layer {number} is {weight.shape}, that of the "
                f"network {wanted}: use YAMNet's widths, or no weights"
            )
        with torch.no_grad():
            layer.conv.weight.copy_(torch.from_numpy(weight.copy()))
            layer.norm.bias.copy_(torch.from_numpy(bias.copy()))
            layer.norm.running_mean.zero_()
            # The normalisation is in the weights already.
            layer.norm.running_var.fill_(1.0 - layer.norm.eps)
