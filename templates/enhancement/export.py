"""Write a trained network as a folder that SpeechBrain alone can load.

``speechbrain.inference.interfaces.foreign_class(source=FOLDER,
hparams_file="inference.yaml", pymodule_file="custom_model.py",
classname="SpectralMaskEnhancement")`` loads it. The folder can be moved,
renamed or uploaded as it is.
"""

import os
from pathlib import Path
import shutil

from helpers import UserError
from ruamel.yaml import YAML
from ruamel.yaml.tag import Tag
import torch

_MODEL_FILE = Path(__file__).with_name("custom_model.py")
_KEPT = """sample_rate model modules compute_stft compute_istft resynth
spectral_magnitude audio_normalizer pretrainer""".split()
_APPENDED = """

# Added by the export. foreign_class takes the class from this file, which it
# runs without giving it a name, so that inference.yaml could find another
# custom_model first: it knows the network by the name given here.
import sys  # noqa: E402
from types import SimpleNamespace  # noqa: E402

from speechbrain.inference.enhancement import (  # noqa: E402, F401
    SpectralMaskEnhancement,
)

sys.modules["exported_custom_model"] = SimpleNamespace(**globals())
"""


def export_model(model, hparams_text, folder):
    """Write the folder: inference.yaml, enhance_model.ckpt, custom_model.py.

    Arguments
    ---------
    model : torch.nn.Module
        The trained network, possibly wrapped by DDP or torch.compile.
    hparams_text : str
        The hyperparameters of the training, all references resolved.
    folder : pathlib.Path
        Replaced when it exists.
    """
    yaml = YAML()
    tree = yaml.load(hparams_text)
    for key in set(tree) - set(_KEPT):
        del tree[key]
    given = str(tree["model"].tag.value)
    if given.startswith("!new:custom_model."):
        name = given.replace(":", ":exported_", 1)
        tree["model"].yaml_set_ctag(Tag(suffix=name))
    elif not given.startswith(("!new:speechbrain.", "!new:torch.")):
        raise UserError(
            f"model: {given} cannot be exported: define the network in "
            f"{_MODEL_FILE.name} or take it from SpeechBrain or torch"
        )
    work = folder.with_name(f".{folder.name}-unfinished")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    yaml.dump(tree, work / "inference.yaml")
    source = _MODEL_FILE.read_text(encoding="utf-8") + _APPENDED
    (work / _MODEL_FILE.name).write_text(source, encoding="utf-8")
    weights = {
        key.removeprefix("_orig_mod."): value.detach().cpu()
        for key, value in getattr(model, "module", model).state_dict().items()
    }
    torch.save(weights, work / "enhance_model.ckpt")
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(work, folder)
