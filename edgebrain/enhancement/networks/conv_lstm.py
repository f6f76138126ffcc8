"""LSTM between 1x1 convolutions."""

from edgebrain.enhancement.networks.prologue import (
    FeaturePrologue,
    check_prologue,
)
from edgebrain.models.arguments import Arguments
from edgebrain.models.base import MaskModel, State, zero_state
from edgebrain.models.blocks import (
    MASK_ACTIVATIONS,
    LSTMStack,
    PointwiseBlock,
)
from torch import Tensor, nn


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
        check = Arguments("ConvLSTM")
        check.integer("in_channels", in_channels)
        check.integer("hidden_size", hidden_size)
        check.integer("num_layers", num_layers)
        check.choice("mask_activation", mask_activation, MASK_ACTIVATIONS)
        check_prologue(check, prologue, prologue_exponent)
        check.finish()

        super().__init__(in_channels)
        self.in_channels = in_channels
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.mask_activation = mask_activation
        self.prologue = prologue
        self.prologue_exponent = prologue_exponent

        self.front_end = FeaturePrologue(prologue, prologue_exponent)
        self.encoder = PointwiseBlock(in_channels, in_channels)
        self.lstm = LSTMStack(in_channels, hidden_size, num_layers)
        self.decoder = nn.Sequential(
            PointwiseBlock(hidden_size, in_channels),
            nn.Conv1d(in_channels, in_channels, 1),
            MASK_ACTIVATIONS[mask_activation](),
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
