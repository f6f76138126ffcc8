"""Weights: what a checkpoint says of its model, and how they come back."""

import dataclasses
import importlib.metadata
import inspect
import json
from pathlib import Path

from edgebrain.errors import UserError
from edgebrain.tasks import CHOSEN
from edgebrain.training.results import load_weights, pick_checkpoint
from speechbrain.utils.checkpoints import (
    Checkpoint,
    mark_as_loader,
    mark_as_saver,
    register_checkpoint_hooks,
)
from speechbrain.utils.logger import get_logger

logger = get_logger(__name__)

#: State dict in the folder of a released model; none of its forms.
RELEASED = "weights.pt"


@register_checkpoint_hooks
class ModelCard:
    """What a checkpoint must say so that its weights can be used again.

    The model's class and, if it has ``config()``, the constructor arguments.
    """

    def __init__(self, model, setup):
        config = model.config() if hasattr(model, "config") else None
        self._defaults = {
            name: parameter.default
            for name, parameter in inspect.signature(
                type(model)
            ).parameters.items()
            if config and parameter.default is not parameter.empty
        }
        self._features = setup.features
        self.content = {
            "model_class": f"{type(model).__module__}.{type(model).__name__}",
            "model_arguments": config,
            **dataclasses.asdict(setup),
            "versions": {
                name: importlib.metadata.version(name)
                for name in ("torch", "speechbrain")
            },
        }

    @mark_as_saver
    def save(self, path) -> None:
        """Write the card as JSON to ``path``."""
        # Training may have chosen something since.
        content = {**self.content, "features": self._features}
        text = json.dumps(content, indent=1, sort_keys=True)
        Path(path).write_text(text + "\n", encoding="utf-8")

    @mark_as_loader
    def load(self, path, end_of_epoch=True) -> None:
        """Refuse a checkpoint of another model or other signal settings."""
        saved = json.loads(Path(path).read_text(encoding="utf-8"))
        if saved.get("model_arguments"):
            # Of an older version: an argument that came since is its default.
            given = self._defaults | saved["model_arguments"]
            saved["model_arguments"] = json.loads(json.dumps(given))
        ours = json.loads(json.dumps(self.content))
        for card in (saved, ours):
            card.get("features", {}).pop(CHOSEN, None)
        problems = [
            f"{key}: {saved.get(key)} there, {ours[key]} here"
            for key in ours.keys() & saved.keys() - {"versions"}
            if saved[key] != ours[key]
        ]
        if problems:
            raise UserError.collect(
                f"{Path(path).parent}: checkpoint of another model", problems
            )


def load_checkpoint(model, checkpoint: Checkpoint, setup) -> None:
    """Load a checkpoint's weights into a model of the same kind."""
    ModelCard(model, setup).load(checkpoint.paramfiles["model_card"])
    load_weights(model, checkpoint.paramfiles["model"])


def check_source(source) -> Path | None:
    """Return the file of weights that ``init_from`` names."""
    if not source:
        return None
    path = Path(source)
    if (path / RELEASED).is_file():
        return path / RELEASED
    return path if path.is_file() else pick_checkpoint(path)[0] / "model.ckpt"


def start_from(model, source) -> None:
    """Start a training from given weights, which are only read.

    ``source`` is a results folder (its best checkpoint), a checkpoint folder,
    a released ``models/<name>`` folder, or a file of weights.
    """
    path = check_source(source)
    load_weights(model, path)
    logger.info(f"Starting from the weights of {path}")
