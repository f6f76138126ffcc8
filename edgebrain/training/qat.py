"""Quantization-aware training: learn with the rounding of int8 or int16x8.

A trained float network goes on with the weights of its layers, and what
enters them, rounded in the forward pass, after B. Jacob et al., "Quantization
and training of neural networks for efficient integer-arithmetic-only
inference", CVPR 2018. Gradients pass the rounding straight through, and stop
where a value is cut off. The parameters stay float and are those of the
network itself: a checkpoint is exported and scored as any other, beside it
lie the ranges (``quantizer.ckpt``). Validation and test of the training round
too; a results folder that is loaded as PyTorch model does not: what ships is
the quantized file, which rounds sums, masks and what an LSTM hands on as well.

Batch normalisation is frozen: it uses, and leaves, the statistics that the
float training ended with. Its factor scales each output channel, and so does
the scale of that channel's weights; rounding the weights before it is then
the same as rounding the folded weights that the exported file has.
"""

from functools import partial
from pathlib import Path
import pickle

from edgebrain.checks import Name, Number, check
from edgebrain.errors import UserError
from edgebrain.training.results import load_model
import torch
from torch import Tensor, nn
from torch.func import functional_call

#: File of a checkpoint with the ranges.
RANGES_FILE = "quantizer.ckpt"
_LAYERS = (nn.modules.conv._ConvNd, nn.Linear, nn.RNNBase)
_NORMS = nn.modules.batchnorm._BatchNorm
_RULES = {
    "precision": Name("precision", ("int8", "int16x8")),
    "observe_steps": Number(whole=True, least=1),
}
_TINY = torch.finfo(torch.float32).tiny


class FakeQuantizer(nn.Module):
    """The range of one activation, and the rounding that follows from it.

    ``int8``: 256 steps that hold every value seen, and zero; ``int16x8``:
    65535 steps around zero.
    """

    def __init__(self, precision: str):
        super().__init__()
        self.wide = precision == "int16x8"
        self.register_buffer("low", torch.zeros(()))
        self.register_buffer("high", torch.zeros(()))
        self.register_buffer("seen", torch.zeros((), dtype=torch.bool))

    @torch.no_grad()
    def observe(self, x: Tensor) -> None:
        """Widen the range to hold the values of a batch."""
        low, high = torch.aminmax(x.detach().float())
        pair = torch.minimum(
            torch.stack([low, -high]), torch.stack([self.low, -self.high])
        )
        if torch.distributed.is_initialized():
            torch.distributed.all_reduce(
                pair, op=torch.distributed.ReduceOp.MIN
            )
        self.low.copy_(pair[0])
        self.high.copy_(-pair[1])
        self.seen.fill_(True)

    def forward(self, x: Tensor) -> Tensor:
        """Return the values rounded; as they are before any was seen."""
        if not self.seen:
            return x
        low, high = self.low.double(), self.high.double()
        if self.wide:
            scale, least, most = (
                torch.maximum(-low, high) / 32767,
                -32768,
                32767,
            )
            zero = torch.zeros_like(scale)
        else:
            scale, least, most = (high - low) / 255, -128, 127
            zero = torch.round(least - low / scale)
        if scale < _TINY:
            scale, zero = torch.ones_like(scale), torch.zeros_like(scale)
        return torch.fake_quantize_per_tensor_affine(
            x, scale.float(), zero.to(torch.int32), least, most
        )


def fake_quantize_weight(weight: Tensor, axis: int = 0) -> Tensor:
    """Return weights rounded to 8 bits with zero point 0.

    ``axis`` is that of the output channels, which have a scale each.
    """
    size = weight.detach().abs().transpose(0, axis).flatten(1).amax(1)
    scale = torch.where(size < 127 * _TINY, 1.0, size / 127)
    zero = torch.zeros_like(scale, dtype=torch.int32)
    return torch.fake_quantize_per_channel_affine(
        weight, scale, zero, axis, -127, 127
    )


class QuantizationAware(nn.Module):
    """Rounds what enters the layers of a network, and their weights.

    Layers are convolutions, linear and recurrent ones; what belongs to a
    module named ``front_end`` stays float, as when the file is quantized.

    Arguments
    ---------
    precision : str
        ``int8`` or ``int16x8``.
    observe_steps : int
        Training steps after which the ranges no longer change, so that the
        weights settle on the rounding that will be exported.
    """

    def __init__(self, precision: str = "int8", observe_steps: int = 500):
        super().__init__()
        given = {"precision": precision, "observe_steps": observe_steps}
        given = check("quantization_aware", given, _RULES)
        self.precision = given["precision"]
        self.observe_steps = given["observe_steps"]
        bits = torch.tensor(8 if self.precision == "int8" else 16)
        self.register_buffer("activation_bits", bits)
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))
        self.points = nn.ModuleDict()
        self.observing = False

    def attach(self, model: nn.Module) -> None:
        """Let a network round from now on; its weights keep their names."""
        layers = {
            name: layer
            for name, layer in model.named_modules()
            if isinstance(layer, _LAYERS) and "front_end" not in name.split(".")
        }
        if not layers:
            raise UserError(
                f"quantization_aware: {type(model).__name__} has no layer to "
                "round"
            )
        for name, layer in layers.items():
            point = self.points[_key(name)] = FakeQuantizer(self.precision)
            layer.register_forward_pre_hook(partial(self._enter, point))
        model.forward = partial(self._forward, _Plain(model), layers)

    def load(self, path: str | Path) -> None:
        """Read the ranges of a checkpoint."""
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
            bits = int(state["activation_bits"])
            if bits != int(self.activation_bits):
                raise UserError(
                    f"{path}: ranges of {bits}-bit activations, not of "
                    f"{self.precision}"
                )
            self.load_state_dict(state)
        except (OSError, RuntimeError, KeyError, pickle.UnpicklingError) as e:
            raise UserError(f"{path}: not ranges of this network: {e}") from e

    def _enter(self, point: FakeQuantizer, layer: nn.Module, inputs: tuple):
        if self.observing:
            point.observe(inputs[0])
        return point(inputs[0]), *inputs[1:]

    def _forward(self, plain: "_Plain", layers: dict, features: Tensor):
        model = plain.model
        for module in model.modules():
            if isinstance(module, _NORMS):
                module.eval()
        training = model.training and torch.is_grad_enabled()
        self.observing = training and int(self.steps) < self.observe_steps
        if training:
            self.steps += 1
        rounded = {
            f"model.{name}.{kind}": fake_quantize_weight(
                weight, int(getattr(layer, "transposed", False))
            )
            for name, layer in layers.items()
            for kind, weight in layer.named_parameters()
            if kind.startswith("weight")
        }
        with torch.autocast(features.device.type, enabled=False):
            return functional_call(plain, rounded, features.float())


class _Plain(nn.Module):
    """A network as its class has it, whose ``forward`` is another by now."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, features: Tensor) -> Tensor:
        return type(self.model).forward(self.model, features)


def _key(layer: str) -> str:
    return layer.replace(".", "/")


def learned_ranges(
    results: str | Path, source, precision: str
) -> dict[str, tuple[float, float]]:
    """Return the learnt ranges by the names of a graph's tensors.

    ``results`` is the folder of the training, or one of its checkpoints;
    ``source``, an :class:`edgebrain.onnx.quantization.Source`, a file exported
    from the best one.
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
    return ranges_in(source.model, quantizer)


def ranges_in(model, quantizer: QuantizationAware) -> dict:
    """Return the range of each tensor of a graph that enters a known layer.

    A node of an exported graph keeps the names of its layer's weights. What
    is reshaped in front of it has one scale with it.
    """
    from edgebrain.onnx.graph import SHAPES

    found, points = {}, dict(quantizer.points)
    makers = {name: node for node in model.graph.node for name in node.output}
    for node in model.graph.node:
        for name in node.input[1:]:
            layer, _, kind = name.rpartition(".")
            point = points.get(_key(layer))
            # What enters the further weights of an LSTM arises within it.
            if kind not in ("weight", "weight_ih_l0") or point is None:
                continue
            tensor = node.input[0] if point.seen else None
            while tensor is not None:
                found[tensor] = (float(point.low), float(point.high))
                maker = makers.get(tensor)
                moved = maker is not None and maker.op_type in SHAPES
                tensor = maker.input[0] if moved else None
    return found
