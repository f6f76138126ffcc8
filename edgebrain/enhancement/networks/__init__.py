"""Mask networks: (batch, bins, frames) magnitudes to masks of that shape."""

from edgebrain.enhancement.networks.conv_lstm import ConvLSTM
from edgebrain.enhancement.networks.lstm_mask import LSTMMask
from edgebrain.enhancement.networks.nnse import NNSE
from edgebrain.enhancement.networks.stft_tcnn import STFTTCNN

__all__ = ["ConvLSTM", "LSTMMask", "NNSE", "STFTTCNN"]
