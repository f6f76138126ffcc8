"""Frame by frame against the whole signal."""

import dataclasses
import time

from edgebrain.enhancement.forms.masker import StreamingMasker
from edgebrain.errors import UserError
from edgebrain.signal import (
    SignalSettings,
    StreamingISTFT,
    StreamingSTFT,
    istft,
    magnitude,
    stft,
)
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
import numpy as np
import pytest

SETTINGS = {
    "default": SignalSettings(),
    "nnse": SignalSettings(win_length=480, window="sqrt_hann"),
    "half": SignalSettings(win_length=512, hop_length=256),
    "short": SignalSettings(n_fft=320, win_length=320),
    "hamming": SignalSettings(window="hamming", power=0.5),
    "odd": SignalSettings(n_fft=256, win_length=201, hop_length=77),
    "long_hop": SignalSettings(hop_length=250),
}
PROPERTY = hypothesis_settings(
    max_examples=25, deadline=None, derandomize=True, database=None
)
each = pytest.mark.parametrize("name", SETTINGS)
both = pytest.mark.parametrize("center", [True, False])


def noise(*shape, seed=0):
    rng = np.random.default_rng(seed)
    return rng.uniform(-1, 1, shape).astype(np.float32)


class Streamer:
    """A function of frames as a streamer; zeros push out what is late."""

    exact = True

    def __init__(self, function, ahead):
        self.function, self.lookahead_frames = function, ahead

    def __call__(self, seen):
        return self.function(seen)

    def flush(self):
        if hasattr(self.function, "flush"):
            return self.function.flush()
        return self(np.zeros((257, self.lookahead_frames), np.float32))

    def reset(self):
        if hasattr(self.function, "reset"):
            self.function.reset()


def masker_of(settings, function, ahead=0):
    return StreamingMasker(settings, Streamer(function, ahead))


class GivenMask:
    """Hands out the columns of a mask that is known beforehand."""

    def __init__(self, mask):
        self.mask, self.done = mask, 0

    def __call__(self, seen):
        self.done += seen.shape[1]
        return self.mask[:, self.done - seen.shape[1] : self.done]

    def reset(self):
        self.done = 0


class AheadMask:
    """A mask from this frame and ``ahead`` later ones; zeros at the end."""

    def __init__(self, ahead):
        self.ahead = ahead
        self.reset()

    def reset(self):
        self.seen = None

    @staticmethod
    def offline(seen, ahead):
        """The same model on all frames at once."""
        padded = np.pad(seen, ((0, 0), (0, ahead)))
        mean = sum(
            padded[:, k : k + seen.shape[1]] * (k + 1) for k in range(ahead + 1)
        )
        return mean / (1 + mean)

    def __call__(self, seen):
        if self.seen is not None:
            seen = np.concatenate([self.seen, seen], 1)
        ready = max(0, seen.shape[1] - self.ahead)
        self.seen = seen[:, ready:]
        return self.offline(seen, self.ahead)[:, :ready]


class PatchMask:
    """Masks of whole patches; the mask depends on the patch."""

    def __init__(self, patch):
        self.patch = patch
        self.reset()

    def reset(self):
        self.seen = []

    @staticmethod
    def one(seen):
        return seen / (seen.max() + seen.mean(1, keepdims=True) + 1e-9)

    def __call__(self, seen):
        self.seen.extend(seen.T)
        masks = [np.zeros((0, seen.shape[0]), np.float32)]
        while len(self.seen) >= self.patch:
            now, self.seen = self.seen[: self.patch], self.seen[self.patch :]
            masks.append(self.one(np.array(now).T).T)
        return np.concatenate(masks).T

    def flush(self):
        return self.one(np.array(self.seen).T)


def run(masker, wav, sizes):
    """Feed in pieces of the sizes, over and over; return what came."""
    out, start, turn = [], 0, 0
    while start < len(wav):
        size = sizes[turn % len(sizes)]
        out.append(masker.feed(wav[start : start + size]))
        start, turn = start + size, turn + 1
    out.append(masker.flush())
    return np.concatenate(out)


def assert_close(got, want, settings, scale=1.0):
    """1e-6, but for a first hop under one rising window: it is amplified."""
    assert got.dtype == np.float32
    assert got.shape == want.shape
    limit = np.full(len(want), 1e-6 * scale)
    if not settings.center:
        limit[: settings.hop_length] *= 5
    worst = (abs(got - want) / limit).max()
    assert worst <= 1.0, f"{worst} times the limit"


def offline(wav, settings, mask=None):
    spec = stft(wav, settings)
    if mask is None:
        mask = np.ones(spec.shape, np.float32)
    return istft(spec * mask, settings, len(wav))


@each
@both
@PROPERTY
@given(
    length=st.integers(1, 5000),
    gain=st.floats(1e-4, 1e2),
    sizes=st.lists(st.integers(0, 900), min_size=1, max_size=5).filter(any),
)
def test_stream_equals_offline(name, center, length, gain, sizes):
    settings = dataclasses.replace(SETTINGS[name], center=center)
    wav = noise(length, seed=length) * np.float32(gain)
    shape = (settings.bins, settings.num_frames(length))
    mask = noise(*shape, seed=length + 1)
    got = run(masker_of(settings, GivenMask(mask)), wav, sizes)
    want = offline(wav, settings, mask)
    # A mask may leave samples larger than the signal's.
    assert_close(got, want, settings, max(gain, abs(want).max()))


@pytest.mark.parametrize("size", [1, 37, 160, 5000])
def test_stream_equals_torch_offline(size):
    import torch

    settings = SignalSettings()
    wav = noise(3210)
    mask = noise(settings.bins, settings.num_frames(3210), seed=1)
    spec = stft(torch.from_numpy(wav), settings) * torch.from_numpy(mask)
    got = run(masker_of(settings, GivenMask(mask)), wav, [size])
    np.testing.assert_allclose(
        got, istft(spec, settings, 3210).numpy(), rtol=0, atol=1e-6
    )


@each
@both
def test_mask_sees_the_offline_magnitude(name, center):
    settings = dataclasses.replace(SETTINGS[name], center=center)
    wav, seen = noise(3000), []

    def look(size):
        assert size.dtype == np.float32
        assert size.flags.c_contiguous
        seen.append(size.copy())
        return np.ones_like(size)

    run(masker_of(settings, look), wav, [100])
    want = magnitude(stft(wav, settings), settings)
    np.testing.assert_allclose(
        np.concatenate(seen, 1), want, rtol=0, atol=1e-6 * want.max()
    )


def test_left_aligned_phase_differs_by_the_padding_only():
    settings = SignalSettings()
    wav = noise(3000)
    stream = StreamingSTFT(settings)
    spec = np.concatenate([stream.feed(wav), stream.flush()], 1)
    turn = np.exp(-2j * np.pi * np.arange(257) * settings.padding / 512)
    np.testing.assert_allclose(
        spec * turn[:, None], stft(wav, settings), rtol=0, atol=1e-4
    )


@both
@pytest.mark.parametrize("ahead", [1, 2, 5])
@pytest.mark.parametrize("length", [1, 100, 777, 3000])
@pytest.mark.parametrize("size", [37, 160, 2000])
def test_lookahead_equals_offline(center, ahead, length, size):
    settings = SignalSettings(center=center)
    wav = noise(length)
    seen = magnitude(stft(wav, settings), settings)
    want = offline(wav, settings, AheadMask.offline(seen, ahead))
    masker = masker_of(settings, AheadMask(ahead), ahead)
    got = run(masker, wav, [size])
    assert_close(got, want, settings)
    np.testing.assert_array_equal(run(masker, wav, [size]), got)


@pytest.mark.parametrize("size", [1, 160, 4000])
def test_patches_are_drained_by_their_own_flush(size):
    settings = SignalSettings()
    wav = noise(4321)
    seen = magnitude(stft(wav, settings), settings)
    patches = [
        PatchMask.one(seen[:, k : k + 8]) for k in range(0, seen.shape[1], 8)
    ]
    want = offline(wav, settings, np.concatenate(patches, 1))
    got = run(masker_of(settings, PatchMask(8), 7), wav, [size])
    assert_close(got, want, settings)


@both
@pytest.mark.parametrize("ahead", [0, 3])
def test_latency_is_exact(center, ahead):
    settings = SignalSettings(
        n_fft=64, win_length=50, hop_length=20, center=center
    )

    class Late:
        """Passes all, ``ahead`` frames late."""

        held = 0

        def __call__(self, seen):
            ready = max(0, self.held + seen.shape[1] - ahead)
            self.held += seen.shape[1] - ready
            return np.ones((seen.shape[0], ready), np.float32)

    lags = []
    for place in range(100, 140):
        masker = masker_of(settings, Late(), ahead)
        out = np.zeros(0, np.float32)
        fed = 0
        while not (abs(out) > 0.5).any():
            sample = np.float32([fed == place])
            out = np.concatenate([out, masker.feed(sample)])
            fed += 1
        assert abs(out).argmax() == place
        lags.append(fed - place)
    assert max(lags) == masker.latency_samples == 50 + 20 * ahead
    # Once in each hop, the worst case is met.
    assert lags.count(max(lags)) == 2


def test_samples_come_as_early_as_promised_whatever_the_feeds():
    settings = SignalSettings()
    masker = masker_of(settings, np.ones_like)
    rng = np.random.default_rng(0)
    fed = returned = 0
    for _ in range(300):
        size = int(rng.integers(0, 400))
        returned += len(masker.feed(np.zeros(size, np.float32)))
        fed += size
        assert returned > fed - masker.latency_samples


def test_reset_forgets_everything():
    settings = SignalSettings()
    wav = noise(3000)
    used = masker_of(settings, AheadMask(2), 2)
    used.feed(noise(1234, seed=9))
    used.reset()
    fresh = masker_of(settings, AheadMask(2), 2)
    np.testing.assert_array_equal(run(used, wav, [100]), run(fresh, wav, [100]))


def test_two_instances_do_not_disturb_each_other():
    settings = SignalSettings()
    one, two = noise(3000), noise(3000, seed=1)
    want = [
        run(masker_of(settings, AheadMask(2), 2), wav, [100])
        for wav in (one, two)
    ]
    maskers = [masker_of(settings, AheadMask(2), 2) for _ in range(2)]
    got = [[], []]
    for start in range(0, 3000, 100):
        for index, wav in enumerate((one, two)):
            piece = wav[start : start + 100]
            got[index].append(maskers[index].feed(piece))
    for index in range(2):
        got[index].append(maskers[index].flush())
        np.testing.assert_array_equal(np.concatenate(got[index]), want[index])


def test_returned_arrays_are_not_written_to_later():
    settings = SignalSettings()
    stream, inverse = StreamingSTFT(settings), StreamingISTFT(settings)
    spec = stream.feed(noise(1000))
    kept = spec.copy()
    out = inverse.feed(spec)
    kept_out = out.copy()
    inverse.feed(stream.feed(noise(1000, seed=1)))
    np.testing.assert_array_equal(spec, kept)
    np.testing.assert_array_equal(out, kept_out)


def test_parts_work_alone():
    settings = SignalSettings(center=False)
    wav = noise(2001)
    stream, inverse = StreamingSTFT(settings), StreamingISTFT(settings)
    for _ in range(2):
        out = [inverse.feed(stream.feed(wav[:500]))]
        out.append(inverse.feed(stream.feed(wav[500:])))
        out.append(inverse.flush(stream.flush(), 2001))
        got = np.concatenate(out)
        assert_close(got, offline(wav, settings), settings)


def test_empty_signal():
    masker = masker_of(SignalSettings(), AheadMask(3), 3)
    assert masker.flush().shape == (0,)
    assert masker.feed(np.zeros(0, np.float32)).shape == (0,)
    assert masker.flush().shape == (0,)


def test_bad_use_is_refused():
    settings = SignalSettings()
    masker = masker_of(settings, np.ones_like)
    for samples in (np.zeros(10, np.int16), np.zeros((1, 10), np.float32)):
        with pytest.raises(UserError, match="1-D array of real"):
            masker.feed(samples)


def test_a_frame_costs_far_less_than_its_hop():
    settings = SignalSettings()
    masker = masker_of(settings, np.ones_like)
    hop = noise(160)
    best = float("inf")
    for _ in range(20):
        start = time.perf_counter()
        for _ in range(50):
            masker.feed(hop)
        best = min(best, (time.perf_counter() - start) / 50)
    assert best < 0.2e-3
