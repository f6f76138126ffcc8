"""One interface over every form of a trained network.

Nothing here imports torch, onnxruntime or sounddevice before it is needed.
"""

from edgebrain.enhancement.enhancer import Enhancer
from edgebrain.enhancement.loading import load_enhancer

__all__ = ["Enhancer", "load_enhancer"]
