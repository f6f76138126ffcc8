"""Write a network of any class as one file that needs torch alone."""

import os
from pathlib import Path
import warnings
import zipfile

from edgebrain.errors import UserError
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

TOLERANCE = 1e-5
_SEED = 20240611
#: Batch and frames: what is recorded, then what it is compared on.
_RECORDED = (2, 24)
_COMPARED = ((1, 1), (1, 2), (3, 37), (1, 160))


def save_torchscript(model: nn.Module, bins: int, path: str | Path) -> float:
    """Write a network as TorchScript.

    Its calls are recorded (``torch.jit.trace``). Where the recording does
    not hold for other numbers of frames or items, because ``forward`` loops
    or branches on them, its source is compiled (``torch.jit.script``).

    Arguments
    ---------
    model : nn.Module
        In evaluation mode, on the CPU: magnitude (batch, bins, frames) to
        mask.
    bins : int
    path : str or Path

    Returns
    -------
    float
        The largest difference of its masks on random magnitudes.

    Raises
    ------
    UserError
        When neither way gives the masks of the network.
    """
    problems = []
    for way, make in {"recorded": _trace, "compiled": _script}.items():
        try:
            with warnings.catch_warnings(), torch.no_grad():
                # What a recording leaves out is found by comparing.
                warnings.simplefilter("ignore")
                made = make(model, bins)
                difference = _difference(made, model, bins)
                if difference <= TOLERANCE:
                    torch.jit.save(made, str(path))
                    _forget_sources(Path(path))
                    return difference
            problems.append(f"{way}: its masks differ by {difference:.2g}")
        except Exception as error:  # a network's own code may raise anything
            lines = str(error).strip().splitlines() or [type(error).__name__]
            problems.append(f"{way}: {lines[0]}")
    raise UserError.collect(
        f"{type(model).__name__} cannot be written as TorchScript: write its "
        "forward in tensor operations, without loops or branches on the "
        "number of frames",
        problems,
    )


def _magnitude(batch: int, bins: int, frames: int) -> Tensor:
    generator = torch.Generator().manual_seed(_SEED + frames)
    return torch.rand(batch, bins, frames, generator=generator)


def _trace(model: nn.Module, bins: int) -> torch.jit.ScriptModule:
    batch, frames = _RECORDED
    whole = _Recordable(model).eval()
    with _ZerosFollow(whole.zero):
        return torch.jit.trace(
            whole, _magnitude(batch, bins, frames), check_trace=False
        )


def _script(model: nn.Module, bins: int) -> torch.jit.ScriptModule:
    return torch.jit.script(model)


def _difference(made, model: nn.Module, bins: int) -> float:
    worst = 0.0
    for batch, frames in (_RECORDED, *_COMPARED):
        magnitude = _magnitude(batch, bins, frames)
        wanted, got = model(magnitude), made(magnitude)
        if got.shape != wanted.shape:
            return float("inf")
        difference = float((got - wanted).abs().max())
        worst = max(worst, difference) if difference >= 0 else float("inf")
    return worst


def _forget_sources(path: Path) -> None:
    """Take the paths of this machine's source files out of a TorchScript."""
    temporary = path.with_name(f".{path.name}-stripped")
    with (
        zipfile.ZipFile(path) as whole,
        zipfile.ZipFile(temporary, "w") as rest,
    ):
        for entry in whole.infolist():
            if not entry.filename.endswith(".debug_pkl"):
                rest.writestr(entry, whole.read(entry))
    os.replace(temporary, path)


class _Recordable(nn.Module):
    """A network and a zero that moves to a GPU with it."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model
        self.register_buffer("zero", torch.zeros(1), persistent=False)

    def forward(self, magnitude: Tensor) -> Tensor:
        """Return the mask."""
        return self.model(magnitude)


class _ZerosFollow(TorchFunctionMode):
    """Record ``torch.zeros`` such that it follows the network to a GPU.

    A recording keeps the device of a new tensor as a constant: the first
    state of an LSTM would stay on the CPU.
    """

    def __init__(self, zero: Tensor):
        super().__init__()
        self.zero = zero

    def __torch_function__(self, func, types, args=(), kwargs=None):
        """Replace float32 zeros on the CPU."""
        kwargs = kwargs or {}
        plain = (
            func is torch.zeros
            and kwargs.get("dtype") in (None, torch.float32)
            and torch.device(kwargs.get("device") or "cpu").type == "cpu"
            and not set(kwargs) - {"dtype", "device"}
        )
        if not plain:
            return func(*args, **kwargs)
        shape = args[0] if isinstance(args[0], tuple | list) else args
        return self.zero.expand(*shape).clone()
