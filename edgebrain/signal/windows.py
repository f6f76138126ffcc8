"""Windows and the envelope that their squares leave after overlap-add.

Analysis and synthesis use the same window w, so a sample n of an untouched
signal comes back as x[n] * e[n], with the envelope e[n] the sum of w^2 over
the frames that cover n (Griffin and Lim, 1984, least-squares inverse).
Dividing by e gives x back. For most hops, 400/160 among them, e is not
constant: it repeats every hop and differs at both ends of a signal.
"""

import numpy as np

WINDOWS = ("hann", "hamming", "sqrt_hann")

EDGE_FLOOR = 0.01
"""Smallest envelope that is divided by, as a share of the steady minimum."""


def make_window(name: str, length: int) -> np.ndarray:
    """Return a periodic window, float64 (length,).

    hann is (1 - cos(2 pi n / length)) / 2, hamming is
    0.54 - 0.46 cos(2 pi n / length), sqrt_hann the square root of hann.
    The NNSE networks of Ambiq scale sqrt_hann by sqrt(2 hop / length); here
    the envelope is divided by instead, so magnitudes differ by that factor.
    """
    cosine = np.cos(2 * np.pi * np.arange(length) / length)
    if name == "hamming":
        return 0.54 - 0.46 * cosine
    hann = 0.5 - 0.5 * cosine
    return hann if name == "hann" else np.sqrt(hann)


def split_hops(window: np.ndarray, hop_length: int) -> np.ndarray:
    """Return w^2 cut in pieces of one hop, zero-padded at the end.

    float64, (ceil(win_length / hop_length), hop_length).
    """
    pieces = -(-len(window) // hop_length)
    squared = np.zeros(pieces * hop_length)
    squared[: len(window)] = np.asarray(window, np.float64) ** 2
    return squared.reshape(pieces, hop_length)


def envelope(
    window: np.ndarray, hop_length: int, offset: int, frames: int, length: int
) -> np.ndarray:
    """Return what to divide an overlap-added signal by, float64 (length,).

    The sum of w^2, never less than ``EDGE_FLOOR`` times its smallest value
    far from both ends. ``offset`` samples of the first frame lie before
    sample 0.
    """
    squared = split_hops(window, hop_length)
    total = np.zeros((frames + len(squared) - 1, hop_length))
    for shift, piece in enumerate(squared):
        total[shift : shift + frames] += piece
    total = total.reshape(-1)[offset : offset + length]
    return np.maximum(total, EDGE_FLOOR * squared.sum(0).min())
