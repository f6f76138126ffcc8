"""MiniResNet v1 and v2: short residual networks over log-mel patches.

The networks of the STM32 model zoo's audio event detection, after He et al.,
2016 (v1 and, with pre-activation, v2).
"""

from edgebrain.checks import Name, Number
from edgebrain.events.networks.base import EventModel
from torch import Tensor, nn
from torch.nn import functional as F

_EPS = 1.001e-5
_WIDTH = 64
_RULES = {
    "n_classes": Number(whole=True, least=2),
    "version": Number(whole=True, least=1, most=2),
    "n_stacks": Number(whole=True, least=1),
    "pooling": Name("pooling", ("none", "avg", "max")),
    "dropout": Number(least=0, most=0.95),
}


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=_EPS)


class _PostBlock(nn.Module):
    """1x1, 3x3, ReLU after the sum (v1)."""

    def __init__(self, inside: int, width: int, stride: int, first: bool):
        super().__init__()
        self.reduce = nn.Conv2d(inside, width, 1, stride)
        self.reduce_norm = _norm(width)
        self.conv = nn.Conv2d(width, width, 3, padding=1)
        self.conv_norm = _norm(width)
        self.shortcut = nn.Identity()
        if first:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inside, width, 1, stride), _norm(width)
            )

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.reduce_norm(self.reduce(x)))
        y = F.relu(self.conv_norm(self.conv(y)))
        return F.relu(self.shortcut(x) + y)


class _PreBlock(nn.Module):
    """BatchNorm and ReLU in front of each convolution (v2)."""

    def __init__(self, inside: int, width: int, stride: int, first: bool):
        super().__init__()
        self.norm = _norm(inside)
        self.reduce = nn.Conv2d(inside, width, 1, bias=False)
        self.reduce_norm = _norm(width)
        self.conv = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.shortcut = nn.Conv2d(inside, width, 1) if first else None
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.norm(x))
        if self.shortcut is not None:
            x = self.shortcut(y)
        elif self.stride > 1:
            x = F.max_pool2d(x, 1, self.stride)
        y = F.relu(self.reduce_norm(self.reduce(y)))
        return x + self.conv(y)


class MiniResNet(EventModel):
    """Convolution 7x7, max pooling, stacks of two residual blocks, dense.

    Arguments
    ---------
    n_classes : int
        A recipe sets it to that of the data.
    version : int
        1, or 2 for pre-activation.
    n_stacks : int
        Stack i has 64 * 2 ** i channels and halves bands and frames.
    pooling : str
        In front of the dense layer: "none" (flattened, as published), "avg"
        or "max".
    dropout : float
        Before the dense layer, in training.
    """

    def __init__(
        self,
        n_classes: int = 2,
        version: int = 1,
        n_stacks: int = 1,
        pooling: str = "none",
        mels: int = 64,
        patch_frames: int = 50,
        dropout: float = 0.0,
    ):
        super().__init__(n_classes, mels, patch_frames)
        self._keep(_RULES, locals())
        self.stem = nn.Conv2d(1, _WIDTH, 7, 2, padding=3)
        self.stem_norm = _norm(_WIDTH) if version == 1 else None
        blocks, width = [], _WIDTH
        for stack in range(n_stacks):
            inside, width = width, _WIDTH << stack
            if version == 1:
                blocks.append(_PostBlock(inside, width, 2, True))
                blocks.append(_PostBlock(width, width, 1, False))
            else:
                blocks.append(_PreBlock(inside, width, 1, True))
                blocks.append(_PreBlock(width, width, 2, False))
        self.blocks = nn.Sequential(*blocks)
        self.end_norm = _norm(width) if version == 2 else None
        size = width
        if pooling == "none":
            halvings = 2 + n_stacks
            for length in (mels, patch_frames):
                for _ in range(halvings):
                    length = -(-length // 2)
                size *= length
        self.drop = nn.Dropout(dropout)
        self.head = nn.Linear(size, n_classes)

    def forward(self, features: Tensor) -> Tensor:
        """Return logits (batch, n_classes) of patches (batch, mels, frames)."""
        x = self.stem(features.unsqueeze(1))
        if self.stem_norm is not None:
            x = F.relu(self.stem_norm(x))
        x = self.blocks(F.max_pool2d(x, 3, 2, padding=1))
        if self.end_norm is not None:
            x = F.relu(self.end_norm(x))
        if self.pooling == "avg":
            x = F.adaptive_avg_pool2d(x, 1)
        elif self.pooling == "max":
            x = F.max_pool2d(x, x.shape[2:])
        return self.head(self.drop(x.flatten(1)))
