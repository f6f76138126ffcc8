"""Write a trained network as a folder that SpeechBrain alone can load.

The network, of any class, is a TorchScript file: neither its source nor this
package is needed. With it go the files of speechbrain_folder/. The folder can
be moved, renamed or uploaded.
"""

from functools import partial
from importlib import resources
import json
from pathlib import Path
import sys
from unittest.mock import patch
import warnings

from edgebrain.errors import UserError
from edgebrain.files import whole_folder
from edgebrain.signal import istft, magnitude, peak_gain, stft
from edgebrain.signal.probe import speech_like
from edgebrain.training.results import LoadedModel
import torch
from torch import nn

YAML = "inference.yaml"
#: Largest difference of a sample from the network's own enhancement.
TOLERANCE = 1e-4
#: What the folder holds besides the network; the README with places to fill.
_FOLDER = resources.files(__package__) / "speechbrain_folder"


def export_speechbrain(loaded: LoadedModel, folder: str | Path) -> float:
    """Write the folder, load it with SpeechBrain, compare, then name it.

    The network's calls are recorded or, where that does not hold for other
    numbers of frames because ``forward`` loops on them, its source is
    compiled. Returns the largest difference of an enhanced sample from the
    network's own. For frames that are not centred, a network that neither way
    is right for, and a folder that must stay (see
    :func:`edgebrain.files.whole_folder`) it raises UserError and writes
    nothing.
    """
    signal, model, problems = loaded.settings, loaded.model, []
    if not signal.center:
        raise UserError(
            "signal: center is False: torch.istft needs centred frames; train "
            "with center: True, or take an ONNX form (export_onnx.py)"
        )
    numbers = signal.to_dict() | {
        "whole_hops": signal.appends_frame,  # zeros up to a multiple of them
        "checkpoint_sha256": loaded.sha256,
    }
    names = (YAML, "enhancer.py", "README.md")
    texts = {name: (_FOLDER / name).read_text("utf-8") for name in names}
    lines = [f"{key}: {json.dumps(value)}" for key, value in numbers.items()]
    texts[YAML] = "\n".join([*lines, texts[YAML]])
    texts["README.md"] = texts["README.md"].format(
        name=loaded.info.model_class.rpartition(".")[2],
        rate=signal.sample_rate,
        checkpoint=loaded.info.line(),
    )
    with whole_folder(folder, YAML) as new, warnings.catch_warnings():
        # What a recording leaves out is found by comparing.
        warnings.simplefilter("ignore")
        for name, text in texts.items():
            (new / name).write_text(text, encoding="utf-8")
        for make in (partial(_record, bins=signal.bins), torch.jit.script):
            try:
                torch.jit.save(make(model), str(new / "network.ckpt"))
                difference = compare(loaded, new)
            except Exception as error:  # a network's own code may raise any
                problems.append(str(error).strip().partition("\n")[0])
                continue
            if difference <= TOLERANCE:
                return difference
            problems.append(f"differs by {difference:.2g} from PyTorch")
        raise UserError.collect(
            f"{type(model).__name__} cannot be written as TorchScript, so "
            "nothing is written: write its forward in tensor operations, "
            "without loops on the frames",
            problems,
        )


def _record(model: nn.Module, bins: int) -> torch.jit.ScriptModule:
    """Record the calls of a network, in which zeros follow a weight.

    Those are the first states of an LSTM: else their device, the CPU, would
    be a constant.
    """
    magnitude, zeros = torch.rand(2, bins, 24), torch.zeros
    weight = next(model.parameters(), magnitude)

    def following(*shape, **options):
        if options.get("dtype") not in (None, torch.float32):
            return zeros(*shape, **options)
        sizes = shape[0] if isinstance(shape[0], tuple | list) else shape
        return (0 * weight.flatten()[:1]).expand(*sizes).clone()

    with torch.no_grad(), patch.object(torch, "zeros", following):
        return torch.jit.trace(model, magnitude, check_trace=False)


def compare(loaded: LoadedModel, folder: Path) -> float:
    """Return how far a sample of SpeechBrain's is from the network's own."""
    from speechbrain.inference.interfaces import foreign_class

    # Compiled code of this Python is no part of what is written.
    with patch.object(sys, "dont_write_bytecode", True):
        enhancer = foreign_class(
            source=str(folder),
            hparams_file=YAML,
            pymodule_file="enhancer.py",
            classname="MaskEnhancement",
        )
    sys.path.remove(str(folder))  # where foreign_class puts it
    signal, differences = loaded.settings, []
    voice = torch.from_numpy(speech_like(1.51, signal.sample_rate))[None]
    two = torch.cat([voice, 0.1 * voice.flip(1)])
    for noisy in (voice, two, voice[:, : signal.hop_length]):
        gain = peak_gain(noisy) if signal.peak_normalize else 1.0
        spec = stft(noisy * gain, signal)
        with torch.no_grad():
            mask = loaded.model(magnitude(spec, signal))
            got = enhancer.enhance_batch(noisy, torch.ones(len(noisy)))
        wanted = istft(spec * mask, signal, noisy.shape[-1]) / gain
        differences.append((got - wanted).abs().max())
    return float(torch.stack(differences).max())
