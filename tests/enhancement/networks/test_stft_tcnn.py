from edgebrain.enhancement.networks import STFTTCNN
from edgebrain.errors import UserError
from hypothesis import given, settings
from hypothesis import strategies as st
import pytest
import torch


def _count(model):
    return sum(p.numel() for p in model.parameters())


def _reach(model, bins, frames, at):
    """Return the first and last frame that the mask of frame ``at`` sees."""
    model.double().eval()
    torch.manual_seed(1)
    magnitude = torch.rand(1, bins, frames).double().requires_grad_()
    model(magnitude)[0, :, at].sum().backward()
    seen = torch.nonzero(magnitude.grad[0].abs().sum(0)).flatten()
    return int(seen[0]), int(seen[-1])


def test_parameter_counts_are_the_published_ones():
    assert _count(STFTTCNN()) == 4_810_752
    for causal in (False, True):
        medium = STFTTCNN(n_blocks=2, num_layers=3, causal=causal)
        assert _count(medium) == 1_603_584


def test_published_medium_sees_fourteen_frames_on_either_side():
    torch.manual_seed(0)
    model = STFTTCNN(2, 3, 9, 128, causal=False)
    assert _reach(model, 9, 41, at=20) == (6, 34)
    assert model.lookahead_frames == 14
    assert model.receptive_field_frames == 29


@settings(max_examples=25, deadline=None)
@given(
    n_blocks=st.integers(1, 2),
    num_layers=st.integers(1, 3),
    init_dilation=st.integers(1, 3),
    kernel_size=st.integers(1, 5),
    causal=st.booleans(),
    lookahead=st.integers(0, 4),
    bottleneck_channels=st.none() | st.integers(1, 6),
    activation=st.sampled_from(["relu", "prelu"]),
    mask_activation=st.sampled_from(["sigmoid", "tanh"]),
    prologue=st.sampled_from(["linear", "log1p", "power"]),
)
def test_any_arguments_rebuild_and_state_their_field(
    lookahead, causal, kernel_size, **arguments
):
    torch.manual_seed(0)
    model = STFTTCNN(
        in_channels=5,
        tcn_latent_dim=16,
        causal=causal,
        kernel_size=kernel_size if causal else kernel_size // 2 * 2 + 1,
        lookahead_frames=lookahead if causal else 0,
        **arguments,
    ).eval()
    again = STFTTCNN(**model.config()).eval()
    assert again.config() == model.config()
    again.load_state_dict(model.state_dict())
    magnitude = torch.rand(2, 5, 17)
    mask = model(magnitude)
    assert mask.shape == magnitude.shape
    assert torch.equal(again(magnitude), mask)

    frames, at = 240, 120
    first, last = _reach(model, 5, frames, at)
    field, ahead = model.receptive_field_frames, model.lookahead_frames
    assert last <= at + ahead
    assert first >= at + ahead - (field - 1)


def test_bands_start_as_bins_and_triangles_that_sum_to_one():
    """Through both convolutions alone a flat spectrum stays flat."""
    model = STFTTCNN(1, 1, 33, 4, bottleneck_channels=16, linear_bins=8)
    inwards = model.enter.weight[..., 0]
    outwards = model.leave.weight[..., 0]
    assert torch.equal(inwards[:7, :7], torch.eye(7))
    assert torch.equal(outwards[:7, :7], torch.eye(7))
    flat = torch.ones(1, 33, 5)
    torch.testing.assert_close(model.leave(model.enter(flat)), flat)
    # Each band is where the last ended, and the last one ends the spectrum.
    tops = outwards.argmax(0)
    assert (tops.diff() > 0).all() and tops[-1] == 32
    widths = (outwards > 0).sum(0)
    assert widths[0] == 1 and widths[-2] > widths[8]
    assert STFTTCNN(**model.config()).config() == model.config()


@pytest.mark.parametrize("bands", [None, 9, 34])
def test_bands_that_cannot_be_are_refused(bands):
    with pytest.raises(UserError, match="linear_bins"):
        STFTTCNN(1, 1, 33, 4, bottleneck_channels=bands, linear_bins=8)


def test_causal_field_reaches_as_far_back_as_stated():
    torch.manual_seed(0)
    model = STFTTCNN(2, 3, 9, 128, lookahead_frames=3)
    assert _reach(model, 9, 60, at=40) == (40 + 3 - 28, 43)


def test_lookahead_is_the_same_network_with_a_delayed_mask():
    torch.manual_seed(0)
    late = STFTTCNN(1, 2, 5, 7, lookahead_frames=2).eval()
    prompt = STFTTCNN(1, 2, 5, 7).eval()
    prompt.load_state_dict(late.state_dict())
    magnitude = torch.rand(1, 5, 20)
    torch.testing.assert_close(
        late(magnitude)[..., :18], prompt(magnitude)[..., 2:]
    )


def test_mask_range_follows_the_activation():
    torch.manual_seed(0)
    magnitude = 0.01 * torch.rand(1, 5, 50)
    sigmoid = STFTTCNN(1, 1, 5, 7)(magnitude)
    tanh = STFTTCNN(1, 1, 5, 7, mask_activation="tanh")(magnitude)
    assert 0 <= sigmoid.min() and sigmoid.max() <= 1
    assert -1 <= tanh.min() < 0 < tanh.max() <= 1


def test_prologues_compute_what_they_say():
    from edgebrain.enhancement.networks.prologue import FeaturePrologue

    x = torch.tensor([0.0, 1.0, 32.0])
    torch.testing.assert_close(FeaturePrologue("linear")(x), x)
    torch.testing.assert_close(FeaturePrologue("log1p")(x), (1 + x).log())
    torch.testing.assert_close(
        FeaturePrologue("power", 0.4)(x), torch.tensor([0.0, 1.0, 4.0])
    )
    x = torch.tensor([0.0, 0.24, 0.375, 0.6, 63.6, 63.8, 1e6])
    torch.testing.assert_close(
        FeaturePrologue("linear", int8_step=0.25)(x),
        torch.tensor([0.0, 0.25, 0.5, 0.5, 63.5, 63.75, 63.75]),
    )


def test_every_bad_argument_is_listed():
    with pytest.raises(UserError) as error:
        STFTTCNN(0, 2.5, activation="relo", causal="maybe", prologue="powr")
    text = str(error.value)
    assert "5 problems" in text
    assert "n_blocks: a whole number from 1, not 0" in text
    assert "num_layers" in text and "did you mean relu" in text
    assert "causal: True or False" in text
    assert "did you mean power" in text


def test_networks_that_cannot_be_are_refused():
    with pytest.raises(UserError, match="kernel_size must be odd"):
        STFTTCNN(causal=False, kernel_size=4)
    with pytest.raises(UserError, match="follows from its layers"):
        STFTTCNN(2, 3, causal=False, lookahead_frames=3)
    model = STFTTCNN(1, 1, 5, 7, causal=False)
    with pytest.raises(UserError, match="not causal"):
        model.initial_state()
    with pytest.raises(UserError, match="not causal"):
        model.step(torch.rand(1, 5, 1), {})
