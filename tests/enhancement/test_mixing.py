import math

from edgebrain.enhancement import mixing
from edgebrain.enhancement.mixing_settings import MixingSettings, draw
from edgebrain.errors import UserError
from hypothesis import given, settings
from hypothesis import strategies as st
import numpy as np
import pytest

RATE = 16000


def speech_like(seconds=1.0, seed=0, pause=True):
    """Noise bursts with pauses at -60 dB."""
    rng = np.random.default_rng(seed)
    wav = rng.standard_normal(round(seconds * RATE)).astype(np.float32) * 0.1
    if pause:
        quarter = len(wav) // 4
        wav[quarter : 2 * quarter] *= 1e-3
    return wav


def noise_like(seconds=1.0, seed=1):
    rng = np.random.default_rng(seed)
    return rng.standard_normal(round(seconds * RATE)).astype(np.float32) * 0.05


# Active speech and SNR


def test_mask_leaves_out_the_pause():
    wav = speech_like()
    mask = mixing.active_speech_mask(wav, RATE)
    assert mask.dtype == bool and len(mask) == len(wav)
    assert not mask[4320:7680].any()  # whole frames of the pause
    assert mask[:3840].all() and mask[8320:].all()


def test_active_power_is_the_power_over_the_mask():
    wav = speech_like(1.01)  # the last frame is a short one
    mask = mixing.active_speech_mask(wav, RATE)
    expected = np.mean(np.square(wav[mask], dtype=np.float64))
    assert mixing.active_power(wav, RATE) == pytest.approx(expected, rel=1e-6)


def test_digital_silence_has_no_active_speech():
    silence = np.zeros(1000, np.float32)
    assert not mixing.active_speech_mask(silence, RATE).any()
    assert mixing.active_power(silence, RATE) == 0
    assert mixing.active_power(silence[:0], RATE) == 0


@settings(max_examples=40, deadline=None)
@given(
    snr_db=st.floats(-30, 60),
    speech_db=st.floats(-80, 20),
    noise_db=st.floats(-80, 20),
    samples=st.integers(400, 20000),
    seed=st.integers(0, 10**6),
)
def test_snr_is_hit_at_any_level(snr_db, speech_db, noise_db, samples, seed):
    seconds = samples / RATE
    speech = speech_like(seconds, seed) * np.float32(10 ** (speech_db / 20))
    noise = noise_like(seconds, seed + 1) * np.float32(10 ** (noise_db / 20))
    scaled = mixing.scale_to_snr(speech, noise, snr_db, RATE)
    mask = mixing.active_speech_mask(speech, RATE)
    signal = np.mean(np.square(speech[mask], dtype=np.float64))
    disturbance = np.mean(np.square(scaled, dtype=np.float64))
    assert 10 * math.log10(signal / disturbance) == pytest.approx(
        snr_db, abs=0.1
    )
    assert scaled.dtype == np.float32


def test_snr_ignores_silence_around_the_speech():
    speech, noise = speech_like(), noise_like(3)
    padded = mixing.add_silence(speech, RATE, RATE)
    a = mixing.scale_to_snr(padded, noise, 5, RATE)
    b = mixing.scale_to_snr(speech, noise, 5, RATE)
    assert np.allclose(a, b, rtol=1e-4)


# Loops, silence, babble


def test_loop_inside_the_recording_is_a_plain_cut():
    wav = noise_like()
    assert np.array_equal(mixing.loop(wav, 500, 30), wav[30:530])


@settings(max_examples=30, deadline=None)
@given(
    size=st.integers(1, 3000),
    length=st.integers(1, 9000),
    start=st.integers(0, 5000),
)
def test_loop_has_the_length_and_no_gap(size, length, start):
    looped = mixing.loop(np.ones(size, np.float32), length, start)
    assert len(looped) == length
    assert looped.min() >= 0.99 and looped.max() <= 1.5


def test_loop_does_not_click():
    # A recording that starts at -1 and ends at +1: without a cross-fade
    # the seam jumps by 2.
    looped = mixing.loop(np.linspace(-1, 1, 4000, dtype=np.float32), 12000)
    assert np.abs(np.diff(looped)).max() < 0.05


def test_babble_voices_are_equally_loud():
    quiet, loud = speech_like(seed=3) * 0.01, speech_like(seed=4)
    both = mixing.babble([quiet, loud], RATE)
    for voice in (quiet, loud):
        alone = mixing.babble([voice], RATE)
        assert mixing.active_power(alone, RATE) == pytest.approx(1, rel=1e-3)
    assert np.allclose(
        both,
        mixing.babble([quiet], RATE) + mixing.babble([loud], RATE),
        atol=1e-5,
    )
    with_silence = mixing.babble([loud, np.zeros_like(loud)], RATE)
    assert np.array_equal(with_silence, mixing.babble([loud], RATE))


# Rooms


def room(direct=100, length=8000, gain=0.5, seed=0):
    """Direct path, nothing for 10 ms, then a decaying tail."""
    rng = np.random.default_rng(seed)
    rir = np.zeros(length, np.float32)
    tail = np.arange(length - direct - 160)
    rir[direct + 160 :] = (
        rng.standard_normal(len(tail)) * 0.1 * np.exp(-tail / 1000)
    )
    rir[direct] = gain
    return rir


def test_reverberation_is_linear_convolution_with_aligned_direct_path():
    speech, rir = speech_like(0.5), room(gain=-0.5)
    wet, early = mixing.reverberate(speech, rir, RATE)
    expected = np.convolve(speech.astype(np.float64), rir / rir[100])
    expected = expected[100 : 100 + len(speech)]
    assert np.abs(wet - expected).max() < 1e-5
    assert len(wet) == len(early) == len(speech)
    assert wet.dtype == early.dtype == np.float32


def test_nothing_wraps_around():
    speech = np.zeros(4000, np.float32)
    speech[-1] = 1
    wet, target = mixing.reverberate(speech, room(), RATE)
    assert np.abs(wet[:-1]).max() < 1e-6
    assert wet[-1] == pytest.approx(1, abs=1e-5)


def test_dry_target_is_the_direct_path():
    speech = speech_like(0.5)
    _, dry = mixing.reverberate(speech, room(gain=-0.3), RATE, "dry")
    assert np.allclose(dry, speech, atol=1e-5)


def test_dry_target_has_the_energy_of_a_smeared_direct_path():
    speech, rir = speech_like(0.5), np.zeros(400, np.float32)
    rir[50:54] = [0.5, 1, 0.5, 0.2]
    wet, dry = mixing.reverberate(speech, rir, RATE, "dry")
    ratio = mixing.mean_power(wet) / mixing.mean_power(dry)
    assert ratio == pytest.approx(1, rel=0.02)


def test_early_target_holds_the_early_reflections_only():
    impulse = np.zeros(6000, np.float32)
    impulse[0] = 1
    wet, early = mixing.reverberate(impulse, room(), RATE, "early", 50)
    assert np.allclose(early[:800], wet[:800], atol=1e-6)
    assert np.abs(early[160:800]).max() > 0.01
    assert np.abs(early[840:]).max() < 1e-6
    assert np.abs(wet[840:]).max() > 0.01


@pytest.mark.parametrize("length", [1, 2, 7, 300])
def test_short_responses_and_short_speech(length):
    rir = np.zeros(length, np.float32)
    rir[0] = 2
    for target in ("dry", "early"):
        wet, clean = mixing.reverberate(
            speech_like(0.01), rir, RATE, target, 50
        )
        assert np.allclose(wet, speech_like(0.01), atol=1e-6)
        assert np.allclose(clean, wet, atol=1e-6)


@pytest.mark.parametrize(
    "rir", [np.zeros(10), np.array([1, np.nan]), np.zeros(0)]
)
def test_useless_responses_are_refused(rir):
    rir = rir.astype(np.float32)
    with pytest.raises(UserError, match="room response"):
        mixing.trim_rir(rir)


def test_trimming_a_response_keeps_what_is_heard():
    rir = np.pad(room(), (0, 20000))
    short = mixing.trim_rir(rir)
    assert len(short) <= 8000
    assert mixing.mean_power(rir[len(short) :]) * len(rir) < (
        2e-6 * np.sum(rir**2)
    )
    assert np.array_equal(short, rir[: len(short)])


# Device faults and levels


def test_clipping_flattens_the_peaks():
    wav = noise_like()
    peak = np.abs(wav).max()
    clipped = mixing.clip(wav, 6)
    assert np.abs(clipped).max() == pytest.approx(peak * 10**-0.3, rel=1e-5)
    small = np.abs(wav) < 0.5 * peak
    assert np.array_equal(clipped[small], wav[small])


@pytest.mark.parametrize(
    ("frequency", "gain_db"),
    [(1000, 0), (300, -3), (3400, -3), (100, -60), (7000, -45)],
)
def test_telephone_band(frequency, gain_db):
    tone = np.sin(2 * np.pi * frequency * np.arange(RATE) / RATE)
    limited = mixing.band_limit(tone.astype(np.float32), 300, 3400, RATE)
    middle = slice(RATE // 4, 3 * RATE // 4)
    ratio = mixing.mean_power(limited[middle]) / mixing.mean_power(tone[middle])
    got = 10 * math.log10(max(ratio, 1e-12))
    if gain_db > -30:
        assert got == pytest.approx(gain_db, abs=0.1)
    else:
        assert got < gain_db


def test_band_limit_delays_nothing():
    impulse = np.zeros((2, 4001), np.float32)
    impulse[:, 2000] = 1
    limited = mixing.band_limit(impulse, 0, 4000, RATE)
    assert limited.shape == impulse.shape and limited.dtype == np.float32
    assert np.argmax(limited[0]) == 2000
    assert np.allclose(limited[0], limited[0][::-1], atol=1e-6)


def test_peak_is_set_by_one_gain():
    noisy, clean = noise_like() + speech_like(), speech_like()
    a, b = mixing.set_peak(noisy, clean, -20)
    assert np.abs(a).max() == pytest.approx(0.1, rel=1e-5)
    gain = a[7] / noisy[7]
    assert np.allclose(a, noisy * gain, rtol=1e-5)
    assert np.allclose(b, clean * gain, rtol=1e-5)
    silence = np.zeros(5, np.float32)
    assert not np.any(mixing.set_peak(silence, silence, -20))


def test_nothing_exceeds_full_scale():
    noisy, clean = speech_like() * 30, speech_like() * 60
    a, b = mixing.fit_full_scale(noisy, clean)
    assert np.abs(b).max() == pytest.approx(0.999)
    assert np.allclose(a * 2, b)
    a, b = mixing.fit_full_scale(noisy / 1000, clean / 1000)
    assert np.array_equal(a, noisy / 1000) and np.array_equal(b, clean / 1000)


# Settings


def test_ranges():
    rng = np.random.default_rng(0)
    assert {draw([1, 2], rng) for _ in range(50)} == {1, 2}
    assert draw(4, rng) == 4
    uniform = [draw({"low": -5, "high": 20}, rng) for _ in range(500)]
    assert min(uniform) < -4 and max(uniform) > 19
    assert -5 <= min(uniform) and max(uniform) <= 20
    whole = {draw({"low": 3, "high": 5}, rng, integer=True) for _ in range(99)}
    assert whole == {3, 4, 5}


def test_all_faulty_settings_are_named_at_once():
    with pytest.raises(UserError) as error:
        MixingSettings(
            noise_prob=1.5,
            snr_db={"low": 20, "high": -5},
            babble_speakers=[2.5],
            level_db=3,
            reverb_target="wet",
            band_limit_hz=[[4000, 300]],
            silence_seconds={"min": 0},
            clip_db=[],
            early_ms=0,
        )
    text = str(error.value)
    assert "9 problems" in text
    for key in (
        "noise_prob",
        "snr_db",
        "babble_speakers",
        "level_db",
        "reverb_target",
        "band_limit_hz",
        "silence_seconds",
        "clip_db",
        "early_ms",
    ):
        assert f"- {key}: " in text


@pytest.mark.parametrize("value", [None, "x", True, math.nan, [1, "x"]])
def test_a_range_of_no_numbers_is_refused(value):
    with pytest.raises(UserError, match="snr_db"):
        MixingSettings(snr_db=value)


def test_settings_from_yaml():
    hyperpyyaml = pytest.importorskip("hyperpyyaml")
    text = """
mix: !new:edgebrain.enhancement.mixing.MixingSettings
    snr_db: {low: -3, high: 12}
    level_db: [-20, -3]
    babble_prob: 0
"""
    loaded = hyperpyyaml.load_hyperpyyaml(text)["mix"]
    assert loaded.snr_db == {"low": -3, "high": 12}
    assert loaded.level_db == [-20, -3]
    with pytest.raises(UserError, match="snr_db"):
        hyperpyyaml.load_hyperpyyaml(text.replace("12", "-12"))


def test_without():
    base = MixingSettings(noise_prob=0.5, reverb_prob=0.5)
    assert base.without(noise=True).noise_prob == 0
    assert base.without(noise=True).second_noise_prob == 0
    assert base.without(reverb=True).reverb_prob == 0
    assert base.without(reverb=True).noise_prob == 0.5
    assert base.without(babble=True).babble_prob == 0
    assert base.without() == base


def test_equalisation_is_smooth_and_delays_nothing():
    impulse = np.zeros(16000, np.float32)
    impulse[8000] = 1.0
    gains = [6.0, -3.0, 0.0, 4.0, -6.0]
    wav = mixing.equalise(impulse, gains, 16000)
    assert np.argmax(np.abs(wav)) == 8000
    level = 20 * np.log10(np.abs(np.fft.rfft(wav)))
    for frequency, gain in zip((316, 1000, 3162), gains[1:4], strict=True):
        assert level[frequency] == pytest.approx(gain, abs=0.2)
    assert level[562] == pytest.approx((gains[1] + gains[2]) / 2, abs=0.2)


def test_the_high_pass_of_nnse():
    time = np.arange(16000) / 16000
    gains = []
    for hertz in (0, 20, 90, 1000):
        wav = np.cos(2 * np.pi * hertz * time).astype(np.float32)
        out = mixing.high_pass(np.stack([wav, wav]), 0.965267)[1, 8000:]
        gains.append(np.sqrt(np.mean(out**2) / np.mean(wav[8000:] ** 2)))
    assert gains[0] < 1e-3 and gains[1] < 0.25
    assert gains[2] == pytest.approx(0.71, abs=0.02)
    assert gains[3] == pytest.approx(1.0, abs=0.03)
    with pytest.raises(UserError, match="high_pass"):
        MixingSettings(high_pass=1.5)
