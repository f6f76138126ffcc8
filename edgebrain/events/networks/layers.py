"""Convolutions over (batch, channels, mels, frames), offline and streamed."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

#: BatchNorm's epsilon of YAMNet (Plakal and Ellis, 2020).
NORM_EPS = 1e-4


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Return what TensorFlow's "same" adds before and after an axis.

    >>> same_padding(64, 3, 2), same_padding(64, 3, 1)
    ((0, 1), (1, 1))
    """
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


class ShiftNorm(nn.BatchNorm2d):
    """BatchNorm with a bias and no factor.

    A layer after the ReLU takes any factor into its own weights.
    """

    def __init__(self, channels: int):
        super().__init__(channels, eps=NORM_EPS)
        del self._parameters["weight"]
        self.register_buffer("weight", torch.ones(channels), persistent=False)

    def reset_parameters(self) -> None:
        """Start from the bias 0; there is no factor."""
        self.reset_running_stats()
        nn.init.zeros_(self.bias)


class MelConv(nn.Module):
    """Convolution, BatchNorm, ReLU: "same" along mel, as asked along time.

    Arguments
    ---------
    mels : int
        Bands that come in.
    frames : int or None
        Frames that come in, for "same" along time as well; None: no padding
        along time ("valid"), so that a frame of the output depends on the
        same frames of the input whatever lies beside them.
    depthwise : bool
        A filter each channel; then ``out_channels`` equals ``in_channels``.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        mels: int,
        frames: int | None = None,
        kernel: int = 1,
        stride: int = 1,
        depthwise: bool = False,
    ):
        super().__init__()
        self.conv = nn.Conv2d(
            in_channels,
            out_channels,
            kernel,
            stride,
            groups=in_channels if depthwise else 1,
            bias=False,
        )
        self.norm = ShiftNorm(out_channels)
        along_time = (0, 0)
        if frames is not None:
            along_time = same_padding(frames, kernel, stride)
        self.padding = (*along_time, *same_padding(mels, kernel, stride))
        self.mels = -(-mels // stride)
        self.frames = None if frames is None else -(-frames // stride)
        #: Past frames of the input that a stream has to keep.
        self.memory = kernel - stride

    def forward(self, x: Tensor) -> Tensor:
        """Return (batch, out_channels, mels', frames')."""
        if any(self.padding):
            x = F.pad(x, self.padding)
        return F.relu(self.norm(self._convolved(x)))

    def _convolved(self, x: Tensor) -> Tensor:
        """Convolve; in training on a CPU, strides of filters by slicing.

        The values are the same. torch computes the gradient of a strided
        depthwise convolution on a CPU five times slower than that of one
        without strides.
        """
        conv = self.conv
        stride = conv.stride[0]
        sliced = self.training and conv.groups > 1 and stride > 1
        if not sliced or x.device.type != "cpu" or torch.jit.is_tracing():
            return conv(x)
        y = F.conv2d(x, conv.weight, groups=conv.groups)
        return y[..., ::stride, ::stride]
