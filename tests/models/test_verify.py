from edgebrain.enhancement.networks import STFTTCNN
from edgebrain.errors import UserError
from edgebrain.models import (
    MaskModel,
    check_causality,
    check_model_output,
    check_step,
    model_traits,
)
import pytest
import torch
from torch import nn


class Plain(nn.Module):
    """A network that states nothing."""

    def __init__(self, function=torch.sigmoid):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(()))
        self.function = function

    def forward(self, magnitude):
        return self.function(self.gain * magnitude)


class Mean(Plain):
    """Claims to be causal; takes a mean over all frames."""

    causal = True

    def forward(self, magnitude):
        return magnitude - magnitude.mean(-1, keepdim=True)


def test_good_networks_pass_and_keep_their_mode():
    model = STFTTCNN(1, 2, 9, 7)
    model.blocks["block0_layer1"].eval()
    weights = {k: v.clone() for k, v in model.state_dict().items()}
    check_model_output(model, 9)
    check_causality(model, 9)
    check_model_output(Plain(), 9)
    assert model.training and model.blocks["block0_layer0"].training
    assert not model.blocks["block0_layer1"].training
    for name, value in model.state_dict().items():
        assert torch.equal(value, weights[name])


@pytest.mark.parametrize(
    "function, message",
    [
        (lambda x: x[:, 1:], r"\(2, 8, 24\), expected .*\(2, 9, 24\)"),
        (lambda x: x.transpose(1, 2), r"\(2, 24, 9\)"),
        (lambda x: x + 1j, "complex64, expected real"),
        (lambda x: x > 0, "torch.bool, expected real"),
        (lambda x: torch.log(x - 9), "NaN or infinite"),
        (lambda x: (x, x), "returns a tuple"),
        (lambda x: x @ torch.ones(7, 7), r"forward fails .*\(2, 9, 24\)"),
        (lambda x: x if x.shape[-1] == 24 else x[..., :24], r"\(2, 9, 24\)"),
    ],
)
def test_bad_output_is_named(function, message):
    with pytest.raises(UserError, match=message):
        check_model_output(Plain(function), 9)


def test_bins_that_do_not_fit_the_signal_are_named():
    with pytest.raises(UserError, match="built for 9 bins, .* give 257"):
        check_model_output(STFTTCNN(1, 1, 9, 7), 257)


def test_false_claim_of_causality_is_found():
    with pytest.raises(UserError, match="output of frame 0 changes"):
        check_causality(Mean(), 9)
    liar = STFTTCNN(1, 2, 9, 7, causal=False)
    check_causality(liar, 9)
    liar.causal, liar.lookahead_frames = True, 2
    with pytest.raises(UserError, match="with 2 frames of look-ahead"):
        check_causality(liar, 9)


def test_wrong_step_is_found():
    model = STFTTCNN(1, 2, 9, 7)
    right = model.step
    model.step = lambda m, state: (right(m, state)[0], state)
    with pytest.raises(UserError, match="differs from forward"):
        check_step(model, 9)
    model.step = lambda m, state: (m, {"other": m})
    with pytest.raises(UserError, match="other .* initial_state one of"):
        check_step(model, 9)


def test_traits_of_any_network():
    traits = model_traits(Plain())
    assert not traits.causal and not traits.streaming
    assert traits.lookahead_frames is None and traits.bins is None
    claimed = model_traits(Mean())
    assert claimed.causal and claimed.lookahead_frames == 0
    assert not claimed.streaming and not claimed.recurrent
    tcnn = model_traits(STFTTCNN(1, 2, 9, 7))
    assert tcnn.streaming and tcnn.receptive_field_frames == 7
    assert not model_traits(STFTTCNN(1, 2, 9, 7, causal=False)).streaming
    assert model_traits(nn.Sequential(nn.GRU(2, 2))).recurrent


def test_networks_without_streaming_say_so():
    class Own(MaskModel):
        causal = True

        def __init__(self, bins, width):
            super().__init__(bins)

    with pytest.raises(UserError, match="give it initial_state"):
        Own(9, 3).initial_state()
    with pytest.raises(UserError, match="self.width = width"):
        Own(9, 3).config()
    with pytest.raises(NotImplementedError, match="Own needs forward"):
        Own(9, 3)(torch.rand(1, 9, 3))
