"""Write a network as ONNX files, each compared with PyTorch first.

Every file has shape inference, metadata, its weights inside, IR version 8
and ONNX's own operator set alone. It appears under its name only after its
outputs for real frames equalled those of the network.
"""

from pathlib import Path

from edgebrain import tasks
from edgebrain.errors import UserError
from edgebrain.models import check_step, model_traits
from edgebrain.models.base import no_streaming
from edgebrain.onnx.job import Exported, ExportOptions, Job, distance
from edgebrain.tasks import Setup
import numpy as np
import torch
from torch import Tensor, nn

#: Frames of the comparison, in a closed loop for a stream.
PROBE_FRAMES = 300
_TRACED_FRAMES = 48


def export_offline(
    model: nn.Module,
    setup: Setup,
    path: str | Path,
    opset: int = 17,
    **options,
) -> Exported:
    """Export the form that takes any batch of any number of frames.

    Arguments
    ---------
    model : nn.Module
        As its task wants it, see :class:`edgebrain.tasks.Interface`. Left
        as it was.
    **options
        Further fields of :class:`.job.ExportOptions`.

    Raises
    ------
    UserError
        When something is wrong with the model, an option or the target, or
        the exported outputs differ. Then no file is written.
    """
    job = Job(model, setup, path, "offline", ExportOptions(opset, **options))
    check_offline(job.model, setup)
    probe = job.probe(PROBE_FRAMES)
    proto = job.trace(
        job.model,
        {job.input.name: torch.from_numpy(probe[None, :, :_TRACED_FRAMES])},
        {job.output.name: job.output_shape("batch", "frames")},
        dynamic=True,
    )

    def compare(runner) -> float:
        # Other sizes than the traced ones: nothing may be fixed to those.
        half = probe[:, : probe.shape[1] // 2]
        batch = np.stack([half, probe[:, -half.shape[1] :], half[:, ::-1]])
        worst = 0.0
        for clip in (batch, probe[None], probe[None, :, 70:71]):
            worst = max(worst, _difference(job, runner, clip))
        return worst

    return job.finish(proto, None, compare)


def export_patch(
    model: nn.Module,
    setup: Setup,
    path: str | Path,
    opset: int = 17,
    frames_per_patch: int = 30,
    context: tuple[int, int] | int | None = None,
    **options,
) -> Exported:
    """Export the form that takes one window of a fixed number of frames.

    The window holds ``frames_per_patch`` new frames and the context around
    them. With the receptive field as context the outputs are those of the
    offline form.

    Arguments
    ---------
    context : int or tuple of (int, int), optional
        Frames left and right; one number: of a causal network to the left,
        with the look-ahead to the right, of another one on both sides.
        None: the receptive field.

    Returns
    -------
    Exported
        With a note on the cost where the context is smaller.

    Raises
    ------
    UserError
        As for :func:`export_offline`; without a context, when the receptive
        field has no bound or is not known.
    """
    options = ExportOptions(opset, **options)
    job = Job(model, setup, path, "patch", options)
    if job.window is not None:
        if context is not None:
            raise UserError(
                f"{type(model).__name__} judges windows of {job.window[0]} "
                "frames as a whole: leave --context out"
            )
        frames, hop = job.window
        context = needed = (frames - hop, 0)
        notes = [f"each call judges {frames} frames, {hop} of them new"]
    else:
        context, needed = patch_context(model, context)
        frames = frames_per_patch + sum(context)
        notes = [
            f"each call computes {frames} frames for {frames_per_patch} new "
            f"ones: {frames / frames_per_patch:.1f} times the work of the "
            "offline form"
        ]
    probe = job.probe(max(PROBE_FRAMES, 3 * frames))
    proto = job.trace(
        job.model,
        {job.input.name: torch.from_numpy(probe[None, :, :frames])},
        {job.output.name: job.output_shape(1, frames)},
    )

    def compare(runner) -> float:
        worst = max(
            _difference(job, runner, probe[None, :, start : start + frames])
            for start in (0, frames // 2, probe.shape[1] - frames)
        )
        if job.window is not None:
            return worst
        offline = job.forward(probe[None])[0]
        got = runner.run(probe)
        if needed and context[0] >= needed[0] and context[1] >= needed[1]:
            return max(worst, distance(got, offline))
        field = "without bound" if job.traits.recurrent else "not known"
        if needed is not None:
            field = f"{needed[0]} left and {needed[1]} right"
        error = np.abs(got - offline)
        notes.append(
            f"warning: the context of {context[0]} frames left and "
            f"{context[1]} right does not hold the receptive field ({field}): "
            f"outputs differ from the offline form by {error.mean():.2g} on "
            f"average, up to {error.max():.2g}"
        )
        return worst

    return job.finish(proto, frames, compare, notes=notes, context=context)


def _difference(job: Job, runner, features: np.ndarray) -> float:
    """Return the largest difference of one call from PyTorch."""
    features = np.ascontiguousarray(features)
    got = runner.call({runner.input_name: features})[0]
    return distance(got, job.forward(features))


def export_stream(
    model: nn.Module,
    setup: Setup,
    path: str | Path,
    opset: int = 17,
    stream_frames: int = 1,
    **options,
) -> Exported:
    """Export the form that takes the next frames and its own states.

    Each state is an input and an output of its own, ``name`` and
    ``new_name``. The runner starts from zeros.

    Raises
    ------
    UserError
        As for :func:`export_offline`; when the network has no
        frame-by-frame form.
    """
    options = ExportOptions(opset, **options)
    job = Job(model, setup, path, "stream", options)
    model, late = job.model, job.traits.lookahead_frames or 0
    check_streamable(model)
    state = model.initial_state()
    if any(value.any() for value in state.values()):
        raise UserError(
            f"{type(model).__name__}: initial_state() is not all zeros; a "
            "runner starts from zeroed memory: store the difference instead"
        )
    size, count, notes = stream_frames, PROBE_FRAMES, []
    if job.window is not None:
        # Judges the newest frames, once there are so many.
        size, field = model.step_frames, model.receptive_field_frames
        count = max(count, 3 * field)
        notes = [f"each call takes {size} frames and judges the last {field}"]
    else:
        check_step(model, job.input.shape[0], sorted({1, size}))
        if late + size > 1:
            notes = [f"outputs come up to {late + size - 1} frames late"]
    probe = job.probe(size * -(-count // size))
    proto = job.trace(
        _Step(model, list(state)),
        {job.input.name: torch.from_numpy(probe[None, :, :size]), **state},
        {
            job.output.name: job.output_shape(1, size),
            **{f"new_{n}": tuple(v.shape) for n, v in state.items()},
        },
    )

    def compare(runner) -> float:
        got, worst = runner.run(probe), 0.0
        if job.window is not None:
            for step in range(-(-field // size), probe.shape[1] // size + 1):
                newest = probe[None, :, step * size - field : step * size]
                wanted = job.forward(np.ascontiguousarray(newest))[0]
                worst = max(worst, distance(got[:, step - 1], wanted))
            return worst
        return distance(got, job.forward(probe[None])[0])

    states = [
        {"input": name, "output": f"new_{name}", "shape": list(value.shape)}
        for name, value in state.items()
    ]
    return job.finish(proto, size, compare, notes=notes, states=states)


def check_offline(model: nn.Module, setup: Setup) -> None:
    """Refuse a network that judges windows of so many frames."""
    interface = tasks.find(setup.task).interface(model, setup)
    if interface.window is not None:
        raise UserError(
            f"{type(model).__name__} judges windows of "
            f"{interface.window[0]} frames: take the patch form"
        )


def check_streamable(model: nn.Module) -> None:
    """Refuse a network without a frame-by-frame form."""
    if not model_traits(model).streaming:
        raise no_streaming(model)


def patch_context(
    model: nn.Module, context: tuple[int, int] | int | None
) -> tuple[tuple[int, int], tuple[int, int] | None]:
    """Return the context of a patch, left and right, and what it needs.

    That is None where the receptive field has no bound or is not known.
    """
    traits, needed = model_traits(model), None
    field, ahead = traits.receptive_field_frames, traits.lookahead_frames
    if field is not None and ahead is not None:
        needed = (max(field - 1 - ahead, 0), ahead)
    if context is None:
        if needed is None:
            name = type(model).__name__
            why = "is recurrent: its receptive field has no bound"
            if not traits.recurrent:
                why = "states no receptive_field_frames and lookahead_frames"
            raise UserError(
                f"{name} {why}, so the patch form needs an explicit context: "
                "--context LEFT RIGHT in frames"
            )
        return needed, needed
    if isinstance(context, int):
        right = ahead or 0 if traits.causal else context
        context = (context, right)
    return (int(context[0]), int(context[1])), needed


class _Step(nn.Module):
    """The step of a network with its states as separate tensors."""

    def __init__(self, model: nn.Module, names: list[str]):
        super().__init__()
        self.model = model
        self.names = names

    def forward(self, features: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        output, new = self.model.step(
            features, dict(zip(self.names, state, strict=True))
        )
        return output, *(new[name] for name in self.names)
