"""What every event network states about itself."""

from edgebrain.models.base import MaskModel


class EventModel(MaskModel):
    """A network from a log-mel patch to class logits.

    A subclass needs ``forward(features) -> logits``, (batch, mels,
    patch_frames) to (batch, n_classes); it then has the patch form. One that
    also sets ``causal`` and gives ``initial_state`` and ``step`` has the
    streaming form: ``step`` takes ``step_frames`` frames at a time and
    returns the logits that ``forward`` gives for the newest
    ``receptive_field_frames`` frames.

    Arguments
    ---------
    n_classes : int
    mels : int
        Bands of the features.
    patch_frames : int
        Frames of a patch.

    Attributes
    ----------
    step_frames : int
        Frames that one step of a stream takes.
    """

    step_frames: int = 1

    def __init__(self, n_classes: int, mels: int = 64, patch_frames: int = 96):
        super().__init__(mels)
        self.n_classes = n_classes
        self.mels = mels
        self.patch_frames = patch_frames
