"""Parts that two or more networks share."""

from edgebrain.checks import Name
import torch
from torch import Tensor, nn
from torch.nn import functional as F

MASK_ACTIVATIONS = {"sigmoid": nn.Sigmoid, "tanh": nn.Tanh}
MASK_RULES = {"mask_activation": Name("mask activation", MASK_ACTIVATIONS)}


class _DepthwiseConv1d(torch.autograd.Function):
    """Depthwise dilated convolution with a fast gradient on the CPU.

    torch computes the forward pass fast and the gradient some eight times
    slower. The gradient with respect to the input is again such a
    convolution, of the flipped kernel; that with respect to the weight is k
    products of shifted signals.
    """

    @staticmethod
    def forward(ctx, x, weight, bias, padding, dilation):
        ctx.save_for_backward(x, weight)
        ctx.padding, ctx.dilation = padding, dilation
        ctx.has_bias = bias is not None
        return F.conv1d(
            x, weight, bias, 1, padding, dilation, groups=x.shape[1]
        )

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad):
        x, weight = ctx.saved_tensors
        kernel, groups = weight.shape[-1], weight.shape[0]
        grad_x = grad_weight = grad_bias = None
        if ctx.needs_input_grad[0]:
            full = (kernel - 1) * ctx.dilation
            grad_x = F.conv1d(
                grad,
                weight.flip(-1),
                None,
                1,
                full - ctx.padding,
                ctx.dilation,
                groups,
            )
        if ctx.needs_input_grad[1]:
            frames_in, frames_out = x.shape[-1], grad.shape[-1]
            taps = []
            for tap in range(kernel):
                # Output t reads input t + shift; outside lies the padding.
                shift = tap * ctx.dilation - ctx.padding
                first = max(0, -shift)
                last = max(first, min(frames_out, frames_in - shift))
                seen = x[..., first + shift : last + shift]
                taps.append((grad[..., first:last] * seen).sum((0, 2)))
            grad_weight = torch.stack(taps, -1).unsqueeze(1)
        if ctx.has_bias and ctx.needs_input_grad[2]:
            grad_bias = grad.sum((0, 2))
        return grad_x, grad_weight, grad_bias, None, None


class DepthwiseConv1d(nn.Conv1d):
    """One filter a channel: ``nn.Conv1d`` with a faster CPU gradient.

    ``padding`` is at most ``(kernel_size - 1) * dilation`` on both sides.
    Only training on the CPU takes another path than ``nn.Conv1d`` (the
    values are the same): exports hold an ordinary Conv.
    """

    def __init__(
        self,
        channels: int,
        kernel_size: int,
        dilation: int = 1,
        padding: int = 0,
        bias: bool = True,
    ):
        super().__init__(
            channels,
            channels,
            kernel_size,
            dilation=dilation,
            padding=padding,
            groups=channels,
            bias=bias,
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return (batch, channels, frames + 2 padding - context)."""
        fast = (
            self.training
            and torch.is_grad_enabled()
            and x.device.type == "cpu"
            and not torch.is_autocast_enabled("cpu")
            and not torch.jit.is_tracing()
            and not torch.compiler.is_compiling()
        )
        if not fast:
            return super().forward(x)
        return _DepthwiseConv1d.apply(
            x, self.weight, self.bias, self.padding[0], self.dilation[0]
        )


class PointwiseBlock(nn.Sequential):
    """1x1 convolution, BatchNorm, ReLU: (batch, in, t) -> (batch, out, t)."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__(
            nn.Conv1d(in_channels, out_channels, 1),
            nn.BatchNorm1d(out_channels),
            nn.ReLU(),
        )


class SingleBiasLSTM(nn.LSTM):
    """``nn.LSTM`` without the second, redundant bias of each layer.

    Keras and the fixed-point runtimes add one bias a gate. The recurrent
    one stays as a buffer of zeros, for torch's kernels take two.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        for name in [n for n in self._parameters if n.startswith("bias_hh")]:
            zeros = torch.zeros_like(self._parameters.pop(name).data)
            self.register_buffer(name, zeros, persistent=False)
        self._init_flat_weights()


class LSTMStack(nn.Module):
    """LSTM layers on (batch, channels, frames) with a named state.

    A step of one frame is written as a cell of two Linear layers, Slices and
    element-wise operations: embedded tools import that, and quantizers
    quantize it, but not the LSTM operator. Gate order i, f, g, o. With
    ``single_bias`` a gate has one bias instead of torch's two.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        dropout: float = 0.0,
        single_bias: bool = False,
    ):
        super().__init__()
        cls = SingleBiasLSTM if single_bias else nn.LSTM
        self.lstm = cls(
            input_size,
            hidden_size,
            num_layers,
            batch_first=True,
            # torch warns about dropout that has no next layer.
            dropout=dropout if num_layers > 1 else 0.0,
        )

    def state_shapes(self, first: int = 0) -> dict[str, tuple[int, ...]]:
        """Return the shape of each state without the batch dimension.

        ``first`` is the number of the first layer in ``lstm{n}_h`` and
        ``lstm{n}_c``.
        """
        return {
            f"lstm{first + layer}_{part}": (self.lstm.hidden_size,)
            for layer in range(self.lstm.num_layers)
            for part in "hc"
        }

    def forward(self, x: Tensor) -> Tensor:
        """Return (batch, hidden, frames), from a state of zeros."""
        return self.lstm(x.transpose(1, 2))[0].transpose(1, 2)

    def step(
        self, x: Tensor, state: list[Tensor]
    ) -> tuple[Tensor, list[Tensor]]:
        """Go on from ``state``: h and c of each layer, (batch, hidden) each.

        Returns (batch, hidden, frames) and the new state.
        """
        if x.shape[-1] == 1:
            return self._one_frame(x, state)
        if torch.jit.is_tracing():
            # An exported step of several frames is made of cells too.
            parts = []
            for t in range(int(x.shape[-1])):
                y, state = self._one_frame(x[..., t : t + 1], state)
                parts.append(y)
            return torch.cat(parts, dim=-1), state
        h, c = torch.stack(state[0::2]), torch.stack(state[1::2])
        y, (h, c) = self.lstm(x.transpose(1, 2), (h, c))
        new = [part for pair in zip(h, c, strict=True) for part in pair]
        return y.transpose(1, 2), new

    def _one_frame(
        self, x: Tensor, state: list[Tensor]
    ) -> tuple[Tensor, list[Tensor]]:
        y, new = x.squeeze(-1), []
        for layer in range(self.lstm.num_layers):
            h, c = state[2 * layer], state[2 * layer + 1]
            weight_ih, weight_hh, bias_ih, bias_hh = (
                getattr(self.lstm, f"{name}_l{layer}")
                for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            )
            gates = F.linear(y, weight_ih, bias_ih)
            gates = gates + F.linear(h, weight_hh, bias_hh)
            # Slices, not chunk: tools import Split in special cases only.
            n = self.lstm.hidden_size
            i = torch.sigmoid(gates[:, :n])
            f = torch.sigmoid(gates[:, n : 2 * n])
            g = torch.tanh(gates[:, 2 * n : 3 * n])
            o = torch.sigmoid(gates[:, 3 * n :])
            c = f * c + i * g
            y = o * torch.tanh(c)
            new += [y, c]
        return y.unsqueeze(-1), new
