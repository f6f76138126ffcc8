"""From floating point to the runtime's 8 and 16 bits."""

import math

from edgebrain.enhancement.forms.nnse_integer import INPUT_Q, OUTPUT_Q, Layer
import numpy as np

from deploy.nnse.network import FloatLayer, FloatNetwork

_NAMES = {
    "tanh": "ftanh",
    "sigmoid": "sigmoid",
    "relu6": "relu6",
    "linear": "linear",
}


def fraction_bits(values: np.ndarray, most: int) -> int:
    """Return the Q that holds all values: most - ceil(max(log2 max, 0)).

    ``most`` is 7 for int8, 15 for int16.
    """
    peak = float(np.abs(values).max())
    return most - math.ceil(max(math.log2(peak), 0)) if peak > 0 else most


def to_fixed(values: np.ndarray, q: int, kind) -> np.ndarray:
    """Return values in Q``q``, rounded to nearest and saturated."""
    limits = np.iinfo(kind)
    fixed = np.floor(np.asarray(values, np.float64) * 2.0**q + 0.5)
    return np.clip(fixed, limits.min, limits.max).astype(kind)


def quantize_layers(layers: list[FloatLayer]) -> list[Layer]:
    """Return the layers in integers.

    One power of two a layer; both kernels of an lstm share the smaller one.
    """
    fixed, q_input = [], INPUT_Q
    for layer in layers:
        kernels = [layer.kernel]
        if layer.recurrent is not None:
            kernels.append(layer.recurrent)
        q_kernel = min(fraction_bits(kernel, 7) for kernel in kernels)
        q_bias = fraction_bits(layer.bias, 15)
        ints = [to_fixed(kernel, q_kernel, np.int8) for kernel in kernels]
        name = _NAMES[layer.activation]
        fixed.append(
            Layer(
                kind=layer.kind,
                activation=name,
                kernel=ints[0],
                bias=to_fixed(layer.bias, q_bias, np.int16),
                recurrent=ints[1] if len(ints) > 1 else None,
                q_kernel=q_kernel,
                q_input=q_input,
                q_bias=q_bias,
            )
        )
        q_input = OUTPUT_Q[name]
    return fixed


def quantize_statistics(network: FloatNetwork) -> tuple:
    """Return mean and invstd, int32 in Q15.

    The runtime's window is sqrt_hann times sqrt(2 hop / window), so its
    powers are smaller by 2 hop / window and their logarithm by that much.
    """
    signal = network.metadata.signal
    shift = math.log10(2 * signal.hop_length / signal.win_length)
    mean = to_fixed(network.mean.astype(np.float64) + shift, 15, np.int32)
    return mean, to_fixed(network.invstd, 15, np.int32)
