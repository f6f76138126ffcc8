"""Checkpoints that a kill cannot break and that a resume continues exactly."""

import logging
import os
import shutil

import guard_torchaudio  # noqa: F401
from speechbrain.utils.checkpoints import (
    Checkpoint,
    Checkpointer,
    mark_as_loader,
    mark_as_saver,
    register_checkpoint_hooks,
)
from speechbrain.utils.distributed import ddp_barrier, if_main_process
import torch

logger = logging.getLogger(__name__)

_UNFINISHED = "unfinished-"
_DELETED = "deleted-"


class AtomicCheckpointer(Checkpointer):
    """A Checkpointer whose folders appear whole and vanish whole.

    SpeechBrain's writes CKPT.yaml first and the parameters after it, so a
    kill in between leaves a checkpoint that is found, perhaps as the best
    one, and cannot be loaded. Here a checkpoint is written under another
    name, synced to the disk and then renamed; deletion renames first.
    """

    def save_checkpoint(
        self, meta=None, end_of_epoch=True, name=None, verbosity=logging.INFO
    ):
        """Save as ``Checkpointer.save_checkpoint`` does, all or nothing."""
        self._remove_leftovers()
        saved = super().save_checkpoint(
            meta or {}, end_of_epoch, name, verbosity=logging.DEBUG
        )
        ddp_barrier()  # every process has written its part
        if saved is not None:
            for path in [*saved.path.iterdir(), saved.path]:
                _sync(path)
            final = saved.path.with_name(
                saved.path.name.removeprefix(_UNFINISHED)
            )
            os.replace(saved.path, final)
            _sync(final.parent)
            logger.log(verbosity, f"Saved the checkpoint {final}")
            saved = Checkpoint(
                final,
                saved.meta,
                {k: final / p.name for k, p in saved.paramfiles.items()},
            )
        ddp_barrier()
        return saved

    def delete_checkpoints(self, **kwargs):
        """Delete as ``Checkpointer.delete_checkpoints``, all or nothing."""
        before = {c.path: c for c in self.list_checkpoints()}
        kept = self._kept(**kwargs)
        ddp_barrier()
        if if_main_process():
            for path in before.keys() - kept:
                hidden = path.with_name(_DELETED + path.name)
                os.replace(path, hidden)
                shutil.rmtree(hidden)
        ddp_barrier()

    def _kept(
        self,
        num_to_keep=1,
        min_keys=None,
        max_keys=None,
        importance_keys=(),
        ckpt_predicate=None,
        verbosity=None,
    ):
        """Return the paths that the rules protect or do not speak about."""
        del verbosity
        rules = [{"min_key": key} for key in min_keys or []]
        rules += [{"max_key": key} for key in max_keys or []]
        rules += [{"importance_key": key} for key in importance_keys]
        spoken_of, protected = set(), set()
        for rule in rules:
            found = self.find_checkpoints(ckpt_predicate=ckpt_predicate, **rule)
            spoken_of.update(c.path for c in found)
            protected.update(c.path for c in found[:num_to_keep])
        everything = {c.path for c in self.list_checkpoints()}
        return (everything - spoken_of) | protected

    def _new_checkpoint_dirpath(self):
        final = super()._new_checkpoint_dirpath()
        return final.with_name(_UNFINISHED + final.name)

    def _custom_checkpoint_dirpath(self, name):
        final = super()._custom_checkpoint_dirpath(name)
        return final.with_name(_UNFINISHED + final.name)

    def _remove_leftovers(self):
        if if_main_process():
            for pattern in (f"{_UNFINISHED}*", f"{_DELETED}*"):
                for path in self.checkpoints_dir.glob(pattern):
                    shutil.rmtree(path)


def _sync(path):
    """Force a file or a folder's entries onto the disk."""
    if os.name == "nt":  # it syncs neither folders nor files open to read
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@register_checkpoint_hooks
class TorchRandomState:
    """torch's random generators as a recoverable.

    SpeechBrain does not save them, so dropout would differ after a resume.
    """

    @mark_as_saver
    def _save(self, path):
        state = {"cpu": torch.get_rng_state()}
        if torch.cuda.is_available():
            state["cuda"] = torch.cuda.get_rng_state_all()
        torch.save(state, path)

    @mark_as_loader
    def _load(self, path, end_of_epoch):
        del end_of_epoch
        state = torch.load(path, map_location="cpu")
        torch.set_rng_state(state["cpu"])
        if len(state.get("cuda", [])) == torch.cuda.device_count():
            torch.cuda.set_rng_state_all(state.get("cuda", []))
