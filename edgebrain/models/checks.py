"""Checks of a network before a long training starts."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
import traceback

from edgebrain.errors import UserError
from edgebrain.models.base import model_traits
import torch
from torch import Tensor, nn

_SEED = 20230707


def check_model_output(model: nn.Module, bins: int) -> None:
    """Run a small random magnitude through the network; judge the mask.

    Two numbers of frames are tried, for a network must take any.

    Arguments
    ---------
    model : nn.Module
        Training mode and weights are left as they were.
    bins : int
        Frequency bins of the signal settings, ``n_fft // 2 + 1``.

    Raises
    ------
    UserError
        When forward fails, or the mask has another shape, is complex or
        not floating point, or is not finite; or when the network states
        another number of bins.
    """
    name = type(model).__name__
    stated = model_traits(model).bins
    if stated is not None and stated != bins:
        raise UserError(
            f"{name} is built for {stated} bins, the signal settings give "
            f"{bins} (n_fft // 2 + 1): change one of them"
        )
    with evaluating(model):
        for frames in (24, 37):
            magnitude = _random_magnitude(model, 2, bins, frames)
            mask = _forward(model, magnitude)
            _judge(name, mask, magnitude)


def check_causality(model: nn.Module, bins: int, frames: int = 48) -> None:
    """Verify that a network that claims to be causal is.

    The frames after t + look-ahead are replaced; the mask up to t must stay.
    One that claims nothing is not judged.

    Arguments
    ---------
    model : nn.Module
    bins : int
    frames : int
        Length of the magnitude that is tried, without the look-ahead.

    Raises
    ------
    UserError
        When the mask changes.
    """
    traits = model_traits(model)
    if not traits.causal:
        return
    lookahead = traits.lookahead_frames
    with evaluating(model):
        magnitude = _random_magnitude(model, 1, bins, frames + lookahead)
        mask = _forward(model, magnitude)
        for kept in (1, frames // 3, frames - 1):
            other = magnitude.clone()
            other[..., kept + lookahead :] *= 50.0
            change = _forward(model, other) - mask
            worst = change[..., :kept].abs().amax(dim=(0, 1))
            late = torch.nonzero(worst > 1e-5).flatten()
            if len(late):
                frame = int(late[0])
                raise UserError(
                    f"{type(model).__name__} says causal = True with "
                    f"{lookahead} frames of look-ahead, but its mask of frame "
                    f"{frame} changes by {float(worst[frame]):.2g} when only "
                    f"frames from {kept + lookahead} on change: set causal = "
                    "False, or look for padding on the right, a "
                    "bidirectional layer, or a mean over time"
                )


def check_step(
    model: nn.Module,
    bins: int,
    chunks: Iterable[int] = (1, 3, 7),
    frames: int = 40,
    tolerance: float = 1e-5,
) -> float:
    """Verify that ``step`` over all frames equals ``forward``.

    Arguments
    ---------
    model : nn.Module
        A causal one with ``initial_state`` and ``step``.
    bins : int
    chunks : iterable of int
        Frames a call of step.
    frames : int
        Length of the magnitude.
    tolerance : float
        Largest difference allowed.

    Returns
    -------
    float
        The largest difference found.

    Raises
    ------
    UserError
        When the masks differ, or the state changes its names or shapes.
    """
    name, worst = type(model).__name__, 0.0
    lookahead = model_traits(model).lookahead_frames or 0
    with evaluating(model):
        magnitude = _random_magnitude(model, 2, bins, frames)
        wanted = _forward(model, magnitude)
        silence = torch.zeros_like(magnitude[..., :1])
        stream = torch.cat([magnitude, *[silence] * lookahead], dim=-1)
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
    masks = []
    for part in stream.split(chunk, dim=-1):
        mask, state = model.step(part, state)
        masks.append(mask)
        new = {key: value.shape for key, value in state.items()}
        if list(new.items()) != list(shapes.items()):
            raise UserError(
                f"{type(model).__name__}: step returns a state of "
                f"{_listing(new)}, initial_state one of {_listing(shapes)}"
            )
    return torch.cat(masks, dim=-1)


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


def _random_magnitude(
    model: nn.Module, batch: int, bins: int, frames: int
) -> Tensor:
    generator = torch.Generator().manual_seed(_SEED)
    magnitude = torch.rand(batch, bins, frames, generator=generator)
    like = next(model.parameters(), magnitude)
    return magnitude.to(device=like.device, dtype=like.dtype)


def _forward(model: nn.Module, magnitude: Tensor) -> Tensor:
    try:
        return model(magnitude)
    except UserError:
        raise
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        raise UserError(
            f"{type(model).__name__}.forward fails on a magnitude of shape "
            f"{tuple(magnitude.shape)} (batch, bins, frames): "
            f"{type(error).__name__}: {error} ({place.filename}:"
            f"{place.lineno})"
        ) from error


def _judge(name: str, mask, magnitude: Tensor) -> None:
    problems = []
    wanted = tuple(magnitude.shape)
    if not isinstance(mask, Tensor):
        raise UserError(
            f"{name}.forward returns a {type(mask).__name__}, expected one "
            f"Tensor of shape {wanted} (batch, bins, frames)"
        )
    if tuple(mask.shape) != wanted:
        problems.append(
            f"the shape of the mask is {tuple(mask.shape)}, expected that of "
            f"the magnitude, {wanted} (batch, bins, frames)"
        )
    if not mask.dtype.is_floating_point:
        problems.append(
            f"the mask is {mask.dtype}, expected real floating point"
        )
    elif not torch.isfinite(mask).all():
        count = int((~torch.isfinite(mask)).sum())
        problems.append(
            f"{count} of {mask.numel()} values of the mask are NaN or "
            "infinite: look for a logarithm, root or division without a floor"
        )
    if problems:
        raise UserError.collect(f"{name}: bad output of forward", problems)
