"""Mask networks: (batch, bins, frames) magnitudes to masks of that shape."""

from edgebrain.models.base import MaskModel, ModelTraits, model_traits
from edgebrain.models.checks import (
    check_causality,
    check_model_output,
    check_step,
)
from edgebrain.models.conv_lstm import ConvLSTM
from edgebrain.models.lstm_mask import LSTMMask
from edgebrain.models.nnse import NNSE
from edgebrain.models.stft_tcnn import STFTTCNN

__all__ = [
    "ConvLSTM",
    "LSTMMask",
    "MaskModel",
    "ModelTraits",
    "NNSE",
    "STFTTCNN",
    "check_causality",
    "check_model_output",
    "check_step",
    "model_traits",
]
