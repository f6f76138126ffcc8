from edgebrain.enhancement.networks import NNSE, STFTTCNN, ConvLSTM, LSTMMask
from edgebrain.models.complexity import describe
from edgebrain.signal import SignalSettings
import pytest
from torch import nn

SETTINGS = SignalSettings()


def test_published_medium():
    cost = describe(STFTTCNN(2, 3, causal=False), SETTINGS)
    by_hand = 6 * (257 * 512 + 3 * 512 + 512 * 257)
    assert cost.macs_per_frame == by_hand
    assert round(40 * cost.macs_per_frame / 1e6, 1) == 63.5
    assert cost.macs_per_second == 100 * by_hand
    assert cost.parameters == 1_603_584
    assert cost.lookahead_frames == 14 and cost.receptive_field_frames == 29
    assert cost.latency_samples == SETTINGS.latency_samples + 14 * 160
    assert cost.latency_ms == cost.latency_samples / 16
    assert cost.state_bytes is None
    assert "1,603,584" in cost.table() and "29 frames" in cost.table()


def test_causal_state_and_latency():
    cost = describe(STFTTCNN(2, 3, lookahead_frames=1), SETTINGS)
    assert cost.state_bytes == 4 * 2 * 512 * (2 + 4 + 8)
    assert cost.latency_samples == SETTINGS.latency_samples + 160
    assert cost.macs_per_frame == 6 * (257 * 512 + 3 * 512 + 512 * 257)


@pytest.mark.parametrize(
    "model, macs, state",
    [
        (
            ConvLSTM(),
            257 * 257
            + 4 * 256 * (257 + 256)
            + 4 * 256 * 512
            + 256 * 257
            + 257 * 257,
            4 * 4 * 256,
        ),
        (
            LSTMMask(hidden_size=10, num_layers=1, projection_size=5),
            257 * 5 + 40 * 15 + 10 * 257,
            4 * 2 * 10,
        ),
        (
            NNSE(features="pspec"),
            6 * 257 * 128 + 4 * 128 * 256 + 2 * 128 * 128 + 128 * 257,
            4 * (257 * 5 + 2 * 128),
        ),
    ],
)
def test_recurrent_networks_by_hand(model, macs, state):
    cost = describe(model, SETTINGS)
    assert cost.macs_per_frame == macs
    assert cost.state_bytes == state
    assert cost.recurrent and cost.receptive_field_frames is None
    assert "unbounded" in cost.table()


def test_mel_triangles_count_without_their_zeros():
    cost = describe(NNSE(), SETTINGS)
    net = 6 * 72 * 72 + 4 * 72 * 144 + 2 * 72 * 72 + 72 * 257
    # 257 bins in at most two triangles each.
    assert net + 257 <= cost.macs_per_frame <= net + 2 * 257


class Own(nn.Module):
    """Two-dimensional convolutions, a linear layer, an odd one."""

    def __init__(self):
        super().__init__()
        self.encode = nn.Conv2d(1, 4, (3, 1), stride=(2, 1))
        self.decode = nn.ConvTranspose2d(4, 1, (3, 1), stride=(2, 1))
        self.linear = nn.Linear(257, 257, bias=False)
        self.mix = nn.Bilinear(257, 257, 1)
        self.dropout = nn.Dropout(0.5)

    def forward(self, x):
        y = self.decode(self.encode(x.unsqueeze(1))).squeeze(1)
        y = self.linear(y.transpose(1, 2)).contiguous()
        return (y + self.mix(y, y)).transpose(1, 2)


def test_custom_network():
    model = Own().train()
    cost = describe(model, SETTINGS)
    assert cost.macs_per_frame == 128 * 4 * 3 + 128 * 4 * 3 + 257 * 257
    assert cost.uncounted == ("Bilinear",)
    assert cost.lookahead_frames is None and cost.latency_ms is None
    assert not cost.causal
    text = cost.table()
    assert "not known" in text and "MACs not counted of  Bilinear" in text
    assert model.training and model.dropout.training
    assert not model.linear._forward_hooks


def test_frame_rate_of_other_settings():
    settings = SignalSettings(n_fft=320, win_length=320, hop_length=160)
    cost = describe(STFTTCNN(1, 1, settings.bins, 8), settings)
    per_frame = 2 * 161 * 8 + 3 * 8
    assert cost.macs_per_frame == per_frame
    assert cost.macs_per_second == 100 * per_frame
    assert cost.latency_samples == settings.latency_samples
