"""Log-mel features, offline and frame by frame, in numpy.

The filters are librosa's (McFee et al., 2015): triangles on a scale of HTK or
of Slaney's Auditory Toolbox, with or without equal areas. Frames are those
of :mod:`edgebrain.signal.transform`, but whole windows alone unless centred:
frame t of a signal that is not centred starts at sample t * hop_length, where
librosa has it ``settings.padding`` samples later.
"""

from collections.abc import Mapping
import dataclasses
from dataclasses import dataclass, field
import functools
import math
from typing import Any

from edgebrain.checks import Name, Number, check, switch
from edgebrain.errors import UserError, unknown_name
from edgebrain.signal.settings import SignalSettings
from edgebrain.signal.streaming import StreamingSTFT
from edgebrain.signal.transform import magnitude, stft
import numpy as np

#: Range in dB that ``to_db`` keeps below the loudest value of a clip.
TOP_DB = 80.0
_TINY = 1e-10
_RULES = {
    "n_mels": Number(whole=True, least=1),
    "fmin": Number(least=0),
    "fmax": Number(above=0),
    "norm": Name("norm", ["slaney"], optional=True),
    "htk": switch,
    "to_db": switch,
    "log_offset": Number(above=0),
}


@dataclass(frozen=True)
class MelSettings:
    """How audio becomes a log-mel spectrogram.

    Arguments
    ---------
    signal : SignalSettings
        Frames; its ``power`` is that of the magnitude which is summed.
    fmin, fmax : float
        Hz, lowest and highest edge of the bands.
    norm : str or None
        "slaney": each triangle has the area 1 (in Hz, times 2); None: the
        height 1.
    htk : bool
        The mel scale of HTK, 2595 log10(1 + f / 700); else Slaney's, linear
        up to 1 kHz.
    to_db : bool
        dB below the loudest value of the clip, at most 80 (offline only: a
        stream does not know its loudest value); else ln(mel + log_offset).

    Raises
    ------
    UserError
        Lists every field that has a wrong type or an impossible value.
    """

    signal: SignalSettings = field(
        default_factory=lambda: SignalSettings(center=False)
    )
    n_mels: int = 64
    fmin: float = 125.0
    fmax: float = 7500.0
    norm: str | None = None
    htk: bool = True
    to_db: bool = False
    log_offset: float = 1e-4

    def __post_init__(self) -> None:
        for name, value in check(
            "mel settings", self.to_dict(), _RULES
        ).items():
            object.__setattr__(self, name, value)
        nyquist = self.signal.sample_rate / 2
        if not self.fmin < self.fmax <= nyquist:
            raise UserError(
                f"mel settings: fmin {self.fmin:g} and fmax {self.fmax:g}: "
                f"must rise and lie within 0 and {nyquist:g} Hz"
            )
        if not self.filters.any(1).all():
            raise UserError(
                f"mel settings: n_mels {self.n_mels}: some bands lie between "
                "two bins of the FFT and would be empty: fewer bands, a "
                "longer n_fft, or a higher fmin"
            )

    @functools.cached_property
    def filters(self) -> np.ndarray:
        """float32, (n_mels, bins): the weight of each bin in each band."""
        signal = self.signal
        bins = np.linspace(0, signal.sample_rate / 2, signal.bins)
        edges = _from_mel(
            np.linspace(
                *_to_mel(np.array([self.fmin, self.fmax]), self.htk),
                self.n_mels + 2,
            ),
            self.htk,
        )
        slopes = edges[:, None] - bins
        widths = np.diff(edges)[:, None]
        rising, falling = -slopes[:-2] / widths[:-1], slopes[2:] / widths[1:]
        weights = np.maximum(0.0, np.minimum(rising, falling))
        if self.norm == "slaney":
            weights *= 2.0 / (edges[2:] - edges[:-2])[:, None]
        return weights.astype(np.float32)

    def num_frames(self, samples: int) -> int:
        """Return the frames of a signal: whole windows unless centred."""
        signal = self.signal
        if signal.center:
            return 1 + samples // signal.hop_length
        return max(0, 1 + (samples - signal.win_length) // signal.hop_length)

    def num_samples(self, frames: int) -> int:
        """Return the fewest samples that give so many frames."""
        signal = self.signal
        hops = (frames - 1) * signal.hop_length
        return max(1, hops) if signal.center else hops + signal.win_length

    def to_dict(self) -> dict[str, Any]:
        """Return the fields but ``signal`` as plain values."""
        fields = dataclasses.asdict(self)
        del fields["signal"]
        return fields

    @classmethod
    def from_dict(
        cls, fields: Mapping[str, Any], signal: SignalSettings
    ) -> "MelSettings":
        """Return the settings that :meth:`to_dict` described."""
        unknown = [key for key in fields if key not in _RULES]
        if unknown:
            raise unknown_name("key of the mel settings", unknown[0], _RULES)
        return cls(signal=signal, **fields)


def _to_mel(hertz: np.ndarray, htk: bool) -> np.ndarray:
    if htk:
        return 2595.0 * np.log10(1.0 + hertz / 700.0)
    # 3 mel each 200 Hz up to 1 kHz, then 27 mel each factor of 6.4.
    above = 15.0 + 27.0 * np.log(np.maximum(hertz, 1e-9) / 1e3) / math.log(6.4)
    return np.where(hertz < 1e3, hertz * 3 / 200, above)


def _from_mel(mel: np.ndarray, htk: bool) -> np.ndarray:
    if htk:
        return 700.0 * (10.0 ** (mel / 2595.0) - 1.0)
    above = 1e3 * np.exp(math.log(6.4) * (mel - 15.0) / 27.0)
    return np.where(mel < 15.0, mel * 200 / 3, above)


def mel_spectrogram(wav: np.ndarray, settings: MelSettings) -> np.ndarray:
    """Return the mel spectrogram, float32 (n_mels, frames), no logarithm yet.

    Of at least one window of samples, (samples,).
    """
    signal = settings.signal
    spec = stft(np.asarray(wav, np.float32), signal)
    spec = spec[..., : settings.num_frames(wav.shape[-1])]
    return settings.filters @ magnitude(spec, signal)


def compress(mel: np.ndarray, settings: MelSettings) -> np.ndarray:
    """Return the logarithm of a mel spectrogram as the settings say."""
    if not settings.to_db:
        return np.log(mel + np.float32(settings.log_offset))
    # power 1 sums magnitudes: an amplitude is squared to be a power.
    factor = 10.0 if settings.signal.power == 2 else 20.0
    floor = _TINY if factor == 10.0 else math.sqrt(_TINY)
    level = factor * np.log10(np.maximum(mel, floor))
    level -= level.max()
    return np.maximum(level, -TOP_DB).astype(np.float32)


def log_mel(wav: np.ndarray, settings: MelSettings) -> np.ndarray:
    """Return the log-mel spectrogram (n_mels, frames) of (samples,)."""
    return compress(mel_spectrogram(wav, settings), settings)


class StreamingLogMel:
    """Log-mel frames as soon as their samples are there.

    All frames together equal those of :func:`log_mel` to float rounding.

    Raises
    ------
    UserError
        With ``to_db``, which needs the loudest value of the whole clip, or
        ``peak_normalize``.
    """

    def __init__(self, settings: MelSettings) -> None:
        if settings.to_db or settings.signal.peak_normalize:
            raise UserError(
                "to_db and peak_normalize measure the whole clip and have no "
                "form frame by frame: train with to_db: False"
            )
        self.settings = settings
        self._stft = StreamingSTFT(settings.signal)

    def reset(self) -> None:
        """Forget the signal so far."""
        self._stft.reset()

    def feed(self, samples: np.ndarray) -> np.ndarray:
        """Take samples (n,), return frames (n_mels, k) that they complete."""
        spec = self._stft.feed(samples)
        mel = self.settings.filters @ magnitude(spec, self.settings.signal)
        return compress(mel, self.settings)


def sounding(
    wav: np.ndarray, top_db: float, frame_length: int, hop_length: int
) -> np.ndarray:
    """Return a signal (samples,) without its silent parts.

    As ``librosa.effects.split`` and joining: a frame (centred at t *
    hop_length) is silent where its RMS lies ``top_db`` below that of the
    loudest frame.
    """
    half = frame_length // 2
    sums = np.concatenate([[0.0], np.cumsum(wav.astype(np.float64) ** 2)])
    middles = np.arange(0, len(wav) + 1, hop_length)
    first = np.maximum(middles - half, 0)
    last = np.minimum(middles - half + frame_length, len(wav))
    power = np.maximum((sums[last] - sums[first]) / frame_length, _TINY)
    loud = 10 * np.log10(power / power.max()) > -top_db
    return wav[np.repeat(loud, hop_length)[: len(wav)]]
