import edgebrain
from edgebrain.data.resampling import (
    resample,
    resample_blocks,
    resampled_length,
)
from hypothesis import given, settings
from hypothesis import strategies as st
import numpy as np
import pytest
import torch
import torchaudio

assert edgebrain  # its repair comes before torchaudio


def tone(frequency, rate, seconds=1.0):
    return np.sin(2 * np.pi * frequency * np.arange(int(rate * seconds)) / rate)


def level_db(wav):
    """Level of the middle of a signal against a full-scale sine."""
    middle = wav[len(wav) // 4 : -len(wav) // 4].astype(float)
    return 20 * np.log10(np.sqrt(np.mean(middle**2) * 2) + 1e-30)


@pytest.mark.parametrize("rate", [48000, 44100, 32000])
def test_tone_above_the_new_band_is_gone(rate):
    assert level_db(resample(tone(8500, rate), rate, 16000)) < -100


@pytest.mark.parametrize("rate", [48000, 44100, 22050, 8000])
def test_passband_is_flat_and_in_phase(rate):
    frequency = 7000 if rate > 16000 else 3500
    got = resample(tone(frequency, rate), rate, 16000)
    want = tone(frequency, 16000)
    np.testing.assert_allclose(got[4000:12000], want[4000:12000], atol=1e-3)
    assert abs(level_db(got)) < 0.01


@pytest.mark.parametrize("rate", [48000, 44100, 22050, 11025, 8000])
def test_equals_torchaudio_with_the_same_kernel(rate):
    wav = np.random.default_rng(0).standard_normal(rate // 3 + 7)
    want = torchaudio.functional.resample(
        torch.from_numpy(wav),
        rate,
        16000,
        lowpass_filter_width=64,
        rolloff=0.9475937,
        resampling_method="sinc_interp_kaiser",
        beta=14.7696565,
    )
    np.testing.assert_allclose(
        resample(wav, rate, 16000), want.numpy(), atol=2e-6
    )


@settings(max_examples=30, deadline=None)
@given(
    st.integers(1, 3000),
    st.sampled_from([8000, 11025, 16000, 44100, 48000]),
    st.sampled_from([8000, 16000, 24000]),
)
def test_length_is_rounded_up(length, orig, new):
    got = resample(np.ones(length), orig, new)
    assert got.dtype == np.float32
    assert len(got) == resampled_length(length, orig, new)
    assert len(got) == int(np.ceil(length * new / orig))


@settings(max_examples=20, deadline=None)
@given(
    st.lists(st.integers(0, 4000), min_size=1, max_size=6),
    st.sampled_from([8000, 16000, 44100, 48000]),
)
def test_blocks_of_any_size_give_the_whole(sizes, rate):
    rng = np.random.default_rng(1)
    blocks = [rng.standard_normal(n).astype(np.float32) for n in sizes]
    got = list(resample_blocks(iter(blocks), rate, 16000))
    whole = resample(np.concatenate(blocks), rate, 16000)
    got = np.concatenate([np.zeros(0, np.float32), *got])
    np.testing.assert_allclose(got, whole, atol=1e-6)


def test_many_channels_at_once():
    wav = np.random.default_rng(0).standard_normal((2, 3, 4410))
    got = resample(wav, 44100, 16000)
    assert got.shape == (2, 3, 1600)
    np.testing.assert_array_equal(got[1, 2], resample(wav[1, 2], 44100, 16000))
