"""Audio to spectrum and back, offline and frame by frame.

The only place that knows n_fft, win_length and hop_length.
"""

from edgebrain.signal.settings import SignalSettings
from edgebrain.signal.streaming import StreamingISTFT, StreamingSTFT
from edgebrain.signal.transform import (
    analysis_window,
    istft,
    magnitude,
    peak_gain,
    stft,
)
from edgebrain.signal.windows import EDGE_FLOOR, WINDOWS

__all__ = [
    "EDGE_FLOOR",
    "WINDOWS",
    "SignalSettings",
    "StreamingISTFT",
    "StreamingSTFT",
    "analysis_window",
    "istft",
    "magnitude",
    "peak_gain",
    "stft",
]
