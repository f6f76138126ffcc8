"""LSTM between 1x1 convolutions."""

from edgebrain.checks import Number
from edgebrain.enhancement.networks.prologue import (
    PROLOGUE_RULES,
    FeaturePrologue,
)
from edgebrain.enhancement.networks.recurrent import RecurrentMask
from edgebrain.models.blocks import (
    MASK_ACTIVATIONS,
    MASK_RULES,
    LSTMStack,
    PointwiseBlock,
)
from torch import Tensor, nn

_SIZES = ("in_channels", "hidden_size", "num_layers")
_RULES = {
    **dict.fromkeys(_SIZES, Number(whole=True, least=1)),
    **MASK_RULES,
    **PROLOGUE_RULES,
}


class ConvLSTM(RecurrentMask):
    """1x1 convolution block, LSTM, 1x1 convolution block, 1x1 convolution.

    With its defaults the network of the STM32 model zoo of that name, with
    1,253,385 parameters. Causal, no look-ahead.

    Arguments
    ---------
    in_channels : int
        Frequency bins, ``n_fft // 2 + 1``.
    hidden_size, num_layers : int
        Of the LSTM.
    mask_activation : str
        ``sigmoid`` or ``tanh``.
    prologue : str
        ``linear``, ``log1p`` or ``power``, see :mod:`.prologue`.
    prologue_exponent : float
        Of ``power``.
    """

    around = ("encoder", "decoder")

    def __init__(
        self,
        in_channels: int = 257,
        hidden_size: int = 256,
        num_layers: int = 2,
        mask_activation: str = "sigmoid",
        prologue: str = "linear",
        prologue_exponent: float = 0.3,
    ):
        super().__init__(in_channels)
        self._keep(_RULES, locals())
        self.front_end = FeaturePrologue(self.prologue, self.prologue_exponent)
        self.encoder = PointwiseBlock(self.in_channels, self.in_channels)
        self.lstm = LSTMStack(
            self.in_channels, self.hidden_size, self.num_layers
        )
        self.decoder = nn.Sequential(
            PointwiseBlock(self.hidden_size, self.in_channels),
            nn.Conv1d(self.in_channels, self.in_channels, 1),
            MASK_ACTIVATIONS[self.mask_activation](),
        )

    def forward(self, magnitude: Tensor) -> Tensor:
        """Return the mask of a whole clip, (batch, bins, frames)."""
        x = self.encoder(self.front_end(magnitude))
        return self.decoder(self.lstm(x))
