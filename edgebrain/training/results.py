"""Take the trained network out of a results folder.

Reading changes nothing there, so a training may still be writing. Needs
torch, not SpeechBrain.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
import importlib
import io
import json
import math
from pathlib import Path
import pickle
import re
import sys
from typing import NamedTuple

import edgebrain
from edgebrain import tasks
from edgebrain.errors import UserError, unknown_name
from edgebrain.files import sha256
from edgebrain.signal import SignalSettings
from edgebrain.training.renamed import current_names
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
import torch
from torch import nn

_WEIGHTS = "model.ckpt"
_CARD = "model_card.ckpt"


@dataclass(frozen=True)
class CheckpointInfo:
    """Where a network comes from.

    ``selected_by`` is the metric that picked it; None: it was named, or is
    the newest.
    """

    checkpoint: Path
    meta: dict
    selected_by: str | None
    model_class: str
    versions: dict

    def line(self) -> str:
        """Return one line for people."""
        name = self.checkpoint.name
        epoch = self.meta.get("epoch")
        place = name if epoch is None else f"{name}, epoch {epoch}"
        if self.selected_by is None:
            return place
        value = self.meta[self.selected_by]
        return f"{place}, best by {self.selected_by} ({value:.4g})"


class LoadedModel(NamedTuple):
    """A network with its weights, in evaluation mode, on the CPU."""

    model: nn.Module
    settings: SignalSettings
    sha256: str
    info: CheckpointInfo
    setup: tasks.Setup

    def facts(self) -> dict:
        """Return what metrics.json says of a PyTorch form."""
        return {
            "model_class": self.info.model_class,
            "checkpoint": self.info.checkpoint.name,
            "checkpoint_sha256": self.sha256,
            "epoch": self.info.meta.get("epoch"),
            "selected_by": self.info.selected_by,
            "parameters": sum(p.numel() for p in self.model.parameters()),
        }


def load_model(
    results: str | Path, checkpoint: str | Path | None = None
) -> LoadedModel:
    """Load the network of a results folder.

    A class outside this package is looked for beside the yaml of the
    training, beside train.py, in the results and the working folder.

    Arguments
    ---------
    results : str or Path
        ``results/<name>/<seed>``, its ``save`` folder, or one checkpoint
        folder.
    checkpoint : str or Path, optional
        A folder ``CKPT+...`` or its name. None: the best by the yaml's
        ``select_by``; the newest where the yaml is not there.
    """
    results = Path(results)
    folder, selected_by = pick_checkpoint(results, checkpoint)
    card = _read_card(folder)
    try:
        setup = tasks.Setup(
            card.get("task", tasks.DEFAULT),
            SignalSettings.from_dict(card["signal"]),
            card.get("features", {}),
            tuple(card.get("class_names", ())),
        )
        dotted = current_names(card["model_class"])
        arguments = card["model_arguments"]
    except KeyError as error:
        raise UserError(f"{folder / _CARD}: lacks {error}") from None
    yaml = _hyperparams(folder)
    with _importable(_code_folders(folder, yaml)):
        if arguments is None:
            model = _from_yaml(folder, yaml, dotted)
        else:
            model = _from_card(folder, dotted, arguments)
    weights = folder / _WEIGHTS
    load_weights(model, weights)
    info = CheckpointInfo(
        folder, _read_meta(folder), selected_by, dotted, card.get("versions")
    )
    return LoadedModel(model.eval(), setup.signal, sha256(weights), info, setup)


def load_weights(model: nn.Module, path: str | Path) -> None:
    """Load a state dict from a file."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, pickle.UnpicklingError, EOFError) as error:
        raise UserError(f"{path}: cannot be read as weights: {error}") from None
    if not isinstance(state, dict):
        raise UserError(f"{path}: holds no state dict")
    ours = model.state_dict()
    problems = [f"{n}: not in the model" for n in state if n not in ours]
    for name, value in ours.items():
        if name not in state:
            problems.append(f"{name}: not in the file")
        elif state[name].shape != value.shape:
            there, here = tuple(state[name].shape), tuple(value.shape)
            problems.append(f"{name}: shape {there} there, {here} here")
    if problems:
        raise UserError.collect(f"{path}: weights of another model", problems)
    model.load_state_dict(state)


def pick_checkpoint(
    results: Path, checkpoint: str | Path | None = None
) -> tuple[Path, str | None]:
    """Return the folder of the wanted checkpoint and what picked it."""
    if checkpoint is None and (results / _WEIGHTS).is_file():
        return results, None
    found = _checkpoints(results)
    if checkpoint is not None:
        for folder in (Path(checkpoint), *found):
            named = folder.name == str(checkpoint) or folder == Path(checkpoint)
            if named and (folder / _WEIGHTS).is_file():
                return folder, None
        raise unknown_name(
            "checkpoint", str(checkpoint), [f.name for f in found]
        )
    if not found:
        raise UserError(
            f"{results}: no checkpoint there; train first, or give the folder "
            "results/<name>/<seed> of a training"
        )
    metas = {folder: _read_meta(folder) for folder in found}
    yaml = _hyperparams(found[0])
    key = None if yaml is None else _read_tree(yaml).get("select_by")
    if key is None:
        newest = max(found, key=lambda f: metas[f].get("unixtime", 0))
        return newest, None
    task = tasks.find(_read_card(found[0]).get("task", tasks.DEFAULT))
    sign = 1 if tasks.higher_is_better(task, key) else -1
    ranks = {
        folder: (sign * value, meta.get("unixtime", 0))
        for folder, meta in metas.items()
        if isinstance(value := meta.get(key), int | float)
        and math.isfinite(value)
    }
    if not ranks:
        raise UserError(
            f"{results}: none of its {len(found)} checkpoints has a finite "
            f"{key}; name one with --checkpoint"
        )
    return max(ranks, key=ranks.get), key


def _checkpoints(results: Path) -> list[Path]:
    for folder in (results / "save", results):
        found = sorted(folder.glob("CKPT*"))
        found = [f for f in found if (f / _WEIGHTS).is_file()]
        if found:
            return found
    return []


def _read_meta(folder: Path) -> dict:
    file = folder / "CKPT.yaml"
    if not file.is_file():
        return {}
    return YAML(typ="safe").load(file.read_text(encoding="utf-8")) or {}


def _read_card(folder: Path) -> dict:
    file = folder / _CARD
    if not file.is_file():
        raise UserError(
            f"{folder}: has no {_CARD}, so nothing says which network its "
            "weights belong to; it was not written by train.py"
        )
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{file}: is not whole JSON: {error}") from None


def _hyperparams(checkpoint: Path) -> Path | None:
    """Return the yaml of a training, two folders above its checkpoints."""
    for folder in checkpoint.absolute().parents[:2]:
        if (folder / "hyperparams.yaml").is_file():
            return folder / "hyperparams.yaml"
    return None


def _read_tree(yaml: Path):
    try:
        return YAML().load(current_names(yaml.read_text(encoding="utf-8")))
    except YAMLError as error:
        raise UserError(f"{yaml}: not valid yaml: {error}") from None


def _code_folders(checkpoint: Path, yaml: Path | None) -> list[str]:
    """Return where a person's own classes may lie."""
    folders = []
    if yaml is not None:
        # SpeechBrain notes the original's path in the second line.
        with yaml.open(encoding="utf-8") as stream:
            head = [next(stream, "") for _ in range(2)]
        original = re.fullmatch(r"# (.+\.ya?ml)\s*", head[1])
        if original:
            folders.append(Path(original[1]).parent)
        folders.append(yaml.parent)
    folders += [Path.cwd(), Path(edgebrain.__file__).parents[1]]
    return [str(f) for f in folders if f.is_dir()]


@contextmanager
def _importable(folders: list[str]) -> Iterator[None]:
    before = list(sys.path)
    sys.path += folders
    try:
        yield
    finally:
        sys.path[:] = before


def _from_card(checkpoint: Path, dotted: str, arguments: dict) -> nn.Module:
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
            f"{checkpoint}: its network is {dotted}, but {module.__file__} "
            f"has no {class_name}"
        )
    try:
        return target(**arguments)
    except TypeError as error:
        raise UserError(
            f"{checkpoint}: {dotted} does not take the arguments it was "
            f"trained with ({error})"
        ) from None


def _from_yaml(checkpoint: Path, yaml: Path | None, dotted: str) -> nn.Module:
    """Build a network that keeps no record of its arguments."""
    from hyperpyyaml import load_hyperpyyaml

    node = None
    if yaml is not None:
        modules = _read_tree(yaml).get("modules") or {}
        node = modules.get("model")
    if node is None:
        raise UserError(
            f"{checkpoint}: {dotted} keeps no record of its arguments and "
            "there is no hyperparams.yaml with modules: model: derive it from "
            "edgebrain.models.MaskModel and train again"
        )
    text = io.StringIO()
    YAML().dump({"model": node}, text)
    try:
        return load_hyperpyyaml(text.getvalue())["model"]
    except (TypeError, ValueError, ImportError) as error:
        reason = error.__cause__ or error
        raise UserError(f"{yaml}: cannot build the model: {reason}") from error
