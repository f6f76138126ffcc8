"""Tables and factors that the C code holds instead of float functions."""

from edgebrain.errors import UserError
import numpy as np

F32 = np.float32
#: Bits of an integer factor of the 16-bit operations.
FACTOR_BITS = 23
#: Steps a unit of the table of tanh, and where it ends.
TANH_STEPS, TANH_END = 128, 8
#: Binary places of its input and of its values: finer than 16 bits, so that
#: the last rounding is nearly the only one.
TANH_IN_BITS, TANH_OUT_BITS = 18, 22
#: Beyond the largest table of a whole int8 range.
_LARGEST_FLOAT = 0x7F7FFFFF


def apply(steps: list[tuple], values: np.ndarray) -> np.ndarray:
    """Return float32 values after each (name, argument), rounded after each.

    ``pow`` (exponent), ``add``, ``sub``, ``mul``, ``div`` (number or vector),
    ``log``, ``sqrt``, ``square``, ``relu``, ``sigmoid``, ``tanh``, ``prelu``
    (slope), ``clip`` (low, high), ``mel`` (matrix).
    """
    x = np.asarray(values, F32)
    for name, argument in steps:
        with np.errstate(all="ignore"):
            x = _FUNCTIONS[name](x.astype(np.float64), argument).astype(F32)
    return x


_FUNCTIONS = {
    "pow": lambda x, a: np.power(x, float(a)),
    "add": lambda x, a: x + a,
    "sub": lambda x, a: x - a,
    "mul": lambda x, a: x * a,
    "div": lambda x, a: x / a,
    "log": lambda x, a: np.log(x),
    "sqrt": lambda x, a: np.sqrt(x),
    "square": lambda x, a: x * x,
    "relu": lambda x, a: np.maximum(x, 0.0),
    "sigmoid": lambda x, a: 1.0 / (1.0 + np.exp(-x)),
    "tanh": lambda x, a: runtime_tanh(x),
    "prelu": lambda x, a: np.where(x < 0, x * float(a), x),
    "clip": lambda x, a: np.clip(x, a[0], a[1]),
    "mel": lambda x, a: a.astype(np.float64) @ x,
}


def table(steps: list[tuple], source, target) -> np.ndarray:
    """Return the integers that -128 to 127 become, int8."""
    levels = np.arange(-128, 128)
    if [name for name, _ in steps] in (["mul_level"], ["add_level"]):
        return _with_level(*steps[0], levels, source, target)
    return target.quantize(apply(steps, source.dequantize(levels)))


def _with_level(name, argument, levels, source, target) -> np.ndarray:
    """Return sum or product with a constant of 8 bits, as onnxruntime does.

    Its kernels join both scales before anything else is rounded.
    """
    level, scale = argument
    steps = levels - source.zero_point
    if name == "mul_level":
        ratio = F32(F32(source.scale * scale) / target.scale)
        value = (steps * level).astype(F32) * ratio + F32(target.zero_point)
    else:
        first, second = F32(source.scale / target.scale), scale / target.scale
        moved = F32(first * F32(source.zero_point))
        fixed = F32(F32(target.zero_point) - moved)
        # Fused, the second one first: products are exact in float64.
        part = F32(np.float64(level) * np.float64(F32(second)) + fixed)
        value = (levels * np.float64(first) + np.float64(part)).astype(F32)
    return np.clip(np.rint(value), target.low, target.high).astype(np.int8)


def thresholds(steps: list[tuple], target) -> np.ndarray | None:
    """Return where the integer of a rising float function steps up.

    float32, rising: an input x >= 0 has the integer of 0 plus the number of
    thresholds up to x. None: the function does not rise.
    """
    if not all(
        argument is None or np.ndim(argument) == 0 or name == "clip"
        for name, argument in steps
    ):
        return None
    probe = np.concatenate(
        [np.zeros(1), np.geomspace(1e-12, 1e6, 4000)]
    ).astype(F32)
    seen = apply(steps, probe)
    if not np.isfinite(seen).all() or (np.diff(seen) < 0).any():
        return None
    first = int(target.quantize(seen[:1])[0])
    wanted = np.arange(first + 1, target.high + 1)
    low = np.zeros(len(wanted), np.int64)
    high = np.full(len(wanted), _LARGEST_FLOAT, np.int64)
    # Positive floats lie in the order of their bits.
    while (low + 1 < high).any():
        middle = (low + high) // 2
        values = middle.astype(np.int32).view(F32)
        reached = target.quantize(apply(steps, values)) >= wanted
        high = np.where(reached, middle, high)
        low = np.where(reached, low, middle)
    edges = high.astype(np.int32).view(F32)
    return edges[target.quantize(apply(steps, edges)) >= wanted]


def runtime_tanh(values: np.ndarray) -> np.ndarray:
    """Return tanh as onnxruntime computes it in float32 on x86 with FMA.

    x p(x^2) / q(x^2) with polynomials of degree 6 and 3, for |x| up to 9;
    fused products and sums. A float64 sum that is rounded again differs from
    a fused one about once in 2^29. Neighbouring inputs may fall by some units
    in the last place, from 8 on by 1 around -1 and 1 at every second one.
    """
    x = np.clip(np.asarray(values, F32), F32(-9), F32(9))
    square = (x * x).astype(F32)

    def polynomial(terms):
        """Return it in x^2, the highest degree first, float32 as x."""
        total = np.full_like(x, F32(terms[0]))
        for term in terms[1:]:
            product = total.astype(np.float64) * square
            total = (product + np.float64(F32(term))).astype(F32)
        return total

    p = (polynomial(_TANH_OVER) * x).astype(F32)
    return (p / polynomial(_TANH_UNDER)).astype(F32)


_TANH_OVER = (
    -2.76076847742355e-16,
    2.00018790482477e-13,
    -8.60467152213735e-11,
    5.12229709037114e-08,
    1.48572235717979e-05,
    6.37261928875436e-04,
    4.89352455891786e-03,
)
_TANH_UNDER = (
    1.19825839466702e-06,
    1.18534705686654e-04,
    2.26843463243900e-03,
    4.89352518554385e-03,
)


def factor(ratio: float, node: str) -> tuple[int, int]:
    """Return (m, shift) with m / 2^shift = ratio to 23 bits."""
    return factors([ratio], node)[0][0], factors([ratio], node)[1]


def factors(ratios: list[float], node: str) -> tuple[list[int], int]:
    """Return factors with one shift for all, the largest with 23 bits."""
    largest = max(abs(float(r)) for r in ratios)
    exponent = int(np.floor(np.log2(largest))) if largest > 0 else 0
    shift = FACTOR_BITS - 1 - exponent
    if not 1 <= shift <= 62:
        raise UserError(
            f"{node}: the ratio of its scales, {largest:g}, is out of range: "
            "calibrate with real audio"
        )
    found = [int(np.rint(float(r) * 2.0**shift)) for r in ratios]
    if max(map(abs, found)) >= 1 << FACTOR_BITS:
        shift -= 1
        found = [int(np.rint(float(r) * 2.0**shift)) for r in ratios]
    return found, shift


def tanh_table() -> np.ndarray:
    """Return 2^22 tanh(k / 128) for k from 0 to 1024, one more at the end."""
    x = np.arange(TANH_STEPS * TANH_END + 2) / TANH_STEPS
    return np.rint(np.tanh(x) * (1 << TANH_OUT_BITS)).astype(np.int32)
