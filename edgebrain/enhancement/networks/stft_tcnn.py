"""Temporal convolutional network on STFT magnitudes."""

import math

from edgebrain.checks import Name, Number, switch
from edgebrain.enhancement.networks.prologue import (
    PROLOGUE_RULES,
    FeaturePrologue,
)
from edgebrain.errors import UserError
from edgebrain.models.base import MaskModel, State
from edgebrain.models.blocks import (
    MASK_ACTIVATIONS,
    MASK_RULES,
    DepthwiseConv1d,
)
import torch
from torch import Tensor, nn
from torch.nn import functional as F

ACTIVATIONS = {"relu": nn.ReLU, "prelu": nn.PReLU}
_SIZES = "n_blocks num_layers in_channels tcn_latent_dim init_dilation".split()
_RULES = {
    **dict.fromkeys([*_SIZES, "kernel_size"], Number(whole=True, least=1)),
    "bottleneck_channels": Number(whole=True, least=1, optional=True),
    "linear_bins": Number(whole=True, least=1, optional=True),
    "lookahead_frames": Number(whole=True, least=0),
    "causal": switch,
    "activation": Name("activation", ACTIVATIONS),
    **MASK_RULES,
    **PROLOGUE_RULES,
}


class ResidualLayer(nn.Module):
    """1x1 up, depthwise dilated convolution over time, 1x1 down, residual.

    The temporal convolutional module of A. Pandey and D. Wang, "TCNN:
    temporal convolutional neural network for real-time speech enhancement in
    the time domain", ICASSP 2019, with BatchNorm.

    Notes
    -----
    The causal form pads zeros on the left by a layer of its own and leaves
    the convolution unpadded: this exports to a Conv with one-sided pads,
    with BatchNorm folded, where padding both sides and cutting does not.
    """

    def __init__(
        self,
        channels: int,
        hidden: int,
        kernel_size: int,
        dilation: int,
        causal: bool,
        activation: str,
    ):
        super().__init__()
        self.context = (kernel_size - 1) * dilation
        self.expand = nn.Sequential(
            nn.Conv1d(channels, hidden, 1, bias=False),
            nn.BatchNorm1d(hidden),
            ACTIVATIONS[activation](),
        )
        left = self.context if causal else 0
        self.pad = nn.ConstantPad1d((left, 0), 0.0) if left else nn.Identity()
        self.contract = nn.Sequential(
            DepthwiseConv1d(
                hidden,
                kernel_size,
                dilation,
                padding=0 if causal else self.context // 2,
            ),
            nn.BatchNorm1d(hidden),
            ACTIVATIONS[activation](),
            nn.Conv1d(hidden, channels, 1, bias=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return (batch, channels, frames)."""
        return x + self.contract(self.pad(self.expand(x)))

    def step(self, x: Tensor, cache: Tensor) -> tuple[Tensor, Tensor]:
        """Go on from ``cache``, (batch, hidden, context).

        It holds the last inputs of the depthwise convolution; context is
        ``(kernel_size - 1) * dilation`` frames.
        """
        seen = torch.cat([cache, self.expand(x)], dim=-1)
        return x + self.contract(seen), seen[..., -self.context :]


def _bands(bins: int, count: int, linear: int) -> Tensor:
    """Return triangles (count, bins) whose sum is 1 in each bin."""
    places = torch.arange(bins)
    # The last linear bin is the foot of the first triangle.
    top = torch.logspace(
        math.log2(linear - 1), math.log2(bins - 1), count - linear + 1, base=2
    )
    tops = torch.cat([torch.arange(linear), top[1:]])
    after = torch.searchsorted(tops, places).clamp(1, count - 1)
    share = (places - tops[after - 1]) / (tops[after] - tops[after - 1])
    bands = torch.zeros(count, bins)
    bands[after - 1, places] = 1 - share
    bands[after, places] = share
    return bands


class STFTTCNN(MaskModel):
    """Blocks of residual temporal layers between magnitude and mask.

    Layer i of a block has dilation ``init_dilation ** i``. With
    ``causal=False, n_blocks=2, num_layers=3`` it is the published *medium*
    network of the STM32 model zoo, with 1,603,584 parameters and 14 frames
    of look-ahead.

    Arguments
    ---------
    n_blocks, num_layers : int
        Blocks, and layers a block.
    in_channels : int
        Frequency bins, ``n_fft // 2 + 1``.
    tcn_latent_dim : int
        Channels of the depthwise convolutions.
    init_dilation : int
        Base of the dilations.
    mask_activation : str
        ``sigmoid`` or ``tanh``.
    causal : bool
        See no frame after ``lookahead_frames``; runs on a stream.
    kernel_size : int
        Frames of a depthwise kernel; odd when not causal.
    activation : str
        ``relu`` or ``prelu`` (one slope a layer).
    bottleneck_channels : int, optional
        Run the blocks at this width, between a 1x1 convolution in and one
        out. None: at ``in_channels``, as published.
    linear_bins : int, optional
        Start those two convolutions as bands: this many bins as they are,
        the rest in triangles on a logarithmic scale of frequency, as the
        ear has it, ``bottleneck_channels`` in all. None: at random.
    lookahead_frames : int
        Of a causal network: its mask comes this many frames late and
        has seen so much more. That of one not causal follows from its
        layers: leave it 0.
    prologue : str
        ``linear``, ``log1p`` or ``power``, see :mod:`.prologue`.
    prologue_exponent : float
        Of ``power``.
    int8_step : float, optional
        The magnitude arrives as int8 in such steps, see :mod:`.prologue`;
        with a power of two all forms round alike. None: it arrives in float.

    Raises
    ------
    UserError
        Listing every bad argument.

    Notes
    -----
    In front of a clip stand zeros at each depthwise convolution, in
    training as in the first steps of a stream (``initial_state``). A window
    cut out of a longer signal should be given its true past instead.

    States: ``block{b}_layer{l}_cache``, (batch, tcn_latent_dim,
    (kernel_size - 1) * dilation).
    """

    def __init__(
        self,
        n_blocks: int = 3,
        num_layers: int = 6,
        in_channels: int = 257,
        tcn_latent_dim: int = 512,
        init_dilation: int = 2,
        mask_activation: str = "sigmoid",
        causal: bool = True,
        kernel_size: int = 3,
        activation: str = "relu",
        bottleneck_channels: int | None = None,
        linear_bins: int | None = None,
        lookahead_frames: int = 0,
        prologue: str = "linear",
        prologue_exponent: float = 0.3,
        int8_step: float | None = None,
    ):
        super().__init__(in_channels)
        self._keep(_RULES, locals())
        field = 1 + self.n_blocks * (self.kernel_size - 1) * sum(
            self.init_dilation**i for i in range(self.num_layers)
        )
        self.receptive_field_frames = field
        problems = []
        if self.linear_bins is not None and not (
            self.linear_bins + 2
            <= (self.bottleneck_channels or 0)
            <= self.in_channels
        ):
            problems.append(
                "linear_bins must be at least 2 below bottleneck_channels, "
                f"and that at most in_channels, got {self.linear_bins}, "
                f"{self.bottleneck_channels} and {self.in_channels}"
            )
        if not self.causal and self.kernel_size % 2 == 0:
            problems.append(
                "kernel_size must be odd when causal is False, got "
                f"{self.kernel_size}"
            )
        if not self.causal and self.lookahead_frames not in (0, field // 2):
            problems.append(
                "lookahead_frames of a network that is not causal follows "
                f"from its layers ({field // 2}): leave it 0, got "
                f"{self.lookahead_frames}"
            )
        if problems:
            raise UserError.collect("STFTTCNN", problems)
        if not self.causal:
            self.lookahead_frames = field // 2

        self.front_end = FeaturePrologue(
            self.prologue, self.prologue_exponent, self.int8_step
        )
        width = self.bottleneck_channels or self.in_channels
        self.enter, self.leave = nn.Identity(), nn.Identity()
        if self.bottleneck_channels is not None:
            self.enter = nn.Conv1d(self.in_channels, width, 1)
            self.leave = nn.Conv1d(width, self.in_channels, 1)
        if self.linear_bins is not None:
            bands = _bands(self.in_channels, width, self.linear_bins)
            mean = bands / bands.sum(1, keepdim=True)
            self.enter.weight.data = mean.unsqueeze(-1)
            self.leave.weight.data = bands.T.contiguous().unsqueeze(-1)
            nn.init.zeros_(self.enter.bias)
            nn.init.zeros_(self.leave.bias)
        self.blocks = nn.ModuleDict(
            {
                f"block{block}_layer{layer}": ResidualLayer(
                    width,
                    self.tcn_latent_dim,
                    self.kernel_size,
                    self.init_dilation**layer,
                    self.causal,
                    self.activation,
                )
                for block in range(self.n_blocks)
                for layer in range(self.num_layers)
            }
        )
        self.mask = MASK_ACTIVATIONS[self.mask_activation]()

    def forward(self, magnitude: Tensor) -> Tensor:
        """Return the mask of a whole clip, (batch, bins, frames)."""
        late = self.lookahead_frames if self.causal else 0
        if late:
            magnitude = F.pad(magnitude, (0, late))
        x = self.enter(self.front_end(magnitude))
        for layer in self.blocks.values():
            x = layer(x)
        mask = self.mask(self.leave(x))
        return mask[..., late:] if late else mask

    def step(self, magnitude: Tensor, state: State) -> tuple[Tensor, State]:
        """Return the masks of the next frames and the new caches."""
        self._check_state(state)
        x = self.enter(self.front_end(magnitude))
        new = {}
        for name, layer in self.blocks.items():
            if layer.context:
                key = f"{name}_cache"
                x, new[key] = layer.step(x, state[key])
            else:
                x = layer(x)
        return self.mask(self.leave(x)), new

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return those of the caches, one for each layer that looks back."""
        return {
            f"{name}_cache": (self.tcn_latent_dim, layer.context)
            for name, layer in self.blocks.items()
            if layer.context
        }
