"""Run one function over many files on all cores."""

from collections.abc import Callable, Iterator, Sequence

import joblib
from tqdm import tqdm

# Below this a pool costs more than it gives.
_FEW = 8
# Files a task: a small file takes less time than handing it to a thread.
_CHUNK = 16


def parallel_map(
    function: Callable, items: Sequence, n_jobs: int = -1, label: str = ""
) -> Iterator[tuple]:
    """Yield ``(item, function(item))`` in the order in which they finish.

    Threads, not processes: decoding and filtering let go of Python's lock,
    and a pool of processes takes a second to start.

    Arguments
    ---------
    function : callable
        Takes one item.
    items : sequence
        What to work on.
    n_jobs : int
        Number of threads; -1 is one a core.
    label : str
        Text of the progress bar, which shows on a terminal only.

    Yields
    ------
    tuple
        An item and its result.
    """
    with tqdm(
        total=len(items), desc=label, unit="file", disable=None, leave=False
    ) as bar:
        for item, result in _results(function, items, n_jobs):
            bar.update()
            yield item, result


def _results(function, items, n_jobs):
    if len(items) < _FEW or joblib.effective_n_jobs(n_jobs) == 1:
        for item in items:
            yield item, function(item)
        return
    chunk = max(1, min(_CHUNK, len(items) // 32))
    chunks = [items[at : at + chunk] for at in range(0, len(items), chunk)]
    pool = joblib.Parallel(
        n_jobs=n_jobs,
        backend="threading",
        return_as="generator_unordered",
        batch_size=1,
    )
    tasks = (joblib.delayed(_over)(function, piece) for piece in chunks)
    for finished in pool(tasks):
        yield from finished


def _over(function, items):
    return [(item, function(item)) for item in items]
