"""Checkpoints that survive a kill at any moment, and never prefer a NaN.

SpeechBrain writes a checkpoint's meta file first and deletes folders file by
file, so a kill in between leaves a folder that looks whole. Here a checkpoint
is written under another name and renamed when it is complete, and renamed
away before it is deleted.
"""

import logging
import math
import os
from pathlib import Path
import shutil

from edgebrain.errors import UserError
from speechbrain.utils.checkpoints import (
    Checkpoint,
    Checkpointer,
    ckpt_recency,
)
from speechbrain.utils.distributed import ddp_barrier, if_main_process

#: Meta key of a checkpoint that no later one may displace.
KEEP = "keep"
_PARTIAL = "partial-"
_DELETED = "deleted-"


class AtomicCheckpointer(Checkpointer):
    """SpeechBrain's Checkpointer with atomic saving and deleting.

    Metrics in the meta are stored as plain floats; a checkpoint whose metric
    is not finite is never the best by that metric.
    """

    def __init__(self, checkpoints_dir, **kwargs):
        super().__init__(checkpoints_dir, **kwargs)
        self.remove_leftovers()

    def remove_leftovers(self) -> None:
        """Delete what a kill in the middle of a save or delete left."""
        if if_main_process():
            for path in self.checkpoints_dir.iterdir():
                if path.name.startswith((_PARTIAL, _DELETED)):
                    shutil.rmtree(path)
        ddp_barrier()

    def save_checkpoint(
        self, meta=None, end_of_epoch=True, name=None, verbosity=logging.INFO
    ):
        """Save a checkpoint that appears under its name only when whole."""
        saved = super().save_checkpoint(
            meta={k: _plain(v) for k, v in (meta or {}).items()},
            end_of_epoch=end_of_epoch,
            name=name,
            verbosity=logging.DEBUG,
        )
        ddp_barrier()  # every process has written its part
        if saved is None:
            ddp_barrier()
            return None
        for path in saved.path.iterdir():
            _flush(path)
        final = saved.path.with_name(saved.path.name.removeprefix(_PARTIAL))
        os.rename(saved.path, final)
        _flush(self.checkpoints_dir)
        ddp_barrier()
        files = {n: final / p.name for n, p in saved.paramfiles.items()}
        return Checkpoint(final, saved.meta, files)

    def _new_checkpoint_dirpath(self):
        """Name the folder to write in; the final name must be free too."""
        final = super()._new_checkpoint_dirpath()
        return final.with_name(_PARTIAL + final.name)

    def _custom_checkpoint_dirpath(self, name):
        final = super()._custom_checkpoint_dirpath(name)
        if final.exists():
            raise UserError(f"{final}: a checkpoint of that name exists")
        return final.with_name(_PARTIAL + final.name)

    def find_checkpoints(self, max_key=None, min_key=None, **kwargs):
        """Rank checkpoints; one whose metric is not finite does not count."""
        key, old = max_key or min_key, kwargs.pop("ckpt_predicate", None)

        def finite(checkpoint):
            if old is not None and not old(checkpoint):
                return False
            value = checkpoint.meta.get(key) if key else 0.0
            return isinstance(value, int | float) and math.isfinite(value)

        return super().find_checkpoints(
            max_key=max_key, min_key=min_key, ckpt_predicate=finite, **kwargs
        )

    def delete_checkpoints(
        self,
        *,
        num_to_keep=1,
        min_keys=None,
        max_keys=None,
        importance_keys=(ckpt_recency,),
        ckpt_predicate=None,
        verbosity=logging.INFO,
    ):
        """Delete all but the best of each key and those marked to keep."""
        rankings = [{"min_key": key} for key in min_keys or ()]
        rankings += [{"max_key": key} for key in max_keys or ()]
        rankings += [{"importance_key": key} for key in importance_keys]
        kept = {
            checkpoint.path
            for ranking in rankings
            for checkpoint in self.find_checkpoints(
                ckpt_predicate=ckpt_predicate,
                max_num_checkpoints=num_to_keep,
                **ranking,
            )
        }
        ddp_barrier()
        if if_main_process():
            for checkpoint in self.list_checkpoints():
                deletable = ckpt_predicate is None or ckpt_predicate(checkpoint)
                if (
                    deletable
                    and checkpoint.path not in kept
                    and not checkpoint.meta.get(KEEP)
                ):
                    delete_checkpoint(checkpoint.path)
        ddp_barrier()


def delete_checkpoint(path) -> None:
    """Delete a checkpoint folder so that no half of it can be mistaken."""
    path = Path(path)
    doomed = path.with_name(_DELETED + path.name)
    os.rename(path, doomed)
    shutil.rmtree(doomed)


def find_best(checkpointer, max_key=None, min_key=None) -> Checkpoint:
    """Return the best checkpoint by a metric."""
    found = checkpointer.find_checkpoint(max_key=max_key, min_key=min_key)
    if found is None:
        raise UserError(
            f"{checkpointer.checkpoints_dir}: no checkpoint with a "
            f"{max_key or min_key} to test; train first (without "
            "--test_only), or give the output_folder of a finished training"
        )
    return found


def _plain(value):
    """Return numbers as Python floats, other values as they are."""
    if isinstance(value, bool | int | str) or value is None:
        return value
    return float(value)


def _flush(path) -> None:
    """Make the file system write a file or folder to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
