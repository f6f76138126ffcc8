"""Quantization-aware training: learn with the rounding of int8 or int16x8.

A trained float network goes on with every weight and every activation that
:mod:`edgebrain.onnx.quantization` will quantize rounded in the forward pass,
after B. Jacob et al., "Quantization and training of neural networks for
efficient integer-arithmetic-only inference", CVPR 2018. Gradients pass the
rounding straight through, and stop where a value is cut off. The parameters
stay float and are those of the network itself: a checkpoint is exported and
scored as any other, beside it lie the ranges (``quantizer.ckpt``). Validation
and test of the training round too; a results folder that is loaded as PyTorch
model does not: what ships is the quantized file.

Batch normalisation is frozen: it uses, and leaves, the statistics that the
float training ended with. Its factor scales each output channel, and so does
the scale of that channel's weights; rounding the weights before it is then
the same as rounding the folded weights that the exported file has.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
import pickle

from edgebrain.errors import UserError, unknown_name
from edgebrain.models.blocks import LSTMStack
from edgebrain.training.qat_graph import LAYERS, NORMS, follow
import torch
from torch import Tensor, fx, nn
from torch.func import functional_call
from torch.nn import functional as F

PRECISIONS = ("int8", "int16x8")
_WEIGHT_LIMIT = 127
#: The cell state and what it is made of stay float.
_CELL = ("ih", "hh", "gates", "i", "f", "g", "o", "tanh", "h")


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

    def parameters_of(self) -> tuple[Tensor, Tensor, int, int]:
        """Return scale, zero point, least and greatest integer."""
        low, high = self.low.double(), self.high.double()
        if self.wide:
            scale = torch.maximum(-low, high) / 32767
            zero, least, most = torch.zeros_like(scale), -32768, 32767
        else:
            scale, least, most = (high - low) / 255, -128, 127
            zero = torch.round(least - low / scale)
        tiny = torch.finfo(torch.float32).tiny
        usable = scale >= tiny
        scale = torch.where(usable, scale, torch.ones_like(scale))
        zero = torch.where(usable, zero, torch.zeros_like(zero))
        return scale.float(), zero.to(torch.int32), least, most

    def forward(self, x: Tensor) -> Tensor:
        """Return the values rounded; as they are before any was seen."""
        return self.rounding()(x)

    def rounding(self) -> Callable[[Tensor], Tensor]:
        """Return what :meth:`forward` does as long as the range stays."""
        if not self.seen:
            return lambda x: x
        values = self.parameters_of()
        return lambda x: torch.fake_quantize_per_tensor_affine(x, *values)


def fake_quantize_weight(weight: Tensor, axis: int | None = 0) -> Tensor:
    """Return weights rounded to 8 bits with zero point 0.

    ``axis`` is that of the output channels, a scale each; None: one scale.
    """
    size = weight.detach().abs()
    if axis is None:
        scale = _usable(size.amax() / _WEIGHT_LIMIT)
        zero = torch.zeros_like(scale, dtype=torch.int32)
        return torch.fake_quantize_per_tensor_affine(
            weight, scale, zero, -_WEIGHT_LIMIT, _WEIGHT_LIMIT
        )
    scale = _usable(size.transpose(0, axis).flatten(1).amax(1) / _WEIGHT_LIMIT)
    return torch.fake_quantize_per_channel_affine(
        weight,
        scale,
        torch.zeros_like(scale, dtype=torch.int32),
        axis,
        -_WEIGHT_LIMIT,
        _WEIGHT_LIMIT,
    )


def _usable(scale: Tensor) -> Tensor:
    tiny = torch.finfo(torch.float32).tiny
    return torch.where(scale < tiny, torch.ones_like(scale), scale)


class QuantizationAware(nn.Module):
    """Rounds weights and activations of a network while it trains.

    Arguments
    ---------
    precision : str
        ``int8`` or ``int16x8``.
    observe_steps : int
        Training steps after which the ranges no longer change, so that the
        weights settle on the rounding that will be exported.

    Notes
    -----
    LSTMs of the shipped networks run as the cell that the stream form is
    exported with, frame by frame, which is slower than torch's own kernel.
    """

    def __init__(
        self,
        precision: str = "int8",
        observe_steps: int = 500,
    ):
        super().__init__()
        if precision not in PRECISIONS:
            raise unknown_name("precision", precision, PRECISIONS)
        if not isinstance(observe_steps, int) or observe_steps < 1:
            raise UserError(
                f"quantization_aware: observe_steps must be a whole number "
                f"from 1, not {observe_steps!r}"
            )
        self.precision = precision
        self.observe_steps = observe_steps
        bits = torch.tensor(8 if precision == "int8" else 16)
        self.register_buffer("activation_bits", bits)
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))
        self.points = nn.ModuleDict()
        self.observing = False
        self._recorded: dict[str, Tensor] | None = None

    def attach(self, model: nn.Module) -> None:
        """Let a network round from now on; its weights keep their names.

        UserError when its code cannot be followed or nothing is quantized.
        """
        traced, points, cells = follow(model)
        for name in points:
            self._add(name)
        for name, layers in cells.items():
            for layer in range(layers):
                for part in _CELL:
                    self._add(f"{name}_l{layer}_{part}")
        norms = [m for m in model.modules() if isinstance(m, NORMS)]
        model.forward = partial(self._forward, model, _Run(traced, self), norms)

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

    def record(self, model: nn.Module, magnitude: Tensor) -> dict:
        """Return the float value of each rounded tensor, by its point."""
        self._recorded = {}
        try:
            with torch.no_grad():
                model(magnitude)
            return self._recorded
        finally:
            self._recorded = None

    def _add(self, name: str) -> None:
        self.points[name] = FakeQuantizer(self.precision)

    def _forward(self, model, run, norms, magnitude: Tensor) -> Tensor:
        for norm in norms:
            norm.eval()
        training = model.training and torch.is_grad_enabled()
        self.observing = training and int(self.steps) < self.observe_steps
        if training:
            self.steps += 1
        with torch.autocast(magnitude.device.type, enabled=False):
            return run.run(magnitude.float())

    def apply_point(self, name: str, x: Tensor) -> Tensor:
        """Observe and round what arises at a point."""
        if self._recorded is not None:
            self._recorded[name] = x
            return x
        point = self.points[name]
        if self.observing:
            point.observe(x)
        return point(x)

    def weight(self, value: Tensor, axis: int | None = 0) -> Tensor:
        """Return weights rounded, unless values are being recorded."""
        if self._recorded is not None:
            return value
        return fake_quantize_weight(value, axis)

    def cell(self, name: str, stack: LSTMStack, x: Tensor) -> Tensor:
        """Run an LSTM as the cell that is exported, (batch, in, frames)."""
        y = x.transpose(1, 2)
        for layer in range(stack.lstm.num_layers):
            y = self._cell_layer(f"{name}_l{layer}_", stack.lstm, layer, y)
            last = layer == stack.lstm.num_layers - 1
            if not last:
                y = F.dropout(y, stack.lstm.dropout, stack.training)
        return y.transpose(1, 2)

    def _cell_layer(self, prefix: str, lstm, layer: int, y: Tensor) -> Tensor:
        weight_ih, weight_hh = (
            self.weight(getattr(lstm, f"weight_{part}_l{layer}"))
            for part in ("ih", "hh")
        )
        bias_ih = getattr(lstm, f"bias_ih_l{layer}")
        bias_hh = getattr(lstm, f"bias_hh_l{layer}")
        # Ranges stay the same within a batch, so this is done once.
        points = {part: self.points[prefix + part].rounding() for part in _CELL}
        seen: dict[str, list[Tensor]] = {part: [] for part in _CELL}
        keep = self.observing or self._recorded is not None

        def at(part: str, value: Tensor) -> Tensor:
            if part not in points:
                return value
            if keep:
                seen[part].append(value)
            return value if self._recorded is not None else points[part](value)

        hidden = lstm.hidden_size
        h = c = y.new_zeros(y.shape[0], hidden)
        outputs = []
        for part in y.unbind(1):
            from_input = at("ih", F.linear(part, weight_ih, bias_ih))
            from_state = at("hh", F.linear(h, weight_hh, bias_hh))
            gates = at("gates", from_input + from_state).split(hidden, dim=1)
            i, f, o = (
                at(gate, torch.sigmoid(gates[n]))
                for gate, n in (("i", 0), ("f", 1), ("o", 3))
            )
            g = at("g", torch.tanh(gates[2]))
            c = at("c", at("fc", f * c) + at("ig", i * g))
            h = at("h", o * at("tanh", torch.tanh(c)))
            outputs.append(h)
        for name, values in seen.items():
            if values:
                # The ranges of a batch count once, after all its frames.
                whole = torch.stack(values, dim=-1)
                if self._recorded is not None:
                    self._recorded[prefix + name] = whole
                else:
                    self.points[prefix + name].observe(whole)
        return torch.stack(outputs, dim=1)


class _Run(fx.Interpreter):
    """Runs a traced network, rounding on the way."""

    def __init__(self, traced: fx.GraphModule, owner: QuantizationAware):
        super().__init__(traced)
        self.owner = owner

    def run_node(self, n: fx.Node):
        if n.op == "call_module":
            module = self.fetch_attr(n.target)
            if isinstance(module, LSTMStack):
                (x,), _ = self.fetch_args_kwargs_from_env(n)
                return self.owner.cell(n.name, module, x)
        result = super().run_node(n)
        if n.name in self.owner.points:
            return self.owner.apply_point(n.name, result)
        return result

    def call_module(self, target, args, kwargs):
        module, owner = self.fetch_attr(target), self.owner
        if isinstance(module, (*LAYERS, nn.PReLU)):
            axis = 0
            if isinstance(module, nn.PReLU):
                axis = None
            elif getattr(module, "transposed", False):
                axis = 1
            weight = {"weight": owner.weight(module.weight, axis)}
            return functional_call(module, weight, args, kwargs)
        return super().call_module(target, args, kwargs)
