"""Recording and live use, with a stand-in for the sound card."""

import sys
import types

from edgebrain.enhancement import load_enhancer, microphone
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
        def __init__(self, samplerate, channels, dtype, latency=None):
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

    def check(channels, samplerate):
        if samplerate not in rates:
            raise PortAudioError("Invalid sample rate")

    return types.SimpleNamespace(
        PortAudioError=PortAudioError,
        InputStream=Stream,
        Stream=Stream,
        check_input_settings=check,
        check_output_settings=check,
        query_devices=lambda kind: {"default_samplerate": float(rates[0])},
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
    microphone.record(path, 0.5, 16000, told.append)
    samples, rate = soundfile.read(path)
    assert rate == 16000 and len(samples) == 8000
    assert np.abs(samples - wav[:8000]).max() < 1e-4
    assert sum(told) == pytest.approx(0.5)


def test_recording_takes_the_rate_of_the_device(tmp_path, monkeypatch, wav):
    monkeypatch.setitem(sys.modules, "sounddevice", sound_card(wav, [44100]))
    microphone.record(tmp_path / "r.wav", 0.1, 16000)
    info = soundfile.info(tmp_path / "r.wav")
    assert (info.samplerate, info.frames) == (44100, 4410)


@pytest.mark.parametrize("wet", [1.0, 0.3])
def test_live_plays_what_the_enhancer_gives(
    causal_folder, monkeypatch, wav, wet
):
    card = sound_card(wav, [16000])
    monkeypatch.setitem(sys.modules, "sounddevice", card)
    enhancer = load_enhancer(causal_folder)
    factor = microphone.live(enhancer, wet, seconds=0.5)
    out = np.concatenate(card.played)
    heard = wav[:8000]
    expected = heard + wet * (enhancer.enhance(heard) - heard)
    assert len(out) >= 8000 - enhancer.latency_samples
    assert np.abs(out - expected[: len(out)]).max() < 1e-5
    assert factor > 0


def test_live_at_another_rate(causal_folder, monkeypatch, wav):
    card = sound_card(wav, [48000])
    monkeypatch.setitem(sys.modules, "sounddevice", card)
    microphone.live(load_enhancer(causal_folder), seconds=0.5)
    out = np.concatenate(card.played)
    assert 0.4 * 48000 < len(out) <= 0.5 * 48000


def test_no_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(UserError, match="pip install"):
        microphone.sound_device()


def test_no_device(tmp_path, monkeypatch, wav):
    card = sound_card(wav, [])
    card.query_devices = lambda kind: (_ for _ in ()).throw(
        PortAudioError("Error querying device -1")
    )
    monkeypatch.setitem(sys.modules, "sounddevice", card)
    with pytest.raises(UserError, match="no usable audio device"):
        microphone.record(tmp_path / "r.wav", 1, 16000)
    assert not list(tmp_path.iterdir())
    with pytest.raises(UserError, match="seconds > 0"):
        microphone.record(tmp_path / "r.wav", 0, 16000)
