"""Batches: arguments for SpeechBrain's loaders, four strategies.

==========  ==================================================================
crops       items already have one length (``crop_seconds`` of the data set)
pad         shorter items are padded with zeros; ``lengths`` says how much
trim        all items are cut to the shortest of the batch
dynamic     items of like length together, as many as fit a total duration;
            then padded
==========  ==================================================================

A batch has ``batch.id`` and each tensor of the items, ``batch.noisy_sig`` say,
with ``.data`` (batch, samples) and ``.lengths`` (batch,) relative to the
longest.
"""

from typing import Any

from speechbrain.dataio.batch import PaddedBatch
from speechbrain.dataio.sampler import (
    DynamicBatchSampler,
    ReproducibleRandomSampler,
)
import torch

STRATEGIES = ("crops", "pad", "trim", "dynamic")
# How finely dynamic batches tell lengths apart.
_BUCKETS = 20


class TrimmedBatch(PaddedBatch):
    """A batch in which all signals are cut to the shortest one."""

    def __init__(self, examples, *args, **kwargs):
        tensors = [k for k, v in examples[0].items() if torch.is_tensor(v)]
        shortest = min(len(e[key]) for e in examples for key in tensors)
        examples = [
            {**e, **{key: e[key][:shortest] for key in tensors}}
            for e in examples
        ]
        super().__init__(examples, *args, **kwargs)


class ShuffledSampler(ReproducibleRandomSampler):
    """Shuffles from seed and the epoch of the data set.

    ``dataset.set_epoch(n)`` is enough: a sampler that nobody told of the
    epoch would repeat one order for ever. Its own ``set_epoch`` tells the
    data set.
    """

    def __init__(self, dataset, seed: int):
        super().__init__(dataset, seed=seed)
        self.dataset = dataset

    def set_epoch(self, epoch: int):
        """Set the epoch of the sampler and of the data set."""
        super().set_epoch(epoch)
        self.dataset.set_epoch(epoch)

    def __iter__(self):
        if not self.dataset.fixed:
            self.epoch = self.dataset.epoch.value
        return super().__iter__()


class DurationSampler(DynamicBatchSampler):
    """Batches of like duration, from seed and the epoch of the data set."""

    def set_epoch(self, epoch: int):
        """Set the epoch of the sampler and of the data set."""
        super().set_epoch(epoch)
        self._dataset.set_epoch(epoch)

    def __iter__(self):
        # SpeechBrain shuffles on at the end of each pass, so the order of
        # an epoch would depend on what was iterated before it.
        epoch = self._epoch
        if not self._dataset.fixed:
            epoch = self._dataset.epoch.value
        super().set_epoch(epoch)
        yield from list(self._batches)


def train_loader_kwargs(
    dataset,
    batching: str = "crops",
    batch_size: int = 8,
    seed: int = 0,
    num_workers: int = 0,
    max_batch_seconds: float | None = None,
) -> dict[str, Any]:
    """Return what ``Brain.make_dataloader(dataset, TRAIN, **kwargs)`` needs.

    The order is shuffled from the seed and the epoch of the data set:
    ``dataset.set_epoch(n)`` before each epoch is all it takes. A batch has
    ``batch_size`` items; a dynamic one at most, and ``max_batch_seconds`` in
    all, left out: ``batch_size`` times the mean duration.
    """
    kwargs: dict[str, Any] = {
        "num_workers": num_workers,
        "collate_fn": TrimmedBatch if batching == "trim" else PaddedBatch,
    }
    if num_workers > 0:
        kwargs["persistent_workers"] = True
    if batching == "dynamic":
        durations = [
            dataset.data[name]["duration"] for name in dataset.data_ids
        ]
        if max_batch_seconds is None:
            max_batch_seconds = batch_size * sum(durations) / len(durations)
        kwargs["batch_sampler"] = DurationSampler(
            dataset,
            # The last bucket has to hold the longest item.
            max(max_batch_seconds, *durations, 0.0),
            _BUCKETS,
            lengths_list=durations,
            max_batch_ex=batch_size,
            seed=seed,
        )
        return kwargs
    kwargs["batch_size"] = batch_size
    kwargs["sampler"] = ShuffledSampler(dataset, seed=seed)
    return kwargs
