"""Perceptual distance of ITU-T P.862 (PESQ, wide band), differentiable.

Level alignment, Bark spectra, equalisation of the reference, loudness, and
the symmetric and asymmetric disturbance as P.862 and P.862.2 define them,
in frames of 512 samples at 16 kHz. Both filters of the standard, the band of
the level alignment and the wide-band emphasis, are applied to the power
spectra of the frames as frequency responses. There is no time alignment:
a mask does not move its signal.

Sources: ITU-T P.862 (2001), P.862.2 (2007) and the tables of its reference
code for 16 kHz; the simplifications follow torch-pesq (audiolabs, MIT).
"""

import functools

from edgebrain.enhancement.metrics import SILENCE_POWER
import numpy as np
from scipy.signal import butter, freqz
import torch
from torch import Tensor
from torch.nn import functional as F

FRAME, HOP = 512, 256
RATE = 16000
TARGET_POWER = 1e7
SEGMENT, SEGMENT_HOP = 20, 10

# Of each Bark band: how many bins of 31.25 Hz it holds, its width and centre
# in Bark (the centre of the first 16, for it counts below 4 Bark only), the
# correction of its power and the power of the threshold of hearing.
# fmt: off
_BINS = [
    1, 1, 1, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1, 1, 2, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2,
    3, 3, 3, 3, 4, 3, 4, 5, 4, 5, 6, 6, 7, 8, 9, 9, 12, 12, 15, 16, 18, 21, 25,
    20]
_WIDTH = [
    .157344, .317994, .322441, .326934, .331474, .336061, .340697, .345381,
    .350114, .354897, .359729, .364611, .369544, .374529, .379565, .384653,
    .389794, .394989, .400236, .405538, .410894, .416306, .421773, .427297,
    .432877, .438514, .444209, .449962, .455774, .461645, .467577, .473569,
    .479621, .485736, .491912, .498151, .504454, .510819, .517250, .523745,
    .530308, .536934, .543629, .550390, .557220, .564119, .571085, .578125,
    .585232]
_CENTRE = [
    .078672, .316341, .636559, .961246, 1.290450, 1.624217, 1.962597,
    2.305636, 2.653383, 3.005889, 3.363201, 3.725371, 4.092449]
_CORRECTION = [
    100, 100, 100, 100, 100, 100, 100, 100, 50, 100, 100, 100, 100, 100,
    53.047077, 110, 117.991989, 65, 68.760147, 70, 71.428818, 75, 76.843384,
    80.968781, 88.646126, 63.864388, 68.155350, 72.547775, 75.584831,
    58.379192, 80.950836, 64.135651, 54.384785, 73.821884, 64.437073,
    59.176456, 65.521278, 61.399822, 58.144047, 57.004543, 64.126297,
    54.311001, 61.114979, 55.077751, 56.849335, 55.628868, 53.137054,
    54.985844, 79.546974]
_THRESHOLD = [
    51286152, 2454709.5, 70794.59375, 4897.788574, 1174.897705, 389.045166,
    104.712860, 45.708820, 17.782795, 9.772372, 4.897789, 3.090296, 1.905461,
    1.258925, .977237, .724436, .562341, .457088, .389045, .331131, .295121,
    .269153, .257040, .251189, .251189, .251189, .251189, .263027, .288403,
    .309030, .338844, .371535, .398107, .436516, .467735, .489779, .501187,
    .501187, .512861, .524807, .524807, .524807, .512861, .478630, .426580,
    .371535, .363078, .416869, .537032]
# fmt: on
_POWER_SCALE = 6.910853e-06
_LOUDNESS_SCALE = 0.1866055
_ZWICKER = 0.23


@functools.lru_cache
def _tables(device: torch.device, dtype: torch.dtype) -> dict[str, Tensor]:
    """Return what depends on the band or bin only."""
    angle = np.arange(FRAME // 2 + 1) * (2 * np.pi / FRAME)
    _, level = freqz(*butter(5, [325, 3250], fs=RATE, btype="band"), angle)
    _, emphasis = freqz(
        [2.740826, -5.4816519, 2.740826], [1, -1.9444777, 0.94597794], angle
    )
    # To power in time: the bins of both sides, squared windows that add up
    # to 3/4.
    sides = np.full(len(angle), 2.0)
    sides[[0, -1]] = 1.0
    bands = np.zeros((len(angle), len(_BINS)))
    edges = np.cumsum([0, *_BINS])
    for band, (low, high) in enumerate(zip(edges[:-1], edges[1:], strict=True)):
        bands[low:high, band] = _CORRECTION[band] * _POWER_SCALE
    bands *= np.abs(emphasis[:, None]) ** 2
    bands[0] = 0.0
    centre = np.full(len(_BINS), 4.0)
    centre[: len(_CENTRE)] = np.minimum(_CENTRE, 4.0)
    threshold = np.array(_THRESHOLD)
    exponent = np.clip(6 / (centre + 2), 1, 2) ** 0.15 * _ZWICKER
    tables = {
        "window": torch.hann_window(FRAME, dtype=torch.float64),
        "level": np.abs(level) ** 2 * sides / (FRAME * 0.75),
        "bands": bands,
        "threshold": threshold,
        "exponent": exponent,
        "loudness": _LOUDNESS_SCALE * (2 * threshold) ** exponent,
        "width": np.array(_WIDTH),
    }
    return {
        name: torch.as_tensor(table).to(device, dtype)
        for name, table in tables.items()
    }


def disturbance(
    estimate: Tensor, clean: Tensor, lengths: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the two disturbances that a PESQ score is made of, each (batch,).

    Of signals (batch, samples) at 16 kHz, zero behind ``lengths``. The third
    result is False where there is no score: the clean item is silent or
    shorter than .34 s, and both disturbances are 0.
    """
    table = _tables(estimate.device, estimate.dtype)
    frames = (lengths.to(estimate.device) - FRAME).div(
        HOP, rounding_mode="floor"
    ) + 1
    missing = FRAME + (SEGMENT - 1) * HOP - clean.shape[-1]
    if missing > 0:
        clean = F.pad(clean, (0, missing))
        estimate = F.pad(estimate, (0, missing))
    total = (clean.shape[-1] - FRAME) // HOP + 1
    valid = torch.arange(total, device=clean.device) < frames[:, None]
    ref, ref_power = _bands(clean, lengths, valid, table)
    deg, deg_power = _bands(estimate, lengths, valid, table)
    scored = (frames >= SEGMENT) & (ref_power[:, 0, 0] > SILENCE_POWER)
    ref = ref * (TARGET_POWER / ref_power.clamp(min=SILENCE_POWER))
    deg = deg * (TARGET_POWER / deg_power.clamp(min=SILENCE_POWER))
    ref, deg = _equalise(ref, deg, valid, table)
    energy = _audible(ref, table, 1.0).sum(-1)
    symmetric, asymmetric = _frame_disturbance(ref, deg, table)
    weight = ((energy + 1e5) / 1e7) ** -0.04
    return (
        _over_time(symmetric * weight, frames, scored),
        _over_time(asymmetric * weight, frames, scored),
        scored,
    )


def pesq_loss(estimate: Tensor, clean: Tensor, lengths: Tensor) -> Tensor:
    """Return 4.5 minus the raw P.862 score, the mean over scored items.

    0.1 symmetric + 0.0309 asymmetric disturbance, before the logistic
    mapping to MOS, which would flatten the gradient at both ends.
    """
    symmetric, asymmetric, scored = disturbance(estimate, clean, lengths)
    distance = 0.1 * symmetric + 0.0309 * asymmetric
    return distance.sum() / scored.sum().clamp(min=1)


def _bands(wav: Tensor, lengths: Tensor, valid: Tensor, table) -> tuple:
    """Return Bark powers (batch, frames, bands), speech-band power (batch,)."""
    spectrum = torch.stft(
        wav,
        FRAME,
        HOP,
        window=table["window"],
        center=False,
        return_complex=True,
    ).transpose(1, 2)
    real, imag = spectrum.real, spectrum.imag
    power = real.square() + imag.square()
    total = (torch.matmul(power, table["level"]) * valid).sum(1)
    level = total / (lengths.to(wav.device) + 5120) / 1.04684
    return torch.matmul(power, table["bands"]), level[:, None, None]


def _audible(power: Tensor, table, factor: float) -> Tensor:
    """Return the powers above ``factor`` times the threshold, else 0."""
    return power * (power > factor * table["threshold"])


def _equalise(ref, deg, valid, table) -> tuple[Tensor, Tensor]:
    """Take the mean response out of ref, the gain of each frame out of deg."""
    loud = _audible(ref, table, 100.0)
    speaking = (valid & (loud.sum(-1) >= 1e7))[..., None]
    ref_mean = (loud * speaking).sum(1)
    deg_mean = (_audible(deg, table, 100.0) * speaking).sum(1)
    count = valid.sum(1).clamp(min=1)[:, None]
    ratio = (deg_mean / count + 1000) / (ref_mean / count + 1000)
    ref = ref * ratio.clamp(0.01, 100.0)[:, None]
    gain = (_audible(ref, table, 1.0).sum(-1) + 5e3) / (
        _audible(deg, table, 1.0).sum(-1) + 5e3
    )
    gain = torch.cat([gain[:, :1], 0.8 * gain[:, 1:] + 0.2 * gain[:, :-1]], 1)
    return ref, deg * gain.clamp(3e-4, 5.0)[..., None]


def _loudness(power: Tensor, table) -> Tensor:
    """Return the loudness of Zwicker's law in sone a Bark."""
    above = (0.5 + 0.5 * power / table["threshold"]) ** table["exponent"] - 1
    return table["loudness"] * above * (power > table["threshold"])


def _frame_disturbance(ref, deg, table) -> tuple[Tensor, Tensor]:
    """Return both disturbances of each frame, before the weight."""
    ref_loud, deg_loud = _loudness(ref, table), _loudness(deg, table)
    difference = (deg_loud - ref_loud).abs()
    # What is masked by the softer of the two is not heard.
    heard = (difference - 0.25 * torch.minimum(ref_loud, deg_loud)).relu()
    weighted = (heard * table["width"])[..., 1:]
    total = table["width"][1:].sum()
    symmetric = (total * weighted.square().sum(-1) + 1e-12).sqrt()
    factor = ((deg + 50.0) / (ref + 50.0)) ** 1.2
    factor = (factor * (factor >= 3.0)).clamp(max=12.0)
    return symmetric, (weighted * factor[..., 1:]).sum(-1)


def _over_time(frame_values, frames, scored) -> Tensor:
    """L6 over segments of 20 frames, then L2 over the item."""
    values = frame_values.clamp(max=45.0)
    segments = values.unfold(1, SEGMENT, SEGMENT_HOP)
    means = (segments**6).mean(-1).add(1e-12) ** (1 / 6)
    first = torch.arange(means.shape[1], device=means.device) * SEGMENT_HOP
    inside = (first[None] + SEGMENT <= frames[:, None]) & scored[:, None]
    count = inside.sum(1).clamp(min=1)
    # Selected before the square, so that nothing outside has a gradient.
    square = means.square().masked_fill(~inside, 0.0).sum(1) / count
    return (square + 1e-12).sqrt() * scored
