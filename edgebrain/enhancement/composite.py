"""Composite measures of speech, background and overall quality.

CSIG, CBAK and COVL predict the three ratings of ITU-T P.835 (speech
distortion, intrusiveness of the background, overall quality; 1 to 5) by
linear regression on PESQ, the log-likelihood ratio (LLR), the weighted
spectral slope distance (WSS) and the segmental SNR: Y. Hu and P. C. Loizou,
"Evaluation of objective quality measures for speech enhancement", IEEE TASLP
16(1), 2008. The weights are those of the program that came with P. C.
Loizou, "Speech Enhancement: Theory and Practice"; they differ from the
paper's tables and are what published results are made with.

The regression was made with narrow-band raw PESQ. At 16 kHz the field, and
this module, puts in the wide-band MOS-LQO (P.862.2) all the same: published
VoiceBank+DEMAND figures (noisy 3.35 / 2.44 / 2.63) are made so. At 8 kHz it
is the raw value.
"""

import math

import numpy as np

_FRAME_SECONDS = 0.03
_KEPT = 0.95  # share of the frames, the best ones, in the mean of LLR and WSS
_EPS = np.finfo(np.float64).eps

# Centres and widths in Hz of the 25 critical bands of the WSS.
_CENTRES = np.array(
    [50, 120, 190, 260, 330, 400, 470, 540, 617.372, 703.378, 798.717]
    + [904.128, 1020.38, 1148.30, 1288.72, 1442.54, 1610.70, 1794.16]
    + [1993.93, 2211.08, 2446.71, 2701.97, 2978.04, 3276.17, 3597.63]
)
_WIDTHS = np.array(
    [70.0] * 7
    + [77.3724, 86.0056, 95.3398, 105.411, 116.256, 127.914, 140.423]
    + [153.823, 168.154, 183.457, 199.776, 217.153, 235.631, 255.255]
    + [276.072, 298.126, 321.465, 346.136]
)


def composite(
    clean: np.ndarray, estimate: np.ndarray, sample_rate: int, pesq: float
) -> tuple[float, float, float]:
    """Return CSIG, CBAK and COVL, each in [1, 5], larger is better.

    Of float64 waveforms in [-1, 1], at least two frames of 30 ms. ``pesq`` is
    P.862.2 MOS-LQO (wide band); below 16 kHz raw narrow-band PESQ, see
    :func:`raw_pesq`.
    """
    frames = [_frames(wav, sample_rate) for wav in (clean, estimate)]
    ratio = _best_mean(_log_likelihood_ratio(*frames, sample_rate))
    slope = _best_mean(_weighted_slope(*frames, sample_rate))
    snr = float(_segmental_snr(clean, estimate, sample_rate).mean())
    csig = 3.093 - 1.029 * ratio + 0.603 * pesq - 0.009 * slope
    cbak = 1.634 + 0.478 * pesq - 0.007 * slope + 0.063 * snr
    covl = 1.594 + 0.805 * pesq - 0.512 * ratio - 0.007 * slope
    csig, cbak, covl = (min(5.0, max(1.0, c)) for c in (csig, cbak, covl))
    return csig, cbak, covl


def raw_pesq(mos_lqo: float) -> float:
    """Return raw narrow-band PESQ from its MOS-LQO (inverse of P.862.1).

    >>> round(raw_pesq(0.999 + 4 / (1 + math.exp(-1.4945 * 2.5 + 4.6607))), 6)
    2.5
    """
    return (4.6607 - math.log(4 / (mos_lqo - 0.999) - 1)) / 1.4945


def _frames(wav: np.ndarray, sample_rate: int, floor=_EPS) -> np.ndarray:
    """Return windowed frames (frames, samples) of 30 ms each 7.5 ms.

    The tiny offset keeps logarithms and divisions finite in silence.
    """
    length = round(_FRAME_SECONDS * sample_rate)
    skip = math.floor(_FRAME_SECONDS * sample_rate / 4)
    count = math.floor(len(wav) / skip - length / skip)
    if count < 1:
        raise ValueError("under two frames of 30 ms")
    views = np.lib.stride_tricks.sliding_window_view(wav, length)[::skip]
    steps = np.arange(1, length + 1) / (length + 1)
    return (views[:count] + floor) * (0.5 - 0.5 * np.cos(2 * np.pi * steps))


def _best_mean(distances: np.ndarray) -> float:
    """Return the mean of the 95 % smallest distances."""
    kept = max(1, round(len(distances) * _KEPT))
    return float(np.sort(distances)[:kept].mean())


def _segmental_snr(clean, estimate, sample_rate) -> np.ndarray:
    """Return the SNR of each frame in dB, within -10 and 35."""
    signal = (_frames(clean, sample_rate, 0.0) ** 2).sum(1)
    noise = (_frames(clean - estimate, sample_rate, 0.0) ** 2).sum(1)
    return np.clip(10 * np.log10(signal / (noise + _EPS) + _EPS), -10, 35)


def _log_likelihood_ratio(clean, estimate, sample_rate) -> np.ndarray:
    """Return ln(a_e R_c a_e / a_c R_c a_c) of each frame.

    a: linear prediction coefficients; R_c: autocorrelation of the clean
    frame.
    """
    order = 10 if sample_rate < 10000 else 16
    lags = _autocorrelation(clean, order)
    ours = _prediction(lags)
    theirs = _prediction(_autocorrelation(estimate, order))
    index = np.abs(
        np.subtract.outer(np.arange(order + 1), np.arange(order + 1))
    )
    matrix = lags[:, index]
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.einsum("fi,fij,fj->f", theirs, matrix, theirs) / np.einsum(
            "fi,fij,fj->f", ours, matrix, ours
        )
    # Rounding in nearly silent frames; the reference program's value.
    return np.log(np.where(ratio > 0, ratio, 1000.0))


def _autocorrelation(frames: np.ndarray, order: int) -> np.ndarray:
    """Return lags 0 to order of each frame, (frames, order + 1)."""
    length = frames.shape[1]
    return np.stack(
        [
            np.einsum("fs,fs->f", frames[:, : length - lag], frames[:, lag:])
            for lag in range(order + 1)
        ],
        axis=1,
    )


def _prediction(lags: np.ndarray) -> np.ndarray:
    """Return 1, a_1 ... a_order of each frame by Levinson and Durbin."""
    frames, size = lags.shape
    coefficients = np.zeros((frames, size))
    coefficients[:, 0] = 1.0
    error = lags[:, 0].copy()
    for i in range(1, size):
        past = coefficients[:, :i]
        reflection = -(past * lags[:, i:0:-1]).sum(1) / error
        coefficients[:, 1 : i + 1] += (
            reflection[:, None] * coefficients[:, i - 1 :: -1][:, :i]
        )
        error = error * (1 - reflection**2)
    return coefficients


def _weighted_slope(clean, estimate, sample_rate) -> np.ndarray:
    """Return the weighted spectral slope distance of each frame.

    D. Klatt, "Prediction of perceived phonetic distance from critical-band
    spectra", ICASSP 1982.
    """
    energies = [_band_energies(x, sample_rate) for x in (clean, estimate)]
    slopes = [np.diff(energy, axis=1) for energy in energies]
    weight = sum(map(_slope_weights, energies, slopes)) / 2
    difference = (slopes[0] - slopes[1]) ** 2
    return (weight * difference).sum(1) / weight.sum(1)


def _band_energies(frames: np.ndarray, sample_rate: int) -> np.ndarray:
    """Return the level of each critical band in dB, (frames, 25)."""
    n_fft = 2 ** math.ceil(math.log2(2 * frames.shape[1]))
    half = n_fft // 2
    per_bin = half / (sample_rate / 2)
    centre = np.floor(_CENTRES * per_bin)[:, None]
    width = (_WIDTHS * per_bin)[:, None]
    gain = np.log(_WIDTHS[0] / _WIDTHS)[:, None]
    filters = np.exp(-11 * ((np.arange(half) - centre) / width) ** 2 + gain)
    filters *= filters > math.exp(-30 / (2 * 2.303))
    power = np.abs(np.fft.rfft(frames, n_fft)[:, :half]) ** 2
    return 10 * np.log10(np.maximum(power @ filters.T, 1e-10))


def _slope_weights(energy: np.ndarray, slope: np.ndarray) -> np.ndarray:
    """Return Klatt's weights: large near the largest and a local peak."""
    bands = energy[:, :-1]
    peaks = _local_peaks(energy, slope)
    largest = 20 / (20 + energy.max(1, keepdims=True) - bands)
    return largest / (1 + peaks - bands)


def _local_peaks(energy: np.ndarray, slope: np.ndarray) -> np.ndarray:
    """Return the level of the peak that each band's slope leads to.

    Uphill to the right the reference program takes the band before the
    peak; published scores hold that, so it is kept.
    """
    count = slope.shape[1]
    stop = np.full(len(slope), count)
    right = np.empty(slope.shape, int)
    for band in reversed(range(count)):
        stop = np.where(slope[:, band] > 0, stop, band)
        right[:, band] = stop - 1
    start = np.full(len(slope), -1)
    left = np.empty(slope.shape, int)
    for band in range(count):
        start = np.where(slope[:, band] > 0, band, start)
        left[:, band] = start + 1
    place = np.where(slope > 0, right, left)
    return np.take_along_axis(energy, place, axis=1)
