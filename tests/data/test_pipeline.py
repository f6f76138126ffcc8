"""Mixing and paired sets on tiny recordings made here."""

from collections import Counter
import copy
import json
import shutil

from edgebrain.data import mixing
from edgebrain.data.batching import (
    eval_loader_kwargs,
    train_loader_kwargs,
)
from edgebrain.data.mixing import MixingSettings
from edgebrain.data.pipeline import (
    item_rng,
    mixing_dataset,
    paired_dataset,
)
from edgebrain.errors import UserError
import numpy as np
import pytest
import soundfile
import speechbrain
from speechbrain.dataio.dataloader import SaveableDataLoader, make_dataloader
from speechbrain.utils.checkpoints import Checkpointer
import torch

RATE = 16000
NOTHING = {
    f"{name}_prob": 0
    for name in (
        "noise",
        "second_noise",
        "babble",
        "reverb",
        "level",
        "silence",
        "clip",
        "band_limit",
    )
}
EVERYTHING = {key: 0.7 for key in NOTHING}


def only(**settings):
    return MixingSettings(**{**NOTHING, **settings})


def write_set(folder, kind, signals, **extra):
    """Write wavs and a manifest; extra holds functions of the index."""
    entries = {}
    for i, wav in enumerate(signals):
        path = folder / kind / f"{i}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, wav, RATE)
        entries[f"{kind}/{i}"] = {
            "wav": f"{{data_root}}/{kind}/{i}.wav",
            "duration": len(wav) / RATE,
            **{key: function(i) for key, function in extra.items()},
        }
    manifest = folder / f"{kind}.json"
    # Not in order: the order of the manifest must not matter.
    manifest.write_text(json.dumps(dict(reversed(entries.items()))))
    return manifest


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    rng = np.random.default_rng(0)

    def tone(i, seconds):
        time = np.arange(round(seconds * RATE)) / RATE
        wav = np.sin(2 * np.pi * (200 + 50 * i) * time) * 0.3
        return wav + rng.standard_normal(len(wav)) * 0.01

    speech = [tone(i, 0.3 + 0.2 * i) for i in range(6)]
    # The last one talks only at its end.
    speech[5] = np.concatenate([np.zeros(2 * RATE), speech[5]])
    noise = [rng.standard_normal(n) * 0.1 for n in (4000, 20000, 50000)]
    rir = [
        np.eye(1, 800, 40)[0] * 0.5 + rng.standard_normal(800) * 0.02
        for _ in range(2)
    ]
    write_set(folder, "speech", speech, speaker=lambda i: f"s{i // 2}")
    write_set(folder, "noise", noise, group=lambda i: "g")
    write_set(folder, "rir", rir, group=lambda i: "g")
    return folder


def make(corpus, settings, **options):
    options = {"seed": 1, "crop_seconds": 0.5, **options}
    return mixing_dataset(
        corpus / "speech.json",
        corpus / "noise.json",
        corpus / "rir.json",
        settings,
        RATE,
        **options,
    )


def items(dataset):
    return {
        item["id"]: (item["noisy_sig"].numpy(), item["clean_sig"].numpy())
        for item in (dataset[i] for i in range(len(dataset)))
    }


def with_info(dataset):
    with dataset.output_keys_as(["id", "noisy_sig", "clean_sig", "mix_info"]):
        return [dataset[i] for i in range(len(dataset))]


def same(a, b):
    return a.keys() == b.keys() and all(
        np.array_equal(x, y)
        for key in a
        for x, y in zip(a[key], b[key], strict=True)
    )


def through_loader(dataset, **kwargs):
    loader = make_dataloader(dataset, **kwargs)
    return from_batches(loader)


def from_batches(loader):
    found = {}
    for batch in loader:
        for i, name in enumerate(batch.id):
            found[name] = (
                batch.noisy_sig.data[i].numpy(),
                batch.clean_sig.data[i].numpy(),
            )
    return found


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


# What an item does not depend on


def test_epoch_and_seed_change_items_fixed_does_not(corpus):
    settings = MixingSettings(**EVERYTHING)
    dataset = make(corpus, settings)
    first = items(dataset)
    assert same(first, items(dataset))
    dataset.set_epoch(1)
    assert not same(first, items(dataset))
    dataset.set_epoch(0)
    assert same(first, items(dataset))
    assert not same(first, items(make(corpus, settings, seed=2)))
    fixed = make(corpus, settings, fixed=True)
    before = items(fixed)
    fixed.set_epoch(5)
    assert same(before, items(fixed))
    assert len({len(noisy) for noisy, _ in before.values()}) > 1


@pytest.mark.parametrize(
    ("workers", "persistent"),
    [(0, False), (1, False), (1, True), (2, False), (2, True)],
)
def test_workers_and_batch_size_change_no_bit(corpus, workers, persistent):
    settings = MixingSettings(**EVERYTHING)
    reference = make(corpus, settings)
    dataset = make(corpus, settings)
    kwargs = train_loader_kwargs(
        dataset, "crops", batch_size=4 - workers, num_workers=workers
    )
    if workers:
        kwargs["persistent_workers"] = persistent
    loader = make_dataloader(dataset, **kwargs)
    for epoch in (1, 2):
        dataset.set_epoch(epoch)
        reference.set_epoch(epoch)
        assert same(items(reference), from_batches(loader))


@pytest.mark.slow
def test_spawned_workers_give_the_same(corpus):
    settings = MixingSettings(**EVERYTHING)
    dataset = make(corpus, settings)
    dataset.set_epoch(3)
    found = through_loader(
        dataset,
        batch_size=3,
        num_workers=1,
        multiprocessing_context="spawn",
    )
    assert same(items(dataset), found)


def test_place_on_disk_and_cache_change_no_bit(corpus, tmp_path):
    settings = MixingSettings(**EVERYTHING)
    reference = items(make(corpus, settings))
    moved = shutil.copytree(corpus, tmp_path / "a b" / "moved")
    assert same(reference, items(make(moved, settings)))
    assert same(reference, items(make(moved, settings, data_root=corpus)))
    assert same(reference, items(make(corpus, settings, cache_mb=0.01)))


def test_filtered_sets_follow_the_epoch(corpus):
    dataset = make(corpus, MixingSettings(**EVERYTHING))
    subset = dataset.filtered_sorted(
        key_max_value={"duration": 0.8}, sort_key="duration", reverse=True
    )
    assert subset.data_ids == ["speech/2", "speech/1", "speech/0"]
    subset.set_epoch(4)
    full = items(dataset)
    assert same({k: full[k] for k in subset.data_ids}, items(subset))
    repeated = dataset.overfit_test(2, 5)
    assert len(repeated) == 5 and set(repeated.data_ids) == {
        "speech/0",
        "speech/1",
    }
    assert dataset.epoch.value == 4
    assert copy.deepcopy(dataset.epoch) is dataset.epoch


def test_item_rng_depends_on_all_it_is_given():
    keys = [
        (0, 0, "a"),
        (1, 0, "a"),
        (0, 1, "a"),
        (0, 0, "b"),
        (0, 0, "a", "x"),
    ]
    assert len({item_rng(*key).random() for key in keys}) == len(keys)
    assert item_rng(0, 0, "a").random() == item_rng(0, 0, "a").random()


# Batches


def orders(dataset, epochs, **kwargs):
    kwargs = train_loader_kwargs(dataset, batch_size=2, seed=3, **kwargs)
    loader = make_dataloader(dataset, **kwargs)
    for epoch in epochs:
        dataset.set_epoch(epoch)
        yield [list(batch.id) for batch in loader]


@pytest.mark.parametrize("batching", ["crops", "pad", "trim", "dynamic"])
def test_every_item_once_in_an_order_of_its_epoch(corpus, batching):
    dataset = make(corpus, only(), crop_seconds=None)
    if batching == "crops":
        dataset = make(corpus, only())
    found = list(orders(dataset, [1, 1, 2, 3, 1], batching=batching))
    assert found[0] == found[1] == found[4]
    assert found[0] != found[2] != found[3] != found[0]
    for batches in found:
        assert Counter(sum(batches, [])) == Counter(dataset.data_ids)
        assert max(map(len, batches)) <= 2


def test_a_sampler_tells_the_data_set_the_epoch(corpus):
    for batching in ("crops", "dynamic"):
        dataset = make(corpus, only())
        kwargs = train_loader_kwargs(dataset, batching, batch_size=2)
        sampler = kwargs.get("batch_sampler", kwargs.get("sampler"))
        sampler.set_epoch(4)
        assert dataset.epoch.value == 4


def test_a_brain_takes_the_arguments(corpus):
    dataset = make(corpus, only())
    brain = speechbrain.Brain(run_opts={"device": "cpu"})
    kwargs = train_loader_kwargs(dataset, batch_size=2)
    loader = brain.make_dataloader(dataset, speechbrain.Stage.TRAIN, **kwargs)
    assert isinstance(loader, SaveableDataLoader) and len(loader) == 3
    loader = brain.make_dataloader(
        dataset, speechbrain.Stage.VALID, **eval_loader_kwargs(6)
    )
    assert next(iter(loader)).id == dataset.data_ids


def test_padding_and_trimming(corpus):
    dataset = make(corpus, only(), crop_seconds=None)
    kwargs = train_loader_kwargs(dataset, "pad", batch_size=6)
    batch = next(iter(make_dataloader(dataset, **kwargs)))
    longest = batch.noisy_sig.data.shape[1]
    assert longest == round(3.3 * RATE)
    for i, name in enumerate(batch.id):
        samples = round(dataset.data[name]["duration"] * RATE)
        assert round(float(batch.clean_sig.lengths[i]) * longest) == samples
        assert not batch.clean_sig.data[i, samples:].any()
    kwargs = train_loader_kwargs(dataset, "trim", batch_size=6)
    batch = next(iter(make_dataloader(dataset, **kwargs)))
    assert batch.noisy_sig.data.shape == (6, 4800)
    assert (batch.clean_sig.lengths == 1).all()
    with dataset.output_keys_as(["id", "noisy_sig", "clean_sig", "mix_info"]):
        batch = next(iter(make_dataloader(dataset, **eval_loader_kwargs(2))))
    assert [info.id for info in batch.mix_info] == batch.id
    assert batch.id == dataset.data_ids[:2]


def test_dynamic_batches_keep_to_their_duration(corpus):
    dataset = make(corpus, only(), crop_seconds=None)
    kwargs = train_loader_kwargs(
        dataset, "dynamic", batch_size=6, max_batch_seconds=1.2, num_buckets=4
    )
    batches = [list(batch.id) for batch in make_dataloader(dataset, **kwargs)]
    assert len(batches) > 1
    for batch in batches:
        longest = max(dataset.data[name]["duration"] for name in batch)
        assert len(batch) == 1 or len(batch) * longest <= 3.3


@pytest.mark.parametrize("batching", ["crops", "dynamic"])
@pytest.mark.parametrize("workers", [0, 2])
def test_resume_within_an_epoch(corpus, tmp_path, batching, workers):
    settings = MixingSettings(**EVERYTHING)

    def loader_of(epoch):
        dataset = make(corpus, settings)
        kwargs = train_loader_kwargs(
            dataset, batching, batch_size=2, seed=5, num_workers=workers
        )
        dataset.set_epoch(epoch)
        return SaveableDataLoader(dataset, **kwargs)

    loader = loader_of(2)
    checkpointer = Checkpointer(tmp_path, {"loader": loader})
    expected = []
    for i, batch in enumerate(loader):
        if i == 0:
            checkpointer.save_checkpoint(end_of_epoch=False)
        else:
            expected.append(batch)
    resumed = loader_of(2)
    Checkpointer(tmp_path, {"loader": resumed}).recover_if_possible()
    found = list(resumed)
    assert len(found) == len(expected) >= 2
    for a, b in zip(expected, found, strict=True):
        assert a.id == b.id
        assert torch.equal(a.noisy_sig.data, b.noisy_sig.data)


# Pairs


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pairs")
    entries, rng = {}, np.random.default_rng(1)
    for i in range(3):
        clean = rng.standard_normal(6000 + 6000 * i) * 0.05
        for key, wav in (("clean", clean), ("noisy", clean * 0.5)):
            soundfile.write(folder / f"{key}{i}.wav", wav, RATE, "FLOAT")
        entries[f"p{i}"] = {
            "noisy": f"{{data_root}}/noisy{i}.wav",
            "clean": f"{{data_root}}/clean{i}.wav",
            "duration": len(clean) / RATE,
            "speaker": "a",
        }
    (folder / "train.json").write_text(json.dumps(entries))
    return folder


def test_pairs_stay_aligned_in_crops(pairs):
    options = {"sample_rate": RATE, "seed": 1, "crop_seconds": 0.5}
    dataset = paired_dataset(pairs / "train.json", **options)
    first = items(dataset)
    for noisy, clean in first.values():
        assert noisy.shape == clean.shape == (8000,)
        assert np.allclose(noisy, clean * 0.5, atol=1e-6) and clean.any()
    dataset.set_epoch(1)
    assert not same(first, items(dataset))
    level = only(level_prob=1, level_db=-30)
    dataset = paired_dataset(pairs / "train.json", settings=level, **options)
    for noisy, clean in items(dataset).values():
        assert np.abs(noisy).max() == pytest.approx(10**-1.5, rel=1e-4)
        assert np.allclose(noisy, clean * 0.5, atol=1e-6)


def test_fixed_pairs_are_the_files(pairs):
    dataset = paired_dataset(
        pairs / "train.json",
        RATE,
        1,
        0.5,
        fixed=True,
        settings=MixingSettings(),
    )
    for name, (noisy, clean) in items(dataset).items():
        for key, got in (("noisy", noisy), ("clean", clean)):
            path = pairs / f"{key}{name[1:]}.wav"
            assert np.array_equal(got, soundfile.read(path, dtype="float32")[0])


def test_pairs_of_unequal_length_are_refused(pairs, tmp_path):
    folder = shutil.copytree(pairs, tmp_path / "pairs")
    soundfile.write(folder / "noisy0.wav", np.ones(50), RATE)
    dataset = paired_dataset(folder / "train.json", RATE, 1, fixed=True)
    with pytest.raises(UserError, match="p0: noisy has 50 samples"):
        dataset[0]


# Bad input


def test_missing_sets_are_named_with_the_mend(corpus):
    with pytest.raises(UserError) as error:
        mixing_dataset(
            corpus / "speech.json",
            None,
            None,
            only(noise_prob=1, reverb_prob=1),
            RATE,
            seed=0,
            crop_seconds=-1,
        )
    text = str(error.value)
    assert "3 problems" in text
    assert "set noise_prob to 0" in text and "set reverb_prob to 0" in text
    settings = only(noise_prob=1, reverb_prob=1).without(True, True)
    dataset = mixing_dataset(
        corpus / "speech.json", None, None, settings, RATE, seed=0
    )
    assert len(dataset) == 6


def test_babble_needs_a_second_speaker(corpus, tmp_path):
    entries = json.loads((corpus / "speech.json").read_text())
    for entry in entries.values():
        entry["speaker"] = "one"
    manifest = tmp_path / "speech.json"
    manifest.write_text(json.dumps(entries))
    with pytest.raises(UserError, match="set babble_prob to 0"):
        mixing_dataset(manifest, None, None, only(babble_prob=1), RATE, seed=0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "cannot read this manifest"),
        ("{}", "this set is empty"),
        ("{", "no valid JSON"),
        ('{"a": {"duration": 1}}', "a: lacks wav"),
    ],
)
def test_bad_manifests(tmp_path, text, message):
    manifest = tmp_path / "speech.json"
    if text is not None:
        manifest.write_text(text)
    with pytest.raises(UserError, match=message):
        mixing_dataset(manifest, None, None, only(), RATE, seed=0)


def test_bad_batching_is_refused(corpus):
    dataset = make(corpus, only())
    with pytest.raises(UserError, match="did you mean crops"):
        train_loader_kwargs(dataset, "crop")
    with pytest.raises(UserError, match="2 problems"):
        train_loader_kwargs(dataset, batch_size=0, num_workers=-1)
    with pytest.raises(UserError, match="6 items make no batch of 7"):
        train_loader_kwargs(dataset, batch_size=7, drop_last=True)
    with pytest.raises(UserError, match="batch_size 0"):
        eval_loader_kwargs(0)


def test_wrong_sample_rate_names_the_file(corpus):
    dataset = mixing_dataset(
        corpus / "speech.json", None, None, only(), 8000, seed=0
    )
    with pytest.raises(UserError, match=r"0\.wav.*16000 Hz"):
        dataset[0]
