import itertools
import math
import multiprocessing
import time

from edgebrain.errors import UserError
from edgebrain.training.checkpoints import (
    KEEP,
    AtomicCheckpointer,
    delete_checkpoint,
    find_best,
)
import numpy as np
import pytest
import torch


def make(folder, value=0.0):
    layer = torch.nn.Linear(2, 1)
    torch.nn.init.constant_(layer.weight, value)
    return layer, AtomicCheckpointer(folder, recoverables={"model": layer})


def test_saved_checkpoint_comes_back(tmp_path):
    _, checkpointer = make(tmp_path, 3.0)
    saved = checkpointer.save_checkpoint(meta={"stoi": 0.5})
    assert saved.path.is_dir() and saved.paramfiles["model"].is_file()
    other, again = make(tmp_path, 0.0)
    assert again.recover_if_possible() is not None
    assert float(other.weight.detach().sum()) == 6.0


def test_nan_is_never_best_and_never_displaces_it(tmp_path):
    _, checkpointer = make(tmp_path)
    for stoi in (0.6, 0.5, math.nan):
        checkpointer.save_and_keep_only(
            meta={"stoi": stoi}, importance_keys=[], max_keys=["stoi"]
        )
        time.sleep(0.01)
    assert find_best(checkpointer, max_key="stoi").meta["stoi"] == 0.6
    assert len(checkpointer.list_checkpoints()) == 2  # best and last
    assert math.isnan(checkpointer.find_checkpoint().meta["stoi"])


def test_numpy_and_tensor_metrics_can_be_read_again(tmp_path):
    _, checkpointer = make(tmp_path)
    meta = {"a": np.float32(0.5), "b": torch.tensor(0.25), "c": 1}
    checkpointer.save_checkpoint(meta=meta)
    found = find_best(checkpointer, max_key="a").meta
    assert (found["a"], found["b"], found["c"]) == (0.5, 0.25, 1)


def test_no_checkpoint_with_the_metric(tmp_path):
    _, checkpointer = make(tmp_path)
    checkpointer.save_checkpoint(meta={"pesq": 2.0})
    with pytest.raises(UserError, match="no checkpoint with a stoi"):
        find_best(checkpointer, max_key="stoi")


def test_marked_checkpoints_stay(tmp_path):
    _, checkpointer = make(tmp_path)
    for epoch in range(1, 6):
        checkpointer.save_and_keep_only(
            meta={"loss": 1 / epoch, "epoch": epoch, KEEP: epoch % 2 == 0},
            importance_keys=[],
            min_keys=["loss"],
        )
    epochs = sorted(c.meta["epoch"] for c in checkpointer.list_checkpoints())
    assert epochs == [2, 4, 5]


def test_half_written_and_half_deleted_are_invisible(tmp_path):
    _, checkpointer = make(tmp_path)
    whole = checkpointer.save_checkpoint(meta={"stoi": 0.5})
    for prefix in ("partial-", "deleted-"):
        folder = tmp_path / (prefix + whole.path.name)
        folder.mkdir()
        (folder / "CKPT.yaml").write_text("unixtime: 9e9\nstoi: 0.9\n")
    _, again = make(tmp_path)
    assert [c.path for c in again.list_checkpoints()] == [whole.path]
    assert sorted(p.name for p in tmp_path.iterdir()) == [whole.path.name]


def test_delete_leaves_nothing(tmp_path):
    _, checkpointer = make(tmp_path)
    delete_checkpoint(checkpointer.save_checkpoint().path)
    assert list(tmp_path.iterdir()) == []


def test_custom_name_is_not_overwritten(tmp_path):
    _, checkpointer = make(tmp_path)
    checkpointer.save_checkpoint(name="mine")
    with pytest.raises(UserError, match="of that name exists"):
        checkpointer.save_checkpoint(name="mine")


def save_forever(folder, saved):
    big = torch.nn.Linear(1500, 1500)
    saver = AtomicCheckpointer(
        folder, recoverables={"model": big, "again": big}
    )
    for n in itertools.count():
        saver.save_and_keep_only(meta={"n": n}, importance_keys=[])
        saved.set()


@pytest.mark.parametrize("delay", [0.0, 0.011, 0.023, 0.037])
def test_kill_at_any_moment_leaves_a_whole_checkpoint(tmp_path, delay):
    # Forked: it need not import torch again.
    fork = multiprocessing.get_context("fork")
    saved = fork.Event()
    process = fork.Process(target=save_forever, args=(tmp_path, saved))
    process.start()
    assert saved.wait(60)
    time.sleep(delay)
    process.kill()
    process.join()
    big = torch.nn.Linear(1500, 1500)
    saver = AtomicCheckpointer(
        tmp_path, recoverables={"model": big, "again": big}
    )
    assert saver.recover_if_possible() is not None
