"""The file that a person edits works as given, and as its text says."""

import importlib.util
from pathlib import Path
import textwrap

from edgebrain.errors import UserError
from edgebrain.models import (
    check_causality,
    check_model_output,
    check_step,
    model_traits,
)
import pytest
import torch

PATH = Path(__file__).parents[3] / "custom_model.py"


@pytest.fixture
def module():
    spec = importlib.util.spec_from_file_location("custom_model", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_works_as_given(module):
    model = module.CustomModel()
    check_model_output(model, 257)
    check_causality(model, 257)
    assert not model_traits(model).streaming
    with pytest.raises(UserError, match="initial_state"):
        model.initial_state()
    again = module.CustomModel(**model.config())
    again.load_state_dict(model.state_dict())


def test_learns(module):
    torch.manual_seed(0)
    model = module.CustomModel(9, 16)
    magnitude = torch.rand(4, 9, 30)
    magnitude[:, :, :3] = 0.0
    target = (magnitude > 0.5).float()
    optimizer = torch.optim.Adam(model.parameters(), 0.02)
    losses = []
    for _ in range(150):
        loss = (model(magnitude) - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.6 * losses[0]


def test_methods_of_its_text_make_it_stream(module):
    lines = module.__doc__.splitlines()
    start = next(i for i, line in enumerate(lines) if "def initial" in line)
    end = next(i for i, line in enumerate(lines) if "``edgebrain" in line)
    methods: dict = {}
    code = textwrap.dedent("\n".join(lines[start:end]))
    exec(code, {"torch": torch}, methods)
    streaming = type("Streaming", (module.CustomModel,), methods)
    model = streaming(33, 8)
    assert model_traits(model).streaming
    assert check_step(model, 33) < 1e-5
