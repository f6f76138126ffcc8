"""The contract of a network, its building blocks, its checks and its cost."""

from edgebrain.models.base import (
    EdgeModel,
    MaskModel,
    ModelTraits,
    model_traits,
)
from edgebrain.models.verify import (
    check_causality,
    check_model_output,
    check_output,
    check_step,
)

__all__ = [
    "EdgeModel",
    "MaskModel",
    "ModelTraits",
    "check_causality",
    "check_model_output",
    "check_output",
    "check_step",
    "model_traits",
]
