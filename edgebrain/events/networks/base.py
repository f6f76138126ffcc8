"""What every event network states about itself."""

from edgebrain.models.base import EdgeModel
from torch import nn


class EventModel(EdgeModel):
    """A network from a log-mel patch to class logits.

    A subclass needs ``forward(features) -> logits``, (batch, mels,
    patch_frames) to (batch, n_classes); it then has the patch form. One that
    also sets ``causal`` and gives ``initial_state`` and ``step`` has the
    streaming form: ``step`` takes ``step_frames`` frames at a time and
    returns the logits that ``forward`` gives for the newest
    ``receptive_field_frames`` frames.

    Arguments
    ---------
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
        super().__init__()
        self.n_classes = n_classes
        self.mels = mels
        self.patch_frames = patch_frames
        self._still: list[nn.Module] = []

    def set_classes(self, n_classes: int) -> None:
        """Take another number of classes: a new ``head``, if it differs."""
        if n_classes != self.n_classes:
            self.head = nn.Linear(self.head.in_features, n_classes)
            self.n_classes = n_classes

    def freeze(self, layers: int | str, norm: bool) -> None:
        """Keep the first layers, and BatchNorm statistics, as they are.

        Arguments
        ---------
        layers : int or "all"
            Of ``backbone``: their weights do not move, nor do the
            statistics of their BatchNorm.
        norm : bool
            Whether no BatchNorm statistics move at all.
        """
        backbone = list(getattr(self, "backbone", ()))
        frozen = backbone if layers == "all" else backbone[:layers]
        for parameter in nn.ModuleList(frozen).parameters():
            parameter.requires_grad_(False)
        still = self.modules() if norm else nn.ModuleList(frozen).modules()
        self._still = [m for m in still if isinstance(m, nn.BatchNorm2d)]
        self.train(self.training)

    def train(self, mode: bool = True) -> "EventModel":
        """Set the mode; statistics that are frozen stay in evaluation."""
        super().train(mode)
        for module in self._still:
            module.eval()
        return self
