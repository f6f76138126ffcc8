"""What a training of event detection minimises."""

from edgebrain.errors import UserError
import torch
from torch import Tensor, nn
from torch.nn import functional as F


class EventLoss(nn.Module):
    """Cross entropy with soft labels, of one label a clip or of several.

    Arguments
    ---------
    multi_label : bool
        True: a sigmoid for each class; False: a softmax over all.
    label_smoothing : float
        Part of a label that is shared out over all classes.
    class_weights : sequence of float, "balanced" or None
        Factor of each class in the order of the names; balanced: so that
        each class weighs as much as any other, however few its clips.
    """

    def __init__(
        self, multi_label=False, label_smoothing=0.0, class_weights=None
    ):
        super().__init__()
        if not 0 <= label_smoothing < 1:
            raise UserError(
                f"label_smoothing: from 0 to below 1, not {label_smoothing!r}"
            )
        if isinstance(class_weights, str) and class_weights != "balanced":
            raise UserError(
                "class_weights: numbers, balanced, or null, not "
                f"{class_weights!r}"
            )
        self.multi_label = multi_label
        self.label_smoothing = label_smoothing
        self.class_weights = class_weights
        self.weights: Tensor | None = None

    def prepare(self, counts: Tensor) -> None:
        """Settle the weights from the training clips of each class.

        Raises
        ------
        UserError
            Not as many weights as classes.
        """
        if self.class_weights is None:
            return
        if self.class_weights == "balanced":
            self.weights = counts.sum() / (len(counts) * counts.clamp(min=1))
            return
        if len(self.class_weights) != len(counts):
            raise UserError(
                f"class_weights: {len(self.class_weights)} for {len(counts)} "
                "classes"
            )
        self.weights = torch.tensor([float(w) for w in self.class_weights])

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the mean loss.

        Arguments
        ---------
        logits, target : Tensor
            (patches, classes).
        """
        weights = 1.0 if self.weights is None else self.weights.to(logits)
        if self.multi_label:
            off = 0.5 * self.label_smoothing
            target = target * (1 - 2 * off) + off
            each = F.binary_cross_entropy_with_logits(
                logits, target, reduction="none"
            )
            return (each * weights).mean()
        classes = logits.shape[1]
        target = target * (1 - self.label_smoothing)
        target = target + self.label_smoothing / classes
        return -(target * F.log_softmax(logits, 1) * weights).sum(1).mean()

    def probabilities(self, logits: Tensor) -> Tensor:
        """Return probabilities of logits (n, classes)."""
        return logits.sigmoid() if self.multi_label else logits.softmax(1)
