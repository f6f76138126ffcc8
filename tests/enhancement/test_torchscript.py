"""A network becomes a file of its own, whatever its forward looks like."""

from pathlib import Path

from edgebrain.enhancement.networks import NNSE, STFTTCNN, ConvLSTM, LSTMMask
from edgebrain.enhancement.speechbrain_export import export_speechbrain
from edgebrain.errors import UserError
from edgebrain.signal import SignalSettings
from edgebrain.tasks import Setup
from edgebrain.training.results import CheckpointInfo, LoadedModel
import pytest
import torch
from torch import nn

BINS = 17
SIGNAL = SignalSettings(n_fft=32, win_length=32, hop_length=16)
LAYERS = [
    {"layer_type": "conv1d", "layer_neurons": 8, "kernel_size": 6},
    {"layer_type": "lstm", "layer_neurons": 8},
    {"layer_type": "fc", "layer_neurons": BINS, "activation": "sigmoid"},
]
MODELS = {
    "tcnn": lambda: STFTTCNN(1, 3, BINS, 8, prologue="power"),
    "noncausal": lambda: STFTTCNN(1, 2, BINS, 8, causal=False),
    "late": lambda: STFTTCNN(1, 2, BINS, 8, lookahead_frames=2),
    "conv_lstm": lambda: ConvLSTM(BINS, 9),
    "lstm_mask": lambda: LSTMMask(BINS, 9, 2, projection_size=5, dropout=0.5),
    "nnse": lambda: NNSE(LAYERS, bins=BINS, n_mels=5, input_dropprob=0.2),
}


class Loop(nn.Module):
    """A recording of this holds for one number of frames only."""

    def forward(self, x):
        """Return a running mean over time."""
        state, masks = torch.zeros_like(x[:, :, 0]), []
        for t in range(x.shape[2]):
            state = 0.5 * state + 0.5 * x[:, :, t]
            masks.append(state)
        return torch.stack(masks, 2)


class Hopeless(nn.Module):
    """Neither a recording nor a compilation of this is right."""

    def forward(self, x):
        """Return something that depends on the length in Python."""
        return x * float(format(x.shape[2]))


def written(model, folder):
    """Return the file that is written of a network."""
    info = CheckpointInfo(Path("CKPT+1"), {}, None, "some.Network", {})
    setup = Setup("enhancement", SIGNAL)
    export_speechbrain(LoadedModel(model, SIGNAL, "", info, setup), folder)
    return torch.jit.load(folder / "network.ckpt")


@pytest.mark.parametrize("name", MODELS)
def test_file_gives_the_masks_of_the_network(name, tmp_path):
    torch.manual_seed(0)
    model = MODELS[name]().eval()
    made = written(model, tmp_path)
    for batch, frames in ((1, 1), (2, 90), (5, 3)):
        magnitude = torch.rand(batch, BINS, frames)
        with torch.no_grad():
            wanted = model(magnitude)
            assert torch.allclose(made(magnitude), wanted, atol=1e-6)
    # No device is fixed: the network runs on a GPU as it is.
    assert "Device" not in str(made.inlined_graph)


def test_loop_over_frames_is_compiled(tmp_path):
    magnitude = torch.rand(2, BINS, 50)
    made = written(Loop().eval(), tmp_path)
    assert torch.equal(made(magnitude), Loop()(magnitude))


def test_network_that_cannot_travel_is_refused(tmp_path):
    with pytest.raises(UserError, match="Hopeless.*2 problems"):
        written(Hopeless().eval(), tmp_path / "e")
    assert not list(tmp_path.iterdir())


def test_network_of_nan_is_refused(tmp_path):
    model = MODELS["tcnn"]().eval()
    next(model.parameters()).data[:] = float("nan")
    with pytest.raises(UserError, match="cannot be written"):
        written(model, tmp_path / "e")
