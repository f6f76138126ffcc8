"""Your own network: edit this one, or write another class beside it.

``train.yaml`` names it by ``!new:custom_model.CustomModel``. It needs
``forward`` alone, and then trains, is scored, and exports in the offline
and the patch form.

What more it may say:

``causal = True``
    No mask frame depends on a later frame. This is verified before training.
``lookahead_frames``, ``receptive_field_frames``
    Printed with the latency; the patch form takes its context from the field.
``initial_state`` and ``step``
    The network then also runs frame by frame, which gives the streaming ONNX
    form, the C code and the state size in the table. For the network below::

        def initial_state(self, batch=1, device=None, dtype=None):
            like = self.enter[0].weight
            shape = (batch, self.hidden_size)
            return {
                "gru_h": torch.zeros(
                    shape, device=device or like.device, dtype=dtype
                )
            }

        def step(self, magnitude, state):
            x = self.features(magnitude).transpose(1, 2)
            x, h = self.gru(self.enter(x), state["gru_h"].unsqueeze(0))
            return self.mask(x).transpose(1, 2), {"gru_h": h[0]}

    ``edgebrain.models.check_step(CustomModel(), 257)`` then tells whether
    ``step`` over all frames equals ``forward``.
"""

from edgebrain.models import MaskModel
import torch
from torch import nn


class CustomModel(MaskModel):
    """Linear layer, GRU, linear layer and sigmoid: a small causal network.

    Arguments
    ---------
    bins : int
        Frequency bins, ``n_fft // 2 + 1``.
    hidden_size : int
        Width of the GRU.
    """

    causal = True
    lookahead_frames = 0

    def __init__(self, bins=257, hidden_size=128):
        super().__init__(bins)
        self.hidden_size = hidden_size
        self.enter = nn.Sequential(nn.Linear(bins, hidden_size), nn.ReLU())
        self.gru = nn.GRU(hidden_size, hidden_size, batch_first=True)
        self.mask = nn.Sequential(nn.Linear(hidden_size, bins), nn.Sigmoid())

    def features(self, magnitude):
        """Compress the magnitude, so that level matters less."""
        return torch.pow(magnitude, 0.3)

    def forward(self, magnitude):
        """Return the mask of the magnitude: (batch, bins, frames) both."""
        x = self.features(magnitude).transpose(1, 2)  # (batch, frames, bins)
        x, _ = self.gru(self.enter(x))
        return self.mask(x).transpose(1, 2)
