"""What the items of a mixing set depend on, and what changes no bit."""

import copy
import shutil

from edgebrain.data.batching import train_loader_kwargs
from edgebrain.data.randomness import item_rng
from edgebrain.enhancement.mixing import MixingSettings
import pytest
from speechbrain.dataio.dataloader import make_dataloader
from tiny_sets import EVERYTHING, items, make, same


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
