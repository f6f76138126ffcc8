"""Items a second of the mixing pipeline."""

import time

import common
from edgebrain.data.batching import train_loader_kwargs
from speechbrain.dataio.dataloader import make_dataloader

EPOCHS = 2


def run(cache) -> list[tuple[str, str]]:
    """Return a row for each number of worker processes."""
    rows = []
    for workers in (1, 2):
        dataset = common.training_set(cache)
        kwargs = train_loader_kwargs(dataset, "crops", 4, 1234, workers)
        loader = make_dataloader(dataset, **kwargs)
        for batch in loader:  # start the workers, fill their caches
            assert batch.noisy_sig.data.ndim == 2
        start, count = time.perf_counter(), 0
        for epoch in range(1, EPOCHS + 1):
            dataset.set_epoch(epoch)
            count += sum(len(batch.id) for batch in loader)
        rate = count / (time.perf_counter() - start)
        rows.append(
            (
                f"mixing pipeline, {common.CROP_SECONDS:g} s items, all "
                f"augmentations, {workers} worker{'s' * (workers > 1)}",
                f"{rate:.0f} items/s",
            )
        )
    return rows
