"""Plain LSTM mask estimator."""

from edgebrain.enhancement.networks.prologue import (
    FeaturePrologue,
    check_prologue,
)
from edgebrain.models.arguments import Arguments
from edgebrain.models.base import MaskModel, State, zero_state
from edgebrain.models.blocks import MASK_ACTIVATIONS, LSTMStack
from torch import Tensor, nn


class LSTMMask(MaskModel):
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
        hidden_size: int = 224,
        num_layers: int = 2,
        projection_size: int | None = None,
        mask_activation: str = "sigmoid",
        dropout: float = 0.0,
        prologue: str = "power",
        prologue_exponent: float = 0.3,
    ):
        check = Arguments("LSTMMask")
        check.integer("in_channels", in_channels)
        check.integer("hidden_size", hidden_size)
        check.integer("num_layers", num_layers)
        if projection_size is not None:
            check.integer("projection_size", projection_size)
        check.choice("mask_activation", mask_activation, MASK_ACTIVATIONS)
        check.number("dropout", dropout, 0.0, 1.0)
        check_prologue(check, prologue, prologue_exponent)
        check.finish()

        super().__init__(in_channels)
        self.in_channels = in_channels
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.projection_size = projection_size
        self.mask_activation = mask_activation
        self.dropout = dropout
        self.prologue = prologue
        self.prologue_exponent = prologue_exponent

        self.front_end = FeaturePrologue(prologue, prologue_exponent)
        width, self.project = in_channels, nn.Identity()
        if projection_size is not None:
            width = projection_size
            self.project = nn.Conv1d(in_channels, width, 1)
        self.lstm = LSTMStack(width, hidden_size, num_layers, dropout)
        self.output = nn.Sequential(
            nn.Conv1d(hidden_size, in_channels, 1),
            MASK_ACTIVATIONS[mask_activation](),
        )

    def forward(self, magnitude: Tensor) -> Tensor:
        """Return the mask of a whole clip, (batch, bins, frames)."""
        x = self.project(self.front_end(magnitude))
        return self.output(self.lstm(x))

    def initial_state(self, batch=1, device=None, dtype=None) -> State:
        """Return a zero h and c for each LSTM layer."""
        shapes = self.lstm.state_shapes()
        return zero_state(self, shapes, batch, device, dtype)

    def step(self, magnitude: Tensor, state: State) -> tuple[Tensor, State]:
        """Return the masks of the next frames and the new h and c."""
        names = list(self.lstm.state_shapes())
        self._check_state(state, names)
        x = self.project(self.front_end(magnitude))
        x, new = self.lstm.step(x, list(state.values()))
        return self.output(x), dict(zip(names, new, strict=True))
