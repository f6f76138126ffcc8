import copy

from edgebrain.models.blocks import DepthwiseConv1d, LSTMStack, SingleBiasLSTM
from hypothesis import given, settings
from hypothesis import strategies as st
import pytest
import torch
from torch import nn
from torch.nn import functional as F


@settings(max_examples=40, deadline=None)
@given(
    kernel=st.integers(1, 6),
    dilation=st.integers(1, 9),
    padding=st.integers(0, 45),
    frames=st.integers(1, 40),
    bias=st.booleans(),
)
def test_depthwise_gradient_equals_that_of_conv1d(
    kernel, dilation, padding, frames, bias
):
    context = (kernel - 1) * dilation
    padding = min(padding, context)
    frames = max(frames, context - 2 * padding + 1)
    torch.manual_seed(0)
    conv = DepthwiseConv1d(5, kernel, dilation, padding, bias).double()
    x = torch.randn(3, 5, frames, dtype=torch.float64, requires_grad=True)
    inputs = [x, *conv.parameters()]
    y = conv(x)
    weight = torch.randn_like(y)
    got = torch.autograd.grad((y * weight).sum(), inputs)
    wanted_y = F.conv1d(x, conv.weight, conv.bias, 1, padding, dilation, 5)
    wanted = torch.autograd.grad((wanted_y * weight).sum(), inputs)
    torch.testing.assert_close(y, wanted_y)
    for a, b in zip(got, wanted, strict=True):
        torch.testing.assert_close(a, b)


def test_depthwise_takes_its_own_path_in_training_only():
    conv, x = DepthwiseConv1d(2, 3), torch.randn(1, 2, 9)
    assert "DepthwiseConv1d" in type(conv.train()(x).grad_fn).__name__
    assert "DepthwiseConv1d" not in type(conv.eval()(x).grad_fn).__name__


def test_depthwise_gradient_under_autocast():
    conv, x = DepthwiseConv1d(2, 3), torch.randn(1, 2, 9, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        conv(x).float().sum().backward()
    assert x.grad.dtype == torch.float32


def test_single_bias_lstm_equals_lstm_with_one_bias_zero():
    torch.manual_seed(0)
    one, two = SingleBiasLSTM(4, 6, batch_first=True), nn.LSTM(4, 6)
    two.batch_first = True
    assert sum(p.numel() for p in one.parameters()) == 4 * 6 * (4 + 6 + 1)
    two.load_state_dict(one.state_dict(), strict=False)
    nn.init.zeros_(two.bias_hh_l0)
    x = torch.randn(2, 9, 4)
    torch.testing.assert_close(one(x)[0], two(x)[0])
    torch.testing.assert_close(copy.deepcopy(one)(x)[0], two(x)[0])
    one.double()
    torch.testing.assert_close(one(x.double())[0].float(), two(x)[0])


def test_single_bias_lstm_follows_its_trained_weights():
    torch.manual_seed(0)
    lstm, x = SingleBiasLSTM(4, 6, batch_first=True), torch.randn(2, 9, 4)
    before = lstm(x)[0]
    before.sum().backward()
    assert lstm.bias_hh_l0.grad is None
    torch.optim.SGD(lstm.parameters(), lr=0.1).step()
    assert (lstm(x)[0] - before).abs().max() > 1e-3


@pytest.mark.parametrize("single_bias", [False, True])
def test_lstm_cell_of_one_frame_equals_the_kernel(single_bias):
    torch.manual_seed(0)
    stack = LSTMStack(4, 6, num_layers=3, single_bias=single_bias)
    x = torch.randn(2, 4, 9)
    state = [torch.randn(2, 6) for _ in stack.state_shapes()]
    wanted, wanted_state = stack.step(x, state)
    got = []
    for frame in x.split(1, dim=-1):
        y, state = stack.step(frame, state)
        got.append(y)
    torch.testing.assert_close(torch.cat(got, -1), wanted)
    for a, b in zip(state, wanted_state, strict=True):
        torch.testing.assert_close(a, b)


def test_lstm_states_are_named_by_layer():
    assert LSTMStack(4, 6, num_layers=2).state_shapes(first=1) == {
        "lstm1_h": (6,),
        "lstm1_c": (6,),
        "lstm2_h": (6,),
        "lstm2_c": (6,),
    }
