"""LSTM between 1x1 convolutions."""

from edgebrain.checks import Number
from edgebrain.enhancement.networks.prologue import (
    PROLOGUE_RULES,
    FeaturePrologue,
)
from edgebrain.models.base import MaskModel, State, zero_state
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


class ConvLSTM(MaskModel):
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

    Notes
    -----
    States: ``lstm{n}_h`` and ``lstm{n}_c`` of each layer, (batch,
    hidden_size).
    """

    causal = True
    lookahead_frames = 0

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
        self._keep(
            _RULES,
            in_channels=in_channels,
            hidden_size=hidden_size,
            num_layers=num_layers,
            mask_activation=mask_activation,
            prologue=prologue,
            prologue_exponent=prologue_exponent,
        )
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

    def initial_state(self, batch=1, device=None, dtype=None) -> State:
        """Return a zero h and c for each LSTM layer."""
        shapes = self.lstm.state_shapes()
        return zero_state(self, shapes, batch, device, dtype)

    def step(self, magnitude: Tensor, state: State) -> tuple[Tensor, State]:
        """Return the masks of the next frames and the new h and c."""
        names = list(self.lstm.state_shapes())
        self._check_state(state, names)
        x = self.encoder(self.front_end(magnitude))
        x, new = self.lstm.step(x, list(state.values()))
        return self.decoder(x), dict(zip(names, new, strict=True))
