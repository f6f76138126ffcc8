"""Log-mel features against librosa 0.11, and frame by frame."""

from pathlib import Path

from edgebrain.errors import UserError
from edgebrain.signal import SignalSettings
from edgebrain.signal.mel import (
    MelSettings,
    StreamingLogMel,
    log_mel,
    sounding,
)
import numpy as np
import pytest

#: Made once with librosa 0.11.0 (feature.melspectrogram with pad_mode
#: "constant", power_to_db, amplitude_to_db, effects.split) of `sound`.
GOLDEN = np.load(Path(__file__).with_name("librosa_mel.npz"))
YAMNET = MelSettings(SignalSettings(center=False))


def sound():
    """Return a rising tone in noise with a nearly silent part."""
    rng = np.random.default_rng(3)
    t = np.arange(24000) / 16000
    wav = 0.3 * np.sin(2 * np.pi * (200 + 1500 * t) * t)
    wav = (wav + 0.05 * rng.standard_normal(24000)).astype(np.float32)
    wav[8000:15000] *= 1e-5
    return wav


@pytest.mark.parametrize(
    "name, settings, skip",
    [
        # librosa has the window in the middle of n_fft.
        ("yamnet", YAMNET, YAMNET.signal.padding),
        (
            "mini",
            MelSettings(
                SignalSettings(
                    n_fft=1024, win_length=1024, hop_length=320, power=2.0
                ),
                fmin=20.0,
                norm="slaney",
                htk=False,
                to_db=True,
            ),
            0,
        ),
        (
            "amplitude",
            MelSettings(
                n_mels=40,
                fmin=0.0,
                fmax=8000.0,
                norm="slaney",
                to_db=True,
                signal=SignalSettings(),
            ),
            0,
        ),
    ],
)
def test_equals_librosa(name, settings, skip):
    features = log_mel(sound()[skip:], settings)
    wanted = GOLDEN[name]
    assert np.abs(features[:, GOLDEN["frames"]] - wanted).max() < 1e-4
    assert features.dtype == np.float32


@pytest.mark.parametrize(
    "name, top_db, frame, hop",
    [("split_60", 60, 3200, 3200), ("split_20", 20, 1024, 512)],
)
def test_cuts_silence_like_librosa(name, top_db, frame, hop):
    wav = sound()
    wanted = np.concatenate([wav[a:b] for a, b in GOLDEN[name]])
    assert np.array_equal(sounding(wav, top_db, frame, hop), wanted)


@pytest.mark.parametrize("piece", [1, 160, 777, 24000])
def test_frame_by_frame_equals_offline(piece):
    wav = sound()[:6000] if piece == 1 else sound()
    stream = StreamingLogMel(YAMNET)
    got = [
        stream.feed(wav[at : at + piece]) for at in range(0, len(wav), piece)
    ]
    wanted = log_mel(wav, YAMNET)
    assert np.abs(np.concatenate(got, 1) - wanted).max() < 1e-5
    assert wanted.shape[1] == YAMNET.num_frames(len(wav))


def test_counts_samples_and_frames():
    for settings in (YAMNET, MelSettings(SignalSettings())):
        for frames in (1, 2, 96):
            samples = settings.num_samples(frames)
            assert settings.num_frames(samples) == frames
            assert log_mel(np.ones(samples), settings).shape == (64, frames)


def test_settings_survive_a_card():
    fields = YAMNET.to_dict()
    assert MelSettings.from_dict(fields, YAMNET.signal) == YAMNET
    with pytest.raises(UserError, match="did you mean n_mels"):
        MelSettings.from_dict({"n_mel": 3}, YAMNET.signal)


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"fmax": 9000.0}, "lie within 0 and 8000 Hz"),
        ({"fmin": 7600.0}, "must rise"),
        ({"n_mels": 200}, "would be empty"),
        ({"n_mels": 0}, "a whole number from 1"),
        ({"norm": "htk"}, "slaney"),
        ({"log_offset": 0.0}, "above 0"),
        ({"htk": "maybe"}, "True or False"),
    ],
)
def test_refuses_impossible_settings(fields, message):
    with pytest.raises(UserError, match=message):
        MelSettings(**fields)


def test_a_stream_has_no_loudest_value():
    with pytest.raises(UserError, match="whole clip"):
        StreamingLogMel(MelSettings(to_db=True))
