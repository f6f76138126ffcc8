"""STFT and inverse of whole signals, numpy and torch."""

import dataclasses
import subprocess
import sys

from edgebrain.errors import UserError
from edgebrain.signal import (
    EDGE_FLOOR,
    SignalSettings,
    analysis_window,
    istft,
    magnitude,
    peak_gain,
    stft,
)
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
import numpy as np
import pytest
import torch

SETTINGS = {
    "default": SignalSettings(),
    "nnse": SignalSettings(win_length=480, window="sqrt_hann"),
    "half": SignalSettings(win_length=512, hop_length=256),
    "short": SignalSettings(n_fft=320, win_length=320),
    "hamming": SignalSettings(window="hamming"),
    "hamming_half": SignalSettings(
        win_length=512, hop_length=256, window="hamming"
    ),
    "odd": SignalSettings(n_fft=256, win_length=201, hop_length=77),
    "long_hop": SignalSettings(hop_length=250),
}
PROPERTY = hypothesis_settings(
    max_examples=25, deadline=None, derandomize=True, database=None
)
each = pytest.mark.parametrize("name", SETTINGS)


def noise(*shape, seed=0):
    rng = np.random.default_rng(seed)
    return rng.uniform(-1, 1, shape).astype(np.float32)


def peak_of(values):
    return abs(values).max()


@pytest.mark.parametrize("length", [1, 159, 160, 1000, 16000])
@pytest.mark.parametrize("window", ["hann", "hamming", "sqrt_hann"])
def test_torch_stft_is_bit_equal_to_torch_stft(length, window):
    settings = SignalSettings(window=window)
    wav = torch.from_numpy(noise(2, length))
    make = torch.hamming_window if window == "hamming" else torch.hann_window
    taps = make(400)
    want = torch.stft(
        wav,
        512,
        160,
        400,
        taps.sqrt() if window == "sqrt_hann" else taps,
        center=True,
        pad_mode="constant",
        return_complex=True,
    )
    assert torch.equal(stft(wav, settings), want)


@pytest.mark.parametrize("name", ["half", "short"])
def test_appended_frame_comes_after_those_of_torch(name):
    settings = SETTINGS[name]
    wav = torch.from_numpy(noise(1001))
    want = torch.stft(
        wav,
        settings.n_fft,
        settings.hop_length,
        settings.win_length,
        torch.hann_window(settings.win_length),
        center=True,
        pad_mode="constant",
        return_complex=True,
    )
    got = stft(wav, settings)
    assert got.shape[-1] == want.shape[-1] + 1
    assert torch.equal(got[:, :-1], want)


def test_torch_istft_agrees_under_a_mask():
    settings = SignalSettings()
    spec = stft(torch.from_numpy(noise(3, 16000)), settings)
    spec = spec * torch.from_numpy(noise(*spec.shape, seed=1)).abs()
    want = torch.istft(
        spec, 512, 160, 400, torch.hann_window(400), length=16000
    )
    torch.testing.assert_close(
        istft(spec, settings, 16000), want, rtol=0, atol=2e-6
    )


@each
@pytest.mark.parametrize("center", [True, False])
def test_numpy_and_torch_agree(name, center):
    settings = dataclasses.replace(SETTINGS[name], center=center, power=0.5)
    wav = noise(2, 3, 2345)
    array, tensor = stft(wav, settings), stft(torch.from_numpy(wav), settings)
    assert array.dtype == np.complex64
    assert array.shape == (2, 3, settings.bins, settings.num_frames(2345))
    np.testing.assert_allclose(
        array, tensor.numpy(), rtol=0, atol=1e-6 * peak_of(array)
    )
    mask = noise(*array.shape, seed=1)
    back = istft(array * mask, settings, 2345)
    assert back.dtype == np.float32
    other = istft(torch.from_numpy(array * mask), settings, 2345)
    # Under the first rise of an uncentred window the rounding of torch's
    # float32 window is amplified too.
    first = 0 if center else settings.hop_length
    other = other.numpy()
    np.testing.assert_allclose(
        back[..., first:], other[..., first:], rtol=0, atol=1e-6 * peak_of(back)
    )
    np.testing.assert_allclose(back, other, rtol=0, atol=1e-5 * peak_of(back))
    seen = magnitude(array, settings)
    assert seen.dtype == np.float32
    np.testing.assert_allclose(
        seen, magnitude(torch.from_numpy(array), settings).numpy(), rtol=1e-6
    )


@each
@PROPERTY
@given(length=st.integers(1, 5000), gain=st.floats(1e-4, 1e2))
def test_inverse_gives_back_any_length_at_any_gain(name, length, gain):
    settings = SETTINGS[name]
    wav = noise(length, seed=length) * np.float32(gain)
    for values in (wav, torch.from_numpy(wav)):
        back = istft(stft(values, settings), settings, length)
        assert back.shape == (length,)
        assert abs(np.asarray(back) - wav).max() <= 5e-6 * gain


@pytest.mark.parametrize("name", SETTINGS)
def test_every_last_hop_is_given_back(name):
    settings = SETTINGS[name]
    start = 3 * settings.hop_length
    for length in range(start, start + settings.hop_length + 1):
        wav = noise(length, seed=length)
        back = istft(stft(wav, settings), settings, length)
        np.testing.assert_allclose(back, wav, rtol=0, atol=5e-6)


def onset(settings):
    """Samples under the first window whose weight is below the floor."""
    squared = analysis_window(settings) ** 2
    hop = settings.hop_length
    steady = min(squared[phase::hop].sum() for phase in range(hop))
    return int((squared[:hop] < EDGE_FLOOR * steady).sum()), steady


@each
@PROPERTY
@given(length=st.integers(1, 5000), gain=st.floats(1e-4, 1e2))
def test_uncentred_inverse_fades_in_and_keeps_the_rest(name, length, gain):
    settings = dataclasses.replace(SETTINGS[name], center=False)
    wav = noise(length, seed=length) * np.float32(gain)
    first, steady = onset(settings)
    want = wav.copy()
    weight = analysis_window(settings)[:first] ** 2 / (EDGE_FLOOR * steady)
    want[:first] *= weight[:length].astype(np.float32)
    for values in (wav, torch.from_numpy(wav)):
        back = istft(stft(values, settings), settings, length)
        assert abs(np.asarray(back) - want).max() <= 5e-6 * gain


def test_uncentred_default_fades_in_over_forty_samples():
    first, _ = onset(SignalSettings(center=False))
    assert first == 40
    first, _ = onset(SignalSettings(center=False, window="hamming"))
    assert first < 40


@each
@pytest.mark.parametrize("center", [True, False])
def test_no_mask_blows_up_an_edge(name, center):
    settings = dataclasses.replace(SETTINGS[name], center=center)
    _, steady = onset(settings)
    bound = 1 / np.sqrt(EDGE_FLOOR * steady)
    for length in (1, settings.hop_length - 1, 7 * settings.hop_length - 1):
        # One frame alone, of any content: what a mask may make of it.
        frames = settings.num_frames(length)
        for index in {0, frames - 1}:
            wave = noise(settings.n_fft, seed=index)
            spec = np.zeros((settings.bins, frames), np.complex64)
            spec[:, index] = np.fft.rfft(wave)
            out = istft(spec, settings, length)
            assert np.isfinite(out).all()
            assert abs(out).max() <= bound * 1.0001


def test_gradient_is_the_adjoint():
    settings = SignalSettings(n_fft=64, win_length=50, hop_length=20)
    spec = torch.complex(
        torch.randn(2, 33, 6, dtype=torch.float64),
        torch.randn(2, 33, 6, dtype=torch.float64),
    ).requires_grad_()
    assert torch.autograd.gradcheck(lambda s: istft(s, settings, 111), spec)
    wav = torch.randn(2, 111, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda w: stft(w, settings), wav)


def test_gradient_of_power_at_zero_is_zero():
    settings = SignalSettings(power=0.3)
    wav = torch.zeros(1, 1000, requires_grad=True)
    seen = magnitude(stft(wav, settings), settings)
    seen.sum().backward()
    assert seen.abs().max() == 0
    assert wav.grad.abs().max() == 0


def test_precision_follows_the_input():
    settings = SignalSettings()
    wav = noise(1000)
    exact = wav.astype(np.float64)
    assert stft(exact, settings).dtype == np.complex128
    back = istft(stft(exact, settings), settings, 1000)
    np.testing.assert_allclose(back, exact, rtol=0, atol=1e-14)
    half = torch.from_numpy(wav).bfloat16()
    assert stft(half, settings).dtype == torch.complex64
    assert stft(wav.astype(np.float16), settings).dtype == np.complex64


def test_windows_are_periodic_and_centred():
    for name, top in (("hann", 1.0), ("hamming", 1.0), ("sqrt_hann", 1.0)):
        window = analysis_window(SignalSettings(window=name))
        assert window[200] == pytest.approx(top)
        np.testing.assert_allclose(window[1:], window[:0:-1], atol=1e-12)
    root = analysis_window(SignalSettings(window="sqrt_hann"))
    np.testing.assert_allclose(
        root**2, analysis_window(SignalSettings()), atol=1e-15
    )
    wav = np.zeros(1600, np.float32)
    wav[800] = 1.0
    seen = abs(stft(wav, SignalSettings()))
    assert seen[10].argmax() == 5
    assert seen[10, 5] == pytest.approx(1.0, abs=1e-6)


def test_uncentred_frame_starts_at_its_hop():
    settings = SignalSettings(center=False)
    wav = np.zeros(1600, np.float32)
    wav[480 + 200] = 1.0
    assert abs(stft(wav, settings))[7].argmax() == 3


def test_more_frames_than_needed_are_allowed():
    settings = SignalSettings()
    wav = noise(2000)
    back = istft(stft(wav, settings), settings, 1234)
    np.testing.assert_allclose(back, wav[:1234], atol=5e-6)


@pytest.mark.parametrize("lib", [np.asarray, torch.from_numpy])
def test_peak_gain(lib):
    wav = noise(3, 500) * np.float32([[0.01], [5.0], [0.0]])
    gain = peak_gain(lib(wav))
    assert tuple(gain.shape) == (3, 1)
    peaks = abs(np.asarray(lib(wav) * gain)).max(-1)
    np.testing.assert_allclose(peaks, [1.0, 1.0, 0.0], rtol=1e-6)
    assert gain[2] == 1.0


def test_bad_input_is_refused():
    settings = SignalSettings()
    with pytest.raises(UserError, match="int16"):
        stft(np.zeros(100, np.int16), settings)
    with pytest.raises(UserError, match="int64"):
        stft(torch.zeros(100, dtype=torch.int64), settings)
    with pytest.raises(UserError, match="complex64"):
        stft(np.zeros(100, np.complex64), settings)
    for empty in (np.zeros(0, np.float32), torch.zeros(2, 0)):
        with pytest.raises(UserError, match="no samples"):
            stft(empty, settings)
        with pytest.raises(UserError, match="no samples"):
            peak_gain(empty)


def test_numpy_needs_no_torch():
    code = (
        "import sys, numpy as np, edgebrain.signal as s;"
        "k = s.SignalSettings(); x = np.ones(999, np.float32);"
        "s.istft(s.stft(x, k), k, 999);"
        "a = s.StreamingSTFT(k); a.feed(x); a.flush();"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_cuda_agrees_with_the_cpu():
    settings = SignalSettings()
    wav = torch.from_numpy(noise(2, 5000))
    spec = stft(wav.cuda(), settings)
    assert spec.is_cuda
    torch.testing.assert_close(
        spec.cpu(), stft(wav, settings), rtol=0, atol=1e-4
    )
    back = istft(spec, settings, 5000)
    torch.testing.assert_close(back.cpu(), wav, rtol=0, atol=5e-6)
