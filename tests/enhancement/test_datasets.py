"""Mixing on tiny recordings: what an item holds, and bad sets."""

import dataclasses
import shutil

from edgebrain.enhancement import mixing
from edgebrain.enhancement.datasets import mixing_dataset
from edgebrain.enhancement.mixing import MixingSettings
from edgebrain.errors import UserError
import numpy as np
import pytest
import soundfile
from tiny_sets import EVERYTHING, RATE, items, make, only, with_info, write_set
import torch

# What an item is


def test_items_have_the_form_that_training_needs(corpus):
    dataset = make(corpus, MixingSettings(**EVERYTHING))
    for epoch in range(10):
        dataset.set_epoch(epoch)
        for i in range(len(dataset)):
            item = dataset[i]
            assert set(item) == {"id", "noisy_sig", "clean_sig"}
            for key in ("noisy_sig", "clean_sig"):
                signal = item[key]
                assert signal.dtype == torch.float32
                assert signal.shape == (8000,)
                assert torch.isfinite(signal).all()
                assert signal.abs().max() <= 1


def test_without_augmentation_the_utterance_passes(corpus):
    dataset = make(corpus, only(), crop_seconds=None)
    for name, (noisy, clean) in items(dataset).items():
        wav, _ = soundfile.read(corpus / f"{name}.wav", dtype="float32")
        assert np.array_equal(noisy, clean)
        assert np.array_equal(clean, wav)


def test_noise_has_the_snr_it_claims(corpus):
    settings = only(noise_prob=1, snr_db={"low": -5, "high": 20})
    for item in with_info(make(corpus, settings, crop_seconds=None)):
        clean, info = item["clean_sig"].numpy(), item["mix_info"]
        noise = item["noisy_sig"].numpy() - clean
        ratio = mixing.active_power(clean, RATE) / mixing.mean_power(noise)
        assert 10 * np.log10(ratio) == pytest.approx(info.snr_db, abs=0.1)
        assert -5 <= info.snr_db <= 20
        assert info.noise.startswith("noise/")


@pytest.mark.parametrize(("snr_db", "share"), [(40, 0.2), (10, 0.1), (-15, 0)])
def test_target_keeps_mild_noise(corpus, snr_db, share):
    settings = only(noise_prob=1, snr_db=snr_db)
    keeping = dataclasses.replace(settings, target_noise=0.2)
    plain = items(make(corpus, settings, crop_seconds=None))
    kept = items(make(corpus, keeping, crop_seconds=None))
    for name, (noisy, clean) in plain.items():
        assert np.array_equal(noisy, kept[name][0])
        noise, rest = noisy - clean, kept[name][1] - clean
        ratio = np.vdot(noise, rest) / np.vdot(noise, noise)
        assert ratio == pytest.approx(share, abs=1e-3)


def test_equalised_noise_keeps_its_snr(corpus):
    settings = only(noise_prob=1, snr_db=5, equalise_prob=1)
    for item in with_info(make(corpus, settings, crop_seconds=None)):
        clean = item["clean_sig"].numpy()
        rest = item["noisy_sig"].numpy() - clean
        ratio = mixing.active_power(clean, RATE) / mixing.mean_power(rest)
        assert 10 * np.log10(ratio) == pytest.approx(5, abs=0.1)


def test_second_noise_and_its_offset(corpus):
    settings = only(
        noise_prob=1, second_noise_prob=1, second_noise_offset_db=[7]
    )
    for item in with_info(make(corpus, settings)):
        info = item["mix_info"]
        assert info.second_snr_db == pytest.approx(info.snr_db + 7)
        assert info.second_noise in {"noise/0", "noise/1", "noise/2"}


def test_babble_is_of_other_speakers(corpus):
    settings = only(babble_prob=1, babble_speakers=[2], babble_snr_db=3)
    dataset = make(corpus, settings)
    speaker = {name: e["speaker"] for name, e in dataset.data.items()}
    heard = set()
    for epoch in range(6):
        dataset.set_epoch(epoch)
        for item in with_info(dataset):
            info = item["mix_info"]
            voices = [speaker[name] for name in info.babble]
            assert len(set(voices)) == 2
            assert speaker[item["id"]] not in voices
            heard.update(info.babble)
            clean = item["clean_sig"].numpy()
            rest = item["noisy_sig"].numpy() - clean
            ratio = mixing.active_power(clean, RATE) / mixing.mean_power(rest)
            assert 10 * np.log10(ratio) == pytest.approx(3, abs=0.1)
    assert len(heard) == 6


@pytest.mark.parametrize("target", ["dry", "early"])
def test_rooms(corpus, target):
    settings = only(reverb_prob=1, reverb_target=target, early_ms=10)
    reference = items(make(corpus, only()))
    for item in with_info(make(corpus, settings)):
        info, clean = item["mix_info"], item["clean_sig"].numpy()
        assert info.rir in {"rir/0", "rir/1"}
        dry = reference[item["id"]][1]
        rir, _ = soundfile.read(corpus / f"{info.rir}.wav", dtype="float32")
        wet, expected = mixing.reverberate(dry, rir, RATE, target, 10)
        assert np.allclose(clean, expected, atol=1e-4)
        assert np.allclose(item["noisy_sig"].numpy(), wet, atol=1e-4)
        assert not np.allclose(wet, expected, atol=1e-3)
        assert (target == "dry") == (np.corrcoef(clean, dry)[0, 1] > 0.99999)


def test_level_silence_clip_and_band(corpus):
    dataset = make(corpus, only(level_prob=1, level_db=-20))
    for noisy, _ in items(dataset).values():
        assert np.abs(noisy).max() == pytest.approx(0.1, rel=1e-4)
    settings = only(silence_prob=1, silence_seconds=0.1)
    for item in with_info(make(corpus, settings, fixed=True)):
        clean = item["clean_sig"]
        wav, _ = soundfile.read(corpus / f"{item['id']}.wav")
        assert len(clean) == len(wav) + 3200
        assert not clean[:1600].any() and not clean[-1600:].any()
    settings = only(clip_prob=1, clip_db=6)
    for noisy, clean in items(make(corpus, settings)).values():
        ratio = np.abs(noisy).max() / np.abs(clean).max()
        assert ratio == pytest.approx(10**-0.3, rel=1e-4)
    settings = only(band_limit_prob=1, band_limit_hz=[[0, 100]])
    for noisy, clean in items(make(corpus, settings)).values():
        assert np.array_equal(noisy, clean)
        assert np.abs(clean).max() < 0.15
    settings = only(
        band_limit_prob=1,
        band_limit_hz=[[0, 100]],
        band_limit_target="mixture",
    )
    for noisy, clean in items(make(corpus, settings)).values():
        assert np.abs(clean).max() > 0.29 > 2 * np.abs(noisy).max()


def test_one_augmentation_does_not_disturb_the_others(corpus):
    first = make(corpus, only(noise_prob=1))
    second = make(corpus, only(noise_prob=1, level_prob=1, clip_prob=0.5))
    for a, b in zip(with_info(first), with_info(second), strict=True):
        a, b = a["mix_info"], b["mix_info"]
        assert (a.noise, a.noise_start, a.snr_db, a.speech_start) == (
            b.noise,
            b.noise_start,
            b.snr_db,
            b.speech_start,
        )


# Crops


def test_crops_hold_enough_speech(corpus):
    dataset = make(corpus, only(), crop_seconds=1.0)
    index = dataset.data_ids.index("speech/5")
    for epoch in range(20):
        dataset.set_epoch(epoch)
        clean = dataset[index]["clean_sig"].numpy()
        # It is silent for 2 of 3.3 s: without choosing, about half of the
        # crops would be silent.
        assert np.count_nonzero(np.abs(clean) > 0.05) > 1000


def test_short_utterances_stand_anywhere_in_a_crop_full_of_noise(corpus):
    dataset = make(corpus, only(noise_prob=1), crop_seconds=1.0)
    index = dataset.data_ids.index("speech/0")
    places = set()
    for epoch in range(8):
        dataset.set_epoch(epoch)
        with dataset.output_keys_as(["noisy_sig", "clean_sig", "mix_info"]):
            item = dataset[index]
        info = item["mix_info"]
        places.add(info.silence_before)
        clean = item["clean_sig"]
        end = info.silence_before + 4800
        assert not clean[: info.silence_before].any()
        assert not clean[end:].any()
        assert clean[info.silence_before : end].any()
        assert item["noisy_sig"][end:].any() or end == len(clean)
        assert info.silence_before + 4800 + info.silence_after == 16000
    assert len(places) > 4


def test_silent_parts_of_a_noise_are_drawn_again(corpus, tmp_path):
    shutil.copytree(corpus, tmp_path, dirs_exist_ok=True)
    mostly_silent = np.zeros(40000)
    mostly_silent[20000:] = np.random.default_rng(0).normal(size=20000) * 0.1
    write_set(tmp_path, "noise", [mostly_silent])
    dataset = make(tmp_path, only(noise_prob=1, snr_db=0))
    for epoch in range(5):
        dataset.set_epoch(epoch)
        for item in with_info(dataset):
            assert item["mix_info"].noise_start > 20000 - 8000
    write_set(tmp_path, "noise", [np.zeros(40000)])
    item = with_info(make(tmp_path, only(noise_prob=1)))[0]
    assert item["mix_info"].noise is None
    assert torch.equal(item["noisy_sig"], item["clean_sig"])


# Bad input


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "No such file.*prepare the data again"),
        ("{}", "this set is empty"),
        ("{", "no manifest that can be read"),
        ('{"a": {"duration": 1}}', "a: lacks wav"),
    ],
)
def test_bad_manifests(tmp_path, text, message):
    manifest = tmp_path / "speech.json"
    if text is not None:
        manifest.write_text(text)
    with pytest.raises(UserError, match=message):
        mixing_dataset(manifest, None, None, only(), RATE, seed=0)


def test_wrong_sample_rate_names_the_file(corpus):
    dataset = mixing_dataset(
        corpus / "speech.json", None, None, only(), 8000, seed=0
    )
    with pytest.raises(UserError, match=r"0\.wav.*16000 Hz"):
        dataset[0]
