"""Run a PyTorch network as an ONNX runner is run."""

from edgebrain.enhancement.forms.chunks import ChunkedMask, context_of
from edgebrain.models import model_traits
from edgebrain.training.results import LoadedModel
import numpy as np
import torch


class TorchRunner:
    """The PyTorch form of a trained network.

    Arguments
    ---------
    loaded : LoadedModel
    """

    form = "torch"
    precision = "float32"

    def __init__(self, loaded: LoadedModel) -> None:
        self.loaded = loaded
        self.signal = loaded.settings
        self._model = loaded.model
        self._traits = model_traits(loaded.model)

    def mask(self, magnitude: np.ndarray) -> np.ndarray:
        """Return the mask of a whole clip; both (bins, frames) float32."""
        tensor = torch.from_numpy(np.ascontiguousarray(magnitude, np.float32))
        with torch.inference_mode():
            return self._model(tensor[None])[0].numpy()

    def streamer(self):
        """Return a fresh ``mask_frames`` for a StreamingMasker.

        Of a network with ``step`` it goes frame by frame; of another one in
        blocks, with the receptive field as context.
        """
        if self._traits.streaming:
            late = self._traits.lookahead_frames
            return TorchSteps(self._model, self.signal.bins, late)
        left, right, exact = context_of(
            self._traits.receptive_field_frames,
            self._traits.lookahead_frames,
            self._traits.causal,
        )
        return ChunkedMask(self.mask, left, right, exact=exact)

    def facts(self) -> dict:
        """Return what metrics.json says of this form."""
        info = self.loaded.info
        return {
            "model_class": info.model_class,
            "checkpoint": info.checkpoint.name,
            "checkpoint_sha256": self.loaded.sha256,
            "epoch": info.meta.get("epoch"),
            "selected_by": info.selected_by,
            "parameters": sum(p.numel() for p in self._model.parameters()),
        }


class TorchSteps:
    """The frame-by-frame form of a causal network, with its own state.

    Arguments
    ---------
    model : torch.nn.Module
        With ``initial_state`` and ``step``; shared by all its streams.
    bins : int
        Frequency bins.
    lookahead_frames : int
        How late its masks are.
    """

    def __init__(self, model, bins: int, lookahead_frames: int) -> None:
        self._bins = bins
        self.lookahead_frames = lookahead_frames
        self._model = model
        self.reset()

    def reset(self) -> None:
        """Go back to the state before the first frame."""
        self._state = self._model.initial_state()
        self._early = self.lookahead_frames

    def __call__(self, magnitude: np.ndarray) -> np.ndarray:
        """Take frames (bins, k) and return the masks (bins, j) now known."""
        tensor = torch.from_numpy(np.ascontiguousarray(magnitude, np.float32))
        with torch.inference_mode():
            mask, self._state = self._model.step(tensor[None], self._state)
        # The first masks of a network that looks ahead belong to no frame.
        dropped = min(self._early, mask.shape[-1])
        self._early -= dropped
        return mask[0, :, dropped:].numpy()

    def flush(self) -> np.ndarray:
        """Return the masks that are owed, pushed out by frames of zeros."""
        shape = (self._bins, self.lookahead_frames)
        return self(np.zeros(shape, np.float32))
