"""Depthwise separable networks: YAMNet, and one that runs on a stream."""

from collections.abc import Sequence

from edgebrain.checks import Name, Number
from edgebrain.errors import UserError
from edgebrain.events.networks.base import EventModel
from edgebrain.events.networks.layers import MelConv
from edgebrain.models.base import State
import torch
from torch import Tensor, nn
from torch.nn import functional as F

_SHORT = ((1, 64), (2, 128), (1, 128), (2, 256), (1, 256))
_LONG = ((2, 512), *((1, 512),) * 5, (2, 1024), (1, 1024))
#: Stride and channels of the pairs of depthwise and pointwise layers, by the
#: size of the embedding (Plakal and Ellis, 2020, and its first five pairs).
YAMNET = {256: _SHORT, 1024: (*_SHORT, *_LONG)}
_STEM = 32
#: Part of the largest value of a layer that each channel is taken to reach.
_LEAST_REACH = 0.01
_KERNEL = 3
_RULES = {
    "n_classes": Number(whole=True, least=2),
    "dropout": Number(least=0, most=0.95),
    "time_padding": Name("time_padding", ("valid", "same")),
    "parts": Number(whole=True, least=1),
}


class SeparableNet(EventModel):
    """Convolution, then pairs of depthwise and pointwise; mean; dense.

    Every convolution is 3x3 or 1x1 with BatchNorm and ReLU. Without padding
    along time ("valid") the network is causal: each ``step_frames`` frames
    make one column of the embedding, and the logits are those of the mean of
    the last columns. A device then computes each column once, as frames
    arrive, and gets what the patch form gives.

    Arguments
    ---------
    n_classes : int
        A recipe sets it to that of the data.
    stem : int
        Channels of the first convolution, of stride 2.
    blocks : sequence of (int, int)
        Stride and channels of each pair.
    time_padding : str
        "valid", or "same": zeros beside the patch, as Keras pads.
    dropout : float
        Before the dense layer, in training.
    parts : int
        Of the mel axis, low to high, that the mean is taken over one by one:
        the dense layer then knows where a channel was heard.
    """

    def __init__(
        self,
        n_classes: int = 2,
        stem: int = _STEM,
        blocks: Sequence[Sequence[int]] = _SHORT,
        time_padding: str = "valid",
        mels: int = 64,
        patch_frames: int = 96,
        dropout: float = 0.0,
        parts: int = 1,
    ):
        super().__init__(n_classes, mels, patch_frames)
        self.stem = stem
        self.blocks = [[int(s), int(c)] for s, c in blocks]
        self._keep(_RULES, locals())
        self.causal = time_padding == "valid"
        self.backbone = nn.ModuleList()
        channels, bands = 1, mels
        frames = None if self.causal else patch_frames
        layers = [(_KERNEL, 2, False, stem)]
        for stride, width in self.blocks:
            layers += [(_KERNEL, stride, True, None), (1, 1, False, width)]
        for kernel, stride, depthwise, width in layers:
            layer = MelConv(
                channels,
                width or channels,
                bands,
                frames,
                kernel,
                stride,
                depthwise,
            )
            self.backbone.append(layer)
            channels, bands, frames = (
                width or channels,
                layer.mels,
                layer.frames,
            )
        if bands % parts:
            raise UserError(
                f"{type(self).__name__}: parts: {bands} bands are left of "
                f"{mels}, which {parts} parts cannot share"
            )
        self.embedding_size = channels * parts
        self.drop = nn.Dropout(dropout)
        self.head = nn.Linear(self.embedding_size, n_classes)
        self.step_frames, field = 1, 1
        for layer in reversed(self.backbone):
            kernel, stride = layer.conv.kernel_size[0], layer.conv.stride[0]
            field = (field - 1) * stride + kernel
            self.step_frames *= stride
        self.columns = 1 + (patch_frames - field) // self.step_frames
        if self.causal and self.columns < 1:
            raise UserError(
                f"{type(self).__name__}: patch_frames {patch_frames}: a column "
                f"needs {field} frames"
            )
        if self.causal:
            self.lookahead_frames = 0
            self.receptive_field_frames = (
                field + (self.columns - 1) * self.step_frames
            )

    def embed(self, features: Tensor) -> Tensor:
        """Return the columns (batch, embedding_size, frames') of a patch."""
        return self._maps(features).mean(2)

    def _maps(self, features: Tensor) -> Tensor:
        x = features.unsqueeze(1)
        for layer in self.backbone:
            x = layer(x)
        return self._parted(x)

    def _parted(self, x: Tensor) -> Tensor:
        """Return (batch, channels * parts, mels' / parts, frames')."""
        if self.parts == 1:
            return x
        return x.reshape(x.shape[0], self.embedding_size, -1, x.shape[3])

    def forward(self, features: Tensor) -> Tensor:
        """Return the logits of a log-mel patch.

        Arguments
        ---------
        features : Tensor
            (batch, mels, frames).

        Returns
        -------
        Tensor
            (batch, n_classes).
        """
        # One mean over both axes, which int8 runtimes compute in integers.
        mean = F.adaptive_avg_pool2d(self._maps(features), 1).flatten(1)
        return self.head(self.drop(mean))

    @torch.no_grad()
    def equalize(self, features: Tensor) -> None:
        """Share factors out between layers, so that integers lose less.

        ReLU lets a factor of a channel through: what leaves a layer is
        divided by it, and the next layer takes it into its weights, so that
        the network gives what it gave (cross-layer equalization, Nagel et
        al., 2019, arXiv 1906.04721). In front of a depthwise layer, where
        each channel has a scale of its own, all channels get one largest
        value; elsewhere what a row of weights has to hold counts as much.
        Running statistics of BatchNorm must not move afterwards.

        Arguments
        ---------
        features : Tensor
            (n, mels, frames): patches by which values are judged.
        """
        x = features.unsqueeze(1)
        for number, layer in enumerate(self.backbone):
            x = layer(x)
            factor = x.amax((0, 2, 3))
            # A channel that is hardly heard here may be heard elsewhere.
            factor = factor.clamp(min=_LEAST_REACH * factor.max())
            after = self.head
            if number + 1 < len(self.backbone):
                after = self.backbone[number + 1].conv
            depthwise = getattr(after, "groups", 1) > 1
            if not depthwise:
                column = after.weight.abs().transpose(0, 1).flatten(1).amax(1)
                # The parts of a channel stand side by side.
                column = column.view(len(factor), -1).amax(1)
                factor = (factor / column.clamp(min=1e-9)).sqrt()
            # What counts are the ratios.
            factor = factor / factor.max()
            shape = (-1, *[1] * (after.weight.dim() - 1))
            if depthwise:
                after.weight.mul_(factor.view(shape))
            else:
                wide = after.weight.shape[1] // len(factor)
                wide = factor.repeat_interleave(wide)
                after.weight.mul_(wide.view(1, *shape[:-1]))
            shape = (-1, 1, 1, 1)
            layer.conv.weight.div_(factor.view(shape))
            layer.norm.bias.div_(factor)
            layer.norm.running_mean.div_(factor)
            x = x / factor.view(1, -1, 1, 1)

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return those of ``past{i}`` of each 3x3 layer, then ``columns``."""
        shapes, bands = {}, self.mels
        for number, layer in enumerate(self.backbone):
            if layer.memory:
                wide = layer.conv.in_channels
                shapes[f"past{number}"] = (wide, bands, layer.memory)
            bands = layer.mels
        if self.columns > 1:
            shapes["columns"] = (self.embedding_size, self.columns - 1)
        return shapes

    def step(self, features: Tensor, state: State) -> tuple[Tensor, State]:
        """Return the logits after the next ``step_frames`` frames.

        Arguments
        ---------
        features : Tensor
            (batch, mels, step_frames).

        Returns
        -------
        logits : Tensor
            (batch, n_classes): those of ``forward`` on the newest
            ``receptive_field_frames`` frames, once so many were given.
        state : dict of str to Tensor
        """
        new, x = {}, features.unsqueeze(1)
        for number, layer in enumerate(self.backbone):
            if layer.memory:
                x = torch.cat([state[f"past{number}"], x], 3)
                new[f"past{number}"] = x[..., -layer.memory :]
            x = layer(x)
        x = self._parted(x).mean(2)
        if self.columns > 1:
            x = torch.cat([state["columns"], x], 2)
            new["columns"] = x[..., 1:]
        return self.head(x.mean(2)), new


class YAMNet(SeparableNet):
    """YAMNet with an embedding of 256 or 1024 (Plakal and Ellis, 2020).

    Arguments
    ---------
    n_classes : int
        A recipe sets it to that of the data.
    embedding : int
        256: the first convolution and five pairs; 1024: all of it.
    time_padding : str
        "same" is the published network; "valid" can be streamed.
    mels, patch_frames : int
        Those of the published weights are 64 and 96.
    dropout, parts
        As of :class:`SeparableNet`.
    """

    def __init__(
        self,
        n_classes: int = 2,
        embedding: int = 256,
        time_padding: str = "valid",
        mels: int = 64,
        patch_frames: int = 96,
        dropout: float = 0.0,
        parts: int = 1,
    ):
        if embedding not in YAMNET:
            raise UserError(
                f"YAMNet: embedding: 256 or 1024, not {embedding!r}"
            )
        super().__init__(
            n_classes,
            _STEM,
            YAMNET[embedding],
            time_padding,
            mels,
            patch_frames,
            dropout,
            parts,
        )
        self.embedding = embedding
