"""Batches: their order, their lengths, and a resume within an epoch."""

from collections import Counter

from edgebrain.data.batching import train_loader_kwargs
from edgebrain.enhancement.mixing import MixingSettings
import pytest
import speechbrain
from speechbrain.dataio.dataloader import SaveableDataLoader, make_dataloader
from speechbrain.utils.checkpoints import Checkpointer
from tiny_sets import EVERYTHING, RATE, make, only
import torch


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
        batch = next(iter(make_dataloader(dataset, batch_size=2)))
    assert [info.id for info in batch.mix_info] == batch.id
    assert batch.id == dataset.data_ids[:2]


def test_dynamic_batches_keep_to_their_duration(corpus):
    dataset = make(corpus, only(), crop_seconds=None)
    kwargs = train_loader_kwargs(
        dataset, "dynamic", batch_size=6, max_batch_seconds=1.2
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
