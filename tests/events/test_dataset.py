"""Items: fixed by seed, epoch and id; patches; what augmentation does."""

from edgebrain.errors import UserError
from edgebrain.events import augment
from edgebrain.events.augment import Augmentation
from edgebrain.events.dataset import EventDataset, PatchBatch
from edgebrain.events.listing import list_clips
from edgebrain.events.patches import PatchSettings, clip_patches, cut, trim
from edgebrain.signal.mel import log_mel
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

PATCH = PatchSettings(patch_length=48)
ALL = Augmentation(
    gain_db=6, mixup=0.7, noise=0.7, speed=0.5, freq_masks=1, time_masks=1
)


def data_of(folder):
    return {
        c.id: {"wav": str(c.path), "labels": list(c.labels)}
        for c in list_clips(folder)
    }


def dataset(folder, mel, augmentation=ALL, **options):
    names = ["high", "low", "middle"]
    return EventDataset(
        data_of(folder), names, mel, PATCH, 1, augmentation, 2, **options
    )


def same(a, b):
    return all(torch.equal(a[k], b[k]) for k in ("features", "target"))


def test_an_item_is_fixed_by_seed_epoch_and_id(sounds, mel):
    first, second = dataset(sounds, mel), dataset(sounds, mel)
    first.set_epoch(3)
    second.set_epoch(3)
    items = [first[i] for i in range(len(first))]
    for place in reversed(range(len(second))):
        assert same(items[place], second[place])
    loader = DataLoader(
        second, batch_size=4, num_workers=2, collate_fn=PatchBatch.collate
    )
    features = torch.cat([batch.features for batch in loader])
    assert torch.equal(features, torch.cat([i["features"] for i in items]))
    second.set_epoch(4)
    assert not any(same(a, second[i]) for i, a in enumerate(items))


def test_evaluation_takes_the_whole_clip_in_every_epoch(sounds, mel):
    fixed = dataset(sounds, mel, None)
    item = fixed[0]
    fixed.set_epoch(9)
    assert same(item, fixed[0])
    wav = fixed.reader.wav(item["id"])
    wanted = clip_patches(wav, mel, PATCH)
    assert np.allclose(item["features"], wanted, atol=1e-6)
    assert item["target"].tolist() == [1.0, 0.0, 0.0]


def test_a_batch_knows_which_patch_is_of_which_clip(sounds, mel):
    fixed = dataset(sounds, mel, None)
    batch = PatchBatch.collate([fixed[i] for i in range(3)])
    counts = [len(fixed[i]["features"]) for i in range(3)]
    assert torch.bincount(batch.clip).tolist() == counts
    assert batch.to("cpu").target.shape == (3, 3)


def test_patches_overlap_and_end_as_asked():
    features = np.arange(2 * 130.0).reshape(2, 130)
    half = cut(features, PatchSettings(overlap=0.5))
    assert half[:, 0, 0].tolist() == [0]
    quarter = PatchSettings(patch_length=40, overlap=0.25)
    assert quarter.step == 30
    assert cut(features, quarter)[:, 0, 0].tolist() == [0, 30, 60, 90]
    last = PatchSettings(patch_length=50, overlap=0.25, include_last_patch=True)
    assert cut(features, last)[:, 0, 0].tolist() == [0, 38, 76, 80]


def test_a_clip_is_cut_repeated_and_trimmed(mel):
    rng = np.random.default_rng(0)
    loud = rng.standard_normal(32000).astype(np.float32)
    assert len(trim(loud, mel, PatchSettings(max_length=1.5))) == 24000
    assert len(trim(loud[:5000], mel, PatchSettings(min_length=2.0))) == 32000
    assert len(trim(loud[:23000], mel, PatchSettings())) == 23000
    whole = PatchSettings(trim_last_second=True)
    assert len(trim(loud[:23000], mel, whole)) == 16000
    # Silence in the middle goes, frames of 3200 samples.
    loud[9600:22400] *= 1e-6
    assert len(trim(loud, mel, PatchSettings())) < 26000
    assert len(trim(loud, mel, PatchSettings(top_db=None))) == 32000


def test_a_gain_shifts_a_log_mel():
    """And so may change what a network sees by no factor."""
    from edgebrain.signal.mel import MelSettings

    mel = MelSettings(log_offset=1e-9)
    wav = np.random.default_rng(1).standard_normal(8000)
    shift = log_mel(0.5 * wav, mel) - log_mel(wav, mel)
    assert np.allclose(shift, np.log(0.5), atol=1e-4)


def test_mixing_keeps_the_ratio_and_the_power():
    rng = np.random.default_rng(2)
    first, second = rng.standard_normal(16000), 10 * rng.standard_normal(16000)
    for ratio in (0.0, 0.3, 0.5, 1.0):
        mixed = augment.blend(first, second, ratio)
        a = np.dot(mixed, first) / np.dot(first, first) * augment.rms(first)
        b = np.dot(mixed, second) / np.dot(second, second) * augment.rms(second)
        assert a / (a + b) == pytest.approx(ratio, abs=0.02)
    noisy = augment.mix_noise(first, second, 20.0)
    assert augment.rms(noisy - first) == pytest.approx(
        0.1 * augment.rms(first), rel=1e-6
    )


def test_speed_moves_pitch_and_length():
    rng = np.random.default_rng(5)
    factors = {augment.draw_speed(1.15, rng) for _ in range(300)}
    assert len(factors) == 13 and 0.855 < min(factors) < max(factors) < 1.165
    wav = np.sin(2 * np.pi * 1000 * np.arange(16000) / 16000)
    fast = augment.change_speed(wav, 1.1)
    assert abs(len(fast) - 16000 / 1.1) <= 1
    peak = np.abs(np.fft.rfft(fast)).argmax() * 16000 / len(fast)
    assert peak == pytest.approx(1100, rel=0.01)


def test_a_speed_leaves_as_many_patches(sounds, mel):
    """However slow: a part is cut long enough before it is resampled."""
    fast = dataset(sounds, mel, Augmentation(speed=1.0, max_speed=2.0))
    for epoch in range(3):
        fast.set_epoch(epoch)
        assert {len(item["features"]) for item in fast} == {2}


def test_masks_hide_no_more_than_asked():
    mel = np.random.default_rng(3).uniform(1, 2, (5, 64, 48))
    before = mel.copy()
    settings = Augmentation(freq_masks=1, time_masks=1)
    augment.mask(mel, settings, np.random.default_rng(4))
    changed = mel != before
    assert changed.any()
    for patch, was in zip(changed, before, strict=True):
        assert patch.all(1).sum() <= 8 and patch.all(0).sum() <= 12
        assert was.min() < np.median(was) < was.max()
    augment.mask(before, Augmentation(), np.random.default_rng(4))
    assert (before != mel).any()


def test_refuses_impossible_settings(tmp_path, sounds, mel):
    with pytest.raises(UserError, match="mixup: a probability"):
        Augmentation(mixup=1.5)
    with pytest.raises(UserError, match="overlap"):
        PatchSettings(overlap=1.0)
    with pytest.raises(UserError, match="must rise"):
        PatchSettings(min_length=3.0, max_length=2.0)
    with pytest.raises(UserError, match="no such folder"):
        dataset(sounds, mel, Augmentation(noise_folder=str(tmp_path / "x")))
