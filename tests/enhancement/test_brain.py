"""The Brain of enhancement: what its forward pass is given and returns."""

from edgebrain.enhancement.brain import EnhancementBrain, in_a_row
from edgebrain.enhancement.losses import EnhancementLoss
from edgebrain.enhancement.networks import LSTMMask
from edgebrain.signal import SignalSettings
import pytest
import speechbrain as sb
from speechbrain.dataio.batch import PaddedBatch
import torch


@pytest.fixture
def model():
    torch.manual_seed(0)
    return LSTMMask(hidden_size=8, projection_size=4)


def test_in_a_row_keeps_the_state_from_clip_to_clip(model):
    clips = torch.rand(3, 257, 20)
    masks = in_a_row(model, clips)
    whole = model(torch.cat(list(clips), 1)[None])[0]
    torch.testing.assert_close(torch.cat(list(masks), 1), whole)
    apart = model(clips)
    torch.testing.assert_close(masks[0], apart[0])
    assert (masks[1] - apart[1]).abs().max() > 1e-3


def test_one_stream_is_for_training_alone(model):
    def masks(one_stream, stage):
        brain = EnhancementBrain(
            {"model": model},
            hparams={
                "signal": SignalSettings(),
                "loss": EnhancementLoss({"spec_mse": 1.0}, SignalSettings()),
                "one_stream": one_stream,
            },
        )
        return brain.compute_forward(batch, stage)["mask"]

    sounds = torch.randn(2, 8000) * 0.1
    batch = PaddedBatch(
        [{"id": str(i), "noisy_sig": sounds[i]} for i in (0, 1)]
    )
    apart = masks(False, sb.Stage.TRAIN)
    row = masks(True, sb.Stage.TRAIN)
    torch.testing.assert_close(row[0], apart[0])
    assert (row[1] - apart[1]).abs().max() > 1e-3
    torch.testing.assert_close(masks(True, sb.Stage.VALID), apart)
