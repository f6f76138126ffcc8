"""What a network costs: parameters, multiplications, memory, delay."""

from dataclasses import dataclass

from edgebrain.models.base import model_traits
from edgebrain.models.verify import evaluating
from edgebrain.signal import SignalSettings
from edgebrain.tasks import Interface
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

# Hold parameters, but fold into a convolution or cost next to nothing.
_FREE = (_BatchNorm, nn.PReLU, nn.LayerNorm, nn.GroupNorm)


@dataclass(frozen=True)
class Complexity:
    """Cost of a network with its signal settings.

    Multiply-accumulates are of convolutions, linear and recurrent layers;
    ``uncounted`` are classes of modules with parameters of their own whose
    multiplications are in no count. The latency is that of the signal path and
    the look-ahead, the state memory between frames as float32. None: not
    known, without bound (``recurrent``), or no frame-by-frame form.
    """

    name: str
    parameters: int
    macs_per_frame: int
    macs_per_second: int
    causal: bool
    receptive_field_frames: int | None
    recurrent: bool
    lookahead_frames: int | None
    latency_samples: int | None
    latency_ms: float | None
    state_bytes: int | None
    uncounted: tuple[str, ...] = ()

    def table(self) -> str:
        """Return the figures as text, a line each."""
        field = _frames(self.receptive_field_frames)
        if self.receptive_field_frames is None and self.recurrent:
            field = "unbounded (recurrent)"
        latency = "not known"
        if self.latency_samples is not None:
            latency = f"{self.latency_ms:.1f} ms ({self.latency_samples:,}"
            latency += " samples)"
        state = "no frame-by-frame form"
        if self.state_bytes is not None:
            state = f"{self.state_bytes:,} bytes (float32)"
        rows = [
            ("model", self.name),
            ("parameters", f"{self.parameters:,}"),
            ("MACs a frame", f"{self.macs_per_frame:,}"),
            ("MACs a second", f"{self.macs_per_second / 1e6:,.1f} M"),
            ("causal", "yes" if self.causal else "no"),
            ("receptive field", field),
            ("look-ahead", _frames(self.lookahead_frames)),
            ("latency", latency),
            ("state", state),
        ]
        if self.uncounted:
            rows.append(("MACs not counted of", ", ".join(self.uncounted)))
        width = max(len(label) for label, _ in rows)
        return "\n".join(f"{label:<{width}}  {text}" for label, text in rows)


def _frames(count: int | None) -> str:
    if count is None:
        return "not known"
    return f"{count} frame{'' if count == 1 else 's'}"


def describe(model: nn.Module, settings: SignalSettings) -> Complexity:
    """Count what a network (batch, bins, frames) -> output costs.

    Convolutions, linear and recurrent layers are counted as they run, so a
    network of one's own is counted too. A module may count itself by a
    method ``count_macs(inputs, output) -> int``.
    """
    traits = model_traits(model)
    macs, uncounted = _macs_per_frame(model, settings.bins)
    latency = None
    if traits.lookahead_frames is not None:
        lookahead = traits.lookahead_frames * settings.hop_length
        latency = settings.latency_samples + lookahead
    state = None
    if traits.streaming:
        state = sum(4 * t.numel() for t in model.initial_state().values())
    rate = settings.sample_rate
    return Complexity(
        name=type(model).__name__,
        parameters=sum(p.numel() for p in model.parameters()),
        macs_per_frame=macs,
        macs_per_second=round(macs * rate / settings.hop_length),
        causal=traits.causal,
        receptive_field_frames=traits.receptive_field_frames,
        recurrent=traits.recurrent,
        lookahead_frames=traits.lookahead_frames,
        latency_samples=latency,
        latency_ms=None if latency is None else 1000 * latency / rate,
        state_bytes=state,
        uncounted=uncounted,
    )


def window_table(model: nn.Module, interface: Interface) -> str:
    """Return what a network that judges windows costs, a line each."""
    channels, (frames, hop) = interface.input.shape[0], interface.window
    macs, uncounted = count_macs(model, channels, frames)
    rows = [
        ("model", type(model).__name__),
        ("parameters", f"{sum(p.numel() for p in model.parameters()):,}"),
        ("MACs a window", f"{macs:,}"),
        ("window", f"{channels} x {frames} frames, each {hop}"),
    ]
    if model_traits(model).streaming:
        rows.append(("stream", f"scores each {model.step_frames} frames"))
    if uncounted:
        rows.append(("not counted", ", ".join(uncounted)))
    return "\n".join(f"{label:<13}  {text}" for label, text in rows)


def _macs_per_frame(model: nn.Module, bins: int) -> tuple[int, tuple[str, ...]]:
    """Count two lengths: the difference leaves out what pads the ends."""
    short, _ = count_macs(model, bins, 32)
    long, uncounted = count_macs(model, bins, 64)
    return round((long - short) / 32), uncounted


def count_macs(
    model: nn.Module, bins: int, frames: int
) -> tuple[int, tuple[str, ...]]:
    """Return the multiply-accumulates of one call, and what is in no count."""
    total, uncounted, handles = 0, set(), []

    def hook(module, inputs, output):
        nonlocal total
        macs = _module_macs(module, inputs, output)
        if macs is not None:
            total += macs
        elif not isinstance(module, _FREE):
            uncounted.add(type(module).__name__)

    for module in model.modules():
        own = any(True for _ in module.parameters(recurse=False))
        if own or hasattr(module, "count_macs"):
            handles.append(module.register_forward_hook(hook))
    like = next(model.parameters(), torch.zeros(()))
    try:
        with evaluating(model):
            model(
                torch.zeros(
                    1, bins, frames, device=like.device, dtype=like.dtype
                )
            )
    finally:
        for handle in handles:
            handle.remove()
    return total, tuple(sorted(uncounted))


def _module_macs(module: nn.Module, inputs: tuple, output) -> int | None:
    """Return the multiplications of one call, None where not known."""
    if hasattr(module, "count_macs"):
        return module.count_macs(inputs, output)
    if isinstance(module, _ConvTransposeNd):
        each = module.weight[0].numel()
        return inputs[0].numel() * each
    if isinstance(module, _ConvNd):
        return output.numel() * module.weight[0].numel()
    if isinstance(module, nn.Linear):
        return output.numel() * module.in_features
    if isinstance(module, nn.RNNBase):
        data = inputs[0]
        steps = data.numel() // data.shape[-1]
        weights = sum(
            p.numel()
            for name, p in module.named_parameters()
            if name.startswith("weight")
        )
        return steps * weights
    if isinstance(module, nn.RNNCellBase):
        batch = inputs[0].numel() // inputs[0].shape[-1]
        return batch * (module.weight_ih.numel() + module.weight_hh.numel())
    return None
