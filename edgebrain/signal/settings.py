"""The settings of the short-time Fourier transform, checked once."""

from collections.abc import Mapping
import dataclasses
from dataclasses import dataclass
import functools
from typing import Any

from edgebrain.checks import Name, Number, check, switch
from edgebrain.errors import UserError, unknown_name
from edgebrain.signal.windows import (
    EDGE_FLOOR,
    WINDOWS,
    make_window,
    split_hops,
)

_WHOLE = Number(whole=True, least=1)
_RULES = {
    "sample_rate": _WHOLE,
    "n_fft": _WHOLE,
    "win_length": _WHOLE,
    "hop_length": _WHOLE,
    "window": Name("window", WINDOWS),
    "center": switch,
    "power": Number(above=0),
    "peak_normalize": switch,
}


@dataclass(frozen=True)
class SignalSettings:
    """How audio becomes a spectrum and comes back.

    Arguments
    ---------
    n_fft : int
        Samples of the FFT, even. The window lies in its middle, zeros
        around it.
    hop_length : int
        Samples from one frame to the next.
    window : str
        "hann", "hamming" or "sqrt_hann", periodic, for analysis and
        synthesis.
    center : bool
        True: frame t has the middle of its window at sample t * hop_length,
        with zeros before and after the signal. False: the window of frame t
        starts at sample t * hop_length, zeros after the signal only.
    power : float
        The network sees |X| ** power. Its mask multiplies X all the same.
    peak_normalize : bool
        The signal is divided by its peak before and multiplied by it after
        (see :func:`edgebrain.signal.peak_gain`). Offline only: a stream does
        not know its peak.

    Raises
    ------
    UserError
        Lists every field that has a wrong type or an impossible value.
    """

    sample_rate: int = 16000
    n_fft: int = 512
    win_length: int = 400
    hop_length: int = 160
    window: str = "hann"
    center: bool = True
    power: float = 1.0
    peak_normalize: bool = False

    def __post_init__(self) -> None:
        # Equal settings must be equal whatever number types came in.
        fields = check("signal settings", self.to_dict(), _RULES)
        for name, value in fields.items():
            object.__setattr__(self, name, value)
        problems = _joint_problems(self)
        if problems:
            raise UserError.collect("signal settings", problems)

    @property
    def bins(self) -> int:
        """Frequencies of a frame, from 0 Hz to half the sample rate."""
        return self.n_fft // 2 + 1

    @property
    def padding(self) -> int:
        """Zeros of the FFT before the window."""
        return (self.n_fft - self.win_length) // 2

    @property
    def offset(self) -> int:
        """Samples of the first frame's window before sample 0."""
        return self.n_fft // 2 - self.padding if self.center else 0

    @property
    def latency_samples(self) -> int:
        """Delay in samples of analysis and synthesis, without a network.

        Sample n is complete as soon as n + latency_samples samples are
        known, and one sample of every hop not before. This is win_length,
        centred or not: a sample needs all frames that cover it.
        """
        return self.win_length

    @functools.cached_property
    def appends_frame(self) -> bool:
        """Whether a centred signal gets one frame more than 1 + n // hop.

        With long hops, such as half a window, the last samples would lie
        under the very end of the last window only, where it is nearly zero:
        they could not be recovered, and a mask would make them click. Then
        the signal is zero-padded to whole hops first.
        """
        squared = split_hops(make_window(self.window, self.win_length), 1)[:, 0]
        last = squared[self.offset : self.offset + self.hop_length]
        weakest = last.min() if len(last) == self.hop_length else 0.0
        steady = _steady_envelope(self).min()
        return self.center and bool(weakest < EDGE_FLOOR * steady)

    def num_frames(self, n_samples: Any) -> Any:
        """Return the number of frames of so many samples; of 0 samples 0.

        Centred: 1 + n // hop, as many as ``torch.stft``, or 1 + ceil(n / hop)
        where ``appends_frame``. Not centred: ceil(n / hop). Takes arrays and
        tensors of integers too.

        >>> SignalSettings().num_frames(16000)
        101
        >>> SignalSettings(center=False).num_frames(16001)
        101
        """
        hop = self.hop_length
        round_up = hop - 1 if self.appends_frame or not self.center else 0
        frames = (n_samples + round_up) // hop + int(self.center)
        return (n_samples > 0) * frames

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain values that JSON keeps."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> "SignalSettings":
        """Return settings from a dictionary; missing keys get defaults."""
        if not isinstance(fields, Mapping):
            raise UserError(
                "signal settings must be a mapping of names to values, not "
                f"{type(fields).__name__}"
            )
        unknown = [key for key in fields if key not in _RULES]
        if unknown:
            raise UserError.collect(
                "signal settings",
                [str(unknown_name("key", str(k), _RULES)) for k in unknown],
            )
        return cls(**fields)


def _joint_problems(settings: SignalSettings) -> list[str]:
    """Return what is wrong with fields beside each other."""
    n_fft, win, hop = settings.n_fft, settings.win_length, settings.hop_length
    problems = []
    if n_fft % 2:
        problems.append(f"n_fft must be even, not {n_fft}")
    if win > n_fft:
        problems.append(
            f"win_length {win} is longer than n_fft {n_fft}: shorten the "
            "window or take a longer FFT"
        )
    if hop > win:
        problems.append(
            f"hop_length {hop} is longer than win_length {win}: samples "
            "between two windows would be lost"
        )
    if problems:
        return problems
    steady = _steady_envelope(settings)
    if steady.min() <= EDGE_FLOOR * steady.max():
        mend = (
            f"a hop_length of {win // 2} or less is safe"
            if win > 1
            else "take a longer window"
        )
        problems.append(
            f"hop_length {hop} is too long for the {settings.window} window "
            f"of win_length {win}: some samples would lie under (almost) "
            f"zero weights only and could not be recovered; {mend}"
        )
    return problems


def _steady_envelope(settings: SignalSettings):
    """Return the envelope of one hop far from both ends, shape (hop,)."""
    window = make_window(settings.window, settings.win_length)
    return split_hops(window, settings.hop_length).sum(0)
