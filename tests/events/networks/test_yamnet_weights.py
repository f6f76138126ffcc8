"""Google's weights out of a TF Lite file, here one made of small layers."""

import hashlib

from edgebrain.errors import UserError
from edgebrain.events.networks import SeparableNet, yamnet_weights
from edgebrain.events.networks.yamnet_weights import load_yamnet, read_yamnet
import flatbuffers
import numpy as np
import pytest
import tflite

#: Channels of the convolution and of the 13 pairs.
WIDTHS = [2] + [3] * 13


def tensor(builder, shape, kind, buffer, scales, axis):
    scale = builder.CreateNumpyVector(np.array(scales, np.float32))
    tflite.QuantizationParametersStart(builder)
    tflite.QuantizationParametersAddScale(builder, scale)
    tflite.QuantizationParametersAddQuantizedDimension(builder, axis)
    quantization = tflite.QuantizationParametersEnd(builder)
    shape = builder.CreateNumpyVector(np.array(shape, np.int32))
    tflite.TensorStart(builder)
    tflite.TensorAddShape(builder, shape)
    tflite.TensorAddType(builder, kind)
    tflite.TensorAddBuffer(builder, buffer)
    tflite.TensorAddQuantization(builder, quantization)
    return tflite.TensorEnd(builder)


def write_model(path, layers=27):
    """Write int8 convolutions; return weights as TF Lite has them, biases."""
    builder, rng = flatbuffers.Builder(1 << 16), np.random.default_rng(7)
    wanted, data, tensors, operators = [], [b""], [], []
    kinds = [tflite.TensorType.INT8, tflite.TensorType.INT32]
    channels = 1
    for number in range(layers):
        depthwise = number % 2 == 1
        out = channels if depthwise else WIDTHS[(number + 1) // 2]
        kernel = 3 if number == 0 or depthwise else 1
        shape = (out, kernel, kernel, channels)
        if depthwise:
            shape = (1, kernel, kernel, out)
        weight = rng.integers(-127, 128, shape).astype(np.int8)
        bias = rng.integers(-1000, 1000, out).astype(np.int32)
        scales = rng.uniform(0.01, 0.1, out).astype(np.float32)
        axis = 3 if depthwise else 0
        wide = scales.reshape([-1 if i == axis else 1 for i in range(4)])
        wanted.append((weight * wide, bias * scales * 0.5))
        for values, kind, scale, at in (
            (weight, kinds[0], scales, axis),
            (bias, kinds[1], 0.5 * scales, 0),
        ):
            data.append(values.tobytes())
            tensors.append(
                tensor(builder, values.shape, kind, len(data) - 1, scale, at)
            )
        inputs = builder.CreateNumpyVector(
            np.array([0, 2 * number, 2 * number + 1], np.int32)
        )
        tflite.OperatorStart(builder)
        tflite.OperatorAddOpcodeIndex(builder, int(depthwise))
        tflite.OperatorAddInputs(builder, inputs)
        operators.append(tflite.OperatorEnd(builder))
        channels = out
    buffers = []
    for content in data:
        content = builder.CreateByteVector(content)
        tflite.BufferStart(builder)
        tflite.BufferAddData(builder, content)
        buffers.append(tflite.BufferEnd(builder))
    codes = []
    for code in ("CONV_2D", "DEPTHWISE_CONV_2D"):
        tflite.OperatorCodeStart(builder)
        code = getattr(tflite.BuiltinOperator, code)
        tflite.OperatorCodeAddDeprecatedBuiltinCode(builder, code)
        tflite.OperatorCodeAddBuiltinCode(builder, code)
        codes.append(tflite.OperatorCodeEnd(builder))

    def vector(values):
        builder.StartVector(4, len(values), 4)
        for value in reversed(values):
            builder.PrependUOffsetTRelative(value)
        return builder.EndVector()

    tensors, operators = vector(tensors), vector(operators)
    tflite.SubGraphStart(builder)
    tflite.SubGraphAddTensors(builder, tensors)
    tflite.SubGraphAddOperators(builder, operators)
    graphs = vector([tflite.SubGraphEnd(builder)])
    buffers, codes = vector(buffers), vector(codes)
    tflite.ModelStart(builder)
    tflite.ModelAddVersion(builder, 3)
    tflite.ModelAddOperatorCodes(builder, codes)
    tflite.ModelAddSubgraphs(builder, graphs)
    tflite.ModelAddBuffers(builder, buffers)
    builder.Finish(tflite.ModelEnd(builder), b"TFL3")
    path.write_bytes(bytes(builder.Output()))
    return wanted


def network(**options):
    pairs = [[1, width] for width in WIDTHS[1:]]
    return SeparableNet(2, WIDTHS[0], pairs, mels=8, patch_frames=40, **options)


def test_weights_come_out_turned_to_mels_by_frames(tmp_path):
    wanted = write_model(tmp_path / "yamnet.tflite")
    model = network(time_padding="same")
    load_yamnet(model, tmp_path / "yamnet.tflite")
    for layer, (weight, bias) in zip(model.backbone, wanted, strict=True):
        got = layer.conv.weight.detach().numpy()
        # (out, 1, mel, frame) from (1, frame, mel, out), else from
        # (out, frame, mel, in).
        depthwise = layer.conv.groups > 1
        order = (3, 0, 2, 1) if depthwise else (0, 3, 2, 1)
        assert np.allclose(got, weight.transpose(order), rtol=1e-6)
        assert np.allclose(layer.norm.bias.detach(), bias, rtol=1e-6)
        # BatchNorm is in the weights: it must change nothing more.
        scale = (layer.norm.running_var + layer.norm.eps) ** -0.5
        assert np.allclose(scale, 1.0) and not layer.norm.running_mean.any()


def test_a_shorter_network_takes_the_first_layers(tmp_path):
    wanted = write_model(tmp_path / "yamnet.tflite")
    model = SeparableNet(2, 2, [[1, 3]], mels=8, patch_frames=20)
    load_yamnet(model, tmp_path / "yamnet.tflite")
    first = model.backbone[0].conv.weight.detach().numpy()
    assert np.allclose(first, wanted[0][0].transpose(0, 3, 2, 1))


def test_refuses_other_files_and_widths(tmp_path):
    path = tmp_path / "yamnet.tflite"
    with pytest.raises(UserError, match="no such file"):
        read_yamnet(path)
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(UserError, match="not a TF Lite file"):
        read_yamnet(path)
    write_model(path, layers=5)
    with pytest.raises(UserError, match="has 5 convolutions"):
        read_yamnet(path)
    write_model(path)
    other = SeparableNet(2, 4, [[1, 3]], mels=8, patch_frames=20)
    with pytest.raises(UserError, match="use YAMNet's widths"):
        load_yamnet(other, path)


def test_another_file_than_googles_is_not_kept(mirror, tmp_path, monkeypatch):
    write_model(mirror.folder / "yamnet.tflite")
    urls = [f"{mirror.url}/yamnet.tflite"]
    monkeypatch.setattr(yamnet_weights, "URLS", urls)
    with pytest.raises(UserError, match="cannot be downloaded"):
        yamnet_weights.fetch_yamnet(tmp_path / "cache")
    content = (mirror.folder / "yamnet.tflite").read_bytes()
    checksum = hashlib.md5(content).hexdigest()
    monkeypatch.setattr(yamnet_weights, "MD5", checksum)
    path = yamnet_weights.fetch_yamnet(tmp_path / "cache")
    assert len(read_yamnet(path)) == 27
    count = len(mirror.requests)
    assert yamnet_weights.fetch_yamnet(tmp_path / "cache") == path
    assert len(mirror.requests) == count
