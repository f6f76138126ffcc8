"""One interface over every form of a trained network.

Nothing here imports torch, onnxruntime or sounddevice before it is needed.
"""

from edgebrain.inference.enhancer import Enhancer
from edgebrain.inference.loading import load_enhancer

__all__ = ["Enhancer", "load_enhancer"]
