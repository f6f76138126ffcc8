"""Write a trained network as a folder that SpeechBrain alone can load.

``SpectralMaskEnhancement.from_hparams(source=FOLDER,
hparams_file="inference.yaml")`` builds the network from the yaml file, and
yaml files refer to classes by an import path. from_hparams does not put the
folder on that path, so a ``custom_model.py`` beside the yaml file would not
be found. The source of the network therefore travels inside inference.yaml
and is made a module when the file is loaded. The folder can be moved, renamed
or uploaded as it is.
"""

import hashlib
import os
from pathlib import Path
import shutil

from errors import UserError
import guard_torchaudio  # noqa: F401
from hyperpyyaml import resolve_references
from ruamel.yaml import YAML
from ruamel.yaml.scalarstring import LiteralScalarString
from ruamel.yaml.tag import Tag
import torch

HERE = Path(__file__).parent
MODEL_FILE = "custom_model.py"
_COPIED = ("sample_rate", "model", "compute_stft", "compute_istft")


def export_model(model, hparams_text, folder):
    """Write the folder: inference.yaml, enhance_model.ckpt, custom_model.py.

    Arguments
    ---------
    model : torch.nn.Module
        The trained network, possibly wrapped by DDP or torch.compile.
    hparams_text : str
        The resolved hyperparameters of the training (hyperparams.yaml).
    folder : str or pathlib.Path
        Replaced when it exists.

    Returns
    -------
    pathlib.Path
        The folder.
    """
    folder = Path(folder)
    work = folder.with_name(f".{folder.name}-unfinished")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    source = (HERE / MODEL_FILE).read_text(encoding="utf-8")
    (work / MODEL_FILE).write_text(source, encoding="utf-8")
    with open(work / "inference.yaml", "w", encoding="utf-8") as file:
        YAML().dump(_inference_tree(hparams_text, source), file)
    weights = getattr(model, "module", model).state_dict()
    weights = {
        key.removeprefix("_orig_mod."): value.detach().cpu()
        for key, value in weights.items()
    }
    torch.save(weights, work / "enhance_model.ckpt")
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(work, folder)
    return folder


def _inference_tree(hparams_text, source):
    """Return inference.yaml with everything filled in."""
    yaml = YAML()
    trained = yaml.load(hparams_text)
    tree = yaml.load((HERE / "inference.yaml").read_text(encoding="utf-8"))
    for key in _COPIED:
        tree[key] = _without_comments(trained[key])
    # A name that tells versions apart: two exports can be loaded at once.
    digest = hashlib.sha256(source.encode()).hexdigest()[:12]
    module = f"{Path(MODEL_FILE).stem}_{digest}"
    tag = f"!new:{Path(MODEL_FILE).stem}."
    given = str(tree["model"].tag.value)
    if given.startswith(tag):
        tree["model"].yaml_set_ctag(
            Tag(suffix=f"!new:{module}.{given[len(tag) :]}")
        )
    elif not given.startswith(("!new:speechbrain.", "!new:torch.")):
        raise UserError(
            f"model: {given} cannot be exported: define the network in "
            f"{MODEL_FILE} or take it from SpeechBrain or torch"
        )
    tree["network_module"][0] = module
    tree["network_source"][0] = LiteralScalarString(source)
    tree["network_import"][0] = module
    return tree


def _without_comments(node):
    """Drop the comments of the training's file, which end up out of place."""
    if hasattr(node, "ca"):
        node.ca.items.clear()
        node.ca.comment = None
        for child in node.values() if hasattr(node, "values") else node:
            _without_comments(child)
    return node


def resolved_hparams(hparams_file, overrides):
    """Return the text of a hyperparameter file with overrides and references.

    Arguments
    ---------
    hparams_file : str
        The yaml file.
    overrides : str
        Yaml text of the command line.

    Returns
    -------
    str
    """
    with open(hparams_file, encoding="utf-8") as file:
        return resolve_references(file, overrides).read()
