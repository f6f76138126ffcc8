"""Numbers of each operation as the kernels want them, for C and numpy."""

from edgebrain.errors import UserError
import numpy as np

from deploy.c.generator import numbers
from deploy.c.generator.program import (
    Binary,
    CellUnary,
    Dense,
    Layer,
    Unary,
)

F32 = np.float32
#: Up to here the kernels round a float by adding a large number.
_ROUNDED = 2.0**22
#: Shifts from here on leave the low word of a product out.
_HIGH = 33
#: The same, of a product with a number of 16 bits in a high half.
_HIGH_16 = 17
#: Bits that a factor may have more, of 32.
_SPARE = 31 - numbers.FACTOR_BITS
#: Parabolas from 1 to 2 of a power.
_POWER_PIECES = 32
#: Functions that are straight lines, bent at 0.
_BENT = {"relu", "prelu", "clip", "mul", "div"}


def dense_rows(values: np.ndarray, more: int = 0) -> np.ndarray:
    """Return values of rows, filled up to a multiple of 4 rows."""
    ends = [(0, -len(values) % 4)] + [(0, 0)] * (values.ndim - 1)
    return np.pad(values, ends, constant_values=more)


def dense_weights(weights: np.ndarray) -> np.ndarray:
    """Return weights (rows, columns) in the order of eb_kernels.h, flat.

    Four rows together, of these 16 columns row by row, then the next 16; a
    last block of 8 where that is enough.
    """
    columns = -(-weights.shape[1] // 8) * 8
    padded = dense_rows(weights)
    padded = np.pad(padded, [(0, 0), (0, columns - weights.shape[1])])
    return np.concatenate(
        [
            rows[:, at : at + 16].reshape(-1)
            for rows in padded.reshape(-1, 4, columns)
            for at in range(0, columns, 16)
        ]
    )


def layer_factors(
    op: Layer,
) -> tuple[np.ndarray, np.ndarray, bool]:
    """Return integer factors, shifts, and whether a 16-bit layer is wide.

    Factors have 23 bits, and up to 8 more, which the shift takes away again,
    so that the shift is 33 or above: then the product's high word is enough
    to round by, see eb_arith.h. The results are the same. Where sums may need
    more than 32 bits, or a shift stays below 33, it is wide and nothing is
    raised.
    """
    pairs = [numbers.factor(float(r), op.node) for r in op.ratio]
    factor, shift = (np.array(v, np.int64) for v in zip(*pairs, strict=True))
    raised = np.clip(_HIGH - shift, 0, _SPARE)
    wide = _wide_sums(op) or bool((shift + raised < _HIGH).any())
    if not wide:
        factor, shift = factor << raised, shift + raised
    return factor.astype(np.int32), shift.astype(np.uint8), wide


def _raised(pair: tuple[int, int], least: int) -> tuple[int, int]:
    """Return a factor and shift of the same ratio, at the least shift.

    A shift that stays below is left as it is, and its kernel multiplies in
    64 bits. The results are the same.
    """
    factor, shift = pair
    raised = max(least - shift, 0)
    return (factor << raised, least) if 0 < raised <= _SPARE else pair


def _wide_sums(op: Layer) -> bool:
    """Tell whether sums of a 16-bit layer may need more than 32 bits."""
    axis = 1 if isinstance(op, Dense) else 0
    reach = np.abs(op.weights.astype(np.int64)).sum(axis) << 15
    return int((np.abs(op.bias.astype(np.int64)) + reach).max()) >= 2**31


def float_keys(edges: np.ndarray) -> np.ndarray:
    """Return 256 int32 in the order of rising float32 edges.

    Of fewer edges the rest is filled up with the largest integer.
    """
    # -0 and 0 are one edge: adding 0 makes both 0.
    bits = (np.asarray(edges, F32) + F32(0)).view(np.int32)
    keys = np.full(256, np.iinfo(np.int32).max, np.int32)
    keys[: len(bits)] = bits ^ ((bits >> 31) & np.int32(0x7FFFFFFF))
    return keys


def power_table(exponent: float) -> np.ndarray:
    """Return the table of eb_pow_all, float32, for a power up to 2.

    x = 2^e (1 + i / 32 + d) with d below 1/32 becomes 2^(e p), of the table,
    times a parabola in d, that through three Chebyshev points of the i-th
    piece: off by less than a unit in the last place. d is counted in steps
    of float32.
    """
    exponent = float(exponent)
    if not 0 < exponent <= 2:
        raise UserError(
            f"the prologue computes the power {exponent:g}: in float C has "
            "powers above 0, up to 2"
        )
    width = 1 / _POWER_PIECES
    d = width * (0.5 + 0.5 * np.cos(np.pi * (np.arange(3) + 0.5) / 3))
    start = 1 + np.arange(_POWER_PIECES) * width
    points = np.vander(d, increasing=True)
    parts = np.linalg.solve(points, (start + d[:, None]) ** exponent)
    parts *= 2.0 ** (-23 * np.arange(3))[:, None]
    with np.errstate(under="ignore"):
        scale = 2.0 ** (exponent * (np.arange(256) - 127.0))
    # 0 and whatever is below the smallest normal number become 0.
    scale[(np.arange(256) == 0) | (scale < np.finfo(F32).tiny)] = 0
    scale = np.minimum(scale, float(np.finfo(F32).max))
    return np.concatenate([*parts, scale]).astype(F32)


def check_reach(node: str, steps: float) -> None:
    """Refuse results that the 8-bit kernels cannot round.

    ``steps`` is the greatest before saturation, in steps of the output.
    """
    if not steps < _ROUNDED - 256:
        raise UserError(
            f"{node}: its result could be {steps:.3g} steps of its output's "
            "scale, far outside int8: calibrate with real audio"
        )


def add_s8(op: Binary) -> tuple[np.float32, np.float32, np.float32]:
    """Return both ratios and the fixed part, as onnxruntime has them."""
    a, b = op.first.quantization, op.second.quantization
    y = op.out.quantization
    first, second = F32(a.scale / y.scale), F32(b.scale / y.scale)
    check_reach(op.node, 255.0 * (float(first) + float(second)))
    moved = F32(first * F32(a.zero_point)) + F32(second * F32(b.zero_point))
    return first, second, F32(F32(y.zero_point) - F32(moved))


def mul_s8(op: Binary) -> np.float32:
    """Return the ratio of scales of a product."""
    a, b = op.first.quantization, op.second.quantization
    ratio = F32(F32(a.scale * b.scale) / op.out.quantization.scale)
    check_reach(op.node, 255.0 * 255.0 * float(ratio))
    return ratio


def add_s16(op: Binary) -> tuple[list[int], int]:
    """Return both factors and their shift."""
    y = float(op.out.quantization.scale)
    ratios = [float(c.quantization.scale) / y for c in (op.first, op.second)]
    return numbers.factors(ratios, op.node)


def mul_s16(op: Binary) -> tuple[int, int]:
    """Return the factor and shift of a product."""
    a, b = op.first.quantization, op.second.quantization
    ratio = float(a.scale) * float(b.scale) / float(op.out.quantization.scale)
    return _raised(numbers.factor(ratio, op.node), _HIGH)


def from_tanh(op: Unary | CellUnary) -> tuple[int, int]:
    """Return the factor and shift from the table of tanh to an output."""
    one = 2.0**numbers.TANH_OUT_BITS
    ratio = 1 / one / float(op.out.quantization.scale)
    return _raised(numbers.factor(ratio, op.node), _HIGH)


def unary_s16(op: Unary) -> tuple[str, tuple]:
    """Return a 16-bit kernel and its numbers.

    ``tanh`` or ``sigmoid``, with ((factor, shift), (factor, shift)) in and
    out; or ``bent``, with (positive, negative, shift, low, high).
    """
    source = float(op.source.quantization.scale)
    target = op.out.quantization
    scale = float(target.scale)
    names = [name for name, _ in op.steps]
    if names == ["tanh"]:
        into = numbers.factor(source * 2.0**numbers.TANH_IN_BITS, op.node)
        return "tanh", (_raised(into, _HIGH_16), from_tanh(op))
    if names == ["sigmoid"]:
        # (1 + tanh(x / 2)) / 2
        halved = source * 2.0 ** (numbers.TANH_IN_BITS - 1)
        one = 2.0 ** (numbers.TANH_OUT_BITS + 1)
        into = _raised(numbers.factor(halved, op.node), _HIGH_16)
        out = numbers.factor(1 / one / scale, op.node)
        return "sigmoid", (into, _raised(out, _HIGH))
    if not set(names) <= _BENT:
        raise UserError(
            f"{op.node}: no 16-bit kernel for {' '.join(names)}: quantize to "
            "int8, whose tables compute any function"
        )
    positive, negative = source / scale, source / scale
    low, high = float(target.low), float(target.high)
    for name, argument in op.steps:
        if name == "relu":
            low, negative = max(low, 0.0), 0.0
        elif name == "prelu":
            negative *= float(argument)
        elif name == "clip":
            low = max(low, float(argument[0]) / scale)
            high = min(high, float(argument[1]) / scale)
        else:
            factor = float(argument) if name == "mul" else 1 / float(argument)
            if factor <= 0:
                raise UserError(f"{op.node}: a factor of {factor:g}")
            positive, negative = positive * factor, negative * factor
            low = max(target.low, low * factor)
            high = min(target.high, high * factor)
    found, shift = numbers.factors([positive, negative], op.node)
    return "bent", (*found, shift, round(low), round(high))
