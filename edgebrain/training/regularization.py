"""Keep weights and activations small enough for 8 bits.

An int8 tensor has 256 steps between its smallest and its largest value, so a
single huge weight or activation takes the resolution from all the others.
"""

from collections.abc import Iterable
import math
import numbers

from edgebrain.errors import UserError, unknown_name
import torch

PENALTIES = ("l1", "l2")


def _checked_layer_types(layer_types):
    """Return the names as a tuple, or raise UserError."""
    if isinstance(layer_types, str):
        layer_types = (layer_types,)
    if not isinstance(layer_types, Iterable):
        layer_types = ()
    names = tuple(layer_types)
    if not names or not all(isinstance(name, str) for name in names):
        raise UserError(
            "layer_types: give class names of layers, such as [Conv1d, ReLU]"
        )
    return names


def _checked_positive(name, value):
    """Return the value as float, or raise UserError."""
    number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or value <= 0:
        raise UserError(f"{name} {value!r}: give a number above 0")
    return float(value)


def _type_names(module):
    """Return the names by which a layer is known: its class and the bases.

    So a ``CausalConv1d`` that derives from ``Conv1d`` is both.
    """
    classes = type(module).__mro__
    return [c.__name__ for c in classes[: classes.index(torch.nn.Module)]]


def find_layers(model, layer_types):
    """Return the layers of a model that are of the given types.

    Arguments
    ---------
    layer_types : str or iterable of str
        Class names, of the layer itself or of a class it derives from.

    Returns
    -------
    dict of str to torch.nn.Module
        By the name in the model.
    """
    wanted = _checked_layer_types(layer_types)
    layers, present, known = {}, set(), set()
    for name, module in model.named_modules():
        types = _type_names(module)
        known.update(types[:1])
        present.update(types)
        if set(types) & set(wanted):
            layers[name] = module
    problems = [
        str(unknown_name("layer type", name, known))
        for name in wanted
        if name not in present
    ]
    if problems:
        raise UserError.collect(
            f"layers of {type(model).__name__}, which has none of a type",
            problems,
        )
    return layers


class WeightClipper:
    """Clamp weights to [-max_value, max_value] after an optimiser step.

    Arguments
    ---------
    layer_types : str or iterable of str, optional
        Class names of the layers to clip. Left out: every layer with a
        weight of two or more dimensions (convolution, linear, recurrent),
        so neither the scale of a normalisation nor a PReLU's slope.
    bias_max : float, optional
        Clamps the biases of the same layers too.

    Example
    -------
    >>> layer = torch.nn.Linear(1, 1)
    >>> _ = torch.nn.init.constant_(layer.weight, 3.0)
    >>> WeightClipper(0.5)(layer)
    >>> layer.weight.item()
    0.5
    """

    def __init__(self, max_value, layer_types=None, bias_max=None):
        self.max_value = _checked_positive("max_value", max_value)
        self.bias_max = None
        if bias_max is not None:
            self.bias_max = _checked_positive("bias_max", bias_max)
        self.layer_types = None
        if layer_types is not None:
            self.layer_types = _checked_layer_types(layer_types)

    @torch.no_grad()
    def __call__(self, model):
        """Clip the model in place."""
        if self.layer_types is None:
            layers = [m for m in model.modules() if _has_matrix(m)]
        else:
            layers = find_layers(model, self.layer_types).values()
        for layer in layers:
            for name, parameter in layer.named_parameters(recurse=False):
                if name.startswith("weight"):
                    parameter.clamp_(-self.max_value, self.max_value)
                elif name.startswith("bias") and self.bias_max is not None:
                    parameter.clamp_(-self.bias_max, self.bias_max)


def _has_matrix(module):
    parameters = module.named_parameters(recurse=False)
    return any(n.startswith("weight") and p.dim() > 1 for n, p in parameters)


class _Penalty(torch.autograd.Function):
    """Mean of what exceeds the threshold, or of its square.

    By hand so that the activation itself is not saved: a layer behind that
    works in place (``ReLU(inplace=True)``) may then overwrite it.
    """

    @staticmethod
    def forward(ctx, activation, threshold, penalty):
        excess = torch.nn.functional.softshrink(activation, threshold)
        ctx.penalty = penalty
        ctx.save_for_backward(excess)
        # Half precision would overflow in the square of a huge activation.
        wide = excess if excess.dtype == torch.float64 else excess.float()
        return wide.abs().mean() if penalty == "l1" else wide.square().mean()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad):
        (excess,) = ctx.saved_tensors
        slope = excess.sign() if ctx.penalty == "l1" else 2 * excess
        return slope * (grad / excess.numel()).to(excess.dtype), None, None


def _ignore(module, inputs, output):
    """Stand in for the hook in a copy of the model."""


def _get_ignore():
    return _ignore


class _Hook:
    """Records the penalty of a layer's output while it trains.

    A copy or a pickle of the model gets a hook that does nothing: else it
    would carry the penalties of the original, graph and all.
    """

    def __init__(self, owner):
        self._owner = owner

    def __call__(self, module, inputs, output):
        if module.training and torch.is_grad_enabled():
            self._owner._record(output)

    def __deepcopy__(self, memo):
        return _ignore

    def __reduce__(self):
        return _get_ignore, ()


class ActivationRegularizer:
    """Penalise activations whose size is above a threshold.

    The penalty of a layer is the mean over all elements of its output of
    ``relu(|a| - threshold)`` (l1) or of its square (l2): activations below
    the threshold are free. Of a layer with several outputs (LSTM) the first
    counts. Padding frames count as the others do.

    Arguments
    ---------
    layer_types : str or iterable of str
        Class names of the layers whose output counts ("Conv1d", "ReLU",
        "PReLU", "BatchNorm1d", "LSTM", ...).
    penalty : str
        "l1" or "l2".
    weight : float
        Factor of the sum over layers.

    Example
    -------
    >>> model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.ReLU())
    >>> regularizer = ActivationRegularizer("ReLU", threshold=6.0)
    >>> regularizer.attach(model)
    >>> _ = model(torch.zeros(3, 2))
    >>> regularizer.value().item()
    0.0
    >>> regularizer.remove()
    """

    def __init__(self, layer_types, threshold, penalty="l2", weight=1.0):
        self.layer_types = _checked_layer_types(layer_types)
        self.threshold = _checked_positive("threshold", threshold)
        self.weight = _checked_positive("weight", weight)
        if penalty not in PENALTIES:
            raise unknown_name("penalty", penalty, PENALTIES)
        self.penalty = penalty
        self._handles = []
        self._values = []

    def attach(self, model):
        """Watch the layers of a model, in place of any watched before."""
        layers = find_layers(model, self.layer_types)
        self.remove()
        hook = _Hook(self)
        self._handles = [
            layer.register_forward_hook(hook) for layer in layers.values()
        ]

    def remove(self):
        """Take the hooks off the model."""
        for handle in self._handles:
            handle.remove()
        self._handles = []
        self._values = []

    def value(self):
        """Return the weighted penalty since the last call, and forget it.

        Returns
        -------
        tensor, scalar
            Zero when no layer ran in training mode.
        """
        values, self._values = self._values, []
        if not values:
            return torch.zeros(())
        return self.weight * torch.stack(values).sum()

    def _record(self, output):
        while isinstance(output, (tuple, list)):
            output = output[0]
        if isinstance(output, torch.Tensor) and output.is_floating_point():
            self._values.append(
                _Penalty.apply(output, self.threshold, self.penalty)
            )

    def __getstate__(self):
        """Leave hooks and graph behind: a copy watches nothing."""
        return {**self.__dict__, "_handles": [], "_values": []}
