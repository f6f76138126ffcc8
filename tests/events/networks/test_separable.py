"""YAMNet and its relatives: sizes, streaming, what training slices."""

from edgebrain.errors import UserError
from edgebrain.events.networks import MiniResNet, SeparableNet, YAMNet
from edgebrain.models.verify import evaluating
import pytest
import torch


def unsettled(model):
    """Give BatchNorm statistics and biases that are not those of the start."""
    generator = torch.Generator().manual_seed(1)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            for tensor in (module.running_mean, module.bias.data):
                tensor.normal_(0, 0.1, generator=generator)
            module.running_var.uniform_(0.5, 2.0, generator=generator)
    return model.eval()


def keras_size(model):
    """Count as Keras does: running statistics are parameters there."""
    moving = [b for name, b in model.named_buffers() if "running" in name]
    return sum(p.numel() for p in [*model.parameters(), *moving])


@pytest.mark.parametrize(
    "model, wanted",
    [
        (YAMNet(10, 256, "same"), 137_674),
        (YAMNet(10, 1024, "same"), 3_217_344 + 10_250),
        (MiniResNet(10, 1, 1), 126_922),
        (MiniResNet(10, 1, 2), 442_442),
        (MiniResNet(10, 2, 1), 126_410),
        (MiniResNet(10, 2, 2), 440_906),
    ],
    ids=lambda value: getattr(value, "__class__", type(value)).__name__,
)
def test_sizes_are_those_published(model, wanted):
    assert keras_size(model) == wanted
    patch = torch.randn(2, model.mels, model.patch_frames)
    with evaluating(model):
        assert model(patch).shape == (2, 10)
    assert type(model)(**model.config()).config() == model.config()


def test_pads_like_keras_at_stride_two():
    layer = YAMNet(2, 256, "same").backbone[0]
    with torch.no_grad():
        layer.conv.weight.zero_()
        layer.conv.weight[0, 0, 0, 0] = 1.0
    features = torch.arange(64.0 * 96).reshape(1, 1, 64, 96)
    with evaluating(layer):
        out = layer(features)[0, 0]
    # The first tap of each window lies on the even bands and frames.
    wanted = features[0, 0, ::2, ::2] / (1 + layer.norm.eps) ** 0.5
    assert torch.allclose(out, wanted)


@pytest.mark.parametrize(
    "model",
    [
        YAMNet(5),
        SeparableNet(3, 8, [[1, 12], [2, 16]], mels=40, patch_frames=50),
        SeparableNet(3, 8, [[2, 12]], mels=33, patch_frames=7),
        SeparableNet(3, 8, [[2, 12]], patch_frames=25, parts=4),
    ],
    ids=["yamnet", "small", "one column", "parts"],
)
def test_step_equals_forward_on_the_newest_frames(model):
    model = unsettled(model)
    field, hop = model.receptive_field_frames, model.step_frames
    features = torch.randn(2, model.mels, hop * (field // hop + 6))
    state, checked = model.initial_state(2), 0
    names = list(state)
    with torch.no_grad():
        for end in range(hop, features.shape[-1] + 1, hop):
            logits, state = model.step(features[..., end - hop : end], state)
            assert list(state) == names
            if end >= field:
                wanted = model(features[..., end - field : end])
                assert torch.allclose(logits, wanted, atol=1e-5)
                checked += 1
    assert checked >= 5


def test_parts_are_means_of_bands_from_low_to_high():
    model = unsettled(SeparableNet(3, 8, [[2, 12]], parts=4))
    whole = SeparableNet(3, 8, [[2, 12]])
    whole.backbone = model.backbone
    patch = torch.randn(2, 64, 96)
    with evaluating(model), evaluating(whole):
        columns = model.embed(patch).unflatten(1, (12, 4))
        assert torch.allclose(columns.mean(2), whole.embed(patch), atol=1e-6)
        maps = whole._maps(patch)
        assert torch.allclose(columns[:, 5, 3], maps[:, 5, 12:].mean(1))
        wanted = model.head(model.embed(patch).mean(2))
        assert torch.allclose(model(patch), wanted, atol=1e-5)


def test_a_patch_is_made_of_the_columns_of_its_neighbours():
    """What a device computes once a column serves every patch over it."""
    model = unsettled(YAMNet(5))
    step = 48
    assert step % model.step_frames == 0
    features = torch.randn(1, 64, 96 + 2 * step)
    with torch.no_grad():
        whole = model.embed(features)
        for patch in range(3):
            first = patch * step // model.step_frames
            part = model.embed(features[..., patch * step :][..., :96])
            columns = whole[..., first : first + model.columns]
            assert torch.allclose(part, columns, atol=1e-5)


def test_training_gives_the_values_of_a_strided_convolution():
    model = YAMNet(4)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 0.0
    patch = torch.randn(3, 64, 96)
    layers = [layer for layer in model.backbone if layer.conv.stride[0] == 2]
    assert len(layers) == 3
    x = patch.unsqueeze(1)
    for layer in model.backbone:
        layer.norm.eval()
        sliced = layer.train(True).norm.eval() and layer(x)
        x = layer.eval()(x)
        assert torch.allclose(sliced, x, atol=1e-5)


def test_refuses_what_cannot_be():
    with pytest.raises(UserError, match="time_padding"):
        YAMNet(10, time_padding="causal")
    with pytest.raises(UserError, match="embedding: 256 or 1024"):
        YAMNet(10, embedding=512)
    with pytest.raises(UserError, match="a column needs 43 frames"):
        YAMNet(10, patch_frames=40)
    with pytest.raises(UserError, match="parts: 8 bands"):
        YAMNet(10, parts=3)
    with pytest.raises(UserError, match="version"):
        MiniResNet(10, version=3)
    with pytest.raises(UserError, match="not causal"):
        YAMNet(10, time_padding="same").initial_state()


@pytest.mark.parametrize(
    "padding, parts", [("valid", 1), ("valid", 2), ("same", 1)]
)
def test_equalized_channels_are_alike_and_the_output_stays(padding, parts):
    torch.manual_seed(1)
    layers = (8, [[1, 8], [2, 12]])
    model = unsettled(SeparableNet(3, *layers, padding, parts=parts))
    gains = 10.0 ** torch.linspace(-1.5, 0, 8)
    stem, depthwise = model.backbone[0], model.backbone[1].conv
    with torch.no_grad():
        # Channels of very different size, made good for in the next layer.
        stem.conv.weight.mul_(gains.view(-1, 1, 1, 1))
        stem.norm.running_mean.mul_(gains)
        stem.norm.bias.mul_(gains)
        depthwise.weight.div_(gains.view(-1, 1, 1, 1))
    patches = torch.randn(6, 64, 96)
    with evaluating(model):
        before = stem(patches[:, None]).amax((0, 2, 3))
        wanted = model(patches)
        model.equalize(patches)
        after = stem(patches[:, None]).amax((0, 2, 3))
        assert torch.allclose(model(patches), wanted, atol=1e-4)
    assert before.max() / before.min() > 10
    assert torch.allclose(after, after.max().expand(8), rtol=1e-3)
