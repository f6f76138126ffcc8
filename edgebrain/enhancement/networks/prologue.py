"""From magnitude to what a network sees; part of the graph of every form.

How a network answers to a change of level is decided here. ``linear`` scales
with the input, so a network trained at one level fails at another unless the
training varies the level. ``power`` with exponent p turns a gain g into g^p
(20 dB become 6 dB at 0.3); ``log1p`` is linear for small and logarithmic for
large magnitudes. None of them amplifies the noise of a quiet input without
bound, as a logarithm with a tiny floor does.

Firmware that hands over magnitudes as int8, as ST's audio application does,
decides on a part of it too: what is below half a step is gone before any
prologue. A network for it is trained with that rounding.
"""

from edgebrain.checks import Name, Number
import torch
from torch import Tensor, nn

#: Rules of the arguments that a network hands on to its prologue.
PROLOGUE_RULES = {
    "prologue": Name("prologue", ("linear", "log1p", "power")),
    "prologue_exponent": Number(least=0.01, most=2),
    "int8_step": Number(least=1e-6, most=1, optional=True),
}


class FeaturePrologue(nn.Module):
    """Compress the magnitude, bin by bin and frame by frame.

    Arguments
    ---------
    kind : str
        ``linear`` |X|, ``log1p`` log(1 + |X|) or ``power`` |X|^exponent.
    exponent : float
        Of ``power``. Its gradient with respect to the input is unbounded at
        zero; a magnitude that enters a network needs none.
    int8_step : float, optional
        The magnitude arrives as int8: round it to 0 to 255 such steps first.
    """

    def __init__(
        self,
        kind: str = "linear",
        exponent: float = 0.3,
        int8_step: float | None = None,
    ):
        super().__init__()
        self.kind = kind
        self.exponent = exponent
        self.int8_step = int8_step

    def forward(self, magnitude: Tensor) -> Tensor:
        """Return the features, the shape of the magnitude, zero at zero."""
        if self.int8_step is not None:
            # QuantizeLinear and DequantizeLinear in an ONNX file.
            magnitude = torch.fake_quantize_per_tensor_affine(
                magnitude, self.int8_step, -128, -128, 127
            )
        if self.kind == "log1p":
            return torch.log1p(magnitude)
        if self.kind == "power":
            return magnitude**self.exponent
        return magnitude
