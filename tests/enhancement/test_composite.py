"""The composite measures against a slow, literal second formulation."""

import math

from edgebrain.enhancement import composite, metrics
import numpy as np
import pytest
from scipy.linalg import solve_toeplitz, toeplitz

RATE = 16000


@pytest.fixture(scope="module")
def pair():
    rng = np.random.default_rng(3)
    t = np.arange(RATE * 3 // 2) / RATE
    voice = sum(
        np.sin(2 * np.pi * 140 * k * t + k) / k for k in range(1, 20)
    ) * (np.sin(2 * np.pi * 3 * t) > -0.4)
    clean = 0.05 * voice + 1e-3 * rng.standard_normal(len(t))
    return clean, clean + 0.02 * rng.standard_normal(len(clean))


def literal_frames(wav):
    size, skip = 480, 120
    window = 0.5 * (1 - np.cos(2 * np.pi * np.arange(1, size + 1) / (size + 1)))
    count = int(len(wav) / skip - size / skip)
    return [wav[i * skip : i * skip + size] * window for i in range(count)]


def literal_peak(slope, energy, band):
    n = band
    if slope[band] > 0:
        while n < len(energy) - 1 and slope[n] > 0:
            n += 1
        return energy[n - 1]
    while n >= 0 and slope[n] <= 0:
        n -= 1
    return energy[n + 1]


def test_likelihood_ratio_of_each_frame(pair):
    eps = np.finfo(float).eps
    frames = [literal_frames(x + eps) for x in pair]
    ours = composite._log_likelihood_ratio(*map(np.array, frames), RATE)
    for k in range(0, len(ours), 7):
        lags, ai = [], []
        for x in (frames[0][k], frames[1][k]):
            full = np.correlate(x, x, "full")[len(x) - 1 :][:17]
            lags.append(full)
            ai.append(np.r_[1, solve_toeplitz(full[:-1], -full[1:])])
        matrix = toeplitz(lags[0])
        expected = math.log((ai[1] @ matrix @ ai[1]) / (ai[0] @ matrix @ ai[0]))
        assert ours[k] == pytest.approx(expected, rel=1e-5, abs=1e-7)


def test_weighted_slope_of_each_frame(pair):
    frames = [np.array(literal_frames(x)) for x in pair]
    ours = composite._weighted_slope(*frames, RATE)
    energies = [composite._band_energies(x, RATE) for x in frames]
    for k in range(0, len(ours), 7):
        weights, slopes = [], []
        for energy in (energies[0][k], energies[1][k]):
            slope = np.diff(energy)
            slopes.append(slope)
            peaks = [literal_peak(slope, energy, i) for i in range(24)]
            weights.append(
                20
                / (20 + energy.max() - energy[:-1])
                * 1
                / (1 + np.array(peaks) - energy[:-1])
            )
        weight = (weights[0] + weights[1]) / 2
        expected = (weight * (slopes[0] - slopes[1]) ** 2).sum() / weight.sum()
        assert ours[k] == pytest.approx(expected)


def test_segmental_snr_is_bounded_and_right(pair):
    clean, noisy = pair
    ours = composite._segmental_snr(clean, noisy, RATE)
    expected = [
        10 * np.log10((a**2).sum() / (b**2).sum() + 1e-16)
        for a, b in zip(
            literal_frames(clean), literal_frames(noisy - clean), strict=True
        )
    ]
    assert np.allclose(ours, np.clip(expected, -10, 35), atol=1e-3)


def test_perfect_speech_scores_the_top(pair):
    clean = pair[0]
    csig, cbak, covl = composite.composite(clean, clean, RATE, 4.64)
    assert csig == 5.0 and covl == 5.0 and cbak == 5.0


def test_more_noise_scores_lower_and_within_bounds(pair):
    clean, noisy = pair
    names = ["csig", "cbak", "covl"]
    last = None
    for scale in (0.1, 1.0, 10.0):
        estimate = clean + scale * (noisy - clean)
        scores = metrics.score_clip(clean, estimate, RATE, names).values
        values = np.array([scores[name] for name in names])
        assert ((values >= 1) & (values <= 5)).all()
        assert last is None or (values <= last).all()
        last = values


def test_silent_gaps_give_numbers(pair):
    clean, noisy = (x.copy() for x in pair)
    clean[3000:9000] = 0.0
    noisy[5000:12000] = 0.0
    values = composite.composite(clean, noisy, RATE, 2.0)
    assert np.isfinite(values).all()


def test_short_clips_are_counted_as_failures(pair):
    clip = metrics.score_clip(pair[0][:500], pair[1][:500], RATE, ["csig"])
    assert math.isnan(clip.values["csig"])
    assert "too short" in clip.failures["csig"]


def test_pesq_is_computed_once_for_all_four(pair, monkeypatch):
    import pesq

    calls = []
    original = pesq.pesq
    monkeypatch.setattr(
        pesq, "pesq", lambda *a: calls.append(1) or original(*a)
    )
    names = ["pesq", "csig", "cbak", "covl"]
    one = metrics.score_clip(*pair, RATE, names)
    assert len(calls) == 1
    other = metrics.score_clip(pair[0], pair[0] * 0.5 + pair[1], RATE, names)
    assert len(calls) == 2
    assert one.values != other.values


def test_raw_pesq_inverts_the_mapping():
    lqo = 0.999 + 4 / (1 + math.exp(-1.4945 * 3.1 + 4.6607))
    assert composite.raw_pesq(lqo) == pytest.approx(3.1)
