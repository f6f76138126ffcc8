"""Read a results folder: the network of its best checkpoint, ready to use.

Reading changes nothing in the folder, so a training may still be writing
there. torch is imported when a network is built; SpeechBrain is not needed.
"""

from dataclasses import dataclass
import hashlib
import importlib
import json
import math
from pathlib import Path
import pickle
from typing import Any

from edgebrain.errors import UserError
from edgebrain.metrics import higher_is_better
from edgebrain.signal import SignalSettings

_PREFIX = "CKPT"


@dataclass(frozen=True)
class Trained:
    """A trained network and where it comes from.

    Attributes
    ----------
    model : torch.nn.Module
        In evaluation mode, on the CPU.
    signal : SignalSettings
    checkpoint : Path
        Folder of the checkpoint.
    sha256 : str
        Of its file of weights.
    meta : dict
        Epoch and validation scores of the checkpoint.
    selected_by : str or None
        The metric that picked it; None: it was given, or is the newest.
    """

    model: Any
    signal: SignalSettings
    checkpoint: Path
    sha256: str
    meta: dict
    selected_by: str | None


def is_results_folder(path: Path | str) -> bool:
    """Tell whether a folder holds checkpoints, or ``save/`` with some."""
    return bool(_checkpoints(Path(path)))


def load_trained(path: Path | str) -> Trained:
    """Build the network of a results folder with its best weights.

    Arguments
    ---------
    path : Path or str
        ``results/<name>/<seed>``, its ``save`` folder, or one checkpoint
        folder ``CKPT+...``.

    Returns
    -------
    Trained

    Raises
    ------
    UserError
        No checkpoint there, or its network cannot be built.
    """
    path = Path(path)
    if path.name.startswith(_PREFIX) and (path / "model.ckpt").is_file():
        checkpoint, meta, key = path, _read_meta(path), None
    else:
        checkpoint, meta, key = best_checkpoint(path)
    card = _read_card(checkpoint)
    signal = SignalSettings.from_dict(card["signal"])
    model = _build(checkpoint, card)
    weights = checkpoint / "model.ckpt"
    _load_weights(model, weights)
    model.eval()
    with weights.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Trained(model, signal, checkpoint, digest, meta, key)


def best_checkpoint(path: Path) -> tuple[Path, dict, str | None]:
    """Return the best checkpoint of a results folder by its ``select_by``.

    Returns
    -------
    checkpoint : Path
    meta : dict
    selected_by : str or None
        None where the folder does not say by what its training selects;
        then it is the newest.

    Raises
    ------
    UserError
        There is no whole checkpoint with a finite value of that metric.
    """
    found = [(folder, _read_meta(folder)) for folder in _checkpoints(path)]
    if not found:
        raise UserError(
            f"{path}: no checkpoint there; train first, or give the folder "
            "results/<name>/<seed> of a training, or an ONNX file"
        )
    key = _select_by(path)
    if key is None:
        folder, meta = max(found, key=lambda pair: pair[1].get("unixtime", 0))
        return folder, meta, None
    sign = 1 if higher_is_better(key) else -1
    usable = [pair for pair in found if _finite(pair[1].get(key))]
    if not usable:
        raise UserError(
            f"{path}: none of its {len(found)} checkpoints has a finite {key}"
        )
    folder, meta = max(
        usable,
        key=lambda pair: (sign * pair[1][key], pair[1].get("unixtime", 0)),
    )
    return folder, meta, key


def _checkpoints(path: Path) -> list[Path]:
    for folder in (path / "save", path):
        found = sorted(folder.glob(f"{_PREFIX}*"))
        found = [f for f in found if (f / "model.ckpt").is_file()]
        if found:
            return found
    return []


def _finite(value) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _read_meta(folder: Path) -> dict:
    """Return what CKPT.yaml says; nothing where it is not there."""
    from ruamel.yaml import YAML

    file = folder / "CKPT.yaml"
    if not file.is_file():
        return {}
    return YAML(typ="safe").load(file.read_text(encoding="utf-8")) or {}


def _select_by(path: Path) -> str | None:
    """Return the yaml's ``select_by``; its tags are left alone."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    for folder in (path, path.parent):
        file = folder / "hyperparams.yaml"
        if file.is_file():
            try:
                tree = YAML().load(file.read_text(encoding="utf-8"))
            except YAMLError as error:
                raise UserError(f"{file}: not valid yaml: {error}") from None
            key = tree.get("select_by") if hasattr(tree, "get") else None
            return None if key is None else str(key)
    return None


def _read_card(checkpoint: Path) -> dict:
    file = checkpoint / "model_card.ckpt"
    if not file.is_file():
        raise UserError(
            f"{checkpoint}: has no model_card.ckpt, so nothing says which "
            "network its weights belong to; it was not written by train.py"
        )
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{file}: is not whole JSON: {error}") from None


def _build(checkpoint: Path, card: dict):
    """Make the network that a model card names."""
    dotted, arguments = card["model_class"], card["model_arguments"]
    module_name, _, class_name = dotted.rpartition(".")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise UserError(
            f"{checkpoint}: its network is {dotted}, which cannot be imported "
            f"({error}); run from the folder that holds {module_name}.py"
        ) from None
    target = getattr(module, class_name, None)
    if target is None:
        raise UserError(
            f"{checkpoint}: its network is {dotted}, but {module_name} has no "
            f"{class_name} any more"
        )
    if arguments is None:
        raise UserError(
            f"{checkpoint}: {class_name} keeps no record of its arguments; "
            "derive it from edgebrain.models.MaskModel and train again"
        )
    try:
        return target(**arguments)
    except TypeError as error:
        raise UserError(
            f"{checkpoint}: {dotted} does not take the arguments it was "
            f"trained with ({error})"
        ) from None


def _load_weights(model, path: Path) -> None:
    import torch

    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        model.load_state_dict(state)
    except (OSError, RuntimeError, pickle.UnpicklingError, EOFError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path}: cannot be loaded: {reason}") from None
