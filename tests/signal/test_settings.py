"""Checks and derived numbers of the signal settings."""

import dataclasses
import json
import pickle

from edgebrain.errors import UserError
from edgebrain.signal import SignalSettings
import numpy as np
import pytest


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"n_fft": 512, "win_length": 480, "window": "sqrt_hann"},
        {"n_fft": 320, "win_length": 320, "center": False, "power": 0.5},
        {"window": "hamming", "peak_normalize": True, "sample_rate": 8000},
    ],
)
def test_json_round_trip_keeps_equality_and_hash(fields):
    settings = SignalSettings(**fields)
    again = SignalSettings.from_dict(json.loads(json.dumps(settings.to_dict())))
    assert again == settings
    assert hash(again) == hash(settings)
    assert pickle.loads(pickle.dumps(settings)) == settings


def test_number_types_are_made_plain():
    settings = SignalSettings(n_fft=np.int64(512), power=2)
    assert type(settings.n_fft) is int
    assert type(settings.power) is float
    assert json.loads(json.dumps(settings.to_dict()))["power"] == 2.0


def test_settings_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        SignalSettings().n_fft = 1024


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"n_fft": "many"}, "n_fft: a whole number from 1, not 'many'"),
        ({"n_fft": 512.5}, "n_fft: a whole number"),
        ({"n_fft": 511}, "n_fft must be even"),
        ({"win_length": True}, "win_length: a whole number from 1, not True"),
        ({"win_length": 600}, "win_length 600 is longer than n_fft 512"),
        ({"win_length": 0}, "win_length: a whole number from 1"),
        ({"hop_length": 0}, "hop_length: a whole number from 1"),
        ({"hop_length": -160}, "hop_length: a whole number from 1"),
        ({"hop_length": 401}, "hop_length 401 is longer than win_length 400"),
        ({"hop_length": 400}, "hop_length 400 is too long for the hann"),
        ({"hop_length": 390}, "200 or less is safe"),
        ({"win_length": 1, "hop_length": 1}, "take a longer window"),
        ({"sample_rate": None}, "sample_rate: a whole number"),
        ({"window": "han"}, "unknown window 'han': did you mean hann"),
        ({"window": 3}, "unknown window 3"),
        ({"window": ["hann"]}, "unknown window"),
        ({"center": 1}, "center: True or False, not 1"),
        ({"center": "maybe"}, "center: True or False"),
        ({"peak_normalize": None}, "peak_normalize: True or False"),
        ({"power": True}, "power: a number above 0"),
        ({"power": "one"}, "power: a number above 0"),
        ({"power": 0}, "power: a number above 0"),
        ({"power": float("nan")}, "power: a number above 0"),
    ],
)
def test_bad_field_is_named(fields, said):
    with pytest.raises(UserError, match="signal settings") as caught:
        SignalSettings(**fields)
    assert said in str(caught.value)


def test_all_problems_are_listed_at_once():
    with pytest.raises(UserError) as caught:
        SignalSettings(n_fft=0, window="ham", center="maybe", power=-1)
    text = str(caught.value)
    assert "4 problems" in text
    for key in ("n_fft", "window", "center", "power"):
        assert key in text


def test_from_dict_refuses_unknown_keys_with_the_nearest():
    with pytest.raises(UserError) as caught:
        SignalSettings.from_dict({"hop_lenght": 160, "nfft": 512})
    assert "did you mean hop_length" in str(caught.value)
    assert "2 problems" in str(caught.value)
    with pytest.raises(UserError, match="mapping"):
        SignalSettings.from_dict(["n_fft"])


def test_num_frames():
    settings = SignalSettings()
    assert [settings.num_frames(n) for n in (0, 1, 159, 160, 161)] == [
        0,
        1,
        1,
        2,
        2,
    ]
    plain = dataclasses.replace(settings, center=False)
    assert [plain.num_frames(n) for n in (0, 1, 160, 161)] == [0, 1, 1, 2]
    many = settings.num_frames(np.array([1, 160, 16000]))
    np.testing.assert_array_equal(many, [1, 2, 101])


def test_half_window_hop_appends_a_frame_only_to_broken_hops():
    assert not SignalSettings().appends_frame
    settings = SignalSettings(n_fft=320, win_length=320)
    assert settings.appends_frame
    assert settings.num_frames(320) == 3
    assert settings.num_frames(321) == 4


def test_bins_and_latency():
    settings = SignalSettings(n_fft=1024, win_length=640)
    assert settings.bins == 513
    assert settings.latency_samples == 640
