"""Weight clipping and the penalty on huge activations."""

import math

from edgebrain.errors import UserError
from edgebrain.training.regularization import (
    ActivationRegularizer,
    WeightClipper,
    find_layers,
)
import pytest
import torch
from torch import nn


class CausalConv1d(nn.Conv1d):
    """A layer of its own kind, as models have."""


class Net(nn.Module):
    def __init__(self, inplace=False):
        super().__init__()
        self.conv = CausalConv1d(3, 4, 1)
        self.norm = nn.BatchNorm1d(4)
        self.relu = nn.ReLU(inplace=inplace)
        self.lstm = nn.LSTM(4, 4, batch_first=True)
        self.out = nn.Linear(4, 3)
        self.slope = nn.PReLU()

    def forward(self, x):
        x = self.relu(self.norm(self.conv(x)))
        return self.slope(self.out(self.lstm(x.transpose(1, 2))[0]))


def filled(value):
    net = Net()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.fill_(value)
    return net


def test_clipper_bounds_matrices_alone_by_default():
    net = filled(-3.0)
    WeightClipper(0.5)(net)
    for layer in (net.conv, net.out):
        assert (layer.weight == -0.5).all() and (layer.bias == -3).all()
    assert (net.lstm.weight_ih_l0 == -0.5).all()
    assert (net.lstm.weight_hh_l0 == -0.5).all()
    assert (net.norm.weight == -3).all() and (net.slope.weight == -3).all()


def test_clipper_of_given_types_and_biases():
    net = filled(3.0)
    WeightClipper(0.5, ["Conv1d", "BatchNorm1d"], bias_max=1)(net)
    assert (net.conv.weight == 0.5).all() and (net.conv.bias == 1).all()
    assert (net.norm.weight == 0.5).all() and (net.norm.bias == 1).all()
    assert (net.out.weight == 3).all() and (net.lstm.bias_ih_l0 == 3).all()


def test_clipper_after_steps_leaves_training_possible():
    torch.manual_seed(0)
    net = Net()
    optimizer = torch.optim.Adam(net.parameters(), lr=0.5)
    for _ in range(3):
        optimizer.zero_grad()
        net(torch.randn(2, 3, 5)).square().sum().backward()
        optimizer.step()
        WeightClipper(0.1)(net)
    assert net.conv.weight.detach().abs().max() == pytest.approx(0.1)
    assert net.conv.weight.requires_grad


@pytest.mark.parametrize("bad", [0, -1, math.nan, math.inf, "x", True, None])
def test_bad_numbers(bad):
    with pytest.raises(UserError, match="max_value"):
        WeightClipper(bad)
    for key in ("threshold", "weight"):
        with pytest.raises(UserError, match=key):
            ActivationRegularizer("ReLU", **{"threshold": 1, key: bad})


def test_bad_names():
    with pytest.raises(UserError, match="did you mean l1"):
        ActivationRegularizer("ReLU", 1, penalty="L1")
    with pytest.raises(UserError) as error:
        ActivationRegularizer(["Conv2d", "RelU"], 1).attach(Net())
    assert "CausalConv1d" in str(error.value) and "ReLU" in str(error.value)
    with pytest.raises(UserError, match="LSTM"):
        WeightClipper(1, ["LSTMM"])(Net())


def test_layers_are_found_by_class_and_base():
    assert list(find_layers(Net(), ["Conv1d"])) == ["conv"]
    assert list(find_layers(Net(), "CausalConv1d")) == ["conv"]
    with pytest.raises(UserError):
        find_layers(Net(), ["Module"])


@pytest.mark.parametrize("penalty", ["l1", "l2"])
def test_value_is_the_definition(penalty):
    net = nn.Sequential(nn.Identity(), nn.Identity())
    regularizer = ActivationRegularizer("Identity", 2.0, penalty, weight=0.5)
    regularizer.attach(net)
    x = torch.tensor([[-7.0, -2, 0, 1.9, 3]], requires_grad=True)
    net(x)
    value = regularizer.value()
    expected = (5 + 1) / 5 if penalty == "l1" else (25 + 1) / 5
    assert value.item() == pytest.approx(0.5 * 2 * expected)
    value.backward()
    slope = [-1, 0, 0, 0, 1] if penalty == "l1" else [-10, 0, 0, 0, 2]
    torch.testing.assert_close(x.grad[0], torch.tensor(slope) / 5)


def test_value_clears():
    net = nn.Sequential(nn.Identity())
    regularizer = ActivationRegularizer("Identity", 1.0)
    regularizer.attach(net)
    net(torch.full((2,), 3.0))
    assert regularizer.value() == 4
    assert regularizer.value() == 0
    net(torch.full((2,), 2.0))
    net(torch.full((2,), 2.0))
    assert regularizer.value() == 2


def test_off_in_evaluation_and_without_gradients():
    net = nn.Sequential(nn.Identity())
    regularizer = ActivationRegularizer("Identity", 1.0)
    regularizer.attach(net)
    net.eval()(torch.full((2,), 3.0))
    with torch.no_grad():
        net.train()(torch.full((2,), 3.0))
    assert regularizer.value() == 0


def test_every_kind_of_layer_and_in_place_relu():
    torch.manual_seed(0)
    net = Net(inplace=True)
    types = ["Conv1d", "BatchNorm1d", "ReLU", "LSTM", "Linear", "PReLU"]
    regularizer = ActivationRegularizer(types, 1e-3)
    regularizer.attach(net)
    net(torch.randn(2, 3, 5))
    regularizer.value().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all()


def test_half_precision_does_not_overflow():
    net = nn.Sequential(nn.Identity())
    regularizer = ActivationRegularizer("Identity", 1.0)
    regularizer.attach(net)
    net(torch.full((2,), 1001.0, dtype=torch.float16))
    assert regularizer.value() == 1e6


def test_training_on_the_penalty_brings_activations_down():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
    x = 50 * torch.randn(16, 4)
    regularizer = ActivationRegularizer("ReLU", 6.0)
    regularizer.attach(net)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.05)
    before = net(x).max()
    regularizer.value()
    for _ in range(100):
        optimizer.zero_grad()
        net(x)
        regularizer.value().backward()
        optimizer.step()
    assert net(x).max() < 12 < before


def test_wrapped_by_distributed_data_parallel(tmp_path):
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1
    )
    try:
        plain = Net()
        net = nn.parallel.DistributedDataParallel(plain)
        regularizer = ActivationRegularizer(["Conv1d"], 1e-3)
        regularizer.attach(net)
        x = torch.randn(2, 3, 5)
        (net(x).sum() + regularizer.value()).backward()
        expected = [p.grad.clone() for p in plain.parameters()]
        plain.zero_grad()
        (plain(x).sum() + regularizer.value()).backward()
        for parameter, grad in zip(plain.parameters(), expected, strict=True):
            torch.testing.assert_close(parameter.grad, grad)
        assert regularizer.value() == 0
    finally:
        torch.distributed.destroy_process_group()
