"""Miniature networks with the norms and statistics that a training leaves."""

from edgebrain.enhancement.networks import NNSE, STFTTCNN, ConvLSTM, LSTMMask
from edgebrain.models import MaskModel
from edgebrain.signal import SignalSettings
import pytest
import torch
from torch import nn

BINS = 17
SETTINGS = SignalSettings(n_fft=32, win_length=32, hop_length=16)
NNSE_LAYERS = [
    {"layer_type": "conv1d", "layer_neurons": 8, "kernel_size": 6},
    {"layer_type": "lstm", "layer_neurons": 8},
    {"layer_type": "conv1d", "layer_neurons": 9, "kernel_size": 2},
    {"layer_type": "fc", "layer_neurons": 8, "activation": "relu6"},
    {"layer_type": "fc", "layer_neurons": BINS, "activation": "sigmoid"},
]


class OwnModel(nn.Module):
    """A person's own network: forward alone, no MaskModel, a lone norm."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(BINS)
        self.gru = nn.GRU(BINS, BINS, batch_first=True)

    def forward(self, magnitude):
        """Return the mask."""
        x = torch.tanh(self.norm(magnitude)).transpose(1, 2)
        return torch.sigmoid(self.gru(x)[0]).transpose(1, 2)


class OwnStream(MaskModel):
    """A person's own causal network that runs on a stream."""

    causal = True
    lookahead_frames = 0
    receptive_field_frames = 2

    def __init__(self):
        super().__init__(BINS)
        self.conv = nn.Conv1d(BINS, BINS, 2)
        self.norm = nn.BatchNorm1d(BINS)

    def forward(self, magnitude):
        """Return the mask."""
        x = nn.functional.pad(magnitude, (1, 0))
        return torch.sigmoid(self.norm(self.conv(x)))

    def initial_state(self, batch=1, device=None, dtype=None):
        """Return the last frame."""
        return {"last": torch.zeros(batch, BINS, 1, device=device, dtype=dtype)}

    def step(self, magnitude, state):
        """Return the masks of the next frames."""
        seen = torch.cat([state["last"], magnitude], dim=-1)
        mask = torch.sigmoid(self.norm(self.conv(seen)))
        return mask, {"last": seen[..., -1:]}


MODELS = {
    "tcnn": lambda: STFTTCNN(2, 3, BINS, 12),
    "tcnn_prelu": lambda: STFTTCNN(
        1, 3, BINS, 12, 3, "tanh", kernel_size=4, activation="prelu"
    ),
    "tcnn_late": lambda: STFTTCNN(
        2,
        2,
        BINS,
        12,
        kernel_size=5,
        bottleneck_channels=6,
        lookahead_frames=3,
        prologue="power",
    ),
    "tcnn_noncausal": lambda: STFTTCNN(2, 2, BINS, 12, causal=False),
    "conv_lstm": lambda: ConvLSTM(BINS, 9, prologue="log1p"),
    "lstm_mask": lambda: LSTMMask(BINS, 9, 2, projection_size=5),
    "nnse_mel": lambda: NNSE(NNSE_LAYERS, bins=BINS, n_mels=5),
    "nnse_pspec": lambda: NNSE(
        NNSE_LAYERS, features="pspec", bins=BINS, scalar_output=2.0
    ),
    "own": OwnModel,
    "own_stream": OwnStream,
}
CAUSAL = [n for n in MODELS if n not in ("tcnn_noncausal", "own")]
RECURRENT = ["conv_lstm", "lstm_mask", "nnse_mel", "nnse_pspec", "own"]


def as_trained(model: nn.Module, seed: int = 0) -> nn.Module:
    """Give norms and statistics other values than those of a new network."""
    generator = torch.Generator().manual_seed(seed)

    def uniform(like, low, high):
        return low + (high - low) * torch.rand(like.shape, generator=generator)

    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d):
            module.running_mean.copy_(uniform(module.running_mean, -1, 1))
            module.running_var.copy_(uniform(module.running_var, 0.3, 3))
            module.weight.data = uniform(module.weight, -2, 2)
            module.bias.data = uniform(module.bias, -1, 1)
    if isinstance(model, NNSE):
        model.fit_normalisation([torch.rand(BINS, 50, generator=generator)])
    return model.eval()


def build(name: str) -> nn.Module:
    """Return a miniature network by name, always the same."""
    torch.manual_seed(0)
    return as_trained(MODELS[name]())


@pytest.fixture(scope="session")
def make_model():
    """Build a miniature network by name, in evaluation mode."""
    return build


@pytest.fixture(scope="session")
def settings() -> SignalSettings:
    """Return the settings of the miniature networks: 17 bins."""
    return SETTINGS


def pytest_generate_tests(metafunc):
    """Give tests the names of the networks by what the networks can do."""
    groups = {
        "any_model": list(MODELS),
        "causal_model": CAUSAL,
        "recurrent_model": RECURRENT,
        "finite_model": [n for n in MODELS if n not in RECURRENT],
    }
    for argument, names in groups.items():
        if argument in metafunc.fixturenames:
            metafunc.parametrize(argument, names)
