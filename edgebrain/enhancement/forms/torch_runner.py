"""The PyTorch form of a trained network."""

from edgebrain.models import model_traits
from edgebrain.onnx.blocks import BlockStreamer
from edgebrain.runners import Streamer
from edgebrain.training.results import LoadedModel
import numpy as np
import torch


class TorchRunner:
    """A network with its weights; an :class:`edgebrain.runners.Runner`."""

    form = "torch"
    precision = "float32"

    def __init__(self, loaded: LoadedModel) -> None:
        self.setup, self.facts = loaded.setup, loaded.facts
        self._bins = self.setup.signal.bins
        self._model = loaded.model
        self._traits = model_traits(loaded.model)

    def run(self, features: np.ndarray) -> np.ndarray:
        """Return the outputs for a whole clip, see :class:`.Runner`."""
        tensor = torch.from_numpy(np.ascontiguousarray(features, np.float32))
        with torch.inference_mode():
            return self._model(tensor[None])[0].numpy()

    def streamer(self) -> Streamer:
        """Return a fresh streamer.

        Of a network with ``step`` it goes frame by frame; of another one in
        blocks, with the receptive field as context.
        """
        traits = self._traits
        if traits.streaming:
            return TorchSteps(self._model, self._bins, traits.lookahead_frames)
        return BlockStreamer(
            self.run,
            self._bins,
            traits.receptive_field_frames,
            traits.lookahead_frames,
            traits.causal,
        )


class TorchSteps:
    """The frame-by-frame form of a causal network, with its own state.

    The model has ``initial_state`` and ``step``; all its streams share it.
    """

    exact = True

    def __init__(self, model, channels: int, lookahead_frames: int) -> None:
        self._channels = channels
        self.lookahead_frames = lookahead_frames
        self._model = model
        self.reset()

    def reset(self) -> None:
        """Go back to the state before the first frame."""
        self._state = self._model.initial_state()
        self._early = self.lookahead_frames

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Take (channels, k) frames, return the (outputs, j) that are done."""
        tensor = torch.from_numpy(np.ascontiguousarray(features, np.float32))
        with torch.inference_mode():
            output, self._state = self._model.step(tensor[None], self._state)
        # The first of a network that looks ahead belong to no frame.
        dropped = min(self._early, output.shape[-1])
        self._early -= dropped
        return output[0, :, dropped:].numpy()

    def flush(self) -> np.ndarray:
        """Return the outputs owed, pushed out by frames of zeros."""
        shape = (self._channels, self.lookahead_frames)
        rest = self(np.zeros(shape, np.float32))
        self.reset()
        return rest
