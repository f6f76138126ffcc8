"""Write a trained network as a folder that SpeechBrain alone can load.

The network, of any class, is a TorchScript file: neither its source nor this
package is needed. speechbrain_adapter.py goes with it as enhancer.py. The
folder can be moved, renamed or uploaded.
"""

import json
from pathlib import Path
import sys
import warnings

from edgebrain.enhancement import speechbrain_adapter
from edgebrain.errors import UserError
from edgebrain.files import whole_folder
from edgebrain.signal import istft, magnitude, peak_gain, stft
from edgebrain.signal.probe import speech_like
from edgebrain.training.results import LoadedModel
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

YAML = "inference.yaml"
#: Largest difference of a sample from the network's own enhancement.
TOLERANCE = 1e-4
_OBJECTS = """
compute_stft: !new:types.SimpleNamespace  # asked by enhance_file
    sample_rate: !ref <sample_rate>
enhance_model: !new:edgebrain_adapter.Network
modules:
    enhance_model: !ref <enhance_model>
audio_normalizer: !new:speechbrain.dataio.preprocess.AudioNormalizer
    sample_rate: !ref <sample_rate>
pretrainer: !new:speechbrain.utils.parameter_transfer.Pretrainer
    loadables:
        network: !ref <enhance_model>
"""
_README = """\
# Speech enhancement

{name}, {rate} Hz, from checkpoint {checkpoint}. It loads with SpeechBrain:

```python
from speechbrain.inference.interfaces import foreign_class

enhancer = foreign_class(
    source="THIS_FOLDER",
    hparams_file="inference.yaml",
    pymodule_file="enhancer.py",
    classname="MaskEnhancement",
)
enhancer.enhance_file("noisy.wav", "enhanced.wav")
```

Where `import speechbrain` fails with an OSError on a library of torchaudio
(its wheels link CUDA, and torch is a CPU build), delete `torchaudio/lib/*.so`.
"""


def export_speechbrain(loaded: LoadedModel, folder: str | Path) -> float:
    """Write the folder, load it with SpeechBrain, compare, then name it.

    Returns the largest difference of an enhanced sample from the network's
    own. For frames that are not centred, a network that cannot be TorchScript
    and a folder that must stay (see :func:`edgebrain.files.whole_folder`) it
    raises UserError and writes nothing.
    """
    signal, folder = loaded.settings, Path(folder)
    if not signal.center:
        raise UserError(
            "signal: center is False: torch.istft needs centred frames; train "
            "with center: True, or take an ONNX form (export_onnx.py)"
        )
    with whole_folder(folder, YAML) as new:
        texts = {
            YAML: inference_yaml(loaded),
            "enhancer.py": Path(speechbrain_adapter.__file__).read_text(),
            "README.md": _README.format(
                name=loaded.info.model_class.rpartition(".")[2],
                rate=signal.sample_rate,
                checkpoint=loaded.info.line(),
            ),
        }
        for name, text in texts.items():
            (new / name).write_text(text, encoding="utf-8")
        script = torchscript(loaded.model, signal.bins)
        torch.jit.save(script, str(new / "network.ckpt"))
        difference = compare(loaded, new)
        if not difference <= TOLERANCE:
            raise UserError(
                f"{folder}: loaded with SpeechBrain the network differs by "
                f"{difference:.2g} from PyTorch: nothing is written"
            )
    return difference


class _ZerosFollow(TorchFunctionMode):
    """Have ``torch.zeros``, as first states of an LSTM, follow a weight.

    A recording would keep their device, the CPU, as a constant.
    """

    def __init__(self, weight: Tensor):
        super().__init__()
        self.weight = weight

    def __torch_function__(self, func, types, args=(), kwargs=None):
        """Call a function of torch."""
        made = func(*args, **(kwargs or {}))
        if func is not torch.zeros or made.dtype != torch.float32:
            return made
        shape = args[0] if isinstance(args[0], tuple | list) else args
        return (0 * self.weight.flatten()[:1]).expand(*shape).clone()


def _trace(model: nn.Module, magnitude: Tensor):
    with _ZerosFollow(next(model.parameters(), magnitude)):
        return torch.jit.trace(model, magnitude, check_trace=False)


def torchscript(model: nn.Module, bins: int) -> torch.jit.ScriptModule:
    """Return a network on the CPU, in evaluation mode, as TorchScript.

    Its calls are recorded or, where that does not hold for other numbers of
    frames because ``forward`` loops on them, its source is compiled. Raises
    UserError when neither way gives the masks of the network.
    """
    shapes = ((2, 24), (1, 1), (1, 2), (3, 37), (1, 160))
    probes = [torch.rand(b, bins, f) for b, f in shapes]
    problems = []
    for make in (lambda m: _trace(m, probes[0]), torch.jit.script):
        try:
            with warnings.catch_warnings(), torch.no_grad():
                # What a recording leaves out is found by comparing.
                warnings.simplefilter("ignore")
                made = make(model)
                for x in probes:
                    torch.testing.assert_close(
                        made(x), model(x), rtol=0, atol=1e-5
                    )
            return made
        except Exception as error:  # a network's own code may raise anything
            problems.append(str(error).strip().partition("\n")[0])
    raise UserError.collect(
        f"{type(model).__name__} cannot be written as TorchScript: write its "
        "forward in tensor operations, without loops on the frames",
        problems,
    )


def compare(loaded: LoadedModel, folder: Path) -> float:
    """Return how far a sample of SpeechBrain's is from the network's own."""
    from speechbrain.inference.interfaces import foreign_class

    enhancer = foreign_class(
        source=str(folder),
        hparams_file=YAML,
        pymodule_file="enhancer.py",
        classname="MaskEnhancement",
    )
    sys.path.remove(str(folder))  # where foreign_class puts it
    signal, differences = loaded.settings, []
    voice = torch.from_numpy(speech_like(1.51, signal.sample_rate))
    for noisy in (voice[None], torch.stack([voice, 0.1 * voice.flip(0)])):
        gain = peak_gain(noisy) if signal.peak_normalize else 1.0
        spec = stft(noisy * gain, signal)
        with torch.no_grad():
            mask = loaded.model(magnitude(spec, signal))
            got = enhancer.enhance_batch(noisy, torch.ones(len(noisy)))
        wanted = istft(spec * mask, signal, noisy.shape[-1]) / gain
        differences.append((got - wanted).abs().max())
    return float(torch.stack(differences).max())


def inference_yaml(loaded: LoadedModel) -> str:
    """Return the text of inference.yaml."""
    signal = loaded.settings
    numbers = signal.to_dict() | {
        "whole_hops": signal.appends_frame,  # zeros up to a multiple of them
        "checkpoint_sha256": loaded.sha256,
    }
    lines = [f"{key}: {json.dumps(value)}" for key, value in numbers.items()]
    return "\n".join([*lines, _OBJECTS])
