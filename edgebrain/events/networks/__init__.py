"""Networks from a log-mel patch to class logits."""

from edgebrain.events.networks.base import EventModel
from edgebrain.events.networks.miniresnet import MiniResNet
from edgebrain.events.networks.separable import SeparableNet, YAMNet

__all__ = ["EventModel", "MiniResNet", "SeparableNet", "YAMNet"]
