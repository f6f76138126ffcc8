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
    window = make_window(signal.window, signal.win_length)
    squared = split_hops(window, signal.hop_length).sum(0)
    gain = 1 / np.maximum(squared, EDGE_FLOOR * squared.min())
    halved = np.zeros(-(-signal.win_length // 2) * 2)
    halved[: signal.win_length] = window * 2.0**-16
    halved[1::2] *= -1
    stages = radices(signal.n_fft)
    count = signal.n_fft // 4 + 1
    return Tables(
        tuple(stages),
        halved.astype(F32),
        (gain * 2.0**31 / signal.n_fft).astype(F32),
        _twiddle(stages),
        _turns(np.arange(count), signal.n_fft),
    )


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
