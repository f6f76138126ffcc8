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

from edgebrain.errors import UserError, unknown_name
from speechbrain.dataio.batch import PaddedBatch
from speechbrain.dataio.sampler import (
    DynamicBatchSampler,
    ReproducibleRandomSampler,
)
import torch

STRATEGIES = ("crops", "pad", "trim", "dynamic")


class TrimmedBatch(PaddedBatch):
    """A batch in which all signals are cut to the shortest one.

    Arguments
    ---------
    examples : list of dict
        Items of a data set: tensors (samples,), of one length in each item.
    """

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

    Arguments
    ---------
    dataset : SeededDataset
        What to shuffle.
    seed : int
        Of the experiment.
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
    """Batches of like duration, from seed and the epoch of the data set.

    Arguments
    ---------
    dataset : SeededDataset
        What to shuffle.
    *args, **kwargs
        As SpeechBrain's DynamicBatchSampler.
    """

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
    num_buckets: int = 20,
    drop_last: bool = False,
    **options: Any,
) -> dict[str, Any]:
    """Return what ``Brain.make_dataloader(dataset, TRAIN, **kwargs)`` needs.

    The order is shuffled from the seed and the epoch of the data set:
    ``dataset.set_epoch(n)`` before each epoch is all it takes.

    Arguments
    ---------
    dataset : SeededDataset
        The training set.
    batching : str
        crops, pad, trim or dynamic.
    batch_size : int
        Items a batch; for dynamic the most there may be.
    seed : int
        Of the experiment.
    num_workers : int
        Worker processes; kept alive between epochs.
    max_batch_seconds : float or None
        dynamic only: sum of durations of a batch. None for ``batch_size``
        times the mean duration.
    num_buckets : int
        dynamic only: how finely lengths are told apart.
    drop_last : bool
        Leave out a smaller last batch; refused if nothing would be left.
    **options
        Further arguments of the loader (pin_memory, prefetch_factor, ...).

    Returns
    -------
    dict

    Raises
    ------
    UserError
        For an unknown strategy or a batch size that does not work.
    """
    if batching not in STRATEGIES:
        raise unknown_name("batching", batching, STRATEGIES)
    problems = []
    if batch_size < 1:
        problems.append(f"batch_size: {batch_size} must be at least 1")
    if num_workers < 0:
        problems.append(f"num_workers: {num_workers} must be at least 0")
    if max_batch_seconds is not None and not max_batch_seconds > 0:
        problems.append(
            f"max_batch_seconds: {max_batch_seconds} must be above 0"
        )
    if batching == "dynamic" and num_buckets < 2:
        problems.append(f"num_buckets: {num_buckets} must be at least 2")
    if batching != "dynamic" and drop_last and len(dataset) < batch_size:
        problems.append(
            f"drop_last: {len(dataset)} items make no batch of {batch_size}; "
            "use a smaller batch_size"
        )
    if problems:
        raise UserError.collect("batching", problems)
    kwargs: dict[str, Any] = {"num_workers": num_workers, **options}
    if num_workers > 0:
        kwargs.setdefault("persistent_workers", True)
    kwargs["collate_fn"] = TrimmedBatch if batching == "trim" else PaddedBatch
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
            num_buckets,
            lengths_list=durations,
            max_batch_ex=batch_size,
            seed=seed,
            drop_last=drop_last,
        )
        return kwargs
    kwargs["batch_size"] = batch_size
    kwargs["drop_last"] = drop_last
    kwargs["sampler"] = ShuffledSampler(dataset, seed=seed)
    return kwargs


def eval_loader_kwargs(
    batch_size: int = 1, num_workers: int = 0, **options: Any
) -> dict[str, Any]:
    """Return loader arguments for validation and test: in order, padded.

    Arguments
    ---------
    batch_size : int
        Items a batch.
    num_workers : int
        Worker processes.
    **options
        Further arguments of the loader.

    Returns
    -------
    dict
    """
    if batch_size < 1 or num_workers < 0:
        raise UserError(
            f"batch_size {batch_size} must be at least 1 and num_workers "
            f"{num_workers} at least 0"
        )
    return {
        "batch_size": batch_size,
        "num_workers": num_workers,
        "shuffle": False,
        "collate_fn": PaddedBatch,
        **options,
    }
