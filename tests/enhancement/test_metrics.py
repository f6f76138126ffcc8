"""Scores per clip, their failures, parallel scoring and selection."""

import math
import subprocess
import sys

from edgebrain.enhancement import metrics
from edgebrain.enhancement.metrics import score_clip, score_clips
from edgebrain.errors import UserError
from edgebrain.report.scores import ClipScores, mean_gain, summarise
import numpy as np
import pytest

RATE = 16000


def speechlike(seconds=1.5, seed=0, rate=RATE):
    """Harmonics under a syllabic envelope: PESQ and STOI find speech in it."""
    rng = np.random.default_rng(seed)
    time = np.arange(int(seconds * rate)) / rate
    pitch = 120 + 20 * np.sin(2 * np.pi * 0.7 * time + seed)
    phase = 2 * np.pi * np.cumsum(pitch) / rate
    wav = sum(np.sin(k * phase) / k for k in range(1, 25))
    envelope = np.clip(np.sin(2 * np.pi * 3 * time + seed), 0, None)
    wav = 0.1 * wav * envelope + 1e-4 * rng.standard_normal(len(time))
    return wav.astype(np.float32)


def noisy(clean, level=0.01, seed=1):
    noise = np.random.default_rng(seed).standard_normal(len(clean))
    return (clean + level * noise).astype(np.float32)


ALL = list(metrics.METRICS)


def test_every_metric_falls_as_noise_grows():
    clean = speechlike()
    slight = score_clip(clean, noisy(clean, 0.003), RATE, ALL)
    strong = score_clip(clean, noisy(clean, 0.05), RATE, ALL)
    assert not slight.failures and not strong.failures
    for name in ALL:
        sign = 1 if metrics.METRICS[name].higher_is_better else -1
        assert sign * slight.values[name] > sign * strong.values[name], name
    assert 1 <= slight.values["pesq"] <= 4.7
    assert 0 < slight.values["stoi"] < 1


def test_values_agree_with_the_libraries():
    import pesq
    import pystoi

    clean = speechlike()
    estimate = noisy(clean)
    values = score_clip(clean, estimate, RATE, ALL).values
    assert values["pesq"] == pytest.approx(
        pesq.pesq(RATE, clean, estimate, "wb"), abs=1e-3
    )
    for name, extended in (("stoi", False), ("estoi", True)):
        expected = pystoi.stoi(clean, estimate, RATE, extended=extended)
        assert values[name] == pytest.approx(expected, abs=1e-6)


def test_snr_and_mse_of_known_signals():
    time = np.arange(RATE)
    clean = np.sin(2 * np.pi * 100 * time / RATE)
    error = 0.1 * np.sin(2 * np.pi * 200 * time / RATE)
    values = score_clip(clean, clean + error, RATE, ALL[3:]).values
    assert values["snr"] == pytest.approx(20)
    assert values["si_snr"] == pytest.approx(20)
    assert values["mse"] == pytest.approx(0.005)
    scaled = score_clip(clean, 0.5 * (clean + error) + 3, RATE, ALL[3:]).values
    assert scaled["si_snr"] == pytest.approx(20)
    assert scaled["snr"] < 0


@pytest.mark.parametrize("names", [["joint"], ["si_snr", "joint", "estoi"]])
def test_joint_score_is_the_stated_sum(names):
    """Also when another pair was scored before, and for a silent estimate."""
    clean = speechlike()
    score_clip(clean, noisy(clean)[::-1].copy(), RATE, names)
    got = score_clip(clean, noisy(clean), RATE, names).values["joint"]
    each = score_clip(clean, noisy(clean), RATE, ALL).values
    want = each["pesq"] + 6 * each["stoi"] + each["si_snr"] / 15
    assert got == pytest.approx(want)
    assert fails(clean, 0 * clean, names)["joint"] == "silent estimate"


def test_perfect_estimate_is_bounded():
    clean = speechlike()
    values = score_clip(clean, clean, RATE, ALL).values
    assert values["snr"] == values["si_snr"] == metrics.MAX_DB
    assert values["mse"] == 0


def fails(clean, estimate, names=ALL):
    scores = score_clip(clean, estimate, RATE, names)
    for name in scores.failures:
        assert math.isnan(scores.values[name])
    return scores.failures


def test_silent_estimate():
    clean = speechlike()
    failures = fails(clean, np.zeros_like(clean))
    assert set(failures) == set(ALL) - {"snr", "mse"}
    assert set(failures.values()) == {"silent estimate"}
    values = score_clip(clean, np.zeros_like(clean), RATE, ["snr"]).values
    assert values == {"snr": 0.0}


def test_silent_reference():
    clean = speechlike()
    failures = fails(np.zeros_like(clean), clean)
    assert set(failures) == set(ALL) - {"mse"}
    assert set(failures.values()) == {"silent reference"}


def test_constant_reference_has_no_si_snr():
    failures = fails(np.ones(RATE), speechlike(1.0), ["si_snr"])
    assert failures == {"si_snr": "silent reference"}


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_not_finite(bad):
    clean = speechlike()
    broken = clean.copy()
    broken[5] = bad
    assert set(fails(clean, broken)) == set(ALL)
    assert "estimate" in fails(clean, broken)["mse"]
    assert "reference" in fails(broken, clean)["mse"]


@pytest.mark.parametrize("samples", [0, 1, 100, 300, 3000])
def test_too_short(samples):
    clean = speechlike()[4000 : 4000 + samples]
    failures = fails(clean, noisy(clean))
    assert {"pesq", "stoi", "estoi"} <= set(failures)
    for reason in failures.values():
        assert "short" in reason or "silent" in reason or "no samp" in reason
    if samples >= 100:
        assert "mse" not in failures and "snr" not in failures


def test_many_utterances_do_not_crash_pesq():
    # 75 words with pauses in one call end the process with a segfault.
    burst = speechlike(0.5)
    clean = np.concatenate([burst, np.zeros(RATE // 2, "f4")] * 75)
    whole = score_clip(clean, noisy(clean, 0.003), RATE, ["pesq"])
    assert 1 < whole.values["pesq"] < 4.7


def test_long_clip_skips_pieces_without_speech():
    speech = speechlike(15)
    clean = np.concatenate([speech, np.zeros_like(speech)])
    estimate = np.concatenate([noisy(speech), np.zeros_like(speech)])
    both = score_clip(clean, estimate, RATE, ["pesq"])
    alone = score_clip(speech, noisy(speech), RATE, ["pesq"])
    assert both.values["pesq"] == pytest.approx(alone.values["pesq"])


@pytest.mark.parametrize("rate", [8000, 48000])
def test_other_rates(rate):
    clean = speechlike(rate=rate)
    better = score_clip(clean, noisy(clean, 0.003), rate)
    worse = score_clip(clean, noisy(clean, 0.05), rate)
    assert not better.failures
    assert better.values["pesq"] > worse.values["pesq"]


def test_user_errors():
    clean = speechlike()
    with pytest.raises(UserError, match="did you mean pesq"):
        score_clip(clean, clean, RATE, ["pesk"])
    with pytest.raises(UserError, match="'clip7'"):
        score_clip(clean, clean[:-1], RATE, ["mse"], "clip7")
    with pytest.raises(UserError, match="did you mean stoi"):
        score_clips([], RATE, ["stoy"])


def clips(count):
    for index in range(count):
        clean = speechlike(seed=index)
        estimate = noisy(clean, seed=index)
        yield f"clip{index}", clean, 0 * estimate if index == 2 else estimate


def test_same_scores_for_any_number_of_processes():
    one = score_clips(list(clips(5)), RATE, n_jobs=1)
    two = score_clips(list(clips(5)), RATE, n_jobs=2)
    assert [clip.id for clip in two] == [f"clip{i}" for i in range(5)]
    assert summarise(one) == summarise(two)
    assert repr(one) == repr(two)
    assert one[2].failures["stoi"] == "silent estimate"


def test_worker_errors_come_back():
    clean = speechlike()
    with pytest.raises(UserError, match="'bad'"):
        score_clips([("bad", clean, clean[1:])] * 2, RATE, n_jobs=2)


def test_import_is_light():
    code = (
        "import sys, edgebrain.enhancement.metrics; "
        "print([m for m in ('torch', 'scipy', "
        "'pesq', 'pystoi', 'joblib', 'torchaudio') if m in sys.modules])"
    )
    output = subprocess.check_output([sys.executable, "-c", code], text=True)
    assert output.strip() == "[]"


def test_summarise():
    scores = [
        ClipScores("a", {"stoi": 0.5, "pesq": math.nan}, {"pesq": "x"}),
        ClipScores("b", {"stoi": 0.7, "pesq": math.nan}, {"pesq": "y"}),
        ClipScores("c", {"stoi": math.nan, "pesq": math.nan}, {"pesq": "y"}),
    ]
    summary = summarise(scores)
    assert summary["n"] == 3
    assert summary["mean"]["stoi"] == pytest.approx(0.6)
    assert math.isnan(summary["mean"]["pesq"])
    assert summary["scored"] == {"stoi": 2, "pesq": 0}
    assert summary["failures"] == {
        "stoi": {"not scored": 1},
        "pesq": {"x": 1, "y": 2},
    }
    assert summarise([])["n"] == 0


def test_gain_is_over_clips_scored_in_both():
    before = [ClipScores("a", {"stoi": 0.5}), ClipScores("b", {"stoi": 0.1})]
    after = [
        ClipScores("a", {"stoi": 0.4}),
        ClipScores("b", {"stoi": math.nan}, {"stoi": "silent estimate"}),
    ]
    assert mean_gain(before, after)["stoi"] == pytest.approx(-0.1)
    assert math.isnan(mean_gain(before[1:], after[1:])["stoi"])
