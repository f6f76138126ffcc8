"""Load a trained event network in any form."""

from pathlib import Path

from edgebrain import trained_models
from edgebrain.events.base import Detector
from edgebrain.events.c_library import Library, LibraryDetector
import numpy as np

#: Patches that PyTorch is given at once.
_BATCH = 32


class TorchForm:
    """The PyTorch form of an event network.

    Arguments
    ---------
    loaded : edgebrain.training.results.LoadedModel
    """

    form, precision = "torch", "float32"

    def __init__(self, loaded) -> None:
        self._model = loaded.model
        self.setup, self.facts = loaded.setup, loaded.facts

    def __call__(self, patches: np.ndarray) -> np.ndarray:
        """Return the logits (n, classes) of patches (n, mels, frames)."""
        import torch

        parts = torch.from_numpy(patches).split(_BATCH)
        with torch.inference_mode():
            return torch.cat([self._model(p) for p in parts]).numpy()


class OnnxForm:
    """An ONNX file that takes a patch, or the next frames of a stream.

    Arguments
    ---------
    runner : edgebrain.onnx.runner.OnnxRunner
    """

    def __init__(self, runner) -> None:
        self.runner, self.setup = runner, runner.setup
        self.form, self.precision = runner.form, runner.precision
        self.facts = runner.facts

    def __call__(self, patches: np.ndarray) -> np.ndarray:
        """Return the logits (n, classes) of patches (n, mels, frames).

        The stream form is shown the frames that the patch form judges, in
        front of them what fills up the first step.
        """
        if self.form == "stream":
            field = self.runner.metadata.receptive_field_frames
            front = -field % self.runner.frames
            fed = np.pad(patches[..., :field], ((0, 0), (0, 0), (front, 0)))
            return np.stack([self.runner.run(p)[:, -1] for p in fed])
        return np.stack(
            [self.runner.call_padded(patch)[:, 0] for patch in patches]
        )


def load_detector(
    path: Path | str,
    form: str | None = None,
    precision: str | None = None,
    **settings,
) -> Detector:
    """Load any form of a trained event network.

    Arguments
    ---------
    path : Path or str
        An ONNX file; a results folder (PyTorch, its best checkpoint); a
        folder of ONNX files such as ``models/<name>``; a shared library made
        in a folder of deploy/c_engine.py.
    form : str, optional
        "torch", "patch", "stream" or "c". Left out: PyTorch for a results
        folder, else the patch form.
    precision : str, optional
        "float32", "int16x8" or "int8"; left out: the first that is there.
    **settings
        ``threads`` of an ONNX file.

    Raises
    ------
    UserError
        Nothing there that can be run, or no event network.
    """
    what, forms = (path, form, precision, settings), ("patch", "stream")
    return trained_models.load(*what, "events", forms, Library, _detector)


def _detector(kind: str, network, place: Path) -> Detector:
    if kind == "c":
        return LibraryDetector(network, place)
    form = OnnxForm if kind == "onnx" else TorchForm
    return Detector(form(network), place)
