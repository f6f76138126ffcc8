"""step equals forward for every causal network."""

from pathlib import Path

from edgebrain.enhancement.networks import NNSE, STFTTCNN, ConvLSTM, LSTMMask
from edgebrain.errors import UserError
from edgebrain.models import check_causality, check_step
import numpy as np
import pytest
import torch
from torch import nn

BINS = 17
NNSE_LAYERS = [
    {"layer_type": "conv1d", "layer_neurons": 8, "kernel_size": 6},
    {"layer_type": "lstm", "layer_neurons": 8},
    {"layer_type": "conv1d", "layer_neurons": 9, "kernel_size": 2},
    {"layer_type": "lstm", "layer_neurons": 7},
    {"layer_type": "fc", "layer_neurons": 8, "activation": "relu6"},
    {"layer_type": "fc", "layer_neurons": BINS, "activation": "sigmoid"},
]
MODELS = {
    "tcnn": lambda: STFTTCNN(2, 3, BINS, 12),
    "tcnn_prelu_kernel4": lambda: STFTTCNN(
        1, 3, BINS, 12, 3, "tanh", kernel_size=4, activation="prelu"
    ),
    "tcnn_bottleneck_late": lambda: STFTTCNN(
        2,
        2,
        BINS,
        12,
        kernel_size=5,
        bottleneck_channels=6,
        lookahead_frames=3,
        prologue="power",
    ),
    "tcnn_kernel1": lambda: STFTTCNN(1, 2, BINS, 12, kernel_size=1),
    "conv_lstm": lambda: ConvLSTM(BINS, 9, prologue="log1p"),
    "lstm_mask": lambda: LSTMMask(BINS, 9, 3, dropout=0.3),
    "lstm_projected": lambda: LSTMMask(BINS, 9, 1, projection_size=5),
    "nnse_mel": lambda: NNSE(NNSE_LAYERS, bins=BINS, n_mels=5),
    "nnse_pspec": lambda: NNSE(
        NNSE_LAYERS, features="pspec", bins=BINS, scalar_output=2.0
    ),
}


def as_trained(model, seed=0):
    """Give norms and statistics the values that a training leaves."""
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
    return model


@pytest.fixture(params=MODELS)
def model(request):
    torch.manual_seed(0)
    return as_trained(MODELS[request.param]())


def test_step_equals_forward(model):
    chunks = (1, 3, 7, 40)
    assert check_step(model, BINS, chunks, frames=40) < 1e-5


def test_step_by_random_chunks_of_a_batch(model):
    model.eval()
    rng = np.random.default_rng(0)
    late = model.lookahead_frames
    magnitude = torch.rand(3, BINS, 60)
    magnitude[..., 60 - late :] = 0.0
    state, masks, at = model.initial_state(batch=3), [], 0
    with torch.no_grad():
        wanted = model(magnitude[..., : 60 - late])
        while at < 60:
            size = int(rng.integers(1, 9))
            mask, state = model.step(magnitude[..., at : at + size], state)
            masks.append(mask)
            at += size
    got = torch.cat(masks, -1)[..., late:]
    torch.testing.assert_close(got, wanted, atol=1e-5, rtol=0)


def test_every_causal_model_is_causal(model):
    check_causality(model, BINS)


def test_states_start_at_zero_and_are_not_written_to(model):
    model.eval()
    state = model.initial_state(batch=2)
    for value in state.values():
        assert value.shape[0] == 2 and value.dtype == torch.float32
    before = {name: value.clone() for name, value in state.items()}
    with torch.no_grad():
        _, new = model.step(torch.rand(2, BINS, 2), state)
    assert list(new) == list(state)
    for name, value in state.items():
        assert torch.equal(value, before[name])
        assert not value.any() and new[name].any()


def test_dtype_follows_the_weights_or_the_caller(model):
    state = model.double().initial_state()
    assert all(value.dtype == torch.float64 for value in state.values())
    state = model.initial_state(dtype=torch.float16)
    assert all(value.dtype == torch.float16 for value in state.values())


def test_config_rebuilds(model):
    again = type(model)(**model.config())
    again.load_state_dict(model.state_dict())
    assert again.config() == model.config()
    magnitude = torch.rand(1, BINS, 9)
    wanted = model.eval()(magnitude)
    torch.testing.assert_close(again.eval()(magnitude), wanted)


def test_state_names_are_stable():
    assert {
        k: tuple(v.shape) for k, v in MODELS["tcnn"]().initial_state().items()
    } == {
        f"block{block}_layer{layer}_cache": (1, 12, 2 * 2**layer)
        for block in range(2)
        for layer in range(3)
    }
    assert list(MODELS["conv_lstm"]().initial_state()) == [
        "lstm0_h",
        "lstm0_c",
        "lstm1_h",
        "lstm1_c",
    ]
    assert list(MODELS["nnse_mel"]().initial_state()) == [
        "conv0_cache",
        "lstm0_h",
        "lstm0_c",
        "conv1_cache",
        "lstm1_h",
        "lstm1_c",
    ]


def test_state_of_another_model_is_refused():
    state = MODELS["conv_lstm"]().initial_state()
    with pytest.raises(UserError, match="initial_state"):
        MODELS["tcnn"]().step(torch.rand(1, BINS, 1), state)


@pytest.mark.parametrize("name", ["tcnn", "conv_lstm", "nnse_mel"])
def test_onnx_step_with_states_equals_pytorch(name, tmp_path: Path):
    pytest.importorskip("onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    torch.manual_seed(0)
    model = as_trained(MODELS[name]()).eval()
    names = list(model.initial_state())

    class Step(nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, magnitude, *state):
            state = dict(zip(names, state, strict=True))
            mask, new = self.model.step(magnitude, state)
            return mask, *new.values()

    frame = torch.rand(1, BINS, 1)
    state = {k: torch.rand_like(v) for k, v in model.initial_state().items()}
    path = tmp_path / "step.onnx"
    torch.onnx.export(
        Step().eval(),
        (frame, *state.values()),
        path,
        dynamo=False,
        opset_version=17,
        input_names=["magnitude", *names],
        output_names=["mask", *[f"new_{n}" for n in names]],
    )
    import onnx

    operators = {node.op_type for node in onnx.load(path).graph.node}
    assert not operators & {"LSTM", "Split", "BatchNormalization", "Pad"}
    session = onnxruntime.InferenceSession(path)
    feeds = {"magnitude": frame, **state}
    got = session.run(None, {k: v.numpy() for k, v in feeds.items()})
    with torch.no_grad():
        mask, new = model.step(frame, state)
    for a, b in zip(got, [mask, *new.values()], strict=True):
        np.testing.assert_allclose(a, b.numpy(), atol=1e-5)
