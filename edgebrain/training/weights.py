"""Weights: what a checkpoint says of its model, and how they come back."""

import dataclasses
import importlib.metadata
import json
from pathlib import Path

from edgebrain.errors import UserError
from edgebrain.metrics import higher_is_better
from edgebrain.training.checkpoints import AtomicCheckpointer, find_best
from edgebrain.training.results import load_weights
from speechbrain.utils.checkpoints import (
    CKPT_PREFIX,
    Checkpoint,
    mark_as_loader,
    mark_as_saver,
    register_checkpoint_hooks,
)
from speechbrain.utils.logger import get_logger

logger = get_logger(__name__)


@register_checkpoint_hooks
class ModelCard:
    """What a checkpoint must say so that its weights can be used again.

    Arguments
    ---------
    model : torch.nn.Module
        Its class and, if it has ``config()``, its constructor arguments.
    signal : edgebrain.signal.SignalSettings
    """

    def __init__(self, model, signal):
        config = model.config() if hasattr(model, "config") else None
        self.content = {
            "model_class": f"{type(model).__module__}.{type(model).__name__}",
            "model_arguments": config,
            "signal": dataclasses.asdict(signal),
            "versions": {
                name: importlib.metadata.version(name)
                for name in ("torch", "speechbrain")
            },
        }

    @mark_as_saver
    def save(self, path) -> None:
        """Write the card as JSON to ``path``."""
        text = json.dumps(self.content, indent=1, sort_keys=True)
        Path(path).write_text(text + "\n", encoding="utf-8")

    @mark_as_loader
    def load(self, path, end_of_epoch=True) -> None:
        """Compare the card at ``path`` with this one.

        Raises
        ------
        UserError
            The checkpoint belongs to another model or other signal settings.
        """
        saved = json.loads(Path(path).read_text(encoding="utf-8"))
        ours = json.loads(json.dumps(self.content))
        problems = [
            f"{key}: {saved.get(key)} there, {ours[key]} here"
            for key in ("model_class", "model_arguments", "signal")
            if saved.get(key) != ours[key]
        ]
        if problems:
            raise UserError.collect(
                f"{Path(path).parent}: checkpoint of another model", problems
            )


def checkpoint_folder(path) -> Path:
    """Return the folder that holds checkpoints for a results folder.

    Arguments
    ---------
    path : path
        A results folder (holding ``save/``) or the ``save`` folder itself.

    Raises
    ------
    UserError
        There is no checkpoint.
    """
    path = Path(path)
    for folder in (path / "save", path):
        if folder.is_dir() and any(folder.glob(f"{CKPT_PREFIX}*")):
            return folder
    raise UserError(
        f"{path}: no checkpoint there; train first, or give the folder "
        "results/<name>/<seed> of a training"
    )


def load_checkpoint(model, checkpoint: Checkpoint, signal) -> None:
    """Load a checkpoint's weights into a model of the same kind.

    Arguments
    ---------
    model : torch.nn.Module
    checkpoint : Checkpoint
    signal : edgebrain.signal.SignalSettings
        Must be those of the checkpoint.

    Raises
    ------
    UserError
        The checkpoint is of another model or other signal settings.
    """
    ModelCard(model, signal).load(checkpoint.paramfiles["model_card"])
    load_weights(model, checkpoint.paramfiles["model"])


def start_from(model, source, select_by: str) -> None:
    """Start a training from given weights.

    Arguments
    ---------
    model : torch.nn.Module
    source : path
        A results folder (its best checkpoint by ``select_by``), a checkpoint
        folder, or a file of weights.
    select_by : str
        A metric's name or ``loss``.

    Raises
    ------
    UserError
        Nothing usable there.
    """
    path = Path(source)
    if (path / "model.ckpt").is_file():
        path = path / "model.ckpt"
    if not path.is_file():
        folder = AtomicCheckpointer(checkpoint_folder(path))
        kind = "max_key" if higher_is_better(select_by) else "min_key"
        path = find_best(folder, **{kind: select_by}).paramfiles["model"]
    load_weights(model, path)
    logger.info(f"Starting from the weights of {path}")
