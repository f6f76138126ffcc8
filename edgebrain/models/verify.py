"""Verify what a network claims before a long training starts."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
import traceback

from edgebrain.errors import UserError
from edgebrain.models.base import model_traits
from edgebrain.tasks import Interface, Port
import torch
from torch import Tensor, nn

_SEED = 20230707


def check_model_output(model: nn.Module, bins: int) -> None:
    """Judge the mask of a network as :func:`check_output` judges any."""
    shape = (bins, None)
    check_output(
        model, Interface(Port("magnitude", shape), Port("mask", shape))
    )


def check_output(model: nn.Module, interface: Interface) -> None:
    """Run small random features through the network; judge the output.

    Two numbers of frames are tried, for a network must take any; of one that
    judges windows, that of a window. Refuses another shape, what is complex,
    no floating point or not finite, and a mask network that states another
    number of bins.
    """
    name = type(model).__name__
    stated, channels = model_traits(model).bins, interface.input.shape[0]
    if stated is not None and stated != channels:
        raise UserError(
            f"{name} is built for {stated} bins, the signal settings give "
            f"{channels} (n_fft // 2 + 1): change one of them"
        )
    window = interface.window
    with evaluating(model):
        for frames in (24, 37) if window is None else window[:1]:
            features = _random_features(model, 2, channels, frames)
            output = _forward(model, features)
            port = interface.output
            shape = [frames if n is None else n for n in port.shape]
            _judge(name, output, (2, *shape), port.name)


def check_causality(model: nn.Module, channels: int, frames: int = 48) -> None:
    """Verify that a network that claims to be causal is.

    The frames after t + look-ahead are replaced; the output up to t must stay.
    One that claims nothing is not judged. ``channels`` are those of the
    features.
    """
    traits = model_traits(model)
    if not traits.causal:
        return
    lookahead = traits.lookahead_frames
    with evaluating(model):
        features = _random_features(model, 1, channels, frames + lookahead)
        output = _forward(model, features)
        for kept in (1, frames // 3, frames - 1):
            other = features.clone()
            other[..., kept + lookahead :] *= 50.0
            change = _forward(model, other) - output
            worst = change[..., :kept].abs().amax(dim=(0, 1))
            late = torch.nonzero(worst > 1e-5).flatten()
            if len(late):
                frame = int(late[0])
                raise UserError(
                    f"{type(model).__name__} says causal = True with "
                    f"{lookahead} frames of look-ahead, but its output of "
                    f"frame {frame} changes by {float(worst[frame]):.2g} when "
                    f"only frames from {kept + lookahead} on change: set "
                    "causal = False, or look for padding on the right, a "
                    "bidirectional layer, or a mean over time"
                )


def check_step(
    model: nn.Module,
    channels: int,
    chunks: Iterable[int] = (1, 3, 7),
    frames: int = 40,
    tolerance: float = 1e-5,
) -> float:
    """Verify that ``step`` over all frames equals ``forward``.

    Tried with ``chunks`` frames a call. Returns the largest difference.
    """
    name, worst = type(model).__name__, 0.0
    lookahead = model_traits(model).lookahead_frames or 0
    with evaluating(model):
        features = _random_features(model, 2, channels, frames)
        wanted = _forward(model, features)
        silence = torch.zeros_like(features[..., :1])
        stream = torch.cat([features, *[silence] * lookahead], dim=-1)
        for chunk in chunks:
            got = _run_steps(model, stream, chunk)[..., lookahead:]
            difference = float((got - wanted).abs().max())
            worst = max(worst, difference)
            if not difference <= tolerance:
                raise UserError(
                    f"{name}: step by {chunk} frames differs from forward by "
                    f"{difference:.2g} (allowed {tolerance:g}): does "
                    "initial_state hold what forward pads in front, and does "
                    "step return the newest frames as the new state?"
                )
    return worst


def _run_steps(model: nn.Module, stream: Tensor, chunk: int) -> Tensor:
    state = model.initial_state(batch=stream.shape[0])
    shapes = {key: value.shape for key, value in state.items()}
    outputs = []
    for part in stream.split(chunk, dim=-1):
        output, state = model.step(part, state)
        outputs.append(output)
        new = {key: value.shape for key, value in state.items()}
        if list(new.items()) != list(shapes.items()):
            raise UserError(
                f"{type(model).__name__}: step returns a state of "
                f"{_listing(new)}, initial_state one of {_listing(shapes)}"
            )
    return torch.cat(outputs, dim=-1)


def _listing(shapes: dict[str, torch.Size]) -> str:
    return ", ".join(f"{k} {tuple(v)}" for k, v in shapes.items()) or "nothing"


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Eval mode without gradients; each module's mode is restored."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, training in modes:
            module.training = training


def _random_features(
    model: nn.Module, batch: int, channels: int, frames: int
) -> Tensor:
    generator = torch.Generator().manual_seed(_SEED)
    features = torch.rand(batch, channels, frames, generator=generator)
    like = next(model.parameters(), features)
    return features.to(device=like.device, dtype=like.dtype)


def _forward(model: nn.Module, features: Tensor) -> Tensor:
    try:
        return model(features)
    except UserError:
        raise
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        raise UserError(
            f"{type(model).__name__}.forward fails on an input of shape "
            f"{tuple(features.shape)} (batch, channels, frames): "
            f"{type(error).__name__}: {error} ({place.filename}:"
            f"{place.lineno})"
        ) from error


def _judge(name: str, output, wanted: tuple, what: str) -> None:
    problems = []
    if not isinstance(output, Tensor):
        raise UserError(
            f"{name}.forward returns a {type(output).__name__}, expected one "
            f"Tensor of shape {wanted}"
        )
    if tuple(output.shape) != wanted:
        problems.append(
            f"the shape of the {what} is {tuple(output.shape)}, expected "
            f"{wanted}, the batch first"
        )
    if not output.dtype.is_floating_point:
        problems.append(
            f"the {what} is {output.dtype}, expected real floating point"
        )
    elif not torch.isfinite(output).all():
        count = int((~torch.isfinite(output)).sum())
        problems.append(
            f"{count} of {output.numel()} values of the {what} are NaN or "
            "infinite: look for a logarithm, root or division without a floor"
        )
    if problems:
        raise UserError.collect(f"{name}: bad output of forward", problems)
