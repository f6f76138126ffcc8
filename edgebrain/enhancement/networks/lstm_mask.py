"""Plain LSTM mask estimator."""

from edgebrain.checks import Number
from edgebrain.enhancement.networks.prologue import (
    PROLOGUE_RULES,
    FeaturePrologue,
)
from edgebrain.enhancement.networks.recurrent import RecurrentMask
from edgebrain.models.blocks import MASK_ACTIVATIONS, MASK_RULES, LSTMStack
from torch import Tensor, nn

_SIZES = ("in_channels", "hidden_size", "num_layers")
_RULES = {
    **dict.fromkeys(_SIZES, Number(whole=True, least=1)),
    "projection_size": Number(whole=True, least=1, optional=True),
    "dropout": Number(least=0, most=1),
    **MASK_RULES,
    **PROLOGUE_RULES,
}


class LSTMMask(RecurrentMask):
    """LSTM layers and a linear layer; 893,793 parameters by default.

    The mask estimator of F. Weninger et al., "Speech enhancement with LSTM
    recurrent neural networks and its application to noise-robust ASR",
    LVA/ICA 2015, one-directional. Causal, no look-ahead.

    Arguments
    ---------
    in_channels : int
        Frequency bins, ``n_fft // 2 + 1``.
    hidden_size, num_layers : int
        Of the LSTM.
    projection_size : int, optional
        Width of a linear layer in front of the LSTM; None: no such layer.
    mask_activation : str
        ``sigmoid`` or ``tanh``.
    dropout : float
        Between LSTM layers, 0 to 1.
    prologue : str
        ``linear``, ``log1p`` or ``power``, see :mod:`.prologue`.
    prologue_exponent : float
        Of ``power``.
    """

    around = ("project", "output")

    def __init__(
        self,
        in_channels: int = 257,
        hidden_size: int = 224,
        num_layers: int = 2,
        projection_size: int | None = None,
        mask_activation: str = "sigmoid",
        dropout: float = 0.0,
        prologue: str = "power",
        prologue_exponent: float = 0.3,
    ):
        super().__init__(in_channels)
        self._keep(_RULES, locals())
        self.front_end = FeaturePrologue(self.prologue, self.prologue_exponent)
        width, self.project = self.in_channels, nn.Identity()
        if self.projection_size is not None:
            width = self.projection_size
            self.project = nn.Conv1d(self.in_channels, width, 1)
        self.lstm = LSTMStack(
            width, self.hidden_size, self.num_layers, self.dropout
        )
        self.output = nn.Sequential(
            nn.Conv1d(self.hidden_size, self.in_channels, 1),
            MASK_ACTIVATIONS[self.mask_activation](),
        )

    def forward(self, magnitude: Tensor) -> Tensor:
        """Return the mask of a whole clip, (batch, bins, frames)."""
        x = self.project(self.front_end(magnitude))
        return self.output(self.lstm(x))
