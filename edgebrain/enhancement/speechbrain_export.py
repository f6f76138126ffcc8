"""Write a trained network as a folder that SpeechBrain alone can load.

    from speechbrain.inference.enhancement import SpectralMaskEnhancement
    enhancer = SpectralMaskEnhancement.from_hparams(
        source="FOLDER", hparams_file="inference.yaml")
    enhancer.enhance_file("noisy.wav", "enhanced.wav")

The network, of any class, is a TorchScript file: neither its source nor this
package is needed. What stands between it and SpeechBrain's log1p masks is the
text of speechbrain_adapter.py inside inference.yaml, since from_hparams finds
no module beside that file. The folder can be moved, renamed or uploaded.
"""

from dataclasses import dataclass
import hashlib
import json
import os
from pathlib import Path
import re
import secrets
import shutil
import textwrap

import edgebrain
from edgebrain.enhancement.torchscript import save_torchscript
from edgebrain.errors import UserError
from edgebrain.signal import (
    SignalSettings,
    istft,
    magnitude,
    peak_gain,
    stft,
)
from edgebrain.signal.probe import speech_like
from edgebrain.training.results import LoadedModel
import torch
from torch import Tensor

YAML = "inference.yaml"
WEIGHTS = "enhance_model.ckpt"
README = "README.md"
#: Largest difference of a sample from the network's own enhancement.
TOLERANCE = 1e-4

_ADAPTER = Path(__file__).with_name("speechbrain_adapter.py")
_WINDOWS = {
    "hann": "torch.hann_window",
    "hamming": "torch.hamming_window",
    "sqrt_hann": "{module}.sqrt_hann",
}
_MARK = "checkpoint_sha256"


@dataclass(frozen=True)
class SpeechBrainExport:
    """An exported folder and how well it agrees.

    Attributes
    ----------
    folder : Path
    difference : float
        Largest difference of an enhanced sample from the network's own.
    size : int
        Bytes of the network's file.
    """

    folder: Path
    difference: float
    size: int


def check_signal(settings: SignalSettings) -> None:
    """Refuse what SpeechBrain's STFT cannot express.

    Raises
    ------
    UserError
        The frames are not centred.
    """
    if not settings.center:
        raise UserError(
            "signal: center is False: SpeechBrain's ISTFT needs centred "
            "frames (it divides by the first window's zero); train with "
            "center: True, or take an ONNX form (export_onnx.py)"
        )


def check_folder(folder: str | Path, sha256: str, overwrite: bool) -> None:
    """Refuse to replace what should stay.

    An export of the same checkpoint may be replaced, one of another with
    ``overwrite``, and a folder that is no such export never.

    Arguments
    ---------
    folder : str or Path
    sha256 : str
        Of the checkpoint to be exported.
    overwrite : bool

    Raises
    ------
    UserError
        Says why.
    """
    folder = Path(folder)
    if not folder.exists():
        return
    if not folder.is_dir():
        raise UserError(f"{folder}: is a file; name a folder")
    names = {path.name for path in folder.iterdir()}
    if not names:
        return
    yaml = folder / YAML
    text = yaml.read_text(encoding="utf-8") if yaml.is_file() else ""
    found = re.search(rf"^{_MARK}: ([0-9a-f]*)$", text, re.MULTILINE)
    others = sorted(names - {YAML, WEIGHTS, README})
    if not found or others:
        what = f"holds {others[0]}" if others else f"has no {YAML} of ours"
        raise UserError(
            f"{folder}: is not (only) an export for SpeechBrain, it {what}; "
            "it is not replaced: give another --output_folder"
        )
    if found[1] != sha256 and not overwrite:
        raise UserError(
            f"{folder}: holds another checkpoint; give --overwrite to "
            "replace it, or another --output_folder"
        )


def export_speechbrain(
    loaded: LoadedModel, folder: str | Path, overwrite: bool = False
) -> SpeechBrainExport:
    """Write the folder, load it with SpeechBrain, compare, then name it.

    Arguments
    ---------
    loaded : LoadedModel
    folder : str or Path
    overwrite : bool
        Replace an export of another checkpoint.

    Returns
    -------
    SpeechBrainExport

    Raises
    ------
    UserError
        For settings that SpeechBrain cannot express, a folder that must
        stay, a network that cannot be written, or an export that differs.
        Then nothing is left there, and an older export stays.
    """
    folder = Path(folder).absolute()
    check_signal(loaded.settings)
    check_folder(folder, loaded.sha256, overwrite)
    folder.parent.mkdir(parents=True, exist_ok=True)
    mark = secrets.token_hex(4)
    work = folder.with_name(f".{folder.name}-{mark}-unfinished")
    old = folder.with_name(f".{folder.name}-{mark}-old")
    try:
        work.mkdir()
        save_torchscript(loaded.model, loaded.settings.bins, work / WEIGHTS)
        yaml = inference_yaml(loaded)
        (work / YAML).write_text(yaml, encoding="utf-8")
        (work / README).write_text(_readme(loaded), encoding="utf-8")
        difference = compare(loaded, work)
        if not difference <= TOLERANCE:
            raise UserError(
                f"{folder}: what SpeechBrain enhances differs by "
                f"{difference:.2g} (allowed {TOLERANCE:g}) from "
                f"{loaded.info.checkpoint}; nothing is written"
            )
        if folder.exists():
            os.replace(folder, old)
        os.replace(work, folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
    size = (folder / WEIGHTS).stat().st_size
    return SpeechBrainExport(folder, difference, size)


def compare(loaded: LoadedModel, folder: str | Path) -> float:
    """Return how far SpeechBrain's enhancement is from the network's own.

    Arguments
    ---------
    loaded : LoadedModel
    folder : str or Path
        An export of it.

    Returns
    -------
    float
        The largest difference of a sample of a speech-like signal with a
        peak of 0.5, alone and two at a time; infinite if one is NaN.
    """
    from speechbrain.inference.enhancement import SpectralMaskEnhancement

    enhancer = SpectralMaskEnhancement.from_hparams(
        source=str(folder), hparams_file=YAML
    )
    rate = loaded.settings.sample_rate
    voice = torch.from_numpy(speech_like(1.51, rate))
    worst = 0.0
    for noisy, lengths in (
        (voice[None], None),
        (voice[None, : rate // 2 + 7], torch.ones(1)),
        (torch.stack([voice, 0.1 * voice.flip(0)]), torch.ones(2)),
    ):
        with torch.no_grad():
            got = enhancer.enhance_batch(noisy, lengths=lengths)
            wanted = _enhance(loaded, noisy)
        difference = float((got - wanted).abs().max())
        worst = max(worst, difference) if difference >= 0 else float("inf")
    return worst


def _enhance(loaded: LoadedModel, noisy: Tensor) -> Tensor:
    """Return the enhanced signals of (batch, samples)."""
    settings = loaded.settings
    gain = peak_gain(noisy) if settings.peak_normalize else 1.0
    spec = stft(noisy * gain, settings)
    mask = loaded.model(magnitude(spec, settings))
    return istft(spec * mask, settings, noisy.shape[-1]) / gain


def inference_yaml(loaded: LoadedModel) -> str:
    """Return the text of inference.yaml.

    Arguments
    ---------
    loaded : LoadedModel
    """
    signal, source = loaded.settings, _ADAPTER.read_text(encoding="utf-8")
    # A name that tells versions apart: two exports can be loaded at once.
    digest = hashlib.sha256(source.encode()).hexdigest()[:12]
    module = f"mask_adapter_{digest}"
    milliseconds = 1000 / signal.sample_rate
    window = _WINDOWS[signal.window].format(module=module)
    return f"""\
# A trained speech enhancement network, to be loaded with SpeechBrain:
# see README.md beside this file.

sample_rate: {signal.sample_rate}
model_class: {json.dumps(loaded.info.model_class)}
{_MARK}: {loaded.sha256}
edgebrain_version: {json.dumps(edgebrain.__version__)}

# from_hparams finds no module beside this file: the source of the adapter
# between the network and SpeechBrain's log1p masks is here.
adapter_module: !new:types.ModuleType
    - {module}
adapter_source: !apply:builtins.exec
    - |
{textwrap.indent(source, " " * 8)}
    - !apply:builtins.vars [!ref <adapter_module>]
adapter_import: !apply:sys.modules.__setitem__
    - {module}
    - !ref <adapter_module>

win_length: {signal.win_length * milliseconds!r}  # ms
hop_length: {signal.hop_length * milliseconds!r}  # ms
n_fft: {signal.n_fft}
compute_stft: !new:{module}.Analysis
    sample_rate: !ref <sample_rate>
    win_length: !ref <win_length>
    hop_length: !ref <hop_length>
    n_fft: !ref <n_fft>
    window_fn: !name:{window}
    whole_hops: {signal.appends_frame}
    peak_normalize: {signal.peak_normalize}
compute_istft: !new:speechbrain.processing.features.ISTFT
    sample_rate: !ref <sample_rate>
    win_length: !ref <win_length>
    hop_length: !ref <hop_length>
    n_fft: !ref <n_fft>
    window_fn: !name:{window}
spectral_magnitude: !name:speechbrain.processing.features.spectral_magnitude
    power: 0.5
    eps: 0.0  # digital silence stays zero, as it was in training
resynth: !name:{module}.resynthesize
    stft: !ref <compute_stft>
    istft: !ref <compute_istft>
audio_normalizer: !new:speechbrain.dataio.preprocess.AudioNormalizer
    sample_rate: !ref <sample_rate>

enhance_model: !new:{module}.MaskAdapter
    power: {signal.power!r}
modules:
    enhance_model: !ref <enhance_model>
pretrainer: !new:speechbrain.utils.parameter_transfer.Pretrainer
    loadables:
        enhance_model: !ref <enhance_model>
    custom_hooks:
        enhance_model: !name:{module}.load_network
"""


def _readme(loaded: LoadedModel) -> str:
    """Return what the folder says to its user."""
    signal, info = loaded.settings, loaded.info
    return f"""\
# Speech enhancement

{info.model_class.rpartition(".")[2]}, {signal.sample_rate} Hz, from
checkpoint {info.line()}. It loads with SpeechBrain alone:

```python
from speechbrain.inference.enhancement import SpectralMaskEnhancement

enhancer = SpectralMaskEnhancement.from_hparams(
    source="THIS_FOLDER", hparams_file="inference.yaml"
)
enhancer.enhance_file("noisy.wav", "enhanced.wav")
```

{WEIGHTS} is TorchScript, so `jit` and `compile` of `run_opts` are of no use.
A batch of signals of different lengths is heard with silence after each end.

Where `import speechbrain` fails with an OSError on a library of torchaudio
(its wheels link CUDA, and torch is a CPU build), run this first:

```python
import sys
from types import ModuleType

extension = ModuleType("torchaudio._extension")
extension.__path__ = []
extension._IS_TORCHAUDIO_EXT_AVAILABLE = False
extension._IS_ALIGN_AVAILABLE = False
extension.lazy_import_sox_ext = None
extension.fail_if_no_align = lambda function: function
extension._check_cuda_version = lambda: None
sys.modules["torchaudio._extension"] = extension
```
"""
