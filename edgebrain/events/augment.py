"""Changes of training clips, on the sound or on linear mel values.

Nothing here touches a log-mel value as a factor: a gain is a shift there.
"""

from dataclasses import dataclass
import math

from edgebrain.data.resampling import resample
from edgebrain.errors import UserError
import numpy as np

_TINY = 1e-9


@dataclass(frozen=True)
class Augmentation:
    """What happens to a training clip, how often and how much.

    Arguments
    ---------
    gain_db : float
        A gain drawn from within +- this.
    mixup : float
        Probability of a second clip on top, at a ratio drawn from 0 to 1,
        loudness equalised; the label is shared out by the ratio
        (between-class learning, Tokozume et al., 2018).
    noise : float
        Probability of background noise: a recording of ``noise_folder``, or
        coloured noise without one.
    noise_snr_db : sequence of (float, float)
        Lowest and highest ratio of clip to noise.
    speed : float
        Probability of a resampling, which moves pitch and speed together.
    max_speed : float
        Largest factor, and its inverse.
    freq_masks, time_masks : int
        Bands and spans of each patch that are hidden (SpecAugment, Park et
        al., 2019).
    freq_width, time_width : int
        Most bands or frames of one of them.

    Raises
    ------
    UserError
        Lists the values that cannot be.
    """

    gain_db: float = 6.0
    mixup: float = 0.0
    noise: float = 0.0
    noise_snr_db: tuple[float, float] = (10.0, 40.0)
    noise_folder: str | None = None
    speed: float = 0.0
    max_speed: float = 1.15
    freq_masks: int = 0
    time_masks: int = 0
    freq_width: int = 8
    time_width: int = 12

    def __post_init__(self) -> None:
        problems = [
            f"{name}: a probability from 0 to 1, not {getattr(self, name)!r}"
            for name in ("mixup", "noise", "speed")
            if not 0 <= getattr(self, name) <= 1
        ]
        problems += [
            f"{name}: from 0, not {getattr(self, name)!r}"
            for name in (
                "gain_db freq_masks time_masks freq_width time_width".split()
            )
            if not getattr(self, name) >= 0
        ]
        if len(self.noise_snr_db) != 2:
            problems.append("noise_snr_db: two numbers, lowest and highest")
        if not 1 < self.max_speed <= 2:
            problems.append(f"max_speed: above 1, to 2, not {self.max_speed}")
        if problems:
            raise UserError.collect("augmentation", problems)


def draw_speed(most: float, rng: np.random.Generator) -> float:
    """Return a factor from ``1 / most`` to ``most``, in steps of 2.5 %."""
    steps = max(1, round(math.log(most) / math.log(1.025)))
    return round(200 * 1.025 ** float(rng.integers(-steps, steps + 1))) / 200


def change_speed(wav: np.ndarray, factor: float) -> np.ndarray:
    """Return a clip played at a speed of 200ths: ``len(wav) / factor``."""
    return resample(wav, round(200 * factor), 200)


def take(wav: np.ndarray, samples: int, rng: np.random.Generator) -> np.ndarray:
    """Return ``samples`` of a clip from a random place, as if it were a ring.

    This is the time shift: what runs out at the end goes on at the start.
    """
    if len(wav) > samples:
        start = int(rng.integers(len(wav) - samples + 1))
        return wav[start : start + samples]
    return np.resize(np.roll(wav, int(rng.integers(len(wav)))), samples)


def coloured_noise(samples: int, rng: np.random.Generator) -> np.ndarray:
    """Return noise whose power falls by 0 to 6 dB an octave."""
    spectrum = rng.standard_normal(2 * (samples // 2 + 1)).view(np.complex128)
    slope = np.arange(1, len(spectrum) + 1) ** (-rng.uniform(0.0, 1.0))
    return np.fft.irfft(spectrum * slope, samples).astype(np.float32)


def rms(wav: np.ndarray) -> float:
    """Return the root of the mean square, never zero."""
    return math.sqrt(float(np.mean(np.square(wav, dtype=np.float64)))) + _TINY


def mix_noise(wav: np.ndarray, noise: np.ndarray, snr_db: float) -> np.ndarray:
    """Return a clip with noise of its length at a ratio in dB."""
    return wav + noise * (rms(wav) / rms(noise) * 10 ** (-snr_db / 20))


def blend(first: np.ndarray, second: np.ndarray, ratio: float) -> np.ndarray:
    """Return two sounds mixed so that ``ratio`` of what is heard is the first.

    ``p a + (1 - p) b`` over the root of ``p^2 + (1 - p)^2``, which keeps the
    power, with p such that the gains count after loudness is equalised
    (Tokozume et al., 2018, with RMS for loudness).
    """
    balance = 20 * math.log10(rms(first) / rms(second))
    p = 1.0 / (1.0 + 10 ** (balance / 20) * (1 - ratio) / max(ratio, _TINY))
    mixed = p * first + (1 - p) * second
    return (mixed / math.hypot(p, 1 - p)).astype(np.float32)


def mask(
    mel: np.ndarray, settings: Augmentation, rng: np.random.Generator
) -> None:
    """Hide bands and spans of linear mel patches, in place.

    They get the median of the patch: zeros would be a silence that the
    logarithm makes the strongest thing in it.

    Arguments
    ---------
    mel : numpy.ndarray
        (patches, mels, frames), linear.
    """
    for patch in mel if settings.freq_masks or settings.time_masks else ():
        middle = np.median(patch)
        for axis, count, width in (
            (0, settings.freq_masks, settings.freq_width),
            (1, settings.time_masks, settings.time_width),
        ):
            for _ in range(count):
                size = int(rng.integers(0, width + 1))
                start = int(rng.integers(0, max(1, patch.shape[axis] - size)))
                span = (slice(start, start + size), slice(None))
                patch[span if axis == 0 else span[::-1]] = middle
