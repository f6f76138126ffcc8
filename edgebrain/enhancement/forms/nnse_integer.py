"""The arithmetic of Ambiq's NNSE runtime in numpy, bit for bit.

8-bit weights, 16-bit activations, power-of-two scales: Qn holds x * 2^n.
This is the form with 64-bit accumulators; with 32-bit ones that runtime
computes wrong sums where the Q of weights and input add up to less than 15.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

#: Fraction bits of what an activation gives.
OUTPUT_Q = {"ftanh": 15, "sigmoid": 15, "relu6": 12, "linear": 15}
INPUT_Q = 8
_INT16 = (-(1 << 15), (1 << 15) - 1)
_INT32 = (-(1 << 31), (1 << 31) - 1)
_STEP = 10  # 1/32 in Q15
_HALF_STEP = 1 << (_STEP - 1)
_END = 5 << 15
_CENTRES = (np.arange(192) / 32 + 2.0**-6).astype(np.float64)
_TANH_VALUE = np.floor(2.0**15 * np.tanh(_CENTRES)).astype(np.int64)
_TANH_SLOPE = np.floor(2.0**15 * (1 - np.tanh(_CENTRES) ** 2)).astype(np.int64)


@dataclass(frozen=True)
class Layer:
    """One layer in integers; q_...: fraction bits."""

    kind: str  # fc or lstm
    activation: str  # ftanh, sigmoid, relu6 or linear; of an lstm ftanh
    #: int8; fc: (outputs, inputs); lstm: (4, units, inputs), gates i, g, f, o.
    kernel: np.ndarray
    bias: np.ndarray  # int16; (outputs,) or (4, units)
    recurrent: np.ndarray | None  # int8, (4, units, units)
    q_kernel: int
    q_input: int
    q_bias: int

    @property
    def units(self) -> int:
        """Outputs of the layer."""
        return self.kernel.shape[-2]

    @cached_property
    def factors(self) -> tuple[np.ndarray, np.ndarray | None]:
        """Kernel and recurrent kernel as (inputs, outputs) in float64.

        Sums of so few products are exact in it, and far faster than in
        int64.
        """
        flat = [
            None
            if part is None
            else part.reshape(-1, part.shape[-1]).T.astype(np.float64)
            for part in (self.kernel, self.recurrent)
        ]
        return flat[0], flat[1]


def tanh_fix(x: np.ndarray) -> np.ndarray:
    """Return tanh of integers in Q15 by a table of 192 values and slopes.

    int64 within int16, Q15; at most 12 units beside tanh.
    """
    x = np.asarray(x, np.int64)
    size = np.abs(x)
    index = np.maximum((size - _HALF_STEP) >> _STEP, 0)
    rest = size - _HALF_STEP - (index << _STEP)
    index = np.minimum(index, len(_TANH_VALUE) - 1)
    # Beyond the end the product is not used, but must not overflow.
    rest = np.minimum(rest, 1 << _STEP)
    y = _TANH_VALUE[index] + ((rest * _TANH_SLOPE[index]) >> 15)
    y = np.where(size >= _END, 0x7FFF, y)
    return np.where(x < 0, -y, y)


def sigmoid_fix(x: np.ndarray) -> np.ndarray:
    """Return (tanh(x / 2) + 1) / 2 in Q15, as :func:`tanh_fix`."""
    return (tanh_fix(np.asarray(x, np.int64) >> 1) >> 1) + 16384


def relu6_fix(x: np.ndarray) -> np.ndarray:
    """Return min(max(x, 0), 6) in Q12 of x in Q15."""
    return np.clip(np.asarray(x, np.int64) >> 3, 0, 24576)


def linear_fix(x: np.ndarray) -> np.ndarray:
    """Return x, int32 in Q15."""
    return np.asarray(x, np.int64)


ACTIVATIONS = {
    "ftanh": tanh_fix,
    "sigmoid": sigmoid_fix,
    "relu6": relu6_fix,
    "linear": linear_fix,
}


def fully_connected(layer: Layer, x: np.ndarray) -> np.ndarray:
    """Return what an fc layer gives, int64 (frames, outputs)."""
    total = _products(x, layer.factors[0])
    q = layer.q_kernel + layer.q_input
    total = _to_q15(total, q, layer)
    return ACTIVATIONS[layer.activation](total)


def lstm(
    layer: Layer, x: np.ndarray, h: np.ndarray, c: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return what an lstm layer gives, int64 (frames, units), and its state.

    ``x`` are integers within int16, (frames, inputs); ``h`` within int16 and
    ``c`` within int32 both Q15, (units,).
    """
    units = layer.units
    kernel, recurrent = layer.factors
    from_input = _products(x, kernel) << (15 - layer.q_input)
    q = layer.q_kernel + 15
    from_input += layer.bias.reshape(-1).astype(np.int64) << (q - layer.q_bias)
    out = np.zeros((len(x), units), np.int64)
    for frame, known in enumerate(from_input):
        total = known + _products(h, recurrent)
        total = np.clip(total >> (q - 15), *_INT32).reshape(4, units)
        i, f, o = (sigmoid_fix(total[gate]) for gate in (0, 2, 3))
        g = tanh_fix(total[1])
        c = np.clip((i * g + f * c) >> 15, *_INT32)
        h = np.clip((tanh_fix(c) * o) >> 15, *_INT16)
        out[frame] = h
    return out, h, c


def _products(x: np.ndarray, factors: np.ndarray) -> np.ndarray:
    return (x.astype(np.float64) @ factors).astype(np.int64)


def _to_q15(total: np.ndarray, q: int, layer: Layer) -> np.ndarray:
    """Return sums in Q``q`` plus the bias as int32 in Q15, rounded down."""
    common = max(15, q)
    total = total << (common - q)
    total = total + (layer.bias.astype(np.int64) << (common - layer.q_bias))
    return np.clip(total >> (common - 15), *_INT32)


class Network:
    """Layers with the states of one stream.

    Arguments
    ---------
    features : int
        Of a frame; the first layer takes this and the frames before.
    """

    def __init__(self, layers: list[Layer], features: int):
        self.layers = layers
        self.features = features
        self.context = layers[0].kernel.shape[-1] // features - 1
        self.reset()

    def reset(self) -> None:
        """Forget the stream so far."""
        self._before = np.zeros((self.context, self.features), np.int64)
        self._states = {
            number: (np.zeros(layer.units, np.int64),) * 2
            for number, layer in enumerate(self.layers)
            if layer.kind == "lstm"
        }

    def run(self, features: np.ndarray) -> np.ndarray:
        """Return what the last layer gives for the next frames."""
        seen = np.concatenate([self._before, features.astype(np.int64)])
        count = len(features)
        # Oldest frame first, features fastest.
        stacked = [seen[k : k + count] for k in range(self.context + 1)]
        x = np.concatenate(stacked, axis=1)
        self._before = seen[len(seen) - self.context :]
        for number, layer in enumerate(self.layers):
            if layer.kind == "lstm":
                x, *state = lstm(layer, x, *self._states[number])
                self._states[number] = tuple(state)
            else:
                x = fully_connected(layer, x)
        return x


def quantize_features(
    log_power: np.ndarray, mean: np.ndarray, invstd: np.ndarray
) -> np.ndarray:
    """Return normalised features in Q8, int64 within int16.

    ``log_power`` and the result are (frames, features), ``mean`` and
    ``invstd`` int32 in Q15, (features,).
    """
    x = np.floor(np.asarray(log_power, np.float64) * 2.0**15 + 0.5)
    x = np.clip(x, *_INT32).astype(np.int64) - mean
    return np.clip((x * invstd) >> (30 - INPUT_Q), *_INT16)
