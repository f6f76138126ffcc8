"""What every network states about itself."""

from collections.abc import Mapping
from dataclasses import dataclass
import inspect

from edgebrain.checks import Rule, check
from edgebrain.errors import UserError
import torch
from torch import Tensor, nn

State = dict[str, Tensor]


class EdgeModel(nn.Module):
    """A network from features to an output, on whole clips or on a stream.

    A subclass needs ``forward`` alone; it then has the offline and the
    patch form. One that also sets ``causal`` and gives ``initial_state`` and
    ``step`` has the frame-by-frame form too.

    Attributes
    ----------
    causal : bool
        Whether frame t of the output depends on no frame after
        ``t + lookahead_frames``, so that the network can run on a stream.
    lookahead_frames : int or None
        Future frames that an output frame depends on. None: not known.
    receptive_field_frames : int or None
        Frames that an output frame depends on, itself and the look-ahead
        included. None: without bound (recurrent), or not known.

    Notes
    -----
    A causal network with ``lookahead_frames`` L > 0 gives late outputs when
    streaming: ``step`` on frame t returns the output of frame t - L. Its
    first L outputs belong to no frame, and L frames of silence (zeros) push
    out the last ones. ``forward`` hides this: it returns one for each frame.

    Every shipped model starts from ``initial_state`` of all zeros: what
    ``forward`` pads in front of the first frame is the zero of each layer's
    own input, so a runner may start from zeroed memory.
    """

    causal: bool = False
    lookahead_frames: int | None = None
    receptive_field_frames: int | None = None

    def forward(self, features: Tensor) -> Tensor:
        """Return the output for a whole clip, or for a window of it.

        Arguments
        ---------
        features : Tensor
            (batch, channels, frames).

        Returns
        -------
        Tensor
            (batch, channels, frames), or (batch, classes) of all frames.
        """
        raise NotImplementedError(
            f"{type(self).__name__} needs forward(features) -> output"
        )

    def initial_state(
        self,
        batch: int = 1,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> State:
        """Return the memory before the first frame: named tensors (batch, ...).

        ``batch`` streams run side by side; device and dtype are those of the
        parameters when not given. Zeros, where ``state_shapes`` says of what.
        """
        if not self.causal:
            raise no_streaming(self)
        shapes, like = self.state_shapes(), next(self.parameters())
        device, dtype = device or like.device, dtype or like.dtype
        return {
            name: torch.zeros((batch, *shape), device=device, dtype=dtype)
            for name, shape in shapes.items()
        }

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of each state, without the batch dimension."""
        raise no_streaming(self)

    def step(self, features: Tensor, state: State) -> tuple[Tensor, State]:
        """Return the outputs for the next frames of a stream.

        Arguments
        ---------
        features : Tensor
            (batch, channels, frames), one or more frames.
        state : dict of str to Tensor
            From ``initial_state`` or the last call. Not changed.

        Returns
        -------
        output : Tensor
            (batch, channels, frames), ``lookahead_frames`` late.
        state : dict of str to Tensor
            The same keys in the same order.
        """
        raise no_streaming(self)

    def config(self) -> dict:
        """Return the constructor arguments: ``cls(**config())`` rebuilds it.

        Each argument is read from the attribute of the same name.
        """
        arguments = {}
        for name, parameter in inspect.signature(type(self)).parameters.items():
            if parameter.kind in (
                inspect.Parameter.VAR_POSITIONAL,
                inspect.Parameter.VAR_KEYWORD,
            ):
                continue
            if not hasattr(self, name):
                raise UserError(
                    f"{type(self).__name__}.config(): the constructor "
                    f"argument {name!r} is kept nowhere; add "
                    f"`self.{name} = {name}` to __init__"
                )
            arguments[name] = getattr(self, name)
        return arguments

    def _keep(self, rules: Mapping[str, Rule], given: Mapping) -> None:
        """Check constructor arguments by a table; keep them for ``config``.

        ``given`` are the ``locals()`` of a constructor.
        """
        arguments = {n: value for n, value in given.items() if n in rules}
        checked = check(type(self).__name__, arguments, rules)
        for name, value in checked.items():
            setattr(self, name, value)

    def _check_state(self, state: State) -> None:
        """Refuse a state of another model before it fails obscurely."""
        if not self.causal:
            raise no_streaming(self)
        names = list(self.state_shapes())
        if list(state) != names:
            raise UserError(
                f"{type(self).__name__}.step: the state holds "
                f"{list(state)}, expected {names}: start from initial_state()"
            )


class MaskModel(EdgeModel):
    """A network from a magnitude spectrogram to a mask of the same shape.

    ``forward(magnitude) -> mask`` and ``step(magnitude, state)``: both real,
    (batch, bins, frames), the magnitude not negative; bins are
    ``n_fft // 2 + 1``.
    """

    def __init__(self, bins: int = 257):
        super().__init__()
        self.bins = bins


def no_streaming(model: nn.Module) -> UserError:
    """Return the error for a network without a frame-by-frame form."""
    name, why = type(model).__name__, "has no stream form"
    if not model_traits(model).causal:
        why, mend = f"is not causal and {why}", "or train a causal network"
    else:
        mend = "or give it initial_state() and step()"
    return UserError(
        f"{name} {why}: take the offline or the patch form, {mend}"
    )


@dataclass(frozen=True)
class ModelTraits:
    """What is known of any network, one of a person's own included.

    None is what it does not say; such a network is not causal. It is
    ``recurrent`` where it holds an LSTM, GRU or RNN, so that its field has no
    bound, and ``streaming`` where it is causal and has ``initial_state`` and
    ``step``.
    """

    causal: bool
    lookahead_frames: int | None
    receptive_field_frames: int | None
    bins: int | None
    recurrent: bool
    streaming: bool


def model_traits(model: nn.Module) -> ModelTraits:
    """Return what a network states about itself, wrapped for DDP or not.

    A causal one that states no look-ahead has none.
    """
    if isinstance(model, nn.parallel.DistributedDataParallel):
        model = model.module
    causal = bool(getattr(model, "causal", False))
    lookahead = getattr(model, "lookahead_frames", None)
    if causal and lookahead is None:
        lookahead = 0
    starts = any(_defines(model, n) for n in ("initial_state", "state_shapes"))
    return ModelTraits(
        causal=causal,
        lookahead_frames=lookahead,
        receptive_field_frames=getattr(model, "receptive_field_frames", None),
        bins=getattr(model, "bins", None),
        recurrent=any(isinstance(m, nn.RNNBase) for m in model.modules()),
        streaming=causal and _defines(model, "step") and starts,
    )


def _defines(model: nn.Module, name: str) -> bool:
    """Whether the model has a method, other than that of EdgeModel."""
    method = getattr(type(model), name, None)
    return method not in (None, getattr(EdgeModel, name))
