from edgebrain.enhancement.networks import NNSE
from edgebrain.enhancement.networks.nnse import mel_filterbank
from edgebrain.enhancement.networks.nnse_arch import (
    read_architecture,
    shipped_architectures,
)
from edgebrain.errors import UserError
import numpy as np
import pytest
import torch

FC = {"layer_type": "fc", "layer_neurons": 9, "activation": "sigmoid"}


@pytest.mark.parametrize(
    "name, features, parameters",
    [
        ("72_mel", "mel", 102_209),
        ("128_pspec", "pspec", 395_265),
        ("256_pspec", "pspec", 1_117_953),
    ],
)
def test_shipped_architectures_have_the_published_size(
    name, features, parameters
):
    model = NNSE(arch_file=name, features=features)
    assert sum(p.numel() for p in model.parameters()) == parameters
    assert model(torch.rand(1, 257, 8)).shape == (1, 257, 8)
    again = NNSE(**model.config())
    again.load_state_dict(model.state_dict())
    assert again.config()["arch_file"] is None
    assert name in shipped_architectures()


def test_mel_triangles_by_hand():
    filters = mel_filterbank(72, 257, 16000)
    assert filters.shape == (72, 257)
    np.testing.assert_allclose(filters.max(axis=1), 1.0)
    # Low triangles are single bins; the last has its edges on 237, 247, 256.
    assert np.flatnonzero(filters[1]).tolist() == [1]
    last = np.zeros(257)
    last[237:248] = np.arange(11) / 10
    last[247:257] = np.arange(9, -1, -1) / 9
    np.testing.assert_allclose(filters[-1], last, rtol=1e-6)
    # Between the first and the last peak the triangles add up to one.
    np.testing.assert_allclose(filters.sum(axis=0)[1:248], 1.0, rtol=1e-6)


def test_features_are_normalised_logarithms_of_power():
    torch.manual_seed(0)
    model = NNSE([FC], features="pspec", bins=9)
    clips = [torch.rand(9, 30) * 4, torch.rand(2, 9, 11), np.ones((9, 5))]
    model.fit_normalisation(clips)
    logs = [
        np.log10(np.asarray(c, dtype=float) ** 2 + 2**-15).reshape(-1, 9, n)
        for c, n in zip(clips, (30, 11, 5), strict=True)
    ]
    frames = np.concatenate([f.transpose(0, 2, 1).reshape(-1, 9) for f in logs])
    front = model.front_end
    np.testing.assert_allclose(front.mean, frames.mean(0), rtol=1e-4)
    np.testing.assert_allclose(front.invstd, 1 / frames.std(0), rtol=1e-3)
    got = front(clips[0].unsqueeze(0))[0].numpy()
    wanted = (logs[0][0].T - frames.mean(0)) / frames.std(0)
    np.testing.assert_allclose(got, wanted.T, atol=1e-3)


def test_mel_features_sum_power_under_the_triangles():
    model = NNSE()
    magnitude = torch.rand(1, 257, 3)
    power = magnitude[0].numpy() ** 2
    wanted = np.log10(mel_filterbank(72, 257, 16000) @ power + 2**-15)
    np.testing.assert_allclose(
        model.front_end(magnitude)[0], wanted, rtol=1e-3, atol=1e-5
    )


def test_statistics_travel_with_the_weights_and_constants_do_not_grow():
    model = NNSE([FC], features="pspec", bins=9)
    model.fit_normalisation([torch.full((9, 4), 0.5)])
    assert model.front_end.invstd.max() <= 100.0001
    again = NNSE([FC], features="pspec", bins=9)
    again.load_state_dict(model.state_dict())
    assert torch.equal(again.front_end.mean, model.front_end.mean)


def test_dropout_mask_is_shared_over_time():
    torch.manual_seed(0)
    layers = [{"layer_type": "fc", "layer_neurons": 9, "dropprob": 0.5}]
    model = NNSE(layers, features="pspec", bins=9).train()
    dropped = model(torch.rand(4, 9, 20)) == 0
    assert dropped.any() and not dropped.all()
    assert torch.equal(dropped.all(-1), dropped.any(-1))


def test_receptive_field_without_lstm():
    conv = {"layer_type": "conv1d", "layer_neurons": 9, "kernel_size": 4}
    model = NNSE([conv, conv, FC], features="pspec", bins=9)
    assert model.receptive_field_frames == 7
    assert NNSE().receptive_field_frames is None


def test_architecture_text_is_read_with_comments(tmp_path):
    path = tmp_path / "own.txt"
    path.write_text(
        "input_neurons 9 # features\n\n# a comment\nlayer_type conv1d\n"
        "num_filters 4\nkernel_size 3\nactivation relu6\ndropprob 0.5\n"
        "layer_type fc\nlayer_neurons 9\nactivation sigmoid\n"
        "scalar_output 2.0\n"
    )
    read = read_architecture(path)
    assert read.input_neurons == 9 and read.input_dropprob == 0.0
    assert read.layers[0] == {
        "layer_type": "conv1d",
        "layer_neurons": 4,
        "kernel_size": 3,
        "activation": "relu6",
        "dropprob": 0.5,
    }
    model = NNSE(arch_file=path, features="pspec", bins=9)
    assert model.scalar_output == 2.0
    assert model(torch.rand(1, 9, 30)).max() > 1.0


@pytest.mark.parametrize(
    "text, problem",
    [
        ("layer_neurons 3\n", "line 1: layer_neurons stands before"),
        ("# x\nactivaton tanh\n", "line 2: .*did you mean activation"),
        ("layer_type fc\nlayer_neurons x\n", "takes one whole number"),
        ("layer_type fc\nlayer_neurons\n", "takes one whole number"),
        ("layer_type fc\nlayer_neurons 9\n", "no input_neurons"),
        ("input_neurons 9\nlen_filter 3\n", "len_filter 3 is not"),
        ("input_neurons 72\nlayer_type conv1\n", "did you mean conv1d"),
        ("input_neurons 72\n", "layers must be a list"),
    ],
)
def test_a_bad_line_is_named(tmp_path, text, problem):
    path = tmp_path / "own.txt"
    path.write_text(text)
    with pytest.raises(UserError, match=problem):
        NNSE(arch_file=path)


def test_bad_layers_and_files_are_refused():
    with pytest.raises(UserError) as error:
        NNSE([{"layer_type": "fc", "layer_neurons": 3, "kernel_size": 2}])
    assert "kernel_size belongs to conv1d" in str(error.value)
    assert "the last layer has 3 neurons, the mask 257" in str(error.value)
    with pytest.raises(UserError, match="did you mean 72_mel"):
        NNSE(arch_file="72_mle")
    with pytest.raises(UserError, match="input_neurons 257"):
        NNSE(arch_file="128_pspec", features="mel")
    with pytest.raises(UserError, match="leave one out"):
        NNSE([FC], arch_file="72_mel")
    with pytest.raises(UserError, match="hold none of the"):
        NNSE([FC], bins=9, n_mels=20)
