"""Recording and live use, with a stand-in for the sound card."""

import re
import sys
import types

from edgebrain.data import sound_device as capture
from edgebrain.enhancement import live, load_enhancer
from edgebrain.errors import UserError
import numpy as np
import pytest
import soundfile


class PortAudioError(Exception):
    pass


def sound_card(samples, rates):
    """Return a module like sounddevice whose microphone hears ``samples``."""
    heard, played = iter(samples), []

    class Stream:
        def __init__(
            self,
            samplerate,
            channels,
            dtype,
            latency=None,
            device=None,
            blocksize=0,
        ):
            if samplerate not in rates:
                raise PortAudioError("Invalid sample rate")
            assert (channels, dtype) == (1, "float32")

        def __enter__(self):
            return self

        def __exit__(self, *_):
            return False

        def read(self, count):
            block = [[next(heard)] for _ in range(count)]
            return np.array(block, np.float32), False

        def write(self, data):
            assert data.dtype == np.float32 and data.shape[1] == 1
            played.append(data[:, 0].copy())
            return len(played) == 3  # nothing to play once

    def check(device=None, channels=1, samplerate=0):
        if samplerate not in rates:
            raise PortAudioError("Invalid sample rate")

    return types.SimpleNamespace(
        PortAudioError=PortAudioError,
        InputStream=Stream,
        Stream=Stream,
        check_input_settings=check,
        check_output_settings=check,
        query_devices=lambda device=None, kind=None: {
            "default_samplerate": float(rates[0])
        },
        played=played,
    )


@pytest.fixture
def wav():
    rng = np.random.default_rng(2)
    return (0.1 * rng.standard_normal(48000)).astype(np.float32)


def test_recording_has_the_length_and_the_samples(tmp_path, monkeypatch, wav):
    monkeypatch.setitem(sys.modules, "sounddevice", sound_card(wav, [16000]))
    told = []
    path = tmp_path / "r.wav"
    capture.record(path, 0.5, 16000, told.append)
    samples, rate = soundfile.read(path)
    assert rate == 16000 and len(samples) == 8000
    assert np.abs(samples - wav[:8000]).max() < 1e-4
    assert sum(told) == pytest.approx(0.5)


def test_recording_takes_the_rate_of_the_device(tmp_path, monkeypatch, wav):
    monkeypatch.setitem(sys.modules, "sounddevice", sound_card(wav, [44100]))
    capture.record(tmp_path / "r.wav", 0.1, 16000)
    info = soundfile.info(tmp_path / "r.wav")
    assert (info.samplerate, info.frames) == (44100, 4410)


@pytest.mark.parametrize("wet", [1.0, 0.3])
def test_live_plays_what_the_enhancer_gives(
    causal_folder, monkeypatch, wav, wet
):
    card = sound_card(wav, [16000])
    monkeypatch.setitem(sys.modules, "sounddevice", card)
    enhancer = load_enhancer(causal_folder)
    lines = []
    meter = live.live(enhancer, wet, seconds=0.5, show=lines.append)
    out = np.concatenate(card.played)
    ahead = 1280  # 80 ms
    assert not out[:ahead].any()
    out = out[ahead:]
    heard = wav[:8000]
    expected = heard + wet * (enhancer.enhance(heard) - heard)
    assert len(out) >= 8000 - enhancer.latency_samples
    assert np.abs(out - expected[: len(out)]).max() < 1e-5
    assert meter.real_time_factor > 0 and meter.seconds == pytest.approx(0.5)
    assert meter.lost == 1
    [line] = lines
    shown = re.match(
        r"in +(\S+) dBFS, out +(\S+) dBFS, gain +(\S+) dB, load +(\S+) %, "
        r"lost 1$",
        line,
    )
    count = 4000 - enhancer.latency_samples
    for text, wave in zip(shown.groups(), (heard, out), strict=False):
        level = 10 * np.log10(np.mean(wave[:count] ** 2))
        assert float(text) == pytest.approx(level, abs=0.5)


def test_live_at_another_rate(causal_folder, monkeypatch, wav):
    card = sound_card(wav, [48000])
    monkeypatch.setitem(sys.modules, "sounddevice", card)
    live.live(load_enhancer(causal_folder), seconds=0.5)
    out = np.concatenate(card.played[1:])
    assert 0.4 * 48000 < len(out) <= 0.5 * 48000


def test_no_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(UserError, match="pip install"):
        capture.sound_device()


def test_no_device(tmp_path, monkeypatch, wav):
    card = sound_card(wav, [])
    card.query_devices = lambda *_: (_ for _ in ()).throw(
        PortAudioError("Error querying device -1")
    )
    monkeypatch.setitem(sys.modules, "sounddevice", card)
    with pytest.raises(UserError, match="no usable audio device"):
        capture.record(tmp_path / "r.wav", 1, 16000)
    assert not list(tmp_path.iterdir())
    with pytest.raises(UserError, match="seconds > 0"):
        capture.record(tmp_path / "r.wav", 0, 16000)


def test_what_a_microphone_hears_comes_at_the_rate_of_a_model(monkeypatch):
    samples = np.sin(np.arange(24000) / 20).astype(np.float32)
    card = sound_card(samples, [48000])
    monkeypatch.setitem(sys.modules, "sounddevice", card)
    got = np.concatenate(list(capture.heard(16000, seconds=0.5)))
    assert len(got) == 8000
    np.testing.assert_allclose(got[50:-50], samples[150:-150:3], atol=1e-2)
