"""Mixing speech with noise, rooms, other voices and device faults.

Pure functions on one-dimensional float32 arrays; every random choice is made
by the caller (:mod:`edgebrain.enhancement.datasets`).

Reductions use ``numpy.sum`` and ``einsum``, never a BLAS dot product: BLAS
sums in an order that depends on the number of threads, and then an item made
in a worker process would differ in its last bits.
"""

from collections.abc import Sequence
import math

# The name that yamls have.
from edgebrain.enhancement.mixing_settings import (
    MixingSettings as MixingSettings,
)
from edgebrain.errors import UserError
import numpy as np
from scipy import fft, signal

FRAME_MS = 20.0
ACTIVE_RANGE_DB = 30.0
FULL_SCALE = 0.999


def mean_power(wav: np.ndarray) -> float:
    """Return the mean of the squared samples (0 for an empty array)."""
    if not len(wav):
        return 0.0
    return float(np.sum(np.square(wav, dtype=np.float64)) / len(wav))


def frame_power(wav: np.ndarray, sample_rate: int) -> np.ndarray:
    """Return the mean power of each 20 ms frame, float64.

    The last frame may be shorter; its power is over what it has.
    """
    size = max(1, round(sample_rate * FRAME_MS / 1000))
    full = len(wav) // size
    frames = wav[: full * size].reshape(full, size).astype(np.float64)
    power = np.einsum("ij,ij->i", frames, frames) / size
    rest = wav[full * size :]
    return np.append(power, mean_power(rest)) if len(rest) else power


def active_speech_mask(
    wav: np.ndarray,
    sample_rate: int,
    reference: float | None = None,
) -> np.ndarray:
    """Tell which samples belong to active speech; of silence none.

    A 20 ms frame is active when its power is within 30 dB of the loudest
    frame. The threshold follows the signal, so a gain changes nothing. 30 dB
    below the loudest frame is about 20 dB below the mean level of speech,
    close to the margin of 15.9 dB (ITU-T P.56), and above the noise floor of
    an ordinary recording. ``reference`` is the power of the loudest frame
    when ``wav`` is only a part of the utterance.
    """
    power = frame_power(wav, sample_rate)
    size = max(1, round(sample_rate * FRAME_MS / 1000))
    return np.repeat(_active_frames(power, reference), size)[: len(wav)]


def _active_frames(
    power: np.ndarray, reference: float | None = None
) -> np.ndarray:
    if reference is None:
        reference = power.max(initial=0.0)
    threshold = reference * 10 ** (-ACTIVE_RANGE_DB / 10)
    return (power > 0) & (power >= threshold)


def active_power(wav: np.ndarray, sample_rate: int) -> float:
    """Return the mean power over the active samples of a speech signal.

    See :func:`active_speech_mask`; 0 for digital silence.
    """
    power = frame_power(wav, sample_rate)
    size = max(1, round(sample_rate * FRAME_MS / 1000))
    weight = np.full(len(power), size, dtype=np.float64)
    if len(wav) % size:
        weight[-1] = len(wav) % size
    weight *= _active_frames(power)
    total = weight.sum()
    return float((power * weight).sum() / total) if total else 0.0


def scale_to_snr(
    speech: np.ndarray,
    noise: np.ndarray,
    snr_db: float,
    sample_rate: int,
) -> np.ndarray:
    """Return a noise scaled to a signal-to-noise ratio, float32.

    SNR = 10 log10(mean power of the speech over its active samples / mean
    power of the noise over the whole item). Neither is silent.
    """
    ratio = active_power(speech, sample_rate) / mean_power(noise)
    gain = math.sqrt(ratio) * 10 ** (-snr_db / 20)
    return (noise * gain).astype(np.float32)


def loop(wav: np.ndarray, length: int, start: int = 0) -> np.ndarray:
    """Cut ``length`` samples out of an endless repetition of a signal.

    The seam is cross-faded over up to 10 ms of a 16 kHz signal (a tenth of
    it, at most 160 samples) with constant power, or each turn would click.
    """
    if start + length <= len(wav):
        return wav[start : start + length]
    fade = min(160, len(wav) // 10)
    body = wav[: len(wav) - fade].copy()
    if fade:
        angle = (np.arange(fade, dtype=np.float32) + 0.5) * (np.pi / 2 / fade)
        body[:fade] *= np.sin(angle)
        body[:fade] += wav[len(wav) - fade :] * np.cos(angle)
    start %= len(body)
    turns = -(-(start + length) // len(body))
    return np.tile(body, turns)[start : start + length]


def trim_rir(rir: np.ndarray) -> np.ndarray:
    """Cut the tail of a room response that holds 1e-6 of its energy.

    What is cut is 60 dB below the response as a whole: inaudible, and often
    only the noise of the measurement.
    """
    energy = np.cumsum(np.square(rir[::-1], dtype=np.float64))[::-1]
    if not len(rir) or not np.isfinite(energy[0]) or energy[0] <= 0:
        raise UserError(
            "a room response is empty, silent or not finite: remove the file"
        )
    keep = int(np.count_nonzero(energy > 1e-6 * energy[0]))
    return np.ascontiguousarray(rir[:keep], dtype=np.float32)


def _early_window(
    length: int, direct: int, early_ms: float, sample_rate: int
) -> np.ndarray:
    """1 up to ``early_ms`` after the direct path, then a 2 ms fade to 0."""
    end = direct + 1 + round(sample_rate * early_ms / 1000)
    fade = max(1, round(sample_rate * 0.002))
    ramp = 0.5 + 0.5 * np.cos(np.pi * (np.arange(fade) + 0.5) / fade)
    window = np.zeros(length, dtype=np.float32)
    window[:end] = 1
    window[end : end + fade] = ramp[: max(0, length - end)]
    return window


def reverberate(
    speech: np.ndarray,
    rir: np.ndarray,
    sample_rate: int,
    target: str = "early",
    early_ms: float = 50.0,
) -> tuple[np.ndarray, np.ndarray]:
    """Put speech into a room; return it wet, and the target.

    Linear convolution (FFT long enough that nothing wraps around), shifted
    so that the largest peak of the response, the direct path, has delay 0:
    wet and dry speech are aligned. The response is scaled so that this peak
    is +1; what arrives before the peak is kept.

    The target is consistent with the direct path in the wet signal, so a
    perfect dereverberation is reachable without a change of level:

    - ``early``: speech convolved with the response up to ``early_ms`` after
      the peak (then a fade of 2 ms). Wet minus target is the late part.
    - ``dry``: the speech times the direct-path gain, the root of the energy
      ratio of speech filtered by the 1 ms on either side of the peak to
      speech itself. It is 1 for an ideal response; a measured one smears
      its direct path over a few samples.
    """
    length = len(speech)
    direct = int(np.argmax(np.abs(rir)))
    # Reflections later than the end of the item are never heard.
    rir = (rir[: direct + length] / rir[direct]).astype(np.float32)
    size = fft.next_fast_len(length + len(rir) - 1, real=True)
    spectrum = fft.rfft(speech.astype(np.float32, copy=False), size)

    def convolve(response):
        return fft.irfft(spectrum * fft.rfft(response, size), size)[
            direct : direct + length
        ]

    wet = convolve(rir)
    if target == "early":
        window = _early_window(len(rir), direct, early_ms, sample_rate)
        return wet, convolve(rir * window)
    reach = round(sample_rate * 0.001)
    near = rir[max(0, direct - reach) : direct + reach + 1]
    power = np.square(spectrum.real) + np.square(spectrum.imag)
    total = np.sum(power, dtype=np.float64)
    filtered = np.abs(fft.rfft(near, size)) ** 2 * power
    gain = (
        math.sqrt(np.sum(filtered, dtype=np.float64) / total) if total else 1.0
    )
    return wet, (speech * gain).astype(np.float32)


def babble(voices: Sequence[np.ndarray], sample_rate: int) -> np.ndarray:
    """Sum voices, each brought to an active power of 1."""
    total = np.zeros(len(voices[0]), dtype=np.float32)
    for voice in voices:
        power = active_power(voice, sample_rate)
        if power > 0:
            total += (voice / math.sqrt(power)).astype(np.float32)
    return total


def add_silence(wav: np.ndarray, before: int, after: int) -> np.ndarray:
    """Put ``before`` and ``after`` samples of digital silence around."""
    if not before and not after:
        return wav
    return np.pad(wav, (before, after))


def clip(wav: np.ndarray, clip_db: float) -> np.ndarray:
    """Clip hard at ``clip_db`` below the peak of the signal."""
    limit = float(np.max(np.abs(wav), initial=0.0)) * 10 ** (-clip_db / 20)
    return np.clip(wav, -limit, limit)


def high_pass(wav: np.ndarray, pole: float) -> np.ndarray:
    """Filter (..., n) by (1 - z^-1) / (1 - pole z^-1), from silence."""
    filtered = signal.lfilter([1.0, -1.0], [1.0, -pole], wav, axis=-1)
    return filtered.astype(np.float32)


def band_limit(
    wav: np.ndarray, low_hz: float, high_hz: float, sample_rate: int
) -> np.ndarray:
    """Keep what is between two frequencies of (..., n), without any delay.

    Zero phase, with the magnitude of a Butterworth filter of order 8 at
    each edge, |H|^2 = 1 / (1 + (f / high)^16) for the upper one (applied in
    the frequency domain on a zero-padded signal). The edges are at -3 dB; 0,
    or half the sample rate and more, is none.
    """
    length = wav.shape[-1]
    # A steep low edge rings for a few of its own periods.
    ringing = sample_rate // 4 if low_hz > 0 else sample_rate // 50
    size = fft.next_fast_len(length + ringing, real=True)
    spectrum = fft.rfft(wav.astype(np.float32, copy=False), size, axis=-1)
    frequency = np.arange(spectrum.shape[-1]) * (sample_rate / size)
    response = np.ones(len(frequency))
    if high_hz < sample_rate / 2:
        response /= np.sqrt(1 + (frequency / high_hz) ** 16)
    if low_hz > 0:
        ratio = (frequency / low_hz) ** 16
        response *= np.sqrt(ratio / (1 + ratio))
    filtered = fft.irfft(spectrum * response.astype(np.float32), size, axis=-1)
    return filtered[..., :length]


def equalise(
    wav: np.ndarray, gains_db: Sequence[float], sample_rate: int
) -> np.ndarray:
    """Give a signal a smooth frequency response, without any delay.

    ``gains_db`` are those at 100, 316, 1000, 3162, ... Hz, as many as given;
    linear in dB over the logarithm of the frequency between them, constant
    outside.
    """
    size = fft.next_fast_len(len(wav) + sample_rate // 50, real=True)
    spectrum = fft.rfft(wav.astype(np.float32, copy=False), size)
    points = np.log(100) + np.arange(len(gains_db)) * (np.log(10) / 2)
    bins = np.arange(1, len(spectrum) + 1) * (sample_rate / size)
    gains = np.interp(np.log(bins), points, gains_db)
    response = (10 ** (gains / 20)).astype(np.float32)
    return fft.irfft(spectrum * response, size)[: len(wav)]


def set_peak(
    noisy: np.ndarray, clean: np.ndarray, peak_db: float
) -> tuple[np.ndarray, np.ndarray]:
    """Bring the peak of the mixture to a level, the target by the same gain.

    ``peak_db`` is in dB of full scale, at most 0; silence stays as it is.
    """
    peak = float(np.max(np.abs(noisy), initial=0.0))
    if peak <= 0:
        return noisy, clean
    gain = 10 ** (peak_db / 20) / peak
    return (
        (noisy * gain).astype(np.float32),
        (clean * gain).astype(np.float32),
    )


def fit_full_scale(
    noisy: np.ndarray, clean: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Turn both down, by one gain, where a sample exceeds 0.999."""
    peak = max(
        float(np.max(np.abs(noisy), initial=0.0)),
        float(np.max(np.abs(clean), initial=0.0)),
    )
    if peak <= FULL_SCALE:
        return noisy, clean
    gain = np.float32(FULL_SCALE / peak)
    return noisy * gain, clean * gain
