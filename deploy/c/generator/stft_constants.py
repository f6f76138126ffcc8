"""Tables of the Fourier transforms in C."""

from dataclasses import dataclass

from edgebrain.errors import UserError
from edgebrain.signal import SignalSettings
from edgebrain.signal.windows import EDGE_FLOOR, make_window, split_hops
import numpy as np

F32 = np.float32
MAX_STAGES = 16
_MAX_RADIX = 13
_RADICES = (4, 2, 3, 5, 7, 11, 13)


@dataclass(frozen=True)
class Tables:
    """What ``eb_stft`` of the runtime holds.

    Attributes
    ----------
    radices : tuple of int
        Stages of an FFT of n_fft / 2 points.
    window : numpy.ndarray
        float32, win_length values and a zero where that is odd: times 2^-16,
        every second one negative. Half of int16's full scale, because
        splitting the FFT of pairs doubles; the signs conjugate.
    gain : numpy.ndarray
        float32, shape (hop_length,): undoes the overlap and all factors.
    twiddle : numpy.ndarray
        float32, shape (count, 2): factors of the stages.
    turns : numpy.ndarray
        float32, shape (n_fft // 4 + 1, 2): exp(-2 pi i k / n_fft).
    """

    radices: tuple[int, ...]
    window: np.ndarray
    gain: np.ndarray
    twiddle: np.ndarray
    turns: np.ndarray


@dataclass(frozen=True)
class FixedTables(Tables):
    """The same with EB_USE_FIXED: int16, 15 bits of fraction.

    The window has its full size.

    Attributes
    ----------
    up : int
        Bits of fraction of a spectrum of int16 samples: so many that no sum
        of a frame leaves int32.
    down : int
        Bits of fraction of the sums of frames times ``gain``.
    """

    up: int
    down: int


def radices(n_fft: int) -> list[int]:
    """Return the stages of an FFT of n_fft / 2 points."""
    left, found = n_fft // 2, []
    for radix in _RADICES:
        while left % radix == 0 and left > 1:
            found.append(radix)
            left //= radix
    if left > 1 or n_fft % 2 or len(found) > MAX_STAGES:
        raise UserError(
            f"n_fft {n_fft}: the C transform takes even sizes whose half has "
            f"no prime factor above {_MAX_RADIX}: train with 512, say"
        )
    return found


def slow_transform(n_fft: int) -> str:
    """Return a line about a size whose stages no vector instructions take.

    Empty where all or all but one are of radix 4, or of radix 2.
    """
    odd = [radix for radix in radices(n_fft) if radix not in (4, 2)]
    if not odd:
        return ""
    return (
        f"\n  n_fft {n_fft}: stages of radix {', '.join(map(str, odd))} are "
        "plain loops without\n  vector instructions (Helium, SSE2): a "
        "transform may cost six times that of 512"
    )


def tables(signal: SignalSettings) -> Tables:
    """Return the constants of a transform."""
    window, gain = _window_and_gain(signal)
    stages = radices(signal.n_fft)
    count = signal.n_fft // 4 + 1
    return Tables(
        tuple(stages),
        (window * 2.0**-16).astype(F32),
        (gain * 2.0**31 / signal.n_fft).astype(F32),
        _twiddle(stages),
        _turns(np.arange(count), signal.n_fft),
    )


def fixed_tables(signal: SignalSettings) -> FixedTables | None:
    """Return the constants of a transform in fixed point.

    None where there is none: n_fft is no power of two, or a window nearly
    without overlap needs gains that int32 has no room for.
    """
    if signal.n_fft & (signal.n_fft - 1) or signal.n_fft < 4:
        return None
    exact = tables(signal)
    window, gain = _window_and_gain(signal)
    # Of the greatest sum of samples times window; the rest is for rounding.
    up = min(int(np.floor(np.log2(0.95 * 2**16 / np.abs(window).sum()))), 15)
    size = int(np.ceil(np.log2(gain.max())))
    # A frame comes back halved.
    down = up - 1 - size
    if down < 3:
        return None
    return FixedTables(
        exact.radices,
        *map(
            _q15,
            (window, gain * 2.0**-size, exact.twiddle, exact.turns),
        ),
        up,
        down,
    )


def _window_and_gain(signal) -> tuple[np.ndarray, np.ndarray]:
    """Return the window, every second value negative, and what undoes it."""
    window = make_window(signal.window, signal.win_length)
    squared = split_hops(window, signal.hop_length).sum(0)
    gain = 1 / np.maximum(squared, EDGE_FLOOR * squared.min())
    signed = np.zeros(-(-signal.win_length // 2) * 2)
    signed[: signal.win_length] = window
    signed[1::2] *= -1
    return signed, gain


def _q15(values: np.ndarray) -> np.ndarray:
    whole = np.rint(np.float64(values) * 2**15)
    return np.clip(whole, -(2**15), 2**15 - 1).astype(np.int16)


def _turns(parts: np.ndarray, whole: int) -> np.ndarray:
    """Return exp(-2 pi i parts / whole), quarters exactly."""
    quarters, rest = np.divmod(4 * parts, whole)
    # Within an eighth of 0: a sine that should be 0 is none of 1e-17.
    turn = np.exp(-0.5j * np.pi * rest / whole)
    turn *= np.array([1, -1j, -1, 1j])[quarters % 4]
    return np.stack([turn.real, turn.imag], -1).astype(F32)


def _twiddle(stages: list[int]) -> np.ndarray:
    parts, length = [], 1
    for radix in stages:
        product = np.outer(np.arange(1, radix), np.arange(length)).ravel()
        parts.append(_turns(product, length * radix))
        if radix not in (2, 4):
            parts.append(_turns(np.arange(radix), radix))
        length *= radix
    return np.concatenate([*parts, np.zeros((int(not parts), 2), F32)])
