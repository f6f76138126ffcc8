"""What mask networks around an LSTM share."""

from edgebrain.models.base import MaskModel, State
from torch import Tensor


class RecurrentMask(MaskModel):
    """A front end, layers, an LSTM and layers; causal, no look-ahead.

    A subclass builds ``front_end``, ``lstm`` and the layers before and behind
    that, whose attributes it names in ``around``.

    Notes
    -----
    States: ``lstm{n}_h`` and ``lstm{n}_c`` of each layer, (batch,
    hidden_size).
    """

    causal = True
    lookahead_frames = 0
    around: tuple[str, str]

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return those of h and c of each LSTM layer."""
        return self.lstm.state_shapes()

    def step(self, magnitude: Tensor, state: State) -> tuple[Tensor, State]:
        """Return the masks of the next frames and the new h and c."""
        self._check_state(state)
        before, behind = (getattr(self, name) for name in self.around)
        x = before(self.front_end(magnitude))
        x, new = self.lstm.step(x, list(state.values()))
        return behind(x), dict(zip(state, new, strict=True))
